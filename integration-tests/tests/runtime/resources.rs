//! `linux.resources` (runtime-spec config-linux.md#control-groups): what is asked for is what the kernel has, at create and
//! after `update`; and it holds.

use std::fs;
use std::path::PathBuf;

use integration_tests::harness::{Need, say};
use integration_tests::lane::Lane;
use integration_tests::oracle::cgroup_root;
use integration_tests::process;
use integration_tests::runtime::{Kind, Runtime};
use integration_tests::scene::{Container, Scene};
use serde_json::{Value, json};

/// A controller that the lane hands down.
macro_rules! controller {
    ($name:literal) => {
        Need::Works(concat!("grep -qw ", $name, " /sys/fs/cgroup/cgroup.subtree_control"))
    };
}

const LOOP: Need = Need::Works("losetup -f");

integration_tests::tests! {
    memory [controller!("memory")],
    cpu [controller!("cpu")],
    // Before 1.3 the weight was 1 + (shares - 2) * 9999 / 262142: the default of the one scale was not that of the other.
    cpu_shares [controller!("cpu"), Need::Planc],
    cpu_burst_and_idle [controller!("cpu"), Need::Planc],
    pids [controller!("pids")],
    // Until the runtime-spec 1.3 no limit and a limit of 0 were the same.
    pids_of_none [controller!("pids"), Need::Planc],
    pids_of_one_leave_room_for_init [controller!("pids"), Need::Planc],
    throttles [controller!("io"), LOOP],
    weight_without_a_scheduler_that_has_one [controller!("io"), Need::Planc],
    unified [controller!("memory")],
    unified_overrides [controller!("memory")],
    controllers_are_handed_down [controller!("memory"), Need::Cgroupfs],
    processes_above_keep_a_controller_back [controller!("memory"), Need::Planc, Need::Cgroupfs],
    a_missing_controller_is_named [Need::Lane(Lane::Native)],
    what_only_v1_has_is_ignored [Need::Planc],
    a_value_that_the_kernel_does_not_take [controller!("memory")],
    memory_is_limited [controller!("memory")],
    processes_are_limited [controller!("pids")],
    cpu_time_is_limited [controller!("cpu")],
    a_container_of_512_kib [controller!("memory"), Need::Planc],
    update_reads_standard_input [controller!("memory")],
    // systemd writes all of a unit's files again.
    update_changes_only_what_is_given [controller!("memory"), Need::Cgroupfs],
    // runc forgets the limit where only swap is given, and refuses that for want of one: only what is given changes.
    update_is_remembered [controller!("memory"), Need::Planc],
    update_is_all_or_nothing [controller!("memory"), Need::Planc],
    // The property is of the runtime-spec 1.1; runc 1.1 knows it on cgroup v1 alone.
    update_checks_what_is_in_use [controller!("memory"), Need::Planc],
    // runc's update has no list of devices.
    update_throttles [controller!("io"), LOOP, Need::Planc],
    update_of_a_created_and_of_a_paused_one [controller!("pids")],
    update_refuses_a_stopped_one [controller!("pids")],
    update_refuses_what_is_no_number [Need::Planc],
    update_of_nothing [Need::Planc],
}

/// A file of a container's cgroup, without its last newline.
#[track_caller]
fn file(container: &Container<'_>, name: &str) -> String {
    let path = process::cgroup(container.pid()).join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.trim_end().to_owned()
}

#[track_caller]
fn shows(container: &Container<'_>, files: &[(&str, &str)]) {
    let found: Vec<_> = files.iter().map(|(name, _)| (*name, file(container, name))).collect();
    let expected: Vec<_> = files.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    assert_eq!(found, expected);
}

/// A container that sleeps, created with these resources.
fn created<'s>(scene: &'s Scene, resources: Value) -> Container<'s> {
    let mut bundle = scene.bundle();
    let devices = bundle.config["linux"]["resources"]["devices"].clone();
    bundle.set("/linux/resources", resources).set("/linux/resources/devices", devices);
    let container = scene.container(bundle.sleep());
    container.create();
    container
}

