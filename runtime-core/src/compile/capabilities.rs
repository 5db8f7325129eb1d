//! The five capability sets (runtime-spec config.md#linux-process, capabilities(7)): computed once, here.

use std::collections::BTreeSet;

use oci_spec::runtime::{Capability, LinuxCapabilities};

use super::Request;
use super::plan::Draft;
use crate::facts::Facts;
use crate::wire::{Capabilities, InitOp};

const ORIGIN: &str = "/process/capabilities";

/// What the program will hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sets {
    origin: &'static str,
    bounding: u64,
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
}

impl Sets {
    /// What config.json asks for and can be had; the rest is told. Nothing configured means none at all.
    pub(super) fn read(request: &Request<'_>, plan: &mut Draft) -> Self {
        let asked = request.process.capabilities().as_ref();
        let (bounded, held) = grantable(request.facts, request.spaces.has_user());
        let granted = |asked, grantable: u64, missing: &mut BTreeSet<String>| {
            let asked = bits(asked);
            missing.extend(names(asked & !grantable));
            asked & grantable
        };
        let get = |set: fn(&LinuxCapabilities) -> &Option<oci_spec::runtime::Capabilities>| asked.map(set);
        let mut missing = BTreeSet::new();
        let bounding = granted(get(LinuxCapabilities::bounding), bounded, &mut missing);
        let permitted = granted(get(LinuxCapabilities::permitted), held, &mut missing);
        let effective = granted(get(LinuxCapabilities::effective), held, &mut missing);
        let inheritable = granted(get(LinuxCapabilities::inheritable), bounded, &mut missing);
        if !missing.is_empty() {
            let missing = missing.into_iter().collect::<Vec<_>>().join(" ");
            plan.warn(format!("ignoring unknown or unavailable capabilities: [{missing}] ({ORIGIN})"));
        }
        // capset(2): what is effective must be permitted, and nothing outside the bounding set becomes inheritable.
        for name in names(effective & !permitted) {
            plan.warn(format!("{name} is not permitted, and cannot be effective ({ORIGIN}/effective)"));
        }
        for name in names(inheritable & !bounding) {
            plan.warn(format!("{name} is not in the bounding set, and cannot be inheritable ({ORIGIN}/inheritable)"));
        }
        let (effective, inheritable) = (effective & permitted, inheritable & bounding);
        let ambient = bits(get(LinuxCapabilities::ambient));
        for name in names(ambient & !(permitted & inheritable)) {
            plan.warn(format!("can't raise ambient capability {name}: it is not both permitted and inheritable"));
        }
        let origin = if asked.is_some() { ORIGIN } else { "" };
        Self { origin, bounding, effective, permitted, inheritable, ambient: ambient & permitted & inheritable }
    }
}

/// What installing a seccomp filter takes, of a process that may gain privileges (seccomp(2)).
const SYS_ADMIN: u64 = 1 << 21;

impl Sets {
    fn held(&self) -> Capabilities {
        let Self { effective, permitted, inheritable, ambient, .. } = *self;
        Capabilities { effective, permitted, inheritable, ambient }
    }

    /// With the capability that installing a seccomp filter takes; `None` where it is there anyway.
    pub(super) fn raised(&self) -> Option<Capabilities> {
        let Capabilities { effective, permitted, .. } = self.held();
        let raised = Capabilities { effective: effective | SYS_ADMIN, permitted: permitted | SYS_ADMIN, ..self.held() };
        (effective & SYS_ADMIN == 0).then_some(raised)
    }
}

/// What can be had in the bounding set, and what can be held. A user namespace begins with everything.
fn grantable(facts: &Facts, has_user: bool) -> (u64, u64) {
    let known = u64::MAX >> (63 - facts.last_capability.min(63));
    if has_user { (known, known) } else { (known & facts.bounding, known & facts.effective) }
}

fn bits(set: Option<&Option<oci_spec::runtime::Capabilities>>) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a sum has no order")]
    set.and_then(Option::as_ref).into_iter().flat_map(|set| set.iter()).fold(0, |bits, name| bits | bit(*name))
}

/// The names of a set's capabilities, as config.json has them.
fn names(set: u64) -> impl Iterator<Item = String> {
    ALL.iter().filter(move |(_, known)| set & known.bitmask() != 0).map(|(_, known)| known.to_string())
}

/// The names of all.
pub(super) fn known() -> Vec<String> {
    names(u64::MAX).collect()
}

fn bit(capability: Capability) -> u64 {
    let known = ALL.iter().find(|(name, _)| *name == capability).map(|(_, known)| known);
    known.map_or(0, caps::Capability::bitmask)
}

