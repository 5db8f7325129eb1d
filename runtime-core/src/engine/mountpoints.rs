//! The mount points of a container that is restored: those that are missing in its root filesystem are made, as create makes
//! them, but nothing is mounted meanwhile. What is made is reached through directories that are held open, inside the root.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};

use crate::compile::external::Covered;
use crate::error::{Error, ErrorKind, Result};
use crate::sys::page::errno_of;

/// As many links are followed on the way to one mount point (path_resolution(7)).
const MOST_LINKS: u32 = 40;

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC).union(OFlag::O_NOFOLLOW);
const NODE: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC).union(OFlag::O_NOFOLLOW);

/// Makes what is missing, for all mounts in their order.
pub(super) fn make(rootfs: &Path, mounts: &[Covered]) -> Result<()> {
    let failed = |place: &str, origin: &str, errno: Errno| {
        let why = format!("cannot make the mount point {place}: {}", errno.desc());
        Error::new(ErrorKind::Host, why).with_origin(origin)
    };
    let root = open(rootfs, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let root = root.map_err(|errno| failed(&rootfs.display().to_string(), "/root/path", errno))?;
    let mut tree = Tree { root, covers: Vec::new() };
    for mount in mounts {
        tree.cover(mount).map_err(|errno| failed(&mount.destination, &mount.origin, errno))?;
    }
    Ok(())
}

/// The root filesystem, and what will be mounted over it.
struct Tree {
    root: OwnedFd,
    covers: Vec<Cover>,
}

/// What will be mounted somewhere.
struct Cover {
    /// Where, without a link on the way.
    point: PathBuf,
    /// What is there then; `None` of a filesystem that criu restores with all that is in it.
    top: Option<OwnedFd>,
    writable: bool,
}

/// A directory on the way, and what of the tree it is in.
struct At {
    directory: OwnedFd,
    writable: bool,
}

impl Tree {
    fn cover(&mut self, mount: &Covered) -> nix::Result<()> {
        let top = match &mount.source {
            Some(source) => Some(open(source, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?),
            None => None,
        };
        let is_file = top.as_ref().map_or(Ok(false), |top| Ok(kind(top)? != SFlag::S_IFDIR))?;
        if let Some(point) = self.resolve(Path::new(&mount.destination), is_file)? {
            self.covers.push(Cover { point, top, writable: mount.writable });
        }
        Ok(())
    }

    /// Where a path of the container leads, made where it is missing; `None` of one inside of what criu restores.
    fn resolve(&self, path: &Path, is_file: bool) -> nix::Result<Option<PathBuf>> {
        let mut left = names(path);
        let mut links = 0;
        let mut point = PathBuf::from("/");
        let mut way = vec![At { directory: copy(self.root.as_fd())?, writable: true }];
        while let Some(name) = left.pop() {
            if name == ".." {
                if point.pop() {
                    way.truncate(way.len().max(2) - 1);
                }
                continue;
            }
            let Some(at) = way.last() else { return Err(Errno::ENOENT) };
            let next = point.join(&name);
            if let Some(cover) = self.covers.iter().rfind(|cover| cover.point == next) {
                let Some(top) = &cover.top else { return Ok(None) };
                // What is mounted over it again takes its place.
                if kind(top)? == SFlag::S_IFDIR {
                    way.push(At { directory: copy(top.as_fd())?, writable: cover.writable });
                } else if !left.is_empty() {
                    return Err(Errno::ENOTDIR);
                }
                point = next;
                continue;
            }
            let node = found_or_made(at, &name, is_file && left.is_empty())?;
            match kind(&node)? {
                SFlag::S_IFLNK => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Errno::ELOOP);
                    }
                    let target = PathBuf::from(readlinkat(&node, "")?);
                    if target.is_absolute() {
                        point = PathBuf::from("/");
                        way.truncate(1);
                    }
                    left.extend(names(&target));
                }
                SFlag::S_IFDIR => {
                    way.push(At { directory: node, writable: at.writable });
                    point = next;
                }
                _ if left.is_empty() => point = next,
                _ => return Err(Errno::ENOTDIR),
            }
        }
        Ok(Some(point))
    }
}

/// The names of a path, the first one last.
fn names(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    let mut names: Vec<_> = path.components().filter_map(name).collect();
    names.reverse();
    names
}

