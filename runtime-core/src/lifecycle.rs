//! The OCI lifecycle (runtime-spec runtime.md#lifecycle) as code. Start reading here.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;

use crate::bundle::Bundle;
use crate::compile::{Acts, CreateOptions, Launch, LaunchPlan, Timing};
use crate::engine::{self, Launched, Launching, Program};
use crate::error::{Error, ErrorKind, Result};
use crate::facts::Facts;
use crate::host::cgroup::Cgroup;
use crate::host::process::wait_for_end;
use crate::host::state::{self, Record, StateDir};
use crate::id::Id;
use crate::state::{State, Status, observe};
use crate::sys::process::{pidfd_open, pidfd_send_signal, try_wait};

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

impl Process {
    /// Sends it a signal.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] where it has ended, [`ErrorKind::InvalidSpec`] where there is no such signal.
    pub fn kill(&self, signal: Signal) -> Result<()> {
        pidfd_send_signal(self.pidfd.as_fd(), signal.0).map_err(|errno| not_sent(signal, errno))
    }

    /// The same process, by another descriptor.
    ///
    /// # Errors
    /// [`ErrorKind::Host`] where this process has too many open.
    pub fn try_clone(&self) -> Result<Self> {
        let failed = |error| Error::new(ErrorKind::Host, format!("cannot copy a pidfd: {error}"));
        Ok(Self { pid: self.pid, pidfd: self.pidfd.try_clone().map_err(failed)? })
    }
}

/// Why a signal could not be sent.
fn not_sent(signal: Signal, errno: Errno) -> Error {
    match errno {
        Errno::ESRCH => Error::new(ErrorKind::WrongStatus, "container not running"),
        Errno::EINVAL => Error::new(ErrorKind::InvalidSpec, format!("unknown signal \"{}\"", signal.0)),
        errno => Error::new(ErrorKind::Host, format!("cannot send signal {}: {}", signal.0, errno.desc())),
    }
}

/// How long a killed container may take to end.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// The containers below one state directory.
#[derive(Clone, Debug)]
pub struct Runtime {
    root: PathBuf,
    program: Program,
}

