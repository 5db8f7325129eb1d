//! What comes at the wrong moment: a caller that has given up, an input that is closed too early, a tracer that does not wait.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use containerd_shim_protos::api::CreateTaskResponse;
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::scene::Scene;
use integration_tests::shim::Engine;
use integration_tests::shim::client::Code;
use integration_tests::shim::task::{Fifo, Streams};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::stdio::logger;

integration_tests::tests! {
    a_traced_process_that_ended_holds_up_nobody [Need::Planc],
    an_input_that_is_closed_while_its_process_starts,
    who_waits_for_a_process_of_a_deleted_container_is_told [Need::Planc],
    a_create_that_its_caller_gave_up_is_undone [Need::Planc],
    a_shim_that_was_told_to_end_during_a_create_ends [Need::Planc],
}

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid as i32), signal).unwrap();
}

/// PTRACE_SEIZE (ptrace(2)), and then nothing more.
fn tracer(of: u32) -> std::process::Child {
    let call = if cfg!(target_arch = "x86_64") { 101 } else { 117 };
    let mut perl = Command::new("perl");
    perl.args(["-e", &format!("syscall({call}, 0x4206, {of}, 0, 0) == 0 or die; sleep 1000")]);
    perl.stdin(Stdio::null()).spawn().unwrap()
}

/// A zombie is its tracer's first (ptrace(2)): its parent cannot collect it, and is told when the tracer has let go.
fn a_traced_process_that_ended_holds_up_nobody(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.add("e", "sleep 1000");
    let pid = task.client.start(&task.id, "e").unwrap();
    let mut tracer = tracer(pid);
    let is_traced = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        process::status_line(&status, "TracerPid").is_some_and(|tracers| tracers.trim() == tracer.id().to_string())
    };
    scene.wait_until("it is traced", is_traced);
    signal(pid, Signal::SIGKILL);
    scene.wait_until("it is a zombie", || process::stat(pid).is_some_and(|stat| stat.state == 'Z'));
    let waiting = task.waiting("e");
    thread::sleep(Duration::from_millis(200));
    // Whatever the tracer does, all others are served.
    assert_eq!(task.run("other", "exit 3"), 3);
    tracer.kill().unwrap();
    tracer.wait().unwrap();
    assert_eq!(waiting.recv_timeout(scene.soon()).unwrap().unwrap().exit_status, 137);
    task.client.delete(&task.id, "e").unwrap();
    task.end();
}

/// A client's writer finds a reader as soon as the shim has opened the FIFO, which is before the process is there.
fn an_input_that_is_closed_while_its_process_starts(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let (_, streams) = logger(scene, "sleep 1; exec 5>&-; cat <&3 >out");
    let mut stdin = Fifo::new(scene.path("stdin"));
    let streams = Streams { stdin: stdin.arg(), stderr: String::new(), ..streams };
    task.add_with("e", "cat; exit 5", &streams).unwrap();
    let (client, id) = (task.client.clone(), task.id.clone());
    let starting = thread::spawn(move || client.start(&id, "e"));
    stdin.writes(scene.soon());
    stdin.write("text");
    stdin.close();
    task.client.close_stdin(&task.id, "e").unwrap();
    starting.join().unwrap().unwrap();
    let ended = task.waiting("e").recv_timeout(scene.soon()).expect("its input has no end");
    assert_eq!(ended.unwrap().exit_status, 5);
    task.client.delete(&task.id, "e").unwrap();
    scene.wait_until("the logging program has it", || {
        std::fs::read_to_string(scene.path("out")).is_ok_and(|text| text == "text")
    });
    task.end();
}

fn who_waits_for_a_process_of_a_deleted_container_is_told(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.add("never", "exit 0");
    let waiting = task.waiting("never");
    // The other call is on its way.
    thread::sleep(Duration::from_millis(200));
    task.kill();
    task.delete();
    let answer = waiting.recv_timeout(scene.soon()).expect("there is an answer");
    answer.unwrap_err().is(Code::NOT_FOUND, "deleted");
    task.shutdown();
}

/// A bundle whose create takes a second.
fn slow(engine: &Engine<'_>) -> integration_tests::bundle::Bundle {
    let mut bundle = engine.bundle();
    bundle.set("/hooks", json!({ "createRuntime": [{ "path": "/bin/busybox", "args": ["sleep", "1"] }] }));
    bundle
}

fn a_create_that_its_caller_gave_up_is_undone(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&slow(&engine));
    let given_up =
        task.client.call_within::<_, CreateTaskResponse>(Duration::from_millis(200), "Create", &task.request());
    given_up.unwrap_err();
    scene.wait_until("it is forgotten", || {
        task.client.state(&task.id, "").is_err_and(|failure| failure.code == Code::NOT_FOUND)
            && process::all().into_iter().filter(|(_, stat)| stat.parent == task.shim).count() == 0
    });
    thread::sleep(Duration::from_millis(1200));
    task.client.state(&task.id, "").unwrap_err().is(Code::NOT_FOUND, "container not created");
    // It can be made again.
    task.create();
    task.start();
    task.end();
}

fn a_shim_that_was_told_to_end_during_a_create_ends(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&slow(&engine));
    let (client, request) = (task.client.clone(), task.request());
    let creating = thread::spawn(move || client.create(&request));
    thread::sleep(Duration::from_millis(300));
    task.client.shutdown(&task.id).unwrap();
    creating.join().unwrap().unwrap_err();
    task.wait_shim_end();
}
