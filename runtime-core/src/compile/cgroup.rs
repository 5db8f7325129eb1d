//! The container's cgroup: where it is (runtime-spec config-linux.md#cgroups-path), and its device filter.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use oci_spec::runtime::Linux;

use super::plan::Draft;
use super::text::{path_text, text, utf8};
use super::{Invalid, Request, device_filter};
use crate::facts::{CgroupFacts, Facts};
use crate::id::Id;
use crate::wire::{HostOp, Text};

const PATH: &str = "/linux/cgroupsPath";
const DEVICES: &str = "/linux/resources/devices";

/// The unified hierarchy of the host.
pub(super) fn hierarchy(facts: &Facts) -> Result<&CgroupFacts, Invalid> {
    facts.cgroup.as_ref().ok_or_else(|| {
        let why = "cgroup v2 is required: mount it (\"mount -t cgroup2 none /sys/fs/cgroup\"), or boot with \
                   systemd.unified_cgroup_hierarchy=1";
        Invalid::unsupported("", why)
    })
}

/// The container's cgroup, from the root of the hierarchy; `None` where the caller may make none and none is asked for.
pub(super) fn path(linux: &Linux, host: &CgroupFacts, id: &Id) -> Result<Option<CString>, Invalid> {
    let asked = asked(linux);
    if !host.delegated {
        // runc's words: its own tests, and engines' users, look for them.
        let why = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups";
        return if asked.is_some() { Err(Invalid::unsupported(PATH, why)) } else { Ok(None) };
    }
    let asked = asked.map(|path| utf8(PATH, path)).transpose()?;
    let (origin, asked) = asked.map_or(("", id.as_str()), |asked| (PATH, asked));
    let names = names(origin, asked)?;
    let parent = if asked.starts_with('/') { Vec::new() } else { names_of_parent(host)? };
    let path: Vec<_> = parent.iter().map(String::as_str).chain(names).collect();
    path_text(origin, Path::new(&format!("/{}", path.join("/")))).map(Some)
}

/// `cgroupsPath`, where it is set.
fn asked(linux: &Linux) -> Option<&Path> {
    linux.cgroups_path().as_deref().filter(|path| !path.as_os_str().is_empty())
}

/// A relative path is taken from where the caller's own cgroup lies: processes and child cgroups exclude each other
/// (cgroups(7), "no internal processes"), so that it cannot be below.
fn names_of_parent(host: &CgroupFacts) -> Result<Vec<String>, Invalid> {
    let own: Vec<_> = names("", &host.own)?.into_iter().map(str::to_owned).collect();
    Ok(own.split_last().map(|(_, parent)| parent.to_vec()).unwrap_or_default())
}

/// The names of a path. None may lead out of the hierarchy, or out of the parent.
fn names<'a>(origin: &str, path: &'a str) -> Result<Vec<&'a str>, Invalid> {
    let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
    if let Some(odd) = names.iter().find(|name| matches!(**name, "." | "..") || name.len() > 255) {
        return Err(Invalid::new(origin, format!("the cgroup path {path:?} has the name {odd:?} in it")));
    }
    if names.is_empty() && !origin.is_empty() {
        return Err(Invalid::new(origin, "the root cgroup cannot be a container's"));
    }
    Ok(names)
}

/// The host makes the cgroup and attaches the device filter.
pub(super) fn make(request: &Request<'_>, plan: &mut Draft) -> Result<(), Invalid> {
    let Some(path) = &request.cgroup else { return Ok(()) };
    let root = text("", request.host_cgroups.mount.as_os_str().as_bytes())?;
    let origin = if asked(request.linux).is_some() { PATH } else { "" };
    plan.host(origin, HostOp::CreateCgroup { root: Text(&root), path: Text(path) });
    // Without the host's privileges no filter can be attached; and there mknod(2) is denied anyway.
    if request.facts.initial_user_namespace && request.facts.is_privileged() {
        let rules = request.linux.resources().as_ref().and_then(|resources| resources.devices().as_deref());
        let program = device_filter::compile(rules.unwrap_or_default())?;
        plan.host(if rules.is_some() { DEVICES } else { "" }, HostOp::FilterDevices { program: &program });
    }
    Ok(())
}
