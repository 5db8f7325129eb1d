//! A runtime that takes part: its command lines, and containers of it that run meanwhile.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use integration_tests::bundle::Bundle;

use crate::{Contender, say};

/// A runtime with a state directory of its own.
pub(crate) struct Runtime {
    name: String,
    path: PathBuf,
    root: PathBuf,
}

impl Runtime {
    /// The runtime at `path`; a NOT RUN line where there is none.
    pub(crate) fn new(name: &str, path: &str, dir: &Path) -> Option<Self> {
        if !Path::new(path).is_file() {
            say(&format!("NOT RUN: {name}: there is no {path}"));
            return None;
        }
        let root = dir.join(format!("root-{}", name.replace(' ', "-")));
        Some(Self { name: name.to_owned(), path: path.into(), root })
    }

    /// One command of it.
    pub(crate) fn contender(&self, words: &[&str]) -> Contender {
        let own = [self.path.to_str().unwrap(), "--root", self.root.to_str().unwrap()];
        Contender::new(&self.name, &[&own, words].concat())
    }

    /// Starts this many containers of the bundle.
    pub(crate) fn crowd(&self, bundle: &Bundle, count: usize) -> Option<Crowd<'_>> {
        let ids = (0..count).map(|n| format!("bench-{}-{}-{n}", self.name, std::process::id()));
        let mut crowd = Crowd { runtime: self, ids: Vec::new() };
        for id in ids {
            // Without a pipe: a container that outlives the command would hold it open.
            let mut command = Command::new(&self.path);
            command.arg("--root").arg(&self.root).args(["run", "--detach", "--bundle", bundle.arg(), &id]);
            let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
            if !status.is_ok_and(|status| status.success()) {
                say(&format!("NOT RUN: {}: it starts no container", self.name));
                return None;
            }
            crowd.ids.push(id);
        }
        Some(crowd)
    }
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
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        for id in &self.ids {
            // Said by `able` where it fails; what is left then shows in the lane.
            self.runtime.contender(&["delete", "--force", id]).able();
        }
    }
}
