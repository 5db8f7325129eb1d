//! A cgroup given to the user of the container (runtime-spec config-linux.md#cgroup-ownership; cgroups(7), "Cgroups v2
//! delegation: delegation to a less privileged user").

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::{Uid, fchown, fchownat};

use super::Cgroup;
use crate::host::file::read_small_text;

/// Where the kernel lists what may be given away.
const DELEGATE: &str = "/sys/kernel/cgroup/delegate";

/// What the specification takes where the kernel has no list.
const FALLBACK: [&str; 3] = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];

impl Cgroup {
    /// Makes `uid` the owner of the directory, and of those files in it that the kernel lists as fit for that. One that is
    /// not there is skipped.
    pub(crate) fn give(&self, uid: u32) -> nix::Result<()> {
        let list = read_small_text(DELEGATE).ok();
        let listed = list.iter().flat_map(|list| list.lines()).filter(|name| is_name(name));
        let fallback = FALLBACK.into_iter().filter(|_| list.is_none());
        let owner = Some(Uid::from_raw(uid));
        fchown(self.fd(), owner, None)?;
        listed.chain(fallback).try_for_each(|name| {
            match fchownat(self.fd(), name, owner, None, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => Ok(()),
                done => done,
            }
        })
    }
}

/// Whether it is the name of a file in a cgroup: one component, of the letters that the kernel takes for such.
fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name() {
        for name in
            FALLBACK.into_iter().chain(["memory.oom.group", "memory.reclaim", "hugetlb.2MB.max"].into_iter().take(2))
        {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", "../cgroup.procs", "a/b", "/x", "cgroup.procs ", "a\0"] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
