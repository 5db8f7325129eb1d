//! What the arguments of a launch must be.

use std::path::Path;

use super::Invalid;

/// A path that the caller gives.
pub(super) fn absolute(what: &str, path: &Path) -> Result<(), Invalid> {
    if path.is_absolute() { Ok(()) } else { Err(Invalid::new("", format!("the {what} {path:?} is not absolute"))) }
}