/// Drops from the bounding set what the container must not have.
pub(super) fn bound(sets: &Sets, plan: &mut Draft) {
    plan.init(sets.origin, InitOp::Bound { keep: sets.bounding });
}

/// Sets the other four. `filters`: one more stays permitted until execve(2), which takes it away whoever the user is
/// (capabilities(7)).
pub(super) fn set(sets: &Sets, filters: bool, plan: &mut Draft) {
    let kept = if filters { SYS_ADMIN } else { 0 };
    let wanted = sets.held();
    plan.init(
        sets.origin,
        InitOp::SetCapabilities { sets: Capabilities { permitted: wanted.permitted | kept, ..wanted } },
    );
}

/// By number (capabilities(7)): config.json's, and the one that knows its number and its name.
const ALL: [(Capability, caps::Capability); 41] = [
    (Capability::Chown, caps::Capability::CAP_CHOWN),
    (Capability::DacOverride, caps::Capability::CAP_DAC_OVERRIDE),
    (Capability::DacReadSearch, caps::Capability::CAP_DAC_READ_SEARCH),
    (Capability::Fowner, caps::Capability::CAP_FOWNER),
    (Capability::Fsetid, caps::Capability::CAP_FSETID),
    (Capability::Kill, caps::Capability::CAP_KILL),
    (Capability::Setgid, caps::Capability::CAP_SETGID),
    (Capability::Setuid, caps::Capability::CAP_SETUID),
    (Capability::Setpcap, caps::Capability::CAP_SETPCAP),
    (Capability::LinuxImmutable, caps::Capability::CAP_LINUX_IMMUTABLE),
    (Capability::NetBindService, caps::Capability::CAP_NET_BIND_SERVICE),
    (Capability::NetBroadcast, caps::Capability::CAP_NET_BROADCAST),
    (Capability::NetAdmin, caps::Capability::CAP_NET_ADMIN),
    (Capability::NetRaw, caps::Capability::CAP_NET_RAW),
    (Capability::IpcLock, caps::Capability::CAP_IPC_LOCK),
    (Capability::IpcOwner, caps::Capability::CAP_IPC_OWNER),
    (Capability::SysModule, caps::Capability::CAP_SYS_MODULE),
    (Capability::SysRawio, caps::Capability::CAP_SYS_RAWIO),
    (Capability::SysChroot, caps::Capability::CAP_SYS_CHROOT),
    (Capability::SysPtrace, caps::Capability::CAP_SYS_PTRACE),
    (Capability::SysPacct, caps::Capability::CAP_SYS_PACCT),
    (Capability::SysAdmin, caps::Capability::CAP_SYS_ADMIN),
    (Capability::SysBoot, caps::Capability::CAP_SYS_BOOT),
    (Capability::SysNice, caps::Capability::CAP_SYS_NICE),
    (Capability::SysResource, caps::Capability::CAP_SYS_RESOURCE),
    (Capability::SysTime, caps::Capability::CAP_SYS_TIME),
    (Capability::SysTtyConfig, caps::Capability::CAP_SYS_TTY_CONFIG),
    (Capability::Mknod, caps::Capability::CAP_MKNOD),
    (Capability::Lease, caps::Capability::CAP_LEASE),
    (Capability::AuditWrite, caps::Capability::CAP_AUDIT_WRITE),
    (Capability::AuditControl, caps::Capability::CAP_AUDIT_CONTROL),
    (Capability::Setfcap, caps::Capability::CAP_SETFCAP),
    (Capability::MacOverride, caps::Capability::CAP_MAC_OVERRIDE),
    (Capability::MacAdmin, caps::Capability::CAP_MAC_ADMIN),
    (Capability::Syslog, caps::Capability::CAP_SYSLOG),
    (Capability::WakeAlarm, caps::Capability::CAP_WAKE_ALARM),
    (Capability::BlockSuspend, caps::Capability::CAP_BLOCK_SUSPEND),
    (Capability::AuditRead, caps::Capability::CAP_AUDIT_READ),
    (Capability::Perfmon, caps::Capability::CAP_PERFMON),
    (Capability::Bpf, caps::Capability::CAP_BPF),
    (Capability::CheckpointRestore, caps::Capability::CAP_CHECKPOINT_RESTORE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_once_and_by_number() {
        for (number, (capability, known)) in ALL.into_iter().enumerate() {
            assert_eq!(format!("CAP_{capability}"), known.to_string());
            assert_eq!(bit(capability), 1 << number, "{capability}");
        }
    }
}
