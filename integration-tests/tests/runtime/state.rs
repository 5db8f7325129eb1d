//! State that is not as it should be: spoilt files, killed creators, processes that outlive init, pids that are others'.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::scene::{Container, Scene};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, mkfifo};
use serde_json::{Value, json};

integration_tests::tests! {
    spoilt_state_lists_and_deletes [Need::Planc],
    spoilt_state_of_a_created_one [Need::Planc],
    every_flipped_byte_is_noticed [Need::Planc],
    another_versions_state_lists_and_deletes [Need::Planc],
    a_copied_state_ends_nothing_of_the_original [Need::Planc],
    a_forged_cgroup_is_left_alone [Need::Planc],
    half_made_ones_are_listed_and_deleted [Need::Planc],
    what_is_no_container_is_passed_over,
    list_while_others_come_and_go [Need::Planc],
    a_zombie_is_stopped,
    a_recycled_pid_is_stopped [Need::Path("/proc/sys/kernel/ns_last_pid")],
    another_boots_pid_is_stopped [Need::Planc],
    kill_all_reaches_what_init_left,
    kill_reaches_what_init_left [Need::Planc],
    kill_reaches_all_that_share_a_pid_namespace [Need::Planc],
    delete_ends_what_init_left [Need::Planc],
}

/// state.json of a container.
fn file(scene: &Scene, container: &Container<'_>) -> PathBuf {
    scene.root().join(&container.id).join("state.json")
}

/// Asserts that a list succeeds without a word, and returns the entry of a container.
#[track_caller]
fn listed(scene: &Scene, container: &Container<'_>) -> Value {
    scene.rt(&["list"]).ok();
    let done = scene.rt(&["list", "--format", "json"]);
    assert_eq!(done.ok().stderr, "", "{done}");
    let list = done.json();
    let entry = list.as_array().unwrap().iter().find(|entry| entry["id"] == container.id.as_str());
    entry.unwrap_or_else(|| panic!("{} is not listed: {list}", container.id)).clone()
}

/// What makes a state.json into something else.
type Spoil = (&'static str, fn(&Path));

fn replace(path: &Path, make: impl FnOnce(&Path)) {
    fs::remove_file(path).unwrap();
    make(path);
}

const SPOILS: &[Spoil] = &[
    ("emptied", |path| fs::write(path, "").unwrap()),
    ("truncated", |path| OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap()),
    ("of an older version", |path| {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, text.lines().next().unwrap()).unwrap();
    }),
    ("no JSON", |path| fs::write(path, "Lorem ipsum\n").unwrap()),
    ("huge", |path| OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 40).unwrap()),
    ("a directory", |path| replace(path, |path| fs::create_dir_all(path.join("sub/sub")).unwrap())),
    ("a fifo", |path| replace(path, |path| mkfifo(path, Mode::S_IRUSR).unwrap())),
    ("a link to nothing", |path| replace(path, |path| symlink("nosuch", path).unwrap())),
    ("a link to itself", |path| replace(path, |path| symlink("state.json", path).unwrap())),
    ("a link to a file", |path| replace(path, |path| symlink("/etc/hostname", path).unwrap())),
    ("gone", |path| fs::remove_file(path).unwrap()),
];

/// SECURITY.md §3.1, I2: whatever became of the record, it is listed, `delete` says what to do, and a forced one ends and
/// removes all of the container.
fn spoilt_state_lists_and_deletes(scene: &Scene) {
    let neighbour = scene.container(scene.bundle().sleep());
    neighbour.run_detached();
    for (name, spoil) in SPOILS {
        let container = scene.container(scene.bundle().sh("sleep 1001 & sleep 1002"));
        container.run_detached();
        let pid = container.pid();
        spoil(&file(scene, &container));
        let entry = listed(scene, &container);
        let status = if *name == "gone" { "creating" } else { "unknown" };
        assert_eq!((&entry["status"], &entry["pid"]), (&json!(status), &json!(0)), "{name}");
        let ids: Vec<String> = scene.rt(&["list", "-q"]).stdout.lines().map(str::to_owned).collect();
        assert!(ids.contains(&container.id), "{name}");
        if status == "unknown" {
            for command in ["state", "start", "kill", "ps", "pause", "resume"] {
                let done = scene.rt(&[command, &container.id]);
                done.fails().says(&container.id).says("--force");
                assert!(!done.stderr.contains("does not exist"), "{name}: {done}");
            }
        }
        scene.rt(&["delete", &container.id]).fails().says(&container.id).says("--force");
        assert!(process::runs(pid), "{name}: what was refused changed nothing");
        container.delete_force();
        assert!(!process::runs(pid), "{name}");
        container.assert_gone();
        // The id, and its cgroup, are free.
        container.create();
        container.delete();
    }
    assert_eq!(neighbour.status(), "running");
    neighbour.delete_force();
}

