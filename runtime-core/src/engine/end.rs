//! The end of a container: what is left of it is killed, and its cgroup removed. Nothing is that is not surely its own.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::unit::{self, Contact};
use super::{net_devices, rdt, stage};
use crate::error::{Error, ErrorKind, Result};
use crate::facts::CgroupFacts;
use crate::host::cgroup::{Cgroup, Mark, marked, remove_parents};
use crate::host::process::{describe, wait_for_end};
use crate::host::record::{CgroupRecord, Record};
use crate::process::Process;
use crate::sys::process::{pidfd_send_signal, try_wait};

/// How long a killed container may take to end, with all that is in it. A normal end takes milliseconds; what takes longer
/// than this is told, and can be tried again. containerd ends a delete after 5 s, poststop hooks included.
const END_LIMIT: Duration = Duration::from_secs(3);

/// As many processes as an error names.
const MOST_NAMED: usize = 5;

/// When what is killed now must have ended.
pub(crate) fn deadline() -> Instant {
    Instant::now() + END_LIMIT
}

fn failed(what: &str, errno: Errno) -> Error {
    Error::new(ErrorKind::Host, format!("cannot {what}: {}", errno.desc()))
}

/// Ends what is left of a container with this record and this mark on its cgroup; `init` is its init where that runs.
pub(crate) fn end(record: &Record, mark: &Mark, init: Option<Process>) -> Result<()> {
    let deadline = deadline();
    if let Some(init) = init {
        match pidfd_send_signal(init.pidfd.as_fd(), libc::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(failed("kill the container's init", errno)),
        }
        kill_beside(record, mark)?;
        let left = deadline.saturating_duration_since(Instant::now());
        if !wait_for_end(&init.pidfd, left).map_err(|errno| failed("wait for init", errno))? {
            // It waits for all others of its pid namespace, and one of those may be what hangs.
            let open = || record.cgroup.as_ref()?.open_marked(mark).ok()??.processes().ok();
            let pids = open().filter(|pids| !pids.is_empty()).unwrap_or_else(|| vec![init.pid]);
            return Err(unended("container init still running", pids));
        }
        try_wait(&init.pidfd);
    } else if let Some(ended) = record.init.as_ref().and_then(|init| init.open().ok().flatten()) {
        // A child of the caller's is a zombie until somebody waits for it; anybody else's is not this one's to wait for.
        try_wait(&ended);
    }
    stage("init-ended");
    let end = |cgroup| end_cgroup(cgroup, mark, record.own_pids, Contact::None, deadline);
    record.cgroup.as_ref().map_or(Ok(()), end)?;
    net_devices::end(record);
    rdt::end(record, rdt::Ending::Deleted)
}

/// Kills what is in the container's own cgroup together with init, so that nothing goes on making more while init ends.
fn kill_beside(record: &Record, mark: &Mark) -> Result<()> {
    let Some(cgroup) = record.cgroup.as_ref().filter(|cgroup| cgroup.own) else { return Ok(()) };
    match cgroup.open_marked(mark).and_then(|cgroup| cgroup.map_or(Ok(()), |cgroup| cgroup.kill())) {
        Ok(()) | Err(Errno::ENOENT | Errno::ENODEV) => Ok(()),
        Err(errno) => Err(failed("kill what is in the cgroup", errno)),
    }
}

/// Ends what is in the container's cgroup, and removes that where it is the container's own.
pub(super) fn end_cgroup(
    record: &CgroupRecord,
    mark: &Mark,
    own_pids: bool,
    contact: Contact,
    deadline: Instant,
) -> Result<()> {
    if let Some(unit) = &record.unit {
        return unit::end(record, unit, mark, contact, deadline);
    }
    let found = record.open_marked(mark).map_err(|errno| failed("look at the cgroup", errno))?;
    match found {
        Some(cgroup) if record.own => destroyed(&cgroup, &record.path, mark, deadline),
        Some(cgroup) => {
            // It was idle when the container got it: what is in it now is the container's.
            if !own_pids {
                cgroup.kill_until_empty(deadline).map_err(|errno| in_the_way(&cgroup, &record.path, errno))?;
            }
            // Who may attach no filter has attached none.
            match cgroup.stop_filtering_devices() {
                Ok(()) | Err(Errno::EPERM | Errno::ENOSYS | Errno::EINVAL) => Ok(()),
                Err(errno) => Err(failed("detach the device filter", errno)),
            }
        }
        // Its creator was killed between making it and marking it, or somebody else made it since.
        None if record.own && record.inode.is_none() => match std::fs::remove_dir(&record.path) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(()),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("remove the cgroup", crate::sys::page::errno_of(error)))
            }
            _ => {
                remove_parents(&record.path, mark);
                Ok(())
            }
        },
        None => {
            remove_parents(&record.path, mark);
            Ok(())
        }
    }
}

