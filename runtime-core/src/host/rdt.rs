//! Groups of resctrl, each a directory (Documentation/filesystems/resctrl.rst), and what their schemata say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, fstat};

use crate::sys::page::errno_of;

const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC).union(OFlag::O_NOFOLLOW);

/// A group: a CLOS, or one to monitor by.
#[derive(Debug)]
pub(crate) struct Group(OwnedFd);

impl Group {
    /// Opens the one at `path`; `None` where there is none.
    pub(crate) fn open(path: &Path) -> nix::Result<Option<Self>> {
        match open(path, DIRECTORY, Mode::empty()) {
            Err(Errno::ENOENT) => Ok(None),
            dir => Ok(Some(Self(dir?))),
        }
    }

    /// Makes the one at `path`; EEXIST where there is one.
    pub(crate) fn make(path: &Path) -> nix::Result<Self> {
        nix::unistd::mkdir(path, Mode::from_bits_truncate(0o755))?;
        Self::open(path)?.ok_or(Errno::ENOENT)
    }

    /// Its inode number, which no later one of the same name has.
    pub(crate) fn inode(&self) -> nix::Result<u64> {
        Ok(fstat(&self.0)?.st_ino)
    }

    /// What its schemata say.
    pub(crate) fn schemata(&self) -> nix::Result<String> {
        self.read("schemata")
    }

    /// The kernel takes all lines of one write, or none.
    pub(crate) fn set_schemata(&self, lines: &[u8]) -> nix::Result<()> {
        self.write("schemata", lines)
    }

    /// Moves a process of one thread here.
    pub(crate) fn take_in(&self, pid: u32) -> nix::Result<()> {
        self.write("tasks", pid.to_string().as_bytes())
    }

    fn is_idle(&self) -> nix::Result<bool> {
        match self.read("tasks") {
            Err(Errno::ENOENT) => Ok(true),
            tasks => Ok(tasks?.trim().is_empty()),
        }
    }

    fn write(&self, name: &str, value: &[u8]) -> nix::Result<()> {
        let file = openat(&self.0, name, OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())?;
        // One write: the rest of a short one would be taken for a value of its own.
        match File::from(file).write(value) {
            Ok(count) if count == value.len() => Ok(()),
            Ok(_) => Err(Errno::EIO),
            Err(error) => Err(errno_of(error)),
        }
    }

    fn read(&self, name: &str) -> nix::Result<String> {
        let file = openat(&self.0, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).map_err(errno_of)?;
        Ok(text)
    }
}

/// Which groups are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Also one that is in use: what is in it falls back to the group above.
    Any,
    /// One that nobody is in.
    Idle,
}

/// Removes the group at `path` that has this inode; without one it is known by its name, and removed only where nobody is in
/// it. One that is gone already, or is another one, is no error.
pub(crate) fn remove(path: &Path, inode: Option<u64>, removal: Removal) -> nix::Result<()> {
    let Some(group) = Group::open(path)? else { return Ok(()) };
    if inode.is_some_and(|inode| group.inode() != Ok(inode)) {
        return Ok(());
    }
    if (removal == Removal::Idle || inode.is_none()) && !group.is_idle()? {
        return Ok(());
    }
    match std::fs::remove_dir(path).map_err(errno_of) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// How long another may hold the lock of a resctrl.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// The lock by which those who change more than one file of a resctrl keep out of each other's way: flock(2) of its root
/// (Documentation/filesystems/resctrl.rst). It ends with the descriptor.
pub(crate) fn lock(root: &Path) -> nix::Result<File> {
    let root = File::from(open(root, DIRECTORY, Mode::empty())?);
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match root.try_lock() {
            Ok(()) => return Ok(root),
            Err(std::fs::TryLockError::Error(error)) => return Err(errno_of(error)),
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(std::fs::TryLockError::WouldBlock) => return Err(Errno::ETIMEDOUT),
        }
    }
}

/// What the kernel says of what it refused last.
pub(crate) fn last_words(root: &Path) -> Option<String> {
    let said = std::fs::read_to_string(root.join("info/last_cmd_status")).ok()?;
    Some(said.trim().to_owned()).filter(|said| !said.is_empty() && said != "ok")
}

