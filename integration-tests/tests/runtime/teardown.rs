//! The end of a container whatever it does: it is deleted by force in under 4 s, or the error says what is in the way
//! (SECURITY.md R-53, I2, I6, I7).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use integration_tests::fuse::Hanging;
use integration_tests::harness::{self, Need};
use integration_tests::lane::Lane;
use integration_tests::oracle::cgroup_root;
use integration_tests::process;
use integration_tests::runtime::Kind;
use integration_tests::scene::{Container, Scene};
use serde_json::json;

use crate::cgroups::{Existing, dir_of};
use crate::hooks::script;

integration_tests::tests! {
    of_a_fork_bomb,
    of_a_frozen_container,
    of_one_below_a_frozen_cgroup,
    of_a_stopped_container,
    of_many_cgroups_of_its_own,
    of_deep_cgroups_of_its_own [Need::Planc],
    of_threaded_cgroups_of_its_own [Need::Planc],
    while_processes_enter [Need::Planc],
    names_what_does_not_end [Need::Planc, Need::Path("/dev/fuse")],
    of_a_create_that_was_killed_while_frozen [Need::Planc],
    of_a_create_whose_init_was_born_frozen [Need::Planc],
    of_a_create_that_fails_while_frozen [Need::Planc],
    five_hundred_times_by_eight,
}

/// In which time a container is gone: containerd gives a delete 5 s (SECURITY.md I2).
const LIMIT: Duration = Duration::from_secs(4);

/// Deletes it by force, in time; says in which.
#[track_caller]
fn ends_in_time(container: &Container<'_>, what: &str) {
    let dir = dir_of(container);
    let begin = Instant::now();
    container.delete_force();
    let took = begin.elapsed();
    harness::say(format_args!("{what}: deleted in {} ms", took.as_millis()));
    assert!(took < LIMIT, "{what}: {took:?}");
    assert!(!dir.exists(), "{} is left", dir.display());
    container.assert_gone();
}

fn processes(dir: &Path) -> usize {
    fs::read_to_string(dir.join("cgroup.procs")).map_or(0, |text| text.lines().count())
}

/// Shells that fork shells, as many as are permitted, and again whenever one of them ended. Where no controller limits
/// their number, their user's does (RLIMIT_NPROC), which is a user that nobody else is.
fn of_a_fork_bomb(scene: &Scene) {
    const MOST: u64 = 200;
    let parent = Existing::new(scene);
    let mut bundle = scene.bundle();
    bundle.set("/linux/cgroupsPath", parent.path("bomb")).set("/process/user/uid", 54_321);
    bundle.set("/process/rlimits", json!([{"type": "RLIMIT_NPROC", "soft": MOST, "hard": MOST}]));
    if fs::write(parent.0.join("pids.max"), MOST.to_string()).is_ok() {
        bundle.remove("/process/rlimits");
    }
    // awk's system() fails where it cannot fork, and awk goes on; the shell above it waits for all that is orphaned.
    let bomb = r#"BEGIN { while (1) system("f() { while :; do f & done; }; f") }"#;
    let container = scene.container(bundle.args(&["sh", "-c", "awk \"$0\" 2> /dev/null; true", bomb]));
    container.run_detached();
    let dir = dir_of(&container);
    scene.wait_until("there are many", || processes(&dir) > MOST as usize / 2);
    ends_in_time(&container, "a fork bomb");
    parent.remove();
}

/// As many processes as a small service has.
const SOME: &str = "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; sleep 1000";

fn of_a_frozen_container(scene: &Scene) {
    for by in ["pause", "cgroup.freeze"] {
        let container = scene.container(scene.bundle().sh(SOME));
        container.run_detached();
        let dir = dir_of(&container);
        if by == "pause" {
            scene.rt(&["pause", &container.id]).ok();
        } else {
            fs::write(dir.join(by), "1").unwrap();
            scene.wait_until("it is frozen", || is_frozen(&dir));
        }
        assert_eq!(container.status(), "paused");
        ends_in_time(&container, by);
    }
}

