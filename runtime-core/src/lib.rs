//! An OCI runtime as a library (runtime-spec 1.3, Linux, cgroup v2).
//!
//! config.json, this host's [`Facts`] and the caller's options are compiled to a [`LaunchPlan`], a list of steps that can be
//! read before anything is done ([`Runtime::plan`]); then it is performed. Any program may do that, with as many threads and
//! as much memory as it likes: a container is born by a vfork-like clone3(2) that executes a tiny program of its own, and
//! nothing of the calling process is changed or copied.
//!
//! ```no_run
//! use runtime_core::{Bundle, CreateOptions, Deletion, ExecOptions, Id, Runtime, Signal, Stdio, Target};
//!
//! # fn main() -> Result<(), runtime_core::Error> {
//! let runtime = Runtime::new("/run/my-program");
//! let bundle = Bundle::load("/path/to/bundle")?;
//! let id = Id::new("hello")?;
//!
//! // Before anything is done: every step, and where config.json asks for it.
//! print!("{}", runtime.plan(&id, &bundle, &CreateOptions::default(), runtime_core::Acts::Create)?);
//!
//! let container = runtime.create(&id, &bundle, &CreateOptions::default(), Stdio::default())?;
//! container.start()?;
//!
//! // One more process, made from the container's own.
//! let mut process = container.spec()?.process().clone().unwrap_or_default();
//! process.set_args(Some(vec!["ps".into()]));
//! let joined = container.exec(&process, &ExecOptions::default(), &Stdio::default())?;
//! println!("ps ended with {}", joined.process.wait()?);
//!
//! container.kill(Signal(15), Target::Init)?;
//! if let Some(init) = container.init()? {
//!     init.wait()?;
//! }
//! runtime.delete(&id, Deletion::Stopped)
//! # }
//! ```
//!
//! Its processes are the calling process's children: who made one waits for it ([`Process::wait`]), and the crate waits for
//! no other. Start reading at `lifecycle.rs`.
#![allow(clippy::disallowed_methods, reason = "clippy.toml lists what compile/ may not do; only that room denies it")]

#[path = "../wire/mod.rs"]
pub mod wire;

mod bundle;
#[cfg(feature = "criu")]
mod checkpoint;
pub mod compile;
mod container;
mod descriptors;
pub mod doctor;
mod engine;
mod error;
mod facts;
mod host;
mod id;
mod kernel;
mod lifecycle;
mod process;
pub mod spec;
mod state;
mod statistics;
mod sys;
mod update;
mod watch;

pub use bundle::Bundle;
#[cfg(feature = "criu")]
pub use checkpoint::{CheckpointOptions, Criu, ManageCgroups, RestoreOptions};
pub use compile::{
    Acts, CgroupDriver, CreateOptions, ExecOptions, Invalid, Joining, Keyring, Launch, LaunchPlan, RootSwitch,
    Rootless, Step, Timing, WhenPaused, features, features_json,
};
pub use descriptors::inherited;
pub use error::{Error, ErrorKind, FailedStep, Result};
pub use facts::{CgroupFacts, Facts, LsmFacts};
pub use id::Id;
pub use kernel::{IdRange, MountAttributes, MountIds, give_back_code, set_mount_attributes, share_no_core};
/// The types of config.json, as the whole ecosystem has them.
pub use oci_spec;

pub use container::Container;
pub use lifecycle::{Deletion, Runtime};
pub use process::{Joined, Process, Signal, Stdio, Target};
pub use state::{State, Status};
pub use statistics::{
    Cpu, Cpuset, Figures, Hugetlb, IoDevice, Memory, Meter, Pids, Pressure, Rdma, Stalls, Statistics,
};
pub use update::Schemata;
pub use watch::{Event, Level, Shortage, Watch};
pub use wire::WindowSize;
