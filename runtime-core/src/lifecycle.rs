//! The OCI lifecycle (runtime-spec runtime.md#lifecycle) as code. Start reading here.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::bundle::Bundle;
use crate::compile::{Acts, CreateOptions, ExecOptions, Joining, Launch, LaunchPlan, Timing, WhenPaused};
use crate::engine::{self, Launched, Launching, Program};
use crate::error::{Error, ErrorKind, Result};
use crate::facts::Facts;
use crate::host::cgroup::Cgroup;
use crate::host::hooks;
use crate::host::record::{self, Found, Record};
use crate::host::state::{self, StateDir};
use crate::id::Id;
use crate::process::{Joined, Process, Signal, Stdio, Target, not_sent};
use crate::spec;
use crate::state::{State, Status, observe};
use crate::sys::process::{pidfd_open, pidfd_send_signal};

/// Which containers a delete may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Those that are stopped, or created and not started.
    Stopped,
    /// Any: what runs is killed. A container that does not exist is no error.
    Force,
}

/// How long a container may take to freeze, and to thaw.
const FREEZE_LIMIT: Duration = Duration::from_secs(10);

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
        let launching =
            Launching { plan: &plan, acts, program, stdio, state: Some(state), record, joined: None, timed };
        let Launched { process, record, terminal, times } = engine::walk(launching)?;
        let (program, warnings) = (self.program.clone(), plan.warnings().to_vec());
        let (spec, process) = (OnceLock::new(), Some(process));
        Ok(Container { record, directory, program, spec, process, terminal, warnings, times, damage: None })
    }

    /// The container with this id. One that is being made, or that a killed create left half-made, is [`Status::Creating`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is none, [`ErrorKind::Host`] where its state cannot be used: it is damaged, or
    /// another version's.
    pub fn load(&self, id: &Id) -> Result<Container> {
        let container = self.container(id.as_str())?;
        container.usable()?;
        Ok(container)
    }

    fn container(&self, id: &str) -> Result<Container> {
        let directory = self.root.join(id);
        let (record, damage) = match state::read(&directory)? {
            Found::Record(record) => (*record, None),
            Found::Nothing => (unrecorded(&directory, id), None),
            Found::Unusable { why, record } => {
                let record = record.map_or_else(|| unrecorded(&directory, id), |record| *record);
                // Its file may say anything; its directory's name is what it is found by.
                (Record { id: id.to_owned(), ..record }, Some(why))
            }
        };
        let program = self.program.clone();
        Ok(Container {
            record,
            directory,
            program,
            spec: OnceLock::new(),
            process: None,
            terminal: None,
            warnings: Vec::new(),
            times: Vec::new(),
            damage,
        })
    }

    /// Every container, by id; one whose state cannot be used is [`Status::Unknown`]. One that vanishes meanwhile is left
    /// out.
    ///
    /// # Errors
    /// [`ErrorKind::Host`] where the state directory cannot be read; it is no error that there is none.
    pub fn list(&self) -> Result<Vec<Container>> {
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
        let found = ids.into_iter().map(|id| self.container(&id));
        found.filter(|found| !found.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound)).collect()
    }

    /// Deletes a container, also one that a killed create left half-made (runtime-spec runtime.md#delete). Its poststop hooks
    /// are run last; what fails of them is logged as a warning, and is no error (runtime.md#lifecycle, step 13).
    ///
    /// Of a container whose state cannot be used, a forced delete ends and removes what is surely its own: the cgroups
    /// that are marked with it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] unless forced, [`ErrorKind::WrongStatus`] where it runs and is not forced,
    /// [`ErrorKind::Host`] where its state cannot be used and it is not forced, or where something of it cannot be
    /// removed: it can then be tried again.
    pub fn delete(&self, id: &Id, deletion: Deletion) -> Result<()> {
        let force = deletion == Deletion::Force;
        let state = match StateDir::open(&self.root, id) {
            Err(error) if force && error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        engine::stage("locked");
        let record = match state.record()? {
            Found::Record(record) => record,
            unusable => return delete_remains(id, unusable, state, deletion),
        };
        let (status, init) = observe(&record, state.path())?;
        if !force && matches!(status, Status::Running | Status::Paused) {
            let why = format!("cannot delete container {id} that is not stopped: {}", status.name());
            return Err(Error::new(ErrorKind::WrongStatus, why));
        }
        destroy(state, *record, init)
    }
}

