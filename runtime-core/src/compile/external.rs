//! What of a container's mounts is the host's: criu neither saves nor makes it, but is told what stands behind each key.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};

use super::Invalid;
use super::mount_options::{ALL_TAKEN, Options, RDONLY};
use super::text::{below, cleaned, listed, utf8};

/// Something of the host's that is mounted in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct External {
    /// Where config.json has it in the container: which links the image has there is not known here.
    pub(crate) destination: String,
    /// What the images of a checkpoint call it.
    pub(crate) key: String,
    /// What it is on the host.
    pub(crate) source: PathBuf,
    /// Which attributes it has at least (mount_setattr(2), MOUNT_ATTR_*): of read-only, nosuid, nodev and noexec.
    pub(crate) attributes: u64,
    /// Where config.json asks for it.
    pub(crate) origin: String,
}

/// One mount of a container, as far as its mount point is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Covered {
    /// Where config.json has it in the container.
    pub(crate) destination: String,
    /// What of the host's is mounted there; `None` where that is a filesystem of the container's own.
    pub(crate) source: Option<PathBuf>,
    /// Whether it can be written to.
    pub(crate) writable: bool,
    /// Where config.json asks for it.
    pub(crate) origin: String,
}

const MOUNTS: &str = "/mounts";
const DEVICES: &str = "/linux/devices";
const MASKED: &str = "/linux/maskedPaths";
const NULL: &str = "/dev/null";

/// A key that criu can read back: it is parsed as `mnt[KEY]:VALUE` (CVE-2026-119101, CVE-2026-115520, CVE-2026-119614). What
/// config.json says is all it is made of, so that no link of an image changes it; and no two destinations have the same.
/// `nth` tells what is mounted at the same place apart.
pub(crate) fn key(destination: &str, nth: usize) -> String {
    let mut key = String::with_capacity(destination.len());
    for byte in destination.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' | b'+' | b'@' | b'=' => {
                key.push(byte.into());
            }
            // Writing to a String cannot fail.
            odd => drop(write!(key, "%{odd:02x}")),
        }
    }
    if nth > 0 {
        let _ = write!(key, "~{nth}");
    }
    key
}

/// Every mount of the host's, in the order in which they are mounted.
pub(crate) fn externals(spec: &Spec, bundle: &Path) -> Result<Vec<External>, Invalid> {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut found = Vec::new();
    for (origin, mount) in listed(MOUNTS, spec.mounts().as_ref()) {
        let options = options(&origin, mount)?;
        let destination = destination(&below(&origin, "destination"), mount.destination())?;
        let Some(source) = source(mount, &options, bundle) else { continue };
        let nth = seen.entry(destination.clone()).or_default();
        let key = key(&destination, *nth);
        *nth += 1;
        let attributes = options.new_attributes().set & ALL_TAKEN;
        found.push(External { destination, key, source, attributes, origin });
    }
    let Some(linux) = spec.linux() else { return Ok(found) };
    let is_free = |found: &[External], destination: &str| found.iter().all(|one| one.destination != destination);
    for (origin, device) in listed(DEVICES, linux.devices().as_ref()) {
        let destination = destination(&below(&origin, "path"), device.path())?;
        if is_free(&found, &destination) {
            let (key, source) = (key(&destination, 0), device.path().clone());
            found.push(External { destination, key, source, attributes: 0, origin });
        }
    }
    for (origin, path) in listed(MASKED, linux.masked_paths().as_ref()) {
        let destination = cleaned(path);
        if is_free(&found, &destination) {
            let (key, source) = (NULL.to_owned(), NULL.into());
            found.push(External { destination, key, source, attributes: 0, origin });
        }
    }
    Ok(found)
}

/// Every mount of config.json, in the order in which they are mounted.
pub(crate) fn covered(spec: &Spec, bundle: &Path) -> Result<Vec<Covered>, Invalid> {
    let read = |(origin, mount): (String, &Mount)| {
        let options = options(&origin, mount)?;
        let destination = destination(&below(&origin, "destination"), mount.destination())?;
        let source = source(mount, &options, bundle);
        let writable = options.new_attributes().set & RDONLY == 0;
        Ok(Covered { destination, source, writable, origin })
    };
    listed(MOUNTS, spec.mounts().as_ref()).map(read).collect()
}

