//! How the kernel schedules the program: its CPUs, its policy, its I/O, its personality, its memory (runtime-spec
//! config.md#linux-process, config-linux.md#personality, #memory-policy).

use oci_spec::runtime::{
    ExecCPUAffinity, IOPriorityClass, Linux, LinuxIOPriority, LinuxMemoryPolicy, LinuxPersonality,
    LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy, MemoryPolicyFlagType, MemoryPolicyModeType,
    Process, Scheduler,
};

use super::Invalid;
use super::plan::Draft;
use super::text::{below, listed};
use crate::wire::{InitOp, SchedulerAttributes};

const SCHEDULER: &str = "/process/scheduler";
const IO_PRIORITY: &str = "/process/ioPriority";
const AFFINITY: &str = "/process/execCPUAffinity";
const PERSONALITY: &str = "/linux/personality";
const MEMORY_POLICY: &str = "/linux/memoryPolicy";

/// What is asked for, as the kernel takes it.
#[derive(Debug, Default)]
pub(super) struct Scheduling {
    attributes: Option<SchedulerAttributes>,
    io_priority: Option<u16>,
    initial: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
    personality: Option<u32>,
    memory: Option<(u32, Vec<u8>)>,
}

impl Scheduling {
    /// Of a new container: `execCPUAffinity` is for what joins it.
    pub(super) fn read(process: &Process, linux: &Linux, plan: &mut Draft) -> Result<Self, Invalid> {
        Ok(Self {
            attributes: process.scheduler().as_ref().map(|asked| attributes(asked, plan)).transpose()?,
            io_priority: process.io_priority().as_ref().map(io_priority).transpose()?,
            personality: linux.personality().as_ref().map(|asked| personality(asked, plan)),
            memory: linux.memory_policy().as_ref().map(memory_policy).transpose()?,
            ..Self::default()
        })
    }

    /// Of a process that joins a container.
    pub(super) fn read_exec(process: &Process, linux: &Linux, plan: &mut Draft) -> Result<Self, Invalid> {
        let affinity = process.exec_cpu_affinity().as_ref();
        let read = |name: &str, list: fn(&ExecCPUAffinity) -> &Option<String>| {
            let list = affinity.and_then(|affinity| list(affinity).as_deref()).filter(|list| !list.is_empty());
            list.map(|list| numbers(&below(AFFINITY, name), list, "CPU")).transpose()
        };
        let (initial, last) =
            (read("initial", ExecCPUAffinity::initial)?, read("final", ExecCPUAffinity::cpu_affinity_final)?);
        Ok(Self { initial, last, ..Self::read(process, linux, plan)? })
    }

    /// The caller may be pinned to CPUs of its own, which is nothing to the container.
    pub(super) fn begin(&self, plan: &mut Draft) {
        match &self.initial {
            Some(cpus) => plan.init(&below(AFFINITY, "initial"), InitOp::TryAffinity { cpus }),
            None if self.last.is_some() => {}
            None => plan.init("", InitOp::ResetAffinity {}),
        }
    }

    /// In the process that becomes the program, while it has the privileges for it.
    pub(super) fn set(&self, plan: &mut Draft) {
        match &self.last {
            Some(cpus) => plan.init(&below(AFFINITY, "final"), InitOp::SetAffinity { cpus }),
            None if self.initial.is_some() => plan.init("", InitOp::ResetAffinity {}),
            None => {}
        }
        if let Some(attributes) = self.attributes {
            plan.init(SCHEDULER, InitOp::SetScheduler { attributes });
        }
        if let Some(value) = self.io_priority {
            plan.init(IO_PRIORITY, InitOp::SetIoPriority { value });
        }
        if let Some(persona) = self.personality {
            plan.init(PERSONALITY, InitOp::SetPersonality { persona });
        }
        if let Some((mode, nodes)) = &self.memory {
            plan.init(MEMORY_POLICY, InitOp::SetMemoryPolicy { mode: *mode, nodes });
        }
    }
}

