//! The caller's own descriptors, for a container's program.

use std::os::fd::{OwnedFd, RawFd};

use crate::error::{Error, ErrorKind, Result};
use crate::sys::process::inherited as copy_inherited;

/// A copy of a descriptor that this process was started with, for [`Stdio::others`](crate::Stdio::others).
///
/// Those have no close-on-exec flag, and what a process opens in Rust has it: so a number whose descriptor was not
/// inherited, but is in use by now, is not mistaken for one.
///
/// # Errors
/// [`ErrorKind::InvalidSpec`] where there is none of this number.
pub fn inherited(number: RawFd) -> Result<OwnedFd> {
    copy_inherited(number)
        .map_err(|_| Error::new(ErrorKind::InvalidSpec, format!("descriptor {number} is not open (EBADF)")))
}
