//! A shim that is killed, and a containerd that is away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;

use integration_tests::containerd::events::Events;
use integration_tests::containerd::{Containerd, Listed, shims};
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::process;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use integration_tests::shim::{NAMESPACE, root};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const NATIVE: Need = Need::Lane(Lane::Native);

/// How many containers run while containerd is away, and how many of them end.
const RUNNING: usize = 20;
const ENDING: usize = 5;

integration_tests::containerd_tests! {
    a_shim_is_killed [NATIVE],
    a_shim_of_a_group_is_killed [NATIVE],
    containerd_is_killed_and_comes_back [NATIVE],
}

fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid as i32), signal).unwrap();
}

/// Kills the only shim; afterwards there is nothing of the containers but containerd's record of each.
#[track_caller]
fn kill_shim(scene: &Scene, containerd: &Containerd<'_>, ids: &[&str]) {
    let events = Events::listen(containerd);
    let pids: Vec<u32> = ids.iter().map(|id| containerd.task(id).unwrap().pid).collect();
    let cgroups: Vec<PathBuf> = pids.iter().map(|&pid| process::cgroup(pid)).collect();
    let socket = containerd.socket_of(ids[0]);
    assert!(socket.exists());
    let [shim] = shims()[..] else { panic!("{:?}", shims()) };
    send(shim, Signal::SIGKILL);
    for ((id, &pid), cgroup) in ids.iter().zip(&pids).zip(&cgroups) {
        let topics = events.topics_until(id, "delete");
        assert_eq!(topics, ["exit", "delete"]);
        for event in events.of(id) {
            assert_eq!(event.get("exit_status"), "137", "{event:?}");
        }
        scene.wait_until("its bundle is removed", || !containerd.bundle_of(id).exists());
        assert!(!process::runs(pid), "the container outlives its shim");
        assert!(!cgroup.exists(), "{}", cgroup.display());
        assert!(containerd.task(id).is_none());
        let state = root(scene.runtime.kind).join(NAMESPACE).join(id);
        assert!(!state.exists(), "{}", state.display());
    }
    // Only planc promises it.
    assert!(scene.runtime.kind != Kind::Planc || !socket.exists(), "{}", socket.display());
    drop(events);
}

fn a_shim_is_killed(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let id = containerd.detached(&[], &["sh", "-c", "sleep 1001 & sleep 1002 & wait"]);
    kill_shim(scene, &containerd, &[&id]);
    // Its record is good for another task.
    containerd.ctr(&["task", "start", "--detach", &id]);
    assert_eq!(containerd.task(&id).unwrap().status, "RUNNING");
    assert_eq!(containerd.stop(&id), 137);
    containerd.end();
}

fn a_shim_of_a_group_is_killed(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let group = ["--annotation", "io.containerd.runc.v2.group=pod"];
    let [first, second] = [containerd.sleeping(&group), containerd.sleeping(&group)];
    kill_shim(scene, &containerd, &[&first, &second]);
    containerd.ctr(&["container", "delete", &first, &second]);
    containerd.end();
}

/// Containers that end with status 7 when they are asked to; four are made at a time.
fn many(containerd: &Containerd<'_>) -> Vec<String> {
    let one = || containerd.detached(&[], &["sh", "-c", "trap 'exit 7' TERM; sleep 1000 & wait"]);
    thread::scope(|scope| {
        let makers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..RUNNING / 4).map(|_| one()).collect::<Vec<_>>())).collect();
        makers.into_iter().flat_map(|maker| maker.join().unwrap()).collect()
    })
}

fn containerd_is_killed_and_comes_back(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let ids = many(&containerd);
    let before = containerd.tasks();
    let shims_before = shims();
    assert_eq!((before.len(), shims_before.len()), (RUNNING, RUNNING));
    containerd.go(Signal::SIGKILL);
    let logged = containerd.log().len();
    let (ended, running) = ids.split_at(ENDING);
    for id in ended {
        send(before[id].pid, Signal::SIGTERM);
        scene.wait_until("it has ended", || !process::runs(before[id].pid));
    }
    containerd.come();
    let after = containerd.tasks();
    let kept: BTreeMap<_, _> = running.iter().map(|id| (id.clone(), before[id].clone())).collect();
    let runs = |(_, listed): &(&String, &Listed)| listed.status == "RUNNING";
    let found: BTreeMap<_, _> = after.iter().filter(runs).map(|(id, listed)| (id.clone(), listed.clone())).collect();
    assert_eq!(found, kept);
    assert!(shims_before.iter().filter(|&&shim| process::runs(shim)).count() >= running.len());
    // Each exit came from its shim, which had kept it.
    let exits = || {
        let log = containerd.log();
        let told = |line: &&str| line.contains("event forwarded") && line.contains("topic=/tasks/exit");
        log[logged..].lines().filter(told).count()
    };
    // Only planc promises it: the shim of runc gives them up after five attempts.
    if scene.runtime.kind == Kind::Planc {
        scene.wait_until("the exits are delivered", || exits() >= ENDING);
        assert_eq!(exits(), ENDING);
    }
    for id in running {
        assert_eq!(containerd.exec(id, &[], &["echo", "well"]).ok().out(), "well\n");
    }
    for id in ended {
        // The newer one does not keep what ended while it was away.
        match after.get(id) {
            Some(listed) => {
                assert_eq!(listed.status, "STOPPED");
                assert_eq!(containerd.delete(id), 7);
            }
            None => {
                assert!(containerd.is_2(), "{id} is forgotten: {after:?}");
                containerd.ctr(&["container", "delete", id]);
            }
        }
    }
    let events = Events::listen(&containerd);
    // The shim of runc may end before it has told of `delete`.
    let last = if scene.runtime.kind == Kind::Planc { "delete" } else { "exit" };
    for id in running {
        assert_eq!(containerd.stop(id), 137);
        assert_eq!(events.topics_until(id, last)[..1], ["exit"]);
    }
    drop(events);
    containerd.end();
}
