//! A cgroup's end: all that is in it is killed, all that is below it removed, and then it itself.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::Cgroup;
use super::fs::{DIRECTORY, children};
use crate::host::process::wait_for_end;
use crate::sys::page::errno_of;
use crate::sys::process::pidfd_open;

/// How long what was killed has to end before it is killed again: something may have entered meanwhile.
const PATIENCE: Duration = Duration::from_millis(100);

/// Of as many processes it is certain that they have ended, not only left the cgroup.
const MOST_WATCHED: usize = 64;

impl Cgroup {
    /// Kills every process in it and below it at once, whatever they fork meanwhile; also the stopped and the frozen ones.
    pub(crate) fn kill(&self) -> nix::Result<()> {
        self.write("cgroup.kill", b"1")
    }

    /// Kills every process in it and below it until none is left; ETIMEDOUT at the deadline.
    pub(crate) fn kill_until_empty(&self, deadline: Instant) -> nix::Result<()> {
        let watched = self.watched();
        self.empty(deadline)?;
        for process in watched {
            // A process leaves its cgroup a little before it has ended. Where the deadline passes it is another's pid.
            wait_for_end(&process, deadline.saturating_duration_since(Instant::now()))?;
        }
        Ok(())
    }

    /// Some of its processes, where there are any.
    fn watched(&self) -> Vec<OwnedFd> {
        if !self.is_populated().unwrap_or_default() {
            return Vec::new();
        }
        let pids = self.some_processes(MOST_WATCHED).unwrap_or_default();
        pids.into_iter().filter_map(|pid| pidfd_open(pid).ok()).collect()
    }

    fn empty(&self, deadline: Instant) -> nix::Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let done = self.kill().and_then(|()| self.wait_for("populated 0", left.min(PATIENCE)));
            match done {
                Err(Errno::ETIMEDOUT) if left > PATIENCE => {}
                // It is gone itself.
                Err(Errno::ENOENT | Errno::ENODEV) => return Ok(()),
                done => return done,
            }
        }
    }

    /// Ends what is in it and below it, and removes all of it; it is at `path`. ETIMEDOUT, or what was in the way, at the
    /// deadline: it can be tried again.
    pub(crate) fn destroy(&self, path: &Path, deadline: Instant) -> nix::Result<()> {
        // Most are empty by then, and the kernel removes no other.
        if self.remove(path).is_ok() {
            return Ok(());
        }
        let mut pause = Duration::from_micros(250);
        loop {
            self.kill_until_empty(deadline)?;
            match remove_below(self.dir(), deadline).and_then(|()| self.remove(path)) {
                // systemd removes one of its own as soon as it is empty.
                Err(Errno::ENOENT | Errno::ENODEV) if self.is_gone(path) => return Ok(()),
                // Somebody has entered it since, or has made or removed a cgroup in it.
                Err(Errno::EBUSY | Errno::ENOTEMPTY | Errno::ENOENT | Errno::ENODEV) if Instant::now() < deadline => {
                    sleep(pause);
                    pause = (pause * 2).min(PATIENCE);
                }
                done => return done,
            }
        }
    }

    /// Whether it is no longer what is at `path`.
    fn is_gone(&self, path: &Path) -> bool {
        match Self::open(path) {
            Ok(other) => matches!((other.inode(), self.inode()), (Ok(other), Ok(own)) if other != own),
            Err(errno) => errno == Errno::ENOENT,
        }
    }

    /// Removes it, where it is still what has its name.
    fn remove(&self, path: &Path) -> nix::Result<()> {
        let name = path.file_name().ok_or(Errno::EBUSY)?;
        let parent = openat(self.dir(), "..", DIRECTORY | OFlag::O_PATH, Mode::empty())?;
        match fstatat(&parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(found) if found.st_ino == self.inode()? => rmdir(&parent, name),
            Ok(_) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// Removes every cgroup below one, the deepest first. However deep they lie, two descriptors are open: the way back is
/// `..`, which cgroups never change. ETIMEDOUT at the deadline: what is removed by then is.
fn remove_below(top: &OwnedFd, deadline: Instant) -> nix::Result<()> {
    let mut dir = top.try_clone().map_err(errno_of)?;
    let mut left = children(&dir)?;
    let mut above: Vec<(CString, Vec<CString>)> = Vec::new();
    loop {
        if Instant::now() >= deadline {
            return Err(Errno::ETIMEDOUT);
        } else if let Some(name) = left.pop() {
            // Most have none below them.
            match rmdir(&dir, name.as_c_str()) {
                Err(Errno::EBUSY | Errno::ENOTEMPTY) => {}
                removed => {
                    removed?;
                    continue;
                }
            }
            let child = match openat(&dir, name.as_c_str(), DIRECTORY, Mode::empty()) {
                Err(Errno::ENOENT) => continue,
                child => child?,
            };
            let below = children(&child)?;
            if below.is_empty() {
                // There is a process in it.
                return Err(Errno::EBUSY);
            }
            above.push((name, std::mem::replace(&mut left, below)));
            dir = child;
        } else if let Some((name, siblings)) = above.pop() {
            dir = openat(&dir, "..", DIRECTORY, Mode::empty())?;
            rmdir(&dir, name.as_c_str())?;
            left = siblings;
        } else {
            return Ok(());
        }
    }
}

/// Removes an empty cgroup; one that is gone is as good.
fn rmdir(dir: &OwnedFd, name: &(impl nix::NixPath + ?Sized)) -> nix::Result<()> {
    match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
        Err(Errno::ENOENT) => Ok(()),
        removed => removed,
    }
}
