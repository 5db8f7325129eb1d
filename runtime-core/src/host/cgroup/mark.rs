//! Whose a cgroup is, written on the cgroup itself: what finds it again where the container's record cannot be read.
//!
//! An attribute of the cgroup, not a second file beside the record: what spoils one file of a directory spoils the next.
//! The container could change it on cgroups that were handed to it. It gains nothing by that: only what is already in
//! those would be ended, and its own only where its record is lost as well.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::Cgroup;
use super::fs::children;
use crate::sys::attribute;

/// Unprivileged callers may set `user.` attributes on cgroups of their own (since Linux 5.7).
const NAME: &CStr = c"user.planc.container";

/// Of a cgroup that was made since a container's had to lie below it. Other containers may lie there as well.
const NAME_OF_PARENT: &CStr = c"user.planc.parent";

/// What is written on a container's cgroup: which state directory it belongs to, whatever path leads there, and the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark(String);

/// Two numbers and an id.
const MARK_MAX: usize = 512;

impl Mark {
    /// The mark of the container `id` whose state directory has these numbers (stat(2)).
    pub(crate) fn of(device: u64, inode: u64, id: &str) -> Self {
        Self(format!("{device} {inode} {id}"))
    }
}

impl Cgroup {
    /// Writes a mark on it.
    pub(crate) fn mark(&self, mark: &Mark) -> nix::Result<()> {
        attribute::set(self.fd(), NAME, mark.0.as_bytes())
    }

    /// Whether it has this mark.
    pub(crate) fn has(&self, mark: &Mark) -> bool {
        self.says(NAME, mark)
    }

    /// Writes on it that it was made since the container with this mark had to lie below it.
    pub(super) fn mark_as_parent(&self, mark: &Mark) -> nix::Result<()> {
        attribute::set(self.fd(), NAME_OF_PARENT, mark.0.as_bytes())
    }

    /// Whether it was made since the container with this mark had to lie below it.
    pub(super) fn is_parent_of(&self, mark: &Mark) -> bool {
        self.says(NAME_OF_PARENT, mark)
    }

    fn says(&self, name: &CStr, mark: &Mark) -> bool {
        let mut value = [0; MARK_MAX];
        attribute::get(self.fd(), name, &mut value).is_ok_and(|count| value.get(..count) == Some(mark.0.as_bytes()))
    }
}

/// The cgroups with this mark below `top`, the hierarchy's mount point or any other of its cgroups.
pub(crate) fn marked(top: &Path, mark: &Mark) -> nix::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![top.to_owned()];
    while let Some(path) = left.pop() {
        let cgroup = match Cgroup::open(&path) {
            // Gone since its name was read.
            Err(Errno::ENOENT | Errno::ENODEV) => continue,
            opened => opened?,
        };
        if cgroup.has(mark) {
            // What is below it goes with it.
            found.push(path);
            continue;
        }
        let names = match children(cgroup.dir()) {
            Err(Errno::ENOENT | Errno::ENODEV) => continue,
            names => names?,
        };
        left.extend(names.iter().map(|name| path.join(OsStr::from_bytes(name.to_bytes()))));
    }
    Ok(found)
}