/// The end of every container (runtime-spec runtime.md#lifecycle, steps 12 and 13). The record goes last: until then all
/// of it can be repeated.
fn destroy(state: StateDir, mut record: Record, init: Option<Process>) -> Result<()> {
    engine::end::end(&record, state.mark(), init)?;
    hooks::run_poststop(&state, &mut record)?;
    state.remove()
}

/// Deletes a container that has no record, or one that cannot be used.
fn delete_remains(id: &Id, found: Found, state: StateDir, deletion: Deletion) -> Result<()> {
    let force = deletion == Deletion::Force;
    if let Found::Unusable { why, .. } = &found
        && !force
    {
        return Err(unusable(id.as_str(), why));
    }
    let cgroups = engine::end::marked_cgroups(state.mark())?;
    if !cgroups.is_empty() && !force {
        return Err(unusable(id.as_str(), "there is none, but the container has a cgroup"));
    }
    let record = match found {
        Found::Unusable { record, .. } => record,
        Found::Record(_) | Found::Nothing => None,
    };
    if let Some(record) = &record {
        let (_, init) = observe(record, state.path())?;
        engine::end::end(record, state.mark(), init)?;
    }
    engine::end::end_marked(&cgroups)?;
    if let Some(mut record) = record {
        hooks::run_poststop(&state, &mut record)?;
    }
    state.remove()
}

/// Why a container's state cannot be used, and what to do about it.
fn unusable(id: &str, why: &str) -> Error {
    let advice = "delete it with --force, which ends what is left of it";
    Error::new(ErrorKind::Host, format!("cannot use the state of container {id}: {why}; {advice}"))
}

/// What is known of a container before it is made.
fn new_record(id: &Id, bundle: &Bundle) -> Record {
    let annotations = bundle.spec().annotations().clone().unwrap_or_default();
    Record {
        version: record::VERSION,
        id: id.as_str().to_owned(),
        oci_version: bundle.spec().version().clone(),
        bundle: bundle.path().to_owned(),
        rootfs: bundle.rootfs(),
        annotations: annotations.into_iter().collect(),
        created: humantime::format_rfc3339_nanos(SystemTime::now()).to_string(),
        owner: nix::unistd::geteuid().as_raw(),
        own_pids: has_own_pids(bundle.spec()),
        cgroup: None,
        init: None,
        owes_poststop: false,
    }
}

/// Whether the container gets a pid namespace of its own, rather than one that it shares.
fn has_own_pids(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let of_pids = |namespace: &&oci_spec::runtime::LinuxNamespace| namespace.typ() == LinuxNamespaceType::Pid;
    let found = namespaces.into_iter().flatten().find(of_pids);
    found.is_some_and(|found| found.path().as_ref().is_none_or(|path| path.as_os_str().is_empty()))
}

/// A container that exists.
#[derive(Debug)]
pub struct Container {
    record: Record,
    directory: PathBuf,
    program: Program,
    /// What config.json said, once somebody has asked.
    spec: OnceLock<Spec>,
    /// Init, where this process made it.
    process: Option<Process>,
    /// The master of its terminal, where this process made it and sent it to nobody.
    terminal: Option<OwnedFd>,
    warnings: Vec<String>,
    times: Vec<(u32, u64)>,
    /// Why its state cannot be used.
    damage: Option<String>,
}

impl Container {
    /// Fails where the container's state cannot be used.
    fn usable(&self) -> Result<()> {
        self.damage.as_ref().map_or(Ok(()), |why| Err(unusable(self.id(), why)))
    }

    /// Its status and its init, now.
    fn observed(&self) -> Result<(Status, Option<Process>)> {
        self.usable()?;
        observe(&self.record, &self.directory)
    }

    /// Its state directory, locked: nobody starts, pauses or deletes it meanwhile.
    fn lock(&self) -> Result<StateDir> {
        StateDir::open(self.directory.parent().unwrap_or(Path::new("/")), &Id::new(self.id())?)
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
        if self.damage.is_some() { Ok(Status::Unknown) } else { Ok(self.observed()?.0) }
    }

    /// Its init; `None` when stopped. Also of an init that ended, where this process made it and did not wait yet.
    ///
    /// # Errors
    /// As [`Self::state`].
    pub fn init(&self) -> Result<Option<Process>> {
        if let Some(process) = &self.process {
            return process.try_clone().map(Some);
        }
        Ok(self.observed()?.1)
    }

