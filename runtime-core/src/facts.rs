//! What this host is: plain data, read once, so that the same facts always give the same plan.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::stat::fstat;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{AccessFlags, faccessat};
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::host::few_mounts::{self, Missing};
use crate::host::file::read_small_text;
use crate::sys::process::{bounding_set, own_user_namespace, owner_of_namespace};
use crate::wire::{Ns, Spaces};

/// What this host is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The kernel's major and minor version.
    pub kernel: (u32, u32),
    /// The effective user id of the caller.
    pub euid: u32,
    /// The effective group id of the caller.
    pub egid: u32,
    /// The caller's effective capabilities, as a bit set.
    pub effective: u64,
    /// The caller's bounding set.
    pub bounding: u64,
    /// The greatest capability this kernel knows.
    pub last_capability: u8,
    /// Whether the caller is in the initial user namespace.
    pub initial_user_namespace: bool,
    /// Whether setgroups(2) is denied in the caller's user namespace, and so in every one below it (user_namespaces(7)).
    #[serde(default)]
    pub setgroups_denied: bool,
    /// Which of the caller's pid, network, ipc and cgroup namespaces belong to another user namespace than its own
    /// (ioctl_ns(2), NS_GET_USERNS), as CLONE_NEW* flags: whatever capabilities the caller has, it cannot mount what
    /// shows them.
    #[serde(default)]
    pub foreign_namespaces: u32,
    /// Whether the kernel has time namespaces; `false` where it was not looked for.
    pub time_namespaces: bool,
    /// Which labels of Linux security modules can be had; none where they were not looked for.
    #[serde(default)]
    pub lsm: LsmFacts,
    /// Where resctrl is mounted; `None` where it is not, or was not looked for ([`Self::look_for_resctrl`]).
    #[serde(default)]
    pub resctrl: Option<PathBuf>,
    /// Where something is mounted, the first mounts first; empty where it was not looked for ([`Self::look_for_mounts`]).
    #[serde(default)]
    pub mounts: Vec<PathBuf>,
    /// A mount namespace with few mounts, which a container can be made from without copying the host's; `None` where the
    /// host has not many, or there is no such namespace, or it was not looked for.
    #[serde(default)]
    pub few_mounts: Option<PathBuf>,
    /// The unified cgroup hierarchy; `None` where none is mounted, or it was not looked for.
    pub cgroup: Option<CgroupFacts>,
}

/// What is looked for of a host. Each takes calls that a plan which does not depend on it need not wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    time: bool,
    labels: bool,
    cgroup: bool,
}

/// Whether config.json asks for a label; an empty one asks for nothing.
fn is_set(label: &Option<String>) -> bool {
    label.as_ref().is_some_and(|label| !label.is_empty())
}

impl Wanted {
    const ALL: Self = Self { time: true, labels: true, cgroup: true };

    /// What a new container takes.
    pub(crate) fn by(spec: &Spec) -> Self {
        let mounts = spec.linux().as_ref().is_some_and(|linux| is_set(linux.mount_label()));
        let joining = spec.process().as_ref().map(|process| Self::by_one_more(spec, process));
        let Self { time, labels, .. } = joining.unwrap_or(Self::ALL);
        Self { time, labels: labels || mounts, cgroup: true }
    }

    /// What one more process of a container takes.
    pub(crate) fn by_one_more(spec: &Spec, process: &Process) -> Self {
        let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten();
        Self {
            time: namespaces.into_iter().any(|namespace| namespace.typ() == LinuxNamespaceType::Time),
            labels: is_set(process.apparmor_profile()) || is_set(process.selinux_label()),
            cgroup: false,
        }
    }
}

/// The Linux security modules that label processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LsmFacts {
    /// Whether AppArmor is enabled.
    pub apparmor: bool,
    /// Whether it has a directory of its own below /proc/self/attr (Linux 5.8).
    pub apparmor_directory: bool,
    /// Whether SELinux is enabled: selinuxfs is mounted.
    pub selinux: bool,
}

impl LsmFacts {
    fn read() -> Self {
        const SELINUX_MAGIC: nix::sys::statfs::FsType = nix::sys::statfs::FsType(0xf97c_ff8c);
        let enabled = std::fs::read("/sys/module/apparmor/parameters/enabled");
        let apparmor = enabled.is_ok_and(|enabled| enabled.starts_with(b"Y"));
        Self {
            apparmor,
            apparmor_directory: apparmor && Path::new("/proc/self/attr/apparmor").is_dir(),
            selinux: statfs("/sys/fs/selinux").is_ok_and(|fs| fs.filesystem_type() == SELINUX_MAGIC),
        }
    }
}