fn spoilt_state_of_a_created_one(scene: &Scene) {
    for (name, spoil) in SPOILS {
        let container = scene.container(scene.bundle().sleep());
        container.create();
        let pid = container.pid();
        spoil(&file(scene, &container));
        container.delete_force();
        assert!(!process::runs(pid), "{name}");
        container.assert_gone();
    }
}

/// A pid, a path or an inode that is another one by one bit must not be believed.
fn every_flipped_byte_is_noticed(scene: &Scene) {
    let container = scene.container(&scene.bundle());
    container.create();
    let path = file(scene, &container);
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        scene.rt(&["state", &container.id]).fails().says("checksum");
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(container.status(), "created");
    container.delete();
}

/// What state.json says, changed, with its checksum: FNV-1a of the first line, in 16 hexadecimal digits on the second.
fn rewrite(path: &Path, change: impl FnOnce(&mut Value)) {
    let text = fs::read_to_string(path).unwrap();
    let mut record: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    change(&mut record);
    let json = record.to_string();
    let sum = json
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    fs::write(path, format!("{json}\n{sum:016x}\n")).unwrap();
}

fn another_versions_state_lists_and_deletes(scene: &Scene) {
    let changes: [fn(&mut Value); 4] = [
        |record| record["version"] = json!(1),
        |record| *record = json!({"version": 99, "bundle": "/b", "unheardOf": {"of": []}}),
        |record| record["init"] = json!("elsewhere"),
        |record| record["version"] = json!("two"),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let container = scene.container(scene.bundle().sleep());
        container.run_detached();
        let pid = container.pid();
        rewrite(&file(scene, &container), change);
        let entry = listed(scene, &container);
        assert_eq!((&entry["status"], &entry["id"]), (&json!("unknown"), &json!(container.id)), "{index}");
        if index == 1 {
            assert_eq!(entry["bundle"], "/b", "what can be known is told");
        }
        scene.rt(&["delete", &container.id]).fails().says("--force");
        assert!(process::runs(pid));
        container.delete_force();
        assert!(!process::runs(pid), "{index}");
        container.assert_gone();
    }
}

fn a_copied_state_ends_nothing_of_the_original(scene: &Scene) {
    let [original, copy] = [(); 2].map(|()| {
        let container = scene.container(scene.bundle().sleep());
        container.run_detached();
        container
    });
    let pids = [original.pid(), copy.pid()];
    fs::copy(file(scene, &original), file(scene, &copy)).unwrap();
    assert_eq!(listed(scene, &copy)["status"], "unknown");
    copy.delete_force();
    assert!(process::runs(pids[0]) && !process::runs(pids[1]));
    assert_eq!(original.status(), "running");
    original.delete_force();
}

/// a cgroup of the recorded path with another inode is another's, whoever wrote the path there.
fn a_forged_cgroup_is_left_alone(scene: &Scene) {
    let [neighbour, container] = [(); 2].map(|()| {
        let container = scene.container(scene.bundle().sleep());
        container.run_detached();
        container
    });
    let of = |container: &Container<'_>| -> Value {
        let text = fs::read_to_string(file(scene, container)).unwrap();
        serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap()["cgroup"].clone()
    };
    let (theirs, own) = (of(&neighbour), of(&container));
    rewrite(&file(scene, &container), |record| record["cgroup"]["path"] = theirs["path"].clone());
    scene.rt(&["kill", "--all", &container.id, "KILL"]).ok();
    container.delete_force();
    assert_eq!(neighbour.status(), "running");
    neighbour.delete_force();
    // Its own was not to be found by a path that is not its.
    fs::remove_dir(own["path"].as_str().unwrap()).unwrap();
}

