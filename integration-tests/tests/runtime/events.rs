//! `events`: what a container uses, and that it ran out of memory.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::oracle::cgroup_root;
use integration_tests::process;
use integration_tests::runtime::{Kind, Running};
use integration_tests::scene::{Container, Scene};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime_core::{ErrorKind, Event, Id, Level, Runtime, Shortage, Watch};
use serde_json::{Value, json};

use self::figures::Files;

mod figures;

/// A hierarchy on which memory is accounted for.
pub(crate) const MEMORY: Need = Need::Works("grep -qw memory /sys/fs/cgroup/cgroup.controllers");
const LOOP_DEVICES: Need = Need::Works("losetup --find");

integration_tests::tests! {
    stats_of_one_that_sleeps,
    stats_of_a_created_one,
    stats_are_what_the_files_say [MEMORY],
    stats_of_a_device [MEMORY, LOOP_DEVICES],
    stats_say_what_is_under_pressure [Need::Planc, Need::Path("/proc/pressure/memory")],
    tells_again_and_again [MEMORY],
    takes_durations_of_go,
    ends_with_the_container [MEMORY],
    ends_by_a_signal [MEMORY],
    ends_without_a_reader [Need::Planc],
    waits_without_work [Need::Planc],
    goes_on_while_paused [MEMORY],
    streams_without_the_memory_controller [Need::Planc, Need::Lane(Lane::Native)],
    refuses_a_stopped_one,
    tells_a_kill_once [MEMORY],
    tells_the_kill_of_init_before_the_end [MEMORY, Need::Planc],
    tells_every_watcher [MEMORY],
    knows_whose_memory_ran_out [MEMORY, Need::Planc],
    a_meter_outlives_its_cgroup [Need::Planc],
    a_watch_in_another_loop [MEMORY, Need::Planc],
}

/// The cgroup of a container.
pub(crate) fn cgroup(container: &Container<'_>) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    cgroup_root().join(path)
}

/// `data` of what `events --stats` prints.
#[track_caller]
fn stats(scene: &Scene, container: &Container<'_>) -> Value {
    let done = scene.rt(&["events", "--stats", &container.id]);
    done.ok();
    assert_eq!((done.stderr.as_str(), done.stdout.matches('\n').count()), ("", 1), "{done}");
    let mut line = done.json();
    assert_eq!((&line["type"], &line["id"]), (&json!("stats"), &json!(container.id)), "{done}");
    line["data"].take()
}

fn number(path: &Path) -> u64 {
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

fn flat(path: &Path) -> Vec<(String, u64)> {
    let text = fs::read_to_string(path).unwrap();
    let pair = |line: &str| line.split_once(' ').map(|(key, value)| (key.to_owned(), value.parse().unwrap()));
    text.lines().filter_map(pair).collect()
}

fn figure(path: &Path, key: &str) -> u64 {
    flat(path).iter().find(|(found, _)| found == key).unwrap_or_else(|| panic!("no {key}")).1
}

/// A stream that is known to run: its first line has come.
fn watched(scene: &Scene, container: &Container<'_>, options: &[&str]) -> Running {
    let stream = scene.call(&[options, &["events", "--interval", "100ms", &container.id]].concat()).spawn();
    scene.wait_until("a line of the stream", || stream.printed().contains('\n'));
    stream
}

/// How many lines of a type there are; every line is a JSON object.
fn count(printed: &str, kind: &str) -> usize {
    let whole = printed.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let lines = whole.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["type"] == kind).count()
}

fn stats_of_one_that_sleeps(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let data = stats(scene, &container);
    let used = figure(&cgroup(&container).join("cpu.stat"), "usage_usec") * 1000;
    assert!(data["cpu"]["usage"]["total"].as_u64().unwrap() <= used, "{data}");
    assert_eq!(data["pids"]["current"], 1, "with a pids controller and without");
    let members: BTreeSet<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
    let all = ["blkio", "cpu", "cpuset", "hugetlb", "intel_rdt", "memory", "network_interfaces", "pids"];
    assert_eq!(members, BTreeSet::from(all));
    for part in ["usage", "swap", "kernel", "kernelTCP"] {
        let part = &data["memory"][part];
        assert!(part["limit"].is_u64() && part["failcnt"].is_u64(), "{data}");
    }
    assert!(data["cpu"]["usage"]["kernel"].is_u64() && data["cpu"]["usage"]["user"].is_u64(), "{data}");
    assert!(data["cpu"]["throttling"].is_object() && data["network_interfaces"].is_null(), "{data}");
    container.delete_force();
}

