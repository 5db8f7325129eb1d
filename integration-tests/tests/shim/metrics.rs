//! `Stats` and `Update`: figures of the cgroup in containerd's messages, and limits that are changed.

use containerd_shim_protos::cgroups_v2::metrics::Metrics;
use containerd_shim_protos::protobuf::Message;
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::process;
use integration_tests::scene::Scene;
use integration_tests::shim::Engine;
use integration_tests::shim::client::Code;
use integration_tests::shim::task::Task;
use serde_json::json;

integration_tests::tests! {
    figures_of_all_controllers [Need::Lane(Lane::Uml)],
    limits [Need::Lane(Lane::Uml)],
    no_limit_is_the_largest_number [Need::Lane(Lane::Uml)],
    update_changes_limits [Need::Lane(Lane::Uml)],
    missing_controllers_are_zero [Need::Lane(Lane::Native)],
    they_agree_with_the_kernel [Need::Lane(Lane::Uml)],
    they_agree_without_a_cpu_controller [Need::Lane(Lane::Native), Need::Planc],
    of_a_container_that_is_not_started,
    of_a_container_that_has_ended,
    of_a_paused_container,
}

#[track_caller]
fn metrics(task: &Task<'_, '_>) -> Metrics {
    let stats = task.client.stats(&task.id).unwrap();
    assert_eq!(stats.type_url, "io.containerd.cgroups.v2.Metrics");
    let metrics = Metrics::parse_from_bytes(&stats.value).unwrap();
    assert_eq!(metrics.special_fields.unknown_fields().iter().next(), None);
    metrics
}

fn figures_of_all_controllers(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.sh("sleep 1000 & x=$(head -c 3000000 /dev/zero | tr '\\0' x); wait"));
    let cgroup = process::cgroup(task.client.state(&task.id, "").unwrap().pid);
    scene.wait_until("it has taken memory", || metrics(&task).memory.anon > 2_000_000);
    let metrics = metrics(&task);
    assert!(metrics.pids.current >= 2, "{:?}", metrics.pids);
    assert!(metrics.cpu.usage_usec > 0 && metrics.cpu.user_usec + metrics.cpu.system_usec > 0, "{:?}", metrics.cpu);
    let memory = &metrics.memory;
    assert!(memory.anon > 2_000_000 && memory.pgfault > 0 && memory.anon <= memory.usage, "{memory:?}");
    let text = std::fs::read_to_string(cgroup.join("memory.stat")).unwrap();
    let inactive = text.lines().find_map(|line| line.strip_prefix("slab_reclaimable ")).unwrap();
    assert!(memory.slab_reclaimable > 0 || inactive == "0", "{memory:?}");
    assert_eq!(metrics.memory_events.oom_kill, 0);
    task.end();
}

fn limits(scene: &Scene) {
    let engine = Engine::new(scene);
    let mut bundle = engine.bundle();
    bundle.set("/linux/resources/memory", json!({"limit": 50_003_968, "swap": 60_006_400}));
    bundle.set("/linux/resources/pids", json!({"limit": 77}));
    bundle.set("/linux/resources/cpu", json!({"quota": 50_000, "period": 100_000}));
    let task = engine.running(&bundle);
    let metrics = metrics(&task);
    assert_eq!((metrics.memory.usage_limit, metrics.pids.limit), (50_003_968, 77));
    assert_eq!(metrics.memory.swap_limit, 60_006_400_u64 - 50_003_968, "{:?}", metrics.memory);
    task.end();
}

fn no_limit_is_the_largest_number(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let metrics = metrics(&task);
    assert_eq!(metrics.memory.usage_limit, u64::MAX);
    // containerd's own reader has 0 for it.
    assert!([0, u64::MAX].contains(&metrics.pids.limit), "{:?}", metrics.pids);
    task.end();
}

fn update_changes_limits(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let cgroup = process::cgroup(task.client.state(&task.id, "").unwrap().pid);
    let read = |file: &str| std::fs::read_to_string(cgroup.join(file)).unwrap().trim().to_owned();
    let resources = json!({"pids": {"limit": 55}, "memory": {"limit": 80_003_072}, "cpu": {"shares": 512, "quota": 20_000, "period": 50_000}});
    task.client.update(&task.id, &resources.to_string()).unwrap();
    let metrics = metrics(&task);
    assert_eq!((metrics.memory.usage_limit, metrics.pids.limit), (80_003_072, 55));
    assert_eq!((read("cpu.max").as_str(), read("pids.max").as_str()), ("20000 50000", "55"));
    // What is not named stays.
    task.client.update(&task.id, "{\"pids\": {\"limit\": 66}}").unwrap();
    assert_eq!((read("cpu.max").as_str(), read("pids.max").as_str()), ("20000 50000", "66"));
    task.client.update(&task.id, "{\"memory\": {\"limit\": -7}}").unwrap_err();
    task.end();
}

fn missing_controllers_are_zero(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    let metrics = metrics(&task);
    let has = |file: &str| process::cgroup(task.client.state(&task.id, "").unwrap().pid).join(file).exists();
    if !has("memory.current") {
        assert_eq!(metrics.memory.usage, 0);
    }
    if !has("pids.current") {
        assert_eq!(metrics.pids.current, 0);
    }
    task.end();
}

/// cpu.stat is there without any controller; the Go shim has zeros then.
fn they_agree_without_a_cpu_controller(scene: &Scene) {
    they_agree_with_the_kernel(scene);
}

fn they_agree_with_the_kernel(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    assert_eq!(task.run("e", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"), 0);
    let cgroup = process::cgroup(task.client.state(&task.id, "").unwrap().pid);
    let read = || {
        let text = std::fs::read_to_string(cgroup.join("cpu.stat")).unwrap();
        text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse::<u64>().ok()).unwrap()
    };
    let (before, metrics, after) = (read(), metrics(&task), read());
    assert!(before > 0 && (before..=after).contains(&metrics.cpu.usage_usec), "{before} {:?} {after}", metrics.cpu);
    task.end();
}

fn of_a_container_that_is_not_started(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.task(&engine.bundle());
    task.create();
    metrics(&task);
    task.end();
}

fn of_a_container_that_has_ended(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.kill();
    // Its cgroup is there until `Delete`.
    if let Err(failure) = task.client.stats(&task.id) {
        failure.is(Code::NOT_FOUND, "cgroup does not exist");
    }
    task.delete();
    task.client.stats(&task.id).unwrap_err().is(Code::NOT_FOUND, "");
    task.shutdown();
}

fn of_a_paused_container(scene: &Scene) {
    let engine = Engine::new(scene);
    let task = engine.running(&engine.bundle());
    task.client.pause(&task.id).unwrap();
    metrics(&task);
    task.client.resume(&task.id).unwrap();
    task.end();
}
