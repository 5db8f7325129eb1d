//! `run`: what passes through it, and what stays.

use std::fs::{self, File};

use integration_tests::process;
use integration_tests::scene::Scene;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

integration_tests::tests! {
    passes_the_exit_code,
    passes_the_streams,
    says_128_and_the_signal,
    says_128_and_the_signal_from_outside,
    forwards_signals,
    detached_leaves_it_running,
    deletes_at_the_end,
    keeps_when_asked,
    finds_the_bundle_in_its_working_directory,
    needs_no_stdin,
}

fn passes_the_exit_code(scene: &Scene) {
    for code in [0, 1, 42, 255] {
        scene.container(scene.bundle().sh(&format!("exit {code}"))).run().exits(code);
    }
}

fn passes_the_streams(scene: &Scene) {
    fs::write(scene.path("in"), "from outside\n").unwrap();
    let container = scene.container(scene.bundle().sh("read line; echo \"out: $line\"; echo err >&2"));
    let done = container.run_call(&[]).stdin(File::open(scene.path("in")).unwrap()).done();
    done.ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out: from outside\n", "err\n"));
}

fn says_128_and_the_signal(scene: &Scene) {
    // Without a pid namespace of its own no signal is held back from it (pid_namespaces(7)).
    for (signal, code) in [("TERM", 143), ("KILL", 137)] {
        let mut bundle = scene.bundle();
        bundle.namespace("pid", None).sh(&format!("kill -{signal} $$; sleep 10"));
        scene.container(&bundle).run().exits(code);
    }
}

fn says_128_and_the_signal_from_outside(scene: &Scene) {
    let container = scene.container(scene.bundle().sh("echo ready; exec sleep 1000"));
    let running = container.run_call(&[]).spawn();
    scene.wait_until("the program runs", || running.printed() == "ready\n");
    container.kill("KILL");
    running.wait().exits(137);
    container.assert_gone();
}

fn forwards_signals(scene: &Scene) {
    let container =
        scene.container(scene.bundle().sh("trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.05; done"));
    let running = container.run_call(&[]).spawn();
    scene.wait_until("the trap is set", || running.printed() == "ready\n");
    kill(Pid::from_raw(running.pid() as i32), Signal::SIGTERM).unwrap();
    let done = running.wait();
    done.exits(7);
    assert_eq!(done.stdout, "ready\ngot it\n");
}

fn detached_leaves_it_running(scene: &Scene) {
    let container = scene.container(scene.bundle().sh("echo hello; exec sleep 1000"));
    let done = container.run_detached();
    scene.wait_until("it says hello", || done.printed_since() == "hello\n");
    assert_eq!(container.status(), "running");
    assert!(process::runs(container.pid()));
    container.stop();
    container.delete();
    container.assert_gone();
}

fn deletes_at_the_end(scene: &Scene) {
    let container = scene.container(&scene.bundle());
    container.run().ok();
    container.assert_gone();
    container.run().ok();
}

fn keeps_when_asked(scene: &Scene) {
    let container = scene.container(&scene.bundle());
    container.run_call(&["--keep"]).done().ok();
    assert_eq!(container.status(), "stopped");
    container.delete();
}

fn finds_the_bundle_in_its_working_directory(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.sh("echo here").write();
    let id = scene.id();
    let done = scene.call(&["run", &id]).dir(bundle.dir()).done();
    done.ok();
    assert_eq!(done.stdout, "here\n");
}

fn needs_no_stdin(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.sh("cat; echo end").write();
    let id = scene.id();
    let closed = ["sh", "-c", "exec \"$@\" <&-", "sh"];
    let done = scene.call_by(&closed, &["run", "--bundle", bundle.arg(), &id]).done();
    done.ok();
    assert_eq!(done.stdout, "end\n");
}
