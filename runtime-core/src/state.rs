//! A container's state as it is shown (runtime-spec runtime.md#state): what was recorded, and what is observed now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::host::record::Record;
use crate::host::state::START;
use crate::host::users::Users;
use crate::process::Process;
use crate::wire::HookKind;

/// A container's status. Observed, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made, or what a killed create left.
    Creating,
    /// Init waits for start.
    Created,
    /// The user's program runs.
    Running,
    /// It runs, but its cgroup is frozen.
    Paused,
    /// Init is gone.
    Stopped,
    /// Its state cannot be used: it is damaged, or another version's. It can be deleted by force.
    Unknown,
}

impl Status {
    /// Its word in the state.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }
}

/// A container's state, as `planc state` prints it: what runtime.md#state asks for, and what runc adds.
///
/// Not `oci_spec::runtime::State`: it has no `paused`, and neither `rootfs`, `created` nor `owner`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the runtime-spec that the state complies with.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Init's pid in the caller's pid namespace; 0 when stopped.
    pub pid: u32,
    /// What it does.
    pub status: Status,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The root filesystem's directory.
    pub rootfs: PathBuf,
    /// When it was created, RFC 3339 in UTC with nanoseconds.
    pub created: String,
    /// The annotations of config.json.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The name of the user who made it, empty where it has none.
    pub owner: String,
}

impl State {
    /// The state of a container with this record, seen now.
    pub(crate) fn of(record: Record, status: Status, users: &Users) -> Self {
        let runs = !matches!(status, Status::Stopped | Status::Unknown);
        let pid = record.init.as_ref().filter(|_| runs).map_or(0, |init| init.pid);
        Self {
            oci_version: record.oci_version,
            id: record.id,
            pid,
            status,
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: record.created,
            annotations: record.annotations,
            owner: users.name_of(record.owner).unwrap_or_default(),
        }
    }
}

/// The state that hooks read (runtime-spec runtime.md#state), without what changes: the status, and the pid.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HookState<'a> {
    pub(crate) oci_version: &'a str,
    pub(crate) id: &'a str,
    pub(crate) bundle: &'a Path,
    pub(crate) annotations: BTreeMap<&'a str, &'a str>,
}

impl<'a> HookState<'a> {
    /// Of a container with this record.
    pub(crate) fn of(record: &'a Record) -> Self {
        Self {
            oci_version: &record.oci_version,
            id: &record.id,
            bundle: &record.bundle,
            annotations: record.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        }
    }

    /// JSON that is not ended: init writes the status and its own pid behind it.
    pub(crate) fn head(&self) -> serde_json::Result<Vec<u8>> {
        let mut json = serde_json::to_vec(self)?;
        // The brace.
        json.pop();
        Ok(json)
    }

    /// The whole of it, for a hook of this kind; without a pid where no process is left.
    pub(crate) fn json(&self, kind: HookKind, pid: Option<u32>) -> serde_json::Result<Vec<u8>> {
        let mut json = self.head()?;
        json.extend_from_slice(format!(",\"status\":\"{}\"", kind.status()).as_bytes());
        if let Some(pid) = pid {
            json.extend_from_slice(format!(",\"pid\":{pid}").as_bytes());
        }
        json.push(b'}');
        Ok(json)
    }
}

/// What the container does now, and its init where that runs.
pub(crate) fn observe(record: &Record, directory: &Path) -> Result<(Status, Option<Process>)> {
    let Some(identity) = &record.init else { return Ok((Status::Creating, None)) };
    let failed = |errno: Errno| Error::new(ErrorKind::Host, format!("cannot look for init: {}", errno.desc()));
    let Some(pidfd) = identity.find().map_err(failed)? else { return Ok((Status::Stopped, None)) };
    let process = Process { pid: identity.pid, pidfd };
    let frozen = record.cgroup.as_ref().map_or(Ok(false), |cgroup| cgroup.is_frozen()).map_err(failed)?;
    let status = if frozen {
        Status::Paused
    } else if is_init(identity.pid).unwrap_or_else(|| directory.join(START).exists()) {
        Status::Created
    } else {
        Status::Running
    };
    Ok((status, Some(process)))
}

/// Whether a process still executes the init program; `None` where that may not be seen.
fn is_init(pid: u32) -> Option<bool> {
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let name = program.as_os_str().as_encoded_bytes();
    // The memfd, or the file of the detached tmpfs where executable memfds are forbidden.
    Some(name.starts_with(b"/memfd:planc:init") || name == b"/init (deleted)" || name == b"/init")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_read_json() {
        let annotations = BTreeMap::from([("a\"b", "\n"), ("c", "")]);
        let state = HookState { oci_version: "1.3.0", id: "x", bundle: Path::new("/b"), annotations };
        let annotations = serde_json::json!({ "a\"b": "\n", "c": "" });
        for (kind, pid) in [(HookKind::CreateRuntime, Some(7)), (HookKind::Poststop, None)] {
            let read: serde_json::Value = serde_json::from_slice(&state.json(kind, pid).unwrap()).unwrap();
            let mut wanted = serde_json::json!({
                "ociVersion": "1.3.0", "id": "x", "bundle": "/b", "annotations": annotations, "status": kind.status(),
            });
            if let Some(pid) = pid {
                wanted["pid"] = pid.into();
            }
            assert_eq!(read, wanted);
        }
    }

    #[test]
    fn hooks_are_told_statuses_that_exist() {
        for kind in HookKind::ALL {
            let status: Status = serde_json::from_value(kind.status().into()).unwrap();
            assert_eq!(status.name(), kind.status());
        }
    }
}
