//! An attached run: signals go to the container's process, and its exit status comes back.

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
    pub(crate) fn until_container_ends(&self, container: &Container) -> Result<u8, Error> {
        let gone = || Error::new(ErrorKind::Host, "init was waited for by another, so its exit status is lost");
        self.until_end(&container.init()?.ok_or_else(gone)?)
    }

    /// Forwards signals until the process ends; then its exit code, or 128 and the signal that ended it.
    pub(crate) fn until_end(&self, process: &Process) -> Result<u8, Error> {
        loop {
            let fds = [&self.signals.as_fd(), &process.pidfd.as_fd()];
            let mut ready = fds.map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(host("poll", e)),
            }
            self.forward(process)?;
            if let Some(code) = reap(process.pid)? {
                return Ok(code);
            }
        }
    }

    fn forward(&self, process: &Process) -> Result<(), Error> {
        while let Some(signal) = self.signals.read_signal().map_err(|e| host("read a signal", e))? {
            let number = signal.ssi_signo as i32;
            // Of a child, or of a window that this version's containers do not have.
            if number == nix::libc::SIGCHLD || number == nix::libc::SIGWINCH {
                continue;
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
