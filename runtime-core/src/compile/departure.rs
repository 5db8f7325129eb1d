//! Leaving the host's mounts before any of them is copied: unshare(2) of a mount namespace copies every mount there is, which
//! on a host with thousands takes longer than all the rest. Init enters a namespace that has only a few, and carries over what
//! the container is to have of the host's.

use std::collections::BTreeMap;
use std::ffi::CString;

use super::mounts::Mounts;
use super::plan::Draft;
use super::text::path_text;
use super::{Chapters, Invalid, Request, RootSwitch, own_proc, rootfs};
use crate::wire::{HostOp, InitOp, Ns, Slot, Text, Tree};

/// How many trees are carried at most: each has a descriptor, and soft limits are often 1,024.
const TREES: usize = 256;

/// Where the root filesystem is attached among the few mounts.
pub(crate) const ROOT: &std::ffi::CStr = c"/root";
/// Where the stage is made there.
pub(crate) const STAGE: &std::ffi::CStr = c"/stage";

/// What init carries over: detached copies of the host's trees, by where config.json asks for them, and of its devices.
#[derive(Debug, Default)]
pub(super) struct Carried {
    left: bool,
    rootfs: Option<Slot>,
    trees: BTreeMap<String, Slot>,
    devices: BTreeMap<CString, Slot>,
    pub(super) taken: Option<rootfs::Taken>,
}

impl Carried {
    /// Whether the host's mounts were left.
    pub(super) fn has_left(&self) -> bool {
        self.left
    }

    /// The root filesystem.
    pub(super) fn rootfs<'a>(&self, path: Text<'a>) -> Tree<'a> {
        self.rootfs.map_or(Tree::Path(path), |slot| Tree::Held(slot, path))
    }

    /// The copy for a mount.
    pub(super) fn tree(&self, origin: &str) -> Option<Slot> {
        self.trees.get(origin).copied()
    }

    /// A device of the host's.
    pub(super) fn device<'a>(&self, path: &'a CString) -> Tree<'a> {
        self.devices.get(path).map_or(Tree::Path(Text(path)), |slot| Tree::Held(*slot, Text(path)))
    }
}

/// The host opens the namespace with few mounts, where there is one and the container does not need the host's.
pub(super) fn open(request: &Request<'_>, chapters: &Chapters<'_>, plan: &mut Draft) -> Result<Option<Slot>, Invalid> {
    let Some(few) = &request.facts.few_mounts else { return Ok(None) };
    if let Some(why) = needs_hosts(request, chapters) {
        plan.note(format!("every mount of the host is copied: {why}"));
        return Ok(None);
    }
    let (slot, path) = (plan.slot()?, path_text("", few)?);
    plan.host("", HostOp::OpenNamespace { ns: Ns::Mount, path: Text(&path), slot });
    Ok(Some(slot))
}

/// Why the container cannot be made without the host's mounts around it.
fn needs_hosts(request: &Request<'_>, chapters: &Chapters<'_>) -> Option<&'static str> {
    let reasons = [
        (!request.facts.is_privileged(), "the caller may not enter a mount namespace"),
        (!request.spaces.is_new(Ns::Mount), "the container has no mount namespace of its own"),
        (request.launch.options.root_switch != RootSwitch::Pivot, "its root is moved, not pivoted"),
        (request.hooks.see_rootfs(), "hooks before the change of the root may look at them"),
        (rootfs::shares(request), "mounts are shared with the host"),
        (chapters.mounts.receive(), "a mount made on the host meanwhile has to appear in a slave or shared one"),
        (chapters.mounts.name_hosts(), "a filesystem may name a path of the host"),
        (chapters.mounts.copies().count() > TREES, "too many trees would have to be carried"),
        (!chapters.offsets.is_empty(), "the offsets of the clocks are written to the host's procfs"),
        (chapters.needs_proc() && own_proc::is_hosts(request), "it is written to the host's procfs"),
    ];
    reasons.into_iter().find(|(holds, _)| *holds).map(|(_, why)| why)
}

/// Init copies what the container is to have of the host's, and leaves it.
pub(super) fn leave(
    request: &Request<'_>,
    chapters: &Chapters<'_>,
    few: Option<Slot>,
    plan: &mut Draft,
) -> Result<Carried, Invalid> {
    let Some(few) = few else { return Ok(Carried::default()) };
    let mut carried = Carried { left: true, ..Carried::default() };
    let rootfs = plan.slot()?;
    let whole = |source, recursive, slot| InitOp::CopyTree { source, recursive, ids: None, deep: false, slot };
    plan.init(rootfs::ORIGIN, whole(Text(&request.rootfs), true, rootfs));
    carried.rootfs = Some(rootfs);
    carry_mounts(&chapters.mounts, &mut carried, plan)?;
    if !chapters.mounts.dev_is_copied() {
        for (origin, path) in chapters.devices.bound(request) {
            let slot = plan.slot()?;
            plan.init(origin, whole(Text(path), false, slot));
            carried.devices.insert(path.clone(), slot);
        }
    }
    carried.taken = Some(rootfs::take(&chapters.covered, plan)?);
    plan.init("", InitOp::LeaveMounts { slot: few });
    Ok(carried)
}

fn carry_mounts(mounts: &Mounts, carried: &mut Carried, plan: &mut Draft) -> Result<(), Invalid> {
    for copied in mounts.copies() {
        let slot = plan.slot()?;
        let (ids, deep) = (copied.ids.map(|mapped| mapped.ids), copied.ids.is_some_and(|mapped| mapped.deep));
        let op = InitOp::CopyTree { source: Text(copied.source), recursive: copied.recursive, ids, deep, slot };
        plan.init(copied.origin, op);
        carried.trees.insert(copied.origin.to_owned(), slot);
    }
    Ok(())
}
