//! What the figures are of: the machine, its kernel, the lane, and how busy it is beside.

use std::env;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::results::{record, say};

/// Leaves a line about it.
pub(crate) fn describe(bench: &str) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpus = read("/proc/cpuinfo");
    let processor = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("?");
    let processor = processor.trim_start_matches([' ', '\t', ':']).to_owned();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg").split(' ').next().unwrap_or("?").to_owned();
    let memory = read("/proc/meminfo");
    let memory = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024;
    let kernel = read("/proc/sys/kernel/osrelease");
    let lane = env::var("LANE").unwrap_or_default();
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    say(&format!("{bench}: Linux {kernel}, {cores} × {processor}, {memory} MiB, lane {lane}, load {load}"));
    record(&json!({
        "kind": "host", "bench": bench, "kernel": kernel, "cores": cores, "processor": processor, "memory": memory,
        "lane": lane, "load": load, "time": seconds, "rounds": env::var("ROUNDS").ok()
    }));
}
