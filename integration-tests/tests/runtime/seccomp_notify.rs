//! SCMP_ACT_NOTIFY (runtime-spec config-linux.md#seccomp, #containerprocessstate): an agent that answers for the kernel.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::seccomp::{compile, probing};

/// A compiler for the agent: ioctl(2) is not for shells.
const CC: Need = Need::Works("cc --version && test $(uname -m) = x86_64");

integration_tests::tests! {
    an_agent_answers[CC],
    // runc refuses to notify on write, which it makes itself.
    an_agent_answers_write_and_sendmsg[CC, Need::Planc],
    each_process_has_a_listener_of_its_own[CC],
    without_an_agent_nothing_is_created[CC],
    // runc sends the listener at create.
    an_agent_that_is_gone_fails_start[CC, Need::Planc],
    a_listener_that_is_closed_makes_calls_unknown[CC],
    a_listener_path_without_notify_is_ignored,
}

/// A running agent.
struct Agent {
    child: Child,
    socket: PathBuf,
    output: PathBuf,
}

impl Agent {
    fn start(scene: &Scene, mode: &str) -> Self {
        let program = compile(scene, include_str!("seccomp/agent.c"), &[], scene.path("agent"));
        let (socket, output) = (scene.path("agent.sock"), scene.path("states"));
        let mut command = Command::new(program);
        let child = command.arg(&socket).arg(&output).arg(mode).stdin(Stdio::null()).process_group(0).spawn().unwrap();
        scene.wait_until("the agent listens", || socket.exists());
        Self { child, socket, output }
    }

