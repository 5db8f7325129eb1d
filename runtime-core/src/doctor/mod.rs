//! What this host offers to containers: each thing asked for by using it, without a trace; and what each lack costs.

mod ids;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::wait::WaitStatus;
use procfs::process::MountInfo;
use serde::{Deserialize, Serialize};

use crate::engine::Program;
use crate::error::Result;
use crate::facts::Facts;
use crate::host::child;
use crate::host::criu::reason;
use crate::sys::{bpf, clone, probe, process};
use crate::wire::Ns;

pub use ids::{MapProgram, Privileges, SubordinateIds};
pub use report::{Line, Report, State};

/// What a question to the kernel gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// It is there, and was used.
    Yes,
    /// It is not; the kernel's word for it.
    No(String),
    /// Only a caller with more privileges can tell.
    Hidden,
}

impl Answer {
    /// `privileged`: whether EPERM is a refusal, and not only for want of CAP_SYS_ADMIN.
    fn of(result: nix::Result<()>, privileged: bool) -> Self {
        match result {
            Ok(()) => Self::Yes,
            Err(Errno::EPERM) if !privileged => Self::Hidden,
            Err(errno) => Self::No(errno.desc().to_owned()),
        }
    }

    /// Whether it is known not to be there.
    pub fn is_no(&self) -> bool {
        matches!(self, Self::No(_))
    }
}

/// What planc uses of the kernel, and asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Feature {
    /// openat2(2)
    Openat2,
    /// close_range(2)
    CloseRange,
    /// clone3(2) with CLONE_INTO_CGROUP
    CloneIntoCgroup,
    /// pidfd_open(2) and pidfd_send_signal(2)
    PidfdSignal,
    /// waitid(2) with P_PIDFD
    PidfdWait,
    /// open_tree(2)
    OpenTree,
    /// fsopen(2)
    Fsopen,
    /// mount_setattr(2)
    MountSetattr,
    /// mount_setattr(2) with MOUNT_ATTR_IDMAP
    MountIdmap,
    /// The file cgroup.kill
    CgroupKill,
    /// Time namespaces
    TimeNamespaces,
    /// execveat(2) of a sealed memfd, in a child of clone3(2)
    ExecuteMemfd,
    /// A program of type BPF_PROG_TYPE_CGROUP_DEVICE
    DeviceFilter,
    /// A new user namespace
    UserNamespace,
}

/// How the host has its cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Layout {
    /// Version 2 alone.
    Unified,
    /// Version 2, beside hierarchies of version 1.
    Hybrid,
    /// Version 1 alone.
    Legacy,
    /// None is mounted.
    Missing,
}

/// The cgroups of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cgroups {
    /// How the host has them.
    pub layout: Layout,
    /// The controllers that hierarchies of version 1 hold.
    pub legacy_controllers: Vec<String>,
    /// The controllers that a container's cgroup of this caller's could have.
    pub controllers: Vec<String>,
}

/// The program that checkpoint and restore are left to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CriuProgram {
    /// Where it is.
    pub path: PathBuf,
    /// What `criu --version` says, its first line.
    pub version: String,
    /// What `criu check` says is wrong with this kernel: its own first error. `None` also where the caller is not root, whom
    /// it tells nothing.
    pub error: Option<String>,
}

/// What was found on this host. Plain data, for which [`Report::of`] has words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Findings {
    /// What plans are made from.
    pub facts: Facts,
    /// The kernel's release, `uname -r`.
    pub release: String,
    /// What was asked of the kernel.
    pub features: BTreeMap<Feature, Answer>,
    /// The host's cgroups.
    pub cgroups: Cgroups,
    /// `user.max_user_namespaces`, where it can be read.
    pub max_user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, which some distributions have.
    pub unprivileged_userns_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, which some distributions have.
    pub apparmor_restricts_userns: Option<u64>,
    /// `vm.memfd_noexec`; 2 forbids to execute a memfd.
    pub memfd_noexec: Option<u64>,
    /// Whether the caller can gain no privileges by execve(2) (PR_SET_NO_NEW_PRIVS).
    pub no_new_privs: bool,
    /// What is mounted over something in /proc, and so keeps a user namespace from mounting a procfs of its own.
    pub covered_proc: Vec<PathBuf>,
    /// The ids that the caller may map beside its own.
    pub subordinate_ids: SubordinateIds,
    /// The Linux security modules; `None` where securityfs is not mounted.
    pub lsms: Option<Vec<String>>,
    /// Whether the kernel and the machine have resctrl, mounted or not.
    pub resctrl: bool,
    /// Whether SELinux, where it is enabled, denies what its policy does not allow.
    pub selinux_enforces: Option<bool>,
    /// What a seccomp filter may do; `None` where the kernel has no filters.
    pub seccomp_actions: Option<Vec<String>>,
    /// The program criu; `None` where there is none.
    pub criu: Option<CriuProgram>,
    /// The bus that the caller's systemd listens at.
    pub systemd_bus: Option<PathBuf>,
}

