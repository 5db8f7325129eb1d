//! Processes as /proc shows them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// PF_KTHREAD of the kernel's task flags: the kernel's own threads come and go as it likes.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What /proc/PID/stat says of a process (proc_pid_stat(5)).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stat {
    /// The name of its program.
    pub name: String,
    /// One letter: `R`, `S`, `Z` …
    pub state: char,
    /// Its parent.
    pub parent: u32,
    /// Its session.
    pub session: u32,
    /// When it was started, in clock ticks after boot.
    pub start: u64,
    /// Whether it is a thread of the kernel.
    pub kernel: bool,
}

/// Reads /proc/PID/stat; `None` when there is no such process.
pub fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and parentheses: it ends at the last one.
    let (head, tail) = text.rsplit_once(") ")?;
    let name = head.split_once(" (")?.1.to_owned();
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        name,
        state: fields.first()?.chars().next()?,
        parent: number(1)? as u32,
        session: number(3)? as u32,
        start: number(19)?,
        kernel: number(6)? & KERNEL_THREAD != 0,
    })
}

/// Every process of this pid namespace, by pid.
pub fn all() -> BTreeMap<u32, Stat> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?))).filter(|(_, stat)| !stat.kernel).collect()
}

/// Whether a process runs; one that only waits to be reaped does not.
pub fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

/// The value of a line of /proc/PID/status.
pub fn status_line(status: &str, key: &str) -> Option<String> {
    status.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim().to_owned()))
}

/// Which namespaces a process is in: name → `net:[4026531840]`.
pub fn namespaces(pid: impl std::fmt::Display) -> BTreeMap<String, PathBuf> {
    let names = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).ok();
    names.iter().filter_map(|&name| Some((name.to_owned(), link(name)?))).collect()
}

/// The descriptors of a process and what they refer to.
pub fn descriptors(pid: impl std::fmt::Display) -> BTreeMap<u32, PathBuf> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return BTreeMap::new() };
    entries.filter_map(|entry| descriptor(&entry.ok()?.path())).collect()
}

fn descriptor(path: &Path) -> Option<(u32, PathBuf)> {
    Some((path.file_name()?.to_str()?.parse().ok()?, fs::read_link(path).ok()?))
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within `limit`.
#[track_caller]
pub fn wait_until(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < end, "waited {limit:?} in vain until {what}");
        sleep(Duration::from_millis(5));
    }
}

/// The cgroup of a process, as this one sees it: the unified hierarchy's line of /proc/PID/cgroup, below its mount point.
pub fn cgroup(pid: u32) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    crate::oracle::cgroup_root().join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let own = all().remove(&std::process::id()).unwrap();
        assert!(own.start > 0 && !own.kernel && own.state != 'Z');
        assert!(namespaces("self").contains_key("mnt"));
        assert!(descriptors("self").contains_key(&2));
    }
}
