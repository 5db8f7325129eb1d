//! The kill sweep: the runtime is stopped before each step of its plan and killed there; `delete --force` must then leave
//! the host as it was (SECURITY.md §3.1 I2, I4, I5). Needs a planc built with the feature `failpoints`.

use std::fmt::Display;
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::oracle::Snapshot;
use integration_tests::process;
use integration_tests::runtime::{Call, Running};
use integration_tests::scene::{Container, Scene};
use integration_tests::terminal::ConsoleSocket;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::pipe2;
use serde_json::json;

use crate::hooks::script;
use crate::host_mounts;
use crate::idmap::{self, MAPS_TMPFS};
use crate::planc::steps_with;
use crate::rootless;

integration_tests::tests! {
    of_the_default_bundle [Need::Failpoints],
    of_a_user_namespace [Need::Failpoints],
    of_joined_namespaces [Need::Failpoints],
    of_what_an_earlier_mount_made [Need::Failpoints, MAPS_TMPFS],
    of_the_hosts_mount_namespace [Need::Failpoints],
    of_an_exec_in_the_hosts_mount_namespace [Need::Failpoints],
    of_hooks [Need::Failpoints],
    of_a_rootless_container [Need::Failpoints],
    of_run [Need::Failpoints],
    of_run_with_a_pidfd_socket [Need::Failpoints],
    of_delete [Need::Failpoints],
    of_delete_of_a_spoilt_state [Need::Failpoints],
    of_a_terminal [Need::Failpoints],
    of_an_exec [Need::Failpoints],
    of_an_exec_in_a_user_namespace [Need::Failpoints],
}

fn of_the_default_bundle(scene: &Scene) {
    sweep(scene, &scene.bundle());
}

fn of_a_user_namespace(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/data", "bind", scene.path(""), &["rbind", "ro"]);
    sweep(scene, &bundle);
}

/// Ids that the host maps of a copy that init made.
fn of_what_an_earlier_mount_made(scene: &Scene) {
    let (outer, _inner) = idmap::source(scene);
    sweep(scene, &idmap::bundle_of_an_earlier_mount(scene, &outer, Some(100_000)));
}

fn of_the_hosts_mount_namespace(scene: &Scene) {
    sweep(scene, &host_mounts::bundle(scene));
}

fn of_an_exec_in_the_hosts_mount_namespace(scene: &Scene) {
    sweep_exec(scene, &mut host_mounts::bundle(scene));
}

fn of_joined_namespaces(scene: &Scene) {
    let sandbox = scene.container(scene.bundle().sleep());
    sandbox.run_detached();
    let pid = sandbox.pid();
    let mut bundle = scene.bundle();
    bundle.remove("/hostname");
    for (kind, name) in [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        bundle.namespace(kind, Some(&format!("/proc/{pid}/ns/{name}")));
    }
    let before = scene.snapshot();
    sweep_from(scene, &bundle, &before);
    assert!(process::runs(pid), "the neighbour lives on");
    sandbox.delete_force();
}

/// Whatever ends a container whose first hook may have been run, its poststop hook is run, once by each `delete --force`.
fn of_hooks(scene: &Scene) {
    let mut bundle = scene.bundle();
    let log = scene.path("log");
    let quiet = json!([{"path": "/bin/true"}]);
    let poststop = json!([script(&format!("echo run >> {}", log.display()))]);
    let hooks = json!({"prestart": quiet, "createRuntime": quiet, "createContainer": quiet, "startContainer": quiet,
                       "poststart": quiet, "poststop": poststop});
    bundle.set("/hooks", hooks);
    let steps = steps_with(scene, &bundle, &["--pid-file", "/pid"]);
    sweep(scene, &bundle);
    let owed = steps.iter().position(|step| step["op"] == "OwePoststop").expect("no OwePoststop");
    // Those that were killed behind that step, and the container that lives through all of it at the end.
    let wanted = steps.len() - (owed + 1) + 1;
    assert_eq!(fs::read_to_string(log).unwrap().lines().count(), wanted);
}

/// What is written there belongs to the user, and the user kills and deletes.
fn of_a_rootless_container(scene: &Scene) {
    sweep(&rootless::by_user(scene), &rootless::bundle(scene));
}

