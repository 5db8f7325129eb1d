//! The Docker Engine as people have it today, under which a runtime may be a shim: its daemon, its containerd, and
//! a runc that does what it asks for.

use std::path::Path;

use super::{Variables, tools};
use crate::containerd;
use crate::run::Result;

/// Makes all three. What the scenarios are told, as variables.
///
/// # Errors
/// What cannot be had: then nothing is known of the shim.
pub(super) fn prepare(folder: &Path) -> Result<Variables> {
    // Their paths are told as those of tools.
    for tool in [tools::DOCKERD, tools::RUNC] {
        tool.get(folder).ok_or_else(|| format!("there is no {}", tool.version()))?;
    }
    Ok(vec![("CONTAINERD", containerd::newest().ok_or("there is no containerd")?)])
}
