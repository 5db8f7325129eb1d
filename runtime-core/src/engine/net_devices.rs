//! The host's steps on network devices.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::failure;
use super::walk::Walk;
use crate::compile::Step;
use crate::error::{Error, Result};
use crate::host::net_devices::{self, NetDevices, NotMoved};
use crate::host::record::Record;
use crate::wire::Text;

impl Walk<'_> {
    pub(super) fn find_net_device(&self, step: &Step<'_>, name: Text<'_>) -> Result<()> {
        match net_devices::is_there(&String::from_utf8_lossy(name.bytes())) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.not_moved(step, NotMoved::Missing)),
            Err(refusal) => Err(self.not_moved(step, refusal.into())),
        }
    }

    pub(super) fn move_net_device(
        &mut self,
        step: &Step<'_>,
        [name, inside]: [Text<'_>; 2],
        joined: Option<Text<'_>>,
    ) -> Result<()> {
        let pid = self.pid().map_err(|errno| failure::refused(self.plan, step, errno))?;
        let devices = match self.net_devices.take() {
            Some(devices) => devices,
            None => NetDevices::of(pid).map_err(|why| self.not_moved(step, why))?,
        };
        let [name, inside] = [name, inside].map(|text| String::from_utf8_lossy(text.bytes()).into_owned());
        // Also where it is not moved: what was moved before is to go back.
        let devices = self.net_devices.insert(devices);
        let found = devices.find(&name, &inside);
        let record = joined.map(|path| devices.record(Path::new(OsStr::from_bytes(path.bytes())))).transpose();
        found.map_err(|why| self.not_moved(step, why))?;
        // A new namespace ends with init, and its devices with it, or the kernel gives them back.
        if let Some(record) = record.map_err(|errno| failure::refused(self.plan, step, errno))? {
            self.record.net_devices = Some(record);
            let state = self.state().map_err(|errno| failure::refused(self.plan, step, errno))?;
            state.save(&self.record)?;
        }
        let taken = self.net_devices.as_ref().map_or(Err(NotMoved::Missing), |devices| devices.take(&inside));
        taken.map_err(|why| self.not_moved(step, why))
    }

    fn not_moved(&self, step: &Step<'_>, why: NotMoved) -> Error {
        match why {
            NotMoved::Missing => failure::failed(self.plan, step, "the host has no such device"),
            NotMoved::Taken => failure::failed(self.plan, step, "the container has a device of this name (EEXIST)"),
            NotMoved::NotPrivate => {
                failure::failed(self.plan, step, "the network namespace that is joined is the host's")
            }
            NotMoved::Refused(refusal) => failure::refused(self.plan, step, refusal.errno).with_note(refusal.said),
        }
    }
}

/// Gives the host its devices back, after init has ended.
pub(super) fn undo(devices: Option<NetDevices>, error: Error) -> Error {
    let Err((name, refusal)) = devices.map_or(Ok(()), NetDevices::give_back) else { return error };
    let why = refusal.said.unwrap_or_else(|| refusal.errno.desc().to_owned());
    let note = error.note().map_or_else(String::new, |note| format!("{note}; "));
    error.with_note(Some(format!("{note}the network device {name} could not be given back to the host: {why}")))
}

/// Gives the host back what a create that was killed had moved to a namespace which is still there. What cannot be is told,
/// and keeps nobody from deleting what is left of the container.
pub(super) fn end(record: &Record) {
    let Some(moved) = record.net_devices.as_ref().filter(|_| record.init.is_none()) else { return };
    if let Err(why) = moved.give_back() {
        log::warn!("{why}");
    }
}
