//! How much of anything a config.json may have: far above what engines send, far below what would hurt the host.

use serde_json::Value;

use crate::compile::Invalid;

/// The size of the largest config.json, in bytes.
pub(super) const FILE: u64 = 16 << 20;

/// Lists by their place, and how many elements each may have.
const COUNTS: [(&str, usize); 11] = [
    ("/mounts", 4096),
    ("/process/env", 8192),
    ("/process/args", 8192),
    ("/process/rlimits", 10_000),
    ("/process/user/additionalGids", 65_536),
    ("/linux/devices", 10_000),
    ("/linux/resources/devices", 10_000),
    ("/linux/maskedPaths", 10_000),
    ("/linux/readonlyPaths", 10_000),
    ("/linux/uidMappings", 340),
    ("/linux/gidMappings", 340),
];

/// A config.json below this size has no list that could be too long: 340 of the shortest mappings.
pub(super) const UNCHECKED: usize = 340 * "{\"containerID\":0,\"hostID\":0,\"size\":0},".len();

/// Refuses the first list that is too long.
pub(super) fn check(config: &Value) -> Result<(), Invalid> {
    for (place, limit) in COUNTS {
        let count = config.pointer(place).and_then(Value::as_array).map_or(0, Vec::len);
        if count > limit {
            let why = format!("{count} elements are more than {limit}");
            return Err(Invalid { origin: place.to_owned(), why, unsupported: false });
        }
    }
    Ok(())
}
