//! The containers of this shim, their processes, and how these end: in which order that is told.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::epoll::EpollFlags;
use runtime_core::{Event, Meter, Runtime, Signal, Target, Watch};
use rustix::process::{WaitId, WaitIdOptions, WaitOptions, wait, waitid};

use crate::api::Timestamp;
use crate::api::events::{TaskExit, TaskOOM};
use crate::api::task::WaitResponse;
use crate::options::Options;
use crate::poller::Token;
use crate::server::{Server, Ticket};
use crate::status::Failure;
use crate::stdio::{Logger, Paths};

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) bundle: PathBuf,
    pub(crate) options: Options,
    pub(crate) runtime: Runtime,
    /// `None` until a checkpoint is restored, which start does.
    pub(crate) made: Option<Arc<runtime_core::Container>>,
    /// The images that start restores it from.
    pub(crate) checkpoint: Option<PathBuf>,
    /// The key of its init.
    pub(crate) init: u32,
    /// The keys of its further processes, by their exec ids.
    pub(crate) execs: BTreeMap<String, u32>,
    pub(crate) watch: Option<Watch>,
    pub(crate) meter: Option<Meter>,
    pub(crate) freezer: Freezer,
    /// Whether its init's end is not the end of its other processes: they have the pid namespace of somebody else.
    pub(crate) shares_pids: bool,
    /// How its init ended, while that waits for the end of the others to be told.
    pub(crate) held: Option<Exit>,
}

/// Whether a container is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freezer {
    Thawed,
    Pausing,
    Paused,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Its exit code, or 128 and the signal that ended it.
    pub(crate) status: u32,
    pub(crate) at: Timestamp,
}

impl Exit {
    fn now(code: Option<i32>) -> Self {
        // Where runtime-core was faster, it had killed it.
        Self { status: code.map_or(137, |code| code as u32), at: Timestamp::from(SystemTime::now()) }
    }

    /// Of a process that could not be started.
    pub(crate) fn never_started() -> Self {
        Self { status: 255, at: Timestamp::from(SystemTime::now()) }
    }

    /// What a wait answers.
    pub(crate) fn response(self) -> WaitResponse {
        WaitResponse { exit_status: self.status, exited_at: Some(self.at) }
    }
}

/// Where a process is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is known, and not started.
    Created,
    /// A thread starts it.
    Starting,
    Running,
    /// Its end was told.
    Ended,
    /// A thread deletes it.
    Deleting,
}

/// A process of a container: its init, or one more.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) container: String,
    /// Empty: init.
    pub(crate) exec_id: String,
    /// What an exec asks for, until it is started (config.md#process).
    pub(crate) spec: Vec<u8>,
    pub(crate) paths: Paths,
    pub(crate) stage: Stage,
    pub(crate) child: Option<runtime_core::Process>,
    /// Its pid, also when it has ended; 0 before it exists.
    pub(crate) pid: u32,
    pub(crate) exit: Option<Exit>,
    /// How it ended while a thread was still starting it.
    pub(crate) early: Option<Exit>,
    pub(crate) waiters: Vec<Ticket>,
    /// The master of its terminal.
    pub(crate) terminal: Option<OwnedFd>,
    /// The shim's own writer of its input, which holds that open when its client goes; gone when the input was closed.
    pub(crate) input: Input,
    pub(crate) flows: Vec<u32>,
    /// Outputs that are at their end, and that nobody has read yet.
    pub(crate) unread: Vec<OwnedFd>,
    pub(crate) logger: Option<Logger>,
    pub(crate) draining: Option<Draining>,
    /// When to look again at a terminal that nobody has open.
    pub(crate) look_again: Option<Instant>,
}

/// Whether the input of a process can still be closed.
#[derive(Debug)]
pub(crate) enum Input {
    /// It is not opened yet.
    Unopened,
    Open(#[expect(dead_code, reason = "it is held, and never written to")] OwnedFd),
    Closed,
}

/// What waits until a process's output was passed on.
pub(crate) struct Draining {
    pub(crate) until: Instant,
    pub(crate) then: Box<dyn FnOnce(&mut Server) + Send>,
}

impl std::fmt::Debug for Draining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draining").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Process {
    /// A process that is not started.
    pub(crate) fn new(container: &str, exec_id: &str, paths: Paths) -> Self {
        Self {
            container: container.to_owned(),
            exec_id: exec_id.to_owned(),
            spec: Vec::new(),
            paths,
            stage: Stage::Created,
            child: None,
            pid: 0,
            exit: None,
            early: None,
            waiters: Vec::new(),
            terminal: None,
            input: Input::Unopened,
            flows: Vec::new(),
            unread: Vec::new(),
            logger: None,
            draining: None,
            look_again: None,
        }
    }

