//! A container for which there is not memory enough to be made, started or joined.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::runtime::{Call, Done};
use integration_tests::scene::Scene;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, connect, listen, socket};
use serde_json::json;

use crate::events::{MEMORY, Parent};

integration_tests::tests! {
    create_says_so [MEMORY, Need::Planc],
    run_says_so [MEMORY, Need::Planc],
    create_tells_what_the_kernel_refused [MEMORY, Need::Planc],
    start_says_so_of_an_init_killed_before [MEMORY, Need::Planc],
    start_says_so [MEMORY, Need::Planc],
    exec_says_so [MEMORY, Need::Planc],
    no_kill_is_taken_for_another [MEMORY, Need::Planc],
}

/// What engines look for.
const WORDS: &str = "container init was OOM-killed (memory limit too low?)";

/// A bundle whose container is made in the parent.
fn below(scene: &Scene, parent: &Parent) -> Bundle {
    let mut bundle = scene.bundle();
    bundle.set("/linux/cgroupsPath", parent.child("child"));
    bundle
}

/// A socket at which others wait in line: whoever connects waits, too.
struct Line {
    path: PathBuf,
    listener: UnixListener,
    waiting: Vec<OwnedFd>,
}

impl Line {
    fn new(path: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let address = UnixAddr::new(&path).unwrap();
        let mut waiting = Vec::new();
        loop {
            let next = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).unwrap();
            match connect(next.as_raw_fd(), &address) {
                Ok(()) => waiting.push(next),
                Err(Errno::EAGAIN) => return Self { path, listener, waiting },
                Err(errno) => panic!("{errno}"),
            }
        }
    }

    /// Lets them in, and one more.
    fn move_on(&self) -> Vec<UnixStream> {
        (0..=self.waiting.len()).map(|_| self.listener.accept().unwrap().0).collect()
    }
}

/// The process in a cgroup that runs planc's init, if one does.
fn init_in(cgroup: &Path) -> Option<u32> {
    let pids = fs::read_to_string(cgroup.join("cgroup.procs")).ok()?;
    let exe = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    pids.lines().filter_map(|pid| pid.parse().ok()).find(|pid| exe(*pid).to_string_lossy().contains("memfd:"))
}

/// A launch whose process loses its memory while the host waits in line to send its pidfd.
#[track_caller]
fn starved(scene: &Scene, parent: &Parent, limited: &Path, launch: impl FnOnce(&[&str]) -> Call) -> Done {
    let line = Line::new(scene.path(&format!("line-{}", scene.id())));
    let running = launch(&["--pidfd-socket", line.path.to_str().unwrap()]).spawn();
    let child = parent.0.join("child");
    let sleeping = || init_in(&child).filter(|pid| process::stat(*pid).is_some_and(|stat| stat.state == 'S'));
    // One that joins is born twice.
    scene.wait_until("init has done what it can", || {
        let before = sleeping();
        sleep(Duration::from_millis(300));
        before.is_some() && sleeping() == before
    });
    let pid = init_in(&child).unwrap();
    fs::write(limited.join("memory.max"), "4096").unwrap();
    scene.wait_until("init is killed", || !process::runs(pid));
    let _let_in = line.move_on();
    let done = running.wait();
    fs::write(limited.join("memory.max"), "max").unwrap_or_default();
    done
}

/// runc's text ends before the limit.
fn create_says_so(scene: &Scene) {
    launch_says_so(scene, "create");
}

fn run_says_so(scene: &Scene) {
    launch_says_so(scene, "run");
}

fn launch_says_so(scene: &Scene, command: &str) {
    let parent = Parent::new(scene);
    let child = parent.0.join("child");
    let bundle = below(scene, &parent);
    let above = format!("memory.max of {} is 4096", parent.0.display());
    for (limited, words) in [(&child, "memory.max is 4096"), (&parent.0, &above)] {
        let container = scene.container(&bundle);
        let done = starved(scene, &parent, limited, |options| match command {
            "run" => container.run_call(options),
            _ => container.create_call(options),
        });
        done.exits(1).says(&format!("{WORDS}; {words}"));
        container.assert_gone();
        assert!(!child.exists(), "{done}");
    }
}

