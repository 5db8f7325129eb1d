//! What is left when a shim is killed, and the `delete` action, with which containerd cleans it up.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use containerd_shim_protos::api::{CreateTaskRequest, DeleteResponse, Mount};
use containerd_shim_protos::protobuf::Message;
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::mountinfo;
use integration_tests::process;
use integration_tests::scene::Scene;
use integration_tests::shim::process::{Printed, run};
use integration_tests::shim::task::Task;
use integration_tests::shim::{Engine, NAMESPACE, id, root};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

integration_tests::tests! {
    a_running_container,
    a_created_container,
    a_paused_container,
    a_stopped_container,
    with_processes_and_mounts,
    twice_is_no_error,
    a_bundle_without_a_container [Need::Planc],
    a_bundle_without_a_config [Need::Planc],
    a_root_filesystem_without_a_container [Need::Planc],
    with_another_root,
    a_container_of_a_shim_that_lives,
    a_stale_socket_goes_too [Need::Planc],
    no_container_outlives_its_bundle [Need::Planc],
}

/// Kills the shim.
fn kill_shim(scene: &Scene, task: &Task<'_, '_>) {
    kill(Pid::from_raw(task.shim as i32), Signal::SIGKILL).unwrap();
    scene.wait_until("the shim is dead", || !process::runs(task.shim));
}

fn response(printed: &Printed) -> DeleteResponse {
    DeleteResponse::parse_from_bytes(&printed.stdout).unwrap()
}

/// Cleans up, as the contract says: in time, with the status of a killed one.
#[track_caller]
fn clean_up(engine: &Engine<'_>, bundle: &Path, id: &str) -> DeleteResponse {
    let printed = engine.clean_up(bundle, id);
    assert!(printed.took < Duration::from_secs(5) * Lane::current().patience(), "{:?}", printed.took);
    let response = response(&printed);
    assert_eq!(response.exit_status, 137, "{response:?}");
    assert!(response.exited_at.seconds > 1_600_000_000, "{response:?}");
    response
}

/// Where the state of a container is.
fn state(scene: &Scene, id: &str) -> PathBuf {
    root(scene.runtime.kind).join(NAMESPACE).join(id)
}

/// Kills the shim of a task, cleans up, and looks whether all is gone; the oracle looks at the rest.
#[track_caller]
fn survives(scene: &Scene, engine: &Engine<'_>, task: &Task<'_, '_>) {
    let pid = task.client.state(&task.id, "").unwrap().pid;
    assert!(state(scene, &task.id).exists());
    kill_shim(scene, task);
    clean_up(engine, &task.bundle, &task.id);
    assert!(!process::runs(pid), "the container outlives its clean-up");
    assert!(!state(scene, &task.id).exists());
    remove_socket(task);
}

/// A socket that nobody listens at any more; containerd removes it with the bundle's `address`.
fn remove_socket(task: &Task<'_, '_>) {
    let _ = fs::remove_file(task.address.strip_prefix("unix://").unwrap());
}

fn a_running_container(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    survives(scene, &engine, &task);
}

fn a_created_container(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    task.create();
    survives(scene, &engine, &task);
}

fn a_paused_container(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.client.pause(&task.id).unwrap();
    survives(scene, &engine, &task);
}

fn a_stopped_container(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.kill();
    survives(scene, &engine, &task);
}

fn bind(source: &Path) -> Mount {
    let source = source.to_str().unwrap().to_owned();
    Mount { type_: "bind".to_owned(), source, options: vec!["rbind".to_owned()], ..Default::default() }
}

fn mounted_at(point: &Path) -> bool {
    mountinfo::at(&mountinfo::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap()), point).is_some()
}

fn with_processes_and_mounts(scene: &Scene) {
    let engine = Engine::new(scene);
    let mut bundle = engine.sh("sleep 1001 & sleep 1002 & wait");
    bundle.namespace("pid", None);
    let image = scene.path("image");
    fs::rename(bundle.rootfs(""), &image).unwrap();
    fs::create_dir(bundle.rootfs("")).unwrap();
    let task = engine.task(&bundle);
    task.client.create(&CreateTaskRequest { rootfs: vec![bind(&image)], ..task.request() }).unwrap();
    task.start();
    task.add("e", "sleep 1003");
    task.client.start(&task.id, "e").unwrap();
    scene.wait_until("all are there", || task.client.pids(&task.id).unwrap().len() >= 4);
    let pids: Vec<u32> = task.client.pids(&task.id).unwrap().iter().map(|process| process.pid).collect();
    assert!(mounted_at(&bundle.rootfs("").canonicalize().unwrap()));
    survives(scene, &engine, &task);
    assert!(!mounted_at(&bundle.dir().join("rootfs")));
    scene.wait_until("all have ended", || !pids.iter().any(|&pid| process::runs(pid)));
}