fn of_a_terminal(scene: &Scene) {
    let socket = ConsoleSocket::listen(scene.path("console.sock"));
    let mut bundle = scene.bundle();
    bundle.set("/process/terminal", true);
    sweep_with(scene, &bundle, &["--console-socket", socket.arg()], &scene.snapshot());
}

fn of_an_exec(scene: &Scene) {
    sweep_exec(scene, &mut scene.bundle());
}

fn of_an_exec_in_a_user_namespace(scene: &Scene) {
    sweep_exec(scene, scene.bundle().user_namespace(100_000));
}

/// A runtime that is killed leaves no process behind, neither before it joined the container nor in it, and the container
/// as it was. Only once it has said its last word (`CheckInit`) the process may go on: in the container, with which it ends.
fn sweep_exec(scene: &Scene, bundle: &mut Bundle) {
    let container = scene.container(bundle.sleep());
    container.run_detached();
    let (pid_file, file) = (scene.path("pid"), scene.path("process.json"));
    let limits = json!([{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 99}]);
    let process = json!({"args": ["sleep", "1000"], "cwd": "/", "env": ["PATH=/bin"], "rlimits": limits,
                         "user": {"uid": 0, "gid": 0}});
    fs::write(&file, process.to_string()).unwrap();
    let options = ["--pid-file", pid_file.to_str().unwrap(), "--process", file.to_str().unwrap()];
    let explained = scene.rt(&[&["explain", "--json"], &options[..], &[&container.id]].concat());
    let steps = explained.ok().json()["steps"].as_array().unwrap().clone();
    let before = scene.snapshot();
    let last_word = steps.iter().position(|step| step["op"] == "CheckInit").expect("no CheckInit");
    for (index, step) in steps.iter().enumerate() {
        let mut running = stop(container.exec_call(&options, &[]), index + 1);
        running.kill();
        let left = scene.differences_from(&before);
        let is_said = index > last_word;
        let may_be = |line: &String| is_said && line.starts_with("process left behind") && line.ends_with(" sleep");
        assert!(left.iter().all(may_be), "killed at step {}, {step}:\n{}", index + 1, left.join("\n"));
        assert_eq!(container.status(), "running");
    }
    container.exec(&[], &["true"]).ok();
    container.delete_force();
}

fn sweep(scene: &Scene, bundle: &Bundle) {
    sweep_from(scene, bundle, &scene.snapshot());
}

fn sweep_from(scene: &Scene, bundle: &Bundle, before: &Snapshot) {
    sweep_with(scene, bundle, &[], before);
}

/// Stops and kills at every step of the bundle's plan, always with the same id: it must be free again each time.
fn sweep_with(scene: &Scene, bundle: &Bundle, more: &[&str], before: &Snapshot) {
    let pid_file = bundle.dir().join("pid");
    let options = [&["--pid-file", pid_file.to_str().unwrap()], more].concat();
    let steps = steps_with(scene, bundle, &options);
    let of_start = steps.iter().position(|step| step["op"] == "AwaitStart").expect("no AwaitStart");
    let container = scene.container(bundle);
    let has_cgroup = steps.iter().any(|step| step["op"] == "CreateCgroup");
    let mut tried = 0;
    for (index, step) in steps.iter().enumerate() {
        let number = index + 1;
        if !has_cgroup && step["op"] == "Harden" {
            // Only here does init hang before it has bound its life to the runtime's, and only its cgroup would tell of
            // it. Left alone it ends where it would give the turn to nobody.
            tried += 1;
            continue;
        }
        if index < of_start {
            stop_and_kill(container.create_call(&options), number);
        } else {
            stop_start_and_kill(scene, &container, &options, number);
        }
        container.delete_force();
        let left = scene.differences_from(before);
        assert!(left.is_empty(), "killed at step {number}, {step}:\n{}", left.join("\n"));
        container.assert_gone();
        tried += 1;
    }
    assert_eq!(tried, steps.len(), "every step is tried");
    container.try_create(more).ok();
    container.delete();
}

/// Every step of `run`, which has no second command that could take over: what is killed behind `OutliveRuntime` leaves a
/// container that lives on.
fn of_run(scene: &Scene) {
    let pid_file = scene.path("pid");
    sweep_run(scene, &scene.bundle(), &["--pid-file", pid_file.to_str().unwrap()]);
}

