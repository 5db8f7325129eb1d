//! Hooks on the host: executed with the state on the standard input, watched to their end or their time's, and what they
//! print is read so that it cannot block them, and kept only in part.

use std::ffi::{CStr, CString};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg};
use nix::unistd::{Pid, pipe2};

use super::child::behind_streams;
use super::process::wait_for_end;
use super::record::Record;
use super::state::{self, StateDir};
use crate::compile::hooks::Hooks;
use crate::error::Result;
use crate::state::HookState;
use crate::sys::clone;
use crate::sys::page::errno_of;
use crate::sys::process::{ended, reap};
use crate::wire::{Hook, HookKind};

/// How long a killed hook may take to end.
const END_LIMIT: Duration = Duration::from_secs(3);

/// How much of each stream is kept, in bytes: its end, where a program says why it failed.
const KEPT: usize = 4096;

/// What Go, and so runc, says of a signal: users look for these words (signal(7)).
const SIGNALS: [&str; 32] = [
    "",
    "hangup",
    "interrupt",
    "quit",
    "illegal instruction",
    "trace/breakpoint trap",
    "aborted",
    "bus error",
    "floating point exception",
    "killed",
    "user defined signal 1",
    "segmentation fault",
    "user defined signal 2",
    "broken pipe",
    "alarm clock",
    "terminated",
    "stack fault",
    "child exited",
    "continued",
    "stopped (signal)",
    "stopped",
    "stopped (tty input)",
    "stopped (tty output)",
    "urgent I/O condition",
    "CPU time limit exceeded",
    "file size limit exceeded",
    "virtual timer expired",
    "profiling timer expired",
    "window changed",
    "I/O possible",
    "power failure",
    "bad system call",
];

/// Why a hook failed. Its `Display` is what follows "error running … hook #…: ".
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be executed, or not watched.
    Host(Errno),
    /// Its end was no success.
    Ended(ExitStatus, Output),
    /// It was killed after this many seconds.
    Overdue(u32, Output),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let output = match self {
            // Not the errno's own words: engines take "no such file or directory" for a missing program of the user's.
            Self::Host(Errno::ENOENT) => return f.write_str("its program does not exist (ENOENT)"),
            Self::Host(errno) => return write!(f, "cannot be run or watched: {}", errno.desc()),
            Self::Ended(status, output) => {
                match status.signal() {
                    None => write!(f, "exit status {}", status.code().unwrap_or_default())?,
                    Some(signal) => match SIGNALS.get(signal.unsigned_abs() as usize).filter(|words| !words.is_empty())
                    {
                        Some(words) => write!(f, "signal: {words}")?,
                        None => write!(f, "signal: signal {signal}")?,
                    },
                }
                if status.core_dumped() {
                    f.write_str(" (core dumped)")?;
                }
                output
            }
            Self::Overdue(seconds, output) => {
                write!(f, "hook ran past specified timeout of {seconds}.0s")?;
                output
            }
        };
        write!(f, ", {output}")
    }
}

/// What a hook printed, or the end of it.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) stdout: Tail,
    pub(crate) stderr: Tail,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stdout: {}, stderr: {}", self.stdout, self.stderr)
    }
}

/// The end of a stream.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Tail {
    /// Adds what was read; what is too far from the end is forgotten.
    pub(crate) fn push(&mut self, read: &[u8]) {
        self.bytes.extend_from_slice(read);
        let surplus = self.bytes.len().saturating_sub(KEPT);
        self.is_cut |= surplus > 0;
        self.bytes.drain(..surplus);
    }
}

impl fmt::Display for Tail {
    /// One line, and nothing that a terminal would obey: a hook in the container says what it likes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_cut {
            f.write_str("...")?;
        }
        let text = String::from_utf8_lossy(&self.bytes);
        text.trim()
            .chars()
            .try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") })
    }
}

