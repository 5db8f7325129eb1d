//! The walk: the host's steps one by one, "your turn" to init wherever the actor changes, and back again where it fails.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::wait::WaitStatus;
use nix::time::{ClockId, clock_gettime};

use super::end::{deadline, end_cgroup};
use super::failure::{self, End};
use super::hooks;
use super::net_devices;
use super::program::Program;
use super::rdt;
use super::spawn::{self, Birth};
use super::told::{self, Told};
use super::turn::{self, Received, Turn};
use super::unit::Contact;
use crate::compile::{Acts, LaunchPlan, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::host::cgroup::Cgroup;
use crate::host::hooks::run_poststop;
use crate::host::net_devices::NetDevices;
use crate::host::process::{has_ended, wait_for_end};
use crate::host::record::Record;
use crate::host::state::StateDir;
use crate::process::{Process, Stdio};
use crate::sys::page::Page;
use crate::sys::process::{is_child, pidfd_open, pidfd_send_signal, reap, try_wait};
use crate::wire::page::TIMES;
use crate::wire::{HostOp, InitOp, Op, Slot};

/// How long an init that closed its turn socket may take to end.
const END_LIMIT: Duration = Duration::from_secs(3);

/// What a plan is performed with.
pub(crate) struct Launching<'a> {
    pub(crate) plan: &'a LaunchPlan,
    pub(crate) acts: Acts,
    pub(crate) program: &'a Program,
    pub(crate) stdio: &'a Stdio,
    /// The container's state directory, already claimed; `None` where the container is there already (exec).
    pub(crate) state: Option<StateDir>,
    pub(crate) record: Record,
    /// The init of the container that is there already.
    pub(crate) joined: Option<&'a Process>,
    /// Whether each step's time is kept.
    pub(crate) timed: bool,
}

/// What a performed plan leaves.
pub(crate) struct Launched {
    pub(crate) process: Process,
    pub(crate) record: Record,
    /// The master of its terminal, where it has one that was sent to nobody.
    pub(crate) terminal: Option<OwnedFd>,
    /// Each step's number, and how many nanoseconds it took.
    pub(crate) times: Vec<(u32, u64)>,
}

/// The host's side of a launch: what was made so far.
pub(super) struct Walk<'a> {
    pub(super) plan: &'a LaunchPlan,
    pub(super) acts: Acts,
    program: &'a Program,
    pub(super) stdio: &'a Stdio,
    pub(super) state: Option<StateDir>,
    pub(super) record: Record,
    /// The init of the container that a process joins.
    pub(super) joined: Option<&'a Process>,
    pub(super) cgroup: Option<Cgroup>,
    /// The connection to the systemd that made it.
    pub(super) contact: Contact,
    /// Whether a process that joins could not be born in it.
    pub(super) outside: bool,
    /// How many processes the kernel had killed in it for want of memory.
    pub(super) kills: u64,
    /// Whether a process that joins may be born elsewhere in the container's cgroup.
    pub(super) may_evade: bool,
    pub(super) slots: Vec<OwnedFd>,
    /// The user namespaces by which the host maps ids once init is born.
    pub(super) id_maps: Vec<(Slot, OwnedFd)>,
    pub(super) page: Page,
    pub(super) init: Option<Init>,
    /// The pid of who takes init's place, where none is spawned by this plan.
    pub(super) stand_in: Option<u32>,
    /// What init gave with its last turn: the master of its terminal, or a copy whose ids are to be mapped.
    pub(super) terminal: Option<OwnedFd>,
    /// The host's network devices that the container got.
    pub(super) net_devices: Option<NetDevices>,
    /// While the groups of a resctrl are made.
    pub(super) rdt_lock: Option<std::fs::File>,
    /// The file that init's pid was written to.
    pub(super) pid_file: Option<PathBuf>,
    /// How far the log was told of init.
    told: Told,
    /// When each host step began, by index; 0 where it is init's.
    begins: Option<Vec<u64>>,
}

/// Init, from its birth on.
pub(super) struct Init {
    pub(super) process: Process,
    turn: Turn,
    /// Whether it has been given the turn.
    acting: bool,
    /// Whether the plan has come to no step of its yet. It acts all the same.
    newborn: bool,
    /// Whether its turn ends with its execve.
    executes: bool,
    /// How long the hooks of its turn may take, in seconds.
    hooks: i64,
}

