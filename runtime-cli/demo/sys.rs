//! The system calls of the demo program.

use core::ffi::CStr;

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym crate::start,
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "bl {start}",
    "brk #1",
    start = sym crate::start,
);

/// arch/x86/entry/syscalls/syscall_64.tbl
#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const READ: usize = 0;
    pub(super) const WRITE: usize = 1;
    pub(super) const GETPID: usize = 39;
    pub(super) const UNAME: usize = 63;
    pub(super) const GETUID: usize = 102;
    pub(super) const GETGID: usize = 104;
    pub(super) const EXIT_GROUP: usize = 231;
    pub(super) const OPENAT: usize = 257;
}

/// include/uapi/asm-generic/unistd.h
#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const OPENAT: usize = 56;
    pub(super) const READ: usize = 63;
    pub(super) const WRITE: usize = 64;
    pub(super) const EXIT_GROUP: usize = 94;
    pub(super) const UNAME: usize = 160;
    pub(super) const GETPID: usize = 172;
    pub(super) const GETUID: usize = 174;
    pub(super) const GETGID: usize = 176;
}

/// # Safety
/// The arguments are what the call with this number takes.
#[cfg(target_arch = "x86_64")]
unsafe fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let answer;
    // SAFETY: the caller's promise; the kernel changes rax, rcx and r11 only, and memory that the arguments point to.
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") number as isize => answer, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

/// # Safety
/// The arguments are what the call with this number takes.
#[cfg(target_arch = "aarch64")]
unsafe fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let answer;
    // SAFETY: the caller's promise; the kernel changes x0 only, and memory that the arguments point to.
    unsafe {
        core::arch::asm!("svc #0", in("x8") number, inlateout("x0") a as isize => answer, in("x1") b, in("x2") c,
            in("x3") d, options(nostack));
    }
    answer
}

/// openat(2)'s "from the working directory".
const AT_FDCWD: usize = -100_isize as usize;
const O_CLOEXEC: usize = 0o2_000_000;

/// Reads what a file has into `bytes`, and returns how much that is; `None` where it cannot be read or does not fit.
/// The descriptor is left to exit_group(2).
pub(crate) fn read_file(path: &CStr, bytes: &mut [u8]) -> Option<usize> {
    // SAFETY: the path ends with a NUL.
    let file = unsafe { syscall(number::OPENAT, AT_FDCWD, path.as_ptr() as usize, O_CLOEXEC, 0) };
    let file = usize::try_from(file).ok()?;
    let mut length = 0;
    loop {
        let rest = bytes.get_mut(length..).filter(|rest| !rest.is_empty())?;
        // SAFETY: `rest` is writable for its length.
        let count = unsafe { syscall(number::READ, file, rest.as_mut_ptr() as usize, rest.len(), 0) };
        match usize::try_from(count).ok()? {
            0 => return Some(length),
            count => length += count,
        }
    }
}

/// Writes all of `bytes`; whether it could.
pub(crate) fn write_all(fd: usize, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: `bytes` is readable for its length.
        let count = unsafe { syscall(number::WRITE, fd, bytes.as_ptr() as usize, bytes.len(), 0) };
        let Some(rest) = usize::try_from(count).ok().and_then(|count| bytes.get(count..)) else { return false };
        bytes = rest;
    }
    true
}

/// uname(2): six arrays of 65 bytes, of which the second is the host's name.
pub(crate) fn hostname(name: &mut [u8; 65]) -> Option<&[u8]> {
    let mut names = [[0_u8; 65]; 6];
    // SAFETY: `names` is a struct new_utsname.
    let answer = unsafe { syscall(number::UNAME, names.as_mut_ptr() as usize, 0, 0, 0) };
    *name = *names.get(1).filter(|_| answer == 0)?;
    CStr::from_bytes_until_nul(name).ok().map(CStr::to_bytes)
}

/// getpid(2)
pub(crate) fn pid() -> isize {
    // SAFETY: it takes nothing.
    unsafe { syscall(number::GETPID, 0, 0, 0, 0) }
}

/// getuid(2)
pub(crate) fn uid() -> isize {
    // SAFETY: it takes nothing.
    unsafe { syscall(number::GETUID, 0, 0, 0, 0) }
}

/// getgid(2)
pub(crate) fn gid() -> isize {
    // SAFETY: it takes nothing.
    unsafe { syscall(number::GETGID, 0, 0, 0, 0) }
}

/// exit_group(2)
pub(crate) fn exit(code: i32) -> ! {
    loop {
        // SAFETY: it does not return.
        unsafe { syscall(number::EXIT_GROUP, code as usize, 0, 0, 0) };
    }
}