/// The unified cgroup hierarchy, and the caller's place in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CgroupFacts {
    /// Where it is mounted: `/sys/fs/cgroup`, on a hybrid host `/sys/fs/cgroup/unified`.
    pub mount: PathBuf,
    /// The caller's cgroup, from the root of the hierarchy: `/`, `/user.slice/…`.
    pub own: String,
    /// Whether the caller may make cgroups beside its own, and have processes born there.
    pub delegated: bool,
    /// Whether the caller may do so below its own.
    #[serde(default)]
    pub delegated_below: bool,
    /// The controllers of the hierarchy's root.
    pub controllers: Vec<String>,
}

impl Facts {
    /// Whether the caller has a capability, by number.
    pub fn has(&self, capability: u8) -> bool {
        self.effective >> capability & 1 == 1
    }
}

impl Facts {
    /// Whether the caller is in the initial user namespace, which has the same inode on every kernel
    /// (PROC_USER_INIT_INO).
    pub fn in_initial_user_namespace() -> bool {
        const PROC_USER_INIT_INO: u64 = 0xeffffffd;
        let own = own_user_namespace().and_then(|own| fstat(&own)).map(|own| own.st_ino);
        // KERNEL(6.11): before, a namespace is opened by /proc only.
        let own = own.or_else(|_| std::fs::metadata("/proc/self/ns/user").map(|own| own.ino()));
        own.is_ok_and(|own| own == PROC_USER_INIT_INO)
    }

    /// The same host, as its root sees it.
    pub fn of_root(&self) -> Self {
        let all = u64::MAX >> (63 - u32::from(self.last_capability).min(63));
        Self {
            euid: 0,
            egid: 0,
            effective: all,
            bounding: all,
            initial_user_namespace: true,
            setgroups_denied: false,
            foreign_namespaces: 0,
            cgroup: self.cgroup.clone().map(|cgroup| CgroupFacts { delegated: true, delegated_below: true, ..cgroup }),
            ..self.clone()
        }
    }

    /// Looks for a resctrl, which takes reading all mounts, unless it is where it usually is: only for who asks for it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn look_for_resctrl(&mut self) -> Result<()> {
        const RDTGROUP_SUPER_MAGIC: nix::sys::statfs::FsType = nix::sys::statfs::FsType(0x0765_5821);
        const USUAL: &str = "/sys/fs/resctrl";
        self.resctrl = if statfs(USUAL).is_ok_and(|fs| fs.filesystem_type() == RDTGROUP_SUPER_MAGIC) {
            Some(PathBuf::from(USUAL))
        } else {
            mount_of("resctrl", &read("/proc/self/mountinfo")?)
        };
        Ok(())
    }

    /// Looks for all mounts: only for a container whose root cannot be pivoted.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn look_for_mounts(&mut self) -> Result<()> {
        let mountinfo = std::fs::read("/proc/self/mountinfo");
        let mountinfo = mountinfo.map_err(|error| {
            Error::new(ErrorKind::Host, format!("cannot read /proc/self/mountinfo: {}", error.kind()))
        })?;
        let lines = mountinfo.split(|byte| *byte == b'\n');
        let points = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
        self.mounts = points.map(|point| PathBuf::from(unescaped(point))).collect();
        Ok(())
    }

    /// Looks for a mount namespace with few mounts, for who may enter one.
    pub(crate) fn look_for_few_mounts(&mut self, missing: Missing) {
        if self.euid == 0 && self.initial_user_namespace && self.is_privileged() {
            self.few_mounts = few_mounts::find(missing);
        }
    }

    /// Reads what this host is: a handful of calls and small files, without privilege.
    ///
    /// # Errors
    /// [`ErrorKind::Host`] where /proc is missing or not procfs.
    pub fn read() -> Result<Self> {
        Self::find(Wanted::ALL)
    }

    /// As [`Self::read`], with what is wanted only.
    pub(crate) fn find(wanted: Wanted) -> Result<Self> {
        let failed = |error| Error::new(ErrorKind::Host, format!("cannot read the caller's capabilities: {error}"));
        let effective = caps::read(None, caps::CapSet::Effective).map_err(failed)?;
        let (bounding, last_capability) = bounding_set();
        let initial_user_namespace = Self::in_initial_user_namespace();
        Ok(Self {
            kernel: kernel()?,
            euid: nix::unistd::geteuid().as_raw(),
            egid: nix::unistd::getegid().as_raw(),
            effective: sum(&effective),
            bounding,
            last_capability,
            initial_user_namespace,
            // In the initial one it cannot be.
            setgroups_denied: !initial_user_namespace && read("/proc/self/setgroups")?.starts_with("deny"),
            foreign_namespaces: if initial_user_namespace { 0 } else { foreign_namespaces().0 },
            time_namespaces: wanted.time && Path::new("/proc/self/ns/time").exists(),
            lsm: if wanted.labels { LsmFacts::read() } else { LsmFacts::default() },
            resctrl: None,
            mounts: Vec::new(),
            few_mounts: None,
            cgroup: if wanted.cgroup { CgroupFacts::read()? } else { None },
        })
    }
}

