//! What went wrong, in words: the step's sentence, the errno or the signal, and what the kernel itself said.

use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

use super::hooks;
use crate::compile::{LaunchPlan, Step, seccomp};
use crate::error::{Error, ErrorKind, FailedStep};
use crate::host::cgroup::not_filtered;
use crate::watch::Shortage;
use crate::wire::page::Recorder;
use crate::wire::{HostOp, InitOp, Op, Slot, Text, Tree};

/// The error of a step that the kernel refused.
pub(super) fn refused(plan: &LaunchPlan, step: &Step<'_>, errno: Errno) -> Error {
    let error = failed(plan, step, &words(step, errno));
    match &step.op {
        Op::Init(InitOp::Execute { .. }) => error.of_kind(ErrorKind::Program),
        Op::Init(InitOp::SetScheduler { .. }) if errno == Errno::EPERM && is_confined_to_cpus(plan) => {
            error.with_note(Some("process scheduler can't be used together with AllowedCPUs".to_owned()))
        }
        _ => error,
    }
}

/// Whether the plan leaves the container only some CPUs: SCHED_DEADLINE takes all of them (sched_setattr(2), EPERM).
fn is_confined_to_cpus(plan: &LaunchPlan) -> bool {
    plan.steps()
        .any(|step| matches!(step.op, Op::Host(HostOp::SetCgroup { file, .. }) if file.bytes() == b"cpuset.cpus"))
}

/// The error of a step, with a reason in words.
pub(super) fn failed(plan: &LaunchPlan, step: &Step<'_>, why: &str) -> Error {
    at(plan, step, in_known_words(plan, &step.op, why).unwrap_or_else(|| format!("cannot {}: {why}", step.sentence())))
}

/// What users of engines know a failure by, which are runc's words (FEATURES.md table 3.b).
fn in_known_words(plan: &LaunchPlan, op: &Op<'_>, why: &str) -> Option<String> {
    let (source, target) = match op {
        Op::Init(InitOp::Mount { fstype, source, target, .. }) => (source.unwrap_or(*fstype), target),
        Op::Init(InitOp::Bind { tree, target, .. }) => (tree.path(), target),
        Op::Init(InitOp::CopyTree { slot, .. }) => return in_known_words(plan, &user_of(plan, *slot)?, why),
        Op::Init(InitOp::StageTree { number, .. }) => {
            let uses = |op: &Op<'_>| matches!(op, Op::Init(InitOp::Bind { tree: Tree::Staged(other, _), .. }) if other == number);
            return in_known_words(plan, &plan.steps().map(|step| step.op).find(uses)?, why);
        }
        // It has the program's name in it already.
        Op::Init(InitOp::Execute { .. }) => return Some(why.to_owned()),
        Op::Host(HostOp::ConnectSeccompAgent { path, .. }) => {
            let path = path.bytes().escape_ascii();
            return Some(format!("failed to connect with seccomp agent {path}: {why}"));
        }
        _ => return None,
    };
    let what = format!("error mounting {source} to rootfs at {target}");
    Some(format!("unable to start container process: error during container init: {what}: {why}"))
}

/// The mount that a copy was made for.
fn user_of(plan: &LaunchPlan, slot: Slot) -> Option<Op<'_>> {
    let mut staged = None;
    plan.steps().map(|step| step.op).find(|op| match op {
        Op::Init(InitOp::StageTree { number, tree: Tree::Held(held, _), .. }) if *held == slot => {
            staged = Some(*number);
            false
        }
        Op::Init(InitOp::Bind { tree: Tree::Held(held, _), .. }) => *held == slot,
        Op::Init(InitOp::Bind { tree: Tree::Staged(number, _), .. }) => staged == Some(*number),
        _ => false,
    })
}

/// The error of a step, in words of its own.
pub(super) fn at(plan: &LaunchPlan, step: &Step<'_>, message: String) -> Error {
    let place = FailedStep { number: step.number, of: plan.len() as u32, actor: step.actor() };
    Error::new(ErrorKind::Step, message).with_step(place).with_origin(step.origin)
}

