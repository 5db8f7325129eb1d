//! What a shim bears, however long it lives: children that nobody expected, descriptors, signals, nonsense.

use containerd_shim_protos::api::{CreateTaskRequest, Status};
use integration_tests::harness::{Need, cycles};
use integration_tests::lane::Lane;
use integration_tests::process;
use integration_tests::scene::Scene;
use integration_tests::shim::Engine;
use integration_tests::shim::task::{Fifo, Streams, Task};

integration_tests::tests! {
    orphans_are_reaped,
    an_orphan_that_takes_its_time_is_reaped,
    descriptors_do_not_grow,
    connections_do_not_grow,
    nothing_is_handed_down,
    signals_do_not_end_it [Need::Planc],
    broken_requests_end_nothing,
}

/// The children of a process, alive or not.
fn children(of: u32) -> Vec<(u32, char)> {
    let all = process::all().into_iter();
    all.filter(|(_, stat)| stat.parent == of).map(|(pid, stat)| (pid, stat.state)).collect()
}

/// Without a pid namespace of the container, what loses its parent becomes the shim's.
fn orphans_are_reaped(scene: &Scene) {
    let engine = Engine::new(scene);
    let mut bundle = engine.bundle();
    bundle.namespace("pid", None);
    let task = engine.running(&bundle);
    for number in 0..5 {
        assert_eq!(task.run(&format!("e{number}"), "(sleep 0.3 &); (exit 0 &); exit 0"), 0);
    }
    assert!(children(task.shim).len() > 1, "no orphan came to the shim");
    scene.wait_until("all orphans are reaped", || children(task.shim).len() == 1);
    task.end();
}

fn an_orphan_that_takes_its_time_is_reaped(scene: &Scene) {
    let engine = Engine::new(scene);
    let mut bundle = engine.bundle();
    bundle.namespace("pid", None);
    let task = engine.running(&bundle);
    assert_eq!(task.run("e", "(sleep 1.5 &); exit 0"), 0);
    scene.wait_until("the orphan is reaped", || children(task.shim).len() == 1);
    assert!(children(task.shim).iter().all(|(_, state)| *state != 'Z'));
    task.end();
}

fn thread_count(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}

/// As many as `usual` where it is quick.
fn rounds(usual: usize) -> usize {
    cycles(if Lane::current() == Lane::Native { usual } else { usual / 10 })
}

fn settled(scene: &Scene, task: &Task<'_, '_>, most: usize) {
    let count = || process::descriptors(task.shim).len();
    scene.wait_until(&format!("the shim has at most {most} descriptors"), || count() <= most);
}

fn descriptors_do_not_grow(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let run = |name: &str| {
        let [mut out, mut err] = ["out", "err"].map(|stream| Fifo::new(scene.path(&format!("{name}-{stream}"))));
        out.reads();
        err.reads();
        let streams = Streams { stdout: out.arg(), stderr: err.arg(), ..Streams::default() };
        task.add_with(name, "echo text", &streams).unwrap();
        task.client.start(&task.id, name).unwrap();
        assert_eq!(task.wait(name).exit_status, 0);
        task.client.delete(&task.id, name).unwrap();
        assert!(out.to_the_end(scene.soon()));
        assert_eq!(out.seen(), "text\n");
        // One that was never started, and one that cannot be.
        let unstarted = format!("{name}-unstarted");
        task.add_with(&unstarted, "exit 0", &streams).unwrap();
        task.client.delete(&task.id, &unstarted).unwrap();
    };
    (0..10).for_each(|number| run(&format!("warm{number}")));
    let (descriptors, threads) = (process::descriptors(task.shim).len(), thread_count(task.shim));
    (0..rounds(200)).for_each(|number| run(&format!("e{number}")));
    // A runtime with threads has some more of them now and then.
    settled(scene, &task, descriptors + 2);
    assert!(thread_count(task.shim) <= threads + 8, "{} threads, and once {threads}", thread_count(task.shim));
    assert!(children(task.shim).len() == 1, "{:?}", children(task.shim));
    task.end();
}

fn connections_do_not_grow(scene: &Scene) {
    use integration_tests::shim::client::{Client, V2};
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let before = process::descriptors(task.shim).len();
    for _ in 0..rounds(100) {
        let client = Client::connect(&task.address, V2).unwrap();
        client.state(&task.id, "").unwrap();
    }
    settled(scene, &task, before + 1);
    task.end();
}

/// A container has the streams it was given and no descriptor of the shim.
fn nothing_is_handed_down(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let pid = task.client.state(&task.id, "").unwrap().pid;
    task.add("e", "sleep 1000");
    let exec = task.client.start(&task.id, "e").unwrap();
    for pid in [pid, exec] {
        // runc's `start` has ended before its init has become the program.
        scene.wait_until("it is the program", || ["sleep", "sh"].contains(&process::stat(pid).unwrap().name.as_str()));
        assert_eq!(process::descriptors(pid).into_keys().collect::<Vec<_>>(), [0, 1, 2]);
    }
    task.end();
}

/// A host that shuts down, or an operator, sends them: containers live on (docs of containerd: SIGTERM ends no task).
fn signals_do_not_end_it(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    for signal in ["TERM", "INT", "PIPE", "HUP", "USR1"] {
        let sent = std::process::Command::new("kill").args(["-s", signal, &task.shim.to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(task.run(&format!("e{signal}"), "exit 2"), 2);
    }
    task.end();
}

/// What is no message of the protocol is an error of one call, or of one connection.
fn broken_requests_end_nothing(scene: &Scene) {
    use std::io::Write;
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let path = task.address.strip_prefix("unix://").unwrap();
    let frames: [&[u8]; 5] = [
        // A request of 2 GiB.
        &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1, 1, 0],
        // An even stream, which is a server's.
        &[0, 0, 0, 0, 0, 0, 0, 2, 1, 0],
        // A type that is none.
        &[0, 0, 0, 0, 0, 0, 0, 1, 77, 0],
        // No protobuf.
        &[0, 0, 0, 3, 0, 0, 0, 1, 1, 0, 0xff, 0xff, 0xff],
        // Half a header.
        &[0, 0, 0],
    ];
    for frame in frames {
        let mut socket = std::os::unix::net::UnixStream::connect(path).unwrap();
        socket.write_all(frame).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let empty = CreateTaskRequest::new();
    task.client.create(&empty).unwrap_err();
    assert_eq!(task.status(""), Status::RUNNING);
    task.end();
}
