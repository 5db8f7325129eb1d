//! The task service, call by call: right answers, and what is said in the wrong state.

use std::time::Duration;

use containerd_shim_protos::api::{Empty, ShutdownRequest, StateRequest, StateResponse, Status};
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::shim::oci::ProcessDetails;
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use integration_tests::shim::Engine;
use integration_tests::shim::client::{Code, V2, V3};
use integration_tests::shim::task::{SIGKILL, Streams};
use serde_json::json;

integration_tests::tests! {
    a_life_by_v2,
    a_life_by_v3 [Need::Planc],
    state_tells_what_was_asked_for,
    nobody_is_not_found,
    no_process_is_not_found,
    unknown_methods_and_services_are_unimplemented,
    create_of_what_is_there_is_refused,
    create_of_a_bad_bundle_leaves_nothing,
    create_says_what_the_runtime_says,
    start_twice_is_refused,
    start_of_a_program_that_is_not_there,
    delete_of_what_runs_is_refused,
    delete_of_what_was_not_started,
    kill_of_what_has_ended_is_not_found,
    kill_of_what_was_not_started,
    kill_of_all_without_a_pid_namespace,
    kill_with_another_signal,
    several_wait_at_once,
    wait_after_the_end_and_before_delete,
    wait_outlives_delete,
    exit_times_agree,
    pids_of_all,
    pause_and_resume,
    pause_and_resume_in_the_wrong_state,
    delete_of_what_is_paused_is_refused,
    kill_of_what_is_paused,
    resize_without_a_terminal,
    checkpoint_in_the_wrong_state,
    update_of_what_is_no_json_is_refused,
    connect_tells_both_pids,
    shutdown_is_ignored_while_a_container_is_there,
    shutdown_now_is_ignored_while_a_container_is_there [Need::Planc],
    two_containers_in_one_shim,
}

fn a_life_by_v2(scene: &Scene) {
    a_life(scene, V2);
}

/// The service of containerd 2; the Go shim 1.6 has the other one only.
fn a_life_by_v3(scene: &Scene) {
    a_life(scene, V3);
}

fn a_life(scene: &Scene, service: &'static str) {
    let engine = Engine::new(scene);
    let mut task = engine.task(&engine.bundle());
    task.client = task.client.service(service);
    let pid = task.create();
    assert_eq!(task.status(""), Status::CREATED);
    assert_eq!(task.start(), pid);
    assert_eq!(task.status(""), Status::RUNNING);
    assert!(process::runs(pid));
    task.add("e", "exit 3");
    assert_eq!(task.status("e"), Status::CREATED);
    let exec = task.client.start(&task.id, "e").unwrap();
    assert_eq!(task.wait("e").exit_status, 3);
    assert_eq!(task.status("e"), Status::STOPPED);
    let deleted = task.client.delete(&task.id, "e").unwrap();
    assert_eq!((deleted.pid, deleted.exit_status), (exec, 3));
    task.kill();
    assert_eq!(task.status(""), Status::STOPPED);
    let deleted = task.delete();
    assert_eq!((deleted.pid, deleted.exit_status), (pid, 137));
    task.shutdown();
    let words = ["create", "start", "exec-added e", "exec-started e", "exit e 3", "exit 137", "delete 137"];
    assert_eq!(task.words(), words);
}

fn state_tells_what_was_asked_for(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    let output = scene.path("output");
    let output = format!("file://{}", output.display());
    let streams = Streams { stdout: output.clone(), stderr: output, ..Streams::default() };
    let pid = task.create_with(&streams);
    let state = task.client.state(&task.id, "").unwrap();
    assert_eq!((state.id.as_str(), state.bundle.as_str()), (task.id.as_str(), task.bundle.to_str().unwrap()));
    assert_eq!((state.pid, state.stdout.as_str(), state.stdin.as_str()), (pid, streams.stdout.as_str(), ""));
    assert_eq!((state.terminal, state.exit_status, state.exec_id.as_str()), (false, 0, ""));
    task.start();
    task.add("e", "sleep 1000");
    let state = task.client.state(&task.id, "e").unwrap();
    // The Go shim has its name where a container's would be.
    assert!([&state.id, &state.exec_id].contains(&&"e".to_owned()), "{state:?}");
    assert_eq!(state.pid, 0);
    let exec = task.client.start(&task.id, "e").unwrap();
    let state = task.client.state(&task.id, "e").unwrap();
    assert_eq!((state.pid, state.status.unwrap()), (exec, Status::RUNNING));
    task.client.kill(&task.id, "e", SIGKILL, false).unwrap();
    task.wait("e");
    let state = task.client.state(&task.id, "e").unwrap();
    assert_eq!((state.exit_status, state.status.unwrap()), (137, Status::STOPPED));
    assert!(state.exited_at.seconds > 0);
    task.client.delete(&task.id, "e").unwrap();
    task.end();
}

