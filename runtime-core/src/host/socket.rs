//! A descriptor that is handed to whoever listens on a socket of the host's.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg, setsockopt, socket,
    sockopt,
};
use nix::sys::stat::Mode;
use nix::sys::time::{TimeVal, TimeValLike};

/// How long a listener may take to make room for a connection.
const LIMIT_SECONDS: i64 = 10;

/// Sends one message with a descriptor to the SOCK_STREAM socket at `path` (unix(7)). ETIMEDOUT where its listener makes
/// no room for the connection in time, ECONNREFUSED where nobody listens.
pub(crate) fn send(path: &Path, payload: &[u8], fd: BorrowedFd<'_>) -> nix::Result<()> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(LIMIT_SECONDS))?;
    // By way of a descriptor: an address has room for 107 bytes, a path may have more.
    let listener = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let address = UnixAddr::new(format!("/proc/self/fd/{}", listener.as_raw_fd()).as_str())?;
    let late = |errno| if errno == Errno::EAGAIN { Errno::ETIMEDOUT } else { errno };
    while let Err(errno) = connect(socket.as_raw_fd(), &address) {
        if errno != Errno::EINTR {
            return Err(late(errno));
        }
    }
    let fds = [fd.as_raw_fd()];
    let message = [IoSlice::new(payload)];
    loop {
        match sendmsg::<()>(
            socket.as_raw_fd(),
            &message,
            &[ControlMessage::ScmRights(&fds)],
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Err(Errno::EINTR) => {}
            sent => return sent.map(drop).map_err(late),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    #[test]
    fn a_path_longer_than_an_address() {
        let short = std::env::temp_dir().join(format!("planc-socket-{}", std::process::id()));
        let long = short.join("x".repeat(200));
        std::fs::create_dir_all(&long).unwrap();
        // The standard library has no way to bind a long path: the listener is made under a short one, and moved.
        let listener = UnixListener::bind(short.join("s")).unwrap();
        std::fs::rename(short.join("s"), long.join("s")).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        send(&long.join("s"), b"standard", file.as_fd()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut payload = String::new();
        std::io::Read::read_to_string(&mut peer, &mut payload).unwrap();
        assert_eq!(payload, "standard");
        symlink(long.join("s"), short.join("link")).unwrap();
        send(&short.join("link"), b"standard", file.as_fd()).unwrap();
        drop(listener);
        assert_eq!(send(&long.join("s"), b"", file.as_fd()), Err(Errno::ECONNREFUSED));
        assert_eq!(send(&long.join("none"), b"", file.as_fd()), Err(Errno::ENOENT));
        let _datagram = UnixDatagram::bind(short.join("d")).unwrap();
        assert_eq!(send(&short.join("d"), b"", file.as_fd()), Err(Errno::EPROTOTYPE));
        std::fs::remove_dir_all(&short).unwrap();
    }
}