impl Runtime {
    /// The runtime whose containers' states are below `root`, an absolute path, which is made (01700) when first needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), program: Program::default() }
    }

    /// Where the states are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Compiles what [`Self::create`] or [`Self::run`] would perform; changes nothing, needs no privilege.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSpec`] or [`ErrorKind::Unsupported`], with the place in config.json.
    pub fn plan(&self, id: &Id, bundle: &Bundle, options: &CreateOptions, acts: Acts) -> Result<LaunchPlan> {
        self.plan_with(&Facts::read()?, id, bundle, options, acts)
    }

    /// As [`Self::plan`], for a reader: of a bundle that takes root's privileges and is read by somebody else, it is the
    /// plan that root would perform.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn explain(&self, id: &Id, bundle: &Bundle, options: &CreateOptions, acts: Acts) -> Result<LaunchPlan> {
        let facts = Facts::read()?;
        let own = self.plan_with(&facts, id, bundle, options, acts);
        if facts.euid == 0 { own } else { own.or_else(|_| self.plan_with(&facts.of_root(), id, bundle, options, acts)) }
    }

    fn plan_with(
        &self,
        facts: &Facts,
        id: &Id,
        bundle: &Bundle,
        options: &CreateOptions,
        acts: Acts,
    ) -> Result<LaunchPlan> {
        let state_dir = self.root.join(id.as_str());
        let launch = Launch { id, bundle: bundle.path(), state_dir: &state_dir, options, acts };
        Ok(LaunchPlan::create(bundle.spec(), facts, &launch)?)
    }

    /// Makes a container up to status *created* (runtime-spec runtime.md#create).
    ///
    /// # Errors
    /// What [`Self::plan`] says; [`ErrorKind::AlreadyExists`]; [`ErrorKind::Step`] with the step that failed. Nothing
    /// is left behind, or the error says what.
    pub fn create(&self, id: &Id, bundle: &Bundle, options: &CreateOptions, stdio: Stdio) -> Result<Container> {
        self.launch(id, bundle, options, &stdio, Acts::Create)
    }

    /// Makes a container and starts it in one go; returns when the user's program was executed.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn run(&self, id: &Id, bundle: &Bundle, options: &CreateOptions, stdio: Stdio) -> Result<Container> {
        self.launch(id, bundle, options, &stdio, Acts::Run)
    }

    fn launch(
        &self,
        id: &Id,
        bundle: &Bundle,
        options: &CreateOptions,
        stdio: &Stdio,
        acts: Acts,
    ) -> Result<Container> {
        let plan = self.plan(id, bundle, options, acts)?;
        let state = StateDir::claim(&self.root, id)?;
        if let Err(error) = state.save_config(bundle.json()) {
            state.remove()?;
            return Err(error);
        }
        let directory = state.path().to_owned();
        let record = new_record(id, bundle);
        let timed = options.timing == Timing::Steps;
        let program = &self.program;
        let launching = Launching { plan: &plan, acts, program, stdio, state: Some(state), record, timed };
        let Launched { process, record, times } = engine::walk(launching)?;
        Ok(Container { record, directory, process: Some(process), warnings: plan.warnings().to_vec(), times })
    }

    /// The container with this id.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is none, [`ErrorKind::Host`] where its state cannot be read.
    pub fn load(&self, id: &Id) -> Result<Container> {
        Container::at(self.root.join(id.as_str()), id.as_str())
    }

    /// Every container, by id; one whose state cannot be read is in its place as an error. One that vanishes meanwhile
    /// is left out.
    ///
    /// # Errors
    /// [`ErrorKind::Host`] where the state directory cannot be read; it is no error that there is none.
    pub fn list(&self) -> Result<Vec<(String, Result<Container>)>> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Host, format!("cannot list {}: {error}", self.root.display()))
        };
        let mut ids = Vec::new();
        match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            entries => {
                for entry in entries.map_err(failed)? {
                    let entry = entry.map_err(failed)?;
                    let name = entry.file_name().into_string().ok().filter(|name| Id::new(name).is_ok());
                    ids.extend(name.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())));
                }
            }
        }
        ids.sort_unstable();
        let loaded = ids.into_iter().map(|id| (Container::at(self.root.join(&id), &id), id));
        let gone = |error: &Error| error.kind() == ErrorKind::NotFound;
        Ok(loaded.filter(|(found, _)| !found.as_ref().is_err_and(gone)).map(|(found, id)| (id, found)).collect())
    }

    /// Deletes a container, also one that a killed create left half-made (runtime-spec runtime.md#delete).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] unless forced, [`ErrorKind::WrongStatus`] where it runs and is not forced,
    /// [`ErrorKind::Host`] where something of it cannot be removed: it can then be tried again.
    pub fn delete(&self, id: &Id, deletion: Deletion) -> Result<()> {
        let force = deletion == Deletion::Force;
        let state = match StateDir::open(&self.root, id) {
            Err(error) if force && error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let Some(record) = state.record()? else { return state.remove() };
        let (status, init) = observe(&record, state.path())?;
        if !force && matches!(status, Status::Running | Status::Paused) {
            let why = format!("cannot delete container {id} that is not stopped: {}", status.name());
            return Err(Error::new(ErrorKind::WrongStatus, why));
        }
        end(&record, init)?;
        state.remove()
    }
}

/// What is known of a container before it is made.
fn new_record(id: &Id, bundle: &Bundle) -> Record {
    let annotations = bundle.spec().annotations().clone().unwrap_or_default();
    Record {
        version: state::VERSION,
        id: id.as_str().to_owned(),
        oci_version: bundle.spec().version().clone(),
        bundle: bundle.path().to_owned(),
        rootfs: bundle.rootfs(),
        annotations: annotations.into_iter().collect(),
        created: humantime::format_rfc3339_nanos(SystemTime::now()).to_string(),
        owner: nix::unistd::geteuid().as_raw(),
        cgroup: None,
        init: None,
    }
}

