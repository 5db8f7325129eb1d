//! What config.json can ask for and this version cannot do yet: always an error that names it, never silence.

use std::path::Path;

use oci_spec::runtime::{
    Linux, LinuxBlockIo, LinuxCpu, LinuxIntelRdt, LinuxMemory, LinuxNetwork, LinuxResources, Process,
};

use super::Invalid;
use super::text::below;

/// What is asked for: its pointer, and whether it is. An empty value asks for nothing.
type Asked<'a> = (&'a str, bool);

fn refuse(below_pointer: &str, asked: &[Asked<'_>]) -> Result<(), Invalid> {
    match asked.iter().find(|(_, is_asked)| *is_asked) {
        None => Ok(()),
        Some((name, _)) => {
            Err(Invalid::unsupported(below(below_pointer, name), format!("{name} is not supported yet")))
        }
    }
}

fn is_text(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}

fn is_list<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

/// Whether a number is set; by Go's habit 0 is as good as nothing where it is no sensible value.
fn is_number<T: PartialEq + Default>(number: Option<T>) -> bool {
    number.is_some_and(|number| number != T::default())
}

/// Refuses what is not supported yet of a process.
pub(super) fn supported_process(process: &Process) -> Result<(), Invalid> {
    refuse(
        "/process",
        &[
            ("apparmorProfile", is_text(process.apparmor_profile())),
            ("selinuxLabel", is_text(process.selinux_label())),
            ("scheduler", process.scheduler().is_some()),
            ("ioPriority", process.io_priority().is_some()),
        ],
    )
}

/// Refuses what is not supported yet of a process that joins a container.
pub(super) fn supported_exec(process: &Process) -> Result<(), Invalid> {
    supported_process(process)?;
    refuse("/process", &[("execCPUAffinity", process.exec_cpu_affinity().is_some())])
}

/// Refuses what is not supported yet.
pub(super) fn supported(process: &Process, linux: &Linux) -> Result<(), Invalid> {
    supported_process(process)?;
    refuse(
        "/linux",
        &[
            ("mountLabel", is_text(linux.mount_label())),
            ("intelRdt", linux.intel_rdt().as_ref().is_some_and(is_rdt)),
            ("netDevices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
            ("timeOffsets", linux.time_offsets().as_ref().is_some_and(|offsets| !offsets.is_empty())),
            ("personality", linux.personality().is_some()),
            ("memoryPolicy", linux.memory_policy().is_some()),
        ],
    )?;
    linux.resources().as_ref().map_or(Ok(()), resources)
}

fn is_rdt(rdt: &LinuxIntelRdt) -> bool {
    let flags = [rdt.enable_cmt(), rdt.enable_mbm(), rdt.enable_monitoring()];
    // Flags that say no ask for nothing.
    let mut other = rdt.clone();
    other.set_enable_cmt(None).set_enable_mbm(None).set_enable_monitoring(None);
    flags.contains(&&Some(true)) || other != LinuxIntelRdt::default()
}

/// All but the devices.
fn resources(resources: &LinuxResources) -> Result<(), Invalid> {
    let pointer = "/linux/resources";
    resources.memory().as_ref().map_or(Ok(()), memory)?;
    resources.cpu().as_ref().map_or(Ok(()), cpu)?;
    // A negative limit is none; an empty object, which reads as 0, is taken out when config.json is loaded.
    let pids = resources.pids().is_some_and(|pids| pids.limit() >= 0);
    refuse("/linux/resources/pids", &[("limit", pids)])?;
    resources.block_io().as_ref().map_or(Ok(()), block_io)?;
    resources.network().as_ref().map_or(Ok(()), network)?;
    let asked = [
        ("hugepageLimits", is_list(resources.hugepage_limits())),
        ("rdma", resources.rdma().as_ref().is_some_and(|map| !map.is_empty())),
        ("unified", resources.unified().as_ref().is_some_and(|map| !map.is_empty())),
    ];
    refuse(pointer, &asked)
}

fn memory(memory: &LinuxMemory) -> Result<(), Invalid> {
    refuse(
        "/linux/resources/memory",
        &[
            ("limit", is_number(memory.limit())),
            ("reservation", is_number(memory.reservation())),
            ("swap", is_number(memory.swap())),
            ("kernel", is_number(memory.kernel())),
            ("kernelTCP", is_number(memory.kernel_tcp())),
            ("swappiness", memory.swappiness().is_some()),
            ("disableOOMKiller", memory.disable_oom_killer() == Some(true)),
            ("useHierarchy", memory.use_hierarchy() == Some(true)),
            ("checkBeforeUpdate", memory.check_before_update() == Some(true)),
        ],
    )
}

fn cpu(cpu: &LinuxCpu) -> Result<(), Invalid> {
    refuse(
        "/linux/resources/cpu",
        &[
            ("shares", is_number(cpu.shares())),
            ("quota", is_number(cpu.quota())),
            ("period", is_number(cpu.period())),
            ("burst", is_number(cpu.burst())),
            ("idle", is_number(cpu.idle())),
            ("realtimeRuntime", is_number(cpu.realtime_runtime())),
            ("realtimePeriod", is_number(cpu.realtime_period())),
            ("cpus", is_text(cpu.cpus())),
            ("mems", is_text(cpu.mems())),
        ],
    )
}

fn block_io(io: &LinuxBlockIo) -> Result<(), Invalid> {
    refuse(
        "/linux/resources/blockIO",
        &[
            ("weight", is_number(io.weight())),
            ("leafWeight", is_number(io.leaf_weight())),
            ("weightDevice", is_list(io.weight_device())),
            ("throttleReadBpsDevice", is_list(io.throttle_read_bps_device())),
            ("throttleWriteBpsDevice", is_list(io.throttle_write_bps_device())),
            ("throttleReadIOPSDevice", is_list(io.throttle_read_iops_device())),
            ("throttleWriteIOPSDevice", is_list(io.throttle_write_iops_device())),
        ],
    )
}

fn network(network: &LinuxNetwork) -> Result<(), Invalid> {
    refuse(
        "/linux/resources/network",
        &[("classID", is_number(network.class_id())), ("priorities", is_list(network.priorities()))],
    )
}

/// What the arguments of a launch must be.
pub(super) fn absolute(what: &str, path: &Path) -> Result<(), Invalid> {
    if path.is_absolute() { Ok(()) } else { Err(Invalid::new("", format!("the {what} {path:?} is not absolute"))) }
}
