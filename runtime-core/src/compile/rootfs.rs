//! The root filesystem: how it is taken, how it becomes the root, and what of it is masked or read-only.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Linux;

use super::departure::{self, Carried};
use super::namespaces::Namespaces;
use super::plan::Draft;
use super::text::{path_text, paths_once, text};
use super::{Invalid, Request, RootSwitch, lsm};
use crate::wire::{HostOp, InitOp, List, Ns, Place, Propagation, Slot, Text, Tree};

pub(super) const ORIGIN: &str = "/root/path";
const PROPAGATION: &str = "/linux/rootfsPropagation";
const MASKED: &str = "/linux/maskedPaths";
const READ_ONLY: &str = "/linux/readonlyPaths";

const UNBINDABLE: u64 = 1 << 17;
const PRIVATE: u64 = 1 << 18;
const SLAVE: u64 = 1 << 19;
const SHARED: u64 = 1 << 20;

/// Paths of the container that are covered, with their places in config.json.
#[derive(Debug)]
pub(super) struct Covered {
    masked: Vec<(String, CString)>,
    read_only: Vec<(String, CString)>,
}

impl Covered {
    pub(super) fn read(request: &Request<'_>) -> Result<Self, Invalid> {
        let masked = paths_once(MASKED, request.linux.masked_paths().as_ref())?;
        let read_only = paths_once(READ_ONLY, request.linux.readonly_paths().as_ref())?;
        for (origin, paths) in [(MASKED, &masked), (READ_ONLY, &read_only)] {
            if !request.spaces.is_private(Ns::Mount) && !paths.is_empty() {
                return Err(Invalid::new(origin, "unable to restrict sys entries without a private MNT namespace"));
            }
        }
        Ok(Self { masked, read_only })
    }
}

/// What is taken from the host before its tree is out of reach.
#[derive(Debug, Default)]
pub(super) struct Taken {
    null: Option<Slot>,
}

/// The root filesystem's directory on the host.
pub(super) fn path(root: Option<&oci_spec::runtime::Root>, bundle: &Path) -> Result<CString, Invalid> {
    let root = root.ok_or_else(|| Invalid::new("/root", "the root filesystem is missing"))?;
    if root.path().as_os_str().is_empty() {
        return Err(Invalid::new(ORIGIN, "the path of the root filesystem is empty"));
    }
    path_text(ORIGIN, &bundle.join(root.path()))
}

/// `linux.rootfsPropagation`, one of mount_namespaces(7)'s words, also with `r` before.
pub(super) fn propagation(linux: &Linux, spaces: &Namespaces) -> Result<Option<Propagation>, Invalid> {
    let Some(asked) = linux.rootfs_propagation().as_deref().filter(|asked| !asked.is_empty()) else {
        return Ok(None);
    };
    if !spaces.is_private(Ns::Mount) {
        return Err(Invalid::new(PROPAGATION, "the propagation of the host's mounts is not changed"));
    }
    let named = |word: &str| Propagation::NAMES.iter().find(|(_, name)| *name == word).map(|(kind, _)| *kind);
    let found = match (named(asked), asked.strip_prefix('r').and_then(named)) {
        (Some(kind), _) => Some(Propagation { kind, recursive: false }),
        (None, Some(kind)) => Some(Propagation { kind, recursive: true }),
        (None, None) => None,
    };
    let unknown = || Invalid::new(PROPAGATION, format!("rootfsPropagation={asked} is not supported"));
    found.map(Some).ok_or_else(unknown)
}

/// The host claims the id, and fails early where there is no root filesystem.
pub(super) fn claim(request: &Request<'_>, plan: &mut Draft) {
    plan.host("", HostOp::ClaimId { path: Text(&request.state_dir) });
    plan.host(ORIGIN, HostOp::CheckRootfs { path: Text(&request.rootfs) });
}

/// Nothing that is mounted from here on may reach the host: its mounts become slaves, or private where that is asked.
/// Where mounts are to be shared with the host they stay its peers, all but the root: pivot_root(2) refuses a root whose
/// parent is shared.
pub(super) fn propagate(request: &Request<'_>, plan: &mut Draft) {
    let origin = if request.propagation.is_some() { PROPAGATION } else { "" };
    plan.init(origin, InitOp::Propagate { kind: of_hosts(request) });
}

/// What the host's mounts are to the container, before it has any.
pub(super) fn of_hosts(request: &Request<'_>) -> Propagation {
    let (kind, recursive) = match request.propagation {
        _ if shares(request) => (PRIVATE, false),
        Some(Propagation { kind: PRIVATE, .. }) => (PRIVATE, true),
        _ => (SLAVE, true),
    };
    Propagation { kind, recursive }
}

