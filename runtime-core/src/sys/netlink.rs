//! Socket options of netlink(7) that nix has not.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Has the kernel say in words why it refuses (NETLINK_EXT_ACK), and not repeat what it was asked (NETLINK_CAP_ACK).
pub(crate) fn be_explicit(socket: BorrowedFd<'_>) -> nix::Result<()> {
    let on: libc::c_int = 1;
    let size = size_of_val(&on) as libc::socklen_t;
    for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
        // SAFETY: the value outlives the call, and is as long as its size says.
        let answer =
            unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), size) };
        Errno::result(answer)?;
    }
    Ok(())
}
