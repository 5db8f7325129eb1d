//! Subordinate ids (subuid(5), subgid(5)) and the programs that map them (newuidmap(1), newgidmap(1)).

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::sys::statvfs::{FsFlags, statvfs};
use serde::{Deserialize, Serialize};

use super::program;
use crate::host::users::Users;
use crate::sys::probe::has_file_capabilities;

/// Where newuidmap or newgidmap has its privileges from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Privileges {
    /// It is root's and set-uid.
    SetUid,
    /// File capabilities (capabilities(7)).
    Capabilities,
    /// It has none, or its filesystem is mounted nosuid.
    None,
}

/// newuidmap or newgidmap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MapProgram {
    /// Where it is.
    pub path: PathBuf,
    /// Where it has its privileges from.
    pub privileges: Privileges,
}

impl MapProgram {
    fn find(name: &str) -> Option<Self> {
        let (raw, path) = program(name)?;
        let nosuid = statvfs(&path).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOSUID));
        let is_set_uid = path.metadata().is_ok_and(|meta| meta.uid() == 0 && meta.mode() & 0o4000 != 0);
        let privileges = match (nosuid, is_set_uid) {
            (false, true) => Privileges::SetUid,
            (false, false) if has_file_capabilities(&raw) => Privileges::Capabilities,
            _ => Privileges::None,
        };
        Some(Self { path, privileges })
    }
}

/// The ids that a caller without privileges may map beside its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubordinateIds {
    /// Ranges of /etc/subuid: the first, and how many. (A directory service may know more, subid(5).)
    pub uids: Vec<(u32, u32)>,
    /// Ranges of /etc/subgid.
    pub gids: Vec<(u32, u32)>,
    /// What writes uid maps.
    pub newuidmap: Option<MapProgram>,
    /// What writes gid maps.
    pub newgidmap: Option<MapProgram>,
}

impl SubordinateIds {
    /// What the files have for this uid, by its number or its name.
    pub(super) fn read(uid: u32) -> Self {
        let name = Users::read().name_of(uid);
        let of = |path: &str| ranges(&std::fs::read_to_string(path).unwrap_or_default(), uid, name.as_deref());
        Self {
            uids: of("/etc/subuid"),
            gids: of("/etc/subgid"),
            newuidmap: MapProgram::find("newuidmap"),
            newgidmap: MapProgram::find("newgidmap"),
        }
    }
}

/// Lines are `owner:first:count`; what is none is left out, as newuidmap does.
pub(super) fn ranges(text: &str, uid: u32, name: Option<&str>) -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let is_own = Some(owner) == name || owner.parse() == Ok(uid);
        let range = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (is_own && range.1 > 0).then_some(range)
    };
    text.lines().filter_map(range).collect()
}
