//! A new filesystem by fsopen(2), which says in words what it refuses.

use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use super::Refusal;

/// A filesystem that is being described.
#[derive(Debug)]
pub(super) struct Filesystem(OwnedFd);

impl Filesystem {
    /// One of this type with this source, if it is to have any, and with these flags.
    pub(super) fn new(kind: &str, source: &str, flags: &[&str]) -> Result<Self, Refusal> {
        let opened = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC);
        let fs = Self(opened.map_err(|errno| Refusal::of(&format!("use filesystem {kind:?}"), errno))?);
        if !source.is_empty() {
            fs.set("source", Some(source))?;
        }
        flags.iter().try_for_each(|flag| fs.set(flag, None))?;
        Ok(fs)
    }

    /// Says one thing more about it.
    pub(super) fn set(&self, key: &str, value: Option<&str>) -> Result<(), Refusal> {
        let set = match value {
            Some(value) => fsconfig_set_string(&self.0, key, value),
            None => fsconfig_set_flag(&self.0, key),
        };
        set.map_err(|errno| self.refusal(&format!("set {key}"), errno))
    }

    /// Makes it, and a mount of it that is attached nowhere.
    pub(super) fn mount(self, attributes: MountAttrFlags) -> Result<OwnedFd, Refusal> {
        fsconfig_create(&self.0).map_err(|errno| self.refusal("make the filesystem", errno))?;
        let mounted = fsmount(&self.0, FsMountFlags::FSMOUNT_CLOEXEC, attributes);
        mounted.map_err(|errno| self.refusal("mount the filesystem", errno))
    }

    fn refusal(&self, what: &str, errno: rustix::io::Errno) -> Refusal {
        let refusal = Refusal::of(what, errno);
        match self.said() {
            Some(said) => Refusal { message: format!("{} ({said})", refusal.message), ..refusal },
            None => refusal,
        }
    }

    /// The errors that the kernel has noted, in its own words.
    fn said(&self) -> Option<String> {
        let mut file = std::fs::File::from(self.0.try_clone().ok()?);
        let mut words = Vec::new();
        let mut line = [0; 1024];
        // A message a read; ENODATA behind the last.
        while let Ok(count @ 1..) = file.read(&mut line) {
            let text = String::from_utf8_lossy(&line[..count]);
            words.extend(text.strip_prefix("e ").map(|error| error.trim().replace(char::is_control, " ")));
        }
        (!words.is_empty()).then(|| words.join("; "))
    }
}