/// sched_setattr(2)
fn attributes(asked: &Scheduler, plan: &mut Draft) -> Result<SchedulerAttributes, Invalid> {
    use LinuxSchedulerPolicy as Policy;
    let invalid = |name: &str, why: &str| Err(Invalid::new(below(SCHEDULER, name), why));
    let policy = *asked.policy();
    let is_fair = matches!(policy, Policy::SchedOther | Policy::SchedBatch);
    let is_realtime = matches!(policy, Policy::SchedFifo | Policy::SchedRr);
    let nice = asked.nice().unwrap_or(0);
    if nice != 0 && !is_fair {
        // The kernel has no use for it there, and does not mind (sched_setattr(2)).
        plan.note(format!("ignoring a nice value: only SCHED_OTHER and SCHED_BATCH have one ({SCHEDULER}/nice)"));
    }
    if !(-20..=19).contains(&nice) {
        return invalid("nice", &format!("invalid scheduler.nice: {nice}"));
    }
    let Ok(priority) = u32::try_from(asked.priority().unwrap_or(0)) else {
        return invalid("priority", "it is negative");
    };
    if priority != 0 && !is_realtime {
        return invalid("priority", "scheduler.priority can only be specified for SchedFIFO or SchedRR policy");
    }
    let times = [("runtime", asked.runtime()), ("deadline", asked.deadline()), ("period", asked.period())];
    if let Some((name, _)) = times.iter().find(|(_, time)| time.unwrap_or(0) != 0 && policy != Policy::SchedDeadline) {
        return invalid(name, "it can only be specified for SchedDeadline policy");
    }
    let [runtime, deadline, period] = times.map(|(_, time)| time.unwrap_or(0));
    let flags = asked.flags().iter().flatten().fold(0, |flags, flag| flags | scheduler_flag(*flag));
    Ok(SchedulerAttributes { policy: scheduler_policy(policy), flags, nice, priority, runtime, deadline, period })
}

/// `SCHED_*` (linux/sched.h)
fn scheduler_policy(policy: LinuxSchedulerPolicy) -> u32 {
    match policy {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    }
}

/// `SCHED_FLAG_*` (linux/sched.h)
fn scheduler_flag(flag: LinuxSchedulerFlag) -> u64 {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    }
}

/// ioprio_set(2): the class above bit 13, the priority below.
fn io_priority(asked: &LinuxIOPriority) -> Result<u16, Invalid> {
    let class = match asked.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    match u16::try_from(asked.priority()) {
        Ok(priority @ 0..=7) => Ok(class << 13 | priority),
        _ => {
            let why = format!("invalid ioPriority.Priority: {}", asked.priority());
            Err(Invalid::new(below(IO_PRIORITY, "priority"), why))
        }
    }
}

/// personality(2)
fn personality(asked: &LinuxPersonality, plan: &mut Draft) -> u32 {
    if asked.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        plan.warn(format!("ignoring personality flags: none are defined ({PERSONALITY}/flags)"));
    }
    match asked.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    }
}

/// Modes of set_mempolicy(2) by name, and what they need of nodes.
pub(super) const MODES: [(MemoryPolicyModeType, &str, u32, Nodes); 7] = [
    (MemoryPolicyModeType::MpolDefault, "MPOL_DEFAULT", 0, Nodes::None),
    (MemoryPolicyModeType::MpolPreferred, "MPOL_PREFERRED", 1, Nodes::Any),
    (MemoryPolicyModeType::MpolBind, "MPOL_BIND", 2, Nodes::Some),
    (MemoryPolicyModeType::MpolInterleave, "MPOL_INTERLEAVE", 3, Nodes::Some),
    (MemoryPolicyModeType::MpolLocal, "MPOL_LOCAL", 4, Nodes::None),
    (MemoryPolicyModeType::MpolPreferredMany, "MPOL_PREFERRED_MANY", 5, Nodes::Some),
    (MemoryPolicyModeType::MpolWeightedInterleave, "MPOL_WEIGHTED_INTERLEAVE", 6, Nodes::Some),
];

