//! Device nodes and links of /dev (runtime-spec config-linux.md#devices, #default-devices, runtime-linux.md#dev-symbolic-links).

use std::ffi::CString;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};

use super::departure::Carried;
use super::mounts::Attached;
use super::plan::Draft;
use super::text::{below, cleaned, listed, path_text, utf8};
use super::{Invalid, Request};
use crate::wire::{Device, InitOp, Place, Slot, Text};

const LIST: &str = "/linux/devices";
const DEV: &str = "/dev";

const FIFO: u32 = 0o010_000;
const CHARACTER: u32 = 0o020_000;
const BLOCK: u32 = 0o060_000;

/// What every container has: the path and the numbers (Linux Documentation/admin-guide/devices.txt).
const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&std::ffi::CStr, &std::ffi::CStr); 6] = [
    (c"/dev/fd", c"/proc/self/fd"),
    (c"/dev/stdin", c"/proc/self/fd/0"),
    (c"/dev/stdout", c"/proc/self/fd/1"),
    (c"/dev/stderr", c"/proc/self/fd/2"),
    (c"/dev/core", c"/proc/kcore"),
    (c"/dev/ptmx", c"pts/ptmx"),
];

/// One device of the container.
#[derive(Debug)]
struct Node {
    origin: String,
    path: CString,
    device: Device,
    uid: u32,
    gid: u32,
}

/// The container's devices; of two at the same path the later one counts.
#[derive(Debug)]
pub(super) struct Devices(Vec<Node>);

impl Devices {
    pub(super) fn read(request: &Request<'_>) -> Result<Self, Invalid> {
        let mut nodes = Vec::new();
        for (path, major, minor) in DEFAULT {
            let device = Device { mode: CHARACTER | 0o666, major, minor };
            nodes.push(Node { origin: String::new(), path: path_text("", path.as_ref())?, device, uid: 0, gid: 0 });
        }
        for (origin, device) in listed(LIST, request.linux.devices().as_ref()) {
            let node = node(origin, device)?;
            // It is a link into the container's own devpts, whatever is listed.
            if node.path.as_c_str() == c"/dev/ptmx" {
                continue;
            }
            match nodes.iter_mut().find(|known: &&mut Node| known.path == node.path) {
                Some(known) => *known = node,
                None => nodes.push(node),
            }
        }
        Ok(Self(nodes))
    }
}

fn node(origin: String, device: &LinuxDevice) -> Result<Node, Invalid> {
    let at = below(&origin, "path");
    let path = utf8(&at, device.path())?;
    if !path.starts_with('/') || cleaned(path) == "/" {
        return Err(Invalid::new(at, format!("the device path {path:?} is not absolute")));
    }
    let path = path_text(&at, cleaned(path).as_ref())?;
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => CHARACTER,
        LinuxDeviceType::B => BLOCK,
        LinuxDeviceType::P => FIFO,
        LinuxDeviceType::A => {
            return Err(Invalid::new(below(&origin, "type"), "a device of type \"a\" cannot be made"));
        }
    };
    // A fifo has no numbers, whatever is listed. The kernel has 12 and 20 bits for them.
    let number = |name: &str, value: i64, end: u32| match u32::try_from(value) {
        _ if kind == FIFO => Ok(0),
        Ok(value) if value < end => Ok(value),
        _ => Err(Invalid::new(below(&origin, name), format!("{value} is no device number"))),
    };
    let (major, minor) = (number("major", device.major(), 1 << 12)?, number("minor", device.minor(), 1 << 20)?);
    let owner = |name: &str, id: Option<u32>| match id {
        Some(u32::MAX) => Err(Invalid::new(below(&origin, name), "this id means none (chown(2))")),
        id => Ok(id.unwrap_or(0)),
    };
    let (uid, gid) = (owner("uid", device.uid())?, owner("gid", device.gid())?);
    let device = Device { mode: kind | device.file_mode().unwrap_or(0o666) & 0o7777, major, minor };
    Ok(Node { origin, path, device, uid, gid })
}

impl Node {
    /// Whether it is the host's, over a file: mknod(2) of a device needs CAP_MKNOD in the first user namespace.
    fn is_bound(&self, request: &Request<'_>) -> bool {
        let may_make = request.facts.initial_user_namespace && !request.spaces.has_user();
        !may_make && self.device.mode & !0o7777 != FIFO
    }
}

impl Devices {
    /// Those that are the host's, with their places in config.json.
    pub(super) fn bound(&self, request: &Request<'_>) -> impl Iterator<Item = (&str, &CString)> {
        self.0.iter().filter(|node| node.is_bound(request)).map(|node| (node.origin.as_str(), &node.path))
    }
}

/// Makes the devices and the links, unless /dev is somebody else's.
pub(super) fn furnish(
    request: &Request<'_>,
    devices: &Devices,
    attached: &Attached,
    carried: &Carried,
    plan: &mut Draft,
) {
    if attached.dev_is_copied {
        return;
    }
    for node in &devices.0 {
        let (path, device) = (Text(&node.path), node.device);
        let place = place(attached.dev, path);
        let op = if node.is_bound(request) {
            InitOp::BindDevice { place, source: carried.device(&node.path), device }
        } else {
            InitOp::MakeDevice { place, device, uid: node.uid, gid: node.gid }
        };
        plan.init(&node.origin, op);
    }
    for (path, target) in LINKS {
        plan.init("", InitOp::MakeLink { place: place(attached.dev, Text(path)), target: Text(target) });
    }
}

/// A place in /dev is resolved from the directory that was mounted there, whatever stands at /dev by then.
pub(super) fn place(dev: Option<Slot>, path: Text<'_>) -> Place<'_> {
    match dev {
        Some(base) if path.bytes().starts_with(b"/dev/") => Place { base, skip: DEV.len() as u16, path },
        _ => Place { base: Slot::ROOT, skip: 0, path },
    }
}
