//! What a container has used, and what it may: the figures of its cgroup (Documentation/admin-guide/cgroup-v2.rst).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde::ser::SerializeMap;

use crate::container::Container;
use crate::error::{Error, ErrorKind, Result};
use crate::host::cgroup::Reader;

impl Container {
    /// The figures of its cgroup, now. Who asks again and again keeps a [`Meter`].
    ///
    /// # Errors
    /// As [`Self::meter`] and [`Meter::read`].
    pub fn statistics(&self) -> Result<Statistics> {
        self.meter()?.read()
    }

    /// What reads the figures of its cgroup, through a descriptor that is kept.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where it has no cgroup, [`ErrorKind::NotFound`] where that is gone,
    /// [`ErrorKind::Host`] where it cannot be opened.
    pub fn meter(&self) -> Result<Meter> {
        self.usable()?;
        self.cgroup("read its statistics")?.map(|cgroup| Meter(Reader::new(cgroup))).ok_or_else(gone)
    }
}

/// The kept directory of a container's cgroup: no path is resolved again, and no other cgroup of the same name is read.
///
/// ```no_run
/// # fn main() -> Result<(), runtime_core::Error> {
/// # use runtime_core::{Id, Runtime};
/// let container = Runtime::new("/run/my-program").load(&Id::new("hello")?)?;
/// let meter = container.meter()?;
/// loop {
///     let now = meter.read()?;
///     let memory = now.memory.unwrap_or_default();
///     println!("{:?} of CPU time, {} bytes of at most {:?}", now.cpu.usage, memory.current, memory.max);
///     std::thread::sleep(std::time::Duration::from_secs(10));
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Meter(Reader);

impl Meter {
    /// The figures, now: one openat(2), read(2) and close(2) a file. A file that is not there is no error.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where the cgroup is gone, [`ErrorKind::Host`] where a file of it cannot be read.
    pub fn read(&self) -> Result<Statistics> {
        self.0.read().map_err(|(file, errno)| match errno {
            nix::errno::Errno::ENODEV | nix::errno::Errno::ENOENT => gone(),
            errno => Error::new(ErrorKind::Host, format!("cannot read {file} of the cgroup: {}", errno.desc())),
        })
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "cgroup does not exist")
}

/// The figures of a cgroup, with all that is below it.
///
/// A controller that the cgroup does not have is `None`, or empty. A limit is `None` where there is none: where its file says
/// `max`, or is not there. Any other figure whose file this kernel does not have is 0, or `None` where 0 would be a lie.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Statistics {
    /// cpu.stat; it is there without the cpu controller.
    pub cpu: Cpu,
    /// The memory controller.
    pub memory: Option<Memory>,
    /// The pids controller.
    pub pids: Option<Pids>,
    /// io.stat, a device each; empty also before the first transfer.
    pub io: Vec<IoDevice>,
    /// The hugetlb controller, a page size each: `2MB`, `1GB`.
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// rdma.current and rdma.max, a device each.
    pub rdma: BTreeMap<String, Rdma>,
    /// The cpuset controller.
    pub cpuset: Option<Cpuset>,
    /// cpu.pressure, where the kernel accounts for it.
    pub cpu_pressure: Option<Pressure>,
    /// memory.pressure
    pub memory_pressure: Option<Pressure>,
    /// io.pressure
    pub io_pressure: Option<Pressure>,
}

/// cpu.stat. Periods and bursts are counted by the cpu controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// `usage_usec`: CPU time in all.
    pub usage: Duration,
    /// `user_usec`
    pub user: Duration,
    /// `system_usec`
    pub system: Duration,
    /// `nr_periods`: in how many periods of cpu.max it ran.
    pub periods: u64,
    /// `nr_throttled`: in how many of those it was held up.
    pub throttled_periods: u64,
    /// `throttled_usec`: for how long.
    pub throttled: Duration,
    /// `nr_bursts`: in how many periods it used more than its quota.
    pub bursts: u64,
    /// `burst_usec`: how much more.
    pub burst: Duration,
}

/// The memory controller's figures, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// memory.current
    pub current: u64,
    /// memory.peak, the highest so far (since Linux 5.19).
    pub peak: Option<u64>,
    /// memory.max
    pub max: Option<u64>,
    /// memory.swap.current: swap alone, without memory.
    pub swap_current: u64,
    /// memory.swap.peak (since Linux 6.5).
    pub swap_peak: Option<u64>,
    /// memory.swap.max
    pub swap_max: Option<u64>,
    /// memory.stat
    pub stat: Figures,
    /// memory.events: how often what has happened, here and below.
    pub events: Figures,
    /// memory.events.local: the same, here alone.
    pub events_local: Figures,
}

/// The pids controller's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pids {
    /// pids.current: processes and threads.
    pub current: u64,
    /// pids.max
    pub max: Option<u64>,
}

/// What went between the cgroup and a block device: a line of io.stat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IoDevice {
    /// The device's major number.
    pub major: u32,
    /// The device's minor number.
    pub minor: u32,
    /// `rbytes`
    pub read_bytes: u64,
    /// `wbytes`
    pub written_bytes: u64,
    /// `rios`
    pub reads: u64,
    /// `wios`
    pub writes: u64,
    /// `dbytes`
    pub discarded_bytes: u64,
    /// `dios`
    pub discards: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hugetlb {
    /// hugetlb.SIZE.current
    pub current: u64,
    /// hugetlb.SIZE.max
    pub max: Option<u64>,
    /// hugetlb.SIZE.rsvd.current
    pub reserved: u64,
    /// hugetlb.SIZE.rsvd.max
    pub reserved_max: Option<u64>,
    /// `max` of hugetlb.SIZE.events: how many allocations the limit refused.
    pub refused: u64,
}

/// RDMA resources of one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rdma {
    /// `hca_handle` of rdma.current
    pub handles: u64,
    /// `hca_object` of rdma.current
    pub objects: u64,
    /// `hca_handle` of rdma.max
    pub handles_max: Option<u64>,
    /// `hca_object` of rdma.max
    pub objects_max: Option<u64>,
}

/// Where the cgroup's processes may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cpuset {
    /// cpuset.cpus.effective: the CPUs' numbers.
    pub cpus: Vec<u16>,
    /// cpuset.mems.effective: the memory nodes' numbers.
    pub mems: Vec<u16>,
}

/// Time lost for want of a resource (Documentation/accounting/psi.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// While some of the processes waited.
    pub some: Stalls,
    /// While all of them waited.
    pub full: Stalls,
}

/// A line of a pressure file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stalls {
    /// Percent of the last 10 seconds.
    pub avg10: f64,
    /// Percent of the last minute.
    pub avg60: f64,
    /// Percent of the last five minutes.
    pub avg300: f64,
    /// In all.
    pub total: Duration,
}

/// The lines of a flat keyed file, in the kernel's order. Which there are is the kernel's to say: newer ones have more.
///
/// It is kept as it was read, since most of it is passed on: that is one allocation, not sixty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Figures(Box<str>);

impl Figures {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The figure behind `key`; `None` where this kernel has none.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<u64> {
        self.iter().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// Every key with its figure. A line that is none is passed over.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        crate::host::cgroup::figures::flat(&self.0)
    }
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Figures {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.iter().try_for_each(|(key, value)| map.serialize_entry(key, &value))?;
        map.end()
    }
}