/// How init, or a process that joins, ended.
pub(super) enum End {
    /// The kernel killed it for want of memory: in these words.
    OutOfMemory(String),
    /// As its parent was told.
    Seen(WaitStatus),
    /// Nobody knows.
    Unseen,
}

/// What the kernel refuses, since nobody can be killed for it.
pub(super) const NO_MEMORY: &str = "Out of memory (memory limit too low?)";

/// What the kernel killed, in words that engines look for, and why.
pub(super) fn out_of_memory(who: &str, shortage: &Shortage) -> String {
    format!("{who} was OOM-killed (memory limit too low?); {shortage}")
}

/// The error of an init that ended: what the recorder says of its last step, and how it ended.
pub(super) fn init_ended(plan: &LaunchPlan, recorder: &Recorder, end: End) -> Error {
    let number = recorder.index().map_or(0, |index| index + 1);
    let Some(step) = plan.steps().find(|step| step.number == number) else {
        return Error::new(ErrorKind::Step, format!("init ended before its first step: {}", how(end)));
    };
    let errno = recorder.errno.load(Ordering::Acquire) as i32;
    if errno == 0 {
        return failed(plan, &step, &how(end));
    }
    if let Op::Init(InitOp::RunHookInside { hook }) = &step.op {
        return hooks::failed_inside(plan, &step, hook, Errno::from_raw(errno), recorder);
    }
    let bytes: Vec<u8> = recorder.read_note().collect();
    let note = String::from_utf8_lossy(&bytes).trim().to_owned();
    let error = match (Errno::from_raw(errno), recorder.missing.load(Ordering::Relaxed).checked_sub(1)) {
        (Errno::ENOSYS, Some(number)) => failed(plan, &step, &not_implemented(seccomp::name_of(number))),
        (errno, _) => refused(plan, &step, errno),
    };
    let error = error.with_note((!note.is_empty()).then_some(note));
    match recorder.option.load(Ordering::Acquire).checked_sub(1) {
        Some(option) if !step.origin.is_empty() => error.with_origin(format!("{}/options/{option}", step.origin)),
        _ => error,
    }
}

/// How init ended, where it could not say so itself.
fn how(end: End) -> String {
    match end {
        End::OutOfMemory(words) => words,
        End::Seen(WaitStatus::Signaled(_, signal, _)) => format!("init was killed by {}", name(signal)),
        End::Seen(WaitStatus::Exited(_, code)) => format!("init exited with {code}"),
        _ => "init ended".to_owned(),
    }
}

fn name(signal: Signal) -> &'static str {
    signal.as_str()
}

