//! Ops without compile/: plans written by hand, performed on this kernel. They need root, and say so where they are not.

use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use super::{Launching, Program, walk};
use crate::compile::{Acts, LaunchPlan};
use crate::error::Result;
use crate::host::process::wait_for_end;
use crate::host::record::{Record, VERSION};
use crate::host::state::StateDir;
use crate::id::Id;
use crate::process::Stdio;
use crate::sys::process::try_wait;
use crate::wire::{self, HostOp, InitOp, List, Missing, Op, Place, SchedulerAttributes, Slot, Spaces, Text};

pub(super) fn plan(ops: &[Op<'_>]) -> LaunchPlan {
    let mut bytes = Vec::new();
    wire::begin(&mut bytes);
    ops.iter().for_each(|op| wire::append(&mut bytes, "/here", op));
    LaunchPlan::from_bytes(bytes).unwrap()
}

pub(super) const SPAWN: Op<'_> = Op::Host(HostOp::SpawnInit { spaces: Spaces(0), into_cgroup: false });
pub(super) const RECORD: Op<'_> = Op::Host(HostOp::RecordState {});

fn find(path: &'static CStr, text: &[Text<'static>]) -> LaunchPlan {
    plan(&[
        SPAWN,
        Op::Init(InitOp::Harden {}),
        Op::Init(InitOp::ResetSignals {}),
        Op::Init(InitOp::CloseOthers {}),
        Op::Init(InitOp::FindProgram { name: Text(path), candidates: List::new(text) }),
        RECORD,
        Op::Init(InitOp::Execute { args: List::new(text), env: List::new(&[]), home: None }),
    ])
}

pub(super) fn perform(name: &str, plan: &LaunchPlan) -> (Result<super::Launched>, std::path::PathBuf) {
    let root = std::env::temp_dir().join(format!("planc-ops-{}-{name}", std::process::id()));
    let id = Id::new(name).unwrap();
    let state = StateDir::claim(&root, &id).unwrap();
    let record = Record {
        version: VERSION,
        id: name.to_owned(),
        oci_version: "1.3.0".to_owned(),
        bundle: root.clone(),
        rootfs: root.clone(),
        ..Record::default()
    };
    let program = Program::default();
    let stdio = Stdio::default();
    let launching = Launching {
        plan,
        acts: Acts::Run,
        program: &program,
        stdio: &stdio,
        state: Some(state),
        record,
        joined: None,
        timed: true,
    };
    (walk(launching), root)
}

#[test]
fn init_becomes_the_program() {
    let (launched, root) = perform("true", &find(c"true", &[Text(c"/bin/true")]));
    let launched = launched.unwrap();
    assert!(wait_for_end(&launched.process.pidfd, Duration::from_secs(5)).unwrap());
    let status = try_wait(&launched.process.pidfd).unwrap();
    assert!(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)), "{status:?}");
    assert_eq!(launched.times.len(), 7);
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_missing_program_fails_at_its_step_and_leaves_nothing() {
    let (launched, root) = perform("missing", &find(c"nowhere", &[Text(c"/nowhere")]));
    let error = launched.err().unwrap();
    assert!(error.to_string().contains("executable file not found in $PATH"), "{error}");
    assert_eq!(error.step().map(|step| step.number), Some(5));
    assert_eq!(error.origin(), Some("/here"));
    assert!(fs::read_dir(&root).unwrap().next().is_none());
    fs::remove_dir(root).unwrap();
}

#[test]
fn a_program_that_may_not_be_executed_is_told_from_a_missing_one() {
    let path = Path::new("/tmp/planc-ops-not-executable");
    fs::write(path, "").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let name = c"/tmp/planc-ops-not-executable";
    let (launched, root) = perform("plain", &find(name, &[Text(name)]));
    let error = launched.err().unwrap();
    assert!(error.to_string().contains("permission denied"), "{error}");
    fs::remove_file(path).unwrap();
    fs::remove_dir(root).unwrap();
}

#[test]
fn an_init_that_is_killed_reports_the_step_it_was_at() {
    // Nobody connects, so init stays at the step until it is killed.
    let plan = plan(&[
        Op::Host(HostOp::ListenForStart { slot: Slot(1) }),
        SPAWN,
        Op::Init(InitOp::CloseOthers {}),
        Op::Init(InitOp::OutliveRuntime {}),
        Op::Init(InitOp::Limit { name: Text(c"RLIMIT_CPU"), resource: 0, soft: 0, hard: 0 }),
        Op::Init(InitOp::AwaitStart { listener: Slot(1) }),
        RECORD,
    ]);
    let killer = std::thread::spawn(|| {
        for _ in 0..500 {
            std::thread::sleep(Duration::from_millis(10));
            if let Some(pid) = waiting_init() {
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
                return;
            }
        }
    });
    let (launched, root) = perform("killed", &plan);
    killer.join().unwrap();
    let error = launched.err().unwrap();
    assert!(error.to_string().contains("cannot wait for start: init was killed by SIGKILL"), "{error}");
    fs::remove_dir(root).unwrap();
}