/// What a creator leaves that is killed between mkdir(2) and the first record. It may also be at work right now.
fn half_made_ones_are_listed_and_deleted(scene: &Scene) {
    for force in [false, true] {
        let container = scene.container(&scene.bundle());
        let dir = scene.root().join(&container.id);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("config.json"), "{").unwrap();
        fs::write(dir.join("state.json.new"), "").unwrap();
        assert_eq!(listed(scene, &container)["status"], "creating");
        assert_eq!(container.status(), "creating");
        scene.rt(&["start", &container.id]).fails().says("cannot start a container in the creating state");
        scene.rt(&["kill", &container.id]).fails().says("container not running");
        scene.rt(&["pause", &container.id]).fails().says("container not running");
        if force {
            container.delete_force();
        } else {
            container.delete();
        }
        container.assert_gone();
    }
}

fn what_is_no_container_is_passed_over(scene: &Scene) {
    fs::create_dir_all(scene.root()).unwrap();
    File::create(scene.root().join("a-file")).unwrap();
    symlink("/etc", scene.root().join("a-link")).unwrap();
    assert_eq!(scene.rt(&["list", "-f", "json"]).ok().json(), Value::Null);
    scene.rt(&["delete", "--force", "nosuch"]).ok();
    for name in ["a-file", "a-link"] {
        scene.rt(&["state", name]).fails();
        scene.rt(&["delete", name]).fails();
        // runc has removed it although it said that there is no such container.
        let _ = fs::remove_file(scene.root().join(name));
    }
    assert!(Path::new("/etc/hostname").exists());
}

/// runc 1.1.5 does so most of the time; where a directory vanishes at the wrong moment it fails.
fn list_while_others_come_and_go(scene: &Scene) {
    let bundle = scene.bundle();
    let containers: Vec<Container<'_>> = (0..4).map(|_| scene.container(&bundle)).collect();
    // A root that is named and not there is an error of list.
    fs::create_dir(scene.root()).unwrap();
    std::thread::scope(|threads| {
        for container in &containers {
            threads.spawn(move || {
                for _ in 0..3 {
                    container.create();
                    container.delete_force();
                }
            });
        }
        for _ in 0..20 {
            let done = scene.rt(&["list", "-f", "json"]);
            assert_eq!(done.ok().stderr, "");
            assert!(done.json().is_array() || done.json().is_null(), "{done}");
        }
    });
}

/// A container whose reaper does not reap: this process is its parent from the end of `run` on.
fn a_zombie_is_stopped(scene: &Scene) {
    set_child_subreaper(true).unwrap();
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let pid = container.pid();
    container.kill("KILL");
    scene.wait_until("it is a zombie", || process::stat(pid).is_some_and(|stat| stat.state == 'Z'));
    assert_eq!(container.status(), "stopped");
    assert_eq!(container.pid(), 0);
    scene.rt(&["kill", &container.id, "KILL"]).fails().says("container not running");
    scene.rt(&["pause", &container.id]).fails().says("container not running");
    container.delete();
    container.assert_gone();
    set_child_subreaper(false).unwrap();
    waitpid(Pid::from_raw(pid as i32), None).unwrap();
}

