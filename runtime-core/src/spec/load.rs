//! config.json read once and parsed: at once where it is as the types want it, and in a second, slower pass where
//! something in it must be named, or loosened as the runtime-spec asks.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use oci_spec::runtime::{Capability, Spec};
use serde_json::Value;
use serde_path_to_error::{Path as ErrorPath, Segment};

use super::{VERSION, limits};
use crate::compile::Invalid;
use crate::error::{Error, ErrorKind, Result};

/// Loads `bundle`/config.json: what it says, and what was ignored in it.
///
/// # Errors
/// [`ErrorKind::NotFound`] where there is none; [`ErrorKind::InvalidSpec`] with the place in it that is wrong.
pub fn load(bundle: &Path) -> Result<(Spec, Vec<String>)> {
    let path = bundle.join("config.json");
    let invalid = |why: String| Error::new(ErrorKind::InvalidSpec, format!("cannot read {}: {why}", path.display()));
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(&path);
    let file = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            let text = format!("JSON specification file config.json not found in {}", bundle.display());
            Error::new(ErrorKind::NotFound, text)
        }
        _ => invalid(error.to_string()),
    })?;
    let about = file.metadata().map_err(|error| invalid(error.to_string()))?;
    if !about.is_file() {
        return Err(invalid("it is no regular file".to_owned()));
    }
    let mut bytes = Vec::with_capacity(about.len() as usize + 1);
    file.take(limits::FILE + 1).read_to_end(&mut bytes).map_err(|error| invalid(error.to_string()))?;
    if bytes.len() as u64 > limits::FILE {
        return Err(invalid(format!("it has more than {} bytes", limits::FILE)));
    }
    Ok(parse(&bytes)?)
}

/// Parses a config.json: what it says, and what was ignored in it. Pure.
///
/// # Errors
/// The first thing in it that is wrong, with its place.
pub fn parse(bytes: &[u8]) -> std::result::Result<(Spec, Vec<String>), Invalid> {
    let plain = bytes.len() < limits::UNCHECKED && !contains(bytes, b"\\u0000");
    let (spec, warnings) = match serde_json::from_slice::<Spec>(bytes) {
        Ok(spec) if plain => (spec, Vec::new()),
        _ => slowly(bytes)?,
    };
    check_version(spec.version())?;
    Ok((spec, warnings))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// The second pass: names what is wrong, and leaves out what is only to be warned about.
fn slowly(bytes: &[u8]) -> std::result::Result<(Spec, Vec<String>), Invalid> {
    let mut config: Value = serde_json::from_slice(bytes).map_err(|error| invalid("", format!("no JSON: {error}")))?;
    refuse_nul(&config, &mut String::new())?;
    limits::check(&config)?;
    let warnings = loosen_capabilities(&mut config);
    if warnings.is_empty() {
        // From the bytes: a key that stands twice is seen there only.
        let mut from = serde_json::Deserializer::from_slice(bytes);
        return Ok((named(serde_path_to_error::deserialize(&mut from))?, warnings));
    }
    Ok((named(serde_path_to_error::deserialize(config))?, warnings))
}

fn invalid(origin: impl Into<String>, why: impl Into<String>) -> Invalid {
    Invalid { origin: origin.into(), why: why.into(), unsupported: false }
}

fn named(
    parsed: std::result::Result<Spec, serde_path_to_error::Error<serde_json::Error>>,
) -> std::result::Result<Spec, Invalid> {
    parsed.map_err(|error| invalid(pointer(error.path()), error.inner().to_string()))
}

/// A path as a JSON pointer (RFC 6901).
fn pointer(path: &ErrorPath) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => push_key(&mut pointer, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

/// The kernel's strings end at a NUL, so one inside would silently change what is asked for.
fn refuse_nul(value: &Value, at: &mut String) -> std::result::Result<(), Invalid> {
    let length = at.len();
    match value {
        Value::String(text) if text.contains('\0') => return Err(invalid(at.as_str(), "it contains a NUL")),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                at.push_str(&format!("/{index}"));
                refuse_nul(item, at)?;
                at.truncate(length);
            }
        }
        Value::Object(entries) => {
            for (key, item) in entries {
                push_key(at, key);
                if key.contains('\0') {
                    return Err(invalid(at.as_str(), "its name contains a NUL"));
                }
                refuse_nul(item, at)?;
                at.truncate(length);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Unknown capabilities are warned about and left out (config.md#linux-process).
fn loosen_capabilities(config: &mut Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let sets = config.pointer_mut("/process/capabilities").and_then(Value::as_object_mut);
    for (set, names) in sets.into_iter().flatten() {
        let Some(names) = names.as_array_mut() else { continue };
        names.retain(|name| {
            let known = !name.is_string() || serde_json::from_value::<Capability>(name.clone()).is_ok();
            if !known {
                let name = name.as_str().unwrap_or_default();
                warnings.push(format!("ignoring unknown capability {name:?} (/process/capabilities/{set})"));
            }
            known
        });
    }
    warnings
}

/// Any 1.x: a minor version adds, it takes nothing away (config.md#specification-version).
fn check_version(version: &str) -> std::result::Result<(), Invalid> {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<Option<u64>> = core.split('.').map(|number| number.parse().ok()).collect();
    let why = match numbers.as_slice() {
        [Some(1), Some(_), Some(_)] => return Ok(()),
        [Some(_), Some(_), Some(_)] => {
            format!("version {version:?} is not supported: this runtime implements {VERSION}")
        }
        _ => format!("{version:?} is no version (SemVer 2.0.0)"),
    };
    Err(invalid("/ociVersion", why))
}
