//! tmpcopyup: a new tmpfs is filled with what the directory holds that it covers. Everything is reached by descriptor and
//! one name at a time: no link is followed, no mount is crossed, nothing but a regular file is read.

use core::ffi::CStr;

use crate::sys::{
    self, Errno, Fd, O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_WRONLY, RESOLVE_BENEATH,
    RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Status,
};
use crate::wire::{Slot, Text};
use crate::{Init, note};

/// How deep a tree may be: one that a hostile image brings is not to end init's stack.
const DEPTH: u32 = 100;
/// Bytes of directory entries that are read at once; one takes at most 280 (getdents(2)).
const ENTRIES: usize = 2048;
const INSIDE: u64 = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;

/// Fills the mount in `to`; its own directory gets the mode and the owner of the covered one where `mode` and `owner` say so.
pub(crate) fn copy_up(init: &Init, from: Slot, to: Slot, mode: bool, owner: bool) -> Result<(), Errno> {
    let covered = init.slots.take(from)?;
    let source = open_directory(covered, c".")?;
    sys::close(covered);
    let target = open_directory(init.slots.get(to)?, c".")?;
    let status = sys::statx(source, c"", false)?;
    if owner {
        own(target, c"", &status)?;
    }
    if mode {
        sys::fchmod(target, status.mode & 0o7777)?;
    }
    let done = copy_entries(init, source, target, DEPTH);
    sys::close(source);
    sys::close(target);
    done
}

fn open_directory(at: Fd, name: &CStr) -> Result<Fd, Errno> {
    sys::openat2(at, name, O_DIRECTORY | O_NOFOLLOW, 0, INSIDE)
}

/// Copies what is in one directory.
fn copy_entries(init: &Init, source: Fd, target: Fd, depth: u32) -> Result<(), Errno> {
    let mut buffer = [0u8; ENTRIES];
    loop {
        let count = sys::getdents(source, &mut buffer)?;
        let mut rest = buffer.get(..count).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        // struct linux_dirent64: the record's length is a u16 at byte 16, the name begins at byte 19.
        while let (Some(&[low, high]), Some(name)) = (rest.get(16..18).and_then(|two| two.first_chunk()), rest.get(19..)) {
            let name = CStr::from_bytes_until_nul(name).map_err(|_| Errno::INVAL)?;
            if !matches!(name.to_bytes(), b"." | b"..") {
                copy_entry(init, source, target, name, depth)?;
            }
            rest = rest.get(usize::from(u16::from_le_bytes([low, high])).max(1)..).unwrap_or_default();
        }
    }
}

fn copy_entry(init: &Init, source: Fd, target: Fd, name: &CStr, depth: u32) -> Result<(), Errno> {
    let noted = |_: &Errno| note(init, Text(name));
    let status = sys::statx(source, name, false).inspect_err(noted)?;
    match status.mode & S_IFMT {
        S_IFDIR => {
            let depth = depth.checked_sub(1).ok_or(Errno::NAMETOOLONG).inspect_err(noted)?;
            sys::mkdirat(target, name, 0o700).inspect_err(noted)?;
            let to = open_directory(target, name).inspect_err(noted)?;
            // What is mounted below is no part of what is covered: its place is, empty.
            match open_directory(source, name) {
                Err(Errno::XDEV) => {}
                from => {
                    let from = from.inspect_err(noted)?;
                    copy_entries(init, from, to, depth)?;
                    dress(from, to, &status).inspect_err(noted)?;
                    sys::close(from);
                }
            }
            sys::close(to);
            Ok(())
        }
        S_IFREG => copy_file(source, target, name).inspect_err(noted),
        S_IFLNK => copy_link(source, target, name, &status).inspect_err(noted),
        _ => sys::mknodat(target, name, status.mode, status.device())
            .and_then(|()| own(target, name, &status))
            .inspect_err(noted),
    }
}

fn copy_file(source: Fd, target: Fd, name: &CStr) -> Result<(), Errno> {
    // What was a file a moment ago may be a pipe or a device by now: neither is waited for.
    let from = match sys::openat2(source, name, O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, INSIDE) {
        Err(Errno::XDEV) => return Ok(()),
        from => from?,
    };
    let status = sys::statx(from, c"", false)?;
    if status.mode & S_IFMT != S_IFREG {
        return Err(Errno::INVAL);
    }
    let to = sys::openat2(target, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600, INSIDE)?;
    while sys::sendfile(to, from)? != 0 {}
    dress(from, to, &status)?;
    sys::close(to);
    sys::close(from);
    Ok(())
}

fn copy_link(source: Fd, target: Fd, name: &CStr, status: &Status) -> Result<(), Errno> {
    let mut buffer = [0u8; crate::paths::PATH_MAX];
    let room = buffer.get_mut(..crate::paths::PATH_MAX - 1).ok_or(Errno::NAMETOOLONG)?;
    sys::readlinkat(source, name, room)?;
    let text = CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::NAMETOOLONG)?;
    sys::symlinkat(text, target, name)?;
    own(target, name, status)
}

/// Gives an owner; where it is none of the user namespace's, it stays init's.
fn own(at: Fd, name: &CStr, status: &Status) -> Result<(), Errno> {
    match sys::fchownat(at, name, status.uid, status.gid) {
        Err(Errno::INVAL) => Ok(()),
        owned => owned,
    }
}

/// Gives a copy its owner, its mode, its extended attributes and its time. The mode and the attributes come behind the
/// owner, who takes set-id bits and capabilities away (chown(2)).
fn dress(from: Fd, to: Fd, status: &Status) -> Result<(), Errno> {
    own(to, c"", status)?;
    sys::fchmod(to, status.mode & 0o7777)?;
    copy_attributes(from, to)?;
    sys::set_modified(to, status.modified)
}

/// Those that tmpfs keeps (xattr(7)).
fn copy_attributes(from: Fd, to: Fd) -> Result<(), Errno> {
    const VALUE_MAX: usize = 65_536;
    let mut names = [0u8; 8192];
    let count = match sys::flistxattr(from, &mut names) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
        count => count?,
    };
    let mut value = [0u8; VALUE_MAX];
    for name in names.get(..count).unwrap_or_default().split_inclusive(|byte| *byte == 0) {
        let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::INVAL)?;
        let size = sys::fgetxattr(from, name, &mut value)?;
        match sys::fsetxattr(to, name, value.get(..size).unwrap_or_default()) {
            // KERNEL(6.6): before, tmpfs has no user attributes.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
