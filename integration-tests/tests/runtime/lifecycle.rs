//! The life cycle (runtime-spec runtime.md#lifecycle, #operations): statuses, and what each operation refuses.

use std::fs;

use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::scene::{Container, Scene};
use serde_json::{Value, json};

integration_tests::tests! {
    goes_through_every_status,
    state_has_every_field,
    state_says_the_annotations,
    create_does_not_run_the_program,
    config_is_read_once,
    pid_file_is_the_bare_pid,
    stopped_by_itself,
    list_as_table,
    list_as_json,
    list_of_nothing,
    list_quiet,
    delete_refuses_a_running_one,
    delete_takes_a_created_one,
    delete_force_takes_a_running_one,
    delete_force_of_an_unknown_one_is_fine,
    delete_kills_what_init_left_behind [Need::Planc],
    delete_of_one_whose_children_were_killed,
    an_id_is_used_once,
    an_id_is_free_again_after_delete,
    roots_do_not_see_each_other,
    start_refuses_a_running_one,
    start_refuses_a_stopped_one,
    kill_refuses_a_stopped_one,
    kill_all_of_a_stopped_one_is_fine,
    kill_reaches_a_created_one,
    kill_knows_signals,
    kill_sends_sigterm_by_default,
    kill_refuses_an_unknown_signal,
    kill_all_reaches_every_process,
    an_unknown_id_does_not_exist,
    start_reports_a_vanished_program,
}

fn goes_through_every_status(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.assert_gone();
    container.create();
    assert_eq!(container.status(), "created");
    let pid = container.pid();
    assert!(process::runs(pid));
    container.start();
    assert_eq!(container.status(), "running");
    assert_eq!(container.pid(), pid, "the process that was created is the one that runs");
    container.kill("KILL");
    container.wait_end(pid);
    assert_eq!(container.status(), "stopped");
    assert_eq!(container.pid(), 0);
    container.delete();
    container.assert_gone();
}

fn state_has_every_field(scene: &Scene) {
    let bundle = scene.bundle();
    let container = scene.container(&bundle);
    container.create();
    let state = container.state();
    assert_eq!(state["id"], Value::from(container.id.as_str()));
    assert_eq!(state["bundle"], Value::from(bundle.arg()));
    assert_eq!(state["rootfs"], Value::from(bundle.rootfs("").to_str().unwrap().trim_end_matches('/')));
    assert!(["", "root"].contains(&state["owner"].as_str().unwrap()), "{state}");
    let version = state["ociVersion"].as_str().unwrap();
    assert!(version.starts_with("1."), "{version}");
    let created = state["created"].as_str().unwrap();
    assert!(
        created.len() >= "2006-01-02T15:04:05Z".len() && created.contains('T') && created.ends_with('Z'),
        "{created}"
    );
    container.delete();
}

fn state_says_the_annotations(scene: &Scene) {
    let mut bundle = scene.bundle();
    let annotations = json!({"org.example.a": "1", "org.example.empty": ""});
    bundle.set("/annotations", annotations.clone());
    let container = scene.container(&bundle);
    container.create();
    assert_eq!(container.state()["annotations"], annotations);
    container.delete();
}

/// runtime.md#create: the program MUST NOT be run before start.
fn create_does_not_run_the_program(scene: &Scene) {
    let container = scene.container(scene.bundle().sh("echo ran"));
    let created = container.create();
    let pid = container.pid();
    assert_eq!(created.printed_since(), "");
    container.start();
    container.wait_end(pid);
    assert_eq!(created.printed_since(), "ran\n");
    container.delete();
}

/// runtime.md#lifecycle, step 2: what is changed in config.json after create has no effect.
fn config_is_read_once(scene: &Scene) {
    let mut bundle = scene.bundle();
    let container = scene.container(bundle.sh("echo first"));
    let created = container.create();
    bundle.sh("echo second").write();
    let pid = container.pid();
    container.start();
    container.wait_end(pid);
    assert_eq!(created.printed_since(), "first\n");
    fs::remove_file(bundle.dir().join("config.json")).unwrap();
    container.delete();
}

fn pid_file_is_the_bare_pid(scene: &Scene) {
    let file = scene.path("pid");
    for command in ["create", "run"] {
        let container = scene.container(scene.bundle().sleep());
        let options = ["--pid-file", file.to_str().unwrap(), "--detach"];
        let options = if command == "create" { &options[..2] } else { &options[..] };
        let call = if command == "create" { container.create_call(options) } else { container.run_call(options) };
        call.done().ok();
        assert_eq!(fs::read_to_string(&file).unwrap(), container.pid().to_string());
        container.delete_force();
    }
}

