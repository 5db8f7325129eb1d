//! A runtime that takes part: which one it is, its command lines, and containers of it that run meanwhile.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use integration_tests::bundle::Bundle;
use serde_json::Value;

use crate::Folders;
use crate::programs::installed;
use crate::race::Contender;
use crate::results::{not_run, version};

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Planc,
    Runc,
    Crun,
    Youki,
}

/// A runtime with a state directory of its own.
pub(crate) struct Runtime {
    pub(crate) kind: Kind,
    /// Its name and version; planc's has no version.
    pub(crate) name: String,
    path: PathBuf,
    root: PathBuf,
}

/// planc, Debian's runc and crun, and those that `RUNC`, `CRUN` and `YOUKI` name.
pub(crate) fn all(folders: &Folders) -> Vec<Runtime> {
    let named = |variable: &str| env::var_os(variable).map(PathBuf::from);
    let debians = |path: &str| Some(PathBuf::from(path));
    let wanted = [
        (Kind::Planc, Some(planc())),
        (Kind::Runc, debians("/usr/sbin/runc")),
        (Kind::Runc, named("RUNC")),
        (Kind::Crun, debians("/usr/bin/crun")),
        (Kind::Crun, named("CRUN")),
        (Kind::Youki, named("YOUKI")),
    ];
    let (mut all, mut seen) = (Vec::new(), Vec::new());
    for (kind, path) in wanted {
        let Some(path) = path.filter(|path| !seen.contains(path)) else { continue };
        seen.push(path.clone());
        match installed(&path, folders).and_then(|path| Runtime::identify(kind, &path, &folders.states)) {
            Ok(runtime) => all.push(runtime),
            Err(why) => not_run(&path.display().to_string(), &why),
        }
    }
    all
}

/// `PLANC`, or the one beside this program.
pub(crate) fn planc() -> PathBuf {
    let beside = env::current_exe().unwrap().with_file_name("planc");
    env::var_os("PLANC").map_or(beside, PathBuf::from)
}

/// Of several of one kind the one that was named, else Debian's.
pub(crate) fn newest<'a>(kind: Kind, names: impl Iterator<Item = (Kind, &'a str)>) -> Option<&'a str> {
    names.filter(|(other, _)| *other == kind).last().map(|(_, name)| name)
}

impl Runtime {
    fn identify(kind: Kind, path: &Path, dir: &Path) -> Result<Self, String> {
        let output = Command::new(path).arg("--version").output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().next().unwrap_or_default();
        let name = match kind {
            Kind::Planc => "planc".to_owned(),
            Kind::Runc => format!("runc {}", number(line)),
            Kind::Crun => format!("crun {}", number(line)),
            Kind::Youki => format!("youki {}", number(line)),
        };
        version(&name, line);
        let root = dir.join(format!("root-{}", name.replace(' ', "-")));
        Ok(Self { kind, name, path: path.to_owned(), root })
    }

    /// Its command line.
    pub(crate) fn words(&self, words: &[&str]) -> Vec<String> {
        let own = [self.path.to_str().unwrap(), "--root", self.root.to_str().unwrap()];
        own.iter().chain(words).map(|&word| word.to_owned()).collect()
    }

    /// One command of it.
    pub(crate) fn contender(&self, words: &[&str]) -> Contender {
        let words = self.words(words);
        Contender::new(&self.name, &words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// `run` of a bundle.
    pub(crate) fn run(&self, bundle: &Bundle) -> Contender {
        self.contender(&["run", "--bundle", bundle.arg(), &format!("bench-{}", std::process::id())])
    }

    /// A command whose containers outlive it. Without a pipe: they would hold it open.
    pub(crate) fn detached(&self, words: &[&str]) -> bool {
        let words = self.words(words);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Starts this many containers of the bundle.
    pub(crate) fn crowd(&self, bundle: &Bundle, count: usize) -> Option<Crowd<'_>> {
        let mut crowd = Crowd { runtime: self, ids: Vec::new() };
        for n in 0..count {
            let id = format!("bench-{}-{}-{n}", self.name.replace(' ', "-"), std::process::id());
            if !self.detached(&["run", "--detach", "--bundle", bundle.arg(), &id]) {
                not_run(&self.name, &format!("it does not start container {n} of {count}"));
                return None;
            }
            crowd.ids.push(id);
        }
        Some(crowd)
    }

    /// The pid of a container's init.
    pub(crate) fn pid(&self, id: &str) -> Option<u64> {
        let words = self.words(&["state", id]);
        let output = Command::new(&words[0]).args(&words[1..]).output().ok()?;
        serde_json::from_slice::<Value>(&output.stdout).ok()?["pid"].as_u64()
    }
}

/// The first word of a line that begins with a digit.
fn number(line: &str) -> &str {
    let word = line.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    word.map_or("?", |word| word.split(['+', '-']).next().unwrap_or(word))
}

/// Containers that run until this is dropped.
pub(crate) struct Crowd<'a> {
    runtime: &'a Runtime,
    ids: Vec<String>,
}

impl Crowd<'_> {
    /// Whose they are.
    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime
    }

    /// One of them.
    pub(crate) fn id(&self) -> &str {
        &self.ids[0]
    }

    /// The pid of that one's init, and the folder of its cgroup.
    pub(crate) fn place(&self) -> Option<(u64, String)> {
        let pid = self.runtime.pid(self.id())?;
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
        Some((pid, format!("/sys/fs/cgroup{path}")))
    }
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        for id in &self.ids {
            // What is left of it where that fails ends with the lane.
            self.runtime.detached(&["delete", "--force", id]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(number("runc version 1.1.5+ds1"), "1.1.5");
        assert_eq!(number("crun version 1.27.1"), "1.27.1");
        assert_eq!(number("a runtime"), "?");
    }

    #[test]
    fn the_named_one_comes_after_debians() {
        let names = [(Kind::Runc, "runc 1.1.5"), (Kind::Crun, "crun 1.8.1"), (Kind::Crun, "crun 1.27.1")];
        assert_eq!(newest(Kind::Crun, names.into_iter()), Some("crun 1.27.1"));
        assert_eq!(newest(Kind::Runc, names.into_iter()), Some("runc 1.1.5"));
        assert_eq!(newest(Kind::Youki, names.into_iter()), None);
    }
}