fn nobody_is_not_found(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    let (client, id) = (&task.client, "nobody");
    let failures = [
        client.start(id, "").unwrap_err(),
        client.state(id, "").unwrap_err(),
        client.wait(id, "").unwrap_err(),
        client.kill(id, "", SIGKILL, false).unwrap_err(),
        client.delete(id, "").unwrap_err(),
        client.pids(id).unwrap_err(),
        client.pause(id).unwrap_err(),
        client.resume(id).unwrap_err(),
        client.checkpoint(id, "/nowhere").unwrap_err(),
        client.resize(id, "", 1, 1).unwrap_err(),
        client.close_stdin(id, "").unwrap_err(),
        client.update(id, "{}").unwrap_err(),
        client.stats(id).unwrap_err(),
    ];
    for failure in &failures {
        failure.is(Code::NOT_FOUND, "container not created");
    }
    task.shutdown();
}

fn no_process_is_not_found(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let (client, id) = (&task.client, task.id.as_str());
    let failures = [
        client.start(id, "nobody").unwrap_err(),
        client.state(id, "nobody").unwrap_err(),
        client.wait(id, "nobody").unwrap_err(),
        client.kill(id, "nobody", SIGKILL, false).unwrap_err(),
        client.delete(id, "nobody").unwrap_err(),
        client.resize(id, "nobody", 1, 1).unwrap_err(),
        client.close_stdin(id, "nobody").unwrap_err(),
    ];
    for failure in &failures {
        // The Go shim 1.6 says "not found" with the code of anything.
        let code = if scene.runtime.kind == Kind::Planc { Code::NOT_FOUND } else { failure.code };
        failure.is(code, "nobody");
    }
    task.end();
}

/// The code that makes containerd try an older service.
fn unknown_methods_and_services_are_unimplemented(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    let request = StateRequest { id: task.id.clone(), ..Default::default() };
    let services =
        [(V2, "Moon"), ("containerd.task.v9.Task", "State"), ("containerd.runtime.sandbox.v1.Sandbox", "PingSandbox")];
    for (service, method) in services {
        let failure = task.client.service(service).call::<_, StateResponse>(method, &request).unwrap_err();
        assert_eq!(failure.code, Code::UNIMPLEMENTED, "{service}/{method}: {failure:?}");
    }
    task.shutdown();
}

fn create_of_what_is_there_is_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.client.create(&task.request()).unwrap_err();
    assert_eq!(task.status(""), Status::RUNNING);
    assert_eq!(task.run("e", "exit 4"), 4);
    task.end();
}

fn create_of_a_bad_bundle_leaves_nothing(scene: &Scene) {
    let engine = Engine::new(scene);
    let mut bundle = engine.bundle();
    bundle.args(&["/not/there"]);
    let task = engine.task(&bundle);
    let failure = task.client.create(&task.request()).unwrap_err();
    assert!(failure.message.contains("/not/there") && failure.message.contains("no such file"), "{failure:?}");
    task.client.state(&task.id, "").unwrap_err().is(Code::NOT_FOUND, "");
    assert!(task.words().is_empty(), "{:?}", task.words());
    // The same id can be used once more.
    bundle.sleep().write();
    task.create();
    task.start();
    task.end();
}

/// Docker, podman and ctr match these words.
fn create_says_what_the_runtime_says(scene: &Scene) {
    let engine = Engine::new(scene);
    let mut bundle = engine.bundle();
    bundle.args(&["not-there"]);
    let task = engine.task(&bundle);
    let failure = task.client.create(&task.request()).unwrap_err();
    failure.is(Code::UNKNOWN, "OCI runtime create failed: ");
    assert!(failure.message.contains("exec: \"not-there\": executable file not found in $PATH"), "{failure:?}");
    assert!(!failure.message.contains('\n'), "{failure:?}");
    task.shutdown();
}

