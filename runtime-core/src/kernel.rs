//! What a program that embeds the crate asks of the kernel around a container, and finds in no safe crate.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::engine::idle_user_namespace;
use crate::sys;

/// What mount_setattr(2) changes of a mount: MOUNT_ATTR_* and MS_*, as the kernel numbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttributes {
    /// `attr_set`, without MOUNT_ATTR_IDMAP: see [`MountIds`].
    pub set: u64,
    /// `attr_clr`
    pub clear: u64,
    /// MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE; 0 leaves it.
    pub propagation: u64,
}

/// Changes the attributes of the mount that a descriptor is of, and where it is `deep` of all that is mounted below it.
///
/// # Errors
/// As mount_setattr(2).
pub fn set_mount_attributes(mount: BorrowedFd<'_>, change: MountAttributes, deep: bool) -> io::Result<()> {
    Ok(sys::mount::change(mount, change.set, change.clear, change.propagation, deep)?)
}

/// A line of an id map (user_namespaces(7)): `count` ids of the filesystem from `inside` on are `outside` and following of
/// the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first in the filesystem.
    pub inside: u32,
    /// The first on the host.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// How ids of mounts are mapped: a user namespace in which nothing runs.
#[derive(Debug)]
pub struct MountIds(OwnedFd);

impl MountIds {
    /// These maps, at most 340 lines each. A child of this process lives for as long as they are written; it runs nothing.
    ///
    /// # Errors
    /// As user_namespaces(7) says of maps: EINVAL, and EPERM without CAP_SYS_ADMIN.
    pub fn new(uids: &[IdRange], gids: &[IdRange]) -> io::Result<Self> {
        let lines = |maps: &[IdRange]| -> String {
            maps.iter().map(|map| format!("{} {} {}\n", map.inside, map.outside, map.count)).collect()
        };
        Ok(Self(idle_user_namespace(&lines(uids), &lines(gids))?))
    }

    /// Maps the ids of a mount that is attached nowhere yet, and where it is `deep` of all that is mounted below it.
    ///
    /// # Errors
    /// As mount_setattr(2): EINVAL where the filesystem cannot do it, or the mount is attached.
    pub fn map(&self, mount: BorrowedFd<'_>, deep: bool) -> io::Result<()> {
        Ok(sys::mount::map_ids(mount, self.0.as_fd(), deep)?)
    }
}

/// Lets this process, and what it starts from now on, share no core at the same time with any other process
/// (core scheduling, PR_SCHED_CORE).
///
/// # Errors
/// EINVAL where the kernel knows nothing of it, ENODEV where no core has two threads.
pub fn share_no_core() -> io::Result<()> {
    Ok(sys::process::new_core_cookie()?)
}

/// Unmaps the code and the constants of this program, which were mapped page by page as they were needed, and will be again. A
/// program that made containers, and now mostly waits, is smaller by all that the making took; what the page cache holds stays
/// there. A debugger's breakpoints are lost.
///
/// # Errors
/// Where /proc/self/maps cannot be read.
pub fn give_back_code() -> io::Result<()> {
    sys::code::give_back()
}