/// A page is too little for the kernel's own part of it, and three for the process before its execve: for those nobody is
/// killed. (More are not tried here: User Mode Linux panics where execve itself runs out of memory.)
fn create_tells_what_the_kernel_refused(scene: &Scene) {
    let parent = Parent::new(scene);
    let bundle = below(scene, &parent);
    parent.limit(4096);
    let container = scene.container(&bundle);
    container.try_create(&[]).exits(1).says("Out of memory (memory limit too low?)").says("on the host");
    container.assert_gone();
    assert!(!parent.0.join("child").exists());
    parent.limit("max");
    container.create();
    container.delete();
    let mut bundle = scene.bundle();
    bundle.set("/linux/resources/memory", json!({"limit": 4096}));
    let container = scene.container(&bundle);
    let done = container.try_create(&[]);
    done.exits(1).says("Out of memory (memory limit too low?); memory.max is 4096");
    container.assert_gone();
}

fn start_says_so_of_an_init_killed_before(scene: &Scene) {
    let parent = Parent::new(scene);
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

/// Init waits for a hook of the container when it is killed.
fn start_says_so(scene: &Scene) {
    let parent = Parent::new(scene);
    let child = parent.0.join("child");
    let mut bundle = below(scene, &parent);
    bundle.sleep().set("/hooks", json!({"startContainer": [{"path": "/bin/sleep", "args": ["sleep", "1000"]}]}));
    let container = scene.container(&bundle);
    container.create();
    let init = container.pid();
    let starting = scene.call(&["start", &container.id]).spawn();
    let pids = || fs::read_to_string(child.join("cgroup.procs")).unwrap();
    let hook = || pids().lines().filter_map(|pid| pid.parse().ok()).find(|pid| *pid != init);
    scene.wait_until("the hook runs", || {
        hook().is_some_and(|pid| process::stat(pid).is_some_and(|s| s.name == "sleep"))
    });
    spared(hook().unwrap());
    fs::write(child.join("memory.max"), "4096").unwrap();
    let done = starting.wait();
    done.exits(1).says(&format!("{WORDS}; memory.max is 4096"));
    scene.rt(&["delete", "--force", &container.id]);
    container.assert_gone();
}

/// One that the kernel may not take (proc_pid_oom_score_adj(5)).
fn spared(pid: u32) {
    fs::write(format!("/proc/{pid}/oom_score_adj"), "-1000").unwrap();
}

fn exec_says_so(scene: &Scene) {
    let parent = Parent::new(scene);
    let child = parent.0.join("child");
    let container = scene.container(below(scene, &parent).sleep());
    container.run_detached();
    spared(container.pid());
    let above = format!("memory.max of {} is 4096", parent.0.display());
    for (limited, words) in [(&parent.0, above.as_str()), (&child, "memory.max is 4096")] {
        let done = starved(scene, &parent, limited, |options| container.exec_call(options, &["/bin/true"]));
        done.exits(255).says(&format!("the process was OOM-killed (memory limit too low?); {words}"));
        assert_eq!(container.status(), "running");
    }
    container.exec(&[], &["/bin/true"]).ok();
    container.delete_force();
}

/// What was killed in the container before has nothing to do with a process that fails for another reason.
fn no_kill_is_taken_for_another(scene: &Scene) {
    let parent = Parent::new(scene);
    let container = scene.container(below(scene, &parent).sleep());
    container.create();
    spared(container.pid());
    fs::write(parent.0.join("child/memory.max"), "8388608").unwrap();
    assert_eq!(container.exec(&[], &["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]).code(), 137);
    let done = container.exec(&[], &["/nosuch"]);
    done.exits(255).says("no such file or directory");
    assert!(!done.stderr.contains("OOM"), "{done}");
    container.start();
    assert_eq!(container.status(), "running");
    container.delete_force();
}