    /// The pids of its processes, in its cgroup and in those below it; of a stopped container those that are left.
    ///
    /// They are numbers to be shown: by the time they are read, a pid can be another process's. To signal them all, see
    /// [`Self::kill`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where it has no cgroup, [`ErrorKind::Host`] where that cannot be read.
    pub fn processes(&self) -> Result<Vec<u32>> {
        self.usable()?;
        let failed = |errno: Errno| Error::new(ErrorKind::Host, format!("cannot read the cgroup: {}", errno.desc()));
        self.cgroup("list its processes")?.map_or(Ok(Vec::new()), |cgroup| cgroup.processes()).map_err(failed)
    }

    /// The master of its terminal, once: what the container writes can be read from it, and what it is to read written
    /// to it (pty(7)). `None` unless `process.terminal` asks for one, and it was created here and sent to no console socket.
    ///
    /// When the master is closed, also with this value, the container's session is hung up (SIGHUP). Reading fails with EIO
    /// when no process of the container has the terminal open any more.
    pub fn terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// Starts the user's program (runtime-spec runtime.md#start); returns when it was executed.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] unless it is created, [`ErrorKind::Step`] with the step that failed: the container is
    /// stopped then, and where that step is a hook's it is deleted (runtime-spec runtime.md#lifecycle, steps 7 and 9).
    pub fn start(&self) -> Result<()> {
        let state = self.lock()?;
        match self.observed()?.0 {
            Status::Created => match engine::start::start(&state, &self.record) {
                Err(error) if error.is_of_hook() => Err(self.give_up(state, error)),
                started => started,
            },
            Status::Running => wrong_status("cannot start an already running container"),
            Status::Stopped => wrong_status("cannot start a container that has stopped"),
            status => wrong_status(&format!("cannot start a container in the {} state", status.name())),
        }
    }

    /// Stops and deletes a container one of whose hooks failed.
    fn give_up(&self, state: StateDir, error: Error) -> Error {
        let destroyed = self.observed().and_then(|(_, init)| destroy(state, self.record.clone(), init));
        match destroyed {
            Ok(()) => error,
            Err(left) => error.and_left(&left.to_string()),
        }
    }

    /// What config.json said when the container was made.
    ///
    /// # Errors
    /// [`ErrorKind::Host`] where it cannot be read any more.
    pub fn spec(&self) -> Result<&Spec> {
        if let Some(spec) = self.spec.get() {
            return Ok(spec);
        }
        let spec = state::config(&self.directory)?;
        Ok(self.spec.get_or_init(|| spec))
    }

