//! The OCI lifecycle (runtime-spec runtime.md#lifecycle) as code. Start reading here.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use crate::compile::{Acts, CreateOptions, LaunchPlan};
use crate::error::Result;
use crate::id::Id;

/// A directory with a config.json (runtime-spec bundle.md), loaded.
#[derive(Clone, Debug)]
pub struct Bundle {
    path: PathBuf,
    spec: Spec,
    warnings: Vec<String>,
}

impl Bundle {
    /// Loads `path`/config.json. A relative `path` is made absolute.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let _ = path.as_ref();
        unimplemented!()
    }
    /// The bundle's directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// What config.json says.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
    /// What was ignored in config.json, where the runtime-spec asks for a warning.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// The standard streams of a container. `None` is the caller's own.
#[derive(Debug, Default)]
pub struct Stdio {
    /// Descriptor 0.
    pub stdin: Option<OwnedFd>,
    /// Descriptor 1.
    pub stdout: Option<OwnedFd>,
    /// Descriptor 2.
    pub stderr: Option<OwnedFd>,
}

/// A container's status (runtime-spec runtime.md#state). Observed, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made, or what a killed create left.
    Creating,
    /// Init waits for start.
    Created,
    /// The user's program runs.
    Running,
    /// It runs, but its cgroup is frozen.
    Paused,
    /// Init is gone.
    Stopped,
}

/// A container's state, as `planc state` prints it (runtime-spec runtime.md#state and what runc adds).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the runtime-spec that the state complies with.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Init's pid in the caller's pid namespace; 0 when stopped.
    pub pid: u32,
    /// What it does.
    pub status: Status,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The root filesystem's directory.
    pub rootfs: PathBuf,
    /// When it was created, RFC 3339 in UTC with nanoseconds.
    pub created: String,
    /// The annotations of config.json.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The name of the user who made it, empty where it has none.
    pub owner: String,
}

/// A signal by number (signal(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

/// Who a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The container's init.
    Init,
    /// Every process in its cgroup.
    All,
}

/// Which containers a delete may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Those that are stopped, or created and not started.
    Stopped,
    /// Any: what runs is killed. A container that does not exist is no error.
    Force,
}

/// A process that was made here: a pid leaves the crate only with its pidfd.
#[derive(Debug)]
pub struct Process {
    /// Its pid in the caller's pid namespace.
    pub pid: u32,
    /// A descriptor that refers to it and to no other that gets its pid later (pidfd_open(2)).
    pub pidfd: OwnedFd,
}

/// The containers below one state directory.
#[derive(Clone, Debug)]
pub struct Runtime {
    root: PathBuf,
}

impl Runtime {
    /// The runtime whose containers' states are below `root`, which is made (0700) when first needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
    /// Where the states are.
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// Compiles what [`Self::create`] or [`Self::run`] would perform; changes nothing, needs no privilege.
    pub fn plan(&self, _id: &Id, _bundle: &Bundle, _options: &CreateOptions, _acts: Acts) -> Result<LaunchPlan> {
        unimplemented!()
    }
    /// Makes a container up to status *created* (runtime-spec runtime.md#create).
    pub fn create(&self, _id: &Id, _bundle: &Bundle, _options: &CreateOptions, _stdio: Stdio) -> Result<Container> {
        unimplemented!()
    }
    /// Makes a container and starts it, in one go.
    pub fn run(&self, _id: &Id, _bundle: &Bundle, _options: &CreateOptions, _stdio: Stdio) -> Result<Container> {
        unimplemented!()
    }
    /// The container with this id; NotFound with the text "container does not exist" where there is none.
    pub fn load(&self, _id: &Id) -> Result<Container> {
        unimplemented!()
    }
    /// Every container, by id; one whose state cannot be read is in its place as an error.
    pub fn list(&self) -> Result<Vec<(String, Result<Container>)>> {
        unimplemented!()
    }
    /// Deletes a container, also one that cannot be loaded (runtime-spec runtime.md#delete).
    pub fn delete(&self, _id: &Id, _deletion: Deletion) -> Result<()> {
        unimplemented!()
    }
}

/// A container that exists.
#[derive(Debug)]
pub struct Container {
    state: State,
}

impl Container {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.state.id
    }
    /// Its state, observed now.
    pub fn state(&self) -> Result<State> {
        unimplemented!()
    }
    /// Its status, observed now.
    pub fn status(&self) -> Result<Status> {
        unimplemented!()
    }
    /// Its init; `None` when stopped.
    pub fn init(&self) -> Result<Option<Process>> {
        unimplemented!()
    }
    /// Starts the user's program (runtime-spec runtime.md#start); returns when it was executed.
    pub fn start(&self) -> Result<()> {
        unimplemented!()
    }
    /// Sends a signal (runtime-spec runtime.md#kill).
    pub fn kill(&self, _signal: Signal, _target: Target) -> Result<()> {
        unimplemented!()
    }
    /// How long each performed step took, where [`CreateOptions`] asked for times: (step number, nanoseconds).
    pub fn times(&self) -> &[(u32, u64)] {
        &[]
    }
}