/// `update` with flags.
#[track_caller]
fn update(scene: &Scene, container: &Container<'_>, flags: &[&str]) {
    let done = scene.rt(&[&["update"], flags, &[container.id.as_str()]].concat());
    assert_eq!((done.ok().stdout.as_str(), done.stderr.as_str()), ("", ""));
}

/// Created with `resources`, which shows as `before`; then updated with `flags`, which shows as `after`.
#[track_caller]
fn row(scene: &Scene, resources: Value, before: &[(&str, &str)], flags: &[&str], after: &[(&str, &str)]) {
    let container = created(scene, resources);
    shows(&container, before);
    container.start();
    shows(&container, before);
    update(scene, &container, flags);
    shows(&container, after);
    container.delete_force();
}

fn memory(scene: &Scene) {
    row(
        scene,
        json!({"memory": {"limit": 33554432, "swap": 50331648, "reservation": 16777216}}),
        &[("memory.max", "33554432"), ("memory.swap.max", "16777216"), ("memory.low", "16777216")],
        &["--memory", "64M", "--memory-swap", "-1", "--memory-reservation", "8388608"],
        &[("memory.max", "67108864"), ("memory.swap.max", "max"), ("memory.low", "8388608")],
    );
    row(
        scene,
        json!({"memory": {"limit": 33554432, "swap": 33554432}}),
        &[("memory.max", "33554432"), ("memory.swap.max", "0")],
        &["--memory", "-1", "--memory-swap", "-1"],
        &[("memory.max", "max"), ("memory.swap.max", "max")],
    );
}

fn cpu(scene: &Scene) {
    row(
        scene,
        json!({"cpu": {"quota": 20000, "period": 50000}}),
        &[("cpu.max", "20000 50000")],
        &["--cpu-quota", "30000", "--cpu-period", "60000"],
        &[("cpu.max", "30000 60000")],
    );
    row(
        scene,
        json!({"cpu": {"quota": 20000}}),
        &[("cpu.max", "20000 100000")],
        &["--cpu-quota=-1"],
        &[("cpu.max", "max 100000")],
    );
}

fn cpu_shares(scene: &Scene) {
    row(
        scene,
        json!({"cpu": {"shares": 1024}}),
        &[("cpu.weight", "100")],
        &["--cpu-share", "262144"],
        &[("cpu.weight", "10000")],
    );
}

fn cpu_burst_and_idle(scene: &Scene) {
    row(
        scene,
        json!({"cpu": {"quota": 20000, "burst": 10000}}),
        &[("cpu.max", "20000 100000"), ("cpu.max.burst", "10000")],
        // Below the burst that is set: the kernel would take neither before the other.
        &["--cpu-quota", "8000", "--cpu-burst", "5000"],
        &[("cpu.max", "8000 100000"), ("cpu.max.burst", "5000")],
    );
    row(
        scene,
        json!({"cpu": {"idle": 1, "shares": 512}}),
        &[("cpu.idle", "1")],
        &["--cpu-idle", "0"],
        &[("cpu.idle", "0"), ("cpu.weight", "59")],
    );
}

fn pids(scene: &Scene) {
    row(scene, json!({"pids": {"limit": 20}}), &[("pids.max", "20")], &["--pids-limit", "10"], &[("pids.max", "10")]);
    row(scene, json!({"pids": {"limit": -1}}), &[("pids.max", "max")], &["--pids-limit", "7"], &[("pids.max", "7")]);
}

/// As in runc 1.5: init is one, with a limit of 0 as well. (runc 1.1 takes 0 for none.)
fn pids_of_none(scene: &Scene) {
    row(scene, json!({"pids": {"limit": 0}}), &[("pids.max", "1")], &["--pids-limit", "0"], &[("pids.max", "1")]);
}