    /// Its input is open; unless it was closed while a thread opened it.
    pub(crate) fn open_input(&mut self, input: Input) {
        if !matches!(self.input, Input::Closed) {
            self.input = input;
        }
    }

    /// Its id in events: the container's for init.
    pub(crate) fn event_id(&self) -> &str {
        if self.exec_id.is_empty() { &self.container } else { &self.exec_id }
    }

    /// When it is to be looked at again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.draining.as_ref().map(|draining| draining.until).into_iter().chain(self.look_again).min()
    }
}

/// How long the output of a process that is being deleted may take.
pub(crate) const DRAIN_LIMIT: Duration = Duration::from_secs(10);

impl Server {
    /// Waits for the end of a process from now on.
    pub(crate) fn await_end(&mut self, key: u32, child: runtime_core::Process) {
        if let Err(errno) = self.poller.add(&child.pidfd, EpollFlags::EPOLLIN, Token::Process(key)) {
            log::error!("cannot wait for process {}: {errno}", child.pid);
        }
        if let Some(process) = self.processes.get_mut(&key) {
            process.pid = child.pid;
            process.child = Some(child);
        }
    }

    /// A process has ended. Where a thread is still at its start, that is told first.
    pub(crate) fn ended(&mut self, key: u32) {
        let Some(child) = self.processes.get(&key).and_then(|process| process.child.as_ref()) else { return };
        match waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            // Whoever traces it has it first (ptrace(2)); then SIGCHLD comes.
            Ok(None) => self.poller.remove(&child.pidfd),
            Ok(Some(status)) => self.collected(key, code(status.exit_status(), status.terminating_signal())),
            Err(_) => self.collected(key, None),
        }
    }

    /// As [`Self::ended`], of a process that was killed with its container, whoever traces it.
    pub(crate) fn ended_by_force(&mut self, key: u32) {
        self.ended(key);
        self.collected(key, None);
    }

    /// A process has ended, and how is known.
    fn collected(&mut self, key: u32, code: Option<i32>) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        let Some(child) = process.child.take() else { return };
        self.poller.remove(&child.pidfd);
        let exit = Exit::now(code);
        if process.stage == Stage::Starting {
            process.early = Some(exit);
        } else {
            self.exited(key, exit);
        }
    }

    /// Tells that a process has ended: of its container's init only when all others have.
    pub(crate) fn exited(&mut self, key: u32, exit: Exit) {
        let Some(process) = self.processes.get(&key) else { return };
        let id = process.container.clone();
        self.tell_kills(&id);
        let Some(container) = self.containers.get_mut(&id) else { return };
        if container.init != key {
            self.tell_exit(key, exit);
        } else {
            container.held = Some(exit);
            if container.shares_pids {
                end_all(&id, container);
            }
        }
        self.release(&id);
    }

    /// Tells the end of a container's init, unless another of its processes has still to end.
    pub(crate) fn release(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let is_alive = |key: &u32| {
            let process = self.processes.get(key);
            process.is_some_and(|process| process.stage == Stage::Starting || process.child.is_some())
        };
        if container.execs.values().any(is_alive) {
            return;
        }
        let init = container.init;
        if let Some(exit) = container.held.take() {
            container.freezer = Freezer::Thawed;
            if let Some(memory) = container.watch.take().as_ref().and_then(Watch::memory) {
                self.poller.remove(memory);
            }
            self.tell_exit(init, exit);
        }
    }

    fn tell_exit(&mut self, key: u32, exit: Exit) {
        let Some(process) = self.processes.get_mut(&key) else { return };
        if process.stage != Stage::Deleting {
            process.stage = Stage::Ended;
        }
        process.exit = Some(exit);
        let waiters = std::mem::take(&mut process.waiters);
        let event = TaskExit {
            container_id: process.container.clone(),
            id: process.event_id().to_owned(),
            pid: process.pid,
            exit_status: exit.status,
            exited_at: Some(exit.at),
        };
        self.end_streams(key);
        self.publisher.tell(&self.poller, "/tasks/exit", "containerd.events.TaskExit", &event);
        waiters.into_iter().for_each(|ticket| self.reply(ticket, Ok(exit.response())));
    }

    /// memory.events of a container's cgroup has changed.
    pub(crate) fn out_of_memory(&mut self, init: u32) {
        if let Some(id) = self.processes.get(&init).map(|process| process.container.clone()) {
            self.tell_kills(&id);
        }
    }

    /// Tells of kills for want of memory, before the end of those who were killed is told.
    fn tell_kills(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(watch) = container.watch.as_mut() else { return };
        // A cgroup that is gone takes its descriptor along, which must not be waited for any more then.
        watch.memory().into_iter().for_each(|memory| self.poller.remove(memory));
        while let Ok(Some(Event::OutOfMemory { .. })) = watch.next(Some(Duration::ZERO)) {
            let event = TaskOOM { container_id: id.to_owned() };
            self.publisher.tell(&self.poller, "/tasks/oom", "containerd.events.TaskOOM", &event);
        }
        if let Some(memory) = watch.memory() {
            let again = self.poller.add(memory, EpollFlags::EPOLLPRI, Token::Memory(container.init));
            again.unwrap_or_else(|errno| log::error!("cannot watch the memory of {id}: {}", errno.desc()));
        }
    }

    /// Collects children of this thread that have ended, among them those that no container knows: processes whose parents
    /// ended, and which came to this subreaper. What other threads have made they wait for themselves (__WNOTHREAD).
    pub(crate) fn reap(&mut self) {
        let mine = WaitOptions::NOHANG | WaitOptions::from_bits_retain(nix::libc::__WNOTHREAD as u32);
        while let Ok(Some((pid, status))) = wait(mine) {
            let pid = pid.as_raw_nonzero().get() as u32;
            // A thread tells what it has made before it ends, and only then is that a child of this thread.
            self.finish_work();
            let is_it = |process: &Process| process.child.as_ref().is_some_and(|child| child.pid == pid);
            if let Some(key) = self.processes.iter().find(|(_, process)| is_it(process)).map(|(key, _)| *key) {
                self.collected(key, code(status.exit_status(), status.terminating_signal()));
            }
            let logs = |process: &Process| process.logger.as_ref().is_some_and(|logger| logger.pid() == pid);
            if let Some(key) = self.processes.iter().find(|(_, process)| logs(process)).map(|(key, _)| *key) {
                self.logger_ended(key);
            }
        }
    }
}

