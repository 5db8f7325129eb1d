//! The figures of a container's cgroup as containerd's clients read them.

use std::time::Duration;

use runtime_core::{Cpu, Figures, Hugetlb, IoDevice, Memory, Pids, Pressure, Rdma, Stalls, Statistics};

use crate::api::Any;
use crate::api::metrics::{
    CPUStat, HugeTlbStat, IOEntry, IOStat, MemoryEvents, MemoryStat, Metrics, PSIData, PSIStats, PidsStat, RdmaEntry,
    RdmaStat,
};

/// The name of the type: clients tell by it which version of cgroups it is of.
const NAME: &str = "io.containerd.cgroups.v2.Metrics";

/// What a limit is where there is none.
const NO_LIMIT: u64 = u64::MAX;

/// `statistics` as an answer to `Stats`. A figure whose controller or file is missing is 0: clients read the messages of all
/// controllers without a look whether they are there.
pub(crate) fn metrics(statistics: &Statistics) -> Any {
    Any::of(NAME, &message(statistics))
}

fn message(statistics: &Statistics) -> Metrics {
    let memory = statistics.memory.as_ref();
    Metrics {
        pids: Some(statistics.pids.map_or_else(PidsStat::default, pids)),
        cpu: Some(cpu(&statistics.cpu, statistics.cpu_pressure)),
        memory: Some(
            memory.map_or_else(MemoryStat::default, |figures| memory_stat(figures, statistics.memory_pressure)),
        ),
        rdma: Some(rdma(statistics)),
        io: Some(io(&statistics.io, statistics.io_pressure)),
        hugetlb: statistics.hugetlb.iter().map(|(size, figures)| hugetlb(size, figures)).collect(),
        memory_events: Some(memory.map_or_else(MemoryEvents::default, |figures| memory_events(&figures.events))),
    }
}

fn pids(pids: Pids) -> PidsStat {
    PidsStat { current: pids.current, limit: pids.max.unwrap_or(NO_LIMIT) }
}

fn cpu(cpu: &Cpu, pressure: Option<Pressure>) -> CPUStat {
    CPUStat {
        usage_usec: micros(cpu.usage),
        user_usec: micros(cpu.user),
        system_usec: micros(cpu.system),
        nr_periods: cpu.periods,
        nr_throttled: cpu.throttled_periods,
        throttled_usec: micros(cpu.throttled),
        psi: pressure.map(psi),
        nr_bursts: cpu.bursts,
        burst_usec: micros(cpu.burst),
    }
}

fn memory_stat(memory: &Memory, pressure: Option<Pressure>) -> MemoryStat {
    let mut stat = MemoryStat {
        usage: memory.current,
        usage_limit: memory.max.unwrap_or(NO_LIMIT),
        swap_usage: memory.swap_current,
        swap_limit: memory.swap_max.unwrap_or(NO_LIMIT),
        max_usage: memory.peak.unwrap_or_default(),
        swap_max_usage: memory.swap_peak.unwrap_or_default(),
        psi: pressure.map(psi),
        ..MemoryStat::default()
    };
    for (key, value) in memory.stat.iter() {
        if let Some(place) = place(&mut stat, key) {
            *place = value;
        }
    }
    stat
}

/// Where a line of memory.stat goes; newer kernels have more than the message.
fn place<'a>(stat: &'a mut MemoryStat, key: &str) -> Option<&'a mut u64> {
    Some(match key {
        "anon" => &mut stat.anon,
        "file" => &mut stat.file,
        "kernel_stack" => &mut stat.kernel_stack,
        "slab" => &mut stat.slab,
        "sock" => &mut stat.sock,
        "shmem" => &mut stat.shmem,
        "file_mapped" => &mut stat.file_mapped,
        "file_dirty" => &mut stat.file_dirty,
        "file_writeback" => &mut stat.file_writeback,
        "anon_thp" => &mut stat.anon_thp,
        "inactive_anon" => &mut stat.inactive_anon,
        "active_anon" => &mut stat.active_anon,
        "inactive_file" => &mut stat.inactive_file,
        "active_file" => &mut stat.active_file,
        "unevictable" => &mut stat.unevictable,
        "slab_reclaimable" => &mut stat.slab_reclaimable,
        "slab_unreclaimable" => &mut stat.slab_unreclaimable,
        "pgfault" => &mut stat.pgfault,
        "pgmajfault" => &mut stat.pgmajfault,
        // KERNEL(5.9): those of anonymous memory are counted apart from there on.
        "workingset_refault" | "workingset_refault_file" => &mut stat.workingset_refault,
        "workingset_activate" | "workingset_activate_file" => &mut stat.workingset_activate,
        "workingset_nodereclaim" => &mut stat.workingset_nodereclaim,
        "pgrefill" => &mut stat.pgrefill,
        "pgscan" => &mut stat.pgscan,
        "pgsteal" => &mut stat.pgsteal,
        "pgactivate" => &mut stat.pgactivate,
        "pgdeactivate" => &mut stat.pgdeactivate,
        "pglazyfree" => &mut stat.pglazyfree,
        "pglazyfreed" => &mut stat.pglazyfreed,
        "thp_fault_alloc" => &mut stat.thp_fault_alloc,
        "thp_collapse_alloc" => &mut stat.thp_collapse_alloc,
        _ => return None,
    })
}

fn memory_events(events: &Figures) -> MemoryEvents {
    let count = |key| events.get(key).unwrap_or_default();
    MemoryEvents {
        low: count("low"),
        high: count("high"),
        max: count("max"),
        oom: count("oom"),
        oom_kill: count("oom_kill"),
        oom_group_kill: count("oom_group_kill"),
    }
}