fn is_frozen(dir: &Path) -> bool {
    fs::read_to_string(dir.join("cgroup.events")).unwrap().contains("frozen 1")
}

/// cgroup-v2.rst, cgroup.kill: what is frozen is killed as well, and nothing has to be thawed.
fn of_one_below_a_frozen_cgroup(scene: &Scene) {
    let parent = Existing::new(scene);
    let container = scene.container(scene.bundle().set("/linux/cgroupsPath", parent.path("own")).sh(SOME));
    container.run_detached();
    fs::write(parent.0.join("cgroup.freeze"), "1").unwrap();
    scene.wait_until("it is frozen", || is_frozen(&parent.0.join("own")));
    assert_ne!(container.status(), "stopped", "its init is alive (SECURITY.md I7)");
    ends_in_time(&container, "below a frozen cgroup");
    assert!(is_frozen(&parent.0), "it is not the container's to thaw");
    parent.remove();
}

fn of_a_stopped_container(scene: &Scene) {
    let container = scene.container(scene.bundle().sh(SOME));
    container.run_detached();
    let pid = container.pid();
    let pids = fs::read_to_string(dir_of(&container).join("cgroup.procs")).unwrap();
    let pids: Vec<u32> = pids.lines().map(|pid| pid.parse().unwrap()).collect();
    for pid in &pids {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid as i32), nix::sys::signal::Signal::SIGSTOP).unwrap();
    }
    scene.wait_until("all are stopped", || {
        pids.iter().all(|pid| process::stat(*pid).is_some_and(|stat| stat.state == 'T'))
    });
    assert_eq!(container.status(), "running", "its init is alive (SECURITY.md I7)");
    ends_in_time(&container, "stopped");
    assert!(!process::runs(pid));
}

/// A container that has the right to make cgroups makes many, with processes and controllers of their own.
fn of_many_cgroups_of_its_own(scene: &Scene) {
    const MANY: usize = 1000;
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let dir = dir_of(&container);
    fs::create_dir(dir.join("init")).unwrap();
    fs::write(dir.join("init/cgroup.procs"), container.pid().to_string()).unwrap();
    for name in fs::read_to_string(dir.join("cgroup.controllers")).unwrap().split_whitespace() {
        fs::write(dir.join("cgroup.subtree_control"), format!("+{name}")).unwrap();
    }
    for number in 0..MANY {
        fs::create_dir(dir.join(format!("c{number}"))).unwrap();
    }
    fs::create_dir_all(dir.join("c1/a/b/c")).unwrap();
    container.exec(&["--detach", "--cgroup", "c1/a/b/c"], &["sleep", "1000"]).ok();
    ends_in_time(&container, "1000 cgroups of its own");
}

/// Deeper than the runtime may have files open.
fn of_deep_cgroups_of_its_own(scene: &Scene) {
    const DEPTH: usize = 300;
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let dir = dir_of(&container);
    let mut deep: PathBuf = dir.clone();
    for _ in 0..DEPTH {
        deep.push("d");
        fs::create_dir(&deep).unwrap();
    }
    let limited = scene.by(&["prlimit", "--nofile=64:64"]);
    let listed = limited.rt(&["ps", "--format", "json", &container.id]);
    assert_eq!(listed.ok().json(), json!([container.pid()]));
    let begin = Instant::now();
    limited.rt(&["delete", "--force", &container.id]).ok();
    harness::say(format_args!("300 cgroups deep: deleted in {} ms", begin.elapsed().as_millis()));
    assert!(begin.elapsed() < LIMIT && !dir.exists());
}

