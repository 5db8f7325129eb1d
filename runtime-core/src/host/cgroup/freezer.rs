//! The freezer (Documentation/admin-guide/cgroup-v2.rst, cgroup.freeze): a container paused, and resumed.

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::read;

use super::Cgroup;
use super::fs::has_line;

impl Cgroup {
    /// Freezes every process in it and below it, and waits until all are; ETIMEDOUT at the deadline. What could not be
    /// frozen whole is thawed again.
    pub(crate) fn freeze(&self, limit: Duration) -> nix::Result<()> {
        let frozen = self.write("cgroup.freeze", b"1").and_then(|()| self.wait_for("frozen 1", limit));
        frozen.inspect_err(|_| {
            // The first failure is the one to tell.
            let _ = self.write("cgroup.freeze", b"0");
        })
    }

    /// Thaws it, and waits until none of it is frozen; EBUSY where a cgroup above it is, ETIMEDOUT at the deadline.
    pub(crate) fn thaw(&self, limit: Duration) -> nix::Result<()> {
        let asked = self.read("cgroup.freeze")?;
        self.write("cgroup.freeze", b"0")?;
        // It was not this one's to thaw: waiting would change nothing.
        let limit = if asked.trim_ascii() == "0" { Duration::ZERO } else { limit };
        self.wait_for("frozen 0", limit).map_err(|errno| if limit.is_zero() { Errno::EBUSY } else { errno })
    }

    /// Whether it is frozen: `frozen 1` in cgroup.events.
    pub(crate) fn is_frozen(&self) -> nix::Result<bool> {
        self.has_event("frozen 1")
    }
}

/// Whether the cgroup at `path` is frozen, without opening it: for who asks that alone, of very many.
pub(crate) fn is_frozen(path: &Path) -> nix::Result<bool> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = openat(AT_FDCWD, &path.join("cgroup.events"), flags, Mode::empty())?;
    let mut events = [0; 256];
    let length = read(&file, &mut events)?;
    Ok(has_line(&events[..length], "frozen 1"))
}
