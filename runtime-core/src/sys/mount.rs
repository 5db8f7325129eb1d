//! A detached filesystem: what stands in for an executable memfd where those are forbidden.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;

/// A new tmpfs that is attached nowhere: a descriptor of its root directory.
pub(crate) fn detached_tmpfs() -> nix::Result<OwnedFd> {
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: the string has a NUL; the answer is a new descriptor, or -1.
    let fs = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), FSOPEN_CLOEXEC) })?;
    // SAFETY: the command takes neither key nor value.
    Errno::result(unsafe { libc::syscall(libc::SYS_fsconfig, fs.as_raw_fd(), FSCONFIG_CMD_CREATE, none, none, 0) })?;
    // SAFETY: takes numbers only.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, fs.as_raw_fd(), FSMOUNT_CLOEXEC, 0) })
}

/// Makes the mount of a descriptor read-only.
pub(crate) fn set_read_only(mount: BorrowedFd<'_>) -> nix::Result<()> {
    // SAFETY: mount_attr is plain integers, for which zero is a value.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    set_attributes(mount, &attributes, 0)
}

/// Maps the ids of a detached mount, and where it is `deep` of what is mounted below it, by a user namespace.
pub(crate) fn map_ids(mount: BorrowedFd<'_>, by: BorrowedFd<'_>, deep: bool) -> nix::Result<()> {
    // SAFETY: mount_attr is plain integers, for which zero is a value.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = MOUNT_ATTR_IDMAP;
    attributes.userns_fd = by.as_raw_fd() as u64;
    set_attributes(mount, &attributes, if deep { libc::AT_RECURSIVE } else { 0 })
}

/// Sets and clears attributes (MOUNT_ATTR_*) of a mount, and its propagation (MS_*) unless that is 0; where it is `deep` also
/// of what is mounted below it.
pub(crate) fn change(mount: BorrowedFd<'_>, set: u64, clear: u64, propagation: u64, deep: bool) -> nix::Result<()> {
    // SAFETY: mount_attr is plain integers, for which zero is a value.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = set;
    attributes.attr_clr = clear;
    attributes.propagation = propagation;
    set_attributes(mount, &attributes, if deep { libc::AT_RECURSIVE } else { 0 })
}

/// Whether at least `count` mounts are below the caller's root directory: listmount(2), since Linux 6.8 (ENOSYS before).
pub(crate) fn has_mounts(count: usize) -> nix::Result<bool> {
    const SYS_LISTMOUNT: libc::c_long = 458;
    const LSMT_ROOT: u64 = u64::MAX;
    /// struct mnt_id_req, as Linux 6.8 had it.
    #[repr(C)]
    struct Request {
        size: u32,
        spare: u32,
        mount: u64,
        after: u64,
    }
    let request = Request { size: size_of::<Request>() as u32, spare: 0, mount: LSMT_ROOT, after: 0 };
    let mut ids = vec![0u64; count];
    // SAFETY: the request outlives the call, which writes at most `count` numbers.
    let answer = unsafe { libc::syscall(SYS_LISTMOUNT, &raw const request, ids.as_mut_ptr(), count, 0) };
    Errno::result(answer).map(|found| found as usize == count)
}

/// mount_setattr(2) of the mount of a descriptor.
fn set_attributes(mount: BorrowedFd<'_>, attributes: &libc::mount_attr, flags: i32) -> nix::Result<()> {
    let empty: &CStr = c"";
    // SAFETY: the string has a NUL, and the attributes outlive the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            empty.as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            std::ptr::from_ref(attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(answer).map(drop)
}

fn owned(answer: libc::c_long) -> nix::Result<OwnedFd> {
    // SAFETY: where it is no error, it is a new descriptor that nobody else owns.
    Errno::result(answer).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
