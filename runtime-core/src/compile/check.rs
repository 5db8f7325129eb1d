//! What config.json can ask for and this version cannot do yet: always an error that names it, never silence.

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxIntelRdt};

use super::Invalid;
use super::text::below;

/// What is asked for: its pointer, and whether it is. An empty value asks for nothing.
type Asked<'a> = (&'a str, bool);

fn refuse(below_pointer: &str, asked: &[Asked<'_>]) -> Result<(), Invalid> {
    match asked.iter().find(|(_, is_asked)| *is_asked) {
        None => Ok(()),
        Some((name, _)) => {
            Err(Invalid::unsupported(below(below_pointer, name), format!("{name} is not supported yet")))
        }
    }
}

/// Refuses what is not supported yet.
pub(super) fn supported(linux: &Linux) -> Result<(), Invalid> {
    refuse(
        "/linux",
        &[("intelRdt", linux.intel_rdt().as_ref().is_some_and(is_rdt))],
    )
}

fn is_rdt(rdt: &LinuxIntelRdt) -> bool {
    let flags = [rdt.enable_cmt(), rdt.enable_mbm(), rdt.enable_monitoring()];
    // Flags that say no ask for nothing.
    let mut other = rdt.clone();
    other.set_enable_cmt(None).set_enable_mbm(None).set_enable_monitoring(None);
    flags.contains(&&Some(true)) || other != LinuxIntelRdt::default()
}

/// What the arguments of a launch must be.
pub(super) fn absolute(what: &str, path: &Path) -> Result<(), Invalid> {
    if path.is_absolute() { Ok(()) } else { Err(Invalid::new("", format!("the {what} {path:?} is not absolute"))) }
}
