//! What criu says went wrong: the first line of its log, or of what it printed, that is an error.

use std::io::BufRead;
#[cfg(feature = "criu")]
use std::{
    fs::File,
    io::{BufReader, Read, Seek},
    os::fd::OwnedFd,
};

#[cfg(feature = "criu")]
use nix::fcntl::{OFlag, openat};
#[cfg(feature = "criu")]
use nix::sys::stat::{Mode, SFlag, fstat};

/// How much of a log is looked through, in bytes: at criu's most talkative it is some megabytes.
#[cfg(feature = "criu")]
const LONGEST_LOG: u64 = 64 << 20;

/// How much of the line is shown, in characters.
const LONGEST_LINE: usize = 300;

/// criu's word for it.
const ERROR: &str = "Error (";

/// What criu prints as an error and is no reason: of a child that did not end well, before it says why; and of a limit that
/// it goes on without.
const NO_REASON: [&str; 2] = ["exited, status=", "RLIMIT_NOFILE for self"];

/// The first error in the file of this name, which is a regular file of the directory; `None` where there is none.
#[cfg(feature = "criu")]
pub(crate) fn first_error_in(directory: &OwnedFd, name: &str) -> Option<String> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = openat(directory, name, flags, Mode::empty()).ok()?;
    let kind = SFlag::from_bits_truncate(fstat(&file).ok()?.st_mode) & SFlag::S_IFMT;
    (kind == SFlag::S_IFREG).then(|| first_error(&file)).flatten()
}

/// The first error in a file, from its beginning.
#[cfg(feature = "criu")]
pub(crate) fn first_error(file: &OwnedFd) -> Option<String> {
    let mut file = File::from(file.try_clone().ok()?);
    file.rewind().ok()?;
    reason(BufReader::new(file.take(LONGEST_LOG)))
}

/// The first error that is a reason; else the first one.
pub(crate) fn reason(mut lines: impl BufRead) -> Option<String> {
    let (mut line, mut other) = (Vec::new(), None);
    while lines.read_until(b'\n', &mut line).ok()? > 0 {
        let text = String::from_utf8_lossy(&line);
        if text.contains(ERROR) {
            let shown = shown(&text);
            if !NO_REASON.iter().any(|noise| text.contains(noise)) {
                return Some(shown);
            }
            other = other.or(Some(shown));
        }
        line.clear();
    }
    other
}

/// One line of bounded length, and nothing that a terminal would obey: names in it are the container's.
pub(super) fn shown(line: &str) -> String {
    let mut shown = String::new();
    for letter in line.trim().chars().take(LONGEST_LINE) {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}