/// Flags of set_mempolicy(2) by name.
pub(super) const FLAGS: [(MemoryPolicyFlagType, &str, u32); 3] = [
    (MemoryPolicyFlagType::MpolFNumaBalancing, "MPOL_F_NUMA_BALANCING", 1 << 13),
    (MemoryPolicyFlagType::MpolFRelativeNodes, "MPOL_F_RELATIVE_NODES", 1 << 14),
    (MemoryPolicyFlagType::MpolFStaticNodes, "MPOL_F_STATIC_NODES", 1 << 15),
];

/// What nodes a mode of memory policy goes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nodes {
    None,
    Any,
    Some,
}

/// set_mempolicy(2)
fn memory_policy(asked: &LinuxMemoryPolicy) -> Result<(u32, Vec<u8>), Invalid> {
    const STATIC_AND_RELATIVE: u32 = 1 << 14 | 1 << 15;
    let (_, name, mode, needs) = MODES.into_iter().find(|(mode, ..)| *mode == asked.mode()).unwrap_or(MODES[0]);
    let origin = below(MEMORY_POLICY, "nodes");
    let nodes = asked.nodes().as_deref().filter(|nodes| !nodes.trim().is_empty());
    let odd = |why| Invalid::new(&origin, format!("invalid memory policy nodes: {why}"));
    let nodes = nodes.map(|nodes| numbers(&origin, nodes, "node").map_err(|invalid| odd(invalid.why))).transpose()?;
    match (needs, &nodes) {
        (Nodes::None, Some(nodes)) => {
            let count: u32 = nodes.iter().map(|byte| byte.count_ones()).sum();
            return Err(odd(format!("{name} mode requires 0 nodes but got {count}")));
        }
        (Nodes::Some, None) => return Err(odd(format!("{name} needs nodes"))),
        _ => {}
    }
    let mut flags = 0;
    for (origin, flag) in listed("/linux/memoryPolicy/flags", asked.flags().as_ref()) {
        flags |= FLAGS.iter().find(|(known, ..)| known == flag).map_or(0, |(.., bit)| *bit);
        if flags & STATIC_AND_RELATIVE == STATIC_AND_RELATIVE {
            let why = "MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other";
            return Err(Invalid::new(origin, why));
        }
    }
    if flags != 0 && needs == Nodes::None {
        return Err(Invalid::new(below(MEMORY_POLICY, "flags"), format!("{name} goes with no flags")));
    }
    Ok((mode | flags, nodes.unwrap_or_default()))
}

/// More than any kernel is built for.
const HIGHEST: usize = 8191;

/// The bit set of a list such as `0-3,7`, in whole words of the kernel's.
fn numbers(origin: &str, list: &str, what: &str) -> Result<Vec<u8>, Invalid> {
    let invalid = |part: &str| Invalid::new(origin, format!("{part:?} in {list:?} is no {what} and no range of them"));
    let mut bits = Vec::new();
    for part in list.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number <= HIGHEST);
        let (Some(first), Some(last)) = (number(first), number(last)) else { return Err(invalid(part)) };
        if first > last {
            return Err(invalid(part));
        }
        let size = (last / 64 + 1) * 8;
        if bits.len() < size {
            bits.resize(size, 0u8);
        }
        for number in first..=last {
            if let Some(byte) = bits.get_mut(number / 8) {
                *byte |= 1 << (number % 8);
            }
        }
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers() {
        assert_eq!(numbers("", "0", "CPU").unwrap(), [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(numbers("", " 0-3, 7 ", "CPU").unwrap()[0], 0b1000_1111);
        assert_eq!(numbers("", "64", "CPU").unwrap(), [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        for list in ["", ",", "0,", "3-1", "-1", "a", "8192", "1-", "0x1", "99999999999999999999"] {
            assert!(numbers("", list, "CPU").is_err(), "{list:?}");
        }
    }
}
