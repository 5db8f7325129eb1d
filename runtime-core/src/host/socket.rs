//! A descriptor sent to a socket that the caller named, and never a wait without a bound.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg, setsockopt, socket,
    sockopt,
};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::sys::time::{TimeVal, TimeValLike};

/// How long whoever listens may leave others waiting in line.
const LIMIT: Duration = Duration::from_secs(10);

/// Sends `fd` in one message with `payload`, as engines receive it: over a new connection to the SOCK_STREAM socket at
/// `path`.
///
/// # Errors
/// ENOTSOCK where `path` is something else, ETIMEDOUT where others wait in line there and nobody lets them in.
pub(crate) fn send(path: &Path, payload: &[u8], fd: BorrowedFd<'_>) -> nix::Result<()> {
    let connection = connect_to(path)?;
    let (payload, fds) = ([IoSlice::new(payload)], [fd.as_raw_fd()]);
    let rights = [ControlMessage::ScmRights(&fds)];
    in_time(|| sendmsg::<()>(connection.as_raw_fd(), &payload, &rights, MsgFlags::MSG_NOSIGNAL, None)).map(drop)
}

/// A connection to the SOCK_STREAM socket at `path`, on which sending is bounded in time as well. Through a descriptor of the
/// socket's file, so that no path is too long for an address.
///
/// # Errors
/// As [`send`].
pub(crate) fn connect_to(path: &Path) -> nix::Result<OwnedFd> {
    let file = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    if SFlag::from_bits_truncate(fstat(&file)?.st_mode) & SFlag::S_IFMT != SFlag::S_IFSOCK {
        return Err(Errno::ENOTSOCK);
    }
    let address = UnixAddr::new(format!("/proc/self/fd/{}", file.as_raw_fd()).as_str())?;
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::seconds(LIMIT.as_secs() as i64))?;
    in_time(|| connect(socket.as_raw_fd(), &address))?;
    Ok(socket)
}

/// A call with a time limit of its own, made again where a signal interrupted it.
fn in_time<T>(call: impl Fn() -> nix::Result<T>) -> nix::Result<T> {
    let end = Instant::now() + LIMIT;
    loop {
        match call() {
            Err(Errno::EINTR) if Instant::now() < end => {}
            Err(Errno::EINTR | Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    #[test]
    fn what_is_sent_arrives_however_long_the_path_is() {
        let directory = std::env::temp_dir().join(format!("planc-socket-{}", std::process::id()));
        let (short, long) = (directory.join("s"), directory.join("d".repeat(200)));
        std::fs::create_dir_all(&long).unwrap();
        // No longer one can be bound: it is moved.
        let listener = UnixListener::bind(&short).unwrap();
        std::fs::rename(&short, long.join("s")).unwrap();
        symlink(long.join("s"), directory.join("link")).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        for path in [long.join("s"), directory.join("link")] {
            send(&path, b"/dev/pts/7", file.as_fd()).unwrap();
            let mut text = String::new();
            listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
            assert_eq!(text, "/dev/pts/7");
        }
        drop(listener);
        let _datagram = UnixDatagram::bind(directory.join("d")).unwrap();
        for (path, errno) in [
            (long.join("s"), Errno::ECONNREFUSED),
            (long, Errno::ENOTSOCK),
            (short, Errno::ENOENT),
            (directory.join("d"), Errno::EPROTOTYPE),
        ] {
            assert_eq!(send(&path, b"x", file.as_fd()), Err(errno), "{}", path.display());
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}