fn stopped_by_itself(scene: &Scene) {
    let container = scene.container(&scene.bundle());
    container.create();
    let pid = container.pid();
    container.start();
    container.wait_end(pid);
    assert_eq!(container.status(), "stopped");
    assert_eq!(container.pid(), 0);
    container.delete();
}

fn list_as_table(scene: &Scene) {
    let bundle = scene.bundle();
    let container = scene.container(&bundle);
    container.create();
    let done = scene.rt(&["list"]);
    done.ok();
    let lines: Vec<Vec<&str>> = done.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    let pid = container.pid().to_string();
    assert_eq!(lines[1][..4], [container.id.as_str(), &pid, "created", bundle.arg()]);
    assert_eq!(lines.len(), 2);
    container.delete();
}

fn list_as_json(scene: &Scene) {
    let bundle = scene.bundle();
    let containers = [scene.container(&bundle), scene.container(&bundle)];
    containers.iter().for_each(|container| drop(container.create()));
    let list = scene.rt(&["list", "--format", "json"]).json();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 2);
    for container in &containers {
        let entry = list.iter().find(|entry| entry["id"] == container.id.as_str()).unwrap();
        assert_eq!((&entry["status"], &entry["pid"]), (&json!("created"), &json!(container.pid())));
        assert_eq!(entry["bundle"], Value::from(bundle.arg()));
    }
    containers.iter().for_each(|container| container.delete());
}

fn list_of_nothing(scene: &Scene) {
    fs::create_dir(scene.root()).unwrap();
    assert_eq!(scene.rt(&["list", "--format", "json"]).json(), Value::Null);
    assert_eq!(scene.rt(&["list", "--quiet"]).stdout, "");
    scene.rt(&["list"]).ok();
}

fn list_quiet(scene: &Scene) {
    let bundle = scene.bundle();
    let containers = [scene.container(&bundle), scene.container(&bundle)];
    containers.iter().for_each(|container| drop(container.create()));
    let done = scene.rt(&["list", "-q"]);
    let mut ids: Vec<&str> = done.stdout.lines().collect();
    ids.sort_unstable();
    assert_eq!(ids, [&containers[0].id, &containers[1].id]);
    containers.iter().for_each(|container| container.delete());
}

/// runtime.md#delete: a container that is not stopped is not deleted.
fn delete_refuses_a_running_one(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let done = scene.rt(&["delete", &container.id]);
    done.fails().says(&format!("cannot delete container {} that is not stopped", container.id));
    assert_eq!(container.status(), "running");
    container.stop();
    container.delete();
}

fn delete_takes_a_created_one(scene: &Scene) {
    let container = scene.container(&scene.bundle());
    container.create();
    let pid = container.pid();
    container.delete();
    container.assert_gone();
    assert!(!process::runs(pid));
}

fn delete_force_takes_a_running_one(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let pid = container.pid();
    container.delete_force();
    container.assert_gone();
    assert!(!process::runs(pid));
}

fn delete_force_of_an_unknown_one_is_fine(scene: &Scene) {
    scene.rt(&["delete", "--force", &scene.id()]).ok();
}

/// Starts a container whose init ends at once and leaves a child behind: without a pid namespace of its own nothing ends
/// the child with it.
fn abandon_a_child<'s>(scene: &'s Scene) -> (Container<'s>, u32) {
    let mut bundle = scene.bundle();
    bundle.namespace("pid", None).sh("sleep 1000 & echo $!");
    let container = scene.container(&bundle);
    let created = container.create();
    let pid = container.pid();
    container.start();
    container.wait_end(pid);
    let child = created.printed_since().trim().parse().unwrap();
    assert!(process::runs(child));
    (container, child)
}

/// runtime.md#delete: what create made is deleted. (runc 1.1.5 sometimes leaves the cgroup: it does not wait until the
/// process it killed is dead. A race is no exception that could be asserted.)
fn delete_kills_what_init_left_behind(scene: &Scene) {
    let (container, child) = abandon_a_child(scene);
    container.delete_force();
    assert!(!process::runs(child));
}

fn delete_of_one_whose_children_were_killed(scene: &Scene) {
    let (container, child) = abandon_a_child(scene);
    scene.rt(&["kill", "--all", &container.id, "KILL"]).ok();
    scene.wait_until("the child is dead", || !process::runs(child));
    container.delete();
}

/// runtime.md#create: an id that is in use is an error.
fn an_id_is_used_once(scene: &Scene) {
    let container = scene.container(&scene.bundle());
    container.create();
    for command in ["create", "run"] {
        let other = scene.bundle();
        other.write();
        let done = scene.rt(&[command, "--bundle", other.arg(), &container.id]);
        done.fails().says("container with given ID already exists");
        assert_eq!(container.status(), "created", "the one that has it is not touched");
    }
    container.delete();
}

