//! The labels of Linux security modules: AppArmor's profile, SELinux's contexts (runtime-spec config.md#linux-process,
//! config-linux.md#mount-label).

use std::ffi::CString;

use oci_spec::runtime::{Linux, Process};

use super::plan::Draft;
use super::text::text;
use super::{Invalid, Keyring, Request};
use crate::facts::Facts;
use crate::wire::{InitOp, Ns, Slot, Text};

const APPARMOR: &str = "/process/apparmorProfile";
const SELINUX: &str = "/process/selinuxLabel";
pub(super) const MOUNT: &str = "/linux/mountLabel";

/// What an empty label would do, which SELinux takes a line's end for: the kernel decides again.
const NONE: &std::ffi::CStr = c"\n";

/// What a process is to become at its execve(2).
#[derive(Debug)]
pub(super) struct Labels {
    /// AppArmor's file below `attr`, what is written there, and how what is read back begins.
    apparmor: Option<(CString, CString, CString)>,
    /// SELinux's context, and all of it but the level, which the kernel may write otherwise.
    selinux: Option<(CString, CString)>,
    has_keyring: bool,
}

impl Labels {
    pub(super) fn read(request: &Request<'_>) -> Result<Self, Invalid> {
        let Request { process, facts, launch, spaces, .. } = request;
        let labels = Self {
            apparmor: apparmor(process, facts)?,
            selinux: selinux(process, facts)?,
            has_keyring: launch.options.keyring == Keyring::New,
        };
        if labels.are_asked_for() && spaces.joined(Ns::Pid).is_some() && !spaces.owns(Ns::Pid) {
            let why = "no procfs of a pid namespace that is joined can be had in another user namespace to write it";
            return Err(Invalid::unsupported(labels.origin(), why));
        }
        Ok(labels)
    }

    /// Whether a procfs is needed to write them.
    pub(super) fn are_asked_for(&self) -> bool {
        self.apparmor.is_some() || self.selinux.is_some()
    }

    /// Where config.json asks for the first of them.
    pub(super) fn origin(&self) -> &'static str {
        if self.apparmor.is_some() { APPARMOR } else { SELINUX }
    }

    /// The key that is the session's keyring gets the label it is made under (keyrings(7)).
    pub(super) fn before_keyring(&self, proc: Option<Slot>, plan: &mut Draft) {
        if let (Some(proc), Some((label, expect))) = (proc.filter(|_| self.has_keyring), &self.selinux) {
            let (file, value) = (Text(c"keycreate"), Text(label));
            plan.init(SELINUX, InitOp::WriteLabel { proc, file, value, expect: Text(expect) });
        }
    }

    /// Once the keyring is there, and while init has the rights to change its label.
    pub(super) fn set(&self, proc: Option<Slot>, plan: &mut Draft) {
        let Some(proc) = proc else { return };
        if let Some((label, expect)) = &self.selinux {
            if self.has_keyring {
                let (file, value) = (Text(c"keycreate"), Text(NONE));
                plan.init(SELINUX, InitOp::WriteLabel { proc, file, value, expect: Text(c"") });
            }
            let (file, value) = (Text(c"exec"), Text(label));
            plan.init(SELINUX, InitOp::WriteLabel { proc, file, value, expect: Text(expect) });
        }
        if let Some((file, value, expect)) = &self.apparmor {
            let [file, value, expect] = [file, value, expect].map(|text| Text(text));
            plan.init(APPARMOR, InitOp::WriteLabel { proc, file, value, expect });
        }
    }
}

type AppArmor = (CString, CString, CString);

fn apparmor(process: &Process, facts: &Facts) -> Result<Option<AppArmor>, Invalid> {
    let Some(profile) = process.apparmor_profile().as_deref().filter(|profile| !profile.is_empty()) else {
        return Ok(None);
    };
    if !facts.lsm.apparmor {
        return Err(Invalid::unsupported(APPARMOR, "apparmor: config provided but apparmor not supported"));
    }
    let file = if facts.lsm.apparmor_directory { c"apparmor/exec" } else { c"exec" };
    Ok(Some((file.to_owned(), text(APPARMOR, format!("exec {profile}"))?, text(APPARMOR, profile)?)))
}

fn selinux(process: &Process, facts: &Facts) -> Result<Option<(CString, CString)>, Invalid> {
    let Some(label) = process.selinux_label().as_deref().filter(|label| !label.is_empty()) else { return Ok(None) };
    check_selinux(SELINUX, facts)?;
    let level = label.match_indices(':').nth(2).map_or(label.len(), |(at, _)| at);
    let stem = label.get(..level).unwrap_or_default();
    Ok(Some((text(SELINUX, label)?, text(SELINUX, stem)?)))
}

fn check_selinux(origin: &str, facts: &Facts) -> Result<(), Invalid> {
    let why = "selinux label is specified in config, but selinux is disabled or not supported";
    if facts.lsm.selinux { Ok(()) } else { Err(Invalid::unsupported(origin, why)) }
}

/// The label of everything in the container's mounts.
pub(super) fn mount_label<'a>(linux: &'a Linux, facts: &Facts) -> Result<Option<&'a str>, Invalid> {
    let label = linux.mount_label().as_deref().filter(|label| !label.is_empty());
    if label.is_some() {
        check_selinux(MOUNT, facts)?;
    }
    Ok(label)
}

/// Whether a filesystem takes `context=` when it is made: those of the kernel have labels of their own by the policy.
pub(super) fn takes_context(fstype: &str) -> bool {
    !matches!(fstype, "proc" | "sysfs" | "cgroup2" | "mqueue")
}

/// Mount options that say a label themselves (mount(8)).
pub(super) fn is_context(key: &[u8]) -> bool {
    matches!(key, b"context" | b"fscontext" | b"defcontext" | b"rootcontext" | b"seclabel")
}
