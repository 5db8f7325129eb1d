//! `--systemd-cgroup`: containers in units of systemd's (runtime-spec config-linux.md#cgroups-path, systemd.scope(5)).

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use integration_tests::dbus::{Door, LIMIT};
use integration_tests::harness::{Need, cycles, say};
use integration_tests::lane::Lane;
use integration_tests::oracle::cgroup_root;
use integration_tests::process;
use integration_tests::runtime::Kind;
use integration_tests::scene::{Container, Scene};
use serde_json::json;

use crate::killsweep::stop;
use crate::planc::steps_with;

const SYSTEMD: Need = Need::Lane(Lane::UmlSystemd);

integration_tests::tests! {
    makes_a_scope [SYSTEMD],
    sets_properties [SYSTEMD],
    nests_slices [SYSTEMD],
    sets_properties_of_annotations [SYSTEMD],
    // runc puts the process that joins into the scope's cgroup itself, which shows the same.
    exec_joins_the_scope [SYSTEMD],
    vanishes_with_init [SYSTEMD],
    // runc 1.1.5 goes on without a scope: the container then runs in its caller's cgroup, without its limits.
    replaces_a_failed_unit [SYSTEMD, Need::Planc],
    spares_a_unit_that_lives [SYSTEMD, Need::Planc],
    undoes_a_failed_create [SYSTEMD],
    delete_does_not_wait_for_a_shut_bus [SYSTEMD, Need::Planc],
    a_killed_create_leaves_no_unit [SYSTEMD, Need::Failpoints],
    a_spoilt_state_leaves_no_unit [SYSTEMD, Need::Planc],
    update_tells_systemd [SYSTEMD],
    parallel_cycles_leave_nothing [SYSTEMD, Need::Planc],
    of_a_user [SYSTEMD, Need::Planc],
}

