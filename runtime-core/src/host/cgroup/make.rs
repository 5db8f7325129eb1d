//! A cgroup made, with those that are missing above it; and what was made above it removed again.

use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::Mode;

use super::{Cgroup, Mark};

/// How often a cgroup is made whose parents another container's end removes meanwhile.
const MOST_TRIES: usize = 64;

impl Cgroup {
    /// Makes the cgroup at `path` for the container with this mark, with its missing parents; EEXIST where it is there.
    pub(crate) fn make(path: &Path, mark: &Mark) -> nix::Result<Self> {
        for _ in 0..MOST_TRIES {
            match mkdir(path) {
                Err(Errno::ENOENT) => make_parents(path, mark)?,
                made => return made.and_then(|()| Self::open(path)),
            }
        }
        Err(Errno::ENOENT)
    }
}

fn mkdir(path: &Path) -> nix::Result<()> {
    nix::unistd::mkdir(path, Mode::from_bits_truncate(0o755))
}

fn make_parents(path: &Path, mark: &Mark) -> nix::Result<()> {
    let parents: Vec<_> = path.ancestors().skip(1).collect();
    for parent in parents.into_iter().rev() {
        match mkdir(parent) {
            Ok(()) => {
                // Where it cannot be marked, it stays: nobody will know whose it was.
                let _ = Cgroup::open(parent).and_then(|parent| parent.mark_as_parent(mark));
            }
            // Gone again: the caller begins anew.
            Err(Errno::EEXIST | Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Removes the cgroups above `path` that were made for the container with this mark, the nearest first, up to one that is
/// in use (runtime-spec runtime.md#delete: what create made is deleted).
pub(crate) fn remove_parents(path: &Path, mark: &Mark) {
    for parent in path.ancestors().skip(1) {
        match Cgroup::open(parent) {
            Err(Errno::ENOENT) => {}
            Ok(cgroup) if cgroup.is_parent_of(mark) && std::fs::remove_dir(parent).is_ok() => {}
            _ => return,
        }
    }
}
