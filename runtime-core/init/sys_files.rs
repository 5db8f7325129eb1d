//! System calls about what a file is and holds: what a copy of it is made with.

use core::ffi::CStr;

use super::{AT_EMPTY_PATH, EMPTY, Errno, Fd, call, done, nr, text};

/// Changes the permission bits of an open file.
pub(crate) fn fchmod(file: Fd, mode: u32) -> Result<(), Errno> {
    done(call(nr::FCHMOD, [file.0 as usize, mode as usize, 0, 0, 0, 0]))
}

/// Sets when an open file was modified: seconds and nanoseconds. When it was read stays as it is.
pub(crate) fn set_modified(file: Fd, time: [u64; 2]) -> Result<(), Errno> {
    const UTIME_OMIT: u64 = (1 << 30) - 2;
    let times = [0, UTIME_OMIT, time[0], time[1]];
    done(call(nr::UTIMENSAT, [file.0 as usize, 0, &raw const times as usize, 0, 0, 0]))
}

/// Reads directory entries; 0 at the end.
pub(crate) fn getdents(directory: Fd, buffer: &mut [u8]) -> Result<usize, Errno> {
    call(nr::GETDENTS64, [directory.0 as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0])
}

/// Where a link points, without a NUL.
pub(crate) fn readlinkat(at: Fd, name: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    call(nr::READLINKAT, [at.0 as usize, text(name), buffer.as_mut_ptr() as usize, buffer.len(), 0, 0])
}

/// Copies from one file's place to the other's; 0 at the end.
pub(crate) fn sendfile(to: Fd, from: Fd) -> Result<usize, Errno> {
    call(nr::SENDFILE, [to.0 as usize, from.0 as usize, 0, 1 << 30, 0, 0])
}

/// The names of an open file's extended attributes, each with its NUL.
pub(crate) fn flistxattr(file: Fd, names: &mut [u8]) -> Result<usize, Errno> {
    call(nr::FLISTXATTR, [file.0 as usize, names.as_mut_ptr() as usize, names.len(), 0, 0, 0])
}

pub(crate) fn fgetxattr(file: Fd, name: &CStr, value: &mut [u8]) -> Result<usize, Errno> {
    call(nr::FGETXATTR, [file.0 as usize, text(name), value.as_mut_ptr() as usize, value.len(), 0, 0])
}

pub(crate) fn fsetxattr(file: Fd, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    done(call(nr::FSETXATTR, [file.0 as usize, text(name), value.as_ptr() as usize, value.len(), 0, 0]))
}

/// Changes the owner of what `name` is, a link itself included; of the descriptor where the name is empty.
pub(crate) fn fchownat(at: Fd, name: &CStr, uid: u32, gid: u32) -> Result<(), Errno> {
    let flags = 0x100 | if name.is_empty() { AT_EMPTY_PATH as usize } else { 0 };
    done(call(nr::FCHOWNAT, [at.0 as usize, text(name), uid as usize, gid as usize, flags, 0]))
}

/// Changes the owner of an open file, and not its group.
pub(crate) fn fchown(fd: Fd, uid: u32) -> Result<(), Errno> {
    let same = u32::MAX as usize;
    done(call(nr::FCHOWNAT, [fd.0 as usize, text(EMPTY), uid as usize, same, AT_EMPTY_PATH as usize, 0]))
}

/// What statx(2) says of a file: its mode, its owner, its inode, when it was modified (seconds and nanoseconds), and the
/// numbers of the device it is.
pub(crate) struct Status {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) modified: [u64; 2],
    pub(crate) inode: u64,
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl Status {
    /// The device that it is, as mknodat(2) takes it: new_encode_dev of the kernel.
    pub(crate) fn device(&self) -> u64 {
        u64::from((self.minor & 0xff) | (self.major << 8) | ((self.minor & !0xff) << 12))
    }
}

/// The status of what is at a path, a link itself included; of the descriptor where the path is empty.
pub(crate) fn statx(at: Fd, path: &CStr, follow: bool) -> Result<Status, Errno> {
    #[repr(C, align(8))]
    struct Statx([u32; 64]);
    let mut buffer = Statx([0; 64]);
    let flags = (if follow { 0 } else { 0x100 }) | if path.is_empty() { AT_EMPTY_PATH as usize } else { 0 };
    call(nr::STATX, [at.0 as usize, text(path), flags, 0x15b, &raw mut buffer as usize, 0])?;
    // stx_uid and stx_gid are u32 at bytes 20 and 24, stx_mode is a u16 at byte 28, stx_ino a u64 at byte 32, stx_mtime a
    // u64 at byte 112 and a u32 behind it, stx_rdev_major and stx_rdev_minor are u32 at bytes 128 and 132.
    Ok(Status {
        mode: buffer.0[7] & 0xffff,
        uid: buffer.0[5],
        gid: buffer.0[6],
        modified: [u64::from(buffer.0[28]) | u64::from(buffer.0[29]) << 32, u64::from(buffer.0[30])],
        inode: u64::from(buffer.0[8]) | u64::from(buffer.0[9]) << 32,
        major: buffer.0[32],
        minor: buffer.0[33],
    })
}
