//! Which mounts are of the host's, for who leaves its mount namespace.

use std::ffi::{CStr, CString};

use super::sources::Source;
use super::{Mounts, OF_THE_KERNEL, Planned, SHARED, SLAVE, What};
use crate::compile::departure::Carried;
use crate::compile::mount_ids::Mapped;
use crate::compile::{Request, rootfs};
use crate::wire::Propagation;

const PRIVATE: u64 = 1 << 18;

impl Planned {
    /// What takes a tree that was carried over out of the host's peer group, as the host's mounts are where they are copied,
    /// unless config.json does so itself.
    pub(super) fn apart(&self, request: &Request<'_>, carried: &Carried) -> Option<Propagation> {
        let is_private = self.propagation.iter().any(|asked| asked.recursive && asked.kind == PRIVATE);
        (carried.has_left() && !is_private).then(|| rootfs::of_hosts(request))
    }
}

/// A copy of something of the host's, as config.json asks for it.
pub(in crate::compile) struct Copied<'a> {
    pub(in crate::compile) origin: &'a str,
    pub(in crate::compile) source: &'a CString,
    pub(in crate::compile) recursive: bool,
    pub(in crate::compile) ids: Option<Mapped>,
}

impl Mounts {
    /// What is copied from the host's tree.
    pub(in crate::compile) fn copies(&self) -> impl Iterator<Item = Copied<'_>> {
        self.mounts.iter().filter_map(|mount| match &mount.what {
            What::Copied { source, from: Source::Host | Source::Stage(_), recursive, ids, .. } => {
                Some(Copied { origin: &mount.origin, source, recursive: *recursive, ids: *ids })
            }
            _ => None,
        })
    }

    /// Whether some are asked to receive what the host mounts below their sources, or to share it.
    pub(in crate::compile) fn receive(&self) -> bool {
        let of_host = self.mounts.iter().filter(|mount| matches!(mount.what, What::Copied { .. }));
        of_host.flat_map(|mount| &mount.propagation).any(|asked| asked.kind & (SLAVE | SHARED) != 0)
    }

    /// Whether some are filesystems that may take a path of the host: a device, an overlay's layers.
    pub(in crate::compile) fn name_hosts(&self) -> bool {
        let is_kernels = |fstype: &CStr| OF_THE_KERNEL.iter().any(|known| known.as_bytes() == fstype.to_bytes());
        self.mounts.iter().any(|mount| matches!(&mount.what, What::Filesystem { fstype, .. } if !is_kernels(fstype)))
    }

    /// The mount at /dev, by its place in the list.
    pub(super) fn dev(&self) -> Option<usize> {
        let is_dev = |mount: &Planned| mount.path.as_c_str() == c"/dev" && !matches!(mount.what, What::Changed { .. });
        self.mounts.iter().rposition(is_dev)
    }

    /// Whether /dev is the host's.
    pub(in crate::compile) fn dev_is_copied(&self) -> bool {
        let dev = self.dev().and_then(|dev| self.mounts.get(dev));
        dev.is_some_and(|dev| matches!(dev.what, What::Copied { .. }))
    }
}
