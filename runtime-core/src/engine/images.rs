//! The directories of a checkpoint: its images, and criu's log; and the one file in them that is not criu's.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind as Io, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, SFlag, fstat, makedev, stat};

use crate::error::{Error, ErrorKind, Result};
use crate::host::file::read_small_text;
use crate::host::mountinfo::Mounted;
use crate::sys::page::errno_of;

/// What init's standard streams were, as runc names the file: a list of what their links in /proc say.
const DESCRIPTORS: &str = "descriptors.json";

/// As much of that file is read.
const LONGEST: u64 = 4096;

/// As many names are in it.
const MOST: usize = 64;

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

    /// Writes down what of the container's descriptors are the host's, whole or not at all, and through no link.
    pub(super) fn save(&self, descriptors: &Descriptors) -> Result<()> {
        let new = format!("{DESCRIPTORS}.{}", std::process::id());
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let json = serde_json::to_vec(&descriptors.0).unwrap_or_default();
        let made = openat(&self.fd, new.as_str(), flags, Mode::from_bits_truncate(0o600));
        let written = made.and_then(|file| File::from(file).write_all(&json).map_err(errno_of));
        let placed = written.and_then(|()| renameat(&self.fd, new.as_str(), &self.fd, DESCRIPTORS));
        placed.map_err(|errno| failed("write", &self.path.join(DESCRIPTORS), errno))
    }

    /// What of the container's descriptors was the host's. Images are anybody's: it is a list of names, no more.
    pub(super) fn descriptors(&self) -> Result<Descriptors> {
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
        serde_json::from_slice(&bytes)
            .map(Descriptors)
            .map_err(|error| Error::new(ErrorKind::Host, format!("cannot read {}: {error}", path().display())))
    }
}

/// What of a container's descriptors is the host's: first init's three standard streams, each as its link in /proc says,
/// or as criu names a file of another mount namespace; then what is the host's /dev/null, by criu's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptors(Vec<String>);

impl Descriptors {
    const STREAMS: usize = 3;

    /// Those of a container's init, and of its other processes, where `inside` are the mounts in it.
    pub(super) fn of(init: u32, others: &[u32], inside: &[Mounted]) -> Self {
        let mut all = Self::default();
        for stream in 0..Self::STREAMS {
            let link = std::fs::read_link(format!("/proc/{init}/fd/{stream}")).unwrap_or_default();
            let outside = Outside::of(init, stream, inside);
            all.0.push(outside.filter(|file| !file.is_null).map_or_else(|| shown(&link), |file| file.name));
        }
        for process in [&[init], others].concat() {
            for null in (0..Self::STREAMS).filter_map(|stream| Outside::of(process, stream, inside)) {
                if null.is_null && !all.0.contains(&null.name) && all.0.len() < MOST {
                    all.0.push(null.name);
                }
            }
        }
        all
    }

    /// criu's names of what is a file of another mount namespace.
    pub(super) fn files(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter(|name| is_file(name))
    }

    /// The streams that take the place of what the images name so: pipes, and files of the host's.
    pub(super) fn streams(&self) -> impl Iterator<Item = (i32, &String)> {
        let streams = (0..).zip(self.0.iter().take(Self::STREAMS));
        let is_first = |at: usize, name: &String| self.0.iter().position(|other| other == name) == Some(at);
        streams.filter(move |(at, name)| (is_pipe(name) || is_file(name)) && is_first(*at as usize, name))
    }

    /// What /dev/null takes the place of.
    pub(super) fn nulls(&self) -> impl Iterator<Item = &String> {
        self.0.iter().skip(Self::STREAMS).take(MOST).filter(|name| is_file(name))
    }
}

/// A descriptor of a file that is in none of the container's mounts.
struct Outside {
    /// criu's name for it, where it is told that it is external.
    name: String,
    is_null: bool,
}

impl Outside {
    fn of(process: u32, stream: usize, inside: &[Mounted]) -> Option<Self> {
        let info = read_small_text(format!("/proc/{process}/fdinfo/{stream}")).ok()?;
        let mount: u64 = info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())?;
        let status = stat(format!("/proc/{process}/fd/{stream}").as_str()).ok()?;
        let kind = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT;
        let is_null = kind == SFlag::S_IFCHR && status.st_rdev == makedev(1, 3);
        let is_outside = inside.iter().all(|mounted| mounted.id != mount);
        let name = format!("file[{mount:x}:{:x}]", status.st_ino);
        (is_outside && (is_null || kind == SFlag::S_IFREG)).then_some(Self { name, is_null })
    }
}

/// As runc writes it; what is no UTF-8 is no name of a pipe.
fn shown(link: &Path) -> String {
    link.to_string_lossy().into_owned()
}

/// criu's name of a file of another mount namespace: `file[MOUNT:INODE]`, both hexadecimal.
fn is_file(name: &str) -> bool {
    let inside = name.strip_prefix("file[").and_then(|name| name.strip_suffix(']'));
    let is_number = |text: &str| (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    inside.and_then(|inside| inside.split_once(':')).is_some_and(|(mount, inode)| is_number(mount) && is_number(inode))
}

/// What /proc says of a pipe (`pipe:[INODE]`), and nothing that merely begins so.
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
    fn only_files_are_files() {
        for (name, is) in [
            ("file[3a:5]", true),
            ("file[3a:]", false),
            ("file[3a]", false),
            ("file[3a:5]:/etc/shadow", false),
            ("file[3a:5", false),
            ("file[+3:5]", false),
            ("mnt[/a]", false),
        ] {
            assert_eq!(is_file(name), is, "{name}");
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
        let error = images.descriptors().unwrap_err();
        assert!(error.message().contains("symbolic link"), "{error}");
        let own = Descriptors::of(std::process::id(), &[], &[]);
        images.save(&own).unwrap();
        assert!(fs::symlink_metadata(&file).unwrap().is_file());
        assert_eq!(fs::read_to_string(&outside).unwrap(), r#"["pipe:[1]"]"#);
        assert_eq!(images.descriptors().unwrap(), own);
        let json = r#"["pipe:[12]", "/dev/null", "file[3:4]", "pipe:[8]", "file[5:6]", "mnt[/]:/", "file[7]"]"#;
        fs::write(&file, json).unwrap();
        let read = images.descriptors().unwrap();
        let streams: Vec<_> = read.streams().map(|(fd, name)| (fd, name.as_str())).collect();
        assert_eq!(streams, [(0, "pipe:[12]"), (2, "file[3:4]")]);
        assert_eq!(read.nulls().collect::<Vec<_>>(), ["file[5:6]"]);
        // Of two that are one file the first counts.
        fs::write(&file, r#"["pipe:[1]", "pipe:[2]", "pipe:[2]"]"#).unwrap();
        assert_eq!(images.descriptors().unwrap().streams().map(|(fd, _)| fd).collect::<Vec<_>>(), [0, 1]);
        for odd in [r#"{"a": 1}"#, "[1]", &format!("[\"{}\"]", "x".repeat(5000))] {
            fs::write(&file, odd).unwrap();
            assert!(images.descriptors().is_err());
        }
        assert!(Directory::open(&path.join("missing")).unwrap_err().message().contains("ENOENT"));
        fs::remove_file(outside).unwrap();
        fs::remove_dir_all(path).unwrap();
    }
}