/// Runs a hook to its end, in the bundle's directory, as users know it from runc: it is the engine's, and no image's
/// (CVE-2025-23266). Of one that failed nothing is left, but what has left its session.
pub(crate) fn run(hook: &Hook<'_>, state: &[u8], bundle: &Path) -> std::result::Result<(), Failure> {
    let deadline = Instant::now() + Duration::from_secs(hook.timeout.into());
    let (process, streams) = Running::spawn(hook, state, bundle).map_err(Failure::Host)?;
    let mut output = Output::default();
    let failure = match watch(&process.pidfd, streams, &mut output, deadline) {
        Ok(false) => Failure::Overdue(hook.timeout, output),
        Ok(true) => match ended(&process.pidfd) {
            Ok(status) if status.success() => {
                reap(&process.pidfd);
                log::debug!("{} hook #{}: {output}", hook.kind, hook.index);
                return Ok(());
            }
            Ok(status) => Failure::Ended(status, output),
            // Somebody else has collected it, so that its pid may be another's: no signal is sent to that.
            Err(errno) => return Err(Failure::Host(errno)),
        },
        Err(errno) => Failure::Host(errno),
    };
    process.kill();
    Err(failure)
}

/// A hook that was executed and is not collected: until then its pid, and so its group, are nobody else's.
struct Running {
    pid: u32,
    pidfd: OwnedFd,
}

impl Running {
    /// The hook, its standard output and its standard error.
    fn spawn(hook: &Hook<'_>, state: &[u8], bundle: &Path) -> nix::Result<(Self, [File; 2])> {
        let bundle = CString::new(bundle.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
        let stdin = behind_streams(input(state)?)?;
        let ((out, stdout), (err, stderr)) = (stream()?, stream()?);
        let args: Vec<&CStr> = hook.args.iter().map(|arg| arg.0).collect();
        let env: Vec<&CStr> = hook.env.iter().map(|variable| variable.0).collect();
        let old = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let spawned = clone::execute(hook.path.0, &args, &env, &bundle, [stdin.as_fd(), out.as_fd(), err.as_fd()]);
        old.thread_set_mask()?;
        let (pid, pidfd) = spawned?;
        Ok((Self { pid, pidfd }, [stdout, stderr]))
    }

    /// Kills it and its group, of which some may be left where it has ended itself.
    fn kill(&self) {
        // The group may be empty, which is no failure.
        let _ = killpg(Pid::from_raw(self.pid as i32), Signal::SIGKILL);
        // One that is stuck in the kernel is not waited for without a bound.
        if wait_for_end(&self.pidfd, END_LIMIT).unwrap_or(false) {
            reap(&self.pidfd);
        }
    }
}

/// Never a pipe: a hook that does not read must not block who writes.
fn input(state: &[u8]) -> nix::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"planc:state", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all(state).and_then(|()| file.rewind()).map_err(errno_of)?;
    let seals = SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

/// The hook's end of a pipe, and the end that is read here, which never blocks.
fn stream() -> nix::Result<(OwnedFd, File)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((behind_streams(write)?, read.into()))
}

/// Reads what the hook prints until it has ended; `false` at the deadline. Whoever else holds its streams by then is not
/// waited for.
fn watch(process: &OwnedFd, streams: [File; 2], output: &mut Output, deadline: Instant) -> nix::Result<bool> {
    let mut streams = streams.map(Some);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let has_ended = wait_for_news(process, &streams, left)?;
        for (stream, tail) in streams.iter_mut().zip([&mut output.stdout, &mut output.stderr]) {
            read_some(stream, tail)?;
        }
        if has_ended || left.is_zero() {
            return Ok(has_ended);
        }
    }
}

/// Waits until the hook has printed something, has closed a stream, or has ended: then `true`.
fn wait_for_news(process: &OwnedFd, streams: &[Option<File>; 2], limit: Duration) -> nix::Result<bool> {
    let open = streams.iter().flatten().map(AsFd::as_fd);
    let mut news: Vec<_> =
        [process.as_fd()].into_iter().chain(open).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    match poll(&mut news, PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => Ok(news.first().and_then(PollFd::any).unwrap_or(false)),
        Err(errno) => Err(errno),
    }
}

