//! The container's unit, where systemd makes its cgroup: started with init in it, and ended.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;

use super::end::in_the_way;
use super::failure;
use super::walk::Walk;
use crate::compile::Step;
use crate::compile::cgroup::properties::{self, Asked};
use crate::error::{Error, ErrorKind, Result};
use crate::host::cgroup::{Cgroup, Mark, hand_down};
use crate::host::file::read_small_text;
use crate::host::record::{CgroupRecord, UnitRecord};
use crate::host::systemd::{self, Failure, Systemd, Unstarted};
use crate::wire::{self, HostOp, Op, Property, Text, Value};

/// Whether systemd can still be asked about a unit that it was asked to start.
#[derive(Debug, Default)]
pub(super) enum Contact {
    /// Nobody has asked it yet.
    #[default]
    None,
    /// The connection.
    Open(Systemd),
    /// It did not answer: asking again would only take as long again.
    Lost,
}

impl Contact {
    /// Asks over the connection, which is made where there is none.
    fn with<T>(
        &mut self,
        unit: &UnitRecord,
        ask: impl FnOnce(&mut Systemd) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Failure> {
        if let Self::None = self {
            *self = Self::Open(Systemd::connect(&unit.bus).inspect_err(|_| *self = Self::Lost)?);
        }
        let Self::Open(systemd) = self else { return Err(Failure::lost(&unit.bus)) };
        ask(systemd).inspect_err(|failure| {
            if failure.is_of_bus() {
                *self = Self::Lost;
            }
        })
    }
}

/// Changes properties of a container's unit until the next boot; what its systemd is too old for is left out.
pub(crate) fn set_properties(unit: &UnitRecord, asked: &[Asked]) -> Result<()> {
    let told =
        |failure: Failure| Error::new(ErrorKind::Host, format!("cannot change the unit {}: {failure}", unit.name));
    let mut systemd = Systemd::connect(&unit.bus).map_err(told)?;
    let newest = asked.iter().map(|asked| asked.since).max().unwrap_or(0);
    let version = if newest > 0 { systemd.version().map_err(told)? } else { 0 };
    let known: Vec<Asked> = asked.iter().filter(|asked| asked.since <= version).cloned().collect();
    properties::all(&known, |properties| systemd.set(&unit.name, properties))?.map_err(told)
}

impl Walk<'_> {
    /// The journal says which unit it will be before systemd hears of it.
    pub(super) fn start_unit(&mut self, step: &Step<'_>, op: &HostOp<'_>) -> Result<()> {
        let HostOp::StartUnit { root, path, unit, by, properties, controllers } = op else { return Ok(()) };
        let (plan, unit) = (self.plan, str_of(*unit));
        let failed = |failure: Failure| failure::failed(plan, step, &failure.to_string());
        let refused = |errno| failure::refused(plan, step, errno);
        let pid = self.pid().map_err(refused)?;
        let bus = systemd::address(*by).map_err(failed)?;
        let mut systemd = Systemd::connect(&bus).map_err(failed)?;
        let asked = plan.steps().filter_map(|step| match step.op {
            Op::Host(HostOp::SetProperty { property }) => Some(property),
            _ => None,
        });
        let mut properties: Vec<Property<'_>> = properties.iter().chain(asked).collect();
        let newest = properties.iter().map(|property| property.since).max().unwrap_or(0);
        if newest > 0 {
            let version = systemd.version().map_err(failed)?;
            properties.retain(|property| property.since <= version);
        }
        // A user's systemd has its units below its own cgroup.
        let top = if *by == wire::Systemd::User { systemd.control_group().map_err(failed)? } else { String::new() };
        let inside = format!("{}{}", top.trim_end_matches('/'), str_of(*path));
        let full = Path::new(OsStr::from_bytes(root.bytes())).join(inside.trim_start_matches('/'));
        let description = properties.iter().find_map(|property| match (property.name.bytes(), property.value) {
            (b"Description", Value::Text(text)) => Some(str_of(text).to_owned()),
            _ => None,
        });
        let unit_record = UnitRecord { name: unit.to_owned(), bus, description: description.unwrap_or_default() };
        self.record.cgroup = Some(CgroupRecord { path: full.clone(), own: true, inode: None, unit: Some(unit_record) });
        self.state().map_err(refused)?.save(&self.record)?;

        let started = match unit.ends_with(".slice") {
            // No process is started in a slice, but one can be put there.
            true => systemd.start(unit, &properties, &[]).map(|()| enter(&full, pid)),
            false => systemd.start(unit, &properties, &[pid]).map(Ok),
        };
        self.contact = Contact::Open(systemd);
        match started {
            Ok(entered) => entered.map_err(refused)?,
            // The answer to an earlier try may have been lost.
            Err(Unstarted::Exists(_)) if is_in(pid, &inside) => {}
            Err(why) => return Err(self.unstarted(step, unit, why)),
        }
        if !is_in(pid, &inside) {
            return Err(failure::failed(plan, step, &format!("init is not there, but in {}", cgroup_of(pid))));
        }
        let cgroup = self.take_cgroup(&full).map_err(refused)?;
        // systemd hands down those that it knows.
        hand_down(Path::new(OsStr::from_bytes(root.bytes())), &full, &cgroup, str_of(*controllers));
        self.cgroup = Some(cgroup);
        Ok(())
    }