/// A threaded cgroup does not say which processes it has (cgroups(7), "Thread mode").
fn of_threaded_cgroups_of_its_own(scene: &Scene) {
    let count = |container: &Container<'_>| {
        let listed = scene.rt(&["ps", "--format", "json", &container.id]);
        listed.ok().json().as_array().unwrap().len()
    };
    let container = scene.container(scene.bundle().sh(SOME));
    container.run_detached();
    let (dir, pid) = (dir_of(&container), container.pid());
    fs::create_dir(dir.join("threads")).unwrap();
    fs::write(dir.join("threads/cgroup.type"), "threaded").unwrap();
    fs::write(dir.join("threads/cgroup.threads"), pid.to_string()).unwrap();
    assert_eq!(count(&container), 9);
    assert_eq!(container.status(), "running");
    scene.rt(&["kill", "--all", &container.id, "CONT"]).ok();
    fs::write(dir.join("cgroup.freeze"), "1").unwrap();
    let begin = Instant::now();
    container.delete_force();
    assert!(begin.elapsed() < LIMIT && !dir.exists());
}

/// Processes that enter the cgroup, and make cgroups in it, for as long as that can be: what was empty is not any more.
fn while_processes_enter(scene: &Scene) {
    let container = scene.container(scene.bundle().sh(SOME));
    container.run_detached();
    let dir = dir_of(&container);
    let (stop, entered) = (AtomicBool::new(false), std::sync::atomic::AtomicUsize::new(0));
    thread::scope(|threads| {
        threads.spawn(|| {
            let end = Instant::now() + Duration::from_millis(700);
            let mut children = Vec::new();
            while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                let below = dir.join(format!("again{}", children.len() % 3));
                let _ = fs::create_dir(&below);
                let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
                if fs::write(below.join("cgroup.procs"), child.id().to_string()).is_ok() {
                    entered.fetch_add(1, Ordering::Relaxed);
                } else {
                    child.kill().unwrap();
                }
                children.push(child);
            }
            children.iter_mut().for_each(|child| drop((child.kill(), child.wait())));
        });
        scene.wait_until("some have entered", || entered.load(Ordering::Relaxed) > 3);
        ends_in_time(&container, "while processes enter");
        stop.store(true, Ordering::Relaxed);
    });
}

/// A process that waits in the kernel for something that does not come cannot be killed: that is said within the time, and
/// the container is kept until it can be.
fn names_what_does_not_end(scene: &Scene) {
    let hanging = Hanging::mount(scene.path("hanging"));
    let mut bundle = scene.bundle();
    bundle.mount("/tmp", "none", scene.path("hanging"), &["bind"]);
    let container = scene.container(bundle.sh("sleep 1000 & stat /tmp/x"));
    container.run_detached();
    scene.wait_until("it hangs", || hanging.is_asked());
    let dir = dir_of(&container);
    let begin = Instant::now();
    let done = scene.rt(&["delete", "--force", &container.id]);
    let took = begin.elapsed();
    done.fails().says("still running").says("(state D").says("stat").says("delete it again");
    harness::say(format_args!("what does not end: told after {} ms: {}", took.as_millis(), done.stderr.trim()));
    assert!(took < LIMIT, "{took:?}");
    assert_eq!(container.status(), "running", "it is not stopped while its init is alive (SECURITY.md I7)");
    assert!(dir.exists());
    hanging.end();
    scene.wait_until("it can end", || processes(&dir) == 0);
    container.delete_force();
    assert!(!dir.exists());
}

/// A container whose create runs this script as a hook, which is told the container's cgroup; and that cgroup.
fn with_a_hook<'s>(scene: &'s Scene, hook: &str) -> (Container<'s>, PathBuf) {
    let path = format!("planc-hook-{}", scene.id());
    let dir = cgroup_root().join(&path);
    let hook = script(&format!("dir={}; {hook}", dir.display()));
    let mut bundle = scene.bundle();
    bundle.set("/linux/cgroupsPath", format!("/{path}")).set("/hooks", json!({"createRuntime": [hook]}));
    (scene.container(&bundle), dir)
}