/// Init is born again where it joins a pid namespace: two of it live for a moment.
fn pids_of_one_leave_room_for_init(scene: &Scene) {
    let other = scene.container(scene.bundle().sleep());
    other.run_detached();
    let mut bundle = scene.bundle();
    bundle.set("/linux/resources/pids", json!({"limit": 1})).args(&["/bin/true"]);
    scene.container(&bundle).run().ok();
    let namespaces = bundle.config["linux"]["namespaces"].as_array().unwrap().clone();
    let joined = namespaces.into_iter().map(|mut namespace| {
        if namespace["type"] == "pid" {
            namespace["path"] = format!("/proc/{}/ns/pid", other.pid()).into();
        }
        namespace
    });
    bundle.set("/linux/namespaces", joined.collect::<Vec<_>>());
    scene.container(&bundle).run().ok();
    other.delete_force();
}

/// A loop device over a file, gone when it is dropped.
struct Disk(String);

impl Disk {
    fn new(scene: &Scene) -> Self {
        let file = scene.path("disk");
        fs::write(&file, vec![0; 1 << 20]).unwrap();
        let done = std::process::Command::new("losetup").args(["-f", "--show"]).arg(&file).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Self(String::from_utf8(done.stdout).unwrap().trim().to_owned())
    }

    fn minor(&self) -> u32 {
        self.0.trim_start_matches("/dev/loop").parse().unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("losetup").args(["-d", &self.0]).status();
    }
}

fn throttles(scene: &Scene) {
    let disk = Disk::new(scene);
    let device = |rate: u32| json!([{"major": 7, "minor": disk.minor(), "rate": rate}]);
    let container = created(
        scene,
        json!({"blockIO": {
            "throttleReadBpsDevice": device(1_048_576), "throttleWriteBpsDevice": device(2_097_152),
            "throttleReadIOPSDevice": device(100), "throttleWriteIOPSDevice": device(200),
        }}),
    );
    let line = format!("7:{} rbps=1048576 wbps=2097152 riops=100 wiops=200", disk.minor());
    shows(&container, &[("io.max", &line)]);
    container.delete_force();
}

fn update_throttles(scene: &Scene) {
    let disk = Disk::new(scene);
    let device = |rate: u32| json!([{"major": 7, "minor": disk.minor(), "rate": rate}]);
    let given =
        |rate| json!({"blockIO": {"throttleReadBpsDevice": device(rate), "throttleWriteIOPSDevice": device(9)}});
    let container = created(scene, given(1_048_576));
    from_standard_input(scene, &container, &json!({"blockIO": {"throttleReadBpsDevice": device(4_194_304)}})).ok();
    let line = format!("7:{} rbps=4194304 wbps=max riops=max wiops=9", disk.minor());
    shows(&container, &[("io.max", &line)]);
    // What a refused value came with is as it was.
    let mut refused = given(2_097_152);
    refused["unified"] = json!({"memory.high": "much"});
    from_standard_input(scene, &container, &refused).fails();
    shows(&container, &[("io.max", &line)]);
    container.delete_force();
}

fn weight_without_a_scheduler_that_has_one(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/resources/blockIO", json!({"weight": 500}));
    let files = cgroup_root().join("init");
    if files.join("io.weight").exists() || files.join("io.bfq.weight").exists() {
        let container = scene.container(bundle.sleep());
        container.create();
        let of = |name| fs::read_to_string(process::cgroup(container.pid()).join(name)).unwrap_or_default();
        assert!(of("io.weight").contains("4950") || of("io.bfq.weight").contains("500"));
        container.delete_force();
    } else {
        scene.refused(&bundle, "/linux/resources/blockIO/weight").says("io.bfq.weight").says("io.weight");
    }
}

fn unified(scene: &Scene) {
    let container = created(scene, json!({"unified": {"memory.high": "20971520", "memory.min": "4096"}}));
    shows(&container, &[("memory.high", "20971520"), ("memory.min", "4096")]);
    from_standard_input(scene, &container, &json!({"unified": {"memory.high": "max"}})).ok();
    shows(&container, &[("memory.high", "max"), ("memory.min", "4096")]);
    container.delete_force();
}

fn unified_overrides(scene: &Scene) {
    let container = created(scene, json!({"memory": {"limit": 33554432}, "unified": {"memory.max": "41943040"}}));
    shows(&container, &[("memory.max", "41943040")]);
    container.delete_force();
}