impl Findings {
    /// Asks this host. Nothing is changed, no privilege is needed, and no question takes longer than seconds.
    ///
    /// # Errors
    /// As [`Facts::read`].
    pub fn read() -> Result<Self> {
        let mut facts = Facts::read()?;
        facts.look_for_resctrl()?;
        let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Ok(Self {
            release: release.unwrap_or_default(),
            features: features(&facts),
            cgroups: Cgroups::read(&facts),
            max_user_namespaces: sysctl("user/max_user_namespaces"),
            unprivileged_userns_clone: sysctl("kernel/unprivileged_userns_clone"),
            apparmor_restricts_userns: sysctl("kernel/apparmor_restrict_unprivileged_userns"),
            memfd_noexec: sysctl("vm/memfd_noexec"),
            no_new_privs: status
                .lines()
                .any(|line| line.strip_prefix("NoNewPrivs:").is_some_and(|on| on.trim() == "1")),
            covered_proc: covered_proc(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()),
            subordinate_ids: SubordinateIds::read(facts.euid),
            lsms: words("/sys/kernel/security/lsm", ','),
            resctrl: facts.resctrl.is_some() || Path::new("/sys/fs/resctrl").is_dir(),
            selinux_enforces: std::fs::read("/sys/fs/selinux/enforce").ok().map(|mode| mode.starts_with(b"1")),
            seccomp_actions: words("/proc/sys/kernel/seccomp/actions_avail", ' '),
            criu: criu(facts.is_privileged()),
            systemd_bus: systemd_bus(facts.euid),
            facts,
        })
    }
}

/// Asks the kernel for each feature.
fn features(facts: &Facts) -> BTreeMap<Feature, Answer> {
    let privileged = facts.is_privileged();
    let init = Program::default();
    let own_pidfd = || process::pidfd_open(std::process::id());
    let answers = [
        (Feature::Openat2, open_below_root()),
        (Feature::CloseRange, probe::close_range()),
        (Feature::CloneIntoCgroup, probe::clone_into_cgroup()),
        (
            Feature::PidfdSignal,
            own_pidfd().and_then(|own| process::pidfd_send_signal(std::os::fd::AsFd::as_fd(&own), 0)),
        ),
        (Feature::PidfdWait, probe::wait_by_pidfd()),
        (Feature::OpenTree, probe::open_tree()),
        (Feature::Fsopen, probe::fsopen()),
        (Feature::MountSetattr, probe::mount_setattr()),
        (Feature::MountIdmap, probe::mount_idmap()),
        (Feature::TimeNamespaces, if facts.time_namespaces { Ok(()) } else { Err(Errno::ENOENT) }),
        (Feature::DeviceFilter, load_device_filter()),
    ];
    let of_process = [
        (Feature::ExecuteMemfd, execute(&init, 0)),
        (Feature::UserNamespace, execute(&init, Ns::User.flag())),
        (Feature::CgroupKill, cgroup_kill(facts)),
    ];
    let answers = answers.into_iter().map(|(feature, result)| (feature, Answer::of(result, privileged)));
    // These ask for no privilege: EPERM is what they are answered.
    answers.chain(of_process.into_iter().map(|(feature, result)| (feature, Answer::of(result, true)))).collect()
}

fn open_below_root() -> nix::Result<()> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    openat2(AT_FDCWD, "/", how).map(drop)
}

/// A program that allows nothing, loaded and attached to nothing.
fn load_device_filter() -> nix::Result<()> {
    // mov r0, 0; exit (Documentation/bpf/standardization/instruction-set.rst)
    const DENY: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    bpf::load_cgroup_device(&DENY, c"planc_doctor").map(drop)
}

/// Executes init, which ends at once for want of a plan, in a child with these new namespaces (CLONE_NEW*).
fn execute(init: &Program, flags: u32) -> nix::Result<()> {
    /// A descriptor that nobody has.
    const NONE: &std::ffi::CStr = c"2147483647";
    let program = init.get()?;
    let old = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let born = clone::spawn(flags.into(), None, program.as_raw_fd(), &[c"planc-init", NONE], &[]);
    old.thread_set_mask()?;
    process::reap(&born?.1);
    Ok(())
}

