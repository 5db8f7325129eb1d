//! The procfs that init writes to: its own, so that nothing in the container can stand in its way.

use super::plan::Draft;
use super::{Invalid, Request};
use crate::wire::{InitOp, Ns, Slot};

/// Whether it is opened in the pid namespace that is joined. Neighbours there may see init's descriptors
/// (CAP_SYS_PTRACE), and what shows the host's processes leads to their roots.
pub(super) fn opens_late(request: &Request<'_>) -> bool {
    request.spaces.joined(Ns::Pid).is_some() && request.spaces.owns(Ns::Pid)
}

/// Whether it is a copy of the host's: where init's pid namespace is the host's, a new one belongs to that as well.
pub(super) fn is_hosts(request: &Request<'_>) -> bool {
    !(request.spaces.is_new(Ns::Pid) || request.spaces.keeps(Ns::Pid) || opens_late(request))
}

/// Opened while nothing of it is masked: where one of the container's own would be too revealing the kernel denies it
/// (EPERM), and where init's pid namespace is the host's, so does its owner.
pub(super) fn open(request: &Request<'_>, origin: &str, plan: &mut Draft) -> Result<Slot, Invalid> {
    let slot = plan.slot()?;
    plan.init(origin, InitOp::OpenProc { slot, host: is_hosts(request) });
    Ok(slot)
}

/// In the container that a process has joined. Root of a user namespace gets no new one beside what is masked: there it is
/// a copy of the container's, of which only what the kernel shows is taken.
pub(super) fn open_joined(request: &Request<'_>, origin: &str, plan: &mut Draft) -> Result<Slot, Invalid> {
    let slot = plan.slot()?;
    plan.init(origin, InitOp::OpenProc { slot, host: request.spaces.has_user() });
    Ok(slot)
}
