//! The host's walk over a plan: its steps performed, init's awaited, all of it undone where one fails.

pub(crate) mod end;
#[cfg(feature = "failpoints")]
mod failpoint;
mod failure;
mod hooks;
mod host;
mod net_devices;
pub(crate) mod oom;
mod program;
mod rdt;
mod spawn;
pub(crate) mod start;
#[cfg(test)]
mod tests;
mod told;
mod turn;
pub(crate) mod unit;
mod walk;

pub(crate) use program::Program;
pub(crate) use walk::{Launched, Launching, walk};

/// Where the kill sweep can stop what is no step of a plan. In other builds this is nothing.
pub(crate) fn stage(name: &str) {
    #[cfg(feature = "failpoints")]
    failpoint::stage(name);
    let _ = name;
}