fn start_twice_is_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.client.start(&task.id, "").unwrap_err();
    assert_eq!(task.status(""), Status::RUNNING);
    task.kill();
    task.client.start(&task.id, "").unwrap_err();
    task.delete();
    task.shutdown();
    assert_eq!(task.words(), ["create", "start", "exit 137", "delete 137"]);
}

/// The program vanishes after `create`: `start` says so, and the task is gone or stopped, but not running.
fn start_of_a_program_that_is_not_there(scene: &Scene) {
    let engine = Engine::new(scene);
    let mut bundle = engine.bundle();
    std::fs::copy(bundle.rootfs("bin/busybox"), bundle.rootfs("bin/vanishes")).unwrap();
    bundle.args(&["/bin/vanishes", "sleep", "1000"]);
    let task = engine.task(&bundle);
    task.create();
    std::fs::remove_file(bundle.rootfs("bin/vanishes")).unwrap();
    // runc's `start` has opened the fifo when it learns of it, and says nothing.
    let started = task.client.start(&task.id, "");
    assert!(started.is_err() || scene.runtime.kind != Kind::Planc);
    scene.wait_until("it has stopped", || task.status("") == Status::STOPPED);
    task.ended();
}

fn delete_of_what_runs_is_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.add("e", "sleep 1000");
    task.client.start(&task.id, "e").unwrap();
    let failure = task.client.delete(&task.id, "").unwrap_err();
    assert!(failure.message.contains("running"), "{failure:?}");
    let failure = task.client.delete(&task.id, "e").unwrap_err();
    assert!(failure.message.contains("running"), "{failure:?}");
    assert_eq!((task.status(""), task.status("e")), (Status::RUNNING, Status::RUNNING));
    task.end();
}

fn delete_of_what_was_not_started(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    let pid = task.create();
    let deleted = task.delete();
    assert_eq!(deleted.pid, pid);
    scene.wait_until("its process is gone", || !process::runs(pid));
    task.client.state(&task.id, "").unwrap_err().is(Code::NOT_FOUND, "");
    task.shutdown();
}

fn kill_of_what_has_ended_is_not_found(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.add("e", "exit 0");
    task.client.start(&task.id, "e").unwrap();
    task.wait("e");
    let failure = task.client.kill(&task.id, "e", SIGKILL, false).unwrap_err();
    failure.is(Code::NOT_FOUND, "process already finished");
    task.client.delete(&task.id, "e").unwrap();
    task.kill();
    let failure = task.client.kill(&task.id, "", SIGKILL, false).unwrap_err();
    failure.is(Code::NOT_FOUND, "process already finished");
    task.delete();
    task.client.kill(&task.id, "", SIGKILL, false).unwrap_err().is(Code::NOT_FOUND, "container not created");
    task.shutdown();
}

fn kill_of_what_was_not_started(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.add("e", "exit 0");
    let failure = task.client.kill(&task.id, "e", SIGKILL, false).unwrap_err();
    failure.is(Code::FAILED_PRECONDITION, "process not created");
    task.end();
    // A container that was created has a process.
    let task = engine.task(&engine.bundle());
    task.create();
    task.end();
}

fn kill_of_all_without_a_pid_namespace(scene: &Scene) {
    let engine = Engine::new(scene);
    let mut bundle = engine.sh("sleep 1001 & sleep 1002 & wait");
    bundle.namespace("pid", None);
    let task = engine.running(&bundle);
    scene.wait_until("both sleep", || task.client.pids(&task.id).unwrap().len() == 3);
    let pids: Vec<u32> = task.client.pids(&task.id).unwrap().iter().map(|process| process.pid).collect();
    task.client.kill(&task.id, "", SIGKILL, true).unwrap();
    assert_eq!(task.wait("").exit_status, 137);
    scene.wait_until("all have ended", || !pids.iter().any(|&pid| process::runs(pid)));
    task.ended();
}

fn kill_with_another_signal(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.sh("trap 'exit 42' TERM; touch /dev/ready; while :; do sleep 0.1; done"));
    task.add("e", "until [ -e /dev/ready ]; do sleep 0.1; done");
    task.client.start(&task.id, "e").unwrap();
    task.wait("e");
    task.client.kill(&task.id, "", 15, false).unwrap();
    assert_eq!(task.wait("").exit_status, 42);
    task.ended();
}

