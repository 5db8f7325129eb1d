//! config.json, read once and parsed: fast where it is what oci-spec takes, with diagnosis where it is not.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use oci_spec::runtime::{Linux, LinuxResources, Process, Spec};
use serde::de::IgnoredAny;

use super::{check, loosen};
use crate::compile::Invalid;
use crate::error::{Error, ErrorKind, Result};

/// The longest config.json that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// Loads `bundle`/config.json (runtime-spec bundle.md), and what was ignored in it with a warning.
///
/// # Errors
/// [`ErrorKind::NotFound`] where there is none; [`ErrorKind::InvalidSpec`] with the JSON pointer where it is not one
/// that the runtime-spec allows, or is a link, not a regular file, or longer than 16 MiB.
pub fn load(bundle: &Path) -> Result<(Spec, Vec<String>)> {
    Ok(parse(&read(&bundle.join("config.json"))?)?)
}

/// The bytes of a bundle's config.json. Never through a link, and once: what is checked is what is performed.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let invalid = |why: String| Error::new(ErrorKind::InvalidSpec, format!("{}: {why}", path.display()));
    let failed = |error: std::io::Error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => {
            // runc's words, which engines' users know.
            let place = path.parent().unwrap_or(path).display();
            Error::new(ErrorKind::NotFound, format!("JSON specification file config.json not found in {place}"))
        }
        Some(libc::ELOOP) => invalid("it is a symbolic link".to_owned()),
        _ => Error::new(ErrorKind::Host, format!("cannot read {}: {error}", path.display())),
    };
    // A fifo without a writer must not keep the open waiting.
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(invalid("it is not a regular file".to_owned()));
    }
    let mut bytes = Vec::with_capacity(metadata.len().min(LONGEST) as usize + 1);
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(invalid(format!("it is longer than {LONGEST} bytes")));
    }
    Ok(bytes)
}

/// Parses a config.json. What the runtime-spec wants ignored with a warning is ignored, and told.
///
/// # Errors
/// What is not JSON, or not what the runtime-spec allows, with its place.
pub fn parse(bytes: &[u8]) -> std::result::Result<(Spec, Vec<String>), Invalid> {
    let mut warnings = Vec::new();
    let text = Text::of(bytes);
    if text.depth > DEEPEST {
        return Err(Invalid::new("", format!("config.json is nested deeper than {DEEPEST}")));
    }
    let spec = match serde_json::from_slice::<Spec>(bytes) {
        Ok(spec) if text.is_object && !text.has_nul && !has_zeros(&spec) && !has_flags_of_old(&spec) => spec,
        _ => loosen::parse(bytes, &mut warnings)?,
    };
    check::check(&spec)?;
    Ok((spec, warnings))
}

/// Parses a `process` that stands alone (config.md#process), as exec takes it; its places are those it would have in a
/// config.json.
///
/// # Errors
/// As [`parse`].
pub fn parse_process(bytes: &[u8]) -> std::result::Result<(Process, Vec<String>), Invalid> {
    let whole = serde_json::from_slice::<IgnoredAny>(bytes);
    whole.map_err(|error| Invalid::new("/process", format!("the process is not JSON: {error}")))?;
    let (spec, warnings) = parse(&[br#"{"ociVersion":"1.0.0","process":"#, bytes, b"}"].concat())?;
    let process = spec.process().clone();
    Ok((process.ok_or_else(|| Invalid::new("/process", "process property must not be empty"))?, warnings))
}

/// Parses a `linux.resources` that stands alone (config-linux.md#control-groups), as update takes it; its places are those
/// it would have in a config.json.
///
/// # Errors
/// As [`parse`].
pub fn parse_resources(bytes: &[u8]) -> std::result::Result<(LinuxResources, Vec<String>), Invalid> {
    let whole = serde_json::from_slice::<IgnoredAny>(bytes);
    whole.map_err(|error| Invalid::new("/linux/resources", format!("the resources are not JSON: {error}")))?;
    if !Text::of(bytes).is_object {
        return Err(Invalid::new("/linux/resources", "the resources are not a JSON object"));
    }
    let (spec, warnings) = parse(&[br#"{"ociVersion":"1.0.0","linux":{"resources":"#, bytes, b"}}"].concat())?;
    let linux = spec.linux().as_ref();
    Ok((linux.and_then(|linux| linux.resources().clone()).unwrap_or_default(), warnings))
}

/// serde_json's own limit, which it does not apply to what is ignored.
const DEEPEST: usize = 128;

/// What is seen of a JSON text without parsing it.
struct Text {
    /// serde takes a list for an object too.
    is_object: bool,
    depth: usize,
    /// In a JSON text a NUL can only stand as an escape.
    has_nul: bool,
}

impl Text {
    fn of(bytes: &[u8]) -> Self {
        let is_object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let mut text = Self { is_object, depth: 0, has_nul: false };
        let (mut depth, mut in_string, mut at) = (0usize, false, 0);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\\' if in_string => {
                    text.has_nul |= bytes.get(at + 1..at + 6) == Some(b"u0000");
                    at += 1;
                }
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => {
                    depth += 1;
                    text.depth = text.depth.max(depth);
                }
                b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
                _ => {}
            }
            at += 1;
        }
        text
    }
}

/// Whether there may be flags that oci-spec passes over, since it spells them otherwise.
fn has_flags_of_old(spec: &Spec) -> bool {
    spec.linux().as_ref().is_some_and(|linux| linux.intel_rdt().is_some() || has_pages_of_no_size(linux))
}

fn has_pages_of_no_size(linux: &Linux) -> bool {
    let limits = linux.resources().as_ref().and_then(|resources| resources.hugepage_limits().as_ref());
    limits.into_iter().flatten().any(|limit| limit.page_size().is_empty())
}

/// oci-spec reads a limit of pids that is absent, which is none, as the limit 0, and so the numbers of a device.
fn has_zeros(spec: &Spec) -> bool {
    let Some(linux) = spec.linux() else { return false };
    let pids = linux.resources().as_ref().and_then(|resources| resources.pids().as_ref());
    pids.is_some_and(|pids| pids.limit() == 0)
        || linux.devices().iter().flatten().any(|device| device.major() == 0 || device.minor() == 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A directory that is gone when the test is over.
    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("planc-load-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_config_json_may_be() {
        let bundle = Scratch::new("what");
        let path = bundle.0.join("config.json");
        let missing = load(&bundle.0).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.message().starts_with("JSON specification file config.json not found in /"));

        fs::create_dir(&path).unwrap();
        assert_eq!(load(&bundle.0).unwrap_err().kind(), ErrorKind::InvalidSpec);
        fs::remove_dir(&path).unwrap();

        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(load(&bundle.0).unwrap_err().message().contains("not a regular file"));
        fs::remove_file(&path).unwrap();

        let real = bundle.0.join("real.json");
        fs::write(&real, br#"{"ociVersion": "1.2.0"}"#).unwrap();
        std::os::unix::fs::symlink(&real, &path).unwrap();
        assert!(load(&bundle.0).unwrap_err().message().contains("symbolic link"));
        fs::remove_file(&path).unwrap();

        fs::rename(&real, &path).unwrap();
        let (spec, warnings) = load(&bundle.0).unwrap();
        assert_eq!((spec.version().as_str(), warnings.len()), ("1.2.0", 0));

        let long = fs::File::create(&path).unwrap();
        long.set_len(LONGEST + 1).unwrap();
        assert!(load(&bundle.0).unwrap_err().message().contains("longer than"));
    }
}
