//! A container for which there is not memory enough to be made, started or joined.

use std::fs;

use integration_tests::harness::Need;
use integration_tests::runtime::Done;
use integration_tests::scene::{Container, Scene};
use nix::unistd::{SysconfVar, sysconf};

use crate::events::{MEMORY, Parent};

integration_tests::tests! {
    create_says_so [MEMORY, Need::Planc],
    run_says_so [MEMORY, Need::Planc],
    start_says_so_of_an_init_killed_before [MEMORY, Need::Planc],
    start_says_so [MEMORY, Need::Planc],
    exec_says_so [MEMORY, Need::Planc],
    no_kill_is_taken_for_another [MEMORY, Need::Planc],
}

/// What engines look for.
const WORDS: &str = "container init was OOM-killed (memory limit too low?)";

fn page() -> u64 {
    sysconf(SysconfVar::PAGE_SIZE).unwrap().unwrap() as u64
}

/// A bundle whose container is made in the parent.
fn below(scene: &Scene, parent: &Parent) -> integration_tests::bundle::Bundle {
    let mut bundle = scene.bundle();
    bundle.set("/linux/cgroupsPath", parent.child("child"));
    bundle
}

/// Limits from far too little to enough, in bytes.
fn limits() -> impl Iterator<Item = u64> {
    [1, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 256].into_iter().map(|pages| pages * page())
}

/// Some pages are too little for the kernel's own part of it, and for the process before its execve: for those nobody is
/// killed.
fn is_refused(done: &Done) -> bool {
    done.stderr.contains("Out of memory (memory limit too low?)") && done.stderr.contains("on the host")
}

/// Whatever the limit: it goes, or it is said why not, with the limit, and nothing is left. (runc's own needs some MiB, and
/// its text has no limit.)
fn create_says_so(scene: &Scene) {
    let parent = Parent::new(scene, "+memory");
    let bundle = below(scene, &parent);
    let (mut killed, mut enough) = (0, false);
    for limit in limits() {
        parent.limit(limit);
        let container = scene.container(&bundle);
        let done = container.try_create(&[]);
        enough = done.code() == 0;
        if enough {
            container.delete_force();
        } else if !is_refused(&done) {
            done.exits(1).says(WORDS).says(&format!("memory.max of {} is {limit}", parent.0.display()));
            killed += 1;
        }
        container.assert_gone();
        assert!(!parent.0.join("child").exists(), "{done}");
    }
    assert!(killed > 0 && enough, "{killed} were killed");
}

fn run_says_so(scene: &Scene) {
    let parent = Parent::new(scene, "+memory");
    let bundle = below(scene, &parent);
    let mut killed = 0;
    for limit in limits() {
        parent.limit(limit);
        let container = scene.container(&bundle);
        let done = container.run();
        match done.code() {
            0 => {}
            // The program itself had not enough.
            137 => assert_eq!(done.stderr, "", "{done}"),
            _ if is_refused(&done) => {}
            _ => {
                done.exits(1).says(WORDS).says(&format!("memory.max of {} is {limit}", parent.0.display()));
                killed += 1;
            }
        }
        container.assert_gone();
    }
    assert!(killed > 0);
    assert!(!parent.0.join("child").exists());
}

fn start_says_so_of_an_init_killed_before(scene: &Scene) {
    let parent = Parent::new(scene, "+memory");
    let container = scene.container(below(scene, &parent).sleep());
    container.create();
    let pid = container.pid();
    fs::write(parent.0.join("child/memory.max"), "4096").unwrap();
    container.wait_end(pid);
    let done = scene.rt(&["start", &container.id]);
    done.exits(1).says("cannot start a container that has stopped").says(WORDS).says("; memory.max is 4096");
    container.delete();
    // One that was started and then killed was not in want of memory to start.
    let container = scene.container(below(scene, &parent).sleep());
    container.run_detached();
    let pid = container.pid();
    parent.limit(4096);
    container.wait_end(pid);
    parent.limit("max");
    let done = scene.rt(&["start", &container.id]);
    done.exits(1).says("cannot start a container that has stopped");
    assert!(!done.stderr.contains("OOM"), "{done}");
    container.delete();
}

/// Created under a limit that leaves a few pages: execve has to copy its arguments, and to map the program.
fn start_says_so(scene: &Scene) {
    let parent = Parent::new(scene, "+memory");
    let mut killed = 0;
    for pages in [0, 1, 2, 3, 4, 6, 8, 12, 16, 64] {
        let container = scene.container(below(scene, &parent).sleep());
        container.create();
        let used: u64 = fs::read_to_string(parent.0.join("memory.current")).unwrap().trim().parse().unwrap();
        let limit = used + pages * page();
        parent.limit(limit);
        let done = scene.rt(&["start", &container.id]);
        if done.code() != 0 {
            done.exits(1).says(WORDS).says(&format!("memory.max of {} is {limit}", parent.0.display()));
            killed += 1;
        }
        parent.limit("max");
        container.delete_force();
    }
    assert!(killed > 0);
}

/// Init is none that the kernel may take (proc_pid_oom_score_adj(5)).
fn spared(container: &Container<'_>) {
    fs::write(format!("/proc/{}/oom_score_adj", container.pid()), "-1000").unwrap();
}

fn exec_says_so(scene: &Scene) {
    let parent = Parent::new(scene, "+memory");
    let container = scene.container(below(scene, &parent).sleep());
    container.run_detached();
    spared(&container);
    let mut killed = 0;
    for pages in [0, 2, 4, 8, 16, 32, 256] {
        let used: u64 = fs::read_to_string(parent.0.join("memory.current")).unwrap().trim().parse().unwrap();
        let limit = used + pages * page();
        parent.limit(limit);
        let done = container.exec(&[], &["/bin/true"]);
        match done.code() {
            0 => {}
            137 => assert_eq!(done.stderr, "", "{done}"),
            _ if is_refused(&done) => {}
            _ => {
                let words = format!("memory.max of {} is {limit}", parent.0.display());
                done.exits(255).says("the process was OOM-killed (memory limit too low?)").says(&words);
                killed += 1;
            }
        }
        assert_eq!(container.status(), "running");
    }
    parent.limit("max");
    assert!(killed > 0);
    container.exec(&[], &["/bin/true"]).ok();
    container.delete_force();
}

/// What was killed in the container before has nothing to do with a process that fails for another reason.
fn no_kill_is_taken_for_another(scene: &Scene) {
    let parent = Parent::new(scene, "+memory");
    let container = scene.container(below(scene, &parent).sleep());
    container.create();
    spared(&container);
    fs::write(parent.0.join("child/memory.max"), "8388608").unwrap();
    assert_eq!(container.exec(&[], &["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]).code(), 137);
    let done = container.exec(&[], &["/nosuch"]);
    done.exits(255).says("no such file or directory");
    assert!(!done.stderr.contains("OOM"), "{done}");
    container.start();
    assert_eq!(container.status(), "running");
    container.delete_force();
}
