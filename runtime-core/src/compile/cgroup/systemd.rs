//! The unit that is the container's cgroup where systemd makes it: its name, the slices above it, and the steps that start
//! it (systemd.scope(5), systemd.slice(5)).

use oci_spec::runtime::{Linux, Spec};

use super::properties::{self, Asked};
use super::{PATH, asked};
use crate::compile::plan::Draft;
use crate::compile::text::{text, utf8};
use crate::compile::{Invalid, Launch, Request};
use crate::facts::Facts;
use crate::wire::{HostOp, List, Property, Systemd, Text, Value};

/// The container's unit.
#[derive(Debug)]
pub(in crate::compile) struct Unit {
    /// Where config.json names it; empty where it does not.
    origin: &'static str,
    name: String,
    slice: String,
    /// From the cgroup of that systemd on.
    path: String,
    by: Systemd,
    description: String,
    asked: Vec<Asked>,
}

/// UNIT_NAME_MAX without the NUL.
const LONGEST: usize = 255;

/// Whether it is to wait until all of the container's processes are born, as the file pids.max does.
fn is_late(asked: &Asked) -> bool {
    asked.name == "TasksMax"
}

impl Unit {
    /// What it is told once it runs.
    pub(super) fn late(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(|asked| is_late(asked))
    }

    /// What `cgroupsPath`, `slice:prefix:name`, makes of the container.
    pub(in crate::compile) fn read(
        spec: &Spec,
        linux: &Linux,
        facts: &Facts,
        launch: &Launch<'_>,
    ) -> Result<Self, Invalid> {
        let path = asked(linux).map(|path| utf8(PATH, path)).transpose()?;
        let by = if facts.euid == 0 && facts.initial_user_namespace { Systemd::System } else { Systemd::User };
        let usual = if by == Systemd::System { "system.slice" } else { "user.slice" };
        let (origin, slice, name) = match path {
            None => ("", usual, format!("runc-{}.scope", escaped(launch.id.as_str()))),
            Some(path) => {
                let parts: Vec<_> = path.split(':').collect();
                let &[slice, prefix, name] = parts.as_slice() else {
                    // runc's words: engines' users look for them.
                    let why = format!(
                        "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {path:?} instead"
                    );
                    return Err(Invalid::new(PATH, why));
                };
                let unit = if name.ends_with(".slice") { name.to_owned() } else { format!("{prefix}-{name}.scope") };
                (PATH, if slice.is_empty() { usual } else { slice }, unit)
            }
        };
        let refused = |why| Invalid::new(origin, why);
        checked(&name).map_err(refused)?;
        let slices = slices(slice).map_err(refused)?;
        // The slices above a slice are in its own name.
        let path =
            if name.ends_with(".slice") { self::slices(&name).map_err(refused)? } else { format!("{slices}/{name}") };
        let description = format!("container {}, {}", launch.id, launch.state_dir.display());
        Ok(Self { origin, slice: slice.to_owned(), path, by, description, asked: properties::of(spec)?, name })
    }

