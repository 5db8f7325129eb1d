//! The standard output, with every failed write reported.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use runtime_core::Error;

use crate::failure::host;

/// Writes `text` to the standard output.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    write(text).map_err(failed)
}

/// As [`print()`], for who looks at the error: the reader may be gone (EPIPE).
pub(crate) fn write(text: &str) -> io::Result<()> {
    // std's own Stdout takes EBADF for success; a file on the same descriptor does not.
    File::from(io::stdout().as_fd().try_clone_to_owned()?).write_all(text.as_bytes())
}

/// What is told of a write that failed.
pub(crate) fn failed(error: io::Error) -> Error {
    host("write to the standard output", error)
}

/// Writes `text` to the standard error. Where that fails there is nobody left to tell.
pub(crate) fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
