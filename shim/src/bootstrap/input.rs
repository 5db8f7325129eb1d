//! The standard input of a call, which containerd ends, and other callers may leave open.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long an input may take that nobody ends.
const LIMIT: Duration = Duration::from_secs(5);

/// More is neither options nor parameters.
const LONGEST: usize = 10 << 20;

/// All of the standard input: until its end, or what there is of one that nobody ends. Of a terminal, nothing.
pub(crate) fn standard() -> io::Result<Vec<u8>> {
    let input = io::stdin();
    if rustix::termios::isatty(&input) { Ok(Vec::new()) } else { all(input.lock(), LIMIT) }
}

fn all(mut input: impl Read + AsFd, limit: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + limit;
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while bytes.len() <= LONGEST {
        if !is_ready(&input, deadline)? {
            return Ok(bytes);
        }
        match input.read(&mut part) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            // It was closed when this process began.
            Err(error) if error.raw_os_error() == Some(Errno::EBADF as i32) => return Ok(bytes),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 10 MiB"))
}

/// Waits until there is something to read, or the end; false at the deadline.
fn is_ready(input: &impl AsFd, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(input.as_fd(), PollFlags::POLLIN)], left) {
            Ok(count) => return Ok(count > 0),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn to_the_end_or_to_the_deadline() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"some").unwrap();
        let begun = Instant::now();
        assert_eq!(all(&reader, Duration::from_millis(50)).unwrap(), b"some");
        // poll(2) counts in milliseconds.
        assert!(begun.elapsed() >= Duration::from_millis(49));
        writer.write_all(b"more").unwrap();
        drop(writer);
        assert_eq!(all(&reader, LIMIT).unwrap(), b"more");
        assert!(begun.elapsed() < LIMIT);
        assert_eq!(all(std::fs::File::open("/dev/null").unwrap(), LIMIT).unwrap(), b"");
    }
}
