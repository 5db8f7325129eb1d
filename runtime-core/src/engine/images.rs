//! The directories of a checkpoint: its images, and criu's log; and the one file in them that is not criu's.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind as Io, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::error::{Error, ErrorKind, Result};
use crate::sys::page::errno_of;

/// What init's standard streams were, as runc names the file: a list of what their links in /proc say.
const DESCRIPTORS: &str = "descriptors.json";

/// As much of that file is read.
const LONGEST: u64 = 4096;

/// A directory that is held open.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    pub(super) fd: OwnedFd,
}

impl Directory {
    /// Opens it; where it is missing it is made, for the caller alone: memory is in it.
    pub(super) fn make(path: &Path) -> Result<Self> {
        match DirBuilder::new().recursive(true).mode(0o700).create(path) {
            Err(error) if error.kind() != Io::AlreadyExists => Err(failed("make", path, errno_of(error))),
            _ => Self::open(path),
        }
    }

    /// Opens it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = open(path, flags, Mode::empty()).map_err(|errno| failed("open", path, errno))?;
        Ok(Self { path: path.to_owned(), fd })
    }

    /// Writes down what the standard streams of a process are, whole or not at all, and through no link.
    pub(super) fn save_descriptors(&self, pid: u32) -> Result<()> {
        let link = |number: u32| std::fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap_or_default();
        let links: Vec<String> = (0..3).map(|number| link(number).to_string_lossy().into_owned()).collect();
        let new = format!("{DESCRIPTORS}.{}", std::process::id());
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let json = serde_json::to_vec(&links).unwrap_or_default();
        let made = openat(&self.fd, new.as_str(), flags, Mode::from_bits_truncate(0o600));
        let written = made.and_then(|file| File::from(file).write_all(&json).map_err(errno_of));
        let placed = written.and_then(|()| renameat(&self.fd, new.as_str(), &self.fd, DESCRIPTORS));
        placed.map_err(|errno| failed("write", &self.path.join(DESCRIPTORS), errno))
    }

    /// Which standard streams were pipes, each by the name that the images have for it. Images are anybody's: what is no such
    /// name is passed over.
    pub(super) fn pipes(&self) -> Result<Vec<(i32, String)>> {
        let path = || self.path.join(DESCRIPTORS);
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let read = openat(&self.fd, DESCRIPTORS, flags, Mode::empty()).and_then(|file| {
            if SFlag::from_bits_truncate(fstat(&file)?.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
                return Err(Errno::EINVAL);
            }
            let mut bytes = Vec::new();
            File::from(file).take(LONGEST).read_to_end(&mut bytes).map_err(errno_of)?;
            Ok(bytes)
        });
        let bytes = read.map_err(|errno| failed("read", &path(), errno))?;
        let links: Vec<String> = serde_json::from_slice(&bytes)
            .map_err(|error| Error::new(ErrorKind::Host, format!("cannot read {}: {error}", path().display())))?;
        Ok((0..3).zip(links).filter(|(_, link)| is_pipe(link)).collect())
    }
}

/// What /proc says of a pipe (pipe:[INODE]), and nothing that merely begins so.
fn is_pipe(link: &str) -> bool {
    let inode = link.strip_prefix("pipe:[").and_then(|link| link.strip_suffix(']'));
    inode.is_some_and(|inode| !inode.is_empty() && inode.bytes().all(|byte| byte.is_ascii_digit()))
}

fn failed(what: &str, path: &Path, errno: Errno) -> Error {
    // Not the errno's own words: engines take "no such file or directory" for a missing program.
    let why = if errno == Errno::ENOENT { "it does not exist (ENOENT)" } else { errno.desc() };
    Error::new(ErrorKind::Host, format!("cannot {what} {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_pipes_are_pipes() {
        for (link, is) in [
            ("pipe:[42]", true),
            ("pipe:[]", false),
            ("pipe:[4]]", false),
            ("pipe:[4]:x", false),
            ("/dev/null", false),
            ("/a/pipe:[4]", false),
        ] {
            assert_eq!(is_pipe(link), is, "{link}");
        }
    }

    #[test]
    fn descriptors_come_back_and_links_are_not_followed() {
        let path = std::env::temp_dir().join(format!("planc-images-{}", std::process::id()));
        let outside = path.with_extension("outside");
        fs::write(&outside, r#"["pipe:[1]"]"#).unwrap();
        let images = Directory::make(&path.join("a/b")).unwrap();
        assert_eq!(fs::metadata(&images.path).unwrap().permissions().mode() & 0o777, 0o700);
        // What lies there already: a link to somewhere else is replaced, not written through.
        let file = images.path.join(DESCRIPTORS);
        symlink(&outside, &file).unwrap();
        let error = images.pipes().unwrap_err();
        assert!(error.message().contains("symbolic link"), "{error}");
        images.save_descriptors(std::process::id()).unwrap();
        assert!(fs::symlink_metadata(&file).unwrap().is_file());
        assert_eq!(fs::read_to_string(&outside).unwrap(), r#"["pipe:[1]"]"#);
        fs::write(&file, r#"["pipe:[12]", "/dev/null", "pipe:[7]", "pipe:[8]"]"#).unwrap();
        assert_eq!(images.pipes().unwrap(), [(0, "pipe:[12]".to_owned()), (2, "pipe:[7]".to_owned())]);
        for odd in [r#"{"a": 1}"#, "[1]", &format!("[\"{}\"]", "x".repeat(5000))] {
            fs::write(&file, odd).unwrap();
            assert!(images.pipes().is_err());
        }
        assert!(Directory::open(&path.join("missing")).unwrap_err().message().contains("ENOENT"));
        fs::remove_file(outside).unwrap();
        fs::remove_dir_all(path).unwrap();
    }
}
