//! What this host is: plain data, read once, so that the same facts always give the same plan.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What this host is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The kernel's major and minor version.
    pub kernel: (u32, u32),
    /// The effective user id of the caller.
    pub euid: u32,
    /// The effective group id of the caller.
    pub egid: u32,
    /// The caller's effective capabilities, as a bit set.
    pub effective: u64,
    /// The caller's bounding set.
    pub bounding: u64,
    /// The greatest capability this kernel knows.
    pub last_capability: u8,
    /// Whether the caller is in the initial user namespace.
    pub initial_user_namespace: bool,
    /// Whether the kernel has time namespaces.
    pub time_namespaces: bool,
    /// The unified cgroup hierarchy; `None` where none is mounted.
    pub cgroup: Option<CgroupFacts>,
}

/// The unified cgroup hierarchy, and the caller's place in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CgroupFacts {
    /// Where it is mounted: `/sys/fs/cgroup`, on a hybrid host `/sys/fs/cgroup/unified`.
    pub mount: PathBuf,
    /// The caller's cgroup, from the root of the hierarchy: `/`, `/user.slice/…`.
    pub own: String,
    /// Whether the caller may make cgroups beside its own.
    pub delegated: bool,
    /// The controllers of the hierarchy's root.
    pub controllers: Vec<String>,
}

impl Facts {
    /// Whether the caller has a capability, by number.
    pub fn has(&self, capability: u8) -> bool {
        self.effective >> capability & 1 == 1
    }
}