/// The child of this process that executes init and sleeps in accept.
fn waiting_init() -> Option<i32> {
    let own = std::process::id();
    procfs::process::all_processes().ok()?.flatten().find_map(|process| {
        let stat = process.stat().ok()?;
        let exe = fs::read_link(format!("/proc/{}/exe", process.pid)).ok()?;
        // By its number, not by where in the kernel it sleeps: an init that waits for a page or for its turn sleeps too.
        let call = fs::read_to_string(format!("/proc/{}/syscall", process.pid)).unwrap_or_default();
        let accepts = call.split(' ').next() == Some(libc::SYS_accept4.to_string().as_str());
        let init = exe.to_string_lossy().starts_with("/memfd:planc:init");
        (stat.ppid == own as i32 && init && stat.state == 'S' && accepts).then_some(process.pid)
    })
}

/// A tree like procfs, whose `thread-self/attr` has these files; nothing of a security module looks at them.
fn labelled(name: &str, file: &'static CStr, value: &'static CStr, expect: &'static CStr) -> Result<super::Launched> {
    let fake = std::env::temp_dir().join(format!("planc-ops-{}-{name}-proc", std::process::id()));
    let attributes = fake.join("self/task/1/attr");
    fs::create_dir_all(attributes.join("apparmor")).unwrap();
    std::os::unix::fs::symlink("self/task/1", fake.join("thread-self")).unwrap();
    for file in ["exec", "keycreate", "apparmor/exec"] {
        fs::write(attributes.join(file), "").unwrap();
    }
    std::os::unix::fs::symlink("exec", attributes.join("link")).unwrap();
    let path = std::ffi::CString::new(fake.to_str().unwrap()).unwrap();
    let (proc, text) = (Slot(1), [Text(c"/bin/true")]);
    let plan = plan(&[
        SPAWN,
        Op::Init(InitOp::CloseOthers {}),
        Op::Init(InitOp::TakeRoot {}),
        Op::Init(InitOp::OpenDirectory { place: Place { base: Slot::ROOT, skip: 0, path: Text(&path) }, slot: proc }),
        Op::Init(InitOp::WriteLabel { proc, file: Text(file), value: Text(value), expect: Text(expect) }),
        Op::Init(InitOp::FindProgram { name: text[0], candidates: List::new(&text) }),
        RECORD,
        Op::Init(InitOp::Execute { args: List::new(&text), env: List::new(&[]), home: None }),
    ]);
    let (launched, root) = perform(name, &plan);
    if launched.is_ok() {
        let written = fs::read(attributes.join(file.to_str().unwrap())).unwrap();
        assert_eq!(written, value.to_bytes());
    }
    fs::remove_dir_all(root).unwrap();
    fs::remove_dir_all(fake).unwrap();
    launched
}

#[test]
fn a_label_is_written_and_read_back() {
    for (name, file, expect) in [
        ("label", c"exec", c"u:r:t"),
        ("label-key", c"keycreate", c"u:r:t:s0"),
        ("label-own", c"apparmor/exec", c"u:r:t"),
    ] {
        let launched = labelled(name, file, c"u:r:t:s0", expect).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(wait_for_end(&launched.process.pidfd, Duration::from_secs(5)).unwrap());
        try_wait(&launched.process.pidfd);
    }
}

/// T-13: a label that was asked for and is not there is fatal.
#[test]
fn a_label_that_is_not_taken_is_fatal() {
    for (name, file, value, expect, why) in [
        ("label-other", c"exec", c"u:r:t:s0", c"u:r:other", "what is read back is another label"),
        ("label-longer", c"exec", c"u:r:tt:s0", c"u:r:t", "what is read back is another label"),
        ("label-shorter", c"exec", c"u:r", c"u:r:t", "what is read back is another label"),
        ("label-profile", c"apparmor/exec", c"exec a", c"a", "profile: write `/proc/thread-self/attr/apparmor/exec`: "),
        ("label-left", c"keycreate", c"x", c"", "what is read back is another label"),
        ("label-missing", c"nosuch", c"exec a", c"exec a", "attr/nosuch`: does not exist (ENOENT)"),
        ("label-link", c"link", c"x", c"x", "symbolic link"),
        ("label-out", c"../exec/../../x", c"x", c"x", "selinux label is not taken"),
    ] {
        let error = labelled(name, file, value, expect).err().unwrap_or_else(|| panic!("{name} was taken"));
        assert!(error.to_string().contains(why), "{name}: {error}");
        assert_eq!(error.step().map(|step| step.number), Some(5), "{name}: {error}");
    }
}

#[test]
fn deadlines_on_some_cpus_are_named() {
    let attributes =
        SchedulerAttributes { policy: 6, flags: 0, nice: 0, priority: 0, runtime: 1, deadline: 1, period: 1 };
    let set = Op::Init(InitOp::SetScheduler { attributes });
    let cpus = HostOp::SetCgroup { file: Text(c"cpuset.cpus"), value: b"0", missing: Missing::Fail };
    for (plan, is_confined) in [(plan(&[SPAWN, set]), false), (plan(&[Op::Host(cpus), SPAWN, set]), true)] {
        let step = plan.steps().last().unwrap();
        let told = super::failure::refused(&plan, &step, Errno::EPERM).to_string();
        let words = "process scheduler can't be used together with AllowedCPUs";
        assert_eq!(told.contains(words), is_confined, "{told}");
    }
}
