//! What happens to a container while somebody watches: kills for want of memory, and its end.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::container::{Container, wrong_status};
use crate::error::{Error, ErrorKind, Result};
use crate::host::cgroup::MemoryEvents;
use crate::process::Process;

impl Container {
    /// Watches it from now on.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] where it is stopped, [`ErrorKind::Host`] where its cgroup cannot be read.
    pub fn watch(&self) -> Result<Watch> {
        self.usable()?;
        let Some(init) = self.init()? else {
            return wrong_status(&format!("container with id {} is not running", self.id()));
        };
        let opened = self.record.cgroup.as_ref().map_or(Ok(None), |record| record.open());
        let memory = opened.and_then(|cgroup| cgroup.map_or(Ok(None), |cgroup| MemoryEvents::of(&cgroup)));
        Ok(Watch { init, memory: memory.map_err(|errno| failed("watch the cgroup", errno))? })
    }
}

fn failed(what: &str, errno: Errno) -> Error {
    Error::new(ErrorKind::Host, format!("cannot {what}: {}", errno.desc()))
}

/// A container that is watched. Nothing runs between two calls: the kernel keeps count.
///
/// ```no_run
/// # fn main() -> Result<(), runtime_core::Error> {
/// # use runtime_core::{Event, Id, Runtime};
/// let container = Runtime::new("/run/my-program").load(&Id::new("hello")?)?;
/// let mut watch = container.watch()?;
/// loop {
///     match watch.next(None)? {
///         Some(Event::OutOfMemory { kills, shortage }) => eprintln!("{kills} killed: {shortage}"),
///         Some(Event::Ended) | None => return Ok(()),
///     }
/// }
/// # }
/// ```
///
/// A program with a loop of its own (epoll(7)) waits for [`Self::memory`] and [`Self::init`], and asks then what has happened
/// with a limit of zero.
#[derive(Debug)]
pub struct Watch {
    init: Process,
    /// `None` without the memory controller, and when the cgroup is gone.
    memory: Option<MemoryEvents>,
}

/// What happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The kernel killed processes of it for want of memory.
    OutOfMemory {
        /// How many: `oom_kill` of memory.events rose by this.
        kills: u64,
        /// Whose memory ran out.
        shortage: Shortage,
    },
    /// Its init ended. Kills are told before.
    Ended,
}

/// Whose memory ran out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Whose limit was reached. Where more than one was in the same moment: the nearest.
    pub level: Level,
    /// That limit in bytes (memory.max), as it was read afterwards.
    pub limit: Option<u64>,
}

/// A place in the hierarchy of cgroups, as the container sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Level {
    /// The container's own cgroup.
    Own,
    /// The cgroup in this directory, in which the container's is.
    Above(PathBuf),
    /// A cgroup that the container made in its own.
    Below,
    /// None: the host itself has no memory left.
    Host,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.limit.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
        match &self.level {
            Level::Own => write!(f, "memory.max is {limit}"),
            Level::Above(path) => write!(f, "memory.max of {} is {limit}", path.display()),
            Level::Below => f.write_str("a cgroup below reached its memory.max"),
            Level::Host => f.write_str("the host has no memory left"),
        }
    }
}

impl Watch {
    /// Waits for what happens next, for as long as `limit` says; `None` when that time is over. When the container has ended,
    /// every further call says so again.
    ///
    /// # Errors
    /// [`ErrorKind::Host`] where poll(2) or the cgroup fails. That the cgroup is gone is no error: it had its last word.
    pub fn next(&mut self, limit: Option<Duration>) -> Result<Option<Event>> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let (any, ended) = self.wait(deadline)?;
            // Also when init has ended: what was the end of it is told first.
            if any && let Some(event) = self.killed()? {
                return Ok(Some(event));
            }
            if ended {
                return Ok(Some(Event::Ended));
            }
            if !any && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(None);
            }
        }
    }

    /// Whether anything has happened, and whether init has ended.
    fn wait(&self, deadline: Option<Instant>) -> Result<(bool, bool)> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // Whole milliseconds: rounded down, the last one would be waited for by asking again and again.
        let up = |left: Duration| PollTimeout::try_from(left.saturating_add(Duration::from_micros(999)));
        let timeout = left.map_or(PollTimeout::NONE, |left| up(left).unwrap_or(PollTimeout::MAX));
        let mut fds = vec![PollFd::new(self.init(), PollFlags::POLLIN)];
        fds.extend(self.memory().map(|events| PollFd::new(events, PollFlags::POLLPRI)));
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => Ok((false, false)),
            Err(errno) => Err(failed("wait for the container", errno)),
            Ok(count) => Ok((count > 0, fds.first().is_some_and(|init| init.any().unwrap_or(true)))),
        }
    }

    fn killed(&mut self) -> Result<Option<Event>> {
        let Some(memory) = &mut self.memory else { return Ok(None) };
        match memory.killed() {
            Ok(killed) => Ok(killed.map(|(kills, shortage)| Event::OutOfMemory { kills, shortage })),
            Err(Errno::ENODEV) => {
                self.memory = None;
                Ok(None)
            }
            Err(errno) => Err(failed("read memory.events", errno)),
        }
    }

    /// memory.events of its cgroup: ready with POLLPRI or EPOLLPRI. `None` where nothing will be told of memory: the cgroup
    /// has no memory controller, or is gone.
    pub fn memory(&self) -> Option<BorrowedFd<'_>> {
        self.memory.as_ref().map(MemoryEvents::fd)
    }

    /// The pidfd of its init: ready with POLLIN when that has ended.
    pub fn init(&self) -> BorrowedFd<'_> {
        self.init.pidfd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_in_words() {
        let words = |level, limit| Shortage { level, limit }.to_string();
        assert_eq!(words(Level::Own, Some(524_288)), "memory.max is 524288");
        assert_eq!(words(Level::Own, None), "memory.max is max");
        assert_eq!(words(Level::Above("/cg/a".into()), Some(1)), "memory.max of /cg/a is 1");
    }

    #[test]
    fn time_is_up_and_an_end_is_told_again() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pidfd = crate::sys::process::pidfd_open(child.id()).unwrap();
        let mut watch = Watch { init: Process { pid: child.id(), pidfd }, memory: None };
        let begin = Instant::now();
        assert_eq!(watch.next(Some(Duration::from_millis(20))).unwrap(), None);
        assert!(begin.elapsed() >= Duration::from_millis(20));
        assert_eq!(watch.next(Some(Duration::ZERO)).unwrap(), None);
        child.kill().unwrap();
        for limit in [None, Some(Duration::ZERO), None] {
            assert_eq!(watch.next(limit).unwrap(), Some(Event::Ended));
        }
        child.wait().unwrap();
    }
}