/// The reason in words. Engines map some of these texts to exit codes 126 and 127 (FEATURES.md table 3.b), so those are
/// kept for the program, and for nothing else.
fn words(step: &Step<'_>, errno: Errno) -> String {
    if let Some(words) = mounts(&step.op, errno) {
        return words;
    }
    match &step.op {
        Op::Host(HostOp::MapCopy { .. }) if errno == Errno::EPERM => MAPPED.to_owned(),
        Op::Host(HostOp::MapCopy { .. }) if errno == Errno::EOPNOTSUPP => unmapped(),
        Op::Init(InitOp::FindProgram { name, .. }) => {
            let program = name.bytes().escape_ascii();
            let has_slash = name.bytes().contains(&b'/');
            match errno {
                Errno::ENOENT if !has_slash => format!("exec: \"{program}\": executable file not found in $PATH"),
                Errno::ENOENT => format!("exec: \"{program}\": stat {program}: no such file or directory"),
                // As execve(2) has it. Docker 20.10 and Podman know no other words for the exit code 126.
                Errno::EISDIR => format!("exec: \"{program}\": is a directory: permission denied"),
                errno => format!("exec: \"{program}\": {}", lower(errno)),
            }
        }
        Op::Init(InitOp::Execute { args, .. }) => {
            let program = args.iter().next().map(|first| first.bytes().escape_ascii().to_string()).unwrap_or_default();
            format!("exec {program}: {}", lower(errno))
        }
        Op::Init(InitOp::WriteLabel { file, value, .. }) => unlabelled(*file, *value, errno),
        Op::Init(InitOp::VerifyDirectory { .. }) if errno == Errno::ENOENT => {
            "current working directory is outside of container mount namespace root -- possible container breakout \
             detected"
                .to_owned()
        }
        Op::Init(InitOp::TakeNull { .. }) if errno == Errno::EINVAL => "it is not the null device".to_owned(),
        Op::Init(InitOp::BindDevice { .. }) if errno == Errno::EINVAL => "the host's is another device".to_owned(),
        Op::Init(InitOp::OpenTerminal { .. }) if errno == Errno::ENXIO => "no devpts is there (ENXIO)".to_owned(),
        Op::Init(InitOp::OpenTerminal { .. }) if errno == Errno::ENOSPC => {
            "there are no more (its max, or kernel.pty.max)".to_owned()
        }
        Op::Init(InitOp::InstallSeccomp {}) => uninstalled(errno),
        Op::Host(HostOp::SendTerminal { .. } | HostOp::ConnectSeccompAgent { .. }) => unsent(errno),
        Op::Host(HostOp::CheckRootfs { .. }) if errno == Errno::ENOTDIR => "it is no directory".to_owned(),
        // Nobody takes the name of a cgroup for that of a program.
        Op::Host(HostOp::OpenCgroup { below: Some(_), .. }) if errno == Errno::ENOENT => lower(errno),
        Op::Host(HostOp::FilterDevices { .. }) => not_filtered(errno),
        // What the kernel needs for it is charged to the cgroup above; nobody is killed for it.
        Op::Host(HostOp::CreateCgroup { .. }) if errno == Errno::ENOMEM => NO_MEMORY.to_owned(),
        Op::Host(HostOp::SpawnInit { into_cgroup: true, .. }) if errno == Errno::EACCES => {
            "Permission denied: the caller may not write cgroup.procs of the cgroup in which both it and the container's lie"
                .to_owned()
        }
        Op::Host(HostOp::LimitInit { .. }) | Op::Init(InitOp::Limit { .. }) if errno == Errno::EPERM => {
            "Operation not permitted: above the caller's own hard limit only CAP_SYS_RESOURCE goes".to_owned()
        }
        Op::Init(InitOp::SetUser { groups: Some(_), .. }) if errno == Errno::EPERM => {
            "Operation not permitted: does the user namespace deny setgroups(2)?".to_owned()
        }
        Op::Host(HostOp::SpawnInit { .. } | HostOp::MakeUserNamespace { .. }) if errno == Errno::ENOSYS => {
            not_implemented(Some("clone3"))
        }
        _ => any(errno),
    }
}

/// What needs no step to be said.
fn any(errno: Errno) -> String {
    match errno {
        Errno::ENOENT => "does not exist (ENOENT)".to_owned(),
        Errno::ETIMEDOUT => "it took too long".to_owned(),
        Errno::ENOSYS => not_implemented(None),
        errno => errno.desc().to_owned(),
    }
}