/// Performs a plan. Where a step fails, everything that was made is undone, and the error is that step's.
pub(crate) fn walk(launching: Launching<'_>) -> Result<Launched> {
    let mut walk = Walk::new(launching)?;
    match walk.perform() {
        Ok(process) => Ok(walk.end(process)),
        Err(error) => Err(walk.undo(error)),
    }
}

impl<'a> Walk<'a> {
    /// Before the first step.
    pub(super) fn new(launching: Launching<'a>) -> Result<Self> {
        let Launching { plan, acts, program, stdio, state, record, joined, timed } = launching;
        let page = match Page::new(plan.as_bytes()) {
            Ok(page) => page,
            Err(errno) => {
                state.map_or(Ok(()), StateDir::remove)?;
                let why = format!("cannot make the page that is shared with init: {}", errno.desc());
                return Err(Error::new(ErrorKind::Host, why));
            }
        };
        page.recorder().timed.store(timed.into(), Ordering::Relaxed);
        #[cfg(feature = "failpoints")]
        page.recorder().stop.store(super::failpoint::of_init(joined.is_some()), Ordering::Relaxed);
        let begins = timed.then(Vec::new);
        Ok(Self {
            plan,
            acts,
            program,
            stdio,
            state,
            record,
            joined,
            may_evade: false,
            cgroup: None,
            contact: Contact::None,
            outside: false,
            kills: 0,
            slots: Vec::new(),
            id_maps: Vec::new(),
            page,
            init: None,
            stand_in: None,
            terminal: None,
            net_devices: None,
            rdt_lock: None,
            pid_file: None,
            told: Told::default(),
            begins,
        })
    }

    /// Behind the last step.
    pub(super) fn end(self, process: Process) -> Launched {
        let times = self.times();
        Launched { process, record: self.record, terminal: self.terminal, times }
    }
}

