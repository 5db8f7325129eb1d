//! The steps that say when and where the program runs: its CPUs, its policy, its clocks.

use crate::sys::{self, Errno, Fd, O_WRONLY};
use crate::wire::SchedulerAttributes;

/// A cpuset that has none of them has the last word.
pub(crate) fn try_affinity(cpus: &[u8]) -> Result<(), Errno> {
    match sys::sched_setaffinity(cpus) {
        Err(Errno::INVAL) => Ok(()),
        set => set,
    }
}

/// struct sched_attr (linux/sched/types.h) in its second size, with clamps of utilization that are not asked for.
pub(crate) fn set_scheduler(attributes: &SchedulerAttributes) -> Result<(), Errno> {
    const SIZE: u64 = 56;
    let SchedulerAttributes { policy, flags, nice, priority, runtime, deadline, period } = *attributes;
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    sys::sched_setattr(&[pair(SIZE as u32, policy), flags, pair(nice as u32, priority), runtime, deadline, period, 0])
}

pub(crate) fn set_time_offsets(lines: &[u8]) -> Result<(), Errno> {
    sys::set_dumpable(true)?;
    let file = sys::openat2(Fd::CWD, c"/proc/self/timens_offsets", O_WRONLY, 0, 0);
    let written = file.and_then(|file| {
        let written = sys::write(file, lines);
        sys::close(file);
        written
    });
    sys::set_dumpable(false)?;
    written
}
