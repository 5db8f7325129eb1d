//! The host's steps on network devices.

use super::failure;
use super::walk::Walk;
use crate::compile::Step;
use crate::error::{Error, Result};
use crate::host::net_devices::{self, NetDevices, NotMoved};
use crate::wire::Text;

impl Walk<'_> {
    pub(super) fn find_net_device(&self, step: &Step<'_>, name: Text<'_>) -> Result<()> {
        match net_devices::is_there(&String::from_utf8_lossy(name.bytes())) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.not_moved(step, NotMoved::Missing)),
            Err(refusal) => Err(self.not_moved(step, refusal.into())),
        }
    }

    pub(super) fn move_net_device(&mut self, step: &Step<'_>, name: Text<'_>, inside: Text<'_>) -> Result<()> {
        let pid = self.pid().map_err(|errno| failure::refused(self.plan, step, errno))?;
        let mut devices = match self.net_devices.take() {
            Some(devices) => devices,
            None => NetDevices::of(pid).map_err(|why| self.not_moved(step, why))?,
        };
        let [name, inside] = [name, inside].map(|text| String::from_utf8_lossy(text.bytes()).into_owned());
        let moved = devices.take(&name, &inside);
        // Also where it was not: what was moved before is to go back.
        self.net_devices = Some(devices);
        moved.map_err(|why| self.not_moved(step, why))
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