/// What a command prints.
#[track_caller]
fn output(words: &[&str]) -> String {
    let done = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(done.status.success(), "{words:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// Properties of a unit, as `Name=value` lines in the order in which they are asked for.
#[track_caller]
fn properties(unit: &str, names: &[&str]) -> Vec<String> {
    let one = |name: &&str| output(&["systemctl", "show", unit, "-p", name]).trim().to_owned();
    names.iter().map(one).collect()
}

fn unit(container: &Container<'_>) -> String {
    format!("runc-{}.scope", container.id)
}

fn cgroup_of(pid: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    text.trim().strip_prefix("0::").unwrap().to_owned()
}

/// Whether systemd has the unit in mind, whatever its state.
fn is_loaded(unit: &str) -> bool {
    output(&["systemctl", "list-units", "--all", "--plain", "--no-legend", unit]).contains(unit)
}

#[track_caller]
fn assert_gone(scene: &Scene, unit: &str) {
    scene.wait_until("the unit is gone", || !is_loaded(unit));
}

fn makes_a_scope(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.create();
    let unit = unit(&container);
    assert_eq!(
        properties(&unit, &["ActiveState", "Slice", "Delegate", "MemoryAccounting", "DefaultDependencies"]),
        ["ActiveState=active", "Slice=system.slice", "Delegate=yes", "MemoryAccounting=yes", "DefaultDependencies=no"]
    );
    assert_eq!(cgroup_of(container.pid()), format!("/system.slice/{unit}"));
    container.start();
    assert_eq!(container.status(), "running");
    container.stop();
    container.delete();
    assert_gone(scene, &unit);
    assert!(!cgroup_root().join("system.slice").join(&unit).exists());
}

fn sets_properties(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/resources/memory", json!({"limit": 67108864, "reservation": 33554432, "swap": 100663296}));
    bundle.set("/linux/resources/cpu", json!({"quota": 12345, "period": 50000}));
    bundle.set("/linux/resources/pids", json!({"limit": 42}));
    bundle.set("/linux/resources/unified", json!({"memory.high": "60000000"}));
    let container = scene.container(bundle.sleep());
    container.create();
    // 246.9 ms of each second, which systemd keeps in steps of 10 ms.
    assert_eq!(
        properties(
            &unit(&container),
            &["MemoryMax", "MemoryLow", "MemorySwapMax", "MemoryHigh", "CPUQuotaPerSecUSec", "TasksMax"]
        ),
        [
            "MemoryMax=67108864",
            "MemoryLow=33554432",
            "MemorySwapMax=33554432",
            "MemoryHigh=60000000",
            "CPUQuotaPerSecUSec=250ms",
            "TasksMax=42"
        ]
    );
    let cgroup = process::cgroup(container.pid());
    let file = |name: &str| fs::read_to_string(cgroup.join(name)).unwrap().trim().to_owned();
    let found = ["memory.max", "memory.low", "memory.swap.max", "pids.max"].map(file);
    assert_eq!(found, ["67108864", "33554432", "33554432", "42"]);
    if scene.runtime.kind == Kind::Planc {
        assert_eq!(file("cpu.max"), "12345 50000", "exact, behind systemd");
        // And so it stays where systemd writes its own again.
        output(&["systemctl", "daemon-reload"]);
        assert_eq!(["memory.max", "pids.max"].map(file), ["67108864", "42"]);
    }
    container.delete_force();
}

fn nests_slices(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/cgroupsPath", "planctest-a-b.slice:pre:fix");
    let container = scene.container(bundle.sleep());
    container.create();
    assert_eq!(cgroup_of(container.pid()), "/planctest.slice/planctest-a.slice/planctest-a-b.slice/pre-fix.scope");
    container.delete_force();
    assert_gone(scene, "pre-fix.scope");
    // Slices are nobody's in particular: they stay until somebody stops them.
    output(&["systemctl", "stop", "planctest.slice"]);
}

fn sets_properties_of_annotations(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set(
        "/annotations",
        json!({
            "org.systemd.property.TimeoutStopSec": "7",
            "org.systemd.property.Description": "'from an annotation'",
            "org.systemd.property.IOWeight": "uint64 77",
        }),
    );
    let container = scene.container(bundle.sleep());
    container.create();
    assert_eq!(
        properties(&unit(&container), &["TimeoutStopUSec", "Description", "IOWeight"]),
        ["TimeoutStopUSec=7s", "Description=from an annotation", "IOWeight=77"]
    );
    container.delete_force();
}

fn exec_joins_the_scope(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let pid_file = scene.path("pid");
    container.exec(&["--detach", "--pid-file", pid_file.to_str().unwrap()], &["sleep", "1000"]).ok();
    let pid: u32 = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert_eq!(cgroup_of(pid), cgroup_of(container.pid()));
    scene.rt(&["pause", &container.id]).ok();
    assert_eq!(container.status(), "paused");
    scene.rt(&["resume", &container.id]).ok();
    container.delete_force();
    assert_gone(scene, &unit(&container));
    scene.wait_until("what joined has ended as well", || !process::runs(pid));
}

fn vanishes_with_init(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    container.stop();
    assert_gone(scene, &unit(&container));
    assert_eq!(container.status(), "stopped");
    // There is nothing to ask a bus about.
    scene.with_variable("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere").rt(&["delete", &container.id]).ok();
}

fn replaces_a_failed_unit(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    let unit = unit(&container);
    let unit_flag = format!("--unit={unit}");
    // A scope that is ended by its time is failed, and stays.
    let _ = Command::new("systemd-run")
        .args(["--scope", "--quiet", &unit_flag, "-p", "RuntimeMaxSec=1", "sleep", "100"])
        .output()
        .unwrap();
    scene.wait_until("it is failed", || properties(&unit, &["ActiveState"]) == ["ActiveState=failed"]);
    container.create();
    assert_eq!(properties(&unit, &["ActiveState"]), ["ActiveState=active"]);
    container.delete_force();
    assert_gone(scene, &unit);
}

fn spares_a_unit_that_lives(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    let unit = unit(&container);
    let unit_flag = format!("--unit={unit}");
    let mut other =
        Command::new("systemd-run").args(["--scope", "--quiet", &unit_flag, "sleep", "1000"]).spawn().unwrap();
    scene.wait_until("the other one runs", || properties(&unit, &["ActiveState"]) == ["ActiveState=active"]);
    container.try_create(&[]).fails().says(&format!("a unit {unit} is there already, and it is active"));
    container.assert_gone();
    container.delete_force();
    assert!(process::runs(other.id()), "it lives on");
    output(&["systemctl", "stop", &unit]);
    other.wait().unwrap();
}

fn undoes_a_failed_create(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.args(&["/no/such/program"]);
    let container = scene.container(&bundle);
    container.run().fails();
    container.assert_gone();
    assert_gone(scene, &unit(&container));
    let mut bundle = scene.bundle();
    bundle.mount("/data", "tmpfs", "tmpfs", &["size=nonsense"]);
    let container = scene.container(&bundle);
    container.try_create(&[]).fails();
    assert_gone(scene, &unit(&container));
}

/// SECURITY.md §3.1, I6: the deadline ends it, what can be ended is, and it can be tried again.
fn delete_does_not_wait_for_a_shut_bus(scene: &Scene) {
    let door = Door::open(scene.path("door"));
    let by_door = scene.with_variable("DBUS_SYSTEM_BUS_ADDRESS", door.address());
    let mut bundle = scene.bundle();
    // Were init all of it, systemd would be faster: the unit gone, and nothing to ask.
    let container = by_door.container(bundle.namespace("pid", None).sh("sleep 1001 & sleep 1002"));
    container.run_detached();
    let pid = container.pid();
    door.shut(true);
    let start = Instant::now();
    // The record says which bus it is: the environment of whoever deletes says nothing of it.
    let done = scene.rt(&["delete", "--force", &container.id]);
    assert!(start.elapsed() < LIMIT * 2, "{:?}", start.elapsed());
    assert!(!process::runs(pid));
    // systemd may be faster: where the unit has ended by itself, there is nothing to ask.
    if done.code() != 0 {
        done.says("cannot stop the unit").says("no answer from the bus");
        assert!(start.elapsed() >= LIMIT, "{:?}", start.elapsed());
        assert_eq!(scene.rt(&["state", &container.id]).ok().json()["status"], "stopped");
    }
    door.shut(false);
    scene.rt(&["delete", "--force", &container.id]).ok();
    assert_gone(scene, &unit(&container));
}

/// At each step up to where the root filesystem is taken, and at the last one.
fn a_killed_create_leaves_no_unit(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/resources/pids", json!({"limit": 20}));
    let steps = steps_with(scene, &bundle, &[]);
    let at = |op: &str| 1 + steps.iter().position(|step| step["op"] == op).unwrap_or_else(|| panic!("no {op}"));
    let container = scene.container(&bundle);
    let before = scene.snapshot();
    let numbers = (at("SpawnInit")..=at("AttachRootfs")).chain([at("ChangeUnit"), at("RecordState")]);
    // There alone init hangs before it has bound its life to the runtime's, and nothing would tell of it.
    for number in numbers.filter(|number| *number != at("Harden")) {
        stop(container.create_call(&[]), number).kill();
        container.delete_force();
        assert_gone(scene, &unit(&container));
        let left = scene.differences_from(&before);
        assert!(left.is_empty(), "killed at step {number}:\n{}", left.join("\n"));
    }
    container.create();
    container.delete();
}

fn a_spoilt_state_leaves_no_unit(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    fs::write(scene.root().join(&container.id).join("state.json"), "spoilt").unwrap();
    container.delete_force();
    assert_gone(scene, &unit(&container));
}

fn update_tells_systemd(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/resources/memory", json!({"limit": 67108864}));
    let container = scene.container(bundle.sleep());
    container.run_detached();
    scene.rt(&["update", "--memory", "33554432", "--pids-limit", "9", "--cpu-quota", "30000", &container.id]).ok();
    assert_eq!(
        properties(&unit(&container), &["MemoryMax", "TasksMax", "CPUQuotaPerSecUSec"]),
        ["MemoryMax=33554432", "TasksMax=9", "CPUQuotaPerSecUSec=300ms"]
    );
    let cgroup = process::cgroup(container.pid());
    let file = |name: &str| fs::read_to_string(cgroup.join(name)).unwrap().trim().to_owned();
    assert_eq!(["memory.max", "pids.max", "cpu.max"].map(file), ["33554432", "9", "30000 100000"]);
    output(&["systemctl", "daemon-reload"]);
    assert_eq!(["memory.max", "pids.max"].map(file), ["33554432", "9"]);
    container.delete_force();
}

/// Each of four goes through its own five times, at once.
fn parallel_cycles_leave_nothing(scene: &Scene) {
    const WORKERS: usize = 8;
    let left = AtomicUsize::new(cycles(40));
    let begin = Instant::now();
    std::thread::scope(|threads| {
        for _ in 0..WORKERS {
            threads.spawn(|| {
                let bundle = scene.bundle().sleep().clone();
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    let container = scene.container(&bundle);
                    container.create();
                    container.delete_force();
                }
            });
        }
    });
    say(format_args!("{} cycles by {WORKERS}: {} ms", cycles(40), begin.elapsed().as_millis()));
    let left = output(&["systemctl", "list-units", "--all", "--plain", "--no-legend", "runc-*"]);
    assert_eq!(left, "");
}

/// A user with a systemd of its own (user@.service(5)).
struct User;

const NAME: &str = "planctest";
const UID: &str = "4322";

impl User {
    fn new(scene: &Scene) -> Self {
        output(&["useradd", "--uid", UID, "--no-create-home", "--home-dir", "/", NAME]);
        output(&["systemctl", "start", &format!("user@{UID}.service")]);
        let bus = format!("/run/user/{UID}/bus");
        scene.wait_until("the user's bus is there", || fs::exists(&bus).unwrap());
        Self
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let units =
            [format!("user@{UID}.service"), format!("user-runtime-dir@{UID}.service"), format!("user-{UID}.slice")];
        for unit in units {
            let _ = Command::new("systemctl").args(["stop", &unit]).status();
        }
        let _ = Command::new("userdel").arg(NAME).output();
    }
}

fn of_a_user(scene: &Scene) {
    let user = User::new(scene);
    let by_user = scene
        .by(&["setpriv", "--reuid", UID, "--regid", UID, "--clear-groups"])
        .with_variable("XDG_RUNTIME_DIR", format!("/run/user/{UID}"));
    let uid = UID.parse().unwrap();
    fs::create_dir(scene.root()).unwrap();
    std::os::unix::fs::chown(scene.root(), Some(uid), Some(uid)).unwrap();
    let mut bundle = scene.bundle();
    bundle.rootless(uid).set("/linux/resources/pids", json!({"limit": 30}));
    let container = by_user.container(bundle.sleep());
    container.run_detached();
    let home = format!("/user.slice/user-{UID}.slice/user@{UID}.service/user.slice/{}", unit(&container));
    assert_eq!(cgroup_of(container.pid()), home);
    let pids = fs::read_to_string(cgroup_root().join(&home[1..]).join("pids.max")).unwrap();
    assert_eq!(pids.trim(), "30");
    let pid_file = scene.path("root").join("pid");
    container.exec(&["--detach", "--pid-file", pid_file.to_str().unwrap()], &["sleep", "1000"]).ok();
    let pid: u32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
    assert_eq!(cgroup_of(pid), home, "what joins is moved there");
    fs::remove_file(pid_file).unwrap();
    by_user.rt(&["pause", &container.id]).ok();
    by_user.rt(&["resume", &container.id]).ok();
    container.delete_force();
    assert!(!cgroup_root().join(&home[1..]).exists());
    drop(user);
}