fn several_wait_at_once(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    task.create();
    let mut waiting: Vec<_> = (0..5).map(|_| task.waiting("")).collect();
    task.start();
    waiting.extend((0..5).map(|_| task.waiting("")));
    // Who waits blocks nobody.
    assert_eq!(task.run("e", "exit 0"), 0);
    assert!(waiting[0].recv_timeout(Duration::from_millis(300)).is_err(), "`Wait` did not wait");
    task.client.kill(&task.id, "", SIGKILL, false).unwrap();
    for one in waiting {
        assert_eq!(one.recv_timeout(scene.soon()).unwrap().unwrap().exit_status, 137);
    }
    task.ended();
}

fn wait_after_the_end_and_before_delete(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.sh("exit 9"));
    let first = task.wait("");
    task.expect("exit 9");
    assert_eq!(first.exit_status, 9);
    assert_eq!(task.wait(""), first);
    task.delete();
    task.client.wait(&task.id, "").unwrap_err().is(Code::NOT_FOUND, "container not created");
    task.shutdown();
}

/// The answer may come when the container is no more.
fn wait_outlives_delete(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.add("e", "sleep 1000");
    task.client.start(&task.id, "e").unwrap();
    let waiting = [task.waiting(""), task.waiting("e")];
    // Both are with the shim.
    assert!(waiting[1].recv_timeout(Duration::from_millis(300)).is_err());
    task.client.kill(&task.id, "e", SIGKILL, false).unwrap();
    task.client.kill(&task.id, "", SIGKILL, false).unwrap();
    scene.wait_until("it can be deleted", || task.client.delete(&task.id, "").is_ok());
    for one in waiting {
        assert_eq!(one.recv_timeout(scene.soon()).unwrap().unwrap().exit_status, 137);
    }
    task.shutdown();
}

/// One end, one time, whoever tells it.
fn exit_times_agree(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.sh("exit 5"));
    let waited = task.wait("");
    let state = task.client.state(&task.id, "").unwrap();
    let exit = task.expect("exit 5");
    let deleted = task.delete();
    let event = task.expect("delete 5");
    assert!(waited.exited_at.seconds > 1_600_000_000, "{waited:?}");
    assert_eq!(waited.exited_at, state.exited_at);
    assert_eq!(waited.exited_at, deleted.exited_at);
    assert_eq!((exit.exited_at, exit.pid), (event.exited_at, event.pid));
    assert_eq!(exit.exited_at / 1_000_000_000, i128::from(waited.exited_at.seconds));
    task.shutdown();
}

fn pids_of_all(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.sh("sleep 1001 & sleep 1002 & wait"));
    task.add("e", "sleep 1003; :");
    let exec = task.client.start(&task.id, "e").unwrap();
    scene.wait_until("all are there", || task.client.pids(&task.id).unwrap().len() == 5);
    let processes = task.client.pids(&task.id).unwrap();
    assert!(processes.iter().any(|process| process.pid == task.client.state(&task.id, "").unwrap().pid));
    for process in &processes {
        assert!(process::runs(process.pid));
        let details = process.info.as_ref().map(|info| ProcessDetails::parse_from_bytes(&info.value).unwrap());
        let named = details.is_some_and(|details| details.exec_id == "e");
        assert_eq!(named, process.pid == exec, "{process:?}");
    }
    let info = processes.iter().find_map(|process| process.info.as_ref()).unwrap();
    assert!(info.type_url.ends_with("containerd.runc.v1.ProcessDetails"), "{}", info.type_url);
    task.end();
}

fn pause_and_resume(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    for _ in 0..3 {
        task.client.pause(&task.id).unwrap();
        assert_eq!(task.status(""), Status::PAUSED);
        task.client.resume(&task.id).unwrap();
        assert_eq!(task.status(""), Status::RUNNING);
    }
    task.end();
    let words = task.words();
    assert_eq!(words.iter().filter(|words| *words == "paused").count(), 3, "{words:?}");
    assert_eq!(words[..4], ["create", "start", "paused", "resumed"]);
}

