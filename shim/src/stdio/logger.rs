//! A program that logs what a container writes (`binary://`): it gets stdout as descriptor 3, stderr as 4, and closes 5, or
//! writes to it, when it is ready.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::epoll::EpollFlags;
use nix::sys::signal::SigSet;
use nix::unistd::pipe2;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::Reader;
use super::uri::Program;
use crate::poller::Token;
use crate::server::Server;
use crate::status::{Answer, Failure};

/// How long it may take until it is ready.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// A program that logs.
#[derive(Debug)]
pub(crate) struct Logger {
    pid: u32,
    pidfd: OwnedFd,
}

impl Logger {
    /// Starts it, and waits until it is ready. It has the shim's other streams, and of the environment only who it is for.
    pub(super) fn start(program: &Program, ends: [Option<OwnedFd>; 2], reader: &Reader<'_>) -> Answer<Self> {
        let name = program.path.display();
        let failed = |why: &dyn std::fmt::Display| Failure::host(&format!("start the logging program {name}"), why);
        let (ready, done) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(&errno.desc()))?;
        // Numbers above those that are to be taken: else one would be closed before it was copied.
        let [stdout, stderr] = ends;
        let copies = [stdout, stderr, Some(done)].map(|fd| fd.map(above).transpose());
        let mut actions = PosixSpawnFileActions::init().map_err(|errno| failed(&errno.desc()))?;
        let mut kept = Vec::new();
        for (copy, number) in copies.into_iter().zip(3..) {
            let Some(copy) = copy.map_err(|error| failed(&error))? else { continue };
            actions.add_dup2(copy.as_raw_fd(), number).map_err(|errno| failed(&errno.desc()))?;
            kept.push(copy);
        }
        let pid = spawn(program, &actions, reader).map_err(|errno| failed(&errno.desc()))?;
        drop(kept);
        let pidfd = Pid::from_raw(pid as i32).ok_or(rustix::io::Errno::SRCH);
        let pidfd = pidfd.and_then(|pid| pidfd_open(pid, PidfdFlags::empty())).map_err(|errno| failed(&errno))?;
        let logger = Self { pid, pidfd };
        match logger.await_ready(&ready) {
            Ok(()) => Ok(logger),
            Err(why) => {
                logger.signal(Signal::KILL);
                Err(failed(&why))
            }
        }
    }

    /// Waits for a byte, or the end of it.
    fn await_ready(&self, ready: &OwnedFd) -> Result<(), String> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let limit = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut polled = [PollFd::new(ready.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, limit) {
                Ok(0) => return Err(format!("it is not ready within {} s", READY_LIMIT.as_secs())),
                Ok(_) => return self.is_alive(),
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.desc().to_owned()),
            }
        }
    }

    /// Whoever ends closes the descriptor as well, and before that the streams (close_files of the kernel goes by number).
    fn is_alive(&self) -> Result<(), String> {
        let has = |number: u32| std::fs::symlink_metadata(format!("/proc/{}/fd/{number}", self.pid)).is_ok();
        if has(3) || has(4) { Ok(()) } else { Err("it ended at once".to_owned()) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It fails where it has ended.
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }
}

/// A descriptor above 5.
fn above(fd: OwnedFd) -> std::io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 16)?)
}

fn spawn(program: &Program, actions: &PosixSpawnFileActions, reader: &Reader<'_>) -> nix::Result<u32> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| nix::errno::Errno::EINVAL);
    let path = text(program.path.as_os_str().as_bytes())?;
    let mut args = vec![path.clone()];
    for arg in &program.args {
        args.push(text(arg.as_bytes())?);
    }
    let env = [format!("CONTAINER_ID={}", reader.id), format!("CONTAINER_NAMESPACE={}", reader.namespace)];
    let env = [text(env[0].as_bytes())?, text(env[1].as_bytes())?];
    // Signals that the shim holds back, or ignores, it has as anybody else.
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_sigdefault(&SigSet::all())?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)?;
    Ok(posix_spawn(path.as_c_str(), actions, &attributes, &args, &env)?.as_raw() as u32)
}

/// How long a program that logs has for what is left, once nobody writes any more; and after SIGTERM.
pub(crate) const LAST_LINES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(12)];

impl Server {
    /// Keeps a process's logging program, and learns of its end.
    pub(crate) fn keep_logger(&mut self, key: u32, logger: Option<Logger>) {
        let Some(logger) = logger else { return };
        if let Err(errno) = self.poller.add(&logger.pidfd, EpollFlags::EPOLLIN, Token::Logger(key)) {
            log::error!("cannot wait for a logging program: {}", errno.desc());
        }
        if let Some(process) = self.processes.get_mut(&key) {
            process.logger = Some(logger);
        }
    }

    /// A logging program has ended.
    pub(crate) fn logger_ended(&mut self, key: u32) {
        let logger = match self.processes.get_mut(&key) {
            Some(process) => process.logger.take(),
            None => self.leaving.remove(&key).map(|(logger, ..)| logger),
        };
        let Some(logger) = logger else { return };
        self.poller.remove(&logger.pidfd);
        // It may be collected already.
        let _ = rustix::process::waitid(
            rustix::process::WaitId::PidFd(logger.pidfd.as_fd()),
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOHANG,
        );
    }

    /// A process is deleted: its logging program has some time to end by itself.
    pub(crate) fn dismiss_logger(&mut self, key: u32) {
        let logger = self.processes.get_mut(&key).and_then(|process| process.logger.take());
        if let Some(logger) = logger {
            self.leaving.insert(key, (logger, Instant::now() + LAST_LINES[0], Signal::TERM));
        }
    }

    /// Ends the logging programs whose time is over.
    pub(crate) fn hurry_loggers(&mut self, now: Instant) {
        for (logger, until, next) in self.leaving.values_mut().filter(|(_, until, _)| *until <= now) {
            logger.signal(*next);
            *next = Signal::KILL;
            *until = now + LAST_LINES[1];
        }
    }

    /// The shim ends, and with it the logging programs that are still there.
    pub(crate) fn end_loggers(&mut self) {
        self.leaving.values().for_each(|(logger, ..)| logger.signal(Signal::KILL));
    }
}
