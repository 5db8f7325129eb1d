//! System calls that only ask whether the kernel has them: each fails by its arguments, or changes nothing.

use std::ffi::CStr;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};

/// A number that no descriptor has: there are at most 2^30 (sysctl fs.nr_open).
const NO_FD: i32 = i32::MAX;

/// close_range(2) of no descriptor.
pub(crate) fn close_range() -> nix::Result<()> {
    // SAFETY: no descriptor has a number this great.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) }).map(drop)
}

/// clone3(2) into a cgroup that is none: EBADF from a kernel that looks for it.
pub(crate) fn clone_into_cgroup() -> nix::Result<()> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    // SAFETY: clone_args is plain integers, for which zero is a value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_INTO_CGROUP;
    args.cgroup = NO_FD as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: `args` outlives the call, which makes no process: the descriptor it asks for is none.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) } {
        // SAFETY: a child, which cannot be, is a copy of this process that may do nothing but end.
        0 => unsafe { libc::_exit(0) },
        answer => expect(Errno::result(answer).map(drop), Errno::EBADF),
    }
}

/// waitid(2) of a pidfd of this process, which is no child of its own: ECHILD from a kernel that knows `P_PIDFD`.
pub(crate) fn wait_by_pidfd() -> nix::Result<()> {
    let own = super::process::pidfd_open(std::process::id())?;
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    expect(waitid(Id::PIDFd(own.as_fd()), flags).map(drop), Errno::ECHILD)
}

/// open_tree(2) without a copy, which is an open(2) of a path.
pub(crate) fn open_tree() -> nix::Result<()> {
    const OPEN_TREE_CLOEXEC: libc::c_int = libc::O_CLOEXEC;
    let path: &CStr = c"/";
    // SAFETY: the string has a NUL; the answer is a new descriptor, or -1.
    let fd =
        Errno::result(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), OPEN_TREE_CLOEXEC) })?;
    super::process::own(&[fd as i32]).map(drop).ok_or(Errno::EBADF)
}

/// fsopen(2) of a tmpfs, which is closed unmade. EPERM without CAP_SYS_ADMIN.
pub(crate) fn fsopen() -> nix::Result<()> {
    const FSOPEN_CLOEXEC: u32 = 1;
    // SAFETY: the string has a NUL; the answer is a new descriptor, or -1.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), FSOPEN_CLOEXEC) })?;
    super::process::own(&[fd as i32]).map(drop).ok_or(Errno::EBADF)
}

/// mount_setattr(2) of a descriptor that is none: EBADF; EPERM without CAP_SYS_ADMIN.
pub(crate) fn mount_setattr() -> nix::Result<()> {
    const MOUNT_ATTR_RDONLY: u64 = 1;
    set_attributes(MOUNT_ATTR_RDONLY, 0)
}

/// The same, to map its ids by a user namespace that is none: EBADF from a kernel that looks for it, EINVAL from one that
/// knows no such attribute.
pub(crate) fn mount_idmap() -> nix::Result<()> {
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    set_attributes(MOUNT_ATTR_IDMAP, NO_FD as u64)
}

fn set_attributes(set: u64, userns: u64) -> nix::Result<()> {
    // SAFETY: mount_attr is plain integers, for which zero is a value.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = set;
    attributes.userns_fd = userns;
    let empty: &CStr = c"";
    // SAFETY: the string has a NUL, and the attributes outlive the call; the mount is none.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            NO_FD,
            empty.as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    expect(Errno::result(answer).map(drop), Errno::EBADF)
}

/// What was to be refused for its arguments was refused for them.
fn expect(result: nix::Result<()>, wanted: Errno) -> nix::Result<()> {
    match result {
        Err(errno) if errno == wanted => Ok(()),
        Err(errno) => Err(errno),
        Ok(()) => Err(Errno::EPROTO),
    }
}

/// Whether a file has the capabilities of an extended attribute (xattr(7), security.capability).
pub(crate) fn has_file_capabilities(path: &CStr) -> bool {
    let name: &CStr = c"security.capability";
    // SAFETY: the strings have a NUL; with a size of 0 nothing is written.
    let size = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) };
    size > 0
}