/// Ends what is left of a container, and removes its cgroup where that is its own.
fn end(record: &Record, init: Option<Process>) -> Result<()> {
    let failed = |what: &str, errno: Errno| Error::new(ErrorKind::Host, format!("cannot {what}: {}", errno.desc()));
    if let Some(init) = init {
        match pidfd_send_signal(init.pidfd.as_fd(), libc::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(failed("kill the container's init", errno)),
        }
        if !wait_for_end(&init.pidfd, KILL_LIMIT).map_err(|errno| failed("wait for init", errno))? {
            return Err(Error::new(ErrorKind::Host, "container init still running"));
        }
        try_wait(&init.pidfd);
    } else if let Some(ended) = record.init.as_ref().and_then(|init| pidfd_open(init.pid).ok()) {
        // A child of the caller's is a zombie until somebody waits for it; anybody else's is not this one's to wait for.
        try_wait(&ended);
    }
    let Some(cgroup) = record.cgroup.as_ref().filter(|cgroup| cgroup.own) else { return Ok(()) };
    let same = match (Cgroup::open(&cgroup.path).and_then(|found| found.inode()), cgroup.inode) {
        (Err(Errno::ENOENT), _) => false,
        (inode, known) => {
            let inode = inode.map_err(|errno| failed("look at the cgroup", errno))?;
            known.is_none_or(|known| known == inode)
        }
    };
    if same {
        Cgroup::destroy(&cgroup.path, KILL_LIMIT).map_err(|errno| failed("remove the cgroup", errno))
    } else {
        Ok(())
    }
}

/// A container that exists.
#[derive(Debug)]
pub struct Container {
    record: Record,
    directory: PathBuf,
    /// Init, where this process made it.
    process: Option<Process>,
    warnings: Vec<String>,
    times: Vec<(u32, u64)>,
}

impl Container {
    fn at(directory: PathBuf, id: &str) -> Result<Self> {
        let Some(record) = state::read(&directory)? else {
            let why = format!("container {id} is not fully made: its creator was stopped; delete it with force");
            return Err(Error::new(ErrorKind::Host, why));
        };
        Ok(Self { record, directory, process: None, warnings: Vec::new(), times: Vec::new() })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// Its state, observed now.
    ///
    /// # Errors
    /// [`ErrorKind::Host`] where /proc cannot be read.
    pub fn state(&self) -> Result<State> {
        Ok(State::of(&self.record, self.status()?))
    }

    /// Its status, observed now.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub fn status(&self) -> Result<Status> {
        Ok(observe(&self.record, &self.directory)?.0)
    }

    /// Its init; `None` when stopped. Also of an init that ended, where this process made it and did not wait yet.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub fn init(&self) -> Result<Option<Process>> {
        if let Some(process) = &self.process {
            return process.try_clone().map(Some);
        }
        Ok(observe(&self.record, &self.directory)?.1)
    }

    /// Starts the user's program (runtime-spec runtime.md#start); returns when it was executed.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] unless it is created, [`ErrorKind::Step`] with the step that failed: the container is
    /// stopped then.
    pub fn start(&self) -> Result<()> {
        let root = self.directory.parent().unwrap_or(Path::new("/"));
        let state = StateDir::open(root, &Id::new(self.id())?)?;
        match observe(&self.record, &self.directory)?.0 {
            Status::Created => engine::start::start(&state),
            Status::Running => wrong_status("cannot start an already running container"),
            Status::Stopped => wrong_status("cannot start a container that has stopped"),
            status => wrong_status(&format!("cannot start a container in the {} state", status.name())),
        }
    }

    /// Sends a signal (runtime-spec runtime.md#kill).
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] where it is stopped; not so for [`Target::All`], which then reaches what is left.
    pub fn kill(&self, signal: Signal, target: Target) -> Result<()> {
        let (_, init) = observe(&self.record, &self.directory)?;
        match (target, &self.record.cgroup, init) {
            (Target::All, Some(cgroup), _) => kill_all(&cgroup.path, signal).map_err(|errno| not_sent(signal, errno)),
            (Target::All, None, None) => Ok(()),
            (_, _, Some(init)) => init.kill(signal),
            (Target::Init, _, None) => wrong_status("container not running"),
        }
    }

    /// What the caller should be told although the container was made ([`LaunchPlan::warnings`]); of a loaded one nothing.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How long each performed step took, where [`CreateOptions::timing`] asked for it: its number, and nanoseconds.
    pub fn times(&self) -> &[(u32, u64)] {
        &self.times
    }
}

/// Signals every process of a cgroup; one that is gone has none.
fn kill_all(path: &Path, signal: Signal) -> nix::Result<()> {
    let cgroup = match Cgroup::open(path) {
        Err(Errno::ENOENT) => return Ok(()),
        opened => opened?,
    };
    if signal.0 == libc::SIGKILL {
        return cgroup.kill();
    }
    for pid in cgroup.processes()? {
        match pidfd_open(pid).and_then(|process| pidfd_send_signal(process.as_fd(), signal.0)) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn wrong_status<T>(why: &str) -> Result<T> {
    Err(Error::new(ErrorKind::WrongStatus, why))
}
