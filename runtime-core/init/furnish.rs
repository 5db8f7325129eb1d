//! What stands in the container's filesystem beside its mounts: device nodes, links, kernel parameters.

use core::ffi::CStr;

use crate::Init;
use crate::paths::Spot;
use crate::sys::{
    self, Errno, Fd, O_WRONLY, RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, S_IFMT,
};
use crate::wire::{Device, Place};

/// The kernel's encoding of a device number for mknodat(2): new_encode_dev.
fn number(device: &Device) -> u64 {
    u64::from((device.minor & 0xff) | (device.major << 8) | ((device.minor & !0xff) << 12))
}

pub(crate) fn make_device(init: &Init, place: &Place<'_>, device: &Device, uid: u32, gid: u32) -> Result<(), Errno> {
    let parent = Spot::of(init.slots, place)?.parent()?;
    let (directory, name) = (parent.directory.fd, parent.name()?);
    match sys::mknodat(directory, name, device.mode, number(device)) {
        // The umask is 0, so the mode is the one asked for; the owner is init's.
        Ok(()) if uid == 0 && gid == 0 => Ok(()),
        Ok(()) => sys::fchownat(directory, name, uid, gid),
        Err(Errno::EXIST) => {
            let status = sys::statx(directory, name, false)?;
            let same = status.mode & S_IFMT == device.mode & S_IFMT
                && (status.major, status.minor) == (device.major, device.minor);
            if same { Ok(()) } else { Err(Errno::EXIST) }
        }
        Err(errno) => Err(errno),
    }
}

pub(crate) fn make_link(init: &Init, place: &Place<'_>, target: &CStr) -> Result<(), Errno> {
    let parent = Spot::of(init.slots, place)?.parent()?;
    match sys::symlinkat(target, parent.directory.fd, parent.name()?) {
        Err(Errno::EXIST) => Ok(()),
        made => made,
    }
}

pub(crate) fn write_sysctl(proc: Fd, key: &CStr, value: &[u8]) -> Result<(), Errno> {
    let beneath = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    let sys = sys::openat2(proc, c"sys", sys::O_PATH | sys::O_DIRECTORY, 0, beneath)?;
    let file = sys::openat2(sys, key, O_WRONLY, 0, beneath);
    sys::close(sys);
    let file = file?;
    let written = sys::write(file, value);
    sys::close(file);
    written
}