/// config-linux.md#unified, "all controllers enabled in the ancestors".
fn controllers_are_handed_down(scene: &Scene) {
    let mut bundle = scene.bundle();
    let top = format!("/{}", scene.id());
    bundle.set("/linux/cgroupsPath", format!("{top}/a/b")).set("/linux/resources/memory", json!({"limit": 33554432}));
    let container = scene.container(bundle.sleep());
    container.create();
    shows(&container, &[("memory.max", "33554432")]);
    let all = fs::read_to_string(cgroup_root().join("cgroup.controllers")).unwrap();
    assert_eq!(file(&container, "cgroup.controllers"), all.trim_end(), "for updates and statistics to come");
    container.delete_force();
    remove(&top);
}

/// What a runtime may leave: the cgroups above that it had to make.
fn remove(top: &str) {
    let top = cgroup_root().join(top.trim_start_matches('/'));
    let _ = fs::remove_dir(top.join("a"));
    let _ = fs::remove_dir(top);
}

/// cgroups(7), "no internal processes".
fn processes_above_keep_a_controller_back(scene: &Scene) {
    let top = format!("/{}", scene.id());
    let path = cgroup_root().join(top.trim_start_matches('/'));
    fs::create_dir(&path).unwrap();
    let mut sleeper = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    fs::write(path.join("cgroup.procs"), sleeper.id().to_string()).unwrap();
    let mut bundle = scene.bundle();
    bundle.set("/linux/cgroupsPath", format!("{top}/a")).set("/linux/resources/memory", json!({"limit": 33554432}));
    let done = scene.refused(&bundle, "/linux/resources/memory/limit");
    done.says("the controller memory cannot be handed down by").says(&top).says("processes of its own");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    remove(&top);
}

fn a_missing_controller_is_named(scene: &Scene) {
    let controllers = fs::read_to_string(cgroup_root().join("cgroup.controllers")).unwrap();
    for (pointer, value, controller) in [
        ("/linux/resources/memory", json!({"limit": 33554432}), "memory"),
        ("/linux/resources/cpu", json!({"shares": 100}), "cpu"),
        ("/linux/resources/pids", json!({"limit": 5}), "pids"),
    ] {
        if controllers.split_whitespace().any(|present| present == controller) {
            continue;
        }
        let mut bundle = scene.bundle();
        bundle.set(pointer, value);
        let done = scene.refused(&bundle, pointer);
        if scene.runtime.kind == Kind::Planc {
            done.says(&format!("the cgroup controller {controller} is not available"));
        }
    }
}

fn what_only_v1_has_is_ignored(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/resources/memory", json!({"swappiness": 50, "disableOOMKiller": true}));
    bundle.set("/linux/resources/network", json!({"classID": 1048577})).args(&["/bin/true"]);
    let done = scene.container(&bundle).run();
    done.ok();
    assert_eq!(done.stderr.lines().count(), 3, "{}", done.stderr);
    done.says("/linux/resources/memory/swappiness").says("/linux/resources/network/classID");
}

fn a_value_that_the_kernel_does_not_take(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/resources/unified", json!({"memory.high": "much"}));
    scene.refused(&bundle, "/linux/resources/unified/memory.high");
}

/// Memory that is really there, not only asked for: of busybox's own, by a shell that doubles a string.
const EATS: &str = "s=xxxxxxxxxxxxxxxx; while :; do s=$s$s; done";

fn memory_is_limited(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/resources/memory", json!({"limit": 16777216, "swap": 16777216})).sh(EATS);
    let done = scene.container(&bundle).run();
    done.exits(137);
}

fn processes_are_limited(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/resources/pids", json!({"limit": 5}));
    bundle.sh("for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; cat /sys/fs/cgroup/pids.current");
    let done = scene.container(&bundle).run();
    done.says("can't fork");
}

