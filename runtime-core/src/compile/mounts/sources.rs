//! Where copies of the host's trees are taken from: from its paths, from the stage, or from what earlier mounts have put into
//! the container.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Mounts, Planned, What};
use crate::compile::departure::{self, Carried};
use crate::compile::mount_ids::Mapped;
use crate::compile::mount_options::ALL_TAKEN;
use crate::compile::plan::Draft;
use crate::compile::text::{cleaned, path_text};
use crate::compile::{Invalid, Request, rootfs};
use crate::wire::{Attributes, InitOp, List, Text, Tree};

const UNBINDABLE: u64 = 1 << 17;
const SHARED: u64 = 1 << 20;

/// Where a copy is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The host's path.
    Host,
    /// The stage, where it has this number.
    Stage(u16),
    /// The container: what earlier mounts put there is not on the stage. This is the path in it.
    Container(CString),
}

/// Decides where each source is: in the container where an earlier mount is above it, or below it in a tree. This goes by
/// names: links of the image are not seen here.
pub(super) fn decide(request: &Request<'_>, mounts: &mut [Planned]) -> Result<(), Invalid> {
    let mut number = 0;
    for index in 0..mounts.len() {
        let Some((mount, earlier)) = mounts.get_mut(..=index).and_then(<[_]>::split_last_mut) else { continue };
        let What::Copied { source, from, recursive, .. } = &mut mount.what else { continue };
        let is_made = |path: &str| {
            let of = |earlier: &Planned| Path::new(OsStr::from_bytes(earlier.path.as_bytes())).to_owned();
            earlier
                .iter()
                .filter(|earlier| !matches!(earlier.what, What::Changed { .. }))
                .map(of)
                .any(|earlier| Path::new(path).starts_with(&earlier) || *recursive && earlier.starts_with(path))
        };
        *from = match source.to_str().ok().and_then(|source| inside(request, source)).filter(|path| is_made(path)) {
            Some(path) => Source::Container(path_text(&mount.origin, Path::new(&path))?),
            None if request.spaces.is_staged() => {
                number += 1;
                Source::Stage(number)
            }
            None => Source::Host,
        };
    }
    Ok(())
}

/// The path in the container of a host's path that begins with its root filesystem's.
pub(super) fn inside(request: &Request<'_>, path: &str) -> Option<String> {
    let rootfs = cleaned(request.rootfs.to_str().ok()?);
    let path = cleaned(path);
    let rest = path.strip_prefix(&rootfs)?;
    (rootfs != "/" && rest.starts_with('/')).then(|| rest.to_owned())
}

/// The host's trees are copied where their locks will hold: numbered 1, 2, 3 … as they come; 0 is the root filesystem.
pub(in crate::compile) fn stage(
    request: &Request<'_>,
    mounts: &Mounts,
    carried: &Carried,
    plan: &mut Draft,
) -> Result<(), Invalid> {
    let of_hosts: Vec<_> = carried.has_left().then(|| rootfs::of_hosts(request)).into_iter().collect();
    let at = if carried.has_left() { departure::STAGE } else { &request.state_dir };
    plan.init("", InitOp::MakeStage { at: Text(at) });
    let op = InitOp::StageTree {
        number: 0,
        tree: carried.rootfs(Text(&request.rootfs)),
        recursive: true,
        attributes: Attributes::NONE,
        recursive_attributes: Attributes::NONE,
        propagation: List::new(&of_hosts),
    };
    plan.init("/root/path", op);
    for mount in &mounts.mounts {
        if let What::Copied { source, from: Source::Stage(number), recursive, recursive_attributes, ids } = &mount.what
        {
            let tree = source_tree(mount, source, *recursive, *ids, carried, plan)?;
            // On the stage nobody shares, and what cannot be bound could not be taken from it.
            let kept = mount.propagation.iter().filter(|asked| asked.kind & (SHARED | UNBINDABLE) == 0);
            let kept: Vec<_> = mount.apart(request, carried).into_iter().chain(kept.copied()).collect();
            // What is set here is locked from here on. What is cleared is the kernel's to refuse, once it is locked.
            let op = InitOp::StageTree {
                number: *number,
                tree,
                recursive: *recursive,
                attributes: Attributes { set: mount.attributes.set & ALL_TAKEN, clear: 0 },
                recursive_attributes: *recursive_attributes,
                propagation: List::new(&kept),
            };
            plan.init(&mount.origin, op);
        }
    }
    Ok(())
}

/// The host's tree, or what was carried over of it; where its ids are mapped, a copy that they are mapped of first.
pub(super) fn source_tree<'a>(
    mount: &Planned,
    source: &'a CString,
    recursive: bool,
    ids: Option<Mapped>,
    carried: &Carried,
    plan: &mut Draft,
) -> Result<Tree<'a>, Invalid> {
    if let Some(slot) = carried.tree(&mount.origin) {
        return Ok(Tree::Held(slot, Text(source)));
    }
    let Some(Mapped { ids, deep }) = ids else { return Ok(Tree::Path(Text(source))) };
    let slot = plan.slot()?;
    let ids = Some(ids);
    plan.init(&mount.origin, InitOp::CopyTree { source: Text(source), recursive, ids, deep, slot });
    Ok(Tree::Held(slot, Text(source)))
}
