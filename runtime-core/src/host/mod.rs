//! ROOM 4: ordinary Rust on the host, a good guest: it changes nothing of the process it runs in.

pub(crate) mod cgroup;
pub(crate) mod child;
pub(crate) mod criu;
pub(crate) mod few_mounts;
pub(crate) mod file;
pub(crate) mod hooks;
#[cfg(feature = "criu")]
pub(crate) mod mountinfo;
pub(crate) mod net_devices;
mod netlink;
pub(crate) mod process;
pub(crate) mod rdt;
pub(crate) mod record;
pub(crate) mod socket;
pub(crate) mod state;
pub(crate) mod systemd;
pub(crate) mod users;