fn stats_of_a_created_one(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    stats(scene, &container);
    container.delete();
}

/// Memory touched, CPU time used and held up, processes made; then nothing moves any more.
const WORK: &str = "dd if=/dev/zero of=/tmp/file bs=64k count=128; i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done; \
                    sleep 1001 & sleep 1002 & touch /tmp/done; exec sleep 1003";

fn stats_are_what_the_files_say(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.mount("/tmp", "tmpfs", "tmpfs", &[]);
    let container = scene.container(bundle.sh(WORK));
    container.create();
    let cgroup = cgroup(&container);
    let limits =
        [("memory.max", "67108864"), ("memory.swap.max", "33554432"), ("pids.max", "50"), ("cpu.max", "20000 50000")];
    for (name, value) in limits {
        fs::write(cgroup.join(name), value).unwrap();
    }
    container.start();
    let done = format!("/proc/{}/root/tmp/done", container.pid());
    scene.wait_until("the work is done", || Path::new(&done).exists());
    scene.wait_until("three processes are left", || number(&cgroup.join("pids.current")) == 3);
    // The kernel closes a period of cpu.max, and uncharges memory, a little later.
    let (mut data, mut theirs) = (Value::Null, Value::Null);
    let mut files = Files::of(&cgroup);
    scene.wait_until("nothing moves", || {
        data = stats(scene, &container);
        theirs = figures::of_cgroups_rs(&cgroup);
        let before = std::mem::replace(&mut files, Files::of(&cgroup));
        before == files
    });
    figures::agree(&data, &files, scene.runtime.kind);
    figures::agree_with_cgroups_rs(&data, &theirs);
    container.delete_force();
}

/// A loop device, detached when it is dropped.
struct Loop(String);

