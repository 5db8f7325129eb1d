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
    /// Linux capabilities(7).
    const CAP_CHOWN: u8 = 0;
    let facts = request.facts;
    if !request.cgroup.is_made() || !request.spaces.is_new(Ns::Cgroup) || !facts.has(CAP_CHOWN) {
        return;
    }
    let Some(mount) = mounts.writable_cgroup() else { return };
    let inside = request.process.user().uid();
    let owner = if request.spaces.has_user() { request.ids.uid_outside(inside) } else { Some(inside) };
    if let Some(uid) = owner.filter(|uid| *uid != facts.euid) {
        plan.host(mount, HostOp::OwnCgroup { uid });
    }
}