fn found_or_made(at: &At, name: &OsStr, is_file: bool) -> nix::Result<OwnedFd> {
    match openat(&at.directory, name, NODE, Mode::empty()) {
        Err(Errno::ENOENT) if at.writable => {}
        Err(Errno::ENOENT) => return Err(Errno::EROFS),
        found => return found,
    }
    let made = if is_file {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&at.directory, name, flags, Mode::from_bits_truncate(0o644)).map(drop)
    } else {
        mkdirat(&at.directory, name, Mode::from_bits_truncate(0o755))
    };
    match made {
        Ok(()) | Err(Errno::EEXIST) => openat(&at.directory, name, NODE, Mode::empty()),
        Err(errno) => Err(errno),
    }
}

fn kind(file: &OwnedFd) -> nix::Result<SFlag> {
    Ok(SFlag::from_bits_truncate(fstat(file)?.st_mode) & SFlag::S_IFMT)
}

fn copy(directory: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    match openat(directory, ".", DIRECTORY, Mode::empty()) {
        Err(Errno::ENOTDIR) => directory.try_clone_to_owned().map_err(errno_of),
        copied => copied,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory that goes with its value.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("planc-mountpoints-{}-{name}", std::process::id()));
            fs::create_dir_all(path.join("rootfs")).unwrap();
            Self(path.canonicalize().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn make(&self, mounts: &[(&str, Option<&str>, bool)]) -> Result<()> {
            let covered = |(destination, source, writable): &(&str, Option<&str>, bool)| Covered {
                destination: (*destination).to_owned(),
                source: source.map(|source| self.path(source)),
                writable: *writable,
                origin: "/mounts/0".to_owned(),
            };
            make(&self.path("rootfs"), &mounts.iter().map(covered).collect::<Vec<_>>())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_missing_is_made() {
        let scratch = Scratch::new("made");
        fs::create_dir(scratch.path("data")).unwrap();
        fs::write(scratch.path("hosts"), "").unwrap();
        scratch
            .make(&[
                ("/proc", None, true),
                ("/dev", None, true),
                ("/dev/pts", None, true),
                ("/etc/hosts", Some("hosts"), false),
                ("/data", Some("data"), true),
                ("/data/inner/file", Some("hosts"), true),
            ])
            .unwrap();
        assert!(scratch.path("rootfs/proc").is_dir() && scratch.path("rootfs/etc/hosts").is_file());
        // That one lies in what is mounted, and these in what criu restores.
        assert!(scratch.path("data/inner/file").is_file());
        assert!(!scratch.path("rootfs/data/inner").exists() && !scratch.path("rootfs/dev/pts").exists());
        scratch.make(&[("/data", Some("data"), true), ("/data/inner/file", Some("hosts"), true)]).unwrap();
    }

    #[test]
    fn links_stay_inside() {
        let scratch = Scratch::new("links");
        for name in ["data", "outside", "rootfs/real"] {
            fs::create_dir(scratch.path(name)).unwrap();
        }
        symlink("/real", scratch.path("rootfs/conf")).unwrap();
        symlink("../../../../outside", scratch.path("rootfs/up")).unwrap();
        symlink(scratch.path("outside"), scratch.path("data/out")).unwrap();
        symlink("loop", scratch.path("rootfs/loop")).unwrap();
        scratch
            .make(&[
                ("/conf", Some("data"), true),
                ("/real/made", Some("data"), true),
                ("/up/there", Some("data"), true),
                ("/conf/out/there", Some("data"), true),
                ("/../../dots", Some("data"), true),
            ])
            .unwrap();
        assert!(scratch.path("data/made").is_dir(), "what is at /conf is at /real");
        assert!(scratch.path("rootfs/outside/there").is_dir() && scratch.path("rootfs/dots").is_dir());
        assert_eq!(fs::read_dir(scratch.path("outside")).unwrap().count(), 0);
        let absolute = scratch.path("outside/there");
        assert!(scratch.path("rootfs").join(absolute.strip_prefix("/").unwrap()).is_dir());
        let error = scratch.make(&[("/loop/a", Some("data"), true)]).unwrap_err();
        assert_eq!(error.origin(), Some("/mounts/0"));
        assert!(error.message().contains("symbolic link"), "{error}");
    }

    #[test]
    fn nothing_is_made_in_what_is_read_only() {
        let scratch = Scratch::new("read-only");
        fs::create_dir(scratch.path("data")).unwrap();
        let mounts = [("/data", Some("data"), false), ("/data/inner", Some("data"), true)];
        assert!(scratch.make(&mounts).unwrap_err().message().contains("Read-only"));
        assert_eq!(fs::read_dir(scratch.path("data")).unwrap().count(), 0);
        fs::create_dir(scratch.path("data/inner")).unwrap();
        scratch.make(&mounts).unwrap();
        assert!(scratch.make(&[("/a", Some("missing"), true)]).is_err());
    }
}
