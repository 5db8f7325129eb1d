//! What takes the controllers of a cgroup: limits, their change, figures, and a container that needs too much.

use std::fs;
use std::path::{Path, PathBuf};

use integration_tests::containerd::Containerd;
use integration_tests::containerd::events::Events;
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::process;
use integration_tests::scene::Scene;
use integration_tests::shim::client::{Client, V2};

const UML: Need = Need::Lane(Lane::Uml);
const MIB: u64 = 1 << 20;

integration_tests::containerd_tests! {
    a_limit_its_change_and_the_figures [UML],
    out_of_memory_is_told_before_the_end [UML],
}

fn cgroup(containerd: &Containerd<'_>, id: &str) -> PathBuf {
    process::cgroup(containerd.task(id).unwrap().pid)
}

fn a_limit_its_change_and_the_figures(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let id = containerd.sleeping(&["--memory-limit", &(64 * MIB).to_string()]);
    let max = cgroup(&containerd, &id).join("memory.max");
    assert_eq!(fs::read_to_string(&max).unwrap(), format!("{}\n", 64 * MIB));
    let table = containerd.ctr(&["task", "metrics", &id]);
    let value = |key: &str| table.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
    assert_eq!(value("pids.current"), Some(1), "{table}");
    assert_eq!(value("memory.usage_limit"), Some(64 * MIB), "{table}");
    assert!(value("memory.usage").is_some_and(|usage| (1..64 * MIB).contains(&usage)), "{table}");
    // ctr has no `task update`: the shim is asked as containerd asks it.
    let address = fs::read_to_string(containerd.bundle_of(&id).join("address")).unwrap();
    let client = Client::connect(&address, V2).unwrap();
    client.update(&id, &format!(r#"{{"memory":{{"limit":{}}}}}"#, 96 * MIB)).unwrap();
    drop(client);
    assert_eq!(fs::read_to_string(&max).unwrap(), format!("{}\n", 96 * MIB));
    assert_eq!(containerd.stop(&id), 137);
    containerd.end();
}

fn out_of_memory_is_told_before_the_end(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let events = Events::listen(&containerd);
    let limit = (32 * MIB).to_string();
    let id = containerd.detached(&["--memory-limit", &limit], &["sh", "-c", "x=xxxxxxxx; while :; do x=$x$x; done"]);
    let topics = events.topics_until(&id, "exit");
    assert_eq!(topics, ["create", "start", "oom", "exit"]);
    containerd.wait_status(&id, "STOPPED");
    assert_eq!(containerd.delete(&id), 137);
    drop(events);
    containerd.end();
}
