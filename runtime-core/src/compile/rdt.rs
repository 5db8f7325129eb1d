//! The container's class of service (CLOS) in resctrl, and a group to monitor it by (runtime-spec
//! config-linux.md#intelrdt).

use std::ffi::CString;
use std::path::PathBuf;

use oci_spec::runtime::LinuxIntelRdt;

use super::plan::Draft;
use super::text::{below, path_text, text};
use super::{Invalid, Request};
use crate::wire::{HostOp, List, Text};

pub(crate) const OBJECT: &str = "/linux/intelRdt";

/// The schemata that have members of their own, with what their lines begin with.
pub(crate) const L3: (&str, &str) = ("l3CacheSchema", "L3:");
pub(crate) const MB: (&str, &str) = ("memBwSchema", "MB:");

/// What a CLOS cannot be called: resctrl has these at its root (Documentation/filesystems/resctrl.rst).
const TAKEN: [&str; 3] = ["info", "mon_groups", "mon_data"];

/// What is asked for; nothing where config.json has no `intelRdt`.
#[derive(Debug)]
pub(super) struct Rdt(Option<Groups>);

#[derive(Debug)]
struct Groups {
    /// Where resctrl is mounted.
    root: CString,
    /// The CLOS below it; empty for the default one.
    name: CString,
    /// Whether the CLOS is named by the container's id, and goes with it.
    own: bool,
    /// What is written to the CLOS's schemata, one write each, with its place in config.json.
    writes: Vec<(String, Vec<u8>)>,
    /// The paths of the groups that init enters, and which of them is to be made for monitoring.
    clos: CString,
    monitoring: Option<(String, CString)>,
}

impl Rdt {
    pub(super) fn read(request: &Request<'_>, plan: &mut Draft) -> Result<Self, Invalid> {
        let Some(asked) = request.linux.intel_rdt() else { return Ok(Self(None)) };
        let Some(root) = &request.facts.resctrl else {
            let why = "linux.intelRdt: the host's resctrl is not mounted (mount -t resctrl resctrl /sys/fs/resctrl)";
            return Err(Invalid::unsupported(OBJECT, why));
        };
        let id = request.launch.id.as_str();
        let named = asked.clos_id().as_deref().filter(|name| !name.is_empty());
        let name = match named {
            Some("/") => "",
            Some(name) => name,
            None => id,
        };
        let origin = if named.is_some() { below(OBJECT, "closID") } else { OBJECT.to_owned() };
        check_name(&origin, name)?;
        let clos = root.join(name);
        let monitoring = monitoring(asked, plan).map(|member| {
            let path = clos.join("mon_groups").join(id);
            path_text(OBJECT, &path).map(|path| (below(OBJECT, member), path))
        });
        Ok(Self(Some(Groups {
            root: path_text(OBJECT, root)?,
            name: text(&origin, name)?,
            own: named.is_none(),
            writes: writes(asked, plan)?,
            monitoring: monitoring.transpose()?,
            // Without the slash that joining an empty name leaves.
            clos: path_text(OBJECT, if name.is_empty() { root } else { &clos })?,
        })))
    }

    /// The groups are there, with their schemata, before init is born: what cannot be had costs nothing.
    pub(super) fn make(&self, plan: &mut Draft) {
        let Some(groups) = &self.0 else { return };
        let lines: Vec<_> = groups.writes.iter().flat_map(|(_, lines)| lines.split(|byte| *byte == b'\n')).collect();
        let lines: Vec<_> = lines.into_iter().filter_map(|line| CString::new(line).ok()).collect();
        let schemata: Vec<_> = lines.iter().filter(|line| !line.is_empty()).map(|line| Text(line)).collect();
        let (root, name) = (Text(&groups.root), Text(&groups.name));
        plan.host(OBJECT, HostOp::MakeClos { root, name, own: groups.own, schemata: List::new(&schemata) });
        for (origin, lines) in &groups.writes {
            plan.host(origin, HostOp::SetSchemata { lines });
        }
        if let Some((origin, path)) = &groups.monitoring {
            plan.host(origin, HostOp::MakeMonitoringGroup { path: Text(path) });
        }
    }