fn options(origin: &str, mount: &Mount) -> Result<Options, Invalid> {
    Options::read(&below(origin, "options"), mount.options().as_deref().unwrap_or_default())
}

/// What a bind mount is of. A relative source is the bundle's (runtime-spec config.md#mounts).
fn source(mount: &Mount, options: &Options, bundle: &Path) -> Option<PathBuf> {
    let is_bind = options.copy.is_some() || mount.typ().as_deref() == Some("bind");
    mount.source().as_ref().filter(|_| is_bind && options.remount.is_none()).map(|source| bundle.join(source))
}

fn destination(origin: &str, path: &Path) -> Result<String, Invalid> {
    utf8(origin, path).map(cleaned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What a key was made of.
    fn read_back(key: &str) -> (String, usize) {
        let (path, nth) = key.split_once('~').map_or((key, 0), |(path, nth)| (path, nth.parse().unwrap()));
        let (mut bytes, mut rest) = (Vec::new(), path.as_bytes());
        while let [first, after @ ..] = rest {
            rest = after;
            bytes.push(match (first, after) {
                (b'%', [high, low, after @ ..]) => {
                    rest = after;
                    u8::from_str_radix(std::str::from_utf8(&[*high, *low]).unwrap(), 16).unwrap()
                }
                (byte, _) => *byte,
            });
        }
        (String::from_utf8(bytes).unwrap(), nth)
    }

    proptest! {
        /// CVE-2026-119101, CVE-2026-115520: `mnt[KEY]:` is read by criu as it was meant, whatever the destination is.
        #[test]
        fn a_key_is_read_back(destination in "\\PC*|[\\]\\[:,\n\t/%~a.]*", nth in 0..3usize) {
            let key = key(&destination, nth);
            let safe = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@=%~".contains(letter);
            prop_assert!(key.chars().all(safe), "{key:?}");
            prop_assert_eq!(read_back(&key), (destination, nth));
        }
    }

    #[test]
    fn usual_keys_are_readable() {
        assert_eq!(key("/etc/hosts", 0), "/etc/hosts");
        assert_eq!(key("/a]:/b, c", 0), "/a%5d%3a/b%2c%20c");
        assert_eq!(key("/a", 1), "/a~1");
    }

    fn spec(json: serde_json::Value) -> Spec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_is_the_hosts() {
        let spec = spec(serde_json::json!({
            "ociVersion": "1.2.0",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/data/../etc//hosts", "type": "bind", "source": "hosts", "options": ["rbind", "ro", "nosuid"]},
                {"destination": "/etc/hosts", "source": "/h", "options": ["bind", "ro", "rw"]},
            ],
            "linux": {
                "maskedPaths": ["/proc/kcore", "/etc/hosts"],
                "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
            },
        }));
        let found = externals(&spec, Path::new("/bundle")).unwrap();
        let shown = found.iter().map(|one| (one.key.as_str(), one.source.to_str().unwrap(), one.attributes));
        let wanted = [
            ("/etc/hosts", "/bundle/hosts", 3),
            ("/etc/hosts~1", "/h", 0),
            ("/dev/fuse", "/dev/fuse", 0),
            ("/dev/null", "/dev/null", 0),
        ];
        assert_eq!(shown.collect::<Vec<_>>(), wanted);
        assert_eq!(found[3].destination, "/proc/kcore");
        let keys: BTreeSet<_> = found.iter().map(|one| &one.key).collect();
        assert_eq!(keys.len(), found.len());
        let covered = covered(&spec, Path::new("/bundle")).unwrap();
        let shown: Vec<_> = covered.iter().map(|one| (one.source.is_some(), one.writable)).collect();
        assert_eq!(shown, [(false, true), (true, false), (true, true)]);
    }
}
