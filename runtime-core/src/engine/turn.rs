//! The host's end of "your turn": a packet of one byte, and never a wait without a bound.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, setsockopt, socketpair, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// How long one side's steps may take: longer than any kernel call but one that hangs on a dead network filesystem.
pub(super) const DEADLINE_SECONDS: i64 = 120;

/// What came instead of, or with, a turn.
pub(super) enum Received {
    /// The other side's steps are done; with it came a descriptor, or none.
    Turn(Option<OwnedFd>),
    /// The other side's end is closed.
    End,
}

/// The host's end and init's end of a new turn socket.
pub(super) fn pair() -> nix::Result<(Turn, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (host, init) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    Ok((Turn::new(host)?, init))
}

/// The host's end of a turn socket.
#[derive(Debug)]
pub(super) struct Turn(OwnedFd);

impl Turn {
    /// A connected socket whose waits end at the deadline.
    pub(super) fn new(socket: OwnedFd) -> nix::Result<Self> {
        let turn = Self(socket);
        turn.allow(0)?;
        Ok(turn)
    }

    /// Gives the other side this many seconds more than its own steps may take.
    pub(super) fn allow(&self, seconds: i64) -> nix::Result<()> {
        setsockopt(&self.0, sockopt::ReceiveTimeout, &TimeVal::seconds(DEADLINE_SECONDS.saturating_add(seconds)))
    }

    /// Says "your turn".
    pub(super) fn give(&self) -> nix::Result<()> {
        let byte = [IoSlice::new(&[1])];
        sendmsg::<()>(self.0.as_raw_fd(), &byte, &[], MsgFlags::MSG_NOSIGNAL, None).map(drop)
    }

    /// Waits for the other side's turn to end; ETIMEDOUT at the deadline.
    pub(super) fn receive(&self) -> nix::Result<Received> {
        let mut byte = [0];
        let mut vector = [IoSliceMut::new(&mut byte)];
        let mut space = cmsg_space!([RawFd; 1]);
        let message = loop {
            match recvmsg::<()>(self.0.as_raw_fd(), &mut vector, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
                // The other side ended with something of ours unread.
                Err(Errno::ECONNRESET) => return Ok(Received::End),
                message => break message?,
            }
        };
        let mut fd = None;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control {
                fd = crate::sys::process::own(&fds);
            }
        }
        Ok(if message.bytes == 0 { Received::End } else { Received::Turn(fd) })
    }
}

impl AsFd for Turn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
