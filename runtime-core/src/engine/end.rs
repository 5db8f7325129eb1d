//! The end of a container: what is left of it is killed, and its cgroup removed. Nothing is that is not surely its own.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;

use super::stage;
use super::unit::{self, Contact};
use crate::error::{Error, ErrorKind, Result};
use crate::facts::Facts;
use crate::host::cgroup::{Cgroup, Mark, marked};
use crate::host::process::wait_for_end;
use crate::host::record::{CgroupRecord, Record};
use crate::process::Process;
use crate::sys::process::{pidfd_send_signal, try_wait};

/// How long a killed container may take to end.
const KILL_LIMIT: Duration = Duration::from_secs(10);

fn failed(what: &str, errno: Errno) -> Error {
    Error::new(ErrorKind::Host, format!("cannot {what}: {}", errno.desc()))
}

/// Ends what is left of a container with this record and this mark on its cgroup; `init` is its init where that runs.
pub(crate) fn end(record: &Record, mark: &Mark, init: Option<Process>) -> Result<()> {
    if let Some(init) = init {
        match pidfd_send_signal(init.pidfd.as_fd(), libc::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(failed("kill the container's init", errno)),
        }
        if !wait_for_end(&init.pidfd, KILL_LIMIT).map_err(|errno| failed("wait for init", errno))? {
            return Err(Error::new(ErrorKind::Host, "container init still running"));
        }
        try_wait(&init.pidfd);
    } else if let Some(ended) = record.init.as_ref().and_then(|init| init.open().ok().flatten()) {
        // A child of the caller's is a zombie until somebody waits for it; anybody else's is not this one's to wait for.
        try_wait(&ended);
    }
    stage("init-ended");
    record.cgroup.as_ref().map_or(Ok(()), |cgroup| end_cgroup(cgroup, mark, record.own_pids))
}

/// Ends what is in the container's cgroup, and removes that where it is the container's own.
fn end_cgroup(record: &CgroupRecord, mark: &Mark, own_pids: bool) -> Result<()> {
    if let Some(unit) = &record.unit {
        return unit::end(record, unit, mark, Contact::None, KILL_LIMIT);
    }
    let found = record.open_marked(mark).map_err(|errno| failed("look at the cgroup", errno))?;
    match found {
        Some(cgroup) if record.own => destroyed(cgroup.destroy_at(&record.path, KILL_LIMIT)),
        // It was idle when the container got it: what is in it now is the container's.
        Some(cgroup) if !own_pids => {
            cgroup.kill().map_err(|errno| failed("kill what is in the cgroup", errno))?;
            cgroup.wait_until_empty(KILL_LIMIT).map_err(|errno| failed("wait for an empty cgroup", errno))
        }
        // Its creator was killed between making it and marking it, or somebody else made it since.
        None if record.own && record.inode.is_none() => match std::fs::remove_dir(&record.path) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|error| failed("remove the cgroup", crate::sys::page::errno_of(error))),
        },
        _ => Ok(()),
    }
}

fn destroyed(done: nix::Result<()>) -> Result<()> {
    done.map_err(|errno| failed("remove the cgroup", errno))?;
    stage("cgroup-removed");
    Ok(())
}

/// The cgroups that say themselves that they are the container's: for one whose record cannot be used.
pub(crate) fn marked_cgroups(mark: &Mark) -> Result<Vec<PathBuf>> {
    let Some(hierarchy) = Facts::read()?.cgroup else { return Ok(Vec::new()) };
    marked(&hierarchy.mount, mark).map_err(|errno| failed("search the cgroups", errno))
}

/// Ends what is in these cgroups, and removes them.
pub(crate) fn end_marked(cgroups: &[PathBuf]) -> Result<()> {
    cgroups.iter().try_for_each(|path| destroyed(Cgroup::destroy(path, KILL_LIMIT)))
}