fn pause_and_resume_in_the_wrong_state(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    task.create();
    task.client.resume(&task.id).unwrap_err();
    // As `planc pause` does, ours freezes it; the Go shim refuses.
    if task.client.pause(&task.id).is_ok() {
        assert_eq!(task.status(""), Status::PAUSED);
        task.client.start(&task.id, "").unwrap_err();
        task.client.resume(&task.id).unwrap();
    }
    assert_eq!(task.status(""), Status::CREATED);
    task.start();
    task.client.resume(&task.id).unwrap_err();
    task.client.pause(&task.id).unwrap();
    task.client.pause(&task.id).unwrap_err();
    let added = task.add_with("e", "exit 0", &Streams::default());
    added.and_then(|()| task.client.start(&task.id, "e")).unwrap_err();
    assert_eq!(task.status(""), Status::PAUSED);
    task.client.resume(&task.id).unwrap();
    task.kill();
    task.client.pause(&task.id).unwrap_err();
    task.client.resume(&task.id).unwrap_err();
    task.delete();
    task.shutdown();
}

fn delete_of_what_is_paused_is_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.client.pause(&task.id).unwrap();
    task.client.delete(&task.id, "").unwrap_err();
    assert_eq!(task.status(""), Status::PAUSED);
    task.client.resume(&task.id).unwrap();
    task.end();
}

fn kill_of_what_is_paused(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.client.pause(&task.id).unwrap();
    task.end();
}

fn resize_without_a_terminal(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.client.resize(&task.id, "", 80, 24).unwrap();
    task.end();
}

fn checkpoint_in_the_wrong_state(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    task.create();
    let images = scene.path("images");
    let images = images.to_str().unwrap();
    task.client.checkpoint(&task.id, images).unwrap_err();
    task.start();
    task.kill();
    task.client.checkpoint(&task.id, images).unwrap_err();
    task.delete();
    task.shutdown();
}

fn update_of_what_is_no_json_is_refused(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    for text in ["", "{", "[]", "{\"pids\": 7}"] {
        assert!(task.client.update(&task.id, text).is_err(), "{text:?}");
    }
    task.client.update(&task.id, "{}").unwrap();
    assert_eq!(task.status(""), Status::RUNNING);
    task.end();
}

fn connect_tells_both_pids(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    assert_eq!(task.client.connection_of(&task.id).unwrap().task_pid, 0);
    let pid = task.create();
    let connection = task.client.connection_of(&task.id).unwrap();
    assert_eq!((connection.shim_pid, connection.task_pid), (task.shim, pid));
    assert_eq!(process::stat(pid).unwrap().parent, task.shim);
    task.start();
    task.end();
}

fn shutdown_is_ignored_while_a_container_is_there(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    task.create();
    task.client.shutdown(&task.id).unwrap();
    task.start();
    task.client.shutdown(&task.id).unwrap();
    task.kill();
    task.client.shutdown(&task.id).unwrap();
    assert_eq!(task.status(""), Status::STOPPED);
    task.delete();
    task.shutdown();
}

/// `now` hurries; it does not orphan.
fn shutdown_now_is_ignored_while_a_container_is_there(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let request = ShutdownRequest { id: task.id.clone(), now: true, ..Default::default() };
    let _: Empty = task.client.call("Shutdown", &request).unwrap();
    assert_eq!(task.status(""), Status::RUNNING);
    task.end();
}

fn two_containers_in_one_shim(scene: &Scene) {
    let engine = Engine::new(scene);
    let (mut first, mut second) = (engine.bundle(), engine.bundle());
    let group = scene.id();
    for bundle in [&mut first, &mut second] {
        bundle.set("/annotations", json!({"io.containerd.runc.v2.group": group}));
    }
    let (one, two) = (engine.task(&first), engine.task(&second));
    assert_eq!(one.shim, two.shim);
    let pids = [one.create(), two.create()];
    one.start();
    two.start();
    assert_eq!(one.client.connection_of(&two.id).unwrap().task_pid, pids[1]);
    // Processes of the same name are told apart.
    for task in [&one, &two] {
        task.add("e", "sleep 1000");
        task.client.start(&task.id, "e").unwrap();
    }
    one.kill();
    one.delete();
    one.client.shutdown(&one.id).unwrap();
    assert_eq!((two.status(""), two.status("e")), (Status::RUNNING, Status::RUNNING));
    one.client.state(&one.id, "").unwrap_err().is(Code::NOT_FOUND, "container not created");
    // Another one may come into it.
    let mut third = engine.bundle();
    third.set("/annotations", json!({"io.containerd.runc.v2.group": group}));
    let three = engine.running(&third);
    assert_eq!(three.shim, two.shim);
    three.kill();
    three.delete();
    two.end();
    assert_eq!(engine.events.words(&one.id).last().unwrap(), "delete 137");
}