/// A tenth of a CPU: of the time that passes a tenth is spent.
fn cpu_time_is_limited(scene: &Scene) {
    let container = created(scene, json!({"cpu": {"quota": 10000, "period": 100_000}}));
    container.start();
    let call = container.exec_call(&[], &["sh", "-c", "while :; do :; done"]);
    let mut running = call.spawn();
    let stat = |name: &str| -> u64 {
        let text = file(&container, "cpu.stat");
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
    };
    scene.wait_until("it is throttled", || stat("nr_throttled ") >= 5);
    let (start, before) = (std::time::Instant::now(), stat("usage_usec "));
    std::thread::sleep(std::time::Duration::from_secs(1));
    let used = (stat("usage_usec ") - before) as f64 / start.elapsed().as_micros() as f64;
    running.kill();
    container.delete_force();
    assert!(used < 0.3, "{used} of a CPU");
}

/// The smallest limits, KiB, under which each runtime runs /bin/true: planc's is at most 512.
fn a_container_of_512_kib(scene: &Scene) {
    let others = ["/usr/sbin/runc", "/usr/bin/crun"].map(PathBuf::from);
    let judged = [scene.runtime.path.clone()].into_iter().chain(others.into_iter().filter(|path| path.exists()));
    for path in judged {
        let runtime = Runtime::identify(path).unwrap();
        let stage = scene.with(runtime);
        let runs = |kib: u64| {
            let mut bundle = stage.bundle();
            bundle.set("/linux/resources/memory", json!({"limit": kib << 10, "swap": kib << 10})).args(&["/bin/true"]);
            let container = stage.container(&bundle);
            let created = container.try_create(&[]);
            let is_well = created.code() == 0 && stage.rt(&["start", &container.id]).code() == 0 && {
                let pid = container.pid();
                pid == 0 || {
                    container.wait_end(pid);
                    true
                }
            };
            let why = created.stderr.lines().last().unwrap_or_default().to_owned();
            stage.rt(&["delete", "--force", &container.id]);
            (is_well, why)
        };
        let sizes = [256u64, 384, 512, 768, 1024, 2048, 4096, 8192, 16384];
        let found = sizes.iter().map(|kib| (*kib, runs(*kib))).find(|(_, (is_well, _))| *is_well);
        let least = found.map(|(kib, _)| kib);
        say(format_args!(
            "\n     least memory.max for /bin/true under {}: {least:?} KiB",
            stage.runtime.path.display()
        ));
        if stage.runtime.kind == Kind::Planc {
            assert!(least.is_some_and(|kib| kib <= 512), "{least:?} KiB; at 512: {:?}", runs(512));
        }
    }
    // crun's, which it makes wherever --root is.
    let _ = fs::remove_dir("/run/crun");
}

fn from_standard_input(
    scene: &Scene,
    container: &Container<'_>,
    resources: &Value,
) -> integration_tests::runtime::Done {
    let path = scene.path("resources.json");
    fs::write(&path, resources.to_string()).unwrap();
    scene.call(&["update", "--resources", "-", &container.id]).stdin(fs::File::open(&path).unwrap()).done()
}

fn update_reads_standard_input(scene: &Scene) {
    let container = created(scene, json!({"memory": {"limit": 33554432}}));
    let given = json!({"memory": {"limit": 67108864}, "cpu": {"shares": 0}, "pids": {"limit": 9}});
    let done = from_standard_input(scene, &container, &given);
    assert_eq!((done.ok().stdout.as_str(), done.stderr.as_str()), ("", ""));
    shows(&container, &[("memory.max", "67108864"), ("pids.max", "9")]);
    let path = scene.path("resources.json");
    fs::write(&path, json!({"memory": {"limit": 50331648}}).to_string()).unwrap();
    update(scene, &container, &["-r", path.to_str().unwrap()]);
    shows(&container, &[("memory.max", "50331648"), ("pids.max", "9")]);
    container.delete_force();
}

fn update_changes_only_what_is_given(scene: &Scene) {
    let container = created(scene, json!({"memory": {"limit": 33554432}, "pids": {"limit": 20}}));
    // Somebody else's.
    let pids = process::cgroup(container.pid()).join("pids.max");
    fs::write(&pids, "15").unwrap();
    update(scene, &container, &["--memory", "67108864"]);
    if scene.runtime.kind == Kind::Planc {
        shows(&container, &[("memory.max", "67108864"), ("pids.max", "15")]);
    } else {
        shows(&container, &[("memory.max", "67108864")]);
    }
    container.delete_force();
}

