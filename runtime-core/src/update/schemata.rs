//! Other schemata for a container's class of service.

use serde_json::{Map, Value, json};

use crate::compile::below;
use crate::compile::rdt::{L3, MB, OBJECT, check_schema};
use crate::error::{Error, ErrorKind, Result};
use crate::host::rdt::{self, Group};
use crate::host::record::RdtRecord;

/// Schemata of resctrl, one line of each resource (Documentation/filesystems/resctrl.rst).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schemata {
    /// `l3CacheSchema`: `L3:0=ff;1=c0`.
    pub l3_cache: Option<String>,
    /// `memBwSchema`: `MB:0=20;1=70`.
    pub memory_bandwidth: Option<String>,
}

/// What is written for them, and what was there before.
pub(super) struct Change<'a> {
    lines: Vec<(&'static str, &'a str)>,
    clos: Option<(Group, &'a RdtRecord, String)>,
}

impl<'a> Change<'a> {
    /// Of a container with this record; changes nothing yet.
    pub(super) fn of(rdt: Option<&'a RdtRecord>, given: &'a Schemata, warnings: &mut Vec<String>) -> Result<Self> {
        let mut lines = Vec::new();
        for (kind, line) in [(L3, &given.l3_cache), (MB, &given.memory_bandwidth)] {
            let Some(line) = line.as_deref().filter(|line| !line.is_empty()) else { continue };
            warnings.extend(check_schema(&below(OBJECT, kind.0), kind, line)?);
            lines.push((kind.0, line.trim_end_matches('\n')));
        }
        if lines.is_empty() {
            return Ok(Self { lines, clos: None });
        }
        let unsupported = |why: &str| Error::new(ErrorKind::Unsupported, why).with_origin(OBJECT);
        let rdt =
            rdt.ok_or_else(|| unsupported("the container has no class of service: its intelRdt asks for none"))?;
        if rdt.clos.path == rdt.root {
            return Err(unsupported("the container is in the default class of service, which is the whole host's"));
        }
        let path = rdt.clos.path.display();
        let gone = || Error::new(ErrorKind::Host, format!("the container's class of service {path} is gone"));
        let unread = |errno: nix::errno::Errno| {
            Error::new(ErrorKind::Host, format!("cannot read the schemata of {path}: {}", errno.desc()))
        };
        let clos = Group::open(&rdt.clos.path).map_err(unread)?.ok_or_else(gone)?;
        let before = clos.schemata().map_err(unread)?;
        Ok(Self { lines, clos: Some((clos, rdt, before)) })
    }

    /// Writes them, in the spec's order; where one is refused, [`Self::undo`] writes back those before it.
    pub(super) fn make(&self) -> Result<()> {
        let Some((clos, rdt, _)) = &self.clos else { return Ok(()) };
        self.lines.iter().try_for_each(|(member, line)| {
            clos.set_schemata(format!("{line}\n").as_bytes()).map_err(|errno| {
                let why = format!("cannot give the class of service the schemata {line:?}: {}", errno.desc());
                let error = Error::new(ErrorKind::Host, why).with_note(rdt::last_words(&rdt.root));
                error.with_origin(below(OBJECT, member))
            })
        })
    }

    /// Notes them in the container's config.json.
    pub(super) fn note(&self, linux: &mut Map<String, Value>) {
        for (member, line) in &self.lines {
            linux.entry("intelRdt").or_insert_with(|| json!({}))[*member] = json!(line);
        }
    }

    /// Writes back what was there.
    pub(super) fn undo(&self) {
        if let Some((clos, _, before)) = &self.clos {
            // The first failure is the one to tell.
            let _ = clos.set_schemata(before.as_bytes());
        }
    }
}
