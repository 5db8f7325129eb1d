//! A descriptor sent to a socket that the caller named, and never a wait without a bound.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
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
pub(crate) fn send(path: &OsStr, payload: &str, fd: BorrowedFd<'_>) -> nix::Result<()> {
    let connection = connect_to(path)?;
    let (payload, fds) = ([IoSlice::new(payload.as_bytes())], [fd.as_raw_fd()]);
    let rights = [ControlMessage::ScmRights(&fds)];
    in_time(|| sendmsg::<()>(connection.as_raw_fd(), &payload, &rights, MsgFlags::MSG_NOSIGNAL, None)).map(drop)
}

/// Through a descriptor of the socket's file, so that no path is too long for an address.
fn connect_to(path: &OsStr) -> nix::Result<OwnedFd> {
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
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_is_sent_arrives_however_long_the_path_is() {
        let directory = std::env::temp_dir().join(format!("planc-socket-{}", std::process::id()));
        let long = directory.join("d".repeat(120));
        std::fs::create_dir_all(&long).unwrap();
        let short = directory.join("s");
        let listener = UnixListener::bind(&short).unwrap();
        std::fs::rename(&short, long.join("s")).unwrap();
        let (read, write) = std::io::pipe().unwrap();
        send(long.join("s").as_os_str(), "/dev/pts/7", write.as_fd()).unwrap();
        drop((read, write));
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        assert_eq!(text, "/dev/pts/7");
        drop(listener);
        let file = std::fs::File::open(&directory).unwrap();
        let refused = |path: &std::path::Path| send(path.as_os_str(), "x", file.as_fd()).unwrap_err();
        assert_eq!(refused(&long.join("s")), Errno::ECONNREFUSED);
        assert_eq!(refused(&long), Errno::ENOTSOCK);
        assert_eq!(refused(&short), Errno::ENOENT);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
