//! What a cgroup's own files say it uses, and what another reader makes of them.

use std::collections::BTreeSet;
use std::path::Path;

use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::hierarchies;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;
use cgroups_rs::fs::{Cgroup, MaxValue};
use integration_tests::oracle::cgroup_root;
use integration_tests::runtime::Kind;
use serde_json::{Value, json};

use super::{flat, number};

/// What the files of a cgroup said at one time.
#[derive(PartialEq)]
pub(super) struct Files {
    cpu: Vec<(String, u64)>,
    memory: Vec<(String, u64)>,
    /// Memory and swap used now, and the most memory there was.
    used: [u64; 3],
}

impl Files {
    pub(super) fn of(cgroup: &Path) -> Self {
        Self {
            cpu: flat(&cgroup.join("cpu.stat")),
            memory: flat(&cgroup.join("memory.stat")),
            used: ["memory.current", "memory.swap.current", "memory.peak"].map(|name| number(&cgroup.join(name))),
        }
    }
}

/// Of the figures of cpu.stat or memory.stat, that of a key.
#[track_caller]
fn of(figures: &[(String, u64)], key: &str) -> u64 {
    figures.iter().find(|(found, _)| found == key).unwrap_or_else(|| panic!("no {key}")).1
}

pub(super) fn agree(data: &Value, files: &Files, kind: Kind) {
    let (cpu, memory) = (&data["cpu"], &data["memory"]);
    let stat = |key: &str| of(&files.cpu, key);
    assert_eq!(cpu["usage"]["total"], stat("usage_usec") * 1000, "{cpu}");
    assert_eq!(cpu["usage"]["user"], stat("user_usec") * 1000, "{cpu}");
    assert_eq!(cpu["usage"]["kernel"], stat("system_usec") * 1000, "{cpu}");
    assert_eq!(cpu["throttling"]["periods"], stat("nr_periods"), "{cpu}");
    assert_eq!(cpu["throttling"]["throttledPeriods"], stat("nr_throttled"), "{cpu}");
    assert_eq!(cpu["throttling"]["throttledTime"], stat("throttled_usec") * 1000, "{cpu}");
    assert!(stat("nr_throttled") > 0, "it was to be held up");

    let [used, swap, most] = files.used;
    assert_eq!(memory["usage"]["limit"], 67_108_864);
    assert_eq!(memory["swap"]["limit"], 67_108_864 + 33_554_432, "both together");
    assert_eq!(memory["usage"]["usage"], used);
    assert_eq!(memory["swap"]["usage"], used + swap);
    assert_eq!(memory["cache"], of(&files.memory, "file"));
    assert!(of(&files.memory, "shmem") >= 8 << 20, "it was to write 8 MiB");
    let told: BTreeSet<&String> = memory["raw"].as_object().unwrap().keys().collect();
    assert_eq!(told, files.memory.iter().map(|(key, _)| key).collect(), "every key of memory.stat");
    assert_eq!(memory["raw"]["shmem"], of(&files.memory, "shmem"));
    if kind == Kind::Planc {
        assert_eq!(memory["usage"]["max"], most, "its highest, which runc tells since 1.2");
    }
    assert_eq!(data["pids"], json!({"current": 3, "limit": 50}));
}

/// What a reader that is none of ours reads.
pub(super) fn of_cgroups_rs(cgroup: &Path) -> Value {
    let cgroup = Cgroup::load(hierarchies::auto(), cgroup.strip_prefix(cgroup_root()).unwrap());
    let memory = cgroup.controller_of::<MemController>().unwrap().memory_stat();
    let pids = cgroup.controller_of::<PidController>().unwrap();
    let MaxValue::Value(most) = pids.get_pid_max().unwrap() else { panic!("pids.max is max") };
    let cpu = cgroup.controller_of::<CpuController>().unwrap().cpu().stat;
    let usage = cpu.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse::<u64>().ok()).unwrap();
    json!({
        "limit": memory.limit_in_bytes, "usage": memory.usage_in_bytes, "shmem": memory.stat.shmem,
        "pids": { "current": pids.get_pid_current().unwrap(), "limit": most }, "total": usage * 1000,
    })
}

pub(super) fn agree_with_cgroups_rs(data: &Value, theirs: &Value) {
    assert_eq!(data["memory"]["usage"]["limit"], theirs["limit"]);
    assert_eq!(data["memory"]["usage"]["usage"], theirs["usage"]);
    assert_eq!(data["memory"]["raw"]["shmem"], theirs["shmem"]);
    assert_eq!(data["pids"], theirs["pids"]);
    assert_eq!(data["cpu"]["usage"]["total"], theirs["total"]);
}
