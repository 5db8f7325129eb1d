//! Values written to the files of a cgroup.

use std::ffi::CStr;
use std::path::Path;

use nix::errno::Errno;

use super::Cgroup;
use super::controllers::why_missing;
use crate::wire::Missing;

impl Cgroup {
    /// Writes `value` to `file`, one name; and does what `missing` says where there is no such file.
    pub(crate) fn set(&self, file: &CStr, value: &[u8], missing: Missing<'_>) -> nix::Result<()> {
        match (self.write(file, value), missing) {
            (Err(Errno::ENOENT), Missing::Skip) => Ok(()),
            (Err(Errno::ENOENT), Missing::Instead(file, value)) => self.write(file.0, value),
            (written, _) => written,
        }
    }
}

/// Why `file` of the cgroup at `path` was not set, where the errno alone does not tell.
pub(crate) fn not_set(path: &Path, file: &CStr, errno: Errno) -> Option<String> {
    let name = file.to_string_lossy();
    let missing = |what: &str| why_missing(path, &name).unwrap_or_else(|| what.to_owned());
    Some(match errno {
        Errno::ENOENT if name.starts_with("hugetlb.") => missing("the kernel has no pages of this size"),
        Errno::ENOENT if name.starts_with("io.") && name.ends_with("weight") => {
            missing("the kernel has neither BFQ's io.bfq.weight nor the cost model's io.weight")
        }
        Errno::ENOENT => missing("the kernel has no such file (ENOENT)"),
        Errno::ENODEV if name == "io.max" => "there is no such block device (ENODEV)".to_owned(),
        Errno::EINVAL | Errno::ERANGE | Errno::EOPNOTSUPP => {
            format!("{}: the kernel does not take this value", errno.desc())
        }
        _ => return None,
    })
}
