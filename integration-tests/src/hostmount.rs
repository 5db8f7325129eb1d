//! Mounts that a test makes in the lane's mount namespace; they end with the test.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A mount that is detached when dropped.
#[derive(Debug)]
pub struct HostMount(PathBuf);

impl HostMount {
    /// A tmpfs with these flags, on a directory that is made if missing.
    pub fn tmpfs(at: PathBuf, flags: MsFlags) -> Self {
        fs::create_dir_all(&at).unwrap();
        mount(Some("tmpfs"), &at, Some("tmpfs"), flags, None::<&str>).unwrap();
        Self(at)
    }

    /// A copy of `from`, a file or a directory, over `at`, which is there.
    pub fn bind(from: &Path, at: PathBuf) -> Self {
        mount(Some(from), &at, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        Self(at)
    }

    /// Makes its mounts shared.
    pub fn shared(self) -> Self {
        mount(None::<&str>, &self.0, None::<&str>, MsFlags::MS_SHARED, None::<&str>).unwrap();
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        // A panic here would hide the test's own.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
