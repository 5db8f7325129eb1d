//! Hooks that fail (runtime-spec runtime.md#lifecycle): what is left of the container, and what is run all the same.

use std::fs;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::runtime::{Done, Kind};
use integration_tests::scene::Scene;
use serde_json::json;

use crate::hooks::{KINDS, Out, log_each, logged, script};

integration_tests::tests! {
    of_create_that_fail_leave_nothing,
    of_start_that_fail_delete_it [Need::Planc],
    of_poststart_that_fail_stop_it [Need::Spec(1, 3)],
    of_poststop_may_fail [Need::Planc],
    of_poststop_are_run_when_create_fails_later,
    of_poststop_are_not_run_before_the_first_hook [Need::Planc],
    of_poststop_are_run_for_a_killed_creator [Need::Planc],
    of_poststop_are_run_again_for_a_killed_delete [Need::Planc],
}

/// A bundle with a good hook, a bad one and one more of a kind, and poststop hooks that log themselves.
fn spoilt(scene: &Scene, kind: &str) -> (Bundle, Out) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    let log = |word: &str| script(&format!("echo {word} >> {}/log", out.seen_by(kind)));
    let bad = script("echo on the output; echo last words >&2; exit 3");
    bundle.set("/hooks", json!({kind: [log("good"), bad, log("never")]}));
    let poststop = script(&format!("echo poststop >> {}/log", out.seen_by("poststop")));
    if kind == "poststop" {
        bundle.set("/hooks/poststop/-", poststop);
    } else {
        bundle.set("/hooks/poststop", json!([poststop]));
    }
    bundle.sh("echo program >> /out/log; exec sleep 1000");
    (bundle, out)
}

#[track_caller]
fn tells_the_hook(scene: &Scene, done: &Done, kind: &str) {
    done.fails().says("hook #1").says("exit status 3").says("last words").says("on the output");
    if scene.runtime.kind == Kind::Planc {
        done.says(&format!("error running {kind} hook #1: exit status 3, stdout: on the output, stderr: last words"));
        done.says(&format!("/hooks/{kind}/1"));
    }
}

/// runtime.md#lifecycle, steps 3 to 5.
fn of_create_that_fail_leave_nothing(scene: &Scene) {
    for kind in &KINDS[..3] {
        for command in ["create", "run"] {
            let (bundle, out) = spoilt(scene, kind);
            let container = scene.container(&bundle);
            let call = if command == "create" { container.create_call(&[]) } else { container.run_call(&[]) };
            tells_the_hook(scene, &call.done(), kind);
            container.assert_gone();
            assert_eq!(out.read("log"), "good\npoststop\n", "{kind}, {command}");
        }
    }
}

/// runtime.md#lifecycle, steps 7 and 9: an error, and the container's life goes on at its deletion. (runc leaves that to its
/// caller, and 1.1 says that it has started a container whose startContainer hook failed.)
fn of_start_that_fail_delete_it(scene: &Scene) {
    for kind in ["startContainer", "poststart"] {
        for command in ["start", "run"] {
            let (bundle, out) = spoilt(scene, kind);
            let container = scene.container(&bundle);
            let done = if command == "start" {
                container.create();
                scene.rt(&["start", &container.id])
            } else {
                container.run()
            };
            tells_the_hook(scene, &done, kind);
            container.assert_gone();
            let log = out.read("log").replace("program\n", "");
            assert_eq!(log, "good\npoststop\n", "{kind}, {command}");
        }
    }
}

fn of_poststart_that_fail_stop_it(scene: &Scene) {
    let (bundle, out) = spoilt(scene, "poststart");
    let container = scene.container(&bundle);
    container.create();
    let pid = container.pid();
    tells_the_hook(scene, &scene.rt(&["start", &container.id]), "poststart");
    container.wait_end(pid);
    container.delete_force();
    assert_eq!(out.read("log").replace("program\n", ""), "good\npoststop\n");
}

/// runtime.md#lifecycle, step 13: a warning, and the next one. (runc makes it the error of delete.)
fn of_poststop_may_fail(scene: &Scene) {
    let (mut bundle, out) = spoilt(scene, "poststop");
    bundle.set("/hooks/poststop/-", json!({"path": "/nowhere"}));
    let container = scene.container(&bundle);
    container.create();
    let done = scene.rt(&["delete", &container.id]);
    done.ok()
        .says("warning")
        .says("error running poststop hook #1: exit status 3, stdout: on the output, stderr: last words");
    done.says("error running poststop hook #4: its program does not exist (ENOENT)");
    assert_eq!(out.read("log"), "good\nnever\npoststop\n");
    container.assert_gone();
}

fn of_poststop_are_run_when_create_fails_later(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    log_each(scene, &mut bundle, &out);
    let container = scene.container(bundle.args(&["/nowhere"]));
    container.try_create(&[]).fails();
    container.assert_gone();
    let log = out.read("log");
    assert!(log.starts_with(&logged(&KINDS[..2])) && log.ends_with(&logged(&KINDS[5..])), "{log}");
}

/// What was never there has no end.
fn of_poststop_are_not_run_before_the_first_hook(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    log_each(scene, &mut bundle, &out);
    bundle.mount("/data", "tmpfs", "tmpfs", &["mode=nonsense"]);
    scene.refused(&bundle, "/mounts/8");
    assert_eq!(out.read("log"), "");
}

/// T-42, R-41: nobody is left of a hook whose runtime was killed.
fn of_poststop_are_run_for_a_killed_creator(scene: &Scene) {
    for kind in &KINDS[..3] {
        let mut bundle = scene.bundle();
        let out = Out::of(scene, &mut bundle);
        let dir = out.seen_by("");
        let poststop = script(&format!("echo poststop >> {dir}/log"));
        let slow = script(&format!("echo slow >> {dir}/log; exec sleep 1000"));
        bundle.set("/hooks", json!({*kind: [slow], "poststop": [poststop]}));
        let container = scene.container(&bundle);
        let mut running = container.create_call(&[]).spawn();
        scene.wait_until("the hook is run", || out.read("log") == "slow\n");
        running.kill();
        container.delete_force();
        container.assert_gone();
        assert_eq!(out.read("log"), "slow\npoststop\n", "{kind}");
    }
}

fn of_poststop_are_run_again_for_a_killed_delete(scene: &Scene) {
    let mut bundle = scene.bundle();
    let out = Out::of(scene, &mut bundle);
    let dir = out.seen_by("");
    let once_slow =
        format!("echo run >> {dir}/log; test -e {dir}/marker || {{ touch {dir}/marker; exec sleep 1000; }}");
    bundle.set("/hooks", json!({"poststop": [script(&once_slow)]}));
    let container = scene.container(bundle.sleep());
    container.run_detached();
    let mut running = scene.call(&["delete", "--force", &container.id]).spawn();
    scene.wait_until("the hook is run", || fs::exists(out.path("marker")).unwrap());
    running.kill();
    assert_eq!(container.status(), "stopped", "it is not lost");
    container.delete();
    container.assert_gone();
    assert_eq!(out.read("log"), "run\nrun\n");
}
