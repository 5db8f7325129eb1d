//! A container that exists, and what can be done with it (runtime-spec runtime.md#operations).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use nix::errno::Errno;
use oci_spec::runtime::Spec;

use crate::compile::{Acts, ExecOptions, Joining, LaunchPlan, WhenPaused};
use crate::engine::{self, Launched, Launching, Program};
use crate::error::{Error, ErrorKind, Result};
use crate::facts::{Facts, Wanted};
use crate::host::cgroup::Cgroup;
use crate::host::record::{RdtRecord, Record};
use crate::host::state::{self, StateDir};
use crate::host::users::Users;
use crate::id::Id;
use crate::lifecycle::{destroy, unusable};
use crate::process::{Joined, Process, Signal, Stdio, Target, not_sent};
use crate::state::{State, Status, observe};
use crate::sys::process::{pidfd_open, pidfd_send_signal};

/// How long a container may take to freeze, and to thaw.
const FREEZE_LIMIT: Duration = Duration::from_secs(10);

/// A container that exists.
#[derive(Debug)]
pub struct Container {
    pub(crate) record: Record,
    pub(crate) directory: PathBuf,
    pub(crate) program: Program,
    /// What config.json said, once somebody has asked.
    pub(crate) spec: OnceLock<Spec>,
    /// Init, where this process made it.
    pub(crate) process: Option<Process>,
    /// The master of its terminal, where this process made it and sent it to nobody.
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) warnings: Vec<String>,
    pub(crate) times: Vec<(u32, u64)>,
    /// Why its state cannot be used.
    pub(crate) damage: Option<String>,
}

impl Container {
    /// Fails where the container's state cannot be used.
    pub(crate) fn usable(&self) -> Result<()> {
        self.damage.as_ref().map_or(Ok(()), |why| Err(unusable(self.id(), why)))
    }

    /// Its status and its init, now.
    pub(crate) fn observed(&self) -> Result<(Status, Option<Process>)> {
        self.usable()?;
        observe(&self.record, &self.directory)
    }

    /// Its state directory, locked: nobody starts, pauses or deletes it meanwhile.
    pub(crate) fn lock(&self) -> Result<StateDir> {
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
        Ok(State::of(self.record.clone(), self.status()?, &Users::read()))
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
            Status::Stopped => {
                let why = engine::oom::reason_before_start(&state, &self.record).map(|why| format!(": {why}"));
                wrong_status(&format!("cannot start a container that has stopped{}", why.unwrap_or_default()))
            }
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
            unit: self.record.cgroup.as_ref().and_then(|cgroup| Some(cgroup.unit.as_ref()?.name.as_str())),
            groups: &self.record.rdt.as_ref().map_or_else(Vec::new, RdtRecord::groups),
            options,
        };
        let spec = self.spec()?;
        Ok(LaunchPlan::exec(spec, &Facts::find(Wanted::by_one_more(spec, process))?, &joining)?)
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
    pub(crate) fn cgroup(&self, what: &str) -> Result<Option<Cgroup>> {
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

    /// How long each performed step took, where [`crate::CreateOptions::timing`] asked for it: its number, and nanoseconds.
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

pub(crate) fn wrong_status<T>(why: &str) -> Result<T> {
    Err(Error::new(ErrorKind::WrongStatus, why))
}
