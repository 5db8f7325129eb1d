//! systemd asked over D-Bus (org.freedesktop.systemd1(5)): units started, changed and stopped. A client of our own: which
//! crates there are, and why none, is in docs/decisions/dbus-client.md.

mod bus;
mod message;

use std::env;

use bus::{Bus, Why};
use message::{Call, Malformed, Message, Writer};

pub(crate) use bus::Failure;

use crate::wire::{self, Property};

const NAME: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const OF_ALL: &str = "org.freedesktop.systemd1.Manager";
const OF_UNIT: &str = "org.freedesktop.systemd1.Unit";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

/// A systemd, over one connection to its bus.
#[derive(Debug)]
pub(crate) struct Systemd {
    bus: Bus,
    address: String,
    /// The unit whose jobs' ends are signalled.
    watched: Option<String>,
}

/// Why a unit was not started.
#[derive(Debug)]
pub(crate) enum Unstarted {
    /// One of that name is there, in this state.
    Exists(String),
    /// Its job ended so: `failed`, `timeout`, `canceled` …
    Job(String),
    /// Something else.
    Failed(Failure),
}

impl From<Failure> for Unstarted {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The addresses of the bus at which `which` is called (sd_bus_default_system(3), sd_bus_default_user(3)).
pub(crate) fn address(which: wire::Systemd) -> Result<String, Failure> {
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let found = match which {
        wire::Systemd::System => {
            let usual = || "unix:path=/run/dbus/system_bus_socket".to_owned();
            Some(set("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(usual))
        }
        wire::Systemd::User => set("DBUS_SESSION_BUS_ADDRESS")
            .or_else(|| set("XDG_RUNTIME_DIR").map(|dir| format!("unix:path={}/bus", dir.replace('%', "%25")))),
    };
    let nowhere = || {
        let why = "neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR says where the user's bus is";
        Failure { call: "connect".to_owned(), address: String::new(), why: Why::Address(why.to_owned()) }
    };
    found.ok_or_else(nowhere)
}

impl Systemd {
    /// Connects to the bus at one of these addresses.
    pub(crate) fn connect(address: &str) -> Result<Self, Failure> {
        Ok(Self { bus: Bus::connect(address)?, address: address.to_owned(), watched: None })
    }

    /// Calls. A connection that ended is made anew, once: the bus may have been started anew.
    fn call(&mut self, rule: Option<&str>, call: &Call<'_>) -> Result<Message, Failure> {
        match self.bus.call(rule, call) {
            Err(Failure { why: Why::Gone, .. }) => {
                self.bus = Bus::connect(&self.address)?;
                self.bus.call(rule, call)
            }
            answered => answered,
        }
    }

    /// Calls a method that gives a job, and waits for the job's end; its result.
    fn job(
        &mut self,
        unit: &str,
        member: &'static str,
        signature: &str,
        body: impl Fn() -> Writer,
    ) -> Result<String, Failure> {
        let rule = format!(
            "type='signal',sender='{NAME}',path='{OBJECT}',interface='{OF_ALL}',member='JobRemoved',arg2='{unit}'"
        );
        let is_watched = self.watched.as_deref() == Some(unit);
        let call = Call { destination: NAME, path: OBJECT, interface: OF_ALL, member, signature, body: body() };
        let answer = match self.bus.call((!is_watched).then_some(&rule), &call) {
            Err(Failure { why: Why::Gone, .. }) => {
                self.bus = Bus::connect(&self.address)?;
                self.bus.call(Some(&rule), &call)?
            }
            answered => answered?,
        };
        self.watched = Some(unit.to_owned());
        let job = answer.text().map_err(|Malformed| self.bus.misunderstood(member))?;
        self.bus.end_of_job(member, &job)
    }

    /// A property that is a text.
    fn property(&mut self, path: &str, interface: &str, name: &str) -> Result<String, Failure> {
        let mut body = Writer::default();
        body.text(interface.as_bytes());
        body.text(name.as_bytes());
        let interface = "org.freedesktop.DBus.Properties";
        let call = Call { destination: NAME, path, interface, member: "Get", signature: "ss", body };
        let answer = self.call(None, &call)?;
        answer.text_in_variant().map_err(|Malformed| self.bus.misunderstood("Get"))
    }

    /// Its version; 0 where it does not say one.
    pub(crate) fn version(&mut self) -> Result<u16, Failure> {
        Ok(version_of(&self.property(OBJECT, OF_ALL, "Version")?))
    }

    /// The cgroup below which its units are: empty, or `/user.slice/…`.
    pub(crate) fn control_group(&mut self) -> Result<String, Failure> {
        self.property(OBJECT, OF_ALL, "ControlGroup")
    }

    /// Starts a unit with these properties and processes, and waits until it is started.
    pub(crate) fn start(&mut self, unit: &str, properties: &[Property<'_>], pids: &[u32]) -> Result<(), Unstarted> {
        let body = || {
            let mut body = Writer::default();
            body.text(unit.as_bytes());
            body.text(b"replace");
            body.properties(properties, pids);
            body.array(8, |_| {});
            body
        };
        let mut start = || self.job(unit, "StartTransientUnit", "ssa(sv)a(sa(sv))", body);
        let result = match start() {
            Err(failure) if failure.is(UNIT_EXISTS) => {
                self.clear_away(unit)?;
                self.job(unit, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)?
            }
            started => started?,
        };
        if result == "done" { Ok(()) } else { Err(Unstarted::Job(result)) }
    }

    /// Makes room for a unit where what is left of an earlier one of its name is in the way.
    fn clear_away(&mut self, unit: &str) -> Result<(), Unstarted> {
        let state = match self.path(unit)? {
            None => return Ok(()),
            Some(path) => self.property(&path, OF_UNIT, "ActiveState")?,
        };
        match state.as_str() {
            "failed" => Ok(self.reset_failed(unit)?),
            "inactive" | "deactivating" => Ok(self.stop(unit)?),
            _ => Err(Unstarted::Exists(state)),
        }
    }

    /// The object of a unit; `None` where none of that name is loaded.
    fn path(&mut self, unit: &str) -> Result<Option<String>, Failure> {
        match self.call(None, &of_unit("GetUnit", unit)) {
            Err(failure) if failure.is(NO_SUCH_UNIT) => Ok(None),
            answer => answer?.text().map(Some).map_err(|Malformed| self.bus.misunderstood("GetUnit")),
        }
    }

    /// The description of a unit; `None` where none of that name is loaded.
    pub(crate) fn description(&mut self, unit: &str) -> Result<Option<String>, Failure> {
        self.path(unit)?.map(|path| self.property(&path, OF_UNIT, "Description")).transpose()
    }

    /// Stops a unit, and waits until it is gone. One that is not there is no error.
    pub(crate) fn stop(&mut self, unit: &str) -> Result<(), Failure> {
        let body = || {
            let mut body = Writer::default();
            body.text(unit.as_bytes());
            body.text(b"replace");
            body
        };
        match self.job(unit, "StopUnit", "ss", body) {
            Err(failure) if failure.is(NO_SUCH_UNIT) => return Ok(()),
            stopped => stopped?,
        };
        self.reset_failed(unit)
    }

    fn reset_failed(&mut self, unit: &str) -> Result<(), Failure> {
        match self.call(None, &of_unit("ResetFailedUnit", unit)) {
            Err(failure) if failure.is(NO_SUCH_UNIT) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Moves a process into the cgroup of a unit, or to one below it.
    pub(crate) fn attach(&mut self, unit: &str, below: &str, pid: u32) -> Result<(), Failure> {
        let mut body = Writer::default();
        body.text(unit.as_bytes());
        body.text(below.as_bytes());
        body.numbers(&[pid]);
        let (interface, member, signature) = (OF_ALL, "AttachProcessesToUnit", "ssau");
        self.call(None, &Call { destination: NAME, path: OBJECT, interface, member, signature, body }).map(drop)
    }

    /// Changes properties of a unit until the next boot.
    pub(crate) fn set(&mut self, unit: &str, properties: &[Property<'_>]) -> Result<(), Failure> {
        let mut body = Writer::default();
        body.text(unit.as_bytes());
        body.truth(true);
        body.properties(properties, &[]);
        let (interface, member, signature) = (OF_ALL, "SetUnitProperties", "sba(sv)");
        self.call(None, &Call { destination: NAME, path: OBJECT, interface, member, signature, body }).map(drop)
    }
}

/// A call whose only argument is a unit.
fn of_unit(member: &'static str, unit: &str) -> Call<'static> {
    let mut body = Writer::default();
    body.text(unit.as_bytes());
    Call { destination: NAME, path: OBJECT, interface: OF_ALL, member, signature: "s", body }
}

/// The number in `252.39-1~deb12u1`, `v255`, `257~rc1`.
fn version_of(text: &str) -> u16 {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split(|c: char| !c.is_ascii_digit()).next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, version) in [("252.39-1~deb12u1", 252), ("v255", 255), ("257~rc1", 257), ("", 0), ("new", 0)] {
            assert_eq!(version_of(text), version, "{text}");
        }
    }
}
