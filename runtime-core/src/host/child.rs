//! Ordinary programs that the host runs to their end: what they said, how they ended, and never longer than a limit.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::stat::Mode;
use nix::sys::wait::WaitStatus;
use nix::unistd::{AccessFlags, eaccess, pipe2};

use super::process::{has_ended, wait_for_end};
use crate::sys::clone;
use crate::sys::process::{pidfd_send_signal, try_wait};

/// Where programs of the system are looked for. `$PATH` is the embedding program's own business, and no part of what a
/// plan is made of; the last one is where NixOS keeps what is set-uid.
pub(crate) const DIRECTORIES: [&str; 7] =
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin", "/run/wrappers/bin"];

/// The first executable file of this name in [`DIRECTORIES`].
pub(crate) fn find(name: &str) -> Option<CString> {
    let found = DIRECTORIES.iter().map(|directory| Path::new(directory).join(name));
    let is_program = |path: &Path| path.is_file() && eaccess(path, AccessFlags::X_OK).is_ok();
    let path = found.into_iter().find(|path| is_program(path))?;
    CString::new(path.into_os_string().into_encoded_bytes()).ok()
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// `None` where somebody else of this process collected it: a SIGCHLD that is ignored, or a wait for any child.
    pub(crate) status: Option<WaitStatus>,
    /// What it wrote to its standard output and error, as far as it was kept.
    pub(crate) said: Vec<u8>,
}

/// How much of what a program says is kept.
const SAID: usize = 4096;

/// What a pipe holds (pipe(7)): one read after the end takes all of it.
const PIPE_BUFFER: usize = 65_536;

/// How long a killed program may take to end; one that hangs in the kernel is left to whoever collects orphans.
const END_LIMIT: Duration = Duration::from_secs(1);

/// Runs the program at `path`, with nothing on its standard input, until it ends; past `limit` it is killed, and the
/// answer is ETIMEDOUT. It inherits nothing of this process, which is changed in nothing.
pub(crate) fn run(path: &CStr, args: &[&CStr], env: &[&CStr], limit: Duration) -> nix::Result<Ended> {
    let deadline = Instant::now() + limit;
    let null = behind_streams(open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)?;
    let (from, to) = pipe2(OFlag::O_CLOEXEC)?;
    let to = behind_streams(to)?;
    fcntl(&from, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let old = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let spawned = clone::execute(path, args, env, c"/", [null.as_fd(), to.as_fd(), to.as_fd()]);
    old.thread_set_mask()?;
    let (_, pidfd) = spawned?;
    drop((null, to));
    let mut said = Vec::new();
    let ended = listen(&mut File::from(from), &pidfd, &mut said, deadline);
    if ended.is_err() {
        // A set-uid program keeps the caller's real uid, so that the caller may kill it.
        let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        let _ = wait_for_end(&pidfd, END_LIMIT);
    }
    let status = try_wait(&pidfd);
    ended.map(|()| Ended { status, said })
}

/// Keeps what a program says until it has ended; who holds its output beyond that is not waited for.
fn listen(from: &mut File, pidfd: &OwnedFd, said: &mut Vec<u8>, deadline: Instant) -> nix::Result<()> {
    let mut open = true;
    let mut buffer = vec![0; PIPE_BUFFER];
    loop {
        let ended = has_ended(pidfd)?;
        match from.read(&mut buffer) {
            Ok(0) => open = false,
            Ok(count) => said.extend(buffer.iter().take(count.min(SAID.saturating_sub(said.len())))),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => open = false,
        }
        if ended {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Errno::ETIMEDOUT);
        }
        let mut events = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN), PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        let count = if open { 2 } else { 1 };
        match poll(&mut events[..count], PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The same file under a number that is no standard stream's, even where this process has those closed.
pub(super) fn behind_streams(file: OwnedFd) -> nix::Result<OwnedFd> {
    if file.as_raw_fd() > libc::STDERR_FILENO { Ok(file) } else { copy_behind(file.as_fd(), libc::STDERR_FILENO + 1) }
}

/// A copy under a number that is not below `least`.
pub(super) fn copy_behind(file: BorrowedFd<'_>, least: RawFd) -> nix::Result<OwnedFd> {
    let copy = fcntl(file, FcntlArg::F_DUPFD_CLOEXEC(least))?;
    crate::sys::process::own(&[copy]).ok_or(Errno::EBADF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> nix::Result<Ended> {
        let script = CString::new(script).unwrap();
        run(&find("sh").unwrap(), &[c"sh", c"-c", &script], &[c"GREETING=hello"], limit)
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn it_ends_as_it_says() {
        let ended = sh("echo \"$GREETING\"; echo there >&2; exit 7", LONG).unwrap();
        assert_eq!(ended.said, b"hello\nthere\n");
        assert!(matches!(ended.status, Some(WaitStatus::Exited(_, 7))), "{ended:?}");
    }

    #[test]
    fn it_inherits_nothing() {
        // Not close-on-exec, as some programs' descriptors are.
        let leak = nix::unistd::dup(File::open("/dev/null").unwrap()).unwrap();
        let all = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK).unwrap();
        let ended = sh("echo /proc/self/fd/*; grep SigBlk /proc/self/status; env", LONG);
        all.thread_set_mask().unwrap();
        drop(leak);
        let said = String::from_utf8(ended.unwrap().said).unwrap();
        let descriptors = said.lines().next().unwrap();
        assert!(
            !descriptors.split(' ').any(|fd| fd.trim_start_matches("/proc/self/fd/").parse::<i32>().unwrap() > 3),
            "{said}"
        );
        assert!(said.contains("SigBlk:\t0000000000000000"), "{said}");
        assert!(!said.contains("PATH=/") || !said.contains("CARGO"), "{said}");
    }

    #[test]
    fn it_is_killed_when_it_takes_too_long() {
        let begin = Instant::now();
        assert_eq!(sh("sleep 100", Duration::from_millis(100)), Err(Errno::ETIMEDOUT));
        assert!(begin.elapsed() < LONG);
    }

    #[test]
    fn what_it_leaves_behind_is_not_waited_for() {
        let ended = sh("(sleep 3; echo late) & echo early", LONG).unwrap();
        assert_eq!(ended.said, b"early\n");
    }

    #[test]
    fn much_is_cut() {
        let ended = sh("head -c 300000 /dev/zero", LONG).unwrap();
        assert_eq!(ended.said.len(), SAID);
        assert!(matches!(ended.status, Some(WaitStatus::Exited(_, 0))), "{ended:?}");
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(find("planc-no-such-program"), None);
        assert_eq!(run(c"/nosuch/program", &[c"program"], &[], LONG), Err(Errno::ENOENT));
    }
}