/// Reads what a pipe holds, and no more: a hook that prints without an end must not keep its own end from being seen. A
/// stream that has ended becomes `None`.
fn read_some(stream: &mut Option<File>, tail: &mut Tail) -> nix::Result<()> {
    const PIPE: usize = 64 * 1024;
    let mut buffer = [0; PIPE / 4];
    for _ in 0..4 {
        match stream.as_mut().map(|stream| stream.read(&mut buffer)) {
            None => break,
            Some(Ok(0)) => *stream = None,
            Some(Ok(count)) => tail.push(buffer.get(..count).unwrap_or_default()),
            Some(Err(error)) => match errno_of(error) {
                Errno::EAGAIN => break,
                Errno::EINTR => {}
                errno => return Err(errno),
            },
        }
    }
    Ok(())
}

/// Runs the poststop hooks of a container that is gone but for its state directory (runtime-spec runtime.md#lifecycle,
/// step 13), and journals that. What fails of them is logged, and the next one is run.
///
/// # Errors
/// Where it cannot be journalled: they would be run again.
pub(crate) fn run_poststop(state: &StateDir, record: &mut Record) -> Result<()> {
    if !record.owes_poststop {
        return Ok(());
    }
    let hooks = state::config(state.path()).and_then(|spec| Ok(Hooks::read(&spec)?));
    let json = HookState::of(record).json(HookKind::Poststop, None);
    match (hooks, json) {
        (Ok(hooks), Ok(json)) => {
            for hook in hooks.of(HookKind::Poststop) {
                if let Err(failure) = hook.with(|hook| run(&hook, &json, &record.bundle)) {
                    log::warn!("{}", hook.with(|hook| message(&hook, &failure)));
                }
            }
        }
        (Err(error), _) => log::warn!("cannot run the poststop hooks: {error}"),
        (_, Err(error)) => log::warn!("cannot run the poststop hooks: {error}"),
    }
    record.owes_poststop = false;
    state.save(record)
}

/// What is said of a hook that failed, in the words that engines' users know from runc.
pub(crate) fn message(hook: &Hook<'_>, failure: &Failure) -> String {
    format!("error running {} hook #{}: {failure}", hook.kind, hook.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept_and_shown_on_one_line() {
        let mut tail = Tail::default();
        tail.push(b" first\nsecond\x1b[2J\xff \n");
        assert_eq!(tail.to_string(), "first\\nsecond\\u{1b}[2J\u{fffd}");
        for _ in 0..1000 {
            tail.push(&[b'x'; 100]);
        }
        assert_eq!(tail.bytes.len(), KEPT);
        assert_eq!(tail.to_string(), format!("...{}", "x".repeat(KEPT)));
    }

    #[test]
    fn failures_read_as_runcs() {
        let output = |stderr: &[u8]| {
            let mut output = Output::default();
            output.stderr.push(stderr);
            output
        };
        for (failure, words) in [
            (Failure::Ended(ExitStatus::from_raw(1 << 8), output(b"no\n")), "exit status 1, stdout: , stderr: no"),
            (Failure::Ended(ExitStatus::from_raw(9), output(b"")), "signal: killed, stdout: , stderr: "),
            (
                Failure::Ended(ExitStatus::from_raw(31 | 0x80), output(b"")),
                "signal: bad system call (core dumped), stdout: , stderr: ",
            ),
            (Failure::Ended(ExitStatus::from_raw(40), output(b"")), "signal: signal 40, stdout: , stderr: "),
            (Failure::Overdue(2, output(b"")), "hook ran past specified timeout of 2.0s, stdout: , stderr: "),
            (Failure::Host(Errno::ENOENT), "its program does not exist (ENOENT)"),
        ] {
            assert_eq!(failure.to_string(), words);
        }
    }
}
