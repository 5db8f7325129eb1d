//! Whether it was for want of memory that the kernel killed a process on its way to the program.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::errno::Errno;

use super::failure;
use super::walk::Walk;
use crate::compile::Step;
use crate::error::{Error, Result};
use crate::host::cgroup::Cgroup;
use crate::host::process::wait_for_end;
use crate::host::record::Record;
use crate::host::state::{START, StateDir};
use crate::sys::process::ended;
use crate::watch::Level;

const INIT: &str = "container init";
/// How long a process may take from the end of its descriptors to its own.
const END_LIMIT: Duration = Duration::from_millis(100);

/// What was killed in a container's cgroup before.
pub(super) struct Kills {
    cgroup: Option<Cgroup>,
    before: u64,
}

impl Kills {
    /// Those until now in the cgroup of a container that is there.
    pub(super) fn until_now(record: &Record) -> Self {
        let cgroup = record.cgroup.as_ref().and_then(|cgroup| cgroup.open().ok().flatten());
        let before = cgroup.as_ref().map_or(0, Cgroup::oom_kills);
        Self { cgroup, before }
    }

    /// Why init was killed, where something was since.
    pub(super) fn reason(&self) -> Option<String> {
        reason(self.cgroup.as_ref(), self.before, INIT)
    }

    /// As [`Self::reason`], where init has ended although it seems to have become the program.
    pub(super) fn reason_of_end(&self, record: &Record) -> Option<String> {
        let reason = self.reason()?;
        let init = record.init.as_ref().and_then(|init| init.open().ok());
        init.is_some_and(|init| init.is_none_or(|init| is_killed(&init))).then_some(reason)
    }
}

fn reason(cgroup: Option<&Cgroup>, before: u64, who: &str) -> Option<String> {
    let cgroup = cgroup.filter(|cgroup| cgroup.oom_kills() > before)?;
    Some(failure::out_of_memory(who, &cgroup.shortage()))
}

/// Whether a process has ended, or is about to, by SIGKILL as far as can be told: of another's child nobody tells how.
fn is_killed(process: &OwnedFd) -> bool {
    let is_over = wait_for_end(process, END_LIMIT).unwrap_or(false);
    is_over && ended(process).map_or(true, |status| status.signal() == Some(libc::SIGKILL))
}

/// Why the init of a container that was never started has ended, where that was for want of memory.
pub(crate) fn reason_before_start(state: &StateDir, record: &Record) -> Option<String> {
    let cgroup = record.cgroup.as_ref().filter(|cgroup| cgroup.own)?;
    let waited = state.path().join(START).exists();
    let cgroup = if waited { cgroup.open().ok().flatten() } else { None };
    reason(cgroup.as_ref(), 0, INIT)
}

impl Walk<'_> {
    /// Remembers what was killed before in the cgroup that a process is about to be born in.
    pub(super) fn count_kills(&mut self) {
        let is_new = self.joined.is_none() && self.record.cgroup.as_ref().is_some_and(|cgroup| cgroup.own);
        self.kills = self.cgroup.as_ref().filter(|_| !is_new).map_or(0, Cgroup::oom_kills);
    }

    /// Why the process was killed, where something in its cgroup was since it was born.
    pub(super) fn out_of_memory(&self) -> Option<String> {
        let who = if self.joined.is_none() { INIT } else { "the process" };
        reason(self.cgroup.as_ref(), self.kills, who)
    }

    /// The error of a process that could not be born. Until its execve it shares the memory of this process, and is none
    /// that the kernel kills: it refuses then, by E2BIG where the first page of its arguments is more than there is.
    pub(super) fn unborn(&self, step: &Step<'_>, errno: Errno) -> Error {
        if errno == Errno::EBUSY && self.joined.is_some() {
            // runc's words. A cgroup with controlled children takes no process (cgroups(7)).
            let path = self.record.cgroup.as_ref().map(|cgroup| cgroup.path.display().to_string()).unwrap_or_default();
            let why = format!("adding pid of the process to cgroups {path}: {}", errno.desc());
            return failure::failed(self.plan, step, &why);
        }
        if !matches!(errno, Errno::ENOMEM | Errno::E2BIG) {
            return failure::refused(self.plan, step, errno);
        }
        let shortage = self.cgroup.as_ref().map(Cgroup::shortage).filter(|shortage| shortage.level != Level::Host);
        let whose = shortage.map(|shortage| format!("; {shortage}")).unwrap_or_default();
        failure::failed(self.plan, step, &format!("{}{whose}", failure::NO_MEMORY))
    }

    /// Its end closes the turn socket as its execve does: what was killed meanwhile did not become the program, or is none
    /// any more.
    pub(super) fn survive(&mut self) -> Result<()> {
        let Some(init) = &self.init else { return Ok(()) };
        if self.out_of_memory().is_some() && is_killed(&init.process.pidfd) { Err(self.diagnose()) } else { Ok(()) }
    }
}
