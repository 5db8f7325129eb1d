//! An attached run: signals go to the container's process, bytes to its terminal, and its exit status comes back.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use runtime_core::{Container, Error, ErrorKind, Process, Signal};
use rustix::process::{WaitOptions, wait};

use crate::failure::host;
use crate::terminal::Proxy;

/// What becomes of processes that the container's processes leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orphans {
    /// They come to this process, which reaps them (PR_SET_CHILD_SUBREAPER).
    Reap,
    /// They go where they went without it.
    Leave,
}

/// Signals held back since before the container was made, so that none is lost.
#[derive(Debug)]
pub(crate) struct Vigil {
    signals: SignalFd,
}

impl Vigil {
    /// Holds back every signal that the container is to have, and SIGCHLD.
    pub(crate) fn begin(orphans: Orphans) -> Result<Self, Error> {
        use nix::sys::signal::Signal::{SIGPIPE, SIGURG};
        let mut held = SigSet::all();
        held.remove(SIGPIPE);
        held.remove(SIGURG);
        held.thread_block().map_err(|e| host("block signals", e))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&held, flags).map_err(|e| host("make a signalfd", e))?;
        if orphans == Orphans::Reap {
            prctl::set_child_subreaper(true).map_err(|e| host("become a subreaper", e))?;
        }
        Ok(Self { signals })
    }

    /// As [`Self::until_end`], of a container's init.
    pub(crate) fn until_container_ends(&self, container: &Container, terminal: Option<Proxy>) -> Result<u8, Error> {
        let gone = || Error::new(ErrorKind::Host, "init was waited for by another, so its exit status is lost");
        self.until_end(&container.init()?.ok_or_else(gone)?, terminal)
    }

    /// Forwards signals, and bytes where it has a terminal, until the process ends; then its exit code, or 128 and the
    /// signal that ended it. The caller's terminal is restored in any case.
    pub(crate) fn until_end(&self, process: &Process, mut terminal: Option<Proxy>) -> Result<u8, Error> {
        loop {
            let ready = self.wait(process, terminal.as_ref())?;
            self.forward(process, terminal.as_ref())?;
            if let Some(code) = reap(process.pid)? {
                if let Some(terminal) = terminal {
                    terminal.finish(|output| self.wait_for(output));
                }
                return Ok(code);
            }
            if let Some(terminal) = &mut terminal {
                terminal.pass(ready);
            }
        }
    }

    /// Waits for a signal, the end of the process, or the terminal: which of its directions are ready.
    fn wait(&self, process: &Process, terminal: Option<&Proxy>) -> Result<[bool; 2], Error> {
        let directions = terminal.map_or([None, None], Proxy::awaited);
        let first = [&self.signals.as_fd(), &process.pidfd.as_fd()].map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
        let mut polled: Vec<_> = first.into_iter().chain(directions.iter().flatten().cloned()).collect();
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(host("poll", e)),
        }
        let mut answers = polled.iter().skip(2).map(|fd| fd.any().unwrap_or(true));
        Ok(directions.map(|awaited| awaited.is_some() && answers.next().unwrap_or(false)))
    }

    /// The process has ended, and what it wrote waits for a caller that does not read: whoever would end this command by a
    /// signal ends this.
    fn wait_for(&self, output: PollFd<'_>) -> bool {
        use nix::libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        let signals = self.signals.as_fd();
        let waited = poll(&mut [output, PollFd::new(signals, PollFlags::POLLIN)], PollTimeout::NONE);
        let ends = |signal: u32| [SIGHUP, SIGINT, SIGQUIT, SIGTERM].contains(&(signal as i32));
        let is_told_to_end = matches!(self.signals.read_signal(), Ok(Some(signal)) if ends(signal.ssi_signo));
        !is_told_to_end && matches!(waited, Ok(_) | Err(Errno::EINTR))
    }

    /// Passes signals on. That the caller's window changed is nothing for the process: its own will tell it.
    fn forward(&self, process: &Process, terminal: Option<&Proxy>) -> Result<(), Error> {
        while let Some(signal) = self.signals.read_signal().map_err(|e| host("read a signal", e))? {
            let number = signal.ssi_signo as i32;
            match number {
                nix::libc::SIGCHLD => continue,
                nix::libc::SIGWINCH => {
                    terminal.into_iter().for_each(Proxy::resize);
                    continue;
                }
                _ => {}
            }
            match process.kill(Signal(number)) {
                Err(error) if error.kind() == ErrorKind::WrongStatus => {}
                Err(error) => log::warn!("cannot forward signal {number}: {error}"),
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

/// Reaps every child that ended; the exit code if the process is among them. It is this process's child, so its pid is no
/// other's until it was reaped here.
fn reap(process: u32) -> Result<Option<u8>, Error> {
    loop {
        // Not nix's: it fails where a real-time signal ended the child.
        let (pid, status) = match wait(WaitOptions::NOHANG) {
            Ok(Some(ended)) => ended,
            Ok(None) => return Ok(None),
            Err(e) => return Err(host("wait for the container's process", io::Error::from(e))),
        };
        if pid.as_raw_nonzero().get() as u32 == process {
            let by_signal = status.terminating_signal().map(|signal| 128 + signal);
            return Ok(status.exit_status().or(by_signal).map(|code| code as u8));
        }
    }
}
