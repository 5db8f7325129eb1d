//! A cgroup as a directory that is held open; every file of it is reached from there, by one component.

use std::fs::File;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::NixPath;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, fstat};

use crate::sys::page::errno_of;

/// An open cgroup.
#[derive(Debug)]
pub(crate) struct Cgroup {
    dir: OwnedFd,
}

/// How a cgroup is opened.
pub(super) const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC).union(OFlag::O_NOFOLLOW);

impl Cgroup {
    /// Opens the cgroup at `path`.
    pub(crate) fn open(path: &Path) -> nix::Result<Self> {
        nix::fcntl::open(path, DIRECTORY, Mode::empty()).map(|dir| Self { dir })
    }

    /// A cgroup below this one, reached without a link and never from outside (openat2(2)).
    pub(crate) fn open_below(&self, path: &std::ffi::CStr) -> nix::Result<Self> {
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
        let how = OpenHow::new().flags(DIRECTORY).resolve(resolve);
        openat2(&self.dir, path, how).map(|dir| Self { dir })
    }

    /// What this one is in: a cgroup, or where its hierarchy is mounted.
    pub(super) fn open_above(&self) -> nix::Result<Self> {
        openat(&self.dir, "..", DIRECTORY, Mode::empty()).map(|dir| Self { dir })
    }

    /// The same cgroup, by another descriptor.
    pub(super) fn try_clone(&self) -> nix::Result<Self> {
        self.dir.try_clone().map(|dir| Self { dir }).map_err(errno_of)
    }

    /// This cgroup, or the one below it, that a process is in.
    pub(crate) fn home_of(&self, pid: u32) -> nix::Result<Option<Self>> {
        let mut home = None;
        for_each(&self.dir, |dir| {
            if own_processes(dir)?.contains(&pid) {
                home = Some(Self { dir: dir.try_clone().map_err(errno_of)? });
            }
            Ok(if home.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(home)
    }

    /// The pids of the processes in it, without those below it.
    pub(super) fn own_processes(&self) -> nix::Result<Vec<u32>> {
        own_processes(&self.dir)
    }

    /// The directory, for clone3 and bpf(2).
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Its inode number, which no later cgroup of the same name has.
    pub(crate) fn inode(&self) -> nix::Result<u64> {
        Ok(fstat(&self.dir)?.st_ino)
    }

    /// The pids of all processes in it and below it.
    pub(crate) fn processes(&self) -> nix::Result<Vec<u32>> {
        self.some_processes(usize::MAX)
    }

    /// The pids of all, or of as many as are asked for.
    pub(super) fn some_processes(&self, most: usize) -> nix::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for_each(&self.dir, |dir| {
            pids.extend(own_processes(dir)?);
            Ok(if pids.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        pids.truncate(most);
        Ok(pids)
    }

    /// Whether a process is in it or below it; a zombie is none.
    pub(crate) fn is_populated(&self) -> nix::Result<bool> {
        self.has_event("populated 1")
    }

    /// Whether a line is in cgroup.events.
    pub(super) fn has_event(&self, line: &str) -> nix::Result<bool> {
        let mut events = vec![0; 256];
        let length = self.read_into("cgroup.events", &mut events)?;
        Ok(has_line(&events[..length], line))
    }

    /// Moves a process here.
    pub(crate) fn take_in(&self, pid: u32) -> nix::Result<()> {
        self.write("cgroup.procs", pid.to_string().as_bytes())
    }

    /// Waits for a line of cgroup.events; ETIMEDOUT at the deadline.
    pub(super) fn wait_for(&self, line: &str, limit: Duration) -> nix::Result<()> {
        let deadline = Instant::now() + limit;
        let events = openat(&self.dir, "cgroup.events", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        let events = File::from(events);
        loop {
            let mut buffer = [0; 256];
            let count = events.read_at(&mut buffer, 0).map_err(errno_of)?;
            if has_line(&buffer[..count], line) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Errno::ETIMEDOUT);
            }
            // The kernel announces a change of the file by POLLPRI.
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// The directory.
    pub(super) fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    pub(crate) fn write(&self, name: &(impl NixPath + ?Sized), value: &[u8]) -> nix::Result<()> {
        let file = openat(&self.dir, name, OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())?;
        File::from(file).write_all(value).map_err(errno_of)
    }

    pub(crate) fn read(&self, name: &(impl NixPath + ?Sized)) -> nix::Result<String> {
        read_at(&self.dir, name)
    }

    /// Reads a file into `buffer`, which grows where it must: how long it is. The kernel hands out such a file in one piece,
    /// so that a read which leaves room has all of it.
    pub(super) fn read_into(&self, name: &str, buffer: &mut Vec<u8>) -> nix::Result<usize> {
        let file = openat(&self.dir, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())?;
        let mut length = 0;
        loop {
            match nix::unistd::read(&file, &mut buffer[length..]) {
                Ok(0) => return Ok(length),
                Ok(count) => length += count,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            }
            if length < buffer.len() {
                return Ok(length);
            }
            buffer.resize(2 * length, 0);
        }
    }
}

pub(super) fn has_line(text: &[u8], line: &str) -> bool {
    text.split(|byte| *byte == b'\n').any(|found| found == line.as_bytes())
}

/// The names of the cgroups directly below one.
pub(super) fn children(dir: &OwnedFd) -> nix::Result<Vec<std::ffi::CString>> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(openat(dir, ".", DIRECTORY, Mode::empty())?)?.iter() {
        let entry = entry?;
        // The kernel tells the type of everything in a cgroup with its name.
        if entry.file_type() == Some(Type::Directory) && ![c".", c".."].contains(&entry.file_name()) {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// Shows `visit` a cgroup, and every one below it, each before those below it, until it breaks off.
///
/// However deep they lie, two descriptors are open: the way back is `..`, which cgroups never change.
fn for_each(top: &OwnedFd, mut visit: impl FnMut(&OwnedFd) -> nix::Result<ControlFlow<()>>) -> nix::Result<()> {
    let mut dir = top.try_clone().map_err(errno_of)?;
    let mut above = Vec::new();
    if visit(&dir)?.is_break() {
        return Ok(());
    }
    let mut left = children(&dir)?;
    loop {
        if let Some(name) = left.pop() {
            let child = match openat(&dir, name.as_c_str(), DIRECTORY, Mode::empty()) {
                Err(Errno::ENOENT) => continue,
                child => child?,
            };
            match visit(&child) {
                Err(Errno::ENOENT | Errno::ENODEV) => continue,
                seen if seen?.is_break() => return Ok(()),
                _ => {}
            }
            above.push(std::mem::replace(&mut left, children(&child)?));
            dir = child;
        } else if let Some(siblings) = above.pop() {
            dir = openat(&dir, "..", DIRECTORY, Mode::empty())?;
            left = siblings;
        } else {
            return Ok(());
        }
    }
}

/// The pids of the processes in a cgroup, without those below it.
fn own_processes(dir: &OwnedFd) -> nix::Result<Vec<u32>> {
    match read_at(dir, "cgroup.procs") {
        // A threaded one has threads only; their processes are in its domain, which is above it and the container's as well
        // (cgroups(7), "Thread mode").
        Err(Errno::EOPNOTSUPP) => Ok(Vec::new()),
        pids => Ok(pids?.lines().filter_map(|line| line.parse().ok()).collect()),
    }
}

fn read_at(dir: &OwnedFd, name: &(impl NixPath + ?Sized)) -> nix::Result<String> {
    let file = openat(dir, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())?;
    let mut text = String::new();
    File::from(file).read_to_string(&mut text).map_err(errno_of)?;
    Ok(text)
}
