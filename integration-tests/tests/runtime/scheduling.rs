//! Where, when and how the program runs: CPUs, scheduling policy, I/O priority, personality, memory policy, clocks
//! (runtime-spec config.md#linux-process, config-linux.md).

use std::fs;

use integration_tests::harness::Need;
use integration_tests::scene::{Container, Scene};
use serde_json::{Value, json};

const TWO_CPUS: Need = Need::Works("test $(nproc) -ge 2");
/// The user's own kernel has no personalities, for one (User Mode Linux).
const LINUX32: Need = Need::Works("setarch i686 uname -m | grep -qx i686");
/// Not where realtime has a budget for each cgroup of the cpu controller, and none is given (CONFIG_RT_GROUP_SCHED).
const REALTIME: Need = Need::Works("chrt -f 5 true && ! grep -qw cpu /sys/fs/cgroup/cgroup.subtree_control");
const NUMA: Need = Need::Path("/proc/self/numa_maps");

integration_tests::tests! {
    // Who calls may be pinned; runc resets that since 1.2.
    is_not_pinned_with_the_caller [TWO_CPUS, Need::Spec(1, 1)],
    is_niced [Need::Spec(1, 1)],
    is_realtime [Need::Spec(1, 1), REALTIME],
    is_reset_on_fork [Need::Spec(1, 1), REALTIME],
    has_an_io_priority [Need::Spec(1, 1)],
    has_a_personality [Need::Spec(1, 1), LINUX32],
    has_a_memory_policy [Need::Spec(1, 3), NUMA],
    has_clocks_of_its_own [Need::Spec(1, 1), Need::TimeNamespaces],
    has_clocks_of_its_own_in_a_user_namespace [Need::Planc, Need::TimeNamespaces],
    joins_on_cpus_of_its_own [Need::Spec(1, 2), TWO_CPUS],
    joins_on_a_cpu_that_is_not_there [Need::Spec(1, 2)],
    joins_with_a_schedule_of_its_own [Need::Spec(1, 1)],
    joins_with_the_container_s_personality [Need::Spec(1, 1), LINUX32],
    joins_with_the_container_s_clocks [Need::Spec(1, 1), Need::TimeNamespaces],
}

const CPUS: &str = "grep Cpus_allowed_list /proc/self/status | cut -f2";

fn cpus(text: &str) -> String {
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map_or_else(|| text.trim().to_owned(), |list| list.trim().to_owned())
}

fn is_not_pinned_with_the_caller(scene: &Scene) {
    let own = cpus(&fs::read_to_string("/proc/self/status").unwrap());
    let pinned = scene.by(&["taskset", "-c", "0"]);
    assert_eq!(cpus(&pinned.sh(&mut scene.bundle(), CPUS)), own);
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let done = pinned.rt(&["exec", &container.id, "sh", "-c", CPUS]);
    assert_eq!(cpus(&done.ok().stdout), own);
    container.delete_force();
}

/// Fields of /proc/self/stat, counted from 1 (proc_pid_stat(5)): nice, rt_priority and policy.
const STAT: &str = "read -r line < /proc/self/stat; set -- ${line##*) }; shift 16; echo $1; shift 21; echo $1 $2";

#[track_caller]
fn stat(text: &str) -> (i32, u32, u32) {
    let numbers: Vec<i32> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
    (numbers[0], numbers[1] as u32, numbers[2] as u32)
}

fn is_niced(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 7}));
    assert_eq!(stat(&scene.sh(&mut bundle, STAT)), (7, 0, 3));
    bundle.set("/process/scheduler", json!({"policy": "SCHED_IDLE"}));
    assert_eq!(stat(&scene.sh(&mut bundle, STAT)).2, 5);
}

/// The nice value that the container inherits.
fn own_nice() -> i32 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse().unwrap()
}

fn is_realtime(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/process/scheduler", json!({"policy": "SCHED_FIFO", "priority": 9}));
    assert_eq!(stat(&scene.sh(&mut bundle, STAT)), (own_nice(), 9, 1));
}

fn is_reset_on_fork(scene: &Scene) {
    let mut bundle = scene.bundle();
    let flags = ["SCHED_FLAG_RESET_ON_FORK"];
    bundle.set("/process/scheduler", json!({"policy": "SCHED_RR", "priority": 3, "flags": flags}));
    let script = format!("{STAT}; sh -c '{STAT}'; true");
    let out = scene.sh(&mut bundle, &script);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(stat(&lines[..2].join(" ")), (own_nice(), 3, 2));
    assert_eq!(stat(&lines[2..].join(" ")).2, 0);
}

fn has_an_io_priority(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 6}));
    assert_eq!(scene.sh(&mut bundle, "ionice -p $$").trim(), "best-effort: prio 6");
    bundle.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0}));
    assert!(scene.sh(&mut bundle, "ionice -p $$").starts_with("idle"));
}