fn an_id_is_free_again_after_delete(scene: &Scene) {
    let container = scene.container(&scene.bundle());
    for _ in 0..2 {
        container.create();
        container.delete();
    }
}

fn roots_do_not_see_each_other(scene: &Scene) {
    let container = scene.container(&scene.bundle());
    container.create();
    let other = scene.path("other-root");
    fs::create_dir(&other).unwrap();
    let elsewhere = |args: &[&str]| scene.call(&[&["--root", other.to_str().unwrap()], args].concat()).done();
    elsewhere(&["state", &container.id]).fails().says("does not exist");
    assert_eq!(elsewhere(&["list", "-q"]).stdout, "");
    container.delete();
}

/// runtime.md#start: a container that is not created is not started.
fn start_refuses_a_running_one(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    scene.rt(&["start", &container.id]).fails().says("cannot start an already running container");
    assert_eq!(container.status(), "running");
    container.delete_force();
}

fn start_refuses_a_stopped_one(scene: &Scene) {
    let container = scene.container(&scene.bundle());
    container.create();
    let pid = container.pid();
    container.start();
    container.wait_end(pid);
    scene.rt(&["start", &container.id]).fails().says("cannot start a container that has stopped");
    assert_eq!(container.status(), "stopped");
    container.delete();
}

/// runtime.md#kill: one that is neither created nor running gets no signal.
fn kill_refuses_a_stopped_one(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    container.stop();
    scene.rt(&["kill", &container.id, "TERM"]).fails().says("container not running");
    assert_eq!(container.status(), "stopped");
    container.delete();
}

fn kill_all_of_a_stopped_one_is_fine(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    container.stop();
    scene.rt(&["kill", "--all", &container.id, "KILL"]).ok();
    container.delete();
}

fn kill_reaches_a_created_one(scene: &Scene) {
    let container = scene.container(&scene.bundle());
    container.create();
    container.stop();
    assert_eq!(container.status(), "stopped");
    container.delete();
}

fn kill_knows_signals(scene: &Scene) {
    let script = "for s in HUP USR1 USR2 TERM; do trap \"echo $s\" $s; done; echo ready; while :; do sleep 0.02; done";
    let container = scene.container(scene.bundle().sh(script));
    let done = container.run_detached();
    let mut expected = "ready\n".to_owned();
    scene.wait_until("the traps are set", || done.printed_since() == expected);
    for (signal, name) in [("HUP", "HUP"), ("SIGUSR1", "USR1"), ("12", "USR2"), ("sigterm", "TERM"), ("usr1", "USR1")] {
        container.kill(signal);
        expected += &format!("{name}\n");
        scene.wait_until(&format!("{signal} has arrived"), || done.printed_since() == expected);
    }
    container.delete_force();
}

fn kill_sends_sigterm_by_default(scene: &Scene) {
    let container = scene.container(scene.bundle().sh("trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done"));
    let done = container.run_detached();
    scene.wait_until("the trap is set", || done.printed_since() == "ready\n");
    let pid = container.pid();
    scene.rt(&["kill", &container.id]).ok();
    container.wait_end(pid);
    container.delete();
}

fn kill_refuses_an_unknown_signal(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    scene.rt(&["kill", &container.id, "NOSUCH"]).fails().says("unknown signal");
    assert_eq!(container.status(), "running");
    container.delete_force();
}

fn kill_all_reaches_every_process(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.namespace("pid", None).sh("sleep 1000 & echo $!; wait");
    let container = scene.container(&bundle);
    let done = container.run_detached();
    scene.wait_until("the child is there", || done.printed_since().ends_with('\n'));
    let (init, child) = (container.pid(), done.printed_since().trim().parse().unwrap());
    scene.rt(&["kill", "--all", &container.id, "KILL"]).ok();
    scene.wait_until("both are dead", || !process::runs(init) && !process::runs(child));
    container.delete();
}

/// runtime.md#operations: each of them is an error for an id that does not exist.
fn an_unknown_id_does_not_exist(scene: &Scene) {
    let id = scene.id();
    for command in ["state", "start", "kill", "delete"] {
        scene.rt(&[command, &id]).fails().says("does not exist");
    }
}

/// runtime.md#start: the program MUST be run; where it cannot be, that is an error of start.
fn start_reports_a_vanished_program(scene: &Scene) {
    let bundle = scene.bundle();
    let container = scene.container(&bundle);
    container.create();
    let pid = container.pid();
    fs::remove_file(bundle.rootfs("/bin/true")).unwrap();
    let done = scene.rt(&["start", &container.id]);
    assert_ne!(done.code(), 0, "start says that it has run a program that is not there: {done}");
    done.fails().says("o such file or directory");
    container.wait_end(pid);
    assert_eq!(container.status(), "stopped");
    container.delete();
}
