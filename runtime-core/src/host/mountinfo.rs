//! What is mounted for a process (proc_pid_mountinfo(5)), and which of that a file is in.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::file::{read_small, read_small_text};
use crate::facts::unescaped;
use crate::sys::page::errno_of;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// Its number, which no other mount of the host has while it is there.
    pub(crate) id: u64,
    /// The device of its filesystem, and which directory or file of that is its root.
    pub(crate) tree: (String, PathBuf),
    /// Where it is mounted, from the process's root.
    pub(crate) point: PathBuf,
    /// Its attributes, as mount_setattr(2) numbers them: of read-only, nosuid, nodev and noexec.
    pub(crate) attributes: u64,
}

/// The attributes' words, from bit 0.
const WORDS: [&[u8]; 4] = [b"ro", b"nosuid", b"nodev", b"noexec"];

/// The mounts of a process: by pid, or `self`.
pub(crate) fn mounts(process: &str) -> nix::Result<Vec<Mounted>> {
    let text = read_small(format!("/proc/{process}/mountinfo")).map_err(errno_of)?;
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| parse(line).ok_or(Errno::EPROTO))
        .collect()
}

fn parse(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut text = || std::str::from_utf8(fields.next()?).ok();
    let (id, _, device) = (text()?.parse().ok()?, text()?, text()?.to_owned());
    let mut path = || fields.next().map(|path| PathBuf::from(unescaped(path)));
    let (root, point) = (path()?, path()?);
    let options: Vec<_> = fields.next()?.split(|byte| *byte == b',').collect();
    let bits = (0..).zip(WORDS).filter(|(_, word)| options.contains(word));
    Some(Mounted { id, tree: (device, root), point, attributes: bits.fold(0, |set, (bit, _)| set | 1u64 << bit) })
}

/// The number of the mount that an open file is in.
pub(crate) fn mount_of(file: &OwnedFd) -> nix::Result<u64> {
    let info = read_small_text(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).map_err(errno_of)?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok()).ok_or(Errno::EPROTO)
}

/// What a mount of an open file would be of, where `mounts` are this process's. `None` where its name is gone.
pub(crate) fn tree_of(file: &OwnedFd, mounts: &[Mounted]) -> nix::Result<Option<(String, PathBuf)>> {
    let id = mount_of(file)?;
    let name = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(errno_of)?;
    let Some(mounted) = mounts.iter().find(|mounted| mounted.id == id) else { return Ok(None) };
    let Ok(inside) = name.strip_prefix(&mounted.point) else { return Ok(None) };
    let (device, root) = &mounted.tree;
    let tree = if inside == Path::new("") { root.clone() } else { root.join(inside) };
    Ok(Some((device.clone(), tree)))
}

/// Whether criu is given this path of a mount point as it is (CVE-2026-119101): `mnt[PATH]:KEY`, on lines of its own log and
/// lists of its own files.
pub(crate) fn is_nameable(point: &Path) -> bool {
    let text = std::str::from_utf8(OsStr::as_bytes(point.as_os_str())).ok();
    text.is_some_and(|text| !text.contains("]:") && !text.contains(|c: char| c.is_control() || c == ',' || c == '\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line() {
        let line = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noexec,nosuid,ro,noatime master:1 - ext3 /dev/root rw";
        let wanted =
            Mounted { id: 36, tree: ("98:0".to_owned(), "/mnt1".into()), point: "/mnt 2".into(), attributes: 0b1011 };
        assert_eq!(parse(line), Some(wanted));
        assert_eq!(parse(b"36 35 98:0"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_file_is_in_a_mount() {
        let own = mounts("self").unwrap();
        let open = |path: &str| OwnedFd::from(std::fs::File::open(path).unwrap());
        let (device, root) = tree_of(&open("/proc/self/status"), &own).unwrap().unwrap();
        assert_eq!(root, Path::new("/").join(std::process::id().to_string()).join("status"));
        let proc = own.iter().rfind(|mounted| mounted.point == Path::new("/proc")).unwrap();
        assert_eq!(proc.tree.0, device);
        assert_eq!(tree_of(&open("/proc"), &own).unwrap().unwrap(), proc.tree);
    }

    #[test]
    fn what_criu_would_misread_is_not_named() {
        for (path, nameable) in [
            ("/etc/hosts", true),
            ("/run/0000:00:01]", true),
            ("/a b", true),
            ("/é", true),
            ("/a]:/b", false),
            ("/a,b", false),
            ("/a\nb", false),
            ("/a\\b", false),
        ] {
            assert_eq!(is_nameable(Path::new(path)), nameable, "{path}");
        }
        assert!(!is_nameable(Path::new(OsStr::from_bytes(b"/\xff"))));
    }
}
