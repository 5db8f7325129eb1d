//! An OCI runtime as a library (runtime-spec 1.3, Linux, cgroup v2).
#![allow(clippy::disallowed_methods, reason = "clippy.toml lists what compile/ may not do; only that room denies it")]

#[path = "../wire/mod.rs"]
pub mod wire;

pub mod compile;
mod error;
mod facts;
mod id;
mod lifecycle;
pub mod spec;
mod sys;

pub use compile::{Acts, CreateOptions, Invalid, Keyring, Launch, LaunchPlan, RootSwitch, Step};
pub use error::{Error, ErrorKind, FailedStep, Result};
pub use facts::{CgroupFacts, Facts};
pub use id::Id;
pub use lifecycle::{Bundle, Container, Deletion, Process, Runtime, Signal, State, Status, Stdio, Target};