/// Why something could not be mounted, where the error number alone would not tell.
fn mounts(op: &Op<'_>, errno: Errno) -> Option<String> {
    let Op::Init(op) = op else { return None };
    let words = match (op, errno) {
        (InitOp::Mount { .. }, Errno::ELOOP) => "must be mounted on ordinary directory",
        (InitOp::Mount { .. }, Errno::ENODEV) => "unknown filesystem type (ENODEV)",
        (InitOp::Mount { .. } | InitOp::Bind { .. }, Errno::EXDEV) => {
            "it leads into a procfs, which is the kernel's (CVE-2019-16884)"
        }
        (InitOp::CopyUp { .. }, Errno::ENAMETOOLONG) => "it is too deep",
        (InitOp::Remount { .. }, Errno::EINVAL) => {
            "Invalid argument: nothing is mounted there, or its filesystem cannot be changed so"
        }
        (
            InitOp::Remount { attributes, recursive_attributes, .. }
            | InitOp::StageTree { attributes, recursive_attributes, .. }
            | InitOp::Bind { attributes, recursive_attributes, .. },
            Errno::EPERM,
        ) if attributes.clear | recursive_attributes.clear != 0 => {
            "operation not permitted: the host's mount has a flag that is locked, only who mounted it may clear it \
             (mount_namespaces(7))"
        }
        (InitOp::Bind { recursive: false, .. }, Errno::EINVAL) => {
            "Invalid argument: where mounts below it are locked they have to come along, with rbind \
             (mount_namespaces(7))"
        }
        (InitOp::CopyTree { ids: Some(_), .. }, Errno::EPERM) => MAPPED,
        (InitOp::CopyTree { ids: Some(_), .. }, Errno::EOPNOTSUPP) => return Some(unmapped()),
        _ => return None,
    };
    Some(words.to_owned())
}

const MAPPED: &str = "Operation not permitted: it is idmapped already, or mounted by another user namespace than the \
                      caller's (mount_setattr(2))";

/// Why the ids of a mount cannot be mapped.
fn unmapped() -> String {
    format!(
        "{} cannot map the ids of this filesystem, or of one mounted in it (mount_setattr(2): ext4, xfs, fat since Linux \
         5.12, btrfs 5.15, overlay 5.19, tmpfs 6.3)",
        kernel()
    )
}

/// What the kernel has not, with the call's name where it is known.
fn not_implemented(call: Option<&str>) -> String {
    let what = call.map_or_else(|| "what this takes".to_owned(), |call| format!("{call}(2)"));
    format!("{} has not {what}, or a seccomp filter around the runtime denies it (ENOSYS)", kernel())
}

/// Why nothing could be sent to a socket.
fn unsent(errno: Errno) -> String {
    match errno {
        Errno::ENOTSOCK => "it is no socket".to_owned(),
        Errno::ECONNREFUSED => "nobody listens there".to_owned(),
        Errno::EPROTOTYPE => "it is no stream socket".to_owned(),
        errno => any(errno),
    }
}

/// The kernel by its name and version.
fn kernel() -> String {
    nix::sys::utsname::uname().map_or_else(
        |_| "the kernel".to_owned(),
        |name| format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy()),
    )
}

/// Why a process has not the label it was to have. Engines look for AppArmor's words, and podman for the file between
/// back-quotes (FEATURES.md table 3).
fn unlabelled(file: Text<'_>, value: Text<'_>, errno: Errno) -> String {
    let why = match errno {
        Errno::EPROTO => "what is read back is another label".to_owned(),
        Errno::ENOENT => any(errno),
        errno => lower(errno),
    };
    let is_profile = value.bytes().starts_with(b"exec ");
    let what = if is_profile { "apparmor failed to apply profile" } else { "selinux label is not taken" };
    format!("{what}: write `/proc/thread-self/attr/{}`: {why}", file.bytes().escape_ascii())
}

/// Why a seccomp filter could not be installed, or its listener not be sent.
fn uninstalled(errno: Errno) -> String {
    match errno {
        Errno::EACCES | Errno::EPERM => {
            format!("{}: without noNewPrivileges it takes CAP_SYS_ADMIN (seccomp(2))", errno.desc())
        }
        Errno::EPIPE | Errno::ECONNRESET => "the seccomp agent is gone".to_owned(),
        Errno::EAGAIN => "the seccomp agent does not read what it is sent".to_owned(),
        Errno::EBUSY => "another filter of the process has a listener already (seccomp(2))".to_owned(),
        errno => errno.desc().to_owned(),
    }
}

/// As Go and so runc writes it: engines compare with small letters.
fn lower(errno: Errno) -> String {
    errno.desc().to_lowercase()
}
