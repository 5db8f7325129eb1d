//! The OCI lifecycle (runtime-spec runtime.md#lifecycle) as code: how containers are made, found and deleted. Start reading
//! here; what can be done with one of them is in `container.rs`.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread::{self, available_parallelism};
use std::time::SystemTime;

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::bundle::Bundle;
use crate::compile::{Acts, CreateOptions, Launch, LaunchPlan, RootSwitch, Timing};
use crate::container::Container;
use crate::engine::{self, Launched, Launching, Program};
use crate::error::{Error, ErrorKind, Result};
use crate::facts::{Facts, Wanted};
use crate::host::few_mounts::Missing;
use crate::host::hooks;
use crate::host::record::{self, Found, Record};
use crate::host::state::{self, StateDir};
use crate::host::users::Users;
use crate::id::Id;
use crate::process::{Process, Stdio};
use crate::spec;
use crate::state::{State, Status, observe};

/// Which containers a delete may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Those that are stopped, or created and not started.
    Stopped,
    /// Any: what runs is killed. A container that does not exist is no error.
    Force,
}

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

    /// The program that becomes init.
    #[cfg(feature = "criu")]
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// Compiles what [`Self::create`] or [`Self::run`] would perform; changes nothing, needs no privilege.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSpec`] or [`ErrorKind::Unsupported`], with the place in config.json.
    pub fn plan(&self, id: &Id, bundle: &Bundle, options: &CreateOptions, acts: Acts) -> Result<LaunchPlan> {
        self.plan_with(&facts_for(bundle, options, Missing::Assume)?, id, bundle, options, acts)
    }

    /// As [`Self::plan`], for a reader: of a bundle that takes root's privileges and is read by somebody else, it is the
    /// plan that root would perform.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn explain(&self, id: &Id, bundle: &Bundle, options: &CreateOptions, acts: Acts) -> Result<LaunchPlan> {
        let facts = facts_for(bundle, options, Missing::Assume)?;
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
        let plan = self.plan_with(&facts_for(bundle, options, Missing::Make)?, id, bundle, options, acts)?;
        let state = StateDir::claim(&self.root, id)?;
        if let Err(error) = state.save_config(bundle.json()) {
            state.remove()?;
            return Err(error);
        }
        plan.notes().iter().for_each(|note| log::debug!("{note}"));
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
        let (record, damage) = find(&directory, id)?;
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
        each_found(&self.ids()?, |id| self.container(id)).collect()
    }

    /// The state of every container, in the order of [`Self::list`]; of very many at once by several threads.
    ///
    /// # Errors
    /// As [`Self::list`] and [`Container::state`].
    pub fn states(&self) -> Result<Vec<State>> {
        let ids = self.ids()?;
        let users = Users::read();
        let state = |id: &str| {
            let directory = self.root.join(id);
            let (record, damage) = find(&directory, id)?;
            let status = if damage.is_some() { Status::Unknown } else { observe(&record, &directory)?.0 };
            Ok(State::of(record, status, &users))
        };
        let threads = if ids.len() < MANY { 1 } else { available_parallelism().map_or(1, usize::from) };
        if threads == 1 {
            return each_found(&ids, state).collect();
        }
        let parts = thread::scope(|scope| {
            let part = |part| scope.spawn(move || each_found(part, state).collect::<Result<Vec<_>>>());
            let working: Vec<_> = ids.chunks(ids.len().div_ceil(threads)).map(part).collect();
            working.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        let parts: Vec<Result<Vec<State>>> = parts;
        parts.into_iter().try_fold(Vec::with_capacity(ids.len()), |mut states, part| {
            states.append(&mut part?);
            Ok(states)
        })
    }

    /// The names of the state directories, in order.
    fn ids(&self) -> Result<Vec<String>> {
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
        Ok(ids)
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
        let opened = match deletion {
            Deletion::Force => StateDir::open_by_force(&self.root, id, engine::end::kill_marked),
            Deletion::Stopped => StateDir::open(&self.root, id),
        };
        let state = match opened {
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

/// As many containers are looked at by one thread.
const MANY: usize = 128;

/// What `find` finds of each container. One that vanishes meanwhile is left out.
fn each_found<'a, T: 'a>(
    ids: &'a [String],
    find: impl Fn(&str) -> Result<T> + 'a,
) -> impl Iterator<Item = Result<T>> + 'a {
    let found = ids.iter().map(move |id| find(id));
    found.filter(|found| !found.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound))
}

/// What this host is, with what is looked for only where a bundle asks for it.
fn facts_for(bundle: &Bundle, options: &CreateOptions, missing: Missing) -> Result<Facts> {
    let mut facts = Facts::find(Wanted::by(bundle.spec()))?;
    facts.look_for_few_mounts(missing);
    if bundle.spec().linux().as_ref().is_some_and(|linux| linux.intel_rdt().is_some()) {
        facts.look_for_resctrl()?;
    }
    if options.root_switch == RootSwitch::Move {
        facts.look_for_mounts()?;
    }
    Ok(facts)
}

/// The end of every container (runtime-spec runtime.md#lifecycle, steps 12 and 13). The record goes last: until then all
/// of it can be repeated.
pub(crate) fn destroy(state: StateDir, mut record: Record, init: Option<Process>) -> Result<()> {
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
    engine::end::end_marked(&cgroups, state.mark())?;
    if let Some(mut record) = record {
        hooks::run_poststop(&state, &mut record)?;
    }
    state.remove()
}

/// Why a container's state cannot be used, and what to do about it.
pub(crate) fn unusable(id: &str, why: &str) -> Error {
    let advice = "delete it with --force, which ends what is left of it";
    Error::new(ErrorKind::Host, format!("cannot use the state of container {id}: {why}; {advice}"))
}

/// What is known of a container before it is made.
pub(crate) fn new_record(id: &Id, bundle: &Bundle) -> Record {
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
        rdt: None,
        net_devices: None,
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

/// What is known of a container, and why its state cannot be used.
fn find(directory: &Path, id: &str) -> Result<(Record, Option<String>)> {
    Ok(match state::read(directory)? {
        Found::Record(record) => (*record, None),
        Found::Nothing => (unrecorded(directory, id), None),
        Found::Unusable { why, record } => {
            let record = record.map_or_else(|| unrecorded(directory, id), |record| *record);
            // Its file may say anything; its directory's name is what it is found by.
            (Record { id: id.to_owned(), ..record }, Some(why))
        }
    })
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
