//! An OCI runtime as a library (runtime-spec 1.3, Linux, cgroup v2).
#![allow(clippy::disallowed_methods, reason = "clippy.toml lists what compile/ may not do; only that room denies it")]

#[path = "../wire/mod.rs"]
pub mod wire;

mod bundle;
pub mod compile;
pub mod doctor;
mod engine;
mod error;
mod facts;
mod host;
mod id;
mod lifecycle;
pub mod spec;
mod state;
mod sys;

pub use bundle::Bundle;
pub use compile::{Acts, CreateOptions, Invalid, Keyring, Launch, LaunchPlan, RootSwitch, Rootless, Step, Timing};
pub use error::{Error, ErrorKind, FailedStep, Result};
pub use facts::{CgroupFacts, Facts};
pub use id::Id;
pub use lifecycle::{Container, Deletion, Process, Runtime, Signal, Stdio, Target};
pub use state::{State, Status};
