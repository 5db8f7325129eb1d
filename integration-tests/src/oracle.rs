//! The leak oracle: what a test must leave as it was, taken before and after.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{mountinfo, process};

/// How long what a runtime has finished with may take to vanish: a zombie until pid 1 reaps it, a cgroup until it is empty.
const GRACE: Duration = Duration::from_secs(3);

/// The host as a runtime could have changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<PathBuf>,
    processes: BTreeSet<(u32, u64, String)>,
    interfaces: BTreeSet<String>,
    files: BTreeSet<String>,
}

impl Snapshot {
    /// Looks at the host, and at every file below `places`.
    pub fn take(places: &[&Path]) -> Self {
        let mut files = BTreeSet::new();
        for place in places {
            walk(place, &mut |path, meta| {
                if is_systemds_own(path) {
                    return;
                }
                files.insert(format!("{} ({:o})", path.display(), meta.mode()));
            });
        }
        let mut cgroups = BTreeSet::new();
        walk(&cgroup_root(), &mut |path, meta| {
            if meta.is_dir() {
                cgroups.insert(path.to_owned());
            }
        });
        let processes = process::all().into_iter().map(|(pid, stat)| (pid, stat.start, stat.name)).collect();
        let lines = |path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
        let name = |line: String| Some(line.split_once(':')?.0.trim().to_owned());
        Self {
            mounts: lines("/proc/self/mountinfo").into_iter().collect(),
            cgroups,
            processes,
            interfaces: lines("/proc/self/net/dev").into_iter().filter_map(name).collect(),
            files,
        }
    }

    /// What differs: one line each, empty when nothing does.
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        compare("mount", &self.mounts, &after.mounts, &mut lines, |mount| mount.clone());
        compare("cgroup", &self.cgroups, &after.cgroups, &mut lines, |path| path.display().to_string());
        compare("process", &self.processes, &after.processes, &mut lines, |(pid, _, name)| format!("{pid} {name}"));
        compare("network interface", &self.interfaces, &after.interfaces, &mut lines, |name| name.clone());
        compare("file", &self.files, &after.files, &mut lines, |file| file.clone());
        lines
    }

    /// Waits until the host is as it was, and says what differs when it is not in time.
    pub fn settle(&self, places: &[&Path]) -> Vec<String> {
        let end = Instant::now() + GRACE;
        loop {
            let differences = self.differences(&Self::take(places));
            if differences.is_empty() || Instant::now() >= end {
                return differences;
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// After a failed test: kills the processes and removes the cgroups that were not there before, so that the next
    /// test is judged for what it does itself. Only ever called inside a lane, where both are the test's own.
    pub fn restore(&self) {
        let after = Self::take(&[]);
        for (pid, ..) in after.processes.difference(&self.processes) {
            let _ = kill(Pid::from_raw(*pid as i32), Signal::SIGKILL);
        }
        let end = Instant::now() + GRACE;
        let mut left: Vec<&PathBuf> = after.cgroups.difference(&self.cgroups).collect();
        while !left.is_empty() && Instant::now() < end {
            // Sorted paths end with the deepest ones.
            left.retain(|path| {
                let _ = fs::write(path.join("cgroup.kill"), "1");
                fs::remove_dir(path).is_err() && path.exists()
            });
            left.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
            sleep(Duration::from_millis(10));
        }
    }
}

/// Whether systemd keeps it for itself, and changes it whenever it likes. Of its transient units it does not.
fn is_systemds_own(path: &Path) -> bool {
    path.strip_prefix("/run/systemd").is_ok_and(|below| {
        let mut names = below.components();
        names.next().is_none_or(|name| name.as_os_str() != "transient") || names.next().is_none()
    })
}

/// Where the unified cgroup hierarchy is mounted.
pub fn cgroup_root() -> PathBuf {
    let mounts = mountinfo::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap());
    let unified = mounts.iter().rev().find(|mount| mount.fstype == "cgroup2");
    unified.map_or_else(|| PathBuf::from("/sys/fs/cgroup"), |mount| mount.point.clone())
}

fn compare<T: Ord>(
    kind: &str,
    before: &BTreeSet<T>,
    after: &BTreeSet<T>,
    lines: &mut Vec<String>,
    show: impl Fn(&T) -> String,
) {
    let mut say = |verb: &dyn Display, item: &T| lines.push(format!("{kind} {verb}: {}", show(item)));
    before.difference(after).for_each(|item| say(&"gone", item));
    after.difference(before).for_each(|item| say(&"left behind", item));
}

/// Visits everything below `top`, without `top`; what vanishes on the way is skipped.
fn walk(top: &Path, visit: &mut impl FnMut(&Path, &fs::Metadata)) {
    let Ok(entries) = fs::read_dir(top) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        visit(&path, &meta);
        if meta.is_dir() {
            walk(&path, visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_a_process_left_behind_are_seen() {
        let place = std::env::temp_dir().join(format!("oracle-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        let before = Snapshot::take(&[&place]);
        fs::write(place.join("leak"), "").unwrap();
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let differences = before.differences(&Snapshot::take(&[&place]));
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(&place).unwrap();
        assert!(differences.iter().any(|line| line.starts_with("file left behind: ")), "{differences:?}");
        assert!(differences.iter().any(|line| line.starts_with("process left behind: ")), "{differences:?}");
    }
}
