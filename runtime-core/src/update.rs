//! `update`: other limits for a container that exists.

mod schemata;

use std::ffi::CStr;
use std::path::Path;

use nix::errno::Errno;
use oci_spec::runtime::LinuxResources;
use serde_json::Value;

use crate::compile::cgroup::settings::Setting;
use crate::compile::update::{self, Filters, Update};
use crate::container::{Container, wrong_status};
use crate::engine::unit::set_properties;
use crate::error::{Error, ErrorKind, Result};
use crate::facts::CgroupFacts;
use crate::host::cgroup::{Cgroup, not_filtered, not_set};
use crate::host::state;
use crate::state::Status;

pub use schemata::Schemata;

impl Container {
    /// Changes the container's resources (runtime-spec config-linux.md#control-groups): those that are given, and no others.
    /// An object is merged member by member, a list replaced as a whole; a 0 where 0 is no value is nothing. What is
    /// returned is what the caller should be told although it was done: what cgroup v2 has not, and so was ignored.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidSpec`] or [`ErrorKind::Unsupported`] with the place in config.json; [`ErrorKind::WrongStatus`]
    /// of a stopped container; [`ErrorKind::Host`] where the kernel does not take a value. Nothing is changed then.
    pub fn update(&self, given: &LinuxResources) -> Result<Vec<String>> {
        self.update_with_schemata(given, &Schemata::default())
    }

    /// As [`Self::update`], and other schemata for its class of service (config-linux.md#intelrdt), for whoever else is in
    /// that as well. They are changed last.
    ///
    /// # Errors
    /// As [`Self::update`]; [`ErrorKind::Unsupported`] where schemata are given and the container has no class of service but
    /// the default one.
    pub fn update_with_schemata(&self, given: &LinuxResources, schemata: &Schemata) -> Result<Vec<String>> {
        let state = self.lock()?;
        if !matches!(self.observed()?.0, Status::Created | Status::Running | Status::Paused) {
            return wrong_status("container not running");
        }
        let Some(cgroup) = self.cgroup("update it")? else { return wrong_status("container not running") };
        let host = CgroupFacts::read()?.ok_or_else(|| Error::new(ErrorKind::Unsupported, "cgroup v2 is required"))?;
        let unread = |error| Error::new(ErrorKind::Host, format!("cannot read the container's config.json: {error}"));
        let mut config: Value = serde_json::from_slice(&state::config_json(&self.directory)?).map_err(unread)?;
        let old = config.pointer("/linux/resources").cloned().unwrap_or_else(|| Value::Object(<_>::default()));
        let mut update = update::update(&old, given, &host)?;
        let classes = schemata::Change::of(self.record.rdt.as_ref(), schemata, &mut update.warnings)?;
        check_memory(&update, &cgroup)?;
        let path = self.record.cgroup.as_ref().map_or(Path::new(""), |record| &record.path);
        let mut changes = Changes { cgroup: &cgroup, path, undo: Vec::new(), filter: None };
        let unit = self.record.cgroup.as_ref().and_then(|record| record.unit.as_ref());
        let unit = unit.filter(|_| !update.properties.is_empty());
        changes.remember(&update.settings);
        // systemd writes the files that it has properties for, and not exactly: they are written behind it.
        let rounded = match unit {
            Some(unit) => {
                changes.remember(&update.rounded);
                set_properties(unit, &update.properties)?;
                &update.rounded[..]
            }
            None => &[],
        };
        let made = changes.make(rounded).and_then(|()| changes.make(&update.settings));
        let made = made.and_then(|()| changes.filter_devices(update.devices.as_ref()));
        let made = made.and_then(|()| classes.make());
        let done = made.and_then(|()| {
            if let Some(linux) = config.get_mut("linux").and_then(Value::as_object_mut) {
                linux.insert("resources".to_owned(), update.resources.clone());
                classes.note(linux);
            }
            let json = serde_json::to_vec(&config).map_err(unread)?;
            state.replace_config(&json)
        });
        done.inspect_err(|_| {
            // The first failure is the one to tell.
            let _ = unit.map_or(Ok(()), |unit| set_properties(unit, &update.properties_before));
            changes.undo();
            classes.undo();
        })?;
        Ok(update.warnings)
    }
}