/// As a bit set.
#[expect(clippy::disallowed_methods, reason = "a sum has no order")]
fn sum(set: &caps::CapsHashSet) -> u64 {
    set.iter().map(caps::Capability::bitmask).fold(0, |sum, bit| sum | bit)
}

impl CgroupFacts {
    /// The unified hierarchy: alone, or on a hybrid host beside those of version 1.
    pub(crate) fn read() -> Result<Option<Self>> {
        let Some(mount) = unified_mount() else { return Ok(None) };
        let own = read("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        let mount = mount.to_owned();
        let below = mount.join(own.trim_start_matches('/'));
        let beside = if below == mount { &mount } else { below.parent().unwrap_or(&mount) };
        let delegated = is_delegated(beside);
        let delegated_below = is_delegated(&below);
        let controllers = read(mount.join("cgroup.controllers"))?;
        let controllers = controllers.split_ascii_whitespace().map(str::to_owned).collect();
        Ok(Some(Self { own: own.to_owned(), delegated, delegated_below, controllers, mount }))
    }
}

/// Where the unified hierarchy is mounted.
pub(crate) fn unified_mount() -> Option<&'static Path> {
    let mounted = |path: &&str| statfs(*path).is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC);
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().find(mounted).map(Path::new)
}

/// Whether the caller may make a cgroup in this one and put processes from around here there. A process is born into a
/// cgroup, and moved to it, only by who may write cgroup.procs of the two cgroups' common ancestor (cgroup-v2.rst,
/// "Delegation Containment"): that is this one.
fn is_delegated(parent: &Path) -> bool {
    let may_write = |path: &Path| faccessat(AT_FDCWD, path, AccessFlags::W_OK, AtFlags::AT_EACCESS).is_ok();
    may_write(parent) && may_write(&parent.join("cgroup.procs"))
}

/// Those of the caller's namespaces that another user namespace owns.
fn foreign_namespaces() -> Spaces {
    let own = std::fs::metadata("/proc/self/ns/user").map(|own| own.ino()).ok();
    let is_foreign = |name: &str| {
        let namespace = File::open(Path::new("/proc/self/ns").join(name)).ok();
        // An owner that is neither the caller's own nor below it is not shown (EPERM).
        let owner = namespace.and_then(|namespace| owner_of_namespace(namespace.as_fd()).ok());
        owner.and_then(|owner| File::from(owner).metadata().ok()).map(|owner| owner.ino()) != own
    };
    let with_filesystems = [(Ns::Pid, "pid"), (Ns::Network, "net"), (Ns::Ipc, "ipc"), (Ns::Cgroup, "cgroup")];
    let foreign = with_filesystems.into_iter().filter(|(_, name)| is_foreign(name));
    foreign.fold(Spaces::default(), |spaces, (ns, _)| spaces.with(ns))
}

/// Where the first filesystem of a type is mounted whole (proc_pid_mountinfo(5)).
fn mount_of(fstype: &str, mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (filesystem.split(' ').next() == Some(fstype) && root == "/")
            .then(|| PathBuf::from(unescaped(point.as_bytes())))
    })
}

/// A path of mountinfo, where white space and backslashes are written as octal numbers.
pub(crate) fn unescaped(path: &[u8]) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        let number = after.get(..3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match number.filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes)
}

fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    read_small_text(path)
        .map_err(|error| Error::new(ErrorKind::Host, format!("cannot read {}: {}", path.display(), error.kind())))
}

fn kernel() -> Result<(u32, u32)> {
    let failed = |why: &str| Error::new(ErrorKind::Host, format!("cannot tell the kernel's version: {why}"));
    let name = nix::sys::utsname::uname().map_err(|errno| failed(errno.desc()))?;
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(failed(&format!("it is {release:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_type() {
        let mountinfo = "20 1 0:5 / /sys rw - sysfs sysfs rw\n\
                         21 20 0:6 /part /part rw - resctrl resctrl rw\n\
                         22 20 0:6 / /mnt/a\\040b rw,nosuid shared:7 - resctrl resctrl rw,cdp\n";
        assert_eq!(mount_of("resctrl", mountinfo), Some("/mnt/a b".into()));
        assert_eq!(mount_of("cgroup2", mountinfo), None);
    }
}