fn has_a_personality(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/personality", json!({"domain": "LINUX32"}));
    assert_eq!(scene.sh(&mut bundle, "uname -m"), "i686\n");
    bundle.set("/linux/personality", json!({"domain": "LINUX"}));
    assert_eq!(scene.sh(&mut bundle, "uname -m"), "x86_64\n");
}

fn has_a_memory_policy(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}));
    assert!(scene.sh(&mut bundle, "cat /proc/self/numa_maps").contains("bind=static:0"));
    bundle.set("/linux/memoryPolicy", json!({"mode": "MPOL_INTERLEAVE", "nodes": "0"}));
    assert!(scene.sh(&mut bundle, "cat /proc/self/numa_maps").contains("interleave:0"));
}

/// Seconds since boot.
#[track_caller]
fn uptime(text: &str) -> f64 {
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// A day on top.
fn with_clocks(scene: &Scene) -> integration_tests::bundle::Bundle {
    let mut bundle = scene.bundle();
    bundle.set("/linux/namespaces/-", json!({"type": "time"}));
    bundle.set("/linux/timeOffsets", json!({"boottime": {"secs": 86400}, "monotonic": {"secs": 100, "nanosecs": 5}}));
    bundle
}

#[track_caller]
fn is_a_day_on(text: &str) {
    let host = uptime(&fs::read_to_string("/proc/uptime").unwrap());
    let ahead = uptime(text) - host;
    assert!((86390.0..86410.0).contains(&ahead), "{ahead} s ahead of the host");
}

fn has_clocks_of_its_own(scene: &Scene) {
    is_a_day_on(&scene.sh(&mut with_clocks(scene), "cat /proc/uptime"));
    let mut bundle = with_clocks(scene);
    let offsets = scene.sh(&mut bundle, "cat /proc/self/timens_offsets");
    let words: Vec<_> = offsets.split_whitespace().collect();
    assert_eq!(words, ["monotonic", "100", "5", "boottime", "86400", "0"]);
}

fn has_clocks_of_its_own_in_a_user_namespace(scene: &Scene) {
    let mut bundle = with_clocks(scene);
    bundle.set("/linux/namespaces/-", json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map);
    is_a_day_on(&scene.sh(&mut bundle, "cat /proc/uptime"));
}

/// A shell script in a running container, as a process that differs from the container's own by `changes`.
#[track_caller]
fn exec(scene: &Scene, container: &Container<'_>, changes: Value, script: &str) -> integration_tests::runtime::Done {
    let mut process = scene.bundle().sh(script).config["process"].clone();
    process.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let path = scene.path("process.json");
    fs::write(&path, process.to_string()).unwrap();
    container.exec(&["--process", path.to_str().unwrap()], &[])
}

fn running(scene: &Scene, bundle: &mut integration_tests::bundle::Bundle) -> String {
    let container = scene.container(bundle.sleep());
    container.run_detached();
    container.id
}

fn joins_on_cpus_of_its_own(scene: &Scene) {
    let own = cpus(&fs::read_to_string("/proc/self/status").unwrap());
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    for (affinity, expected) in [
        (json!({"final": "1"}), "1"),
        (json!({"initial": "0", "final": "0-1"}), "0-1"),
        // The kernel's own choice is all there are.
        (json!({"initial": "0"}), own.as_str()),
        (json!({"initial": "", "final": ""}), own.as_str()),
        (json!({"initial": "8000", "final": " 0 , 1 "}), "0-1"),
    ] {
        let done = exec(scene, &container, json!({"execCPUAffinity": affinity}), CPUS);
        assert_eq!(cpus(&done.ok().stdout), expected, "{affinity}");
    }
    container.delete_force();
}

fn joins_on_a_cpu_that_is_not_there(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    exec(scene, &container, json!({"execCPUAffinity": {"final": "8000"}}), CPUS).exits(255);
    exec(scene, &container, json!({"execCPUAffinity": {"final": "1-0"}}), CPUS).exits(255);
    container.delete_force();
}

fn joins_with_a_schedule_of_its_own(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    let changes = json!({
        "scheduler": {"policy": "SCHED_OTHER", "nice": 5},
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 2},
    });
    let done = exec(scene, &container, changes, &format!("ionice -p $$; {STAT}"));
    let (first, rest) = done.ok().stdout.split_once('\n').unwrap();
    assert_eq!(first, "best-effort: prio 2");
    assert_eq!(stat(rest), (5, 0, 0));
    container.delete_force();
}

fn joins_with_the_container_s_personality(scene: &Scene) {
    let id = running(scene, scene.bundle().set("/linux/personality", json!({"domain": "LINUX32"})));
    assert_eq!(scene.rt(&["exec", &id, "uname", "-m"]).ok().stdout, "i686\n");
    scene.rt(&["delete", "--force", &id]).ok();
}

fn joins_with_the_container_s_clocks(scene: &Scene) {
    let id = running(scene, &mut with_clocks(scene));
    is_a_day_on(&scene.rt(&["exec", &id, "cat", "/proc/uptime"]).ok().stdout);
    scene.rt(&["delete", "--force", &id]).ok();
}
