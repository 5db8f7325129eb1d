//! `checkpoint` and `restore`: what callers ask for. It is no plan, since the program criu makes the processes.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::bundle::Bundle;
use crate::compile::{Acts, CreateOptions, Timing};
use crate::container::{Container, wrong_status};
use crate::engine::{self, Launched, Launching};
use crate::error::{Error, ErrorKind, Result};
use crate::host::state::StateDir;
use crate::id::Id;
use crate::lifecycle::{Runtime, destroy, new_record};
use crate::process::Stdio;
use crate::state::Status;

/// What criu does about cgroups (`criu --manage-cgroups`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ManageCgroups {
    /// Those that are missing are made, and their properties set.
    #[default]
    Soft,
    /// All are made, and their properties set.
    Full,
    /// All are made; one that is there is an error.
    Strict,
    /// They are left alone: what is restored is in the container's cgroup.
    Ignore,
}

/// What a checkpoint and a restore have in common.
#[derive(Clone, Debug, Default)]
pub struct Criu {
    /// The program criu, absolute; `None`: where the system has it.
    pub program: Option<PathBuf>,
    /// Its environment, `NAME=VALUE`; empty: a PATH of the system's programs, and nothing else.
    pub environment: Vec<CString>,
    /// The directory of the images, absolute.
    pub images: PathBuf,
    /// The directory of criu's log and other files, absolute; `None`: that of the images. It is made where it is missing.
    pub work: Option<PathBuf>,
    /// Established TCP connections are kept.
    pub tcp_established: bool,
    /// UNIX sockets may have their other end outside.
    pub ext_unix_sk: bool,
    /// The processes may belong to a session, or to a terminal, from outside.
    pub shell_job: bool,
    /// File locks are kept.
    pub file_locks: bool,
    /// Memory that is in a later image is removed from earlier ones.
    pub auto_dedup: bool,
    /// Memory follows when it is needed, by a page server.
    pub lazy_pages: bool,
    /// What is done about cgroups.
    pub manage_cgroups: ManageCgroups,
}

/// How a container is saved. The directory of the images is made where it is missing.
#[derive(Debug, Default)]
pub struct CheckpointOptions {
    /// What a restore has as well.
    pub criu: Criu,
    /// The images of an earlier [`Self::pre_dump`], relative to those of this one: only what changed since is saved.
    pub parent: Option<PathBuf>,
    /// Only memory is saved, and the container goes on.
    pub pre_dump: bool,
    /// The container goes on.
    pub leave_running: bool,
    /// TCP connections that are being made are left out.
    pub tcp_skip_in_flight: bool,
    /// Files that have no name any more get one.
    pub link_remap: bool,
    /// Address and port of a page server.
    pub page_server: Option<(String, u16)>,
    /// Gets one NUL when a server of lazy pages is ready, and is closed.
    pub status: Option<OwnedFd>,
}

/// How a container is restored.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// What a checkpoint has as well.
    pub criu: Criu,
    /// `TYPE:NAME` of a profile of AppArmor or a label of SELinux, in place of the saved one.
    pub lsm_profile: Option<String>,
    /// The context of mounts that have one, in place of the saved one.
    pub lsm_mount_context: Option<String>,
}

impl Container {
    /// Saves the container's processes as images of criu's. Then it is deleted, unless the options say that it goes on.
    /// Whoever holds it meanwhile for another command waits.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] unless it runs or is paused; [`ErrorKind::Unsupported`] where there is no criu, or one that
    /// is too old, or where a mount point's path cannot be told to criu; [`ErrorKind::Host`] with the first error of criu's
    /// log. The container goes on then.
    pub fn checkpoint(&self, options: CheckpointOptions) -> Result<()> {
        let state = self.lock()?;
        let (status, init) = self.observed()?;
        let Some(init) = init.filter(|_| matches!(status, Status::Running | Status::Paused)) else {
            return wrong_status(&format!("container cannot be checkpointed in {} state", status.name()));
        };
        let goes_on = options.leave_running || options.pre_dump;
        engine::checkpoint::checkpoint(&self.record, self.spec()?, &init, status, options)?;
        if goes_on { Ok(()) } else { destroy(state, self.record.clone(), Some(init)) }
    }
}

impl Runtime {
    /// Makes a container of saved processes: in a new cgroup with the limits of the bundle's config.json, which also says what
    /// of the host is mounted. It runs when this returns, as a child of the calling process. Of the options for its making
    /// those count that are about the cgroup, the terminal and the pid file.
    ///
    /// # Errors
    /// As [`Runtime::create`], and as [`Container::checkpoint`]. Nothing is left behind then, or the error says what.
    pub fn restore(
        &self,
        id: &Id,
        bundle: &Bundle,
        options: &CreateOptions,
        from: &RestoreOptions,
        stdio: Stdio,
    ) -> Result<Container> {
        // As of a container that is started later: its state is recorded once criu has ended.
        let plan = self.plan(id, bundle, options, Acts::Create)?;
        let state = StateDir::claim(self.root(), id)?;
        if let Err(error) = state.save_config(bundle.json()) {
            state.remove()?;
            return Err(error);
        }
        let directory = state.path().to_owned();
        let launching = Launching {
            plan: &plan,
            acts: Acts::Run,
            program: self.program(),
            stdio: &stdio,
            state: Some(state),
            record: new_record(id, bundle),
            joined: None,
            timed: options.timing == Timing::Steps,
        };
        let Launched { process, record, terminal, times } = engine::restore::restore(launching, bundle, options, from)?;
        let (program, warnings) = (self.program().clone(), plan.warnings().to_vec());
        let (spec, process) = (OnceLock::new(), Some(process));
        Ok(Container { record, directory, program, spec, process, terminal, warnings, times, damage: None })
    }
}

/// What the annotation of a container says of criu's configuration.
const ANNOTATION: &str = "org.criu.config";

/// Where a host has criu's configuration for containers, unless the annotation names another file; an empty one is none.
const CONFIG: &str = "/etc/criu/runc.conf";

/// The file in which criu looks for options that count more than those it is given.
pub(crate) fn config_file(annotation: Option<&str>) -> Option<String> {
    match annotation {
        Some("") => None,
        Some(path) => Some(path.to_owned()),
        None => Some(CONFIG.to_owned()),
    }
}

/// As [`config_file`], of the annotations of a container.
pub(crate) fn config_of(spec: &oci_spec::runtime::Spec) -> Option<String> {
    config_file(spec.annotations().as_ref().and_then(|all| all.get(ANNOTATION)).map(String::as_str))
}

/// Paths are text in the messages of criu's RPC.
pub(crate) fn text(what: &str, path: &std::path::Path) -> Result<String> {
    let odd = || Error::new(ErrorKind::Unsupported, format!("criu cannot be told {what} {}: no UTF-8", path.display()));
    path.to_str().map(str::to_owned).ok_or_else(odd)
}
