//! Where a root filesystem is mounted: a directory of the bundle, which is held open so that its name cannot lead elsewhere.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, open, openat, openat2, unlinkat};
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};

/// The directory, and the bundle that it is in.
#[derive(Debug)]
pub(super) struct Place {
    bundle: OwnedFd,
    name: OsString,
    is_new: bool,
}

impl Place {
    /// The directory at `rootfs`, which is made (0711) where it is missing.
    pub(super) fn new(rootfs: &Path) -> io::Result<Self> {
        let (Some(bundle), Some(name)) = (rootfs.parent(), rootfs.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no directory of a bundle"));
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let bundle = open(bundle, flags, Mode::empty())?;
        let is_new = match mkdirat(&bundle, name, Mode::from_raw_mode(0o711)) {
            Ok(()) => true,
            Err(rustix::io::Errno::EXIST) => false,
            Err(errno) => return Err(errno.into()),
        };
        let place = Self { bundle, name: name.to_owned(), is_new };
        place.open("")?;
        Ok(place)
    }

    /// What is there now, on top of all that was mounted; or a directory of that. A symbolic link in place of the first is
    /// refused, and one on the way to the second leads no further than the root.
    pub(super) fn open(&self, below: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let top = openat(&self.bundle, &self.name, flags, Mode::empty())?;
        if below.is_empty() {
            return Ok(top);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&top, below, flags, Mode::empty(), within)?)
    }

    /// Mounts a tree there.
    pub(super) fn attach(&self, tree: BorrowedFd<'_>, below: &str) -> io::Result<()> {
        let target = self.open(below)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        Ok(move_mount(tree, "", &target, "", flags)?)
    }

    /// As it was before it was asked for.
    pub(super) fn undo(self) {
        if self.is_new {
            // It is a failure already that is told.
            let _ = unlinkat(&self.bundle, &self.name, rustix::fs::AtFlags::REMOVEDIR);
        }
    }
}

/// Unmounts attached trees, the last first, also where they are in use.
pub(super) fn detach(trees: Vec<OwnedFd>) {
    for tree in trees.into_iter().rev() {
        // By its descriptor: whatever is on top of it by now, and wherever its path leads.
        if let Err(errno) = unmount(link(tree.as_fd()), UnmountFlags::DETACH) {
            log::warn!("cannot unmount what was mounted for a rootfs: {errno}");
        }
    }
}

/// A directory of the host.
pub(super) fn directory(path: &str) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// A path that leads to what a descriptor of this process is of.
pub(super) fn link(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
