//! A criu that was found, and what it answers at once.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;

use super::log::first_error;
use super::message::{Features, Kind, Request, Response};
use super::swrk::{Birth, Failure, Limits, Swrk};
use crate::error::{Error, ErrorKind, Result};
use crate::host::child;

/// How long criu may take for what is no work: its version, whether it has a feature.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A criu that was found.
#[derive(Debug)]
pub(crate) struct Criu {
    pub(super) path: CString,
    pub(super) environment: Vec<CString>,
    /// 10000 for each major version, 100 for each minor one, and the sublevel.
    pub(super) version: i32,
}

/// The oldest version that is spoken to: before it there was no VERSION request.
const OLDEST: i32 = 30_000;

impl Criu {
    /// Finds criu, by default among the system's programs, and asks for its version.
    pub(crate) fn find(program: Option<&Path>, environment: &[CString]) -> Result<Self> {
        let path = match program {
            Some(path) => CString::new(path.as_os_str().as_bytes()).ok(),
            None => child::find("criu"),
        };
        let missing = || Error::new(ErrorKind::Unsupported, "criu is not found: checkpoint and restore are its work");
        let mut criu = Self { path: path.ok_or_else(missing)?, environment: environment.to_vec(), version: 0 };
        if criu.environment.is_empty() {
            let path = format!("PATH={}", child::DIRECTORIES.join(":"));
            criu.environment.extend(CString::new(path));
        }
        let answer = criu.ask(&Request::of(Kind::Version), "tell its version")?;
        let version = answer.version.unwrap_or_default();
        let part = |number: i32| number.clamp(0, 99);
        criu.version = version.major.clamp(0, 9999) * 10_000 + part(version.minor) * 100 + part(version.sublevel());
        criu.needs(OLDEST, "version 3.0")?;
        ::log::debug!("criu is of version {}", criu.version);
        Ok(criu)
    }

    /// Whether it is of this version, or a newer one: 31500 is 3.15.
    pub(crate) fn is_of(&self, version: i32) -> bool {
        self.version >= version
    }

    /// Fails where it is older than `what` asks for.
    pub(crate) fn needs(&self, version: i32, what: &str) -> Result<()> {
        if self.is_of(version) {
            return Ok(());
        }
        let [have, least] = [self.version, version].map(|number| format!("{}.{}", number / 10_000, number / 100 % 100));
        Err(Error::new(ErrorKind::Unsupported, format!("{what} needs criu {least} or newer: this is {have}")))
    }

    /// Fails where criu, or the kernel, has not the one feature that is asked for.
    pub(crate) fn check(&self, feature: Features, name: &str) -> Result<()> {
        let request = Request { features: Some(feature), ..Request::of(Kind::FeatureCheck) };
        let found = self.ask(&request, &format!("tell whether there is {name}"))?.features.unwrap_or_default();
        let (has_tracking, has_lazy) = (found.mem_track(), found.lazy_pages());
        if (feature.mem_track() && !has_tracking) || (feature.lazy_pages() && !has_lazy) {
            return Err(Error::new(ErrorKind::Unsupported, format!("criu is missing features: [{name}]")));
        }
        Ok(())
    }

    /// Asks for what is answered at once.
    fn ask(&self, request: &Request, what: &str) -> Result<Response> {
        let failed = |failure: Failure| {
            Error::new(ErrorKind::Host, format!("cannot have {} {what}: {failure}", self.path.to_string_lossy()))
        };
        let null = null().map_err(|errno| failed(errno.into()))?;
        let said = said().map_err(|errno| failed(errno.into()))?;
        let birth = Birth { streams: [null.as_fd(), said.as_fd(), said.as_fd()], ..Birth::of(null.as_fd()) };
        let limits = Limits { silence: ANSWER_LIMIT, watched: None };
        let answer = self.begin(&birth).map_err(Failure::from).and_then(|mut swrk| {
            let answer = swrk.converse(request, &limits, &mut |_| Ok(()));
            swrk.end();
            answer
        });
        answer.map_err(|failure| failed(failure).with_note(first_error(&said)))
    }

    /// Starts `criu swrk`.
    pub(crate) fn begin(&self, birth: &Birth<'_>) -> nix::Result<Swrk> {
        let environment: Vec<&CStr> = self.environment.iter().map(CString::as_c_str).collect();
        Swrk::begin(&self.path, &environment, birth)
    }
}

/// /dev/null, as a standard stream.
pub(crate) fn null() -> nix::Result<OwnedFd> {
    open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
}

/// A file for what criu says where it has no log yet.
pub(crate) fn said() -> nix::Result<OwnedFd> {
    let sealed = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    match memfd_create(c"planc:criu", MFdFlags::MFD_CLOEXEC | sealed) {
        // KERNEL(6.3): before, there was no such flag.
        Err(Errno::EINVAL) => memfd_create(c"planc:criu", MFdFlags::MFD_CLOEXEC),
        made => made,
    }
}