impl Walk<'_> {
    /// Every step up to the end of the acts that are asked for.
    fn perform(&mut self) -> Result<Process> {
        let plan = self.plan;
        for step in plan.steps() {
            match &step.op {
                Op::Host(op) => {
                    // What directly follows its birth is done beside it.
                    if self.init.as_ref().is_none_or(|init| !init.newborn) {
                        self.await_init()?;
                    }
                    told::step(plan, &step);
                    self.begin();
                    #[cfg(feature = "failpoints")]
                    super::failpoint::at(step.number);
                    self.host_step(&step, op)?;
                }
                Op::Init(op) => {
                    self.give_turn(&step, op)?;
                    if let Some(begins) = &mut self.begins {
                        begins.push(0);
                    }
                    if self.acts == Acts::Create && matches!(op, InitOp::AwaitStart { .. }) {
                        break;
                    }
                }
            }
        }
        if self.acts == Acts::Run {
            self.await_init()?;
        }
        let init = self.init.take().ok_or_else(|| Error::new(ErrorKind::Host, "the plan has no init"))?;
        Ok(init.process)
    }

    fn begin(&mut self) {
        if let Some(begins) = &mut self.begins {
            begins.push(monotonic());
        }
    }

    /// Init's steps are next: it is told so, unless it acts already.
    fn give_turn(&mut self, step: &Step<'_>, op: &InitOp<'_>) -> Result<()> {
        let Some(init) = &mut self.init else { return Err(failure::refused(self.plan, step, Errno::ESRCH)) };
        init.newborn = false;
        init.executes = matches!(op, InitOp::Execute { .. });
        init.hooks += hooks::time_of(op);
        if !std::mem::replace(&mut init.acting, true)
            && let Err(errno) = init.turn.give()
        {
            log::debug!("init did not take its turn: {}", errno.desc());
            return Err(self.diagnose());
        }
        Ok(())
    }

    /// The host's steps are next: init's must be done, of which the last is seen by the end of its turn socket. After a
    /// refork, init is another process than before.
    fn await_init(&mut self) -> Result<()> {
        let heard = self.hear_init();
        self.told.tell(self.plan, self.page.recorder());
        heard
    }

    fn hear_init(&mut self) -> Result<()> {
        let Some(init) = self.init.as_mut().filter(|init| init.acting) else { return Ok(()) };
        init.acting = false;
        #[cfg(feature = "failpoints")]
        super::failpoint::watch(self.page.recorder(), init.turn.as_fd());
        let (time, executes) = (std::mem::take(&mut init.hooks), init.executes);
        match init.turn.allow(time).and_then(|()| init.turn.receive()) {
            Ok(Received::Turn(terminal)) if !executes => {
                self.terminal = terminal.or(self.terminal.take());
                self.follow()
            }
            Ok(Received::End) if executes && executed(self.plan, &self.page) => {
                self.follow().and_then(|()| self.survive())
            }
            Ok(_) => Err(self.diagnose()),
            Err(errno) => Err(self.overdue(errno)),
        }
    }

    /// Where init was born again: its new pid and pidfd, and its first process collected.
    fn follow(&mut self) -> Result<()> {
        let Some(init) = &mut self.init else { return Ok(()) };
        let pid = self.page.recorder().pid.load(Ordering::Acquire);
        if pid != 0 && pid != init.process.pid {
            let failed =
                |errno: Errno| Error::new(ErrorKind::Host, format!("cannot open a pidfd of init: {}", errno.desc()));
            let pidfd = pidfd_open(pid).map_err(failed)?;
            // What is on the page is data. A child of this process keeps its pid until it is waited for; of any other
            // process there is nothing to wait for (ECHILD).
            is_child(&pidfd).map_err(failed)?;
            reap(&init.process.pidfd);
            log::debug!("init was born again as process {pid}");
            init.process = Process { pid, pidfd };
        }
        Ok(())
    }

    /// Spawns init as the plan says.
    pub(super) fn spawn(&mut self, spaces: crate::wire::Spaces, into_cgroup: bool) -> nix::Result<()> {
        let first = self.plan.steps().position(|step| matches!(step.op, Op::Init(_))).ok_or(Errno::EINVAL)?;
        let recorder = self.page.recorder();
        recorder.slots.store(self.slots.len() as u32, Ordering::Relaxed);
        recorder.first.store(first as u32, Ordering::Relaxed);
        let (turn, end) = turn::pair()?;
        self.count_kills();
        let spawn = |cgroup: Option<&Cgroup>| {
            spawn::spawn(&Birth {
                spaces,
                cgroup: cgroup.filter(|_| into_cgroup).map(Cgroup::fd),
                program: self.program.get()?,
                stdio: self.stdio,
                turn: end.as_fd(),
                page: self.page.fd(),
                slots: &self.slots,
            })
        };
        let (pid, pidfd) = match spawn(self.cgroup.as_ref()) {
            // Processes and controlled children exclude each other (cgroups(7)): where the container's init went, there
            // is room.
            Err(Errno::EACCES) if self.joined.is_some() && self.is_of_unit() => {
                self.outside = true;
                spawn(None)?
            }
            Err(Errno::EBUSY) if self.may_evade => spawn(self.cgroup_of_init()?.as_ref())?,
            spawned => spawned?,
        };
        let mapping = |slot: Slot| {
            self.plan.steps().any(|step| matches!(step.op, Op::Host(HostOp::MapCopy { ids, .. }) if ids == slot))
        };
        let slots = std::mem::take(&mut self.slots).into_iter();
        self.id_maps = (1..).map(Slot).zip(slots).filter(|(slot, _)| mapping(*slot)).collect();
        // Init may have been born again by now, which says another one.
        let _ = self.page.recorder().pid.compare_exchange(0, pid, Ordering::AcqRel, Ordering::Relaxed);
        log::debug!("init was born as process {pid}");
        self.init = Some(Init {
            process: Process { pid, pidfd },
            turn,
            acting: true,
            newborn: true,
            executes: false,
            hooks: 0,
        });
        Ok(())
    }

    /// Whether systemd made the container's cgroup.
    fn is_of_unit(&self) -> bool {
        self.record.cgroup.as_ref().is_some_and(|cgroup| cgroup.unit.is_some())
    }

    /// Where in the container's cgroup its init is.
    fn cgroup_of_init(&self) -> nix::Result<Option<Cgroup>> {
        match (&self.cgroup, self.joined) {
            (Some(cgroup), Some(init)) => cgroup.home_of(init.pid),
            _ => Ok(None),
        }
    }

    /// The error of an init that ended, or that did not take its turn.
    pub(super) fn diagnose(&mut self) -> Error {
        if let Err(error) = self.follow() {
            return error;
        }
        let end = self.init.as_ref().and_then(|init| end_of(&init.process.pidfd));
        let killed = matches!(end, Some(WaitStatus::Signaled(_, nix::sys::signal::Signal::SIGKILL, _)));
        let oom = if killed { self.out_of_memory() } else { None };
        let end = oom.map(End::OutOfMemory).or(end.map(End::Seen)).unwrap_or(End::Unseen);
        failure::init_ended(self.plan, self.page.recorder(), end)
    }

    /// The error of an init whose turn did not end in time.
    fn overdue(&self, errno: Errno) -> Error {
        let index = self.page.recorder().index();
        match self.plan.steps().find(|step| Some(step.number) == index.map(|index| index + 1)) {
            Some(step) => failure::refused(self.plan, &step, errno),
            None => Error::new(ErrorKind::Host, format!("no word from init: {}", errno.desc())),
        }
    }

    /// Undoes what was made, the last first; init's steps die with its namespaces. The error stays the step's own: what
    /// cannot be undone is left in the journal for a delete.
    pub(super) fn undo(mut self, error: Error) -> Error {
        // One that was born again and then hung is the one to kill.
        let _ = self.follow();
        let deadline = deadline();
        if let Some(init) = self.init.take() {
            // It may have ended already.
            let _ = pidfd_send_signal(init.process.pidfd.as_fd(), libc::SIGKILL);
            let left = deadline.saturating_duration_since(Instant::now());
            if wait_for_end(&init.process.pidfd, left).unwrap_or(false) {
                try_wait(&init.process.pidfd);
            }
        }
        let error = net_devices::undo(self.net_devices.take(), error);
        self.rdt_lock = None;
        self.cgroup = None;
        if let Some(path) = &self.pid_file {
            // Another's of the same name would be gone as well: it was replaced.
            let _ = std::fs::remove_file(path);
        }
        let Some(state) = self.state else { return error };
        let contact = std::mem::take(&mut self.contact);
        let (cgroup, own_pids) = (self.record.cgroup.as_ref(), self.record.own_pids);
        let end = |cgroup| end_cgroup(cgroup, state.mark(), own_pids, contact, deadline);
        let removed = cgroup.map_or(Ok(()), end).and_then(|()| rdt::end(&self.record, rdt::Ending::Undone));
        match removed.and_then(|()| run_poststop(&state, &mut self.record)).and_then(|()| state.remove()) {
            Ok(()) => error,
            Err(left) => error.and_left(&left.to_string()),
        }
    }

    /// How long each step took that has begun: until the next one did.
    fn times(&self) -> Vec<(u32, u64)> {
        let Some(begins) = &self.begins else { return Vec::new() };
        let end = monotonic();
        let recorder = self.page.recorder();
        let begin = |index: usize| match begins.get(index) {
            Some(0) => recorder.times.get(index).map_or(0, |time| time.load(Ordering::Relaxed)),
            Some(begin) => *begin,
            None => 0,
        };
        (0..begins.len().min(TIMES))
            .filter(|index| begin(*index) != 0)
            .map(|index| {
                let next = Some(begin(index + 1)).filter(|next| *next != 0).unwrap_or(end);
                (index as u32 + 1, next.saturating_sub(begin(index)))
            })
            .collect()
    }
}

/// Whether init has become the program: it was at its last step, and that step did not fail.
pub(super) fn executed(plan: &LaunchPlan, page: &Page) -> bool {
    let recorder = page.recorder();
    let last = plan.steps().filter(|step| matches!(step.op, Op::Init(InitOp::Execute { .. }))).last();
    let at = recorder.index().map(|index| index + 1);
    recorder.errno.load(Ordering::Acquire) == 0 && last.is_some_and(|last| at == Some(last.number))
}

/// How a child ended that has closed its descriptors, or is about to end.
fn end_of(pidfd: &OwnedFd) -> Option<WaitStatus> {
    wait_for_end(pidfd, END_LIMIT).ok()?;
    has_ended(pidfd).ok()?.then(|| try_wait(pidfd)).flatten()
}

fn monotonic() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}