    /// Starts one more process in the container; returns when the program was executed. It is a child of the calling
    /// process, which has to wait for it ([`Process::pidfd`]).
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] where the container is stopped, or paused and the options do not say to wait;
    /// [`ErrorKind::InvalidSpec`] with the place in config.json where `process` would be `/process`;
    /// [`ErrorKind::Step`] with the step that failed. The container is as it was then.
    pub fn exec(&self, process: &oci_spec::runtime::Process, options: &ExecOptions, stdio: &Stdio) -> Result<Joined> {
        let init = self.init_to_join(options.when_paused)?;
        let plan = &self.plan_of(process, options, &init)?;
        let (program, record, joined) = (&self.program, self.record.clone(), Some(&init));
        let launching = Launching { plan, acts: Acts::Run, program, stdio, state: None, record, joined, timed: false };
        let Launched { process, terminal, .. } = engine::walk(launching)?;
        Ok(Joined { process, terminal, warnings: plan.warnings().to_vec() })
    }

    /// Compiles what [`Self::exec`] would perform; changes nothing.
    ///
    /// # Errors
    /// As [`Self::exec`], but no step's.
    pub fn plan_exec(&self, process: &oci_spec::runtime::Process, options: &ExecOptions) -> Result<LaunchPlan> {
        self.plan_of(process, options, &self.init_to_join(options.when_paused)?)
    }

    /// The init of a container that more processes may join.
    fn init_to_join(&self, when_paused: WhenPaused) -> Result<Process> {
        match self.observed()? {
            (Status::Paused, _) if when_paused == WhenPaused::Refuse => {
                wrong_status("cannot exec in a paused container (use --ignore-paused to override)")
            }
            (_, Some(init)) => Ok(init),
            (Status::Creating, None) => wrong_status("cannot exec in a container that is being made"),
            (_, None) => wrong_status("cannot exec in a stopped container"),
        }
    }

    fn plan_of(
        &self,
        process: &oci_spec::runtime::Process,
        options: &ExecOptions,
        init: &Process,
    ) -> Result<LaunchPlan> {
        let joining = Joining {
            id: &Id::new(self.id())?,
            bundle: &self.record.bundle,
            state_dir: &self.directory,
            process,
            init: init.pid,
            cgroup: self.record.cgroup.as_ref().map(|cgroup| cgroup.path.as_path()),
            options,
        };
        Ok(LaunchPlan::exec(self.spec()?, &Facts::read()?, &joining)?)
    }

    /// Sends a signal (runtime-spec runtime.md#kill).
    ///
    /// SIGKILL ends the whole container: also the processes that are not in a pid namespace of its own, and those that
    /// init left behind when it ended.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] where it is stopped, and none of its processes is left; not so for [`Target::All`],
    /// which then reaches nothing.
    pub fn kill(&self, signal: Signal, target: Target) -> Result<()> {
        let (_, init) = self.observed()?;
        let failed = |errno| not_sent(signal, errno);
        let cgroup = self.record.cgroup.as_ref().map_or(Ok(None), |cgroup| cgroup.open()).map_err(failed)?;
        match (target, cgroup, init) {
            (Target::All, Some(cgroup), _) => kill_all(&cgroup, signal).map_err(failed),
            (Target::All, None, None) => Ok(()),
            (Target::Init, Some(cgroup), None) if signal.0 == libc::SIGKILL => {
                let is_left = cgroup.is_populated().map_err(failed)?;
                if is_left { cgroup.kill().map_err(failed) } else { wrong_status("container not running") }
            }
            (Target::Init, Some(cgroup), Some(init)) if signal.0 == libc::SIGKILL && !self.record.own_pids => {
                // It may have left its cgroup.
                init.kill(signal)?;
                cgroup.kill().map_err(failed)
            }
            (_, _, Some(init)) => init.kill(signal),
            (Target::Init, _, None) => wrong_status("container not running"),
        }
    }

    /// Freezes every process of the container, and returns when all are (cgroup v2, cgroup.freeze).
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] unless it is created or running; [`ErrorKind::Unsupported`] where it has no cgroup;
    /// [`ErrorKind::Host`] where they do not freeze within 10 s: they go on then.
    pub fn pause(&self) -> Result<()> {
        let _state = self.lock()?;
        if !matches!(self.observed()?.0, Status::Created | Status::Running) {
            return wrong_status("container not running");
        }
        let Some(cgroup) = self.cgroup("pause it")? else { return wrong_status("container not running") };
        cgroup.freeze(FREEZE_LIMIT).map_err(|errno| match errno {
            Errno::ETIMEDOUT => Error::new(ErrorKind::Host, "cannot pause the container: not all of it froze in 10 s"),
            errno => Error::new(ErrorKind::Host, format!("cannot pause the container: {}", errno.desc())),
        })
    }

    /// Lets a paused container go on.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] unless it is paused, [`ErrorKind::Host`] where it cannot be thawed.
    pub fn resume(&self) -> Result<()> {
        let _state = self.lock()?;
        if self.observed()?.0 != Status::Paused {
            return wrong_status("container not paused");
        }
        let Some(cgroup) = self.cgroup("resume it")? else { return wrong_status("container not paused") };
        cgroup.thaw(FREEZE_LIMIT).map_err(|errno| match errno {
            Errno::EBUSY => {
                Error::new(ErrorKind::Host, "cannot resume the container: a cgroup above its own is frozen")
            }
            errno => Error::new(ErrorKind::Host, format!("cannot resume the container: {}", errno.desc())),
        })
    }

    /// Its cgroup; `None` where that is gone. `what` cannot be done where it never had one.
    fn cgroup(&self, what: &str) -> Result<Option<Cgroup>> {
        let Some(record) = &self.record.cgroup else {
            let why = format!("cannot {what}: container {} has no cgroup", self.id());
            return Err(Error::new(ErrorKind::Unsupported, why));
        };
        let failed = |errno: Errno| Error::new(ErrorKind::Host, format!("cannot open the cgroup: {}", errno.desc()));
        record.open().map_err(failed)
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

/// Signals every process of a cgroup.
fn kill_all(cgroup: &Cgroup, signal: Signal) -> nix::Result<()> {
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

/// What is known of a container without a record: what its state directory tells.
fn unrecorded(directory: &Path, id: &str) -> Record {
    let (created, owner) = state::seen(directory).unwrap_or((SystemTime::UNIX_EPOCH, 0));
    Record {
        id: id.to_owned(),
        oci_version: spec::VERSION.to_owned(),
        created: humantime::format_rfc3339_nanos(created).to_string(),
        owner,
        ..Record::default()
    }
}

fn wrong_status<T>(why: &str) -> Result<T> {
    Err(Error::new(ErrorKind::WrongStatus, why))
}
