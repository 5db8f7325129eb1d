//! What is kept of a container: state.json. Sealed with a checksum, so that what is not what was written is not believed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind as Io, Read};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, lstat};
use serde::{Deserialize, Serialize};

use super::cgroup::{Cgroup, Mark, is_frozen};
use super::net_devices::MovedRecord;
use super::process::Identity;

/// What is in state.json. The first one is written before anything is made: it is the journal.
///
/// A member that is missing has its default, and one that is unknown is passed over: so most of another version's can be
/// read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
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
    /// Whether the container's pid namespace is its own: whatever is in it ends with init (pid_namespaces(7)).
    pub(crate) own_pids: bool,
    /// The cgroup that is about to be made, or is.
    pub(crate) cgroup: Option<CgroupRecord>,
    /// The groups of resctrl that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rdt: Option<RdtRecord>,
    /// The host's network devices that are about to go to a network namespace which outlives the container, until that is
    /// created: from then on they are whose the namespace is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) net_devices: Option<MovedRecord>,
    /// Init, once the container is created.
    pub(crate) init: Option<Identity>,
    /// Whether the poststop hooks are to be run when the container is gone.
    pub(crate) owes_poststop: bool,
}

/// The version of [`Record`] that this crate writes. 2: with a checksum.
pub(crate) const VERSION: u32 = 2;

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
    /// The unit that it is of, where systemd makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<UnitRecord>,
}

/// Groups of resctrl.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RdtRecord {
    /// Where it is mounted.
    pub(crate) root: PathBuf,
    /// The container's class of service.
    pub(crate) clos: GroupRecord,
    /// Whether that is named by the container's id, and so goes with it where it was made for it.
    pub(crate) own: bool,
    /// Whether it was made for the container, or is about to be.
    pub(crate) made: bool,
    /// The group that the container alone is monitored by.
    pub(crate) monitoring: Option<GroupRecord>,
}

/// One group of resctrl.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupRecord {
    /// Its directory.
    pub(crate) path: PathBuf,
    /// Its inode, once it was made.
    pub(crate) inode: Option<u64>,
}

/// A unit of systemd's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UnitRecord {
    /// Its name.
    pub(crate) name: String,
    /// The addresses of the bus at which it was started: whoever ends it may have another environment.
    pub(crate) bus: String,
    /// What it says of itself: by this it is known again where its creator was killed before it could note the inode.
    pub(crate) description: String,
}

impl CgroupRecord {
    /// Opens it; `None` where it is gone, or where another one has its name by now.
    pub(crate) fn open(&self) -> nix::Result<Option<Cgroup>> {
        self.find(|_| false)
    }

    /// Whether it is frozen; not where it is gone, or where another one has its name by now.
    pub(crate) fn is_frozen(&self) -> nix::Result<bool> {
        let is_it = match lstat(&self.path) {
            Err(Errno::ENOENT) => false,
            found => Some(found?.st_ino) == self.inode,
        };
        match if is_it { is_frozen(&self.path) } else { Ok(false) } {
            // Gone since then.
            Err(Errno::ENOENT | Errno::ENODEV) => Ok(false),
            frozen => frozen,
        }
    }

    /// As [`Self::open`], also where its creator was killed before it could note the inode.
    pub(crate) fn open_marked(&self, mark: &Mark) -> nix::Result<Option<Cgroup>> {
        self.find(|cgroup| cgroup.has(mark))
    }

    fn find(&self, is_it: impl FnOnce(&Cgroup) -> bool) -> nix::Result<Option<Cgroup>> {
        let cgroup = match Cgroup::open(&self.path) {
            Err(Errno::ENOENT) => return Ok(None),
            opened => opened?,
        };
        let same = match self.inode {
            Some(inode) => cgroup.inode()? == inode,
            None => is_it(&cgroup),
        };
        Ok(same.then_some(cgroup))
    }
}

