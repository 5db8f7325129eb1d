//! The state directory of a container: claimed by mkdir, locked, a journal before it is a state.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind as Io, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::process::Identity;
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::spec;

/// What is in state.json. The first one is written before anything is made: it is the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The version of this layout.
    pub(crate) version: u32,
    pub(crate) id: String,
    pub(crate) oci_version: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) created: String,
    /// The effective uid of whoever made the container.
    pub(crate) owner: u32,
    /// The cgroup that is about to be made, or is.
    pub(crate) cgroup: Option<CgroupRecord>,
    /// Init, once the container is created.
    pub(crate) init: Option<Identity>,
}

/// The version of [`Record`] that this crate writes.
pub(crate) const VERSION: u32 = 1;

/// The container's cgroup.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CgroupRecord {
    /// Its directory.
    pub(crate) path: PathBuf,
    /// Whether it is the container's own, and goes with it.
    pub(crate) own: bool,
    /// Its inode, once it is known: another cgroup of the same name is not the container's.
    pub(crate) inode: Option<u64>,
}

const STATE: &str = "state.json";
const PLAN: &str = "plan";
const CONFIG: &str = "config.json";
/// The socket that init waits at.
pub(crate) const START: &str = "start.sock";

/// How long another command may hold a container.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// A container's state directory, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
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
        Self::lock(path)
    }

    /// Opens and locks the state directory of a container.
    pub(crate) fn open(root: &Path, id: &Id) -> Result<Self> {
        Self::lock(root.join(id.as_str()))
    }

    /// The lock ends with the process, however it ends.
    fn lock(path: PathBuf) -> Result<Self> {
        let dir = match File::open(&path) {
            Err(error) if error.kind() == Io::NotFound => return Err(no_such_container()),
            opened => opened.map_err(|error| host("open", &path, &error))?,
        };
        let deadline = Instant::now() + LOCK_LIMIT;
        while let Err(error) = dir.try_lock() {
            match error {
                std::fs::TryLockError::Error(error) => return Err(host("lock", &path, &error)),
                std::fs::TryLockError::WouldBlock if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                std::fs::TryLockError::WouldBlock => {
                    let why = "another command has held it for 10 s";
                    return Err(Error::new(ErrorKind::Host, format!("cannot lock {}: {why}", path.display())));
                }
            }
        }
        let gone = dir.metadata().map_err(|error| host("look at", &path, &error))?.nlink() == 0;
        if gone { Err(no_such_container()) } else { Ok(Self { path, dir }) }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its descriptor, to reach sockets in it whatever the length of its path.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Writes the record, whole or not at all.
    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        let bytes = serde_json::to_vec(record)
            .map_err(|error| Error::new(ErrorKind::Host, format!("cannot encode the state: {error}")))?;
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

    /// The plan, where one was saved.
    pub(crate) fn plan(&self) -> Option<Vec<u8>> {
        std::fs::read(self.path.join(PLAN)).ok()
    }

    /// A new name, synced, then renamed: a reader sees the old file or the new one. The holder of the lock is the only
    /// writer, so a file of the new name is what a killed one left.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let new = self.path.join(format!("{name}.new"));
        let written =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new).and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            });
        let renamed = written.and_then(|()| std::fs::rename(&new, &path)).and_then(|()| self.dir.sync_all());
        renamed.map_err(|error| {
            // What could not be written whole is of no use; that it cannot be removed either changes nothing.
            let _ = std::fs::remove_file(&new);
            host("write", &path, &error)
        })
    }

    /// The record; `None` where none was written, or none can be read.
    pub(crate) fn record(&self) -> Result<Option<Record>> {
        read(&self.path)
    }

    /// Start is over: nobody listens there any more.
    pub(crate) fn remove_start(&self) {
        // It is no error that it is gone; the status is observed elsewhere.
        let _ = std::fs::remove_file(self.path.join(START));
    }

    /// Removes the directory, the record last: until then a delete can be repeated.
    pub(crate) fn remove(self) -> Result<()> {
        let failed = |error: std::io::Error| host("remove", &self.path, &error);
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.file_name().is_some_and(|name| name != STATE) {
                std::fs::remove_file(&path).map_err(failed)?;
            }
        }
        match std::fs::remove_file(self.path.join(STATE)) {
            Err(error) if error.kind() != Io::NotFound => return Err(failed(error)),
            _ => {}
        }
        std::fs::remove_dir(&self.path).map_err(failed)
    }
}

/// What config.json said when the container was made.
pub(crate) fn config(directory: &Path) -> Result<Spec> {
    let path = directory.join(CONFIG);
    let json = std::fs::read(&path).map_err(|error| host("read", &path, &error))?;
    let (spec, _) = spec::parse(&json)?;
    Ok(spec)
}

/// The record in a state directory, without its lock; `None` where none was written.
pub(crate) fn read(path: &Path) -> Result<Option<Record>> {
    let file = path.join(STATE);
    let bytes = match std::fs::read(&file) {
        Err(error) if error.kind() == Io::NotFound => {
            return if path.is_dir() { Ok(None) } else { Err(no_such_container()) };
        }
        read => read.map_err(|error| host("read", &file, &error))?,
    };
    let record: Record = serde_json::from_slice(&bytes)
        .map_err(|error| Error::new(ErrorKind::Host, format!("cannot read {}: {error}", file.display())))?;
    if record.version == VERSION {
        Ok(Some(record))
    } else {
        let why = format!("its version is {}, not {VERSION}", record.version);
        Err(Error::new(ErrorKind::Host, format!("cannot read {}: {why}", file.display())))
    }
}
