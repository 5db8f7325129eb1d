//! Pseudo-terminals by their masters.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// The number of a pty in its devpts: ioctl TIOCGPTN (ioctl_tty(2)); ENOTTY where the descriptor is no master.
pub(crate) fn number(master: BorrowedFd<'_>) -> nix::Result<u32> {
    let mut number: libc::c_uint = 0;
    // SAFETY: the kernel writes one unsigned int, and `number` outlives the call.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, &raw mut number) })?;
    Ok(number)
}