/// memory.swap.max is what `swap` is more than `limit`, whichever of them an update gave.
fn update_is_remembered(scene: &Scene) {
    let container = created(scene, json!({"memory": {"limit": 33554432, "swap": 67108864}}));
    update(scene, &container, &["--memory-swap", "100663296", "--memory", "50331648"]);
    shows(&container, &[("memory.max", "50331648"), ("memory.swap.max", "50331648")]);
    update(scene, &container, &["--memory-swap", "67108864"]);
    shows(&container, &[("memory.max", "50331648"), ("memory.swap.max", "16777216")]);
    container.delete_force();
}

fn update_is_all_or_nothing(scene: &Scene) {
    let container = created(scene, json!({"memory": {"limit": 33554432}}));
    let given = json!({"memory": {"limit": 67108864}, "unified": {"memory.high": "much"}});
    let done = from_standard_input(scene, &container, &given);
    done.fails().says("/linux/resources/unified/memory.high").says("cannot set memory.high");
    shows(&container, &[("memory.max", "33554432"), ("memory.high", "max")]);
    let given = json!({"memory": {"limit": 67108864}, "cpu": {"realtimeRuntime": 5}});
    from_standard_input(scene, &container, &given).fails().says("/linux/resources/cpu/realtimeRuntime");
    shows(&container, &[("memory.max", "33554432")]);
    container.delete_force();
}

fn update_checks_what_is_in_use(scene: &Scene) {
    let container = created(scene, json!({"memory": {"limit": 33554432}}));
    container.start();
    let given = json!({"memory": {"limit": 4096, "checkBeforeUpdate": true}});
    from_standard_input(scene, &container, &given).fails().says("rejecting memory limit 4096");
    let given = json!({"memory": {"limit": 4096, "swap": 8192, "checkBeforeUpdate": true}});
    let done = from_standard_input(scene, &container, &given);
    done.fails();
    if scene.runtime.kind == Kind::Planc {
        // runc 1.1 looks at the memory alone.
        done.says("rejecting memory+swap limit 8192");
    }
    shows(&container, &[("memory.max", "33554432")]);
    container.delete_force();
}

fn update_of_a_created_and_of_a_paused_one(scene: &Scene) {
    let container = created(scene, json!({}));
    update(scene, &container, &["--pids-limit", "30"]);
    container.start();
    scene.rt(&["pause", &container.id]).ok();
    update(scene, &container, &["--pids-limit", "40"]);
    assert_eq!(container.status(), "paused");
    shows(&container, &[("pids.max", "40")]);
    container.delete_force();
}

fn update_refuses_a_stopped_one(scene: &Scene) {
    let container = created(scene, json!({}));
    container.start();
    container.stop();
    scene.rt(&["update", "--pids-limit", "30", &container.id]).fails();
    container.delete_force();
}

fn update_refuses_what_is_no_number(scene: &Scene) {
    let container = created(scene, json!({}));
    for (flag, value) in
        [("--memory", "lots"), ("--pids-limit", "1.5"), ("--cpu-quota", "x"), ("--memory", "-2"), ("--cpu-share", "-1")]
    {
        scene.rt(&["update", flag, value, &container.id]).fails();
    }
    for text in ["", "[]", "{\"memory\": 5}", "{\"memory\": {\"limit\": \"5\"}}", "{\"memory\": {\"limit\": 5}"] {
        let path = scene.path("resources.json");
        fs::write(&path, text).unwrap();
        scene.rt(&["update", "-r", path.to_str().unwrap(), &container.id]).fails().says("/linux/resources");
    }
    scene.rt(&["update", "-r", "/nonexistent", &container.id]).fails();
    scene.rt(&["update", "--pids-limit", "5", "nobody"]).fails().says("does not exist");
    container.delete_force();
}

fn update_of_nothing(scene: &Scene) {
    let container = created(scene, json!({}));
    update(scene, &container, &[]);
    assert_eq!(container.status(), "created");
    container.delete_force();
}
