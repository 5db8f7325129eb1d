//! A container's figures in the JSON that engines read from `runc events`: its names, and the units of cgroup v1.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime_core::{IoDevice, Memory, Pressure, Stalls, Statistics};
use serde::Serialize;

/// `data` of a line. Numbers that are 0 are left out where runc does.
#[derive(Debug, Serialize)]
pub(crate) struct Metrics {
    cpu: Cpu,
    cpuset: Cpuset,
    memory: MemoryUse,
    pids: Pids,
    blkio: Blkio,
    hugetlb: BTreeMap<String, Entry>,
    intel_rdt: Nothing,
    /// runc counts those that it made itself: none.
    network_interfaces: Option<Nothing>,
}

#[derive(Debug, Default, Serialize)]
struct Nothing {}

/// Times in nanoseconds.
#[derive(Debug, Serialize)]
struct Cpu {
    usage: CpuUsage,
    throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

#[derive(Debug, Serialize)]
struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    total: u64,
    kernel: u64,
    user: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_time: u64,
}

/// What version 2 does not have is 0.
#[derive(Debug, Default, Serialize)]
struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cpus: Vec<u16>,
    cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mems: Vec<u16>,
    mem_hardwall: u64,
    mem_exclusive: u64,
    memory_migrate: u64,
    memory_spread_page: u64,
    memory_spread_slab: u64,
    memory_pressure: u64,
    sched_load_balance: u64,
    sched_relax_domain_level: i64,
}

#[derive(Debug, Serialize)]
struct MemoryUse {
    #[serde(skip_serializing_if = "is_zero")]
    cache: u64,
    usage: Entry,
    swap: Entry,
    kernel: Entry,
    #[serde(rename = "kernelTCP")]
    kernel_tcp: Entry,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

/// Something that is counted in bytes and has a limit: how often that was reached is `failcnt`.
#[derive(Debug, Default, Serialize)]
struct Entry {
    /// Of huge pages there is none in the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    failcnt: u64,
}

#[derive(Debug, Serialize)]
struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    limit: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_bytes_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_serviced_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

#[derive(Debug, Serialize)]
struct BlkioEntry {
    #[serde(skip_serializing_if = "is_zero")]
    major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    minor: u64,
    op: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    value: u64,
}

/// Totals in microseconds, as the kernel has them.
#[derive(Debug, Serialize)]
struct Psi {
    some: PsiLine,
    full: PsiLine,
}

#[derive(Debug, Serialize)]
struct PsiLine {
    avg10: f64,
    avg60: f64,
    avg300: f64,
    total: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// No limit is the highest number.
fn limit(limit: Option<u64>) -> Option<u64> {
    Some(limit.unwrap_or(u64::MAX))
}

impl Metrics {
    pub(crate) fn of(found: &Statistics) -> Self {
        let cpu = &found.cpu;
        let pids = found.pids.unwrap_or_default();
        let cpuset = found.cpuset.clone().unwrap_or_default();
        let hugetlb = found.hugetlb.iter().map(|(size, pages)| {
            let entry = Entry { limit: None, usage: pages.current, max: 0, failcnt: pages.refused };
            (size.clone(), entry)
        });
        Self {
            cpu: Cpu {
                usage: CpuUsage {
                    total: nanoseconds(cpu.usage),
                    kernel: nanoseconds(cpu.system),
                    user: nanoseconds(cpu.user),
                },
                throttling: Throttling {
                    periods: cpu.periods,
                    throttled_periods: cpu.throttled_periods,
                    throttled_time: nanoseconds(cpu.throttled),
                },
                psi: found.cpu_pressure.map(Psi::of),
            },
            cpuset: Cpuset { cpus: cpuset.cpus, mems: cpuset.mems, ..Cpuset::default() },
            memory: MemoryUse::of(found.memory.as_ref(), found.memory_pressure),
            pids: Pids { current: pids.current, limit: pids.max.unwrap_or(0) },
            blkio: Blkio {
                io_service_bytes_recursive: entries(&found.io, |device| (device.read_bytes, device.written_bytes)),
                io_serviced_recursive: entries(&found.io, |device| (device.reads, device.writes)),
                psi: found.io_pressure.map(Psi::of),
            },
            hugetlb: hugetlb.collect(),
            intel_rdt: Nothing {},
            network_interfaces: None,
        }
    }
}

impl MemoryUse {
    /// `swap` is memory and swap together, as version 1 counts.
    fn of(memory: Option<&Memory>, pressure: Option<Pressure>) -> Self {
        let nothing = || Entry { limit: Some(0), ..Entry::default() };
        let psi = pressure.map(Psi::of);
        let Some(memory) = memory else {
            let raw = BTreeMap::new();
            return Self {
                cache: 0,
                usage: nothing(),
                swap: nothing(),
                kernel: nothing(),
                kernel_tcp: nothing(),
                raw,
                psi,
            };
        };
        let together = memory.max.zip(memory.swap_max).map(|(memory, swap)| memory.saturating_add(swap));
        Self {
            cache: memory.stat.get("file").unwrap_or(0),
            usage: Entry {
                limit: limit(memory.max),
                usage: memory.current,
                max: memory.peak.unwrap_or(0),
                failcnt: memory.events.get("max").unwrap_or(0),
            },
            swap: Entry {
                limit: limit(together),
                usage: memory.current.saturating_add(memory.swap_current),
                ..Entry::default()
            },
            kernel: nothing(),
            kernel_tcp: nothing(),
            raw: memory.stat.iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            psi,
        }
    }
}

fn entries(devices: &[IoDevice], read_and_written: impl Fn(&IoDevice) -> (u64, u64)) -> Vec<BlkioEntry> {
    let entry =
        |device: &IoDevice, op, value| BlkioEntry { major: device.major.into(), minor: device.minor.into(), op, value };
    let both = devices.iter().map(|device| (device, read_and_written(device)));
    both.flat_map(|(device, (read, written))| [entry(device, "Read", read), entry(device, "Write", written)]).collect()
}

impl Psi {
    fn of(pressure: Pressure) -> Self {
        let line = |stalls: Stalls| PsiLine {
            avg10: stalls.avg10,
            avg60: stalls.avg60,
            avg300: stalls.avg300,
            total: stalls.total.as_micros().try_into().unwrap_or(u64::MAX),
        };
        Self { some: line(pressure.some), full: line(pressure.full) }
    }
}

#[cfg(test)]
mod tests {
    use runtime_core::{Hugetlb, Pids};
    use serde_json::{Value, json};