fn rdma(statistics: &Statistics) -> RdmaStat {
    let entry = |device: &String, handles: u64, objects: u64| RdmaEntry {
        device: device.clone(),
        hca_handles: u32::try_from(handles).unwrap_or(u32::MAX),
        hca_objects: u32::try_from(objects).unwrap_or(u32::MAX),
    };
    let current = |(device, figures): (&String, &Rdma)| entry(device, figures.handles, figures.objects);
    let limit = |(device, figures): (&String, &Rdma)| {
        entry(device, figures.handles_max.unwrap_or(NO_LIMIT), figures.objects_max.unwrap_or(NO_LIMIT))
    };
    RdmaStat {
        current: statistics.rdma.iter().map(current).collect(),
        limit: statistics.rdma.iter().map(limit).collect(),
    }
}

fn io(devices: &[IoDevice], pressure: Option<Pressure>) -> IOStat {
    let entry = |device: &IoDevice| IOEntry {
        major: device.major.into(),
        minor: device.minor.into(),
        rbytes: device.read_bytes,
        wbytes: device.written_bytes,
        rios: device.reads,
        wios: device.writes,
    };
    IOStat { usage: devices.iter().map(entry).collect(), psi: pressure.map(psi) }
}

fn hugetlb(size: &str, figures: &Hugetlb) -> HugeTlbStat {
    HugeTlbStat {
        current: figures.current,
        max: figures.max.unwrap_or(NO_LIMIT),
        pagesize: size.to_owned(),
        failcnt: figures.refused,
    }
}

fn psi(pressure: Pressure) -> PSIStats {
    let data = |stalls: Stalls| PSIData {
        avg10: stalls.avg10,
        avg60: stalls.avg60,
        avg300: stalls.avg300,
        total: micros(stalls.total),
    };
    PSIStats { some: Some(data(pressure.some)), full: Some(data(pressure.full)) }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn what_is_missing_is_0() {
        let any = metrics(&Statistics::default());
        assert_eq!(any.type_url, NAME);
        let decoded = Metrics::decode(&*any.value).unwrap();
        let none = Metrics {
            pids: Some(PidsStat::default()),
            cpu: Some(CPUStat::default()),
            memory: Some(MemoryStat::default()),
            rdma: Some(RdmaStat::default()),
            io: Some(IOStat::default()),
            hugetlb: Vec::new(),
            memory_events: Some(MemoryEvents::default()),
        };
        assert_eq!(decoded, none);
        let memory = Statistics { memory: Some(Memory::default()), ..Statistics::default() };
        let stat = message(&memory).memory.unwrap();
        assert_eq!(stat, MemoryStat { usage_limit: NO_LIMIT, swap_limit: NO_LIMIT, ..MemoryStat::default() });
        assert_eq!(message(&memory).memory_events, Some(MemoryEvents::default()));
    }

    #[test]
    fn every_figure_has_its_place() {
        let stalls = Stalls { avg10: 1.5, avg60: 2.5, avg300: 3.5, total: Duration::from_micros(7) };
        let statistics = Statistics {
            cpu: Cpu { usage: Duration::from_micros(11), throttled_periods: 3, ..Cpu::default() },
            pids: Some(Pids { current: 4, max: Some(9) }),
            io: vec![IoDevice {
                major: 8,
                minor: 16,
                read_bytes: 1,
                written_bytes: 2,
                reads: 3,
                writes: 4,
                ..IoDevice::default()
            }],
            hugetlb: [("2MB".to_owned(), Hugetlb { current: 5, max: None, refused: 6, ..Hugetlb::default() })].into(),
            rdma: [("mlx".to_owned(), Rdma { handles: 1, objects: 2, handles_max: Some(3), objects_max: None })].into(),
            cpu_pressure: Some(Pressure { some: stalls, full: Stalls::default() }),
            ..Statistics::default()
        };
        let message = message(&statistics);
        let cpu = message.cpu.unwrap();
        assert_eq!((cpu.usage_usec, cpu.nr_throttled), (11, 3));
        let some = cpu.psi.unwrap().some.unwrap();
        assert_eq!((some.avg10, some.avg60, some.avg300, some.total), (1.5, 2.5, 3.5, 7));
        assert_eq!(message.pids, Some(PidsStat { current: 4, limit: 9 }));
        let entry = IOEntry { major: 8, minor: 16, rbytes: 1, wbytes: 2, rios: 3, wios: 4 };
        assert_eq!(message.io.unwrap().usage, [entry]);
        let huge = HugeTlbStat { current: 5, max: NO_LIMIT, pagesize: "2MB".to_owned(), failcnt: 6 };
        assert_eq!(message.hugetlb, [huge]);
        let entry = |hca_handles, hca_objects| RdmaEntry { device: "mlx".to_owned(), hca_handles, hca_objects };
        let rdma = message.rdma.unwrap();
        assert_eq!((rdma.current, rdma.limit), (vec![entry(1, 2)], vec![entry(3, u32::MAX)]));
    }

    /// The lines of Linux 6.1's memory.stat that the message has.
    #[test]
    fn lines_of_memory_stat_are_told_apart() {
        let mut stat = MemoryStat::default();
        let keys = ["anon", "file", "slab", "pgfault", "workingset_refault_file", "thp_collapse_alloc"];
        for (number, key) in (1..).zip(keys) {
            *place(&mut stat, key).unwrap() = number;
        }
        let wanted = MemoryStat {
            anon: 1,
            file: 2,
            slab: 3,
            pgfault: 4,
            workingset_refault: 5,
            thp_collapse_alloc: 6,
            ..MemoryStat::default()
        };
        assert_eq!(stat, wanted);
        assert!(place(&mut stat, "zswap").is_none());
    }
}