fn of_run_with_a_pidfd_socket(scene: &Scene) {
    let socket = scene.path("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    sweep_run(scene, &scene.bundle(), &["--pidfd-socket", socket.to_str().unwrap()]);
}

fn sweep_run(scene: &Scene, bundle: &Bundle, options: &[&str]) {
    let steps = steps_with(scene, bundle, &[&["--run"], options].concat());
    let container = scene.container(bundle);
    let before = scene.snapshot();
    for (index, step) in steps.iter().enumerate() {
        let number = index + 1;
        // Every other time attached: it is the same walk, and another end.
        let detached: &[&str] = if number % 2 == 0 { &["--detach"] } else { &[] };
        stop_and_kill(container.run_call(&[options, detached].concat()), number);
        container.delete_force();
        let left = scene.differences_from(&before);
        assert!(left.is_empty(), "killed at step {number}, {step}:\n{}", left.join("\n"));
        container.assert_gone();
    }
    assert!(steps.iter().any(|step| step["op"] == "Execute"));
    container.run_call(options).done().ok();
}

/// What `delete` does, stage by stage; each can be the last thing that a killed one did.
const OF_DELETE: [&str; 5] = ["locked", "init-ended", "cgroup-removed", "files-removed", "record-removed"];

fn of_delete(scene: &Scene) {
    sweep_delete(scene, &OF_DELETE, |_| {});
}

fn of_delete_of_a_spoilt_state(scene: &Scene) {
    let stages = ["locked", "cgroup-removed", "files-removed", "record-removed"];
    sweep_delete(scene, &stages, |container| {
        fs::write(scene.root().join(&container.id).join("state.json"), "spoilt").unwrap();
    });
}

/// Kills a forced delete after each stage, of a container that runs; another one does the rest, and that twice.
fn sweep_delete(scene: &Scene, stages: &[&str], spoil: impl Fn(&Container<'_>)) {
    let mut bundle = scene.bundle();
    bundle.sh("sleep 1001 & sleep 1002");
    let container = scene.container(&bundle);
    let before = scene.snapshot();
    for stage in stages {
        container.run_detached();
        spoil(&container);
        stop_and_kill(scene.call(&["delete", "--force", &container.id]), stage);
        container.delete_force();
        let left = scene.differences_from(&before);
        assert!(left.is_empty(), "killed at stage {stage}:\n{}", left.join("\n"));
        container.assert_gone();
        container.delete_force();
    }
    container.create();
    container.delete();
}

/// The number stays with init: `create` ends well, and `start` is stopped.
fn stop_start_and_kill(scene: &Scene, container: &Container<'_>, options: &[&str], number: usize) {
    container.create_call(options).env("PLANC_FAILPOINT", number.to_string()).done().ok();
    stop_and_kill(scene.call(&["start", &container.id]), number);
}

/// Runs the command until it says that it has stopped at the step or stage, and kills it: it alone, not init.
#[track_caller]
pub(crate) fn stop_and_kill(call: Call, at: impl Display) {
    stop(call, at).kill();
}

/// Runs the command until it says that it has stopped at the step or stage.
#[track_caller]
pub(crate) fn stop(call: Call, at: impl Display) -> Running {
    let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
    fcntl(&write, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    // It is opened anew, by a user too.
    fchmod(&write, Mode::from_bits_truncate(0o666)).unwrap();
    let call = call.env("PLANC_FAILPOINT", at.to_string());
    let mut running = call.env("PLANC_FAILPOINT_FD", write.as_raw_fd().to_string()).spawn();
    drop(write);
    let said = until_stopped(fs::File::from(read), &mut running);
    if said != format!("stopped at {at}\n") {
        running.kill();
        panic!("it did not stop at {at}: {said:?}");
    }
    running
}

/// What the runtime says on the pipe, up to a line's end; less when it ends or says nothing in time.
fn until_stopped(mut pipe: fs::File, running: &mut Running) -> String {
    let end = Instant::now() + Duration::from_secs(20) * Lane::current().patience();
    let mut said = String::new();
    while !said.ends_with('\n') && Instant::now() < end && running.runs() {
        let timeout = PollTimeout::from(50_u8);
        let _ = poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout);
        let mut buffer = [0; 64];
        match pipe.read(&mut buffer) {
            Ok(count) => said += &String::from_utf8_lossy(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
    }
    said
}