/// Whether mounts of the container can be shared with the host. A mount namespace of another user namespace is always a
/// slave of the one it was copied from (mount_namespaces(7)).
pub(super) fn shares(request: &Request<'_>) -> bool {
    let asked = request.propagation.is_some_and(|asked| asked.kind == SHARED);
    asked && !request.spaces.has_user() && request.launch.options.root_switch == RootSwitch::Pivot
}

/// The root filesystem is attached; later paths are resolved from it.
pub(super) fn attach(request: &Request<'_>, carried: &Carried, plan: &mut Draft) {
    let path = Text(&request.rootfs);
    let slave = [Propagation { kind: SLAVE, recursive: true }];
    let of_hosts = [of_hosts(request)];
    let (tree, at, propagation): (_, _, &[_]) = if request.spaces.is_staged() {
        // Hooks look for it where config.json says; else root of the user namespace need not reach that directory.
        (Tree::Staged(0, path), request.hooks.see_rootfs().then_some(path), &[])
    } else if carried.has_left() {
        (carried.rootfs(path), Some(Text(departure::ROOT)), &of_hosts)
    } else if shares(request) {
        // Over the one mount that is no peer of the host's.
        (Tree::Path(path), Some(Text(c"/")), &slave)
    } else {
        (Tree::Path(path), Some(path), &[])
    };
    plan.init(ORIGIN, InitOp::AttachRootfs { tree, at, propagation: List::new(propagation) });
}

/// What only the host's tree has is taken from it.
pub(super) fn take(covered: &Covered, plan: &mut Draft) -> Result<Taken, Invalid> {
    if covered.masked.is_empty() {
        return Ok(Taken::default());
    }
    let slot = plan.slot()?;
    plan.init(MASKED, InitOp::TakeNull { slot });
    Ok(Taken { null: Some(slot) })
}

/// The root filesystem becomes the root.
pub(super) fn switch(request: &Request<'_>, plan: &mut Draft) -> Result<(), Invalid> {
    if let Some(host) = request.spaces.home() {
        plan.init("", InitOp::ReturnWithRoot { host });
        return Ok(());
    }
    if request.launch.options.root_switch == RootSwitch::Pivot {
        plan.init("", InitOp::PivotRoot {});
        return Ok(());
    }
    // What covers another mount comes after it. In a namespace that is joined all but these is somebody else's.
    let others: Vec<_> = match request.spaces.is_new(Ns::Mount) {
        true => request.facts.mounts.iter().rev().filter(|path| *path != Path::new("/")).cloned().collect(),
        false => ["/proc", "/sys"].map(PathBuf::from).to_vec(),
    };
    let others = others.iter().map(|path| path_text("", path)).collect::<Result<Vec<_>, _>>()?;
    let others: Vec<_> = others.iter().map(|path| Text(path)).collect();
    plan.init("", InitOp::MoveRoot { others: List::new(&others) });
    Ok(())
}

/// What could not be said before: pivot_root(2) refuses a shared root, and of an unbindable one nothing could be copied,
/// neither to attach it nor to cover a part of it with.
pub(super) fn propagate_on(request: &Request<'_>, plan: &mut Draft) {
    if let Some(kind) = request.propagation.filter(|asked| asked.kind & (SHARED | UNBINDABLE) != 0) {
        plan.init(PROPAGATION, InitOp::Propagate { kind });
    }
}

/// What is masked and what is read-only, over all mounts.
pub(super) fn cover(request: &Request<'_>, covered: &Covered, taken: &Taken, plan: &mut Draft) -> Result<(), Invalid> {
    if let Some(null) = taken.null {
        let empty = plan.slot()?;
        let label = lsm::mount_label(request.linux, request.facts)?;
        let label = label.map(|label| text(lsm::MOUNT, label)).transpose()?;
        plan.init(MASKED, InitOp::MakeEmpty { slot: empty, context: label.as_deref().map(Text) });
        for (origin, path) in &covered.masked {
            let place = Place { base: Slot::ROOT, skip: 0, path: Text(path) };
            plan.init(origin, InitOp::Mask { place, null, empty });
        }
    }
    for (origin, path) in &covered.read_only {
        let place = Place { base: Slot::ROOT, skip: 0, path: Text(path) };
        plan.init(origin, InitOp::Protect { place });
    }
    Ok(())
}

/// `root.readonly`, when nothing is made in it any more.
pub(super) fn protect(request: &Request<'_>, plan: &mut Draft) {
    if request.spec.root().as_ref().and_then(|root| root.readonly()) == Some(true) {
        plan.init("/root/readonly", InitOp::ProtectRoot {});
    }
}
