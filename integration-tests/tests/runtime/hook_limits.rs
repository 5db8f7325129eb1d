//! Hooks that do not behave (SECURITY.md T-42): each is bounded, and what is not its fault is not undone.

use std::time::{Duration, Instant};

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::process;
use integration_tests::runtime::Done;
use integration_tests::scene::Scene;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::hooks::{Out, script};

integration_tests::tests! {
    ends_one_that_sleeps,
    ends_the_deaf_the_stopped_and_their_children [Need::Planc],
    ends_those_of_start [Need::Planc],
    ends_those_of_the_end [Need::Planc],
    tells_a_signal,
    needs_no_reader,
    waits_for_no_grandchild [Need::Planc],
    reads_endless_output [Need::Planc],
    tells_the_end_of_long_output [Need::Planc],
    says_nothing_that_a_terminal_obeys [Need::Planc],
}

/// Which are run by the host, and by init.
const KINDS: [&str; 2] = ["createRuntime", "createContainer"];

/// A hook that may take one second.
fn limited(text: &str) -> Value {
    let mut hook = script(text);
    hook["timeout"] = 1.into();
    hook
}

/// Creates a container with this hook; all of it takes no longer than its second and some more.
#[track_caller]
fn create_with(scene: &Scene, bundle: &mut Bundle, kind: &str, hook: Value) -> (Done, String) {
    let container = scene.container(bundle.set("/hooks", json!({kind: [hook]})));
    let start = Instant::now();
    let done = container.try_create(&[]);
    let limit = Duration::from_secs(5) * Lane::current().patience();
    assert!(start.elapsed() < limit, "{kind} took {:?}: {done}", start.elapsed());
    (done, container.id)
}

#[track_caller]
fn is_overdue(scene: &Scene, kind: &str, text: &str) {
    let (done, id) = create_with(scene, &mut scene.bundle(), kind, limited(text));
    done.fails().says("hook ran past specified timeout of 1.0s");
    scene.rt(&["state", &id]).fails().says("does not exist");
}

fn ends_one_that_sleeps(scene: &Scene) {
    for kind in KINDS {
        is_overdue(scene, kind, "exec sleep 1000");
    }
}

/// The leak oracle sees whoever is left.
fn ends_the_deaf_the_stopped_and_their_children(scene: &Scene) {
    for kind in KINDS {
        is_overdue(scene, kind, "trap '' TERM HUP INT; sleep 1000; sleep 1000");
        is_overdue(scene, kind, "kill -STOP $$");
        is_overdue(scene, kind, "sleep 1000 & (sleep 1000 &) ; sleep 1000");
        is_overdue(scene, kind, "while :; do echo again; echo and again >&2; done");
    }
}

fn ends_those_of_start(scene: &Scene) {
    for kind in ["startContainer", "poststart"] {
        let mut bundle = scene.bundle();
        bundle.set("/hooks", json!({kind: [limited("sleep 1000 & sleep 1000")]}));
        let container = scene.container(bundle.sleep());
        container.create();
        let pid = container.pid();
        let done = scene.rt(&["start", &container.id]);
        done.fails().says(&format!("error running {kind} hook #0: hook ran past specified timeout of 1.0s"));
        assert!(!process::runs(pid), "{kind}");
        container.assert_gone();
    }
}

fn ends_those_of_the_end(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/hooks", json!({"poststop": [limited("sleep 1000 & sleep 1000")]}));
    let container = scene.container(&bundle);
    container.create();
    let done = scene.rt(&["delete", &container.id]);
    done.ok().says("error running poststop hook #0: hook ran past specified timeout of 1.0s");
    container.assert_gone();
}

fn tells_a_signal(scene: &Scene) {
    for kind in KINDS {
        let (done, _) = create_with(scene, &mut scene.bundle(), kind, script("echo dying >&2; kill -KILL $$"));
        done.fails().says("hook #0").says("signal: ").says("dying");
    }
}

/// A state of 1 MiB, and nobody reads it; or somebody reads all of it.
fn needs_no_reader(scene: &Scene) {
    for kind in KINDS {
        let mut bundle = scene.bundle();
        let out = Out::of(scene, &mut bundle);
        bundle.set("/annotations", json!({"big": "x".repeat(1 << 20)}));
        let unread = script("exec <&-");
        let read = script(&format!("wc -c > {}/count", out.seen_by(kind)));
        let container = scene.container(bundle.set("/hooks", json!({kind: [unread, read]})));
        container.create();
        container.delete();
        let count: usize = out.read("count").trim().parse().unwrap();
        assert!(count > 1 << 20, "{count}");
        let start = Instant::now();
        let (done, _) = create_with(scene, &mut bundle, kind, limited("exec sleep 1000"));
        done.fails().says("hook ran past specified timeout");
        assert!(start.elapsed() >= Duration::from_secs(1));
    }
}

/// Who leaves the hook's session and lives on, as a network helper does, is neither waited for nor killed. (runc waits
/// for the end of what it could print.)
fn waits_for_no_grandchild(scene: &Scene) {
    for kind in KINDS {
        let mut bundle = scene.bundle();
        let out = Out::of(scene, &mut bundle);
        let text = format!("setsid sh -c 'sh -c \"echo \\$\\$ > {}/pid; exec sleep 1000\" &'", out.seen_by(kind));
        let text = format!("{text}; until test -s {}/pid; do sleep 0.01; done", out.seen_by(kind));
        let (done, id) = create_with(scene, &mut bundle, kind, script(&text));
        done.ok();
        if kind == "createRuntime" {
            let pid: u32 = out.read("pid").trim().parse().unwrap();
            assert!(process::runs(pid), "it was killed");
            kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
        }
        // What lives in the container ends with it.
        scene.rt(&["delete", &id]).ok();
    }
}

/// 64 MiB, which the runtime has no room for.
fn reads_endless_output(scene: &Scene) {
    for kind in KINDS {
        let mut bundle = scene.bundle();
        let print = "head -c 67108864 /dev/zero; head -c 67108864 /dev/zero >&2";
        let container = scene.container(bundle.set("/hooks", json!({kind: [script(print)]})));
        let limited = ["sh", "-c", "ulimit -v 65536; exec \"$@\"", "sh"];
        let create = ["create", "--bundle", bundle.arg(), &container.id];
        scene.call_by(&limited, &create).done().ok();
        container.delete();
    }
}

fn tells_the_end_of_long_output(scene: &Scene) {
    for kind in KINDS {
        let print = "head -c 1048576 /dev/zero | tr '\\0' x; echo the last word; \
                     head -c 1048576 /dev/zero | tr '\\0' y >&2; echo the reason >&2; exit 1";
        let (done, _) = create_with(scene, &mut scene.bundle(), kind, script(print));
        done.fails().says("xxx").says("the last word, stderr: ...yyy").says("yyythe reason");
        assert!(done.stderr.len() < 64 << 10, "{} bytes", done.stderr.len());
    }
}

fn says_nothing_that_a_terminal_obeys(scene: &Scene) {
    let print = r"printf 'a\033[2Jb\nc\0d'; printf 'e\rf\0g' >&2; exit 1";
    for kind in KINDS {
        let (done, _) = create_with(scene, &mut scene.bundle(), kind, script(print));
        done.fails();
        assert!(!done.stderr.contains('\u{1b}') && !done.stderr.contains('\0'), "{done}");
        done.says("stdout: a");
    }
}