/// config-linux.md#memory, checkBeforeUpdate: a limit below what is in use is refused. The words are runc's.
fn check_memory(update: &Update, cgroup: &Cgroup) -> Result<()> {
    let is_set = update.settings.iter().any(|setting| setting.file.as_c_str() == c"memory.max");
    if !is_set || update.check_memory.is_empty() {
        return Ok(());
    }
    let failed = |errno: Errno| Error::new(ErrorKind::Host, format!("cannot read memory.current: {}", errno.desc()));
    let usage = cgroup.read("memory.current").map_err(failed)?;
    let Ok(usage) = usage.trim().parse::<i64>() else { return Ok(()) };
    match update.check_memory.iter().find(|(limit, ..)| *limit <= usage) {
        None => Ok(()),
        Some((limit, name, at)) => {
            let why = format!("rejecting {name} limit {limit} <= usage {usage}");
            Err(Error::new(ErrorKind::InvalidSpec, why).with_origin(*at))
        }
    }
}

/// Values that are being written, and what was there before.
struct Changes<'a> {
    cgroup: &'a Cgroup,
    path: &'a Path,
    undo: Vec<(&'a CStr, String)>,
    /// The device filter that another one has replaced.
    filter: Option<&'a [u8]>,
}

impl<'a> Changes<'a> {
    fn make(&mut self, settings: &'a [Setting]) -> Result<()> {
        settings.iter().try_for_each(|setting| {
            let done = self.cgroup.set(&setting.file, &setting.value, setting.missing());
            done.map_err(|errno| {
                let why = not_set(self.path, &setting.file, errno).unwrap_or_else(|| errno.desc().to_owned());
                let (file, value) = (setting.file.to_string_lossy(), setting.value.escape_ascii());
                let kind = if errno == Errno::EINVAL { ErrorKind::InvalidSpec } else { ErrorKind::Host };
                Error::new(kind, format!("cannot set {file} to \"{value}\": {why}")).with_origin(&*setting.origin)
            })
        })
    }

    fn filter_devices(&mut self, filters: Option<&'a Filters>) -> Result<()> {
        let Some(filters) = filters else { return Ok(()) };
        self.cgroup.replace_device_filter(&filters.after).map_err(|errno| {
            let why = format!("cannot replace the device filter: {}", not_filtered(errno));
            Error::new(ErrorKind::Host, why).with_origin("/linux/resources/devices")
        })?;
        self.filter = Some(&filters.before);
        Ok(())
    }

    /// What is there before anything is changed.
    fn remember(&mut self, settings: &'a [Setting]) {
        settings.iter().for_each(|setting| self.remember_one(setting));
    }

    fn remember_one(&mut self, setting: &'a Setting) {
        let file = setting.file.as_c_str();
        let before = self.cgroup.read(file).unwrap_or_default();
        // A device without limits has no line of its own.
        if file == c"io.max"
            && let Some(device) = String::from_utf8_lossy(&setting.value).split(' ').next()
        {
            self.undo.push((file, format!("{device} rbps=max wbps=max riops=max wiops=max\n{before}")));
        } else if !before.is_empty() {
            self.undo.push((file, before));
        }
    }

    /// Writes back what was there, the last first; each file takes one line at a time.
    fn undo(&mut self) {
        if let Some(before) = self.filter.take() {
            // The first failure is the one to tell.
            let _ = self.cgroup.replace_device_filter(before);
        }
        for (file, before) in self.undo.drain(..).rev() {
            for line in before.lines() {
                // The first failure is the one to tell.
                let _ = self.cgroup.write(file, line.as_bytes());
            }
        }
    }
}