fn destroyed(cgroup: &Cgroup, path: &Path, mark: &Mark, deadline: Instant) -> Result<()> {
    cgroup.destroy(path, deadline).map_err(|errno| in_the_way(cgroup, path, errno))?;
    remove_parents(path, mark);
    stage("cgroup-removed");
    Ok(())
}

/// Why a cgroup is not empty, or not removed, by the processes that are left in it.
pub(super) fn in_the_way(cgroup: &Cgroup, path: &Path, errno: Errno) -> Error {
    let what = format!("cannot remove the cgroup {}", path.display());
    match (errno, cgroup.processes()) {
        (Errno::ETIMEDOUT | Errno::EBUSY, Ok(pids)) if !pids.is_empty() => unended(&what, pids),
        (Errno::ETIMEDOUT, Ok(_)) => {
            let why = format!("not all of those below it in {} s", END_LIMIT.as_secs());
            Error::new(ErrorKind::Host, format!("{what}: {why}; the container is kept, delete it again"))
        }
        (errno, _) => Error::new(ErrorKind::Host, format!("{what}: {}", errno.desc())),
    }
}

/// What is told of processes that were killed and do not end.
fn unended(what: &str, pids: Vec<u32>) -> Error {
    let count = pids.len();
    let mut names: Vec<_> = pids.into_iter().filter_map(describe).take(MOST_NAMED).collect();
    if count > MOST_NAMED {
        names.push("…".to_owned());
    }
    let limit = END_LIMIT.as_secs();
    let why = format!("{what}: {count} process(es) killed and not ended within {limit} s: {}", names.join(", "));
    Error::new(ErrorKind::Host, format!("{why}; the container is kept, delete it again"))
}

/// The cgroups that say themselves that they are the container's: for one whose record cannot be used.
pub(crate) fn marked_cgroups(mark: &Mark) -> Result<Vec<PathBuf>> {
    let Some(hierarchy) = CgroupFacts::read()? else { return Ok(Vec::new()) };
    marked(&hierarchy.mount, mark).map_err(|errno| failed("search the cgroups", errno))
}

/// Kills what is in the cgroups that say themselves that they are the container's; they stay.
pub(crate) fn kill_marked(mark: &Mark) -> Result<()> {
    marked_cgroups(mark)?.iter().try_for_each(|path| match Cgroup::open(path).and_then(|cgroup| cgroup.kill()) {
        Ok(()) | Err(Errno::ENOENT | Errno::ENODEV) => Ok(()),
        Err(errno) => Err(failed("kill what is in the cgroup", errno)),
    })
}

/// Ends what is in these cgroups, and removes them.
pub(crate) fn end_marked(cgroups: &[PathBuf], mark: &Mark) -> Result<()> {
    let deadline = deadline();
    cgroups.iter().try_for_each(|path| match Cgroup::open(path) {
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(failed("look at the cgroup", errno)),
        Ok(cgroup) => {
            leave_to_systemd(&cgroup, path, deadline).map_err(|errno| in_the_way(&cgroup, path, errno))?;
            destroyed(&cgroup, path, mark, deadline)
        }
    })
}

/// How long systemd may take to see that a scope is empty.
const NOTICE: Duration = Duration::from_secs(1);

/// What is called a scope may be one of systemd's, which does not learn that it is empty where another removes its cgroup.
fn leave_to_systemd(cgroup: &Cgroup, path: &Path, deadline: Instant) -> nix::Result<()> {
    if path.extension().is_none_or(|kind| kind != "scope") {
        return Ok(());
    }
    cgroup.kill_until_empty(deadline)?;
    let end = deadline.min(Instant::now() + NOTICE);
    while path.exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
