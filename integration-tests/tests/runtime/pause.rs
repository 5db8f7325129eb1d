//! `pause` and `resume`: a container that is frozen, and what can be done with it meanwhile.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use integration_tests::harness::Need;
use integration_tests::oracle::cgroup_root;
use integration_tests::process;
use integration_tests::scene::Scene;

integration_tests::tests! {
    stops_and_goes_on,
    a_created_one_waits,
    refuses_a_paused_one,
    refuses_a_stopped_one,
    resume_refuses_what_is_not_paused,
    refuses_an_unknown_id,
    start_refuses_a_paused_one,
    delete_refuses_a_paused_one,
    kill_ends_a_paused_one,
    delete_force_ends_a_paused_one,
    resume_tells_of_a_frozen_parent [Need::Planc, Need::Cgroupfs],
}

fn stops_and_goes_on(scene: &Scene) {
    let container = scene.container(scene.bundle().sh("while :; do echo; sleep 0.01; done"));
    let done = container.run_detached();
    let printed = || done.printed_since().len();
    scene.wait_until("it prints", || printed() > 0);
    scene.rt(&["pause", &container.id]).ok();
    // All of it is frozen when pause returns: not a byte more comes.
    let before = printed();
    sleep(Duration::from_millis(200));
    assert_eq!(printed(), before);
    assert_eq!(container.status(), "paused");
    assert!(process::runs(container.pid()));
    let resumed = scene.rt(&["resume", &container.id]);
    assert_eq!((resumed.ok().stdout.as_str(), resumed.stderr.as_str()), ("", ""));
    scene.wait_until("it prints again", || printed() > before);
    assert_eq!(container.status(), "running");
    container.delete_force();
}

fn a_created_one_waits(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    scene.rt(&["pause", &container.id]).ok();
    assert_eq!(container.status(), "paused");
    scene.rt(&["resume", &container.id]).ok();
    assert_eq!(container.status(), "created");
    container.start();
    assert_eq!(container.status(), "running");
    container.delete_force();
}

fn refuses_a_paused_one(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    scene.rt(&["pause", &container.id]).ok();
    scene.rt(&["pause", &container.id]).fails().says("container not running");
    assert_eq!(container.status(), "paused");
    container.delete_force();
}

fn refuses_a_stopped_one(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    container.stop();
    scene.rt(&["pause", &container.id]).fails().says("container not running");
    scene.rt(&["resume", &container.id]).fails().says("container not paused");
    container.delete();
}

fn resume_refuses_what_is_not_paused(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    scene.rt(&["resume", &container.id]).fails().says("container not paused");
    container.start();
    scene.rt(&["resume", &container.id]).fails().says("container not paused");
    container.delete_force();
}

fn refuses_an_unknown_id(scene: &Scene) {
    for command in ["pause", "resume"] {
        scene.rt(&[command, "nosuch"]).fails().says("does not exist");
        scene.rt(&[command]).fails().says("requires exactly 1 argument");
    }
}

fn start_refuses_a_paused_one(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    scene.rt(&["pause", &container.id]).ok();
    scene.rt(&["start", &container.id]).fails().says("cannot start a container in the paused state");
    scene.rt(&["resume", &container.id]).ok();
    container.start();
    container.delete_force();
}

fn delete_refuses_a_paused_one(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    scene.rt(&["pause", &container.id]).ok();
    let pid = container.pid();
    scene.rt(&["delete", &container.id]).fails();
    assert_eq!(container.status(), "paused");
    assert!(process::runs(pid));
    container.delete_force();
}

fn kill_ends_a_paused_one(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    scene.rt(&["pause", &container.id]).ok();
    container.stop();
    assert_eq!(container.status(), "stopped");
    container.delete();
}

fn delete_force_ends_a_paused_one(scene: &Scene) {
    let container = scene.container(scene.bundle().sh("sleep 1001 & sleep 1002"));
    container.run_detached();
    let pid = container.pid();
    scene.rt(&["pause", &container.id]).ok();
    container.delete_force();
    assert!(!process::runs(pid));
    container.assert_gone();
}

/// cgroup-v2.rst, cgroup.freeze: a cgroup is frozen as long as one above it is. What nobody asked this container for
/// cannot be taken back by it: it says so at once, and does not wait.
fn resume_tells_of_a_frozen_parent(scene: &Scene) {
    let parent = cgroup_root().join(scene.id());
    fs::create_dir(&parent).unwrap();
    let mut bundle = scene.bundle();
    let path = format!("/{}/child", parent.file_name().unwrap().to_str().unwrap());
    bundle.sleep().set("/linux/cgroupsPath", path);
    let container = scene.container(&bundle);
    container.run_detached();
    fs::write(parent.join("cgroup.freeze"), "1").unwrap();
    scene.wait_until("it is frozen", || container.status() == "paused");
    scene.rt(&["resume", &container.id]).fails().says("a cgroup above its own is frozen");
    fs::write(parent.join("cgroup.freeze"), "0").unwrap();
    scene.wait_until("it goes on", || container.status() == "running");
    container.delete_force();
    fs::remove_dir(&parent).unwrap();
}