/// In what steps bandwidths are given, where the kernel says so.
pub(crate) fn bandwidth_step(root: &Path) -> Option<u64> {
    std::fs::read_to_string(root.join("info/MB/bandwidth_gran")).ok()?.trim().parse().ok()
}

/// The values of schemata, by resource and domain.
type Values<'a> = BTreeMap<(&'a str, &'a str), &'a str>;

/// Reads lines `RESOURCE:domain=value;…`; what comes later counts.
fn values<'a>(lines: impl Iterator<Item = &'a str>) -> Values<'a> {
    let lines = lines.filter_map(|line| line.trim().split_once(':'));
    let domains = lines.flat_map(|(resource, rest)| rest.split(';').map(move |domain| (resource.trim(), domain)));
    let each = domains.filter_map(|(resource, domain)| {
        let (domain, value) = domain.split_once('=')?;
        Some(((resource, domain.trim()), value.trim()))
    });
    each.collect()
}

/// The first of the `wanted` schemata that those in place differ from; how they stand. What is not wanted may be anything.
/// Caches have masks in hexadecimal, with zeros in front or without; a bandwidth is rounded up to a multiple of `step`.
pub(crate) fn difference(wanted: &[&str], in_place: &str, step: Option<u64>) -> Option<String> {
    let (all, there) = (values(wanted.iter().copied()), values(in_place.lines()));
    if all.is_empty() {
        return wanted.first().map(|line| format!("{line:?} is no schema"));
    }
    all.into_iter().find_map(|((resource, domain), wanted)| {
        let found = there.get(&(resource, domain)).copied();
        let same = found.is_some_and(|found| is_same(resource, wanted, found, step));
        let shown = found.map_or_else(|| "none".to_owned(), |found| format!("{resource}:{domain}={found}"));
        (!same).then(|| format!("it has {shown}, not {resource}:{domain}={wanted}"))
    })
}

fn is_same(resource: &str, wanted: &str, found: &str, step: Option<u64>) -> bool {
    let number = |text: &str| match resource.starts_with('L') {
        true => u64::from_str_radix(text.trim_start_matches("0x"), 16).ok(),
        false => text.parse().ok(),
    };
    match (number(wanted), number(found)) {
        (Some(wanted), Some(found)) => {
            let step = step.filter(|step| resource == "MB" && *step > 0);
            wanted == found || step.and_then(|step| wanted.checked_next_multiple_of(step)) == Some(found)
        }
        _ => wanted == found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "    MB:0=20;1=100\n    L3:0=7f0;1=01f\n  L2:0=ff\n";

    #[test]
    fn schemata_are_compared_by_value() {
        for (wanted, step) in [
            (&["L3:0=7f0;1=1f"][..], None),
            (&["L3:1=0x1f ; 0=07F0"], None),
            (&["MB:0=20"], None),
            (&["MB:0=15;1=100"], Some(10)),
            (&["L3:0=1", "L3:0=7f0"], None),
            (&[" L2:0=0ff", "MB:1=100"], Some(10)),
        ] {
            assert_eq!(difference(wanted, PLACE, step), None, "{wanted:?}");
        }
    }

    #[test]
    fn what_differs_is_told() {
        for (wanted, step, told) in [
            (&["L3:0=7f1"][..], None, "it has L3:0=7f0, not L3:0=7f1"),
            (&["MB:0=15"], None, "it has MB:0=20, not MB:0=15"),
            (&["MB:0=25"], Some(10), "it has MB:0=20, not MB:0=25"),
            (&["L3:2=1"], None, "it has none, not L3:2=1"),
            (&["L3CODE:0=7f0"], None, "it has none, not L3CODE:0=7f0"),
            (&["L3:0=7f0", "L3:0=1"], None, "it has L3:0=7f0, not L3:0=1"),
            (&["L3:0=x"], None, "it has L3:0=7f0, not L3:0=x"),
            (&["nothing"], None, "\"nothing\" is no schema"),
        ] {
            assert_eq!(difference(wanted, PLACE, step).as_deref(), Some(told), "{wanted:?}");
        }
    }
}