    /// What would have kept init from being born again is asked for once it was.
    pub(super) fn change_unit(&mut self, step: &Step<'_>, property: Property<'_>) -> Result<()> {
        let Some(unit) = self.record.cgroup.as_ref().and_then(|cgroup| cgroup.unit.clone()) else { return Ok(()) };
        let changed = self.contact.with(&unit, |systemd| systemd.set(&unit.name, &[property]));
        changed.map_err(|failure| failure::failed(self.plan, step, &failure.to_string()))
    }

    /// Where the caller's own cgroup and the container's have no common ancestor that the caller may write, init could not
    /// be born in the container's (cgroup-v2.rst, "Delegation Containment"). Its systemd asks the host's to move it.
    pub(super) fn enter_unit(&mut self, step: &Step<'_>, below: Option<Text<'_>>) -> Result<()> {
        let Some(unit) = self.record.cgroup.as_ref().and_then(|cgroup| cgroup.unit.clone()) else { return Ok(()) };
        if !self.outside {
            return Ok(());
        }
        let pid = self.pid().map_err(|errno| failure::refused(self.plan, step, errno))?;
        let below = below.map(|below| format!("/{}", str_of(below)));
        // A cgroup with controlled children takes no process (cgroups(7)): where the container's init went, there is room.
        let home = self.joined.map(|init| cgroup_of(init.pid)).unwrap_or_default();
        let home = home.rsplit_once(&format!("/{}", unit.name)).map_or(String::new(), |(_, home)| home.to_owned());
        let place = below.unwrap_or(home);
        let moved = self.contact.with(&unit, |systemd| systemd.attach(&unit.name, &place, pid));
        moved.map_err(|failure| failure::failed(self.plan, step, &failure.to_string()))
    }

    /// The error of a unit that was not started. What another has made is not this one's to undo.
    fn unstarted(&mut self, step: &Step<'_>, unit: &str, why: Unstarted) -> Error {
        match why {
            Unstarted::Exists(state) => {
                self.record.cgroup = None;
                let why = format!("a unit {unit} is there already, and it is {state}");
                failure::failed(self.plan, step, &why).of_kind(ErrorKind::AlreadyExists)
            }
            Unstarted::Job(result) => {
                let why = format!("its job ended as {result}: see \"systemctl status {unit}\", and the journal");
                failure::failed(self.plan, step, &why)
            }
            Unstarted::Failed(failure) => {
                if failure.is_of_bus() {
                    self.contact = Contact::Lost;
                } else {
                    self.record.cgroup = None;
                }
                failure::failed(self.plan, step, &failure.to_string())
            }
        }
    }

    /// The cgroup that systemd made becomes the container's.
    fn take_cgroup(&mut self, path: &Path) -> nix::Result<Cgroup> {
        let cgroup = Cgroup::open(path)?;
        // Where it cannot be marked, all that is lost is the way to it from a record that is lost as well.
        let _ = cgroup.mark(self.state()?.mark());
        let inode = cgroup.inode()?;
        if let Some(record) = &mut self.record.cgroup {
            record.inode = Some(inode);
        }
        Ok(cgroup)
    }
}

/// A name of a unit, or its path: `compile/` made it of ASCII characters.
fn str_of<'a>(text: Text<'a>) -> &'a str {
    text.0.to_str().unwrap_or_default()
}

fn enter(cgroup: &Path, pid: u32) -> nix::Result<()> {
    Cgroup::open(cgroup)?.take_in(pid)
}

/// The cgroup that a process is in, as the caller sees it (cgroup_namespaces(7)).
fn cgroup_of(pid: u32) -> String {
    let text = read_small_text(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("an unknown one").to_owned()
}

fn is_in(pid: u32, path: &str) -> bool {
    cgroup_of(pid) == path
}

/// Ends a container's unit, and what is in it: `mark` is on its cgroup. Nothing that is not surely its own.
pub(super) fn end(
    record: &CgroupRecord,
    unit: &UnitRecord,
    mark: &Mark,
    mut contact: Contact,
    deadline: Instant,
) -> Result<()> {
    let failed = |errno: Errno| {
        Error::new(ErrorKind::Host, format!("cannot remove the cgroup of {}: {}", unit.name, errno.desc()))
    };
    let found = record.open_marked(mark).map_err(failed)?;
    if let Some(cgroup) = &found {
        // Its removal is systemd's: of a unit whose cgroup another removes it does not learn that it is empty.
        cgroup.kill_until_empty(deadline).map_err(|errno| in_the_way(cgroup, &record.path, errno))?;
        super::stage("cgroup-emptied");
    } else if record.inode.is_some() {
        // A unit without a cgroup is none that runs, and one that does not run is not kept (CollectMode).
        return Ok(());
    }
    let told = |failure: Failure| {
        Error::new(ErrorKind::Host, format!("cannot stop the unit {}: {failure}; try again", unit.name))
    };
    if let Contact::Lost = contact {
        // It is empty, and systemd sees that by itself.
        return Ok(());
    }
    let stopped = contact.with(unit, |systemd| {
        let is_own = found.is_some() || systemd.description(&unit.name)?.as_ref() == Some(&unit.description);
        if is_own { systemd.stop(&unit.name) } else { Ok(()) }
    });
    stopped.map_err(told)
}
