//! The state directory of a container: claimed by mkdir, locked, a journal before it is a state.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind as Io, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
#[cfg(feature = "criu")]
use nix::mount::{MsFlags, mount};
use oci_spec::runtime::Spec;

use super::cgroup::Mark;
use super::record::{self, Found, Record};
use crate::engine::stage;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::spec;

const STATE: &str = "state.json";
const PLAN: &str = "plan";
const CONFIG: &str = "config.json";
/// Where the root filesystem is mounted while criu restores a container.
const ROOT: &str = "criu-root";
/// The socket that init waits at.
pub(crate) const START: &str = "start.sock";

/// How long another command may hold a container.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// How long it may hold one that is to be deleted by force.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// A container's state directory, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    mark: Mark,
    dir: File,
}

fn host(what: &str, path: &Path, error: &std::io::Error) -> Error {
    // Not the errno's own words: engines take "no such file or directory" for a missing program.
    let why = if error.kind() == Io::NotFound { "does not exist (ENOENT)".to_owned() } else { error.to_string() };
    Error::new(ErrorKind::Host, format!("cannot {what} {}: {why}", path.display()))
}

pub(crate) fn no_such_container() -> Error {
    Error::new(ErrorKind::NotFound, "container does not exist")
}

/// Sticky: whoever cleans up below `$XDG_RUNTIME_DIR` lets it be then (XDG Base Directory Specification).
fn make_root(root: &Path) -> std::io::Result<()> {
    if let Some(parent) = root.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    match DirBuilder::new().mode(0o1700).create(root) {
        // Another container's creator was faster.
        Err(error) if error.kind() == Io::AlreadyExists => Ok(()),
        made => made,
    }
}

impl StateDir {
    /// Makes the state directory of a new container: the mkdir that succeeds owns the id.
    pub(crate) fn claim(root: &Path, id: &Id) -> Result<Self> {
        let path = root.join(id.as_str());
        let mkdir = || DirBuilder::new().mode(0o700).create(&path);
        let made = match mkdir() {
            Err(error) if error.kind() == Io::NotFound => make_root(root).and_then(|()| mkdir()),
            made => made,
        };
        match made {
            Ok(()) => {}
            Err(error) if error.kind() == Io::AlreadyExists => {
                return Err(Error::new(ErrorKind::AlreadyExists, "container with given ID already exists"));
            }
            Err(error) => return Err(host("make the state directory", &path, &error)),
        }
        Self::lock(path, &mut |_| Ok(()))
    }

    /// Opens and locks the state directory of a container.
    pub(crate) fn open(root: &Path, id: &Id) -> Result<Self> {
        Self::lock(root.join(id.as_str()), &mut |_| Ok(()))
    }

    /// As [`Self::open`]; where another holds it for long, `kill` ends what the container has.
    pub(crate) fn open_by_force(root: &Path, id: &Id, mut kill: impl FnMut(&Mark) -> Result<()>) -> Result<Self> {
        Self::lock(root.join(id.as_str()), &mut kill)
    }