/// runc#4481: a runtime that is killed meanwhile leaves a frozen init.
fn of_a_create_that_was_killed_while_frozen(scene: &Scene) {
    let stop = scene.path("stop");
    let (container, dir) = with_a_hook(scene, &format!("while [ ! -e {} ]; do sleep 0.05; done", stop.display()));
    let mut create = container.create_call(&[]).spawn();
    scene.wait_until("init is there", || processes(&dir) == 1);
    fs::write(dir.join("cgroup.freeze"), "1").unwrap();
    scene.wait_until("it is frozen", || is_frozen(&dir));
    create.kill();
    let begin = Instant::now();
    container.delete_force();
    // The hook is not in the container's cgroup.
    fs::write(stop, "").unwrap();
    harness::say(format_args!("a create killed while frozen: deleted in {} ms", begin.elapsed().as_millis()));
    assert!(begin.elapsed() < LIMIT && !dir.exists());
    container.assert_gone();
}

/// An init that never got to close what it was born with, the lock among it, holds up no delete: not that of what a killed
/// creator left, and not that of what one waits for that is alive.
fn of_a_create_whose_init_was_born_frozen(scene: &Scene) {
    for is_killed in [true, false] {
        let (container, dir) = with_a_hook(scene, "true");
        let mut create = container.create_call(&[]).spawn();
        // It is made, looked at, and entered soon after.
        while fs::write(dir.join("cgroup.freeze"), "1").is_err() {
            assert!(create.runs(), "it made no cgroup");
        }
        scene.wait_until("init is there", || processes(&dir) == 1);
        scene.wait_until("it is frozen", || is_frozen(&dir));
        if is_killed {
            create.kill();
        }
        let begin = Instant::now();
        container.delete_force();
        harness::say(format_args!("an init born frozen: deleted in {} ms", begin.elapsed().as_millis()));
        assert!(begin.elapsed() < LIMIT && !dir.exists());
        container.assert_gone();
        if !is_killed {
            create.wait().fails();
        }
    }
}

fn of_a_create_that_fails_while_frozen(scene: &Scene) {
    let (container, dir) = with_a_hook(scene, "echo 1 > $dir/cgroup.freeze; exit 3");
    let begin = Instant::now();
    container.try_create(&[]).fails();
    assert!(begin.elapsed() < LIMIT && !dir.exists(), "{:?}", begin.elapsed());
    container.assert_gone();
}

fn five_hundred_times_by_eight(scene: &Scene) {
    five_hundred(scene, &[]);
}

/// 500 containers made, some of them started, and deleted, by eight at a time. (runc 1.1 leaves what it killed to die: its
/// cgroups are the oracle's matter.)
fn five_hundred(scene: &Scene, globals: &[&str]) {
    const WORKERS: usize = 8;
    // User Mode Linux has one processor, and takes most of a second for each.
    let times = harness::cycles(if Lane::current() == Lane::Native { 500 } else { 60 });
    let next = std::sync::atomic::AtomicUsize::new(0);
    let begin = Instant::now();
    thread::scope(|threads| {
        for _ in 0..WORKERS {
            threads.spawn(|| {
                let mut bundle = scene.bundle();
                bundle.sh("sleep 1000 & sleep 1000").write();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= times {
                        break;
                    }
                    let id = scene.id();
                    let rt = |args: &[&str]| drop(scene.rt(&[globals, args].concat()).ok().to_owned());
                    rt(&["create", "--bundle", bundle.arg(), &id]);
                    if number.is_multiple_of(4) {
                        rt(&["start", &id]);
                    }
                    rt(&["delete", "--force", &id]);
                }
            });
        }
    });
    harness::say(format_args!("{times} cycles by 8: {} ms", begin.elapsed().as_millis()));
    let left = fs::read_dir(scene.root()).map_or(0, Iterator::count);
    assert_eq!(left, 0, "state directories are left");
    if scene.runtime.kind == Kind::Planc {
        assert_eq!(scene.leaks(), Vec::<String>::new());
    }
}
