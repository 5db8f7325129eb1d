//! Network devices of the host that the container gets (runtime-spec config-linux.md#network-devices).

use std::collections::BTreeSet;
use std::ffi::CString;

use super::plan::Draft;
use super::text::{below, sorted, text};
use super::{Invalid, Request};
use crate::wire::{HostOp, Ns, Text};

const MAP: &str = "/linux/netDevices";

/// One device: its place in config.json, its name on the host, and its name in the container.
#[derive(Debug)]
struct Device {
    origin: String,
    name: CString,
    inside: CString,
}

/// The devices, by their names on the host.
#[derive(Debug)]
pub(super) struct NetDevices(Vec<Device>);

impl NetDevices {
    pub(super) fn read(request: &Request<'_>) -> Result<Self, Invalid> {
        let listed = sorted(request.linux.net_devices().as_ref());
        if !listed.is_empty() {
            check(request)?;
        }
        let mut taken = BTreeSet::new();
        let mut devices = Vec::new();
        for (name, device) in listed {
            let origin = below(MAP, name);
            let (inside, place) = match device.name().as_deref().filter(|inside| !inside.is_empty()) {
                Some(inside) => (inside, below(&origin, "name")),
                None => (name, origin.clone()),
            };
            check_name(name, &origin)?;
            check_name(inside, &place)?;
            check_pattern(inside, &place)?;
            // A pattern is another name each time.
            if !inside.contains('%') && !taken.insert(inside) {
                return Err(Invalid::new(place, format!("two network devices of the container are called {inside:?}")));
            }
            devices.push(Device { name: text(&origin, name)?, inside: text(&place, inside)?, origin });
        }
        Ok(Self(devices))
    }

    /// What is not there is missed before anything is made.
    pub(super) fn find(&self, plan: &mut Draft) {
        for device in &self.0 {
            plan.host(&device.origin, HostOp::FindNetDevice { name: Text(&device.name) });
        }
    }

    /// Once init is in the container's network namespace, and before anything of the container's looks at it.
    pub(super) fn move_in(&self, request: &Request<'_>, plan: &mut Draft) {
        let joined = request.spaces.path(Ns::Network).map(Text);
        for Device { origin, name, inside } in &self.0 {
            plan.host(origin, HostOp::MoveNetDevice { name: Text(name), inside: Text(inside), joined });
        }
    }
}

/// Whether there is a namespace to move devices to, and the caller may.
fn check(request: &Request<'_>) -> Result<(), Invalid> {
    const CAP_NET_ADMIN: u8 = 12;
    if !request.spaces.is_private(Ns::Network) {
        return Err(Invalid::new(MAP, "unable to move network devices without a private network namespace"));
    }
    let facts = request.facts;
    let foreign = facts.foreign_namespaces & Ns::Network.flag() != 0;
    if !facts.is_privileged() || !facts.has(CAP_NET_ADMIN) || foreign {
        let why = "a rootless caller cannot move network devices: that takes CAP_NET_ADMIN and CAP_SYS_ADMIN over the \
                   network namespace that they come from";
        return Err(Invalid::new(MAP, why));
    }
    Ok(())
}

/// What the kernel takes for the name of an interface (dev_valid_name).
fn check_name(name: &str, origin: &str) -> Result<(), Invalid> {
    const LONGEST: usize = 15;
    // Its isspace() is that of Latin 1, byte by byte.
    let is_odd = |byte: u8| matches!(byte, b'/' | b':' | b'\t'..=b'\r' | b' ' | 0xa0);
    let why = match name {
        "" => "it is empty".to_owned(),
        "." | ".." => "it is no name".to_owned(),
        _ if name.len() > LONGEST => format!("{} bytes are more than {LONGEST}", name.len()),
        _ if name.contains('\0') => "it contains a NUL character".to_owned(),
        _ if name.bytes().any(is_odd) => "it contains '/', ':' or white space".to_owned(),
        _ => return Ok(()),
    };
    Err(Invalid::new(origin, format!("invalid network device name {name:?}: {why}")))
}

/// `%d`, once, is where the kernel puts a number; anything else with a percent sign it refuses (dev_alloc_name).
fn check_pattern(name: &str, origin: &str) -> Result<(), Invalid> {
    if name.replacen("%d", "", 1).contains('%') {
        let why = format!("invalid network device name {name:?}: '%' is only taken as one %d, for a number");
        return Err(Invalid::new(origin, why));
    }
    Ok(())
}
