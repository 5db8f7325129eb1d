//! The Docker Engine as people have it today, under which a runtime may be a shim: its daemon, and its containerd.

use std::path::Path;

use super::{Variables, tools};
use crate::containerd;
use crate::run::Result;

/// Makes both. What the scenarios are told, as variables.
///
/// # Errors
/// What cannot be had: then nothing is known of the shim.
pub(super) fn prepare(folder: &Path) -> Result<Variables> {
    // Whose path it is the scenarios are told as that of a tool.
    tools::DOCKERD.get(folder).ok_or("there is no newer dockerd")?;
    Ok(vec![("CONTAINERD", containerd::newest().ok_or("there is no containerd")?)])
}
