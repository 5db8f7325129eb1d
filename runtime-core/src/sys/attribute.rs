//! Extended attributes of an open directory (xattr(7)).

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// fsetxattr(2): makes or replaces an attribute.
pub(crate) fn set(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> nix::Result<()> {
    // SAFETY: the name has a NUL, and `value` is as long as its length says; both outlive the call.
    let answer = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(answer).map(drop)
}

/// fgetxattr(2) into `value`: how many bytes it has. ERANGE where there is no room for it, ENODATA where there is none.
pub(crate) fn get(file: BorrowedFd<'_>, name: &CStr, value: &mut [u8]) -> nix::Result<usize> {
    // SAFETY: the name has a NUL, and the kernel writes at most as many bytes as `value` has.
    let answer = unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    Errno::result(answer).map(|count| count as usize)
}
