//! The kill sweep: the runtime is stopped before each step of its plan and killed there; `delete --force` must then leave
//! the host as it was (SECURITY.md §3.1 I2, I4, I5). Needs a planc built with the feature `failpoints`.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::oracle::Snapshot;
use integration_tests::process;
use integration_tests::runtime::{Call, Running};
use integration_tests::scene::{Container, Scene};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::pipe2;

use crate::planc::steps_with;
use crate::rootless;

integration_tests::tests! {
    of_the_default_bundle [Need::Failpoints],
    of_a_user_namespace [Need::Failpoints],
    of_joined_namespaces [Need::Failpoints],
    of_a_rootless_container [Need::Failpoints],
}

fn of_the_default_bundle(scene: &Scene) {
    sweep(scene, &scene.bundle());
}

fn of_a_user_namespace(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/data", "bind", scene.path(""), &["rbind", "ro"]);
    sweep(scene, &bundle);
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

/// What is written there belongs to the user, and the user kills and deletes.
fn of_a_rootless_container(scene: &Scene) {
    sweep(&rootless::by_user(scene), &rootless::bundle(scene));
}

fn sweep(scene: &Scene, bundle: &Bundle) {
    sweep_from(scene, bundle, &scene.snapshot());
}

/// Stops and kills at every step of the bundle's plan, always with the same id: it must be free again each time.
fn sweep_from(scene: &Scene, bundle: &Bundle, before: &Snapshot) {
    let pid_file = bundle.dir().join("pid");
    let options = ["--pid-file", pid_file.to_str().unwrap()];
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
    container.create();
    container.delete();
}

/// The number stays with init: `create` ends well, and `start` is stopped.
fn stop_start_and_kill(scene: &Scene, container: &Container<'_>, options: &[&str], number: usize) {
    container.create_call(options).env("PLANC_FAILPOINT", number.to_string()).done().ok();
    stop_and_kill(scene.call(&["start", &container.id]), number);
}

/// Runs the command until it says that it has stopped at the step, and kills it: it alone, not init.
#[track_caller]
fn stop_and_kill(call: Call, number: usize) {
    let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
    fcntl(&write, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    // It is opened anew, by a user too.
    fchmod(&write, Mode::from_bits_truncate(0o666)).unwrap();
    let call = call.env("PLANC_FAILPOINT", number.to_string());
    let mut running = call.env("PLANC_FAILPOINT_FD", write.as_raw_fd().to_string()).spawn();
    drop(write);
    let said = until_stopped(std::fs::File::from(read), &mut running);
    running.kill();
    assert_eq!(said, format!("stopped at step {number}\n"), "it did not stop at step {number}");
}

/// What the runtime says on the pipe, up to a line's end; less when it ends or says nothing in time.
fn until_stopped(mut pipe: std::fs::File, running: &mut Running) -> String {
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