/// Every cgroup but the root of the hierarchy has the file, the caller's too; at the root one of those below tells.
fn cgroup_kill(facts: &Facts) -> nix::Result<()> {
    let cgroup = facts.cgroup.as_ref().ok_or(Errno::ENOENT)?;
    let own = cgroup.mount.join(cgroup.own.trim_start_matches('/'));
    let below = std::fs::read_dir(&own).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let found = [own.clone()].into_iter().chain(below).find(|path| path.join("cgroup.kill").exists());
    match found {
        Some(_) => Ok(()),
        // There is no other to look at.
        None if facts.kernel >= crate::compile::OLDEST_KERNEL && own == cgroup.mount => Ok(()),
        None => Err(Errno::ENOENT),
    }
}

impl Cgroups {
    fn read(facts: &Facts) -> Self {
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let names = text.lines().filter_map(|line| line.split(':').nth(1));
        let legacy = names.flat_map(|names| names.split(',')).filter(|name| !name.is_empty() && !name.contains('='));
        let mut legacy_controllers: Vec<_> = legacy.map(str::to_owned).collect();
        legacy_controllers.sort_unstable();
        let layout = match (&facts.cgroup, legacy_controllers.is_empty()) {
            (Some(_), true) => Layout::Unified,
            (Some(_), false) => Layout::Hybrid,
            (None, false) => Layout::Legacy,
            (None, true) => Layout::Missing,
        };
        let controllers = facts.cgroup.as_ref().and_then(|cgroup| {
            let own = cgroup.mount.join(cgroup.own.trim_start_matches('/'));
            let beside = if own == cgroup.mount { own.as_path() } else { own.parent()? };
            let parent = if cgroup.delegated || !cgroup.delegated_below { beside } else { &own };
            words(parent.join("cgroup.controllers"), ' ')
        });
        Self { layout, legacy_controllers, controllers: controllers.unwrap_or_default() }
    }
}

/// A kernel parameter that is a number.
fn sysctl(name: &str) -> Option<u64> {
    std::fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?.trim().parse().ok()
}

/// The words of a file.
fn words(path: impl AsRef<Path>, separator: char) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().split(separator).filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

/// Mounts below /proc, but on what is always an empty directory: the kernel takes them for a secret
/// (mount_namespaces(7): a new procfs may not reveal more than the one that is there).
fn covered_proc(mountinfo: &str) -> Vec<PathBuf> {
    const EMPTY: &str = "/proc/sys/fs/binfmt_misc";
    let points = mountinfo.lines().filter_map(|line| Some(MountInfo::from_line(line).ok()?.mount_point));
    points
        .filter(|point| {
            point.starts_with("/proc") && ![Path::new("/proc"), Path::new(EMPTY)].contains(&point.as_path())
        })
        .collect()
}

/// What criu says of itself, and where it is told to whoever asks, of this kernel.
fn criu(privileged: bool) -> Option<CriuProgram> {
    const LIMIT: Duration = Duration::from_secs(5);
    let (name, path) = program("criu")?;
    let ask = |question: &std::ffi::CStr| child::run(&name, &[c"criu", question], &[], LIMIT);
    let said = ask(c"--version").map(|ended| String::from_utf8_lossy(&ended.said).into_owned()).unwrap_or_default();
    let version = said.lines().next().unwrap_or_default().to_owned();
    let checked = || match ask(c"check") {
        Ok(ended) if matches!(ended.status, Some(WaitStatus::Exited(_, 0))) => None,
        Ok(ended) => Some(reason(&*ended.said).unwrap_or_else(|| "criu check fails without a word".to_owned())),
        Err(errno) => Some(format!("criu check: {}", errno.desc())),
    };
    Some(CriuProgram { error: if privileged { checked() } else { None }, path, version })
}

/// The socket of the bus at which systemd would be asked for a scope, where somebody listens there.
fn systemd_bus(euid: u32) -> Option<PathBuf> {
    // sd_booted(3)
    if !Path::new("/run/systemd/system").is_dir() {
        return None;
    }
    let of_user = || PathBuf::from(format!("/run/user/{euid}/bus"));
    let path = if euid == 0 { PathBuf::from("/run/dbus/system_bus_socket") } else { of_user() };
    UnixStream::connect(&path).is_ok().then_some(path)
}

/// A program of the system with its path, as the kernel takes it.
fn program(name: &str) -> Option<(CString, PathBuf)> {
    use std::os::unix::ffi::OsStrExt;
    let path = child::find(name)?;
    let shown = PathBuf::from(std::ffi::OsStr::from_bytes(path.to_bytes()));
    Some((path, shown))
}