/// What was found in the place of a record.
#[derive(Debug)]
pub(crate) enum Found {
    /// A record of this version.
    Record(Box<Record>),
    /// None: the container is being made, or its creator was killed.
    Nothing,
    /// Something else: why it cannot be used, and what it says where that is what was written, by another version.
    Unusable { why: String, record: Option<Box<Record>> },
}

/// The longest record that is read: config.json, whose annotations it has, may have 16 MiB.
const LONGEST: u64 = 32 << 20;

impl Record {
    /// Its bytes: JSON on one line, and on the next one the checksum of the first.
    pub(crate) fn seal(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        let sum = checksum(&bytes);
        bytes.extend_from_slice(format!("\n{sum:016x}\n").as_bytes());
        Ok(bytes)
    }
}

/// Reads what is at `path`. It never blocks, and follows no link.
pub(super) fn read(path: &Path) -> Found {
    match contents(path) {
        Ok(bytes) => parse(&bytes),
        Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => Found::Nothing,
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => unusable("it is a symbolic link"),
        Err(error) => unusable(error.to_string()),
    }
}

fn contents(path: &Path) -> std::io::Result<Vec<u8>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(AT_FDCWD, path, flags, Mode::empty())?);
    let status = file.metadata()?;
    if !status.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    if status.len() > LONGEST {
        return Err(std::io::Error::other(format!("it has {} bytes", status.len())));
    }
    // It is replaced as a whole, so that it does not grow.
    let mut bytes = vec![0; status.len() as usize];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn unusable(why: impl Into<String>) -> Found {
    Found::Unusable { why: why.into(), record: None }
}

fn parse(bytes: &[u8]) -> Found {
    let Some(json) = unseal(bytes) else { return unusable("it is not what was written (its checksum is wrong)") };
    let record: Box<Record> = match serde_json::from_slice(json) {
        Ok(record) => record,
        Err(error) => return unusable(error.to_string()),
    };
    if record.version == VERSION {
        return Found::Record(record);
    }
    let why = format!("it is of version {}, not {VERSION}", record.version);
    Found::Unusable { why, record: Some(record) }
}

/// The JSON of a sealed record; `None` where the checksum is not its.
fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let lines = bytes.strip_suffix(b"\n")?;
    let (json, sum) = lines.split_at_checked(lines.iter().rposition(|byte| *byte == b'\n')?)?;
    (sum.strip_prefix(b"\n")? == format!("{:016x}", checksum(json)).as_bytes()).then_some(json)
}

/// FNV-1a, 64 bits: against accidents. Whoever can write here needs no false checksum.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Vec<u8> {
        let identity = Identity { pid: 42, start_time: 7, boot_id: "b".into(), pidfd_inode: None };
        let record = Record { version: VERSION, id: "a".into(), init: Some(identity), ..Record::default() };
        record.seal().unwrap()
    }

    #[test]
    fn the_checksum_is_fnv_1a() {
        assert_eq!(checksum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_record_comes_back() {
        let Found::Record(record) = parse(&sealed()) else { panic!("no record") };
        assert_eq!((record.id.as_str(), record.init.unwrap().pid), ("a", 42));
    }

    #[test]
    fn no_flipped_bit_is_believed() {
        let whole = sealed();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                assert!(matches!(parse(&bytes), Found::Unusable { record: None, .. }), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn no_part_is_believed() {
        let whole = sealed();
        for length in 0..whole.len() {
            assert!(matches!(parse(&whole[..length]), Found::Unusable { record: None, .. }), "{length} bytes");
        }
        assert!(matches!(parse(b"{}"), Found::Unusable { .. }));
    }

    #[test]
    fn another_version_is_told_and_kept() {
        let json = br#"{"version": 9, "id": "a", "bundle": "/b", "unheardOf": [1]}"#;
        let bytes = [&json[..], format!("\n{:016x}\n", checksum(json)).as_bytes()].concat();
        let Found::Unusable { why, record } = parse(&bytes) else { panic!("believed") };
        assert_eq!(why, format!("it is of version 9, not {VERSION}"));
        assert_eq!(record.unwrap().bundle, Path::new("/b"));
    }
}
