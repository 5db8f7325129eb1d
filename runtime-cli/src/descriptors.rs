//! The descriptors that the caller passes on: `--preserve-fds`, and LISTEN_FDS of socket activation (sd_listen_fds(3)).

use std::os::fd::{OwnedFd, RawFd};

use runtime_core::{Error, inherited};

use crate::args::{Flag, Given};
use crate::failure::invalid;

/// How many descriptors the program inherits beside the standard ones.
pub(crate) const PRESERVE_FDS: Flag =
    Flag::number("preserve-fds", "pass N more descriptors on: 3, 4, …, behind those of LISTEN_FDS");

/// What the program of a container is to have as its descriptors 3, 4, ….
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// In order; those of LISTEN_FDS come first.
    pub(crate) fds: Vec<OwnedFd>,
    /// How many the program is told of by LISTEN_FDS.
    pub(crate) listen: u32,
}

impl Passed {
    /// Those that the environment and `--preserve-fds` name. That one is not open is an error, before anything is made.
    pub(crate) fn on(given: &Given) -> Result<Self, Error> {
        let listen = listen_fds(std::process::id(), |name| std::env::var(name).ok());
        let failed = |error| invalid(format!("cannot pass on LISTEN_FDS={listen}: {error}"));
        let mut fds = (0..listen).map(take).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        fds.extend(preserved(given, listen)?);
        Ok(Self { fds, listen })
    }
}

/// Those that `--preserve-fds` names, behind so many others. That one is not open is an error.
pub(crate) fn preserved(given: &Given, behind: u32) -> Result<Vec<OwnedFd>, Error> {
    let count = given.number(&PRESERVE_FDS).unwrap_or(0);
    let failed = |index, error| invalid(format!("unable to stat preserved-fd {index} (of {count}): {error}"));
    (0..count).map(|index| take(behind.saturating_add(index)).map_err(|error| failed(index, error))).collect()
}

/// The caller's descriptor 3 + `index`.
fn take(index: u32) -> Result<OwnedFd, Error> {
    let number = RawFd::try_from(index).ok().and_then(|index| index.checked_add(3));
    inherited(number.ok_or_else(|| invalid("there is no descriptor of this number"))?)
}

/// LISTEN_FDS where LISTEN_PID means this process; 0 where that is no number either.
fn listen_fds(pid: u32, variable: impl Fn(&str) -> Option<String>) -> u32 {
    let number = |name: &str| variable(name)?.parse::<u32>().ok();
    if number("LISTEN_PID") == Some(pid) { number("LISTEN_FDS").unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_meant_for_this_process() {
        let listen = |pid: &str, fds: &str| {
            let (pid, fds) = (pid.to_owned(), fds.to_owned());
            listen_fds(42, move |name| Some(if name == "LISTEN_PID" { pid.clone() } else { fds.clone() }))
        };
        assert_eq!(listen("42", "3"), 3);
        assert_eq!(listen("43", "3"), 0);
        assert_eq!(listen("42", "x"), 0);
        assert_eq!(listen("", "3"), 0);
        assert_eq!(listen_fds(42, |_| None), 0);
    }
}
