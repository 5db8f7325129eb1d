//! ROOM 2, pure: config.json, this host's facts and the caller's options in, a plan out.

#[allow(dead_code, reason = "LaunchPlan::create calls it once its chapters are in")]
pub(crate) mod device_filter;
mod plan;

use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

pub use plan::{LaunchPlan, Step};

use crate::facts::Facts;
use crate::id::Id;

/// What config.json cannot have: where it says so, and why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} ({origin})")]
pub struct Invalid {
    /// The JSON pointer (RFC 6901) into config.json; empty where the whole of it is meant.
    pub origin: String,
    /// Lower case, one line.
    pub why: String,
    /// Whether it is this host or this version that cannot, rather than config.json that is wrong.
    pub unsupported: bool,
}

/// How the container's root becomes the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RootSwitch {
    /// pivot_root(2).
    #[default]
    Pivot,
    /// MS_MOVE and chroot(2), for a host whose root is an initramfs.
    Move,
}

/// Which session keyring the container has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keyring {
    /// One of its own.
    #[default]
    New,
    /// The caller's.
    Keep,
}

/// Which acts of the plan are performed in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acts {
    /// Up to *created*; init then waits for start.
    Create,
    /// Both: nobody waits for a start.
    Run,
}

/// Whether the time of each step is kept ([`crate::Container::times`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// It is not.
    #[default]
    None,
    /// It is: one clock_gettime(2) a step.
    Steps,
}

/// What the caller asks for beside config.json.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// Where to write init's pid, absolute.
    pub pid_file: Option<PathBuf>,
    /// How the container's root becomes the root.
    pub root_switch: RootSwitch,
    /// Which session keyring the container has.
    pub keyring: Keyring,
    /// Whether the time of each step is kept.
    pub timing: Timing,
}

/// One launch: what is compiled into a plan beside config.json and the host's facts.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The container's id.
    pub id: &'a Id,
    /// The bundle's directory, absolute.
    pub bundle: &'a Path,
    /// The container's state directory, absolute.
    pub state_dir: &'a Path,
    /// What the caller asks for.
    pub options: &'a CreateOptions,
    /// Which acts are performed in one go.
    pub acts: Acts,
}

impl LaunchPlan {
    /// Compiles the plan of a new container. Pure: the same arguments always give the same plan.
    ///
    /// # Errors
    /// The first thing in config.json that cannot be had, with its place.
    pub fn create(_spec: &Spec, _facts: &Facts, _launch: &Launch<'_>) -> Result<Self, Invalid> {
        Ok(plan::Draft::default().finish())
    }
}