fn twice_is_no_error(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    survives(scene, &engine, &task);
    clean_up(&engine, &task.bundle, &task.id);
}

/// The Go shim asks for a file that its `Create` writes.
fn a_bundle_without_a_container(scene: &Scene) {
    let engine = Engine::new(scene);
    let bundle = engine.bundle();
    bundle.write();
    clean_up(&engine, bundle.dir(), &id(&bundle));
}

/// A shim that could not be started: containerd has made the folder, and wants it clean.
fn a_bundle_without_a_config(scene: &Scene) {
    let engine = Engine::new(scene);
    let id = scene.id();
    let empty = scene.path(&id);
    fs::create_dir(&empty).unwrap();
    clean_up(&engine, &empty, &id);
    fs::create_dir(empty.join("rootfs")).unwrap();
    fs::write(empty.join("config.json"), "{").unwrap();
    clean_up(&engine, &empty, &id);
}

fn a_root_filesystem_without_a_container(scene: &Scene) {
    let engine = Engine::new(scene);
    let bundle = engine.bundle();
    bundle.write();
    let point = bundle.dir().join("rootfs");
    let image = scene.path("image");
    fs::create_dir(&image).unwrap();
    nix::mount::mount(Some(&image), &point, None::<&str>, nix::mount::MsFlags::MS_BIND, None::<&str>).unwrap();
    clean_up(&engine, bundle.dir(), &id(&bundle));
    assert!(!mounted_at(&point));
}

/// The options are not said once more: the shim has to have left them in the bundle.
fn with_another_root(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    let another = scene.path("another-root");
    let options = integration_tests::shim::options(|options| options.root = another.to_str().unwrap().to_owned());
    let request = CreateTaskRequest { options: Some(options).into(), ..task.request() };
    let pid = task.client.create(&request).unwrap();
    task.start();
    let state = another.join(NAMESPACE).join(&task.id);
    assert!(state.is_dir(), "no {}", state.display());
    kill_shim(scene, &task);
    clean_up(&engine, &task.bundle, &task.id);
    assert!(!state.exists() && !process::runs(pid));
    remove_socket(&task);
}

/// So containerd cleans up after a container of a pod whose shim it cannot reach, or whose `Create` has failed.
fn a_container_of_a_shim_that_lives(scene: &Scene) {
    let engine = Engine::new(scene);
    let (mut first, mut second) = (engine.bundle(), engine.bundle());
    let group = scene.id();
    for bundle in [&mut first, &mut second] {
        bundle.set("/annotations", json!({"io.containerd.runc.v2.group": group}));
    }
    let (one, two) = (engine.running(&first), engine.running(&second));
    clean_up(&engine, &two.bundle, &two.id);
    assert_eq!(two.wait("").exit_status, 137);
    two.expect("exit 137");
    let _ = two.client.delete(&two.id, "");
    assert_eq!(one.run("e", "exit 3"), 3);
    one.kill();
    one.delete();
    one.shutdown();
}

/// The Go shim leaves its socket to containerd, which removes it when it knows its address.
fn a_stale_socket_goes_too(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    kill_shim(scene, &task);
    clean_up(&engine, &task.bundle, &task.id);
    assert!(!Path::new(task.address.strip_prefix("unix://").unwrap()).exists());
}

/// `-bundle` alone says where it is, too: after a restart the working directory may be containerd's.
fn no_container_outlives_its_bundle(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let pid = task.client.state(&task.id, "").unwrap().pid;
    kill_shim(scene, &task);
    let printed = run(engine.command(&task.bundle, &task.id, &[], "delete"), &[]);
    assert_eq!(response(printed.ok()).pid, pid);
    assert!(!process::runs(pid));
    remove_socket(&task);
}