    /// Before init has a child: the CLOS first, since a monitoring group takes only who is in its CLOS.
    pub(super) fn enter(&self, plan: &mut Draft) {
        let Some(groups) = &self.0 else { return };
        plan.host(OBJECT, HostOp::EnterGroup { path: Text(&groups.clos) });
        if let Some((origin, path)) = &groups.monitoring {
            plan.host(origin, HostOp::EnterGroup { path: Text(path) });
        }
    }
}

/// A process that joins is no child of init's: it does not inherit its groups.
pub(super) fn enter_all(groups: &[PathBuf], plan: &mut Draft) -> Result<(), Invalid> {
    groups.iter().try_for_each(|group| {
        plan.host(OBJECT, HostOp::EnterGroup { path: Text(&path_text(OBJECT, group)?) });
        Ok(())
    })
}

fn check_name(origin: &str, name: &str) -> Result<(), Invalid> {
    let why = match name {
        "." | ".." => "it is no name of a directory",
        _ if name.contains('/') => "it contains a slash",
        _ if name.bytes().any(|byte| byte.is_ascii_control()) => "it contains a control character",
        _ if name.len() > 255 => "it is longer than 255 bytes",
        _ if TAKEN.contains(&name) => "resctrl has that for itself",
        _ => return Ok(()),
    };
    Err(Invalid::new(origin, format!("invalid name of a CLOS {name:?}: {why}")))
}

/// The member that asks for a monitoring group.
fn monitoring(asked: &LinuxIntelRdt, plan: &mut Draft) -> Option<&'static str> {
    if *asked.enable_monitoring() == Some(true) {
        return Some("enableMonitoring");
    }
    let old = [(asked.enable_cmt(), "enableCMT"), (asked.enable_mbm(), "enableMBM")];
    let (_, member) = old.into_iter().find(|(flag, _)| **flag == Some(true))?;
    plan.warn(format!("{member} is deprecated, and taken for enableMonitoring ({OBJECT}/{member})"));
    Some(member)
}

/// What is written, in the order that the spec says: a later write may change what an earlier one set.
fn writes(asked: &LinuxIntelRdt, plan: &mut Draft) -> Result<Vec<(String, Vec<u8>)>, Invalid> {
    let mut writes = Vec::new();
    for ((member, begin), line) in [(L3, asked.l3_cache_schema()), (MB, asked.mem_bw_schema())] {
        let Some(line) = line.as_deref().filter(|line| !line.is_empty()) else { continue };
        let origin = below(OBJECT, member);
        if let Some(warning) = check_schema(&origin, (member, begin), line)? {
            plan.warn(warning);
        }
        writes.push((origin, format!("{}\n", line.trim_end_matches('\n')).into_bytes()));
    }
    let mut lines = Vec::new();
    let list = below(OBJECT, "schemata");
    for (index, line) in asked.schemata().iter().flatten().enumerate() {
        let origin = below(&list, index);
        if line.is_empty() || line.contains(['\n', '\0']) {
            return Err(Invalid::new(origin, format!("{line:?} is no line of a schemata file")));
        }
        lines.extend_from_slice(format!("{line}\n").as_bytes());
    }
    if !lines.is_empty() {
        writes.push((list, lines));
    }
    Ok(writes)
}

/// Checks a schema that has a member of its own. The spec says MUST of a memory bandwidth and only SHOULD of a cache, whose
/// lines for code and for data engines separate by newlines: that is a warning.
pub(crate) fn check_schema(origin: &str, (member, begin): (&str, &str), line: &str) -> Result<Option<String>, Invalid> {
    if line.contains('\0') {
        return Err(Invalid::new(origin, "it contains a NUL character"));
    }
    if line.starts_with(begin) && !line.contains('\n') {
        return Ok(None);
    }
    let why = format!("{member} {line:?} is not one line that begins with {begin:?}");
    if member == MB.0 { Err(Invalid::new(origin, why)) } else { Ok(Some(format!("{why} ({origin})"))) }
}