    use super::*;

    fn json_of(found: &Statistics) -> Value {
        serde_json::to_value(Metrics::of(found)).unwrap()
    }

    #[test]
    fn nothing_is_still_an_object_of_each() {
        let entry = json!({"limit": 0, "failcnt": 0});
        let data = json_of(&Statistics::default());
        assert_eq!(data["memory"], json!({"usage": entry, "swap": entry, "kernel": entry, "kernelTCP": entry}));
        assert_eq!(data["cpu"], json!({"usage": {"kernel": 0, "user": 0}, "throttling": {}}));
        assert_eq!([&data["pids"], &data["blkio"], &data["hugetlb"], &data["intel_rdt"]], [&json!({}); 4]);
        assert_eq!(data["network_interfaces"], Value::Null);
    }

    #[test]
    fn units_and_limits() {
        let mut found = Statistics::default();
        found.cpu.usage = Duration::from_micros(1500);
        found.pids = Some(Pids { current: 3, max: None });
        found.memory =
            Some(Memory { current: 10, max: Some(100), swap_current: 5, swap_max: Some(50), ..Memory::default() });
        found.hugetlb.insert("2MB".into(), Hugetlb { current: 7, refused: 1, ..Hugetlb::default() });
        found.io = vec![IoDevice { major: 8, read_bytes: 4096, writes: 2, ..IoDevice::default() }];
        let data = json_of(&found);
        assert_eq!(data["cpu"]["usage"]["total"], 1_500_000);
        assert_eq!(data["pids"], json!({"current": 3}));
        assert_eq!(data["memory"]["usage"], json!({"limit": 100, "usage": 10, "failcnt": 0}));
        assert_eq!(data["memory"]["swap"], json!({"limit": 150, "usage": 15, "failcnt": 0}));
        assert_eq!(data["hugetlb"], json!({"2MB": {"usage": 7, "failcnt": 1}}));
        let bytes = json!([{"major": 8, "op": "Read", "value": 4096}, {"major": 8, "op": "Write"}]);
        assert_eq!(data["blkio"]["ioServiceBytesRecursive"], bytes);
        found.memory = Some(Memory { max: Some(1), ..Memory::default() });
        assert_eq!(json_of(&found)["memory"]["swap"]["limit"], u64::MAX);
    }
}
