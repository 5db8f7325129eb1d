//! Whose the container's cgroup is (runtime-spec config-linux.md#cgroup-ownership).

use crate::compile::Request;
use crate::compile::mounts::Mounts;
use crate::compile::plan::Draft;
use crate::wire::{HostOp, Ns};

/// The host gives the cgroup to the user of the container's process, where the container can write to it: it has a cgroup
/// namespace of its own, and a cgroup filesystem at /sys/fs/cgroup that is not read-only.
///
/// Who may not give it keeps it. To its maker it belongs already, and a uid that config.json does not map is unknown.
pub(super) fn give(request: &Request<'_>, mounts: &Mounts, plan: &mut Draft) {
    if let Some((mount, uid)) = of(request, mounts) {
        plan.host(mount, HostOp::OwnCgroup { uid });
    }
}

/// Where config.json has the mount that lets the container write to its cgroup, and who gets it.
pub(super) fn of<'m>(request: &Request<'_>, mounts: &'m Mounts) -> Option<(&'m str, u32)> {
    /// Linux capabilities(7).
    const CAP_CHOWN: u8 = 0;
    let facts = request.facts;
    if !request.cgroup.is_made() || !request.spaces.is_new(Ns::Cgroup) || !facts.has(CAP_CHOWN) {
        return None;
    }
    let mount = mounts.writable_cgroup()?;
    let inside = request.process.user().uid();
    let owner = if request.spaces.has_user() { request.ids.uid_outside(inside) } else { Some(inside) };
    owner.filter(|uid| *uid != facts.euid).map(|uid| (mount, uid))
}