    /// The lock ends with the process, however it ends, and with an init that was born and has not closed it yet: it may be
    /// frozen while its creator is dead.
    fn lock(path: PathBuf, kill: &mut dyn FnMut(&Mark) -> Result<()>) -> Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let dir = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(&path) {
            // Whatever else has the name is no container.
            Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => return Err(no_such_container()),
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(no_such_container()),
            opened => opened.map_err(|error| host("open", &path, &error))?,
        };
        let look = || dir.metadata().map_err(|error| host("look at", &path, &error));
        let mark = |status: &std::fs::Metadata| {
            Mark::of(status.dev(), status.ino(), &path.file_name().unwrap_or_default().to_string_lossy())
        };
        let begin = Instant::now();
        let mut impatient = begin + LOCK_PATIENCE;
        while let Err(error) = dir.try_lock() {
            match error {
                std::fs::TryLockError::Error(error) => return Err(host("lock", &path, &error)),
                std::fs::TryLockError::WouldBlock if begin.elapsed() < LOCK_LIMIT => {
                    std::thread::sleep(Duration::from_millis(5));
                    if Instant::now() > impatient {
                        kill(&mark(&look()?))?;
                        impatient += LOCK_PATIENCE;
                    }
                }
                std::fs::TryLockError::WouldBlock => {
                    let why = "another command has held it for 10 s";
                    return Err(Error::new(ErrorKind::Host, format!("cannot lock {}: {why}", path.display())));
                }
            }
        }
        let status = look()?;
        // Its removal may be what was waited for.
        if status.nlink() == 0 {
            return Err(no_such_container());
        }
        let mark = mark(&status);
        Ok(Self { path, mark, dir })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its descriptor, to reach sockets in it whatever the length of its path.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// What is written on the container's cgroup.
    pub(crate) fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Writes the record, whole or not at all.
    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        let bytes =
            record.seal().map_err(|error| Error::new(ErrorKind::Host, format!("cannot encode the state: {error}")))?;
        self.write(STATE, &bytes)
    }

    /// Writes the plan, for what start has to say when a step of it fails.
    pub(crate) fn save_plan(&self, plan: &[u8]) -> Result<()> {
        self.write(PLAN, plan)
    }

    /// Writes what config.json says, for exec and for the hooks of start and delete: before the first record, so that there is
    /// none without it.
    pub(crate) fn save_config(&self, json: &[u8]) -> Result<()> {
        let path = self.path.join(CONFIG);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(json)).map_err(|error| host("write", &path, &error))
    }

    /// Writes what config.json says by now, whole or not at all.
    pub(crate) fn replace_config(&self, json: &[u8]) -> Result<()> {
        self.write(CONFIG, json)
    }

    /// The plan, where one was saved.
    pub(crate) fn plan(&self) -> Option<Vec<u8>> {
        std::fs::read(self.path.join(PLAN)).ok()
    }

    /// A new name, then renamed: a reader sees the old file or the new one. Not synced: no container survives the boot it was
    /// made in, and what a crash of the machine leaves of its state is found by the checksum. The holder of the lock is the
    /// only writer, so a file of the new name is what a killed one left.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let new = self.path.join(format!("{name}.new"));
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| file.write_all(bytes));
        let renamed = written.and_then(|()| std::fs::rename(&new, &path));
        renamed.map_err(|error| {
            // What could not be written whole is of no use; that it cannot be removed either changes nothing.
            let _ = std::fs::remove_file(&new);
            host("write", &path, &error)
        })
    }

    /// What there is of a record.
    pub(crate) fn record(&self) -> Result<Found> {
        read(&self.path)
    }

    /// Start is over: nobody listens there any more.
    pub(crate) fn remove_start(&self) {
        // It is no error that it is gone; the status is observed elsewhere.
        let _ = std::fs::remove_file(self.path.join(START));
    }

    /// Makes a mount point of a container's root filesystem, which criu asks for; where it is then. It is in the state
    /// directory, so that whatever removes that knows of it.
    #[cfg(feature = "criu")]
    pub(crate) fn mount_root(&self, rootfs: &Path) -> Result<PathBuf> {
        let path = self.path.join(ROOT);
        let made = DirBuilder::new().mode(0o700).create(&path).and_then(|()| path.canonicalize());
        let point = made.map_err(|error| host("make", &path, &error))?;
        let mounted = mount(Some(rootfs), &point, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>);
        mounted.map_err(|errno| host("mount the root filesystem at", &path, &errno.into()))?;
        Ok(point)
    }

    /// Undoes [`Self::mount_root`].
    #[cfg(feature = "criu")]
    pub(crate) fn unmount_root(&self) -> Result<()> {
        let path = self.path.join(ROOT);
        unmount(&path).map_err(|error| host("unmount", &path, &error))
    }

    /// Removes the directory, the record last: until then a delete can be repeated.
    pub(crate) fn remove(self) -> Result<()> {
        let failed = |error: std::io::Error| host("remove", &self.path, &error);
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            match path.file_name() {
                Some(name) if name == ROOT => unmount(&path).map_err(failed)?,
                Some(name) if name != STATE => remove(&path).map_err(failed)?,
                _ => {}
            }
        }
        stage("files-removed");
        remove(&self.path.join(STATE)).map_err(failed)?;
        stage("record-removed");
        std::fs::remove_dir(&self.path).map_err(failed)
    }
}

/// Removes a mount point, and never what is in it: that is the container's root filesystem.
fn unmount(path: &Path) -> std::io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        // Nothing is mounted there, or the caller may not mount: then it has not.
        Ok(()) | Err(Errno::EINVAL | Errno::EPERM) => {}
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    }
    std::fs::remove_dir(path)
}

/// Removes whatever is there; a directory is none of this crate's making, and goes whole. Links are not followed.
fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == Io::NotFound => Ok(()),
        Err(error) if error.kind() == Io::IsADirectory => std::fs::remove_dir_all(path),
        removed => removed,
    }
}

/// What config.json said when the container was made, and what updates made of it.
pub(crate) fn config(directory: &Path) -> Result<Spec> {
    let (spec, _) = spec::parse(&config_json(directory)?)?;
    Ok(spec)
}

/// As [`config`], the text.
pub(crate) fn config_json(directory: &Path) -> Result<Vec<u8>> {
    let path = directory.join(CONFIG);
    std::fs::read(&path).map_err(|error| host("read", &path, &error))
}

/// What there is of a record in a state directory, without its lock.
pub(crate) fn read(path: &Path) -> Result<Found> {
    let is_there = || std::fs::symlink_metadata(path).is_ok_and(|status| status.is_dir());
    match record::read(&path.join(STATE)) {
        Found::Nothing if !is_there() => Err(no_such_container()),
        // A copy of another container's: what it says is that one's.
        Found::Record(record) if path.file_name() != Some(record.id.as_ref()) => {
            Ok(Found::Unusable { why: format!("it is that of container {:?}", record.id), record: None })
        }
        found => Ok(found),
    }
}

/// When a state directory was changed last, and whose it is.
pub(crate) fn seen(path: &Path) -> Option<(SystemTime, u32)> {
    /// RFC 3339 has years of four digits: what a file system says may be anything.
    const YEAR_10000: u64 = 253_402_300_800;
    let status = std::fs::symlink_metadata(path).ok()?;
    let seconds = u64::try_from(status.mtime()).ok().filter(|seconds| *seconds < YEAR_10000)?;
    Some((SystemTime::UNIX_EPOCH + Duration::new(seconds, status.mtime_nsec() as u32), status.uid()))
}
