//! Processes as they leave the crate, with what they are given: descriptors and signals.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;

use nix::errno::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::sys::process::{pidfd_send_signal, wait};

/// The descriptors of a container's program. `None` is the caller's own standard stream.
///
/// The program has these, and no others: whatever else the caller has open is closed before it is executed
/// (runtime-spec runtime-linux.md#file-descriptors).
///
/// A container with `process.terminal` has none of the streams: all three are its terminal, whose master goes to
/// [`crate::CreateOptions::console_socket`] or stays here ([`crate::Container::terminal`]). No stream is ever given to another owner but
/// that terminal.
#[derive(Debug, Default)]
pub struct Stdio {
    /// Descriptor 0.
    pub stdin: Option<OwnedFd>,
    /// Descriptor 1.
    pub stdout: Option<OwnedFd>,
    /// Descriptor 2.
    pub stderr: Option<OwnedFd>,
    /// Descriptors 3, 4, … in this order. [`crate::inherited`] finds the caller's own.
    pub others: Vec<OwnedFd>,
}

/// A signal by number (signal(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

/// Who a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The container's init.
    Init,
    /// Every process in its cgroup, and in those below it.
    All,
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

    /// Waits for its end; how it ended. Only its parent can, and only once.
    ///
    /// # Errors
    /// [`ErrorKind::WrongStatus`] where it is no child of the calling process, or was waited for already.
    pub fn wait(&self) -> Result<ExitStatus> {
        wait(&self.pidfd).map_err(|errno| match errno {
            Errno::ECHILD => Error::new(ErrorKind::WrongStatus, "it is no child of this process, or was waited for"),
            errno => Error::new(ErrorKind::Host, format!("cannot wait for it: {}", errno.desc())),
        })
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
pub(crate) fn not_sent(signal: Signal, errno: Errno) -> Error {
    match errno {
        Errno::ESRCH => Error::new(ErrorKind::WrongStatus, "container not running"),
        Errno::EINVAL => Error::new(ErrorKind::InvalidSpec, format!("unknown signal \"{}\"", signal.0)),
        errno => Error::new(ErrorKind::Host, format!("cannot send signal {}: {}", signal.0, errno.desc())),
    }
}

/// A process that joined a container ([`crate::Container::exec`]).
#[derive(Debug)]
pub struct Joined {
    /// The process.
    pub process: Process,
    /// The master of its terminal, as [`crate::Container::terminal`], where it has one that was sent to no console socket.
    pub terminal: Option<OwnedFd>,
    /// What the caller should be told although it runs.
    pub warnings: Vec<String>,
}