/// A process that has got this pid, which is free.
fn with_pid(pid: u32) -> Child {
    for _ in 0..100 {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        if child.id() == pid {
            return child;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    panic!("the pid {pid} could not be had");
}

fn a_recycled_pid_is_stopped(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let pid = container.pid();
    container.stop();
    scene.wait_until("its pid is free", || process::stat(pid).is_none());
    let mut other = with_pid(pid);
    assert_eq!((container.status(), container.pid()), ("stopped".to_owned(), 0));
    scene.rt(&["kill", &container.id, "KILL"]).fails().says("container not running");
    scene.rt(&["start", &container.id]).fails();
    container.delete();
    assert!(other.try_wait().unwrap().is_none(), "somebody else's process was ended");
    other.kill().unwrap();
    other.wait().unwrap();
}

/// What a state directory that outlives a reboot says of pids is about another time.
fn another_boots_pid_is_stopped(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let (pid, path) = (container.pid(), file(scene, &container));
    for (member, value) in [("bootId", json!("0-0")), ("pidfdInode", json!(1)), ("startTime", json!(1))] {
        let before = fs::read(&path).unwrap();
        rewrite(&path, |record| {
            let init = record["init"].as_object_mut().unwrap();
            // It takes the place of the time.
            init.remove("pidfdInode");
            init.insert(member.to_owned(), value);
        });
        assert_eq!(container.status(), "stopped", "{member}");
        scene.rt(&["kill", &container.id, "TERM"]).fails().says("container not running");
        assert!(process::runs(pid));
        fs::write(&path, before).unwrap();
    }
    container.delete_force();
}

/// Containers without a pid namespace of their own, the host's or another's, whose init ended and left a process behind.
fn abandoned<'s>(scene: &'s Scene, sandbox: Option<&Container<'_>>) -> (Container<'s>, u32) {
    let mut bundle = scene.bundle();
    let namespace = sandbox.map(|sandbox| format!("/proc/{}/ns/pid", sandbox.pid()));
    bundle.namespace("pid", namespace.as_deref()).sh("sleep 1001 & exec sleep 1002");
    let container = scene.container(&bundle);
    container.run_detached();
    let init = container.pid();
    let mut left = Vec::new();
    scene.wait_until("both run", || {
        let pids = scene.rt(&["ps", "-f", "json", &container.id]).json();
        left = pids.as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap() as u32).collect();
        left.len() == 2
    });
    kill(Pid::from_raw(init as i32), Signal::SIGKILL).unwrap();
    container.wait_end(init);
    assert_eq!(container.status(), "stopped");
    let child = left.into_iter().find(|pid| *pid != init).unwrap();
    assert!(process::runs(child));
    (container, child)
}

/// Calls `test` with a container of each kind.
fn each_kind(scene: &Scene, test: impl Fn(&Container<'_>, u32)) {
    let sandbox = scene.container(scene.bundle().sleep());
    sandbox.run_detached();
    for sandbox in [None, Some(&sandbox)] {
        let (container, child) = abandoned(scene, sandbox);
        test(&container, child);
        assert!(!process::runs(child));
        container.assert_gone();
    }
    assert_eq!(sandbox.status(), "running");
    sandbox.delete_force();
}

fn kill_all_reaches_what_init_left(scene: &Scene) {
    each_kind(scene, |container, child| {
        scene.rt(&["kill", "--all", &container.id, "KILL"]).ok();
        scene.wait_until("it is dead", || !process::runs(child));
        container.delete();
    });
}

/// runtime.md#kill: what is stopped gets no signal. SIGKILL says that it is to end, and that it has not as long as there
/// are processes. (runc does the same from 1.2 on.)
fn kill_reaches_what_init_left(scene: &Scene) {
    each_kind(scene, |container, child| {
        scene.rt(&["kill", &container.id, "TERM"]).fails().says("container not running");
        assert!(process::runs(child));
        scene.rt(&["kill", &container.id, "KILL"]).ok();
        scene.wait_until("it is dead", || !process::runs(child));
        scene.wait_until("nothing is left", || {
            scene.rt(&["kill", &container.id, "KILL"]).stderr.contains("container not running")
        });
        container.delete();
    });
}

/// Its init's end would not end the others. (runc does the same from 1.2 on.)
fn kill_reaches_all_that_share_a_pid_namespace(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.namespace("pid", None).sh("sleep 1001 & sleep 1002 & wait");
    let container = scene.container(&bundle);
    container.run_detached();
    let pids = || scene.rt(&["ps", "-f", "json", &container.id]).json().as_array().map_or(0, Vec::len);
    scene.wait_until("three run", || pids() == 3);
    container.kill("KILL");
    scene.wait_until("none runs", || pids() == 0);
    container.delete();
}

fn delete_ends_what_init_left(scene: &Scene) {
    each_kind(scene, |container, _| container.delete());
}
