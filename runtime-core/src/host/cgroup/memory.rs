//! Where memory ran out: what the kernel killed in a cgroup, and whose limit had been reached (cgroup-v2.rst, memory.events).

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::Cgroup;
use super::figures::{limit, value};
use crate::sys::page::errno_of;
use crate::watch::{Level, Shortage};

const EVENTS: &str = "memory.events";
/// Of this cgroup alone: only where the limit is that was reached does `oom` rise.
const LOCAL_EVENTS: &str = "memory.events.local";

/// `oom_kill` counts kills. `oom` also counts what was refused without one, and in whose limit it was.
const KILLS: &str = "oom_kill";
const OOMS: &str = "oom";

impl Cgroup {
    /// How many processes in it and below it the kernel killed for want of memory; 0 where it has no memory controller.
    pub(crate) fn oom_kills(&self) -> u64 {
        let mut buffer = vec![0; 512];
        let count = self.read_into(EVENTS, &mut buffer).unwrap_or(0);
        std::str::from_utf8(&buffer[..count]).ok().and_then(|text| value(text, KILLS)).unwrap_or(0)
    }

    /// Whose memory ran out, where something was killed: the nearest one that ever reached its limit.
    pub(crate) fn shortage(&self) -> Shortage {
        let ooms = self.read(EVENTS).ok().and_then(|text| value(&text, OOMS)).unwrap_or(0);
        Levels::of(self).reached(ooms != 0)
    }

    fn file(&self, name: &str) -> nix::Result<File> {
        openat(self.fd(), name, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty()).map(File::from)
    }

    /// Its path, as this process sees it.
    fn path(&self) -> PathBuf {
        std::fs::read_link(format!("/proc/self/fd/{}", self.fd().as_raw_fd())).unwrap_or_default()
    }
}

/// A cgroup's memory events, watched.
#[derive(Debug)]
pub(crate) struct MemoryEvents {
    file: File,
    /// What was counted when it was looked at last.
    kills: u64,
    ooms: u64,
    levels: Levels,
    /// Whose memory ran out last. Where the kernel kills a whole cgroup (memory.oom.group), the later kills have it too.
    last: Shortage,
}

impl MemoryEvents {
    /// From now on; `None` where the cgroup has no memory controller.
    pub(crate) fn of(cgroup: &Cgroup) -> nix::Result<Option<Self>> {
        let file = match cgroup.file(EVENTS) {
            Err(Errno::ENOENT | Errno::ENODEV) => return Ok(None),
            file => file?,
        };
        // Only from the first look on does the kernel announce changes.
        let (kills, ooms) = match counts(&file) {
            Err(Errno::ENODEV) => return Ok(None),
            counts => counts?,
        };
        let mut levels = Levels::of(cgroup);
        levels.reached(false);
        let last = Shortage { level: Level::Host, limit: None };
        Ok(Some(Self { file, kills, ooms, levels, last }))
    }

    /// Ready with POLLPRI when something has changed since it was looked at.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// How many were killed since this was asked last, and for want of whose memory. ENODEV where the cgroup is gone.
    pub(crate) fn killed(&mut self) -> nix::Result<Option<(u64, Shortage)>> {
        let (kills, ooms) = counts(&self.file)?;
        let killed = kills.saturating_sub(std::mem::replace(&mut self.kills, kills));
        if killed == 0 {
            // That a limit is reached is counted first: whoever is killed for it will be.
            return Ok(None);
        }
        let here = ooms > std::mem::replace(&mut self.ooms, ooms);
        let shortage = self.levels.reached(here);
        if shortage.level != Level::Host {
            self.last = shortage;
        }
        Ok(Some((killed, self.last.clone())))
    }
}

/// `oom_kill` and `oom`.
fn counts(file: &File) -> nix::Result<(u64, u64)> {
    let text = reread(file)?;
    Ok((value(&text, KILLS).unwrap_or(0), value(&text, OOMS).unwrap_or(0)))
}

/// The cgroups whose memory limits hold for a cgroup: its own first, then what is above it.
#[derive(Debug)]
struct Levels(Vec<OneLevel>);

#[derive(Debug)]
struct OneLevel {
    cgroup: Cgroup,
    local_events: File,
    ooms: u64,
}

impl Levels {
    /// Of `cgroup`. It goes up to where there is no memory controller: in the hierarchy's root, or at its mount point.
    fn of(cgroup: &Cgroup) -> Self {
        let mut levels = Vec::new();
        let mut next = cgroup.try_clone().ok();
        while let Some(cgroup) = next {
            let Ok(local_events) = cgroup.file(LOCAL_EVENTS) else { break };
            next = cgroup.open_above().ok();
            levels.push(OneLevel { cgroup, local_events, ooms: 0 });
        }
        Self(levels)
    }

    /// Which of them reached its limit since this was asked last; where two did, the nearer one. `here` says whether the
    /// first one or something below it did.
    fn reached(&mut self, here: bool) -> Shortage {
        let mut nearest = None;
        for (index, level) in self.0.iter_mut().enumerate() {
            // One that is gone reached nothing.
            let ooms = reread(&level.local_events).ok().and_then(|text| value(&text, OOMS)).unwrap_or(level.ooms);
            if ooms > std::mem::replace(&mut level.ooms, ooms) {
                nearest.get_or_insert(index);
            }
        }
        match nearest.and_then(|index| Some((index, self.0.get(index)?))) {
            Some((0, own)) => Shortage { level: Level::Own, limit: own.limit() },
            _ if here => Shortage { level: Level::Below, limit: None },
            Some((_, above)) => Shortage { level: Level::Above(above.cgroup.path()), limit: above.limit() },
            None => Shortage { level: Level::Host, limit: None },
        }
    }
}

impl OneLevel {
    fn limit(&self) -> Option<u64> {
        self.cgroup.read("memory.max").ok().and_then(|text| limit(&text))
    }
}

fn reread(file: &File) -> nix::Result<String> {
    let mut buffer = [0; 512];
    let count = file.read_at(&mut buffer, 0).map_err(errno_of)?;
    Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
}
