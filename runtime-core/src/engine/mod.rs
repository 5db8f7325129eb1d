//! The host's walk over a plan: its steps performed, init's awaited, all of it undone where one fails.

#[cfg(feature = "criu")]
pub(crate) mod checkpoint;
pub(crate) mod end;
#[cfg(feature = "failpoints")]
mod failpoint;
mod failure;
mod hooks;
mod host;
#[cfg(feature = "criu")]
mod images;
#[cfg(feature = "criu")]
mod mountpoints;
mod net_devices;
pub(crate) mod oom;
mod program;
mod rdt;
#[cfg(feature = "criu")]
pub(crate) mod restore;
#[cfg(feature = "criu")]
mod restored;
mod spawn;
pub(crate) mod start;
#[cfg(test)]
mod tests;
mod told;
mod turn;
pub(crate) mod unit;
mod walk;

pub(crate) use host::idle_user_namespace;
pub(crate) use program::Program;
pub(crate) use walk::{Launched, Launching, walk};

/// Where the kill sweep can stop what is no step of a plan. In other builds this is nothing.
pub(crate) fn stage(name: &str) {
    #[cfg(feature = "failpoints")]
    failpoint::stage(name);
    let _ = name;
}