/// An exit code, or 128 and the signal that ended it.
fn code(exited: Option<i32>, killed: Option<i32>) -> Option<i32> {
    exited.or(killed.map(|signal| 128 + signal))
}

/// Ends what a container's init leaves behind.
fn end_all(id: &str, container: &Container) {
    let Some(made) = &container.made else { return };
    if let Err(error) = made.kill(Signal(nix::libc::SIGKILL), Target::All) {
        log::warn!("cannot end the processes that the init of {id} left: {error}");
    }
}

impl Server {
    /// The container with this id.
    pub(crate) fn container(&mut self, id: &str) -> Result<&mut Container, Failure> {
        self.containers.get_mut(id).ok_or_else(|| Failure::not_found("container not created"))
    }

    /// The key of a process: of init where `exec_id` is empty.
    pub(crate) fn find(&self, id: &str, exec_id: &str) -> Result<u32, Failure> {
        let container = self.containers.get(id).ok_or_else(|| Failure::not_found("container not created"))?;
        if exec_id.is_empty() {
            return Ok(container.init);
        }
        let missing = || Failure::not_found(format!("process does not exist {exec_id}"));
        container.execs.get(exec_id).copied().ok_or_else(missing)
    }

    /// A process, by its key.
    pub(crate) fn process(&mut self, key: u32) -> Result<&mut Process, Failure> {
        self.processes.get_mut(&key).ok_or_else(|| Failure::not_found("process does not exist"))
    }
}