    /// The host has it started: behind init's first steps, since init is to be in it and can be by then, and before init
    /// makes a cgroup namespace, whose root is where it is (cgroup_namespaces(7)).
    pub(super) fn start(&self, request: &Request<'_>, plan: &mut Draft) -> Result<(), Invalid> {
        for asked in self.asked.iter().filter(|asked| !is_late(asked)) {
            let asked = std::slice::from_ref(asked);
            properties::each(asked, |asked, property| plan.host(&asked.origin, HostOp::SetProperty { property }))?;
        }
        let host = super::hierarchy(request.facts)?;
        let controllers = text("", host.controllers.join(" "))?;
        let root = text("", host.mount.as_os_str().as_encoded_bytes())?;
        let (path, unit) = (text(self.origin, &self.path)?, text(self.origin, &self.name)?);
        let (slice, description) = (text(self.origin, &self.slice)?, text("", &self.description)?);
        let wants = [Text(&slice)];
        let value = |name, value| Property { name: Text(name), value, since: 0 };
        let mut properties = vec![
            value(c"Description", Value::Text(Text(&description))),
            value(c"DefaultDependencies", Value::Bool(false)),
            value(c"MemoryAccounting", Value::Bool(true)),
            value(c"CPUAccounting", Value::Bool(true)),
            value(c"IOAccounting", Value::Bool(true)),
            value(c"TasksAccounting", Value::Bool(true)),
            // Nothing of it is to stay behind its last process.
            value(c"CollectMode", Value::Text(Text(c"inactive-or-failed"))),
        ];
        if self.name.ends_with(".slice") {
            properties.push(value(c"Wants", Value::Texts(List::new(&wants))));
        } else {
            properties.push(value(c"Slice", Value::Text(Text(&slice))));
            properties.push(value(c"Delegate", Value::Bool(true)));
        }
        properties.retain(|property| !self.asked.iter().any(|asked| asked.name.as_bytes() == property.name.bytes()));
        plan.host(
            self.origin,
            HostOp::StartUnit {
                root: Text(&root),
                path: Text(&path),
                unit: Text(&unit),
                by: self.by,
                controllers: Text(&controllers),
                properties: List::new(&properties),
            },
        );
        Ok(())
    }
}

/// Whether systemd takes a character in a unit's name (systemd.unit(5)).
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte)
}

/// An id as part of a unit's name: what that takes not is escaped (systemd-escape(1)).
fn escaped(id: &str) -> String {
    let one = |byte: u8| if is_of_name(byte) { char::from(byte).to_string() } else { format!("\\x{byte:02x}") };
    id.bytes().map(one).collect()
}

fn checked(name: &str) -> Result<(), String> {
    if name.len() > LONGEST {
        return Err(format!("a unit's name has {LONGEST} characters at most: {name:?} has {}", name.len()));
    }
    match name.bytes().all(is_of_name) {
        true => Ok(()),
        false => Err(format!("{name:?} is no name of a unit: it may have ASCII letters, digits, and \":-_.\\@\"")),
    }
}

/// The cgroup of a slice: `a-b.slice` is inside of `a.slice` (systemd.slice(5)), and `-.slice` is the root.
fn slices(slice: &str) -> Result<String, String> {
    checked(slice)?;
    let odd = || format!("{slice:?} is no name of a slice: it is \"a.slice\", or \"a-b.slice\" for one inside of that");
    let names = slice.strip_suffix(".slice").filter(|names| !names.contains('@')).ok_or_else(odd)?;
    if names == "-" {
        return Ok(String::new());
    }
    let mut path = String::new();
    for (at, _) in names.match_indices('-').chain([(names.len(), "")]) {
        if names[..at].is_empty() || names[..at].ends_with('-') {
            return Err(odd());
        }
        path += &format!("/{}.slice", &names[..at]);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_lie_in_each_other() {
        for (slice, path) in [
            ("system.slice", "/system.slice"),
            ("a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"),
            ("-.slice", ""),
            (
                "kubepods-burstable-pod12_34.slice",
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_34.slice",
            ),
        ] {
            assert_eq!(slices(slice).as_deref(), Ok(path), "{slice}");
        }
        for odd in [
            "",
            "a",
            "a/b.slice",
            "-a.slice",
            "a-.slice",
            "a--b.slice",
            ".slice",
            "a b.slice",
            "../x.slice",
            "ä.slice",
            "a@.slice",
        ] {
            assert!(slices(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn an_id_is_escaped() {
        assert_eq!(escaped("a+b-c_d.e"), "a\\x2bb-c_d.e");
        assert!(checked(&escaped("a+b")).is_ok());
        assert!(checked("a/b.scope").is_err() && checked(&"x".repeat(256)).is_err());
    }
}