impl Loop {
    fn of(file: &Path) -> Self {
        fs::write(file, [0; 1 << 20]).unwrap();
        let done = Command::new("losetup").args(["--find", "--show"]).arg(file).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        Self(String::from_utf8(done.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // In a lane of its own nobody minds.
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

fn stats_of_a_device(scene: &Scene) {
    let device = Loop::of(&scene.path("disk"));
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let cgroup = cgroup(&container);
    // Opened before it is in the cgroup, whose device filter knows no such device.
    let copy = "dd if=/dev/zero bs=64k count=8 oflag=direct >&3";
    let script = format!("exec 3<>{} && echo $$ > {}/cgroup.procs && exec {copy}", device.0, cgroup.display());
    let done = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let written = || {
        let text = fs::read_to_string(cgroup.join("io.stat")).unwrap();
        let line = text.lines().find(|line| line.starts_with("7:"))?.to_owned();
        line.split(' ').find_map(|pair| pair.strip_prefix("wbytes=")?.parse::<u64>().ok())
    };
    scene.wait_until("the transfer is counted", || written() == Some(8 << 16));
    let data = stats(scene, &container);
    let of = |list: &str, op: &str| {
        let entries = data["blkio"][list].as_array().unwrap_or_else(|| panic!("{data}"));
        entries.iter().find(|entry| entry["major"] == 7 && entry["op"] == op).cloned().unwrap_or_default()
    };
    assert_eq!(of("ioServiceBytesRecursive", "Write")["value"], 8 << 16, "{data}");
    assert!(of("ioServicedRecursive", "Write")["value"].as_u64().is_some_and(|writes| writes >= 1), "{data}");
    assert!(of("ioServiceBytesRecursive", "Read").is_object(), "{data}");
    container.delete_force();
}

/// runc tells it since 1.2.
fn stats_say_what_is_under_pressure(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let data = stats(scene, &container);
    for part in ["cpu", "memory", "blkio"] {
        for line in ["some", "full"] {
            let line = &data[part]["psi"][line];
            assert!(
                line["total"].is_u64() && ["avg10", "avg60", "avg300"].iter().all(|avg| line[avg].is_f64()),
                "{data}"
            );
        }
    }
    container.delete_force();
}

fn tells_again_and_again(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let begin = Instant::now();
    let often = scene.call(&["events", "--interval", "200ms", &container.id]).spawn();
    let seldom = scene.call(&["events", &container.id]).spawn();
    scene.wait_until("four lines", || often.printed().lines().count() >= 4);
    assert!(begin.elapsed() >= Duration::from_millis(4 * 200), "the first one comes after an interval");
    if begin.elapsed() < Duration::from_secs(4) {
        assert_eq!(seldom.printed(), "", "every 5 s where nothing is said");
    }
    container.stop();
    for stream in [often, seldom] {
        let done = stream.wait();
        assert_eq!(done.ok().stderr, "", "{done}");
        assert_eq!(count(&done.stdout, "stats"), done.stdout.lines().count());
    }
    container.delete();
}

fn takes_durations_of_go(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    for good in ["1m30s", "1.5h", "100ms", "+5s"] {
        scene.rt(&["events", "--stats", "--interval", good, &container.id]).ok();
    }
    for bad in ["x", "5", "5 s", ""] {
        let done = scene.rt(&["events", "--interval", bad, &container.id]);
        let usage = format!("Incorrect Usage: invalid value \"{bad}\" for flag -interval: parse error");
        assert!(done.exits(1).stdout.contains(&usage), "{done}");
    }
    for never in ["0", "0s", "-1s"] {
        for options in [&["--stats"][..], &[]] {
            let done = scene.rt(&[&["events", "--interval", never], options, &[&container.id]].concat());
            done.exits(1).says("duration interval must be greater than 0");
        }
    }
    container.delete_force();
}

fn ends_with_the_container(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    let mut streams = ["1h", "100ms"].map(|every| scene.call(&["events", "--interval", every, &container.id]).spawn());
    scene.wait_until("a line of a created one", || streams[1].printed().contains('\n'));
    container.start();
    sleep(Duration::from_millis(200));
    assert!(streams.iter_mut().all(Running::runs), "its start is not its end");
    container.delete_force();
    for stream in streams {
        assert_eq!(stream.wait().ok().stderr, "");
    }
}

fn ends_by_a_signal(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let stream = watched(scene, &container, &[]);
        kill(Pid::from_raw(stream.pid() as i32), signal).unwrap();
        let done = stream.wait();
        assert_eq!((done.code(), done.stderr.as_str()), (code, ""), "{done}");
    }
    assert_eq!(container.status(), "running");
    container.delete_force();
}

/// runc is ended by SIGPIPE, which is as silent, and looks like a failure.
fn ends_without_a_reader(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let one_line = ["bash", "-c", "\"$@\" | head -n 1; exit ${PIPESTATUS[0]}", "bash"];
    let done = scene.call_by(&one_line, &["events", "--interval", "100ms", &container.id]).done();
    assert_eq!(done.ok().stderr, "", "{done}");
    assert_eq!(count(&done.stdout, "stats"), 1);
    container.delete_force();
}

/// CPU time of a process in clock ticks: fields 14 and 15 of /proc/PID/stat (proc_pid_stat(5)).
fn ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = text.rsplit_once(") ").unwrap().1.split(' ');
    fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

/// How often a process gave up its processor: proc_pid_status(5).
fn switches(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

/// One thread that sleeps in one poll(2): it is never scheduled.
fn waits_without_work(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let stream = scene.call(&["events", "--interval", "1h", &container.id]).spawn();
    let pid = stream.pid();
    let work = || (ticks(pid), switches(pid));
    scene.wait_until("it waits", || {
        let before = work();
        let watches = process::descriptors(pid).values().any(|file| file.ends_with("anon_inode:[pidfd]"));
        sleep(Duration::from_millis(300));
        watches && work() == before && process::stat(pid).is_some_and(|stat| stat.state == 'S')
    });
    let before = work();
    sleep(Duration::from_secs(2));
    assert_eq!(work(), before, "it works although nothing happens");
    assert_eq!(fs::read_dir(format!("/proc/{pid}/task")).unwrap().count(), 1, "no thread waits beside it");
    container.stop();
    stream.wait().ok();
    container.delete();
}

fn goes_on_while_paused(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let stream = watched(scene, &container, &[]);
    scene.rt(&["pause", &container.id]).ok();
    stats(scene, &container);
    let before = stream.printed().lines().count();
    scene.wait_until("more lines", || stream.printed().lines().count() > before);
    scene.rt(&["resume", &container.id]).ok();
    container.stop();
    stream.wait().ok();
    container.delete();
}

/// There runc finds no file to watch, and fails.
fn streams_without_the_memory_controller(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    assert!(!cgroup(&container).join("memory.events").exists());
    let mut stream = watched(scene, &container, &[]);
    let before = stream.printed().lines().count();
    scene.wait_until("more lines", || stream.printed().lines().count() > before);
    assert!(stream.runs());
    assert_eq!(stats(scene, &container)["memory"]["usage"], json!({"limit": 0, "failcnt": 0}));
    container.stop();
    let done = stream.wait();
    assert_eq!(count(&done.ok().stdout, "stats"), done.stdout.lines().count());
    container.delete();
}

fn refuses_a_stopped_one(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    container.stop();
    for options in [&["--stats"][..], &[]] {
        let done = scene.rt(&[&["events"], options, &[&container.id]].concat());
        done.exits(1).says(&format!("container with id {} is not running", container.id));
        assert_eq!(done.stdout, "");
    }
    container.delete();
    scene.rt(&["events", "--stats", "nosuch"]).exits(1).says("container does not exist");
    scene.rt(&["events"]).exits(1).says("requires exactly 1 argument");
}

/// Waits for a file, and then asks for more memory than there is. What asks is killed, and the container goes on.
const HUNGRY: &str =
    "while ! [ -e /tmp/go ]; do sleep 0.05; done; dd if=/dev/zero of=/dev/null bs=200M count=1; exec sleep 1000";

/// A container that runs out of memory when the file is made.
fn hungry<'s>(scene: &'s Scene, limit: &str) -> (Container<'s>, PathBuf) {
    let mut bundle = scene.bundle();
    bundle.sh(HUNGRY).set("/root/readonly", false);
    let container = scene.container(&bundle);
    container.run_detached();
    fs::write(cgroup(&container).join("memory.max"), limit).unwrap();
    (container, bundle.rootfs("tmp/go"))
}

fn tells_a_kill_once(scene: &Scene) {
    let (container, go) = hungry(scene, "16777216");
    let cgroup = cgroup(&container);
    let stream = watched(scene, &container, &[]);
    fs::write(go, "").unwrap();
    scene.wait_until("the kill is told", || count(&stream.printed(), "oom") > 0);
    container.stop();
    let done = stream.wait();
    assert_eq!(done.ok().stderr, "", "{done}");
    assert_eq!(figure(&cgroup.join("memory.events"), "oom_kill"), 1, "one was to be killed");
    if scene.runtime.kind == Kind::Planc {
        assert_eq!(count(&done.stdout, "oom"), 1, "runc tells it again when the file changes again: {done}");
    }
    assert!(done.stdout.contains(&format!("{{\"type\":\"oom\",\"id\":\"{}\"}}\n", container.id)), "{done}");
    container.delete();
}

/// The kernel tells of the kill and of the end in the same moment: runc tells of the one that its scheduler likes.
fn tells_the_kill_of_init_before_the_end(scene: &Scene) {
    for _ in 0..5 {
        let mut bundle = scene.bundle();
        bundle.sh(&HUNGRY.replace("dd", "exec dd")).set("/root/readonly", false);
        let container = scene.container(&bundle);
        container.run_detached();
        fs::write(cgroup(&container).join("memory.max"), "16777216").unwrap();
        let stream = watched(scene, &container, &[]);
        fs::write(bundle.rootfs("tmp/go"), "").unwrap();
        let done = stream.wait();
        assert_eq!(count(&done.ok().stdout, "oom"), 1, "{done}");
        container.delete();
    }
}

fn tells_every_watcher(scene: &Scene) {
    let (container, go) = hungry(scene, "16777216");
    let streams = [watched(scene, &container, &[]), watched(scene, &container, &[])];
    fs::write(go, "").unwrap();
    scene.wait_until("the kill is told", || streams.iter().all(|stream| count(&stream.printed(), "oom") > 0));
    container.stop();
    for stream in streams {
        let done = stream.wait();
        done.ok();
        assert!(scene.runtime.kind != Kind::Planc || count(&done.stdout, "oom") == 1, "{done}");
    }
    container.delete();
}

/// A cgroup in which containers' cgroups are made; removed when it is dropped.
pub(crate) struct Parent(pub(crate) PathBuf);

impl Parent {
    /// Those below have the memory controller.
    pub(crate) fn new(scene: &Scene) -> Self {
        let path = cgroup_root().join(format!("parent-{}", scene.id()));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("cgroup.subtree_control"), "+memory").unwrap();
        Self(path)
    }

    /// A value for the cgroupsPath of config.json.
    pub(crate) fn child(&self, name: &str) -> String {
        format!("/{}/{name}", self.0.file_name().unwrap().to_str().unwrap())
    }

    pub(crate) fn limit(&self, bytes: impl std::fmt::Display) {
        fs::write(self.0.join("memory.max"), bytes.to_string()).unwrap();
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        // What a failed test left in it is the oracle's to remove.
        let _ = fs::remove_dir(&self.0);
    }
}

fn knows_whose_memory_ran_out(scene: &Scene) {
    let parent = Parent::new(scene);
    let mut bundle = scene.bundle();
    bundle.sh(HUNGRY).set("/root/readonly", false).set("/linux/cgroupsPath", parent.child("child"));
    let go = bundle.rootfs("tmp/go");
    let own = "memory.max is 16777216";
    let above = format!("memory.max of {} is 16777216", parent.0.display());
    for (limited, words) in [(parent.0.join("child"), own), (parent.0.clone(), above.as_str())] {
        let container = scene.container(&bundle);
        container.run_detached();
        fs::write(limited.join("memory.max"), "16777216").unwrap();
        let stream = watched(scene, &container, &["--debug"]);
        fs::write(&go, "").unwrap();
        scene.wait_until("the kill is told", || count(&stream.printed(), "oom") > 0);
        container.stop();
        let done = stream.wait();
        done.ok().says(words);
        assert_eq!(count(&done.stdout, "oom"), 1, "{done}");
        fs::remove_file(&go).unwrap();
        container.delete();
        parent.limit("max");
    }
}

/// The crate, as a shim uses it.
fn loaded(scene: &Scene, container: &Container<'_>) -> runtime_core::Container {
    Runtime::new(scene.root()).load(&Id::new(&container.id).unwrap()).unwrap()
}

fn a_meter_outlives_its_cgroup(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let meter = loaded(scene, &container).meter().unwrap();
    let before = meter.read().unwrap();
    assert!(before.cpu.usage <= meter.read().unwrap().cpu.usage);
    container.delete_force();
    // Another one of the same name is another one.
    let next = cgroup_root().join(&container.id);
    fs::create_dir(&next).unwrap();
    let gone = meter.read().unwrap_err();
    fs::remove_dir(next).unwrap();
    assert_eq!((gone.kind(), gone.message()), (ErrorKind::NotFound, "cgroup does not exist"));
}

fn a_watch_in_another_loop(scene: &Scene) {
    let (container, go) = hungry(scene, "16777216");
    let mut watch = loaded(scene, &container).watch().unwrap();
    let wait = |watch: &Watch| {
        let memory = watch.memory().map(|events| PollFd::new(events, PollFlags::POLLPRI));
        let mut fds: Vec<_> = memory.into_iter().chain([PollFd::new(watch.init(), PollFlags::POLLIN)]).collect();
        let soon = PollTimeout::try_from(scene.soon()).unwrap();
        assert!(poll(&mut fds, soon).unwrap() > 0, "nothing happened");
    };
    assert_eq!(watch.next(Some(Duration::ZERO)).unwrap(), None);
    fs::write(go, "").unwrap();
    let mut kills = Vec::new();
    loop {
        wait(&watch);
        match watch.next(Some(Duration::ZERO)).unwrap() {
            None => {}
            Some(Event::Ended) => break,
            Some(Event::OutOfMemory { kills: count, shortage }) => {
                kills.push((count, shortage));
                container.stop();
            }
        }
    }
    assert_eq!(kills, [(1, Shortage { level: Level::Own, limit: Some(16_777_216) })]);
    assert_eq!(watch.next(None).unwrap(), Some(Event::Ended));
    container.delete();
}
