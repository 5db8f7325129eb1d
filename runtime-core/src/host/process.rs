//! Who init is, beyond its pid: the time it started at, and the boot it started in.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use nix::sys::statfs::{FsType, fstatfs};
use serde::{Deserialize, Serialize};

use super::file::{read_small, read_small_text};
use crate::sys::process::pidfd_open;

/// A process that cannot be mistaken for one that gets its pid later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    /// Its pid in the pid namespace of whoever made the container.
    pub(crate) pid: u32,
    /// When it started, in clock ticks after boot: field 22 of /proc/PID/stat (proc(5)).
    pub(crate) start_time: u64,
    /// The boot it started in: /proc/sys/kernel/random/boot_id.
    pub(crate) boot_id: String,
    /// The inode of its pidfds, which no other process of this boot has, where the kernel has a file system for them (Linux
    /// 6.9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pidfd_inode: Option<u64>,
}

/// linux/magic.h.
const PID_FS_MAGIC: FsType = FsType(0x5049_4446);

impl Identity {
    /// The identity of a process that runs now.
    pub(crate) fn of(pid: u32) -> nix::Result<Self> {
        let pidfd = pidfd_open(pid)?;
        let start_time = start_time(pid)?;
        let has_inode = fstatfs(&pidfd)?.filesystem_type() == PID_FS_MAGIC;
        let pidfd_inode = has_inode.then(|| fstat(&pidfd)).transpose()?.map(|found| found.st_ino);
        Ok(Self { pid, start_time, boot_id: boot_id()?.to_owned(), pidfd_inode })
    }

    /// Its pidfd, where the process still runs. A zombie does not; but one whose first thread ended before others does, and
    /// shows the same letter in its stat.
    pub(crate) fn find(&self) -> nix::Result<Option<OwnedFd>> {
        match self.open()? {
            Some(pidfd) if !has_ended(&pidfd)? => Ok(Some(pidfd)),
            _ => Ok(None),
        }
    }

    /// Its pidfd, also where the process has ended and nobody has waited for it yet.
    pub(crate) fn open(&self) -> nix::Result<Option<OwnedFd>> {
        if boot_id()? != self.boot_id {
            return Ok(None);
        }
        let pidfd = match pidfd_open(self.pid) {
            Err(Errno::ESRCH) => return Ok(None),
            opened => opened?,
        };
        if let Some(inode) = self.pidfd_inode {
            return Ok((fstat(&pidfd)?.st_ino == inode).then_some(pidfd));
        }
        // Read after the pidfd was opened: so what is read is about the process that the pidfd refers to, or newer.
        match start_time(self.pid) {
            Ok(start_time) => Ok((start_time == self.start_time).then_some(pidfd)),
            Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

/// Whether the process of a pidfd has ended.
pub(crate) fn has_ended(pidfd: &OwnedFd) -> nix::Result<bool> {
    Ok(poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO)? > 0)
}

/// Waits until the process of a pidfd has ended; `false` at the deadline.
pub(crate) fn wait_for_end(pidfd: &OwnedFd, limit: std::time::Duration) -> nix::Result<bool> {
    let deadline = std::time::Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout) {
            Err(Errno::EINTR) => {}
            ready => return ready.map(|count| count > 0),
        }
    }
}

/// A process in words, for who has to find out why it does not end: its pid, its name, its state (proc_pid_stat(5)) and,
/// where that may be read, the function of the kernel that it waits in (proc_pid_wchan(5)). `None` where it is gone.
pub(crate) fn describe(pid: u32) -> Option<String> {
    let stat = read_small(format!("/proc/{pid}/stat")).ok()?;
    let (open, close) = (stat.iter().position(|byte| *byte == b'(')?, stat.iter().rposition(|byte| *byte == b')')?);
    let name = stat.get(open + 1..close)?.escape_ascii();
    let state = char::from(*stat.get(close + 2)?);
    let wchan = read_small_text(format!("/proc/{pid}/wchan")).unwrap_or_default();
    let place = Some(wchan.trim()).filter(|place| !matches!(*place, "" | "0"));
    let place = place.map_or_else(String::new, |place| format!(" in {}", place.escape_default()));
    Some(format!("{pid} \"{name}\" (state {state}{place})"))
}

/// The start time of a process.
fn start_time(pid: u32) -> nix::Result<u64> {
    let text = read_small(format!("/proc/{pid}/stat")).map_err(crate::sys::page::errno_of)?;
    parse_stat(&text).ok_or(Errno::EPROTO)
}

/// The name stands in parentheses and may hold anything, a parenthesis and a newline too: so the last one counts.
fn parse_stat(text: &[u8]) -> Option<u64> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    // The first one behind the name is field 3.
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// Read once: no process lives through a boot.
fn boot_id() -> nix::Result<&'static str> {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    if let Some(boot_id) = BOOT_ID.get() {
        return Ok(boot_id);
    }
    let text = read_small_text("/proc/sys/kernel/random/boot_id").map_err(crate::sys::page::errno_of)?;
    Ok(BOOT_ID.get_or_init(|| text.trim_ascii().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_of_a_process_with_a_hostile_name() {
        let text = b"42 (a) R 1\n (b) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 0 0";
        assert_eq!(parse_stat(text), Some(98765));
        assert_eq!(parse_stat(b"42 (a) S 1"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn this_process_is_found_and_another_start_time_is_not() {
        let mut identity = Identity::of(std::process::id()).unwrap();
        assert!(identity.find().unwrap().is_some());
        if let Some(inode) = &mut identity.pidfd_inode {
            *inode += 1;
            assert!(identity.find().unwrap().is_none());
        }
        // A kernel without such inodes.
        identity.pidfd_inode = None;
        assert!(identity.find().unwrap().is_some());
        identity.start_time += 1;
        assert!(identity.find().unwrap().is_none());
        identity.start_time -= 1;
        identity.boot_id.push('x');
        assert!(identity.find().unwrap().is_none());
    }
}