    /// What it was sent, each on a connection that ended with it.
    fn states(&self, scene: &Scene) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.output).unwrap_or_default();
        let state = |line: &str| {
            let (ended, state) = line.split_once(' ').unwrap();
            // runc 1.1 leaves it open until it ends itself, against the specification's MUST.
            assert!(ended == "1" || scene.runtime.kind != Kind::Planc, "the connection was not closed: {line}");
            serde_json::from_str(state).unwrap()
        };
        text.lines().map(state).collect()
    }

    /// Notifies of these calls.
    fn profile(&self, names: &[&str]) -> Value {
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": self.socket, "listenerMetadata": "about \"it\"",
            "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}]})
    }

    /// Ends it, with its processes that wait for a state.
    fn stop(&mut self, scene: &Scene) {
        let group = Pid::from_raw(self.child.id() as i32);
        killpg(group, Signal::SIGKILL).unwrap();
        self.child.wait().unwrap();
        scene.wait_until("the agent's processes have ended", || killpg(group, None) == Err(Errno::ESRCH));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const EXDEV: &str = "-18\n";

fn making(scene: &Scene, profile: Value) -> Bundle {
    let mut bundle = probing(scene, profile);
    bundle.args(&["/probe", "x86_64", "83", "/d", "0755"]);
    bundle
}

fn an_agent_answers(scene: &Scene) {
    let agent = Agent::start(scene, "answer");
    for (no_new_privileges, uid) in [(true, 0), (false, 0), (true, 1000), (false, 1000)] {
        let mut bundle = making(scene, agent.profile(&["mkdir"]));
        bundle.set("/process/noNewPrivileges", no_new_privileges).set("/process/user/uid", uid);
        bundle.set("/annotations", json!({"org.example": "x\"y"}));
        let container = scene.container(&bundle);
        let done = container.run();
        done.ok();
        assert_eq!(done.stdout, EXDEV, "noNewPrivileges {no_new_privileges}, uid {uid}");
        let states = agent.states(scene);
        let state = states.last().unwrap();
        assert_eq!(state["fds"], json!(["seccompFd"]));
        assert_eq!(state["metadata"], "about \"it\"");
        assert_eq!(state["state"]["id"], container.id.as_str());
        assert_eq!(state["state"]["bundle"], bundle.arg());
        assert_eq!(state["state"]["annotations"], json!({"org.example": "x\"y"}));
        assert!(state["ociVersion"].is_string() && state["state"]["ociVersion"].is_string());
        assert!(["creating", "created"].contains(&state["state"]["status"].as_str().unwrap()), "{state}");
        assert_eq!(state["pid"], state["state"]["pid"]);
    }
    // In two acts; and the pid is the one that state has.
    let container = scene.container(making(scene, agent.profile(&["mkdir"])).sleep());
    container.create();
    let pid = container.pid();
    container.start();
    scene.wait_until("the state was sent", || agent.states(scene).len() == 5);
    assert_eq!(agent.states(scene)[4]["pid"], pid);
    container.delete_force();
}

fn an_agent_answers_write_and_sendmsg(scene: &Scene) {
    let agent = Agent::start(scene, "answer");
    for change in [
        |_: &mut Bundle| {},
        |bundle: &mut Bundle| {
            bundle.user_namespace(100_000);
        },
    ] {
        let mut bundle =
            probing(scene, agent.profile(&["mkdir", "write", "sendmsg", "execve", "close", "exit_group", "read"]));
        change(&mut bundle);
        // sendmsg of what is no descriptor: EBADF is the kernel's own answer.
        bundle.args(&["/probe", "x86_64", "83", "/d", "0755", ",", "x86_64", "46", "99", "0", "0"]);
        let done = scene.container(&bundle).run();
        done.ok();
        assert_eq!(done.stdout, "-18\n-9\n");
    }
}

fn each_process_has_a_listener_of_its_own(scene: &Scene) {
    let agent = Agent::start(scene, "answer");
    let mut bundle = probing(scene, agent.profile(&["mkdir"]));
    bundle.sleep();
    let hooked = scene.runtime.kind == Kind::Planc;
    if hooked {
        // runc's hooks have init's filter, and so init's listener.
        let script = "mkdir /made 2>/tmp/said; true";
        bundle.set("/hooks", json!({"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}));
    }
    let container = scene.container(&bundle);
    container.run_detached();
    let done = container.exec(&[], &["/probe", "x86_64", "83", "/d", "0755"]);
    done.ok();
    assert_eq!(done.stdout, EXDEV);
    let states = agent.states(scene);
    assert_eq!(states.len(), if hooked { 3 } else { 2 });
    assert_eq!(states.last().unwrap()["state"]["status"], "running");
    assert_ne!(states.last().unwrap()["pid"], container.pid());
    if hooked {
        assert!(std::fs::read_to_string(bundle.rootfs("/tmp/said")).unwrap().contains("cross-device"));
    }
    container.delete_force();
}

fn without_an_agent_nothing_is_created(scene: &Scene) {
    let agent = Agent::start(scene, "answer");
    let mut bundle = making(scene, agent.profile(&["mkdir"]));
    bundle.set("/linux/seccomp/listenerPath", scene.path("nobody").to_str().unwrap());
    scene.refused(&bundle, "nobody");
    std::fs::write(scene.path("file"), "").unwrap();
    bundle.set("/linux/seccomp/listenerPath", scene.path("file").to_str().unwrap());
    scene.refused(&bundle, "file");
}

fn an_agent_that_is_gone_fails_start(scene: &Scene) {
    let mut agent = Agent::start(scene, "answer");
    let container = scene.container(&making(scene, agent.profile(&["mkdir"])));
    container.create();
    agent.stop(scene);
    scene.rt(&["start", &container.id]).fails().says("the seccomp agent is gone");
    container.delete_force();
}

fn a_listener_that_is_closed_makes_calls_unknown(scene: &Scene) {
    let agent = Agent::start(scene, "close");
    let done = scene.container(&making(scene, agent.profile(&["mkdir"]))).run();
    done.ok();
    // The kernel's answer where nobody listens (seccomp_unotify(2)).
    assert_eq!(done.stdout, "-38\n");
}

fn a_listener_path_without_notify_is_ignored(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/nobody/listens"}));
    scene.container(&bundle).run().ok();
}
