//! What every config.json must be, on whatever host: the version, and how much of everything.

use oci_spec::runtime::{Hook, Hooks, Spec};

use crate::compile::{Invalid, below};

/// The runtime-spec's major version.
const MAJOR: &str = "1";

/// The most mounts: each may need a descriptor of its own, of which init keeps fewer than 4096.
const MOUNTS: usize = 4000;
const VARIABLES: usize = 8192;
const ENTRIES: usize = 10_000;
/// Of one kind: each is a step of the plan with all its strings.
const HOOKS: usize = 1000;
/// All arguments together, in bytes.
const ARGUMENTS: usize = 4 << 20;
/// A path, in bytes (PATH_MAX).
const PATH: usize = 4096;

/// Checks what needs no host.
pub(super) fn check(spec: &Spec) -> Result<(), Invalid> {
    version(spec.version())?;
    counts(spec)?;
    paths(spec)?;
    if spec.annotations().as_ref().is_some_and(|map| map.contains_key("")) {
        return Err(Invalid::new("/annotations/", "the key of an annotation is empty"));
    }
    Ok(())
}

/// Any SemVer 2.0.0 of the major version 1: minor versions only add, and what is unknown is ignored.
fn version(version: &str) -> Result<(), Invalid> {
    let refuse = |why: &str| Err(Invalid::new("/ociVersion", format!("ociVersion {version:?} {why}")));
    if version.is_empty() {
        return Err(Invalid::new("/ociVersion", "ociVersion is missing"));
    }
    let (core, extra) = match version.find(['-', '+']) {
        Some(at) => version.split_at(at),
        None => (version, ""),
    };
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_extra = extra.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+.".contains(&byte));
    if core.split('.').filter(is_number).count() != 3 || core.split('.').count() != 3 || !is_extra {
        return refuse("is no version (SemVer 2.0.0)");
    }
    if core.split('.').next() != Some(MAJOR) { refuse("is not supported, 1.x is") } else { Ok(()) }
}

fn limit(origin: &str, what: &str, count: usize, most: usize) -> Result<(), Invalid> {
    if count <= most { Ok(()) } else { Err(Invalid::new(origin, format!("{count} {what} are more than {most}"))) }
}

fn length<T>(list: Option<&Vec<T>>) -> usize {
    list.map_or(0, Vec::len)
}

fn counts(spec: &Spec) -> Result<(), Invalid> {
    limit("/mounts", "mounts", length(spec.mounts().as_ref()), MOUNTS)?;
    if let Some(process) = spec.process() {
        limit("/process/env", "variables", length(process.env().as_ref()), VARIABLES)?;
        limit("/process/rlimits", "limits", length(process.rlimits().as_ref()), ENTRIES)?;
        let bytes = process.args().iter().flatten().map(String::len).sum();
        limit("/process/args", "bytes", bytes, ARGUMENTS)?;
    }
    for (pointer, hooks) in spec.hooks().iter().flat_map(lists_of_hooks) {
        limit(pointer, "hooks", length(hooks.as_ref()), HOOKS)?;
    }
    let Some(linux) = spec.linux() else { return Ok(()) };
    limit("/linux/devices", "devices", length(linux.devices().as_ref()), ENTRIES)?;
    limit("/linux/maskedPaths", "paths", length(linux.masked_paths().as_ref()), ENTRIES)?;
    limit("/linux/readonlyPaths", "paths", length(linux.readonly_paths().as_ref()), ENTRIES)?;
    limit("/linux/sysctl", "parameters", linux.sysctl().as_ref().map_or(0, |map| map.len()), ENTRIES)?;
    let rules = linux.resources().as_ref().map_or(0, |resources| length(resources.devices().as_ref()));
    limit("/linux/resources/devices", "rules", rules, ENTRIES)
}

fn lists_of_hooks(hooks: &Hooks) -> [(&'static str, &Option<Vec<Hook>>); 6] {
    [
        ("/hooks/prestart", hooks.prestart()),
        ("/hooks/createRuntime", hooks.create_runtime()),
        ("/hooks/createContainer", hooks.create_container()),
        ("/hooks/startContainer", hooks.start_container()),
        ("/hooks/poststart", hooks.poststart()),
        ("/hooks/poststop", hooks.poststop()),
    ]
}

fn paths(spec: &Spec) -> Result<(), Invalid> {
    let check = |origin: &str, length| limit(origin, "bytes of a path", length, PATH);
    if let Some(root) = spec.root() {
        check("/root/path", root.path().as_os_str().len())?;
    }
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let origin = below("/mounts", index);
        check(&below(&origin, "destination"), mount.destination().as_os_str().len())?;
        check(&below(&origin, "source"), mount.source().as_ref().map_or(0, |source| source.as_os_str().len()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn versions() {
        for good in ["1.0.0", "1.0.2-dev", "1.3.0", "1.99.0", "1.0.0-rc.2+build.5"] {
            assert_eq!(version(good), Ok(()), "{good}");
        }
        for bad in ["", "1", "1.0", "1.0.0.0", "v1.0.0", "1..0", "1.0.x", "2.0.0", "0.9.0", "10.0.0", "1.0.0-ä"] {
            assert_eq!(version(bad).unwrap_err().origin, "/ociVersion", "{bad}");
        }
    }

    #[test]
    fn there_is_a_limit_to_everything() {
        let list = |item: &str, count: usize| vec![item; count].join(",");
        for (json, origin) in [
            (format!(r#""mounts": [{}]"#, list(r#"{"destination": "/x"}"#, MOUNTS + 1)), "/mounts"),
            (
                format!(r#""process": {{"user": {{}}, "cwd": "/", "env": [{}]}}"#, list(r#""A=b""#, VARIABLES + 1)),
                "/process/env",
            ),
            (
                format!(r#""process": {{"user": {{}}, "cwd": "/", "args": ["{}"]}}"#, "x".repeat(ARGUMENTS + 1)),
                "/process/args",
            ),
            (format!(r#""linux": {{"maskedPaths": [{}]}}"#, list(r#""/x""#, ENTRIES + 1)), "/linux/maskedPaths"),
            (format!(r#""mounts": [{{"destination": "/{}"}}]"#, "x".repeat(PATH)), "/mounts/0/destination"),
            (r#""annotations": {"": "x"}"#.to_owned(), "/annotations/"),
            (format!(r#""hooks": {{"poststart": [{}]}}"#, list(r#"{"path": "/x"}"#, HOOKS + 1)), "/hooks/poststart"),
        ] {
            let json = format!(r#"{{"ociVersion": "1.0.0", {json}}}"#);
            assert_eq!(parse(json.as_bytes()).unwrap_err().origin, origin);
        }
    }
}
