//! A cgroup as a directory that is held open; every file of it is reached from there, by one component.

use std::fs::File;
use std::io::{Read, Write};
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
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::sys::page::errno_of;

/// An open cgroup.
#[derive(Debug)]
pub(crate) struct Cgroup {
    dir: OwnedFd,
}

const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC).union(OFlag::O_NOFOLLOW);

impl Cgroup {
    /// Opens the cgroup at `path`.
    pub(crate) fn open(path: &Path) -> nix::Result<Self> {
        nix::fcntl::open(path, DIRECTORY, Mode::empty()).map(|dir| Self { dir })
    }

    /// Makes the cgroup at `path`, with its missing parents; EEXIST where it is there.
    pub(crate) fn make(path: &Path) -> nix::Result<Self> {
        let mode = Mode::from_bits_truncate(0o755);
        match nix::unistd::mkdir(path, mode) {
            Err(Errno::ENOENT) => {
                let parent = path.parent().ok_or(Errno::ENOENT)?;
                std::fs::create_dir_all(parent).map_err(errno_of)?;
                nix::unistd::mkdir(path, mode)?;
            }
            made => made?,
        }
        Self::open(path)
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
        if self.own_processes()?.contains(&pid) {
            return self.try_clone().map(Some);
        }
        for name in children(&self.dir)? {
            let child = match openat(&self.dir, name.as_c_str(), DIRECTORY, Mode::empty()) {
                Err(Errno::ENOENT) => continue,
                dir => Self { dir: dir? },
            };
            if let Some(home) = child.home_of(pid)? {
                return Ok(Some(home));
            }
        }
        Ok(None)
    }

    /// The pids of the processes in it, without those below it.
    pub(super) fn own_processes(&self) -> nix::Result<Vec<u32>> {
        Ok(self.read("cgroup.procs")?.lines().filter_map(|line| line.parse().ok()).collect())
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
        let mut pids = Vec::new();
        collect(&self.dir, &mut pids)?;
        Ok(pids)
    }

    /// Whether a process is in it or below it; a zombie is none.
    pub(crate) fn is_populated(&self) -> nix::Result<bool> {
        Ok(self.read("cgroup.events")?.lines().any(|line| line == "populated 1"))
    }

    /// Moves a process here.
    pub(crate) fn take_in(&self, pid: u32) -> nix::Result<()> {
        self.write("cgroup.procs", pid.to_string().as_bytes())
    }

    /// Kills every process in it and below it at once, whatever they fork meanwhile.
    pub(crate) fn kill(&self) -> nix::Result<()> {
        self.write("cgroup.kill", b"1")
    }

    /// Waits until no process is left in it or below it; ETIMEDOUT at the deadline.
    pub(crate) fn wait_until_empty(&self, limit: Duration) -> nix::Result<()> {
        self.wait_for("populated 0", limit)
    }

    /// Waits for a line of cgroup.events; ETIMEDOUT at the deadline.
    pub(super) fn wait_for(&self, line: &str, limit: Duration) -> nix::Result<()> {
        let deadline = Instant::now() + limit;
        let events = openat(&self.dir, "cgroup.events", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        let events = File::from(events);
        loop {
            let mut buffer = [0; 256];
            let count = events.read_at(&mut buffer, 0).map_err(errno_of)?;
            if buffer[..count].split(|byte| *byte == b'\n').any(|found| found == line.as_bytes()) {
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
        let file = openat(&self.dir, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).map_err(errno_of)?;
        Ok(text)
    }
}

impl Cgroup {
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

/// Removes a cgroup that no process is in. One that is gone is as good. The kernel may still be busy with the last
/// process's end for a moment after it said that nothing is in it.
fn rmdir(path: &Path, deadline: Instant) -> nix::Result<()> {
    loop {
        match unlinkat(nix::fcntl::AT_FDCWD, path, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EBUSY) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            Err(errno) => return Err(errno),
        }
    }
}

impl Cgroup {
    /// Kills what runs in the cgroup at `path`, waits for its end, and removes it with what is below it.
    pub(crate) fn destroy(path: &Path, limit: Duration) -> nix::Result<()> {
        match Self::open(path) {
            Err(Errno::ENOENT) => Ok(()),
            opened => opened?.destroy_at(path, limit),
        }
    }

    /// As [`Self::destroy`], of this one, which is at `path`.
    pub(crate) fn destroy_at(&self, path: &Path, limit: Duration) -> nix::Result<()> {
        let emptied = self.kill().and_then(|()| self.wait_until_empty(limit)).and_then(|()| remove_below(&self.dir));
        match emptied {
            // systemd removes one of its own as soon as it is empty.
            Err(Errno::ENOENT | Errno::ENODEV) => {}
            emptied => emptied?,
        }
        rmdir(path, Instant::now() + limit)
    }
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

fn remove_below(dir: &OwnedFd) -> nix::Result<()> {
    for name in children(dir)? {
        match openat(dir, name.as_c_str(), DIRECTORY, Mode::empty()) {
            Ok(child) => remove_below(&child)?,
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(errno),
        }
        match unlinkat(dir, name.as_c_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn collect(dir: &OwnedFd, pids: &mut Vec<u32>) -> nix::Result<()> {
    let file = openat(dir, "cgroup.procs", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut text = String::new();
    File::from(file).read_to_string(&mut text).map_err(errno_of)?;
    pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    for name in children(dir)? {
        match openat(dir, name.as_c_str(), DIRECTORY, Mode::empty()) {
            Ok(child) => collect(&child, pids)?,
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
