//! aarch64: the entry, the call instruction, the numbers (include/uapi/asm-generic/unistd.h).

core::arch::global_asm!(
    // Not dumpable is the very first thing: prctl(PR_SET_DUMPABLE, 0) (CVE-2016-9962).
    ".globl _start",
    "_start:",
    "mov x8, #167",
    "mov x0, #4",
    "mov x1, #0",
    "mov x2, #0",
    "mov x3, #0",
    "mov x4, #0",
    "svc #0",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "bl {start}",
    "brk #1",
    start = sym crate::start,
);

/// # Safety
/// The arguments are what the call with this number takes.
pub(super) unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = args;
    let answer;
    // SAFETY: the caller's promise; the kernel changes x0 only, and memory that the arguments point to.
    unsafe {
        core::arch::asm!("svc #0", in("x8") number, inlateout("x0") a as isize => answer, in("x1") b, in("x2") c,
            in("x3") d, in("x4") e, in("x5") f, options(nostack));
    }
    answer
}

/// A copy of the calling thread that goes on in `entry`, on another stack.
///
/// # Safety
/// `top` is the end of a stack nobody else uses, a multiple of 16, and the flags say that memory is shared.
pub(super) unsafe fn spawn_thread(flags: usize, top: usize, entry: extern "C" fn() -> !) -> isize {
    let answer;
    // SAFETY: the caller's promise; in the new thread nothing is used but the stack and `entry`, in a register.
    unsafe {
        core::arch::asm!("svc #0", "cbnz x0, 2f", "mov x29, #0", "mov x30, #0", "blr x20", "brk #1", "2:",
            in("x8") number::CLONE, inlateout("x0") flags as isize => answer, in("x1") top, in("x2") 0, in("x3") 0,
            in("x4") 0, in("x20") entry as usize, options(nostack));
    }
    answer
}

/// clone(2) on the same stack: the child returns, with 0; who called it ends, unless there is no child.
///
/// # Safety
/// The flags say that memory is shared and that the process is another, and this is its only thread.
pub(super) unsafe fn rebirth(flags: usize, pid: usize) -> isize {
    let answer;
    // SAFETY: the caller's promise; who ends uses registers only.
    unsafe {
        core::arch::asm!("svc #0", "cmp x0, #0", "b.le 2f", "mov x8, #94", "mov x0, #0", "svc #0", "brk #1", "2:",
            inlateout("x8") number::CLONE => _, inlateout("x0") flags as isize => answer, in("x1") 0, in("x2") pid,
            in("x3") 0, in("x4") 0, options(nostack));
    }
    answer
}

/// Ends the process by a fault.
pub(super) fn trap() -> ! {
    // SAFETY: nothing comes after it.
    unsafe { core::arch::asm!("brk #1", options(noreturn)) }
}

pub(crate) const O_DIRECTORY: u32 = 0o40_000;
pub(crate) const O_NOFOLLOW: u32 = 0o100_000;

#[rustfmt::skip]
pub(super) mod number {
    pub(crate) const FSETXATTR: usize = 7; pub(crate) const GETCWD: usize = 17; pub(crate) const DUP3: usize = 24; pub(crate) const MKNODAT: usize = 33;
    pub(crate) const IOCTL: usize = 29; pub(crate) const FSTATFS: usize = 44;
    pub(crate) const MKDIRAT: usize = 34; pub(crate) const SYMLINKAT: usize = 36; pub(crate) const UMOUNT2: usize = 39;
    pub(crate) const PIVOT_ROOT: usize = 41; pub(crate) const CHDIR: usize = 49; pub(crate) const FCHDIR: usize = 50;
    pub(crate) const CHROOT: usize = 51; pub(crate) const FCHOWNAT: usize = 54; pub(crate) const CLOSE: usize = 57;
    pub(crate) const LSEEK: usize = 62; pub(crate) const READ: usize = 63; pub(crate) const WRITE: usize = 64;
    pub(crate) const PPOLL: usize = 73; pub(crate) const CAPSET: usize = 91; pub(crate) const EXIT_GROUP: usize = 94;
    pub(crate) const UNSHARE: usize = 97; pub(crate) const CLOCK_GETTIME: usize = 113; pub(crate) const RT_SIGACTION: usize = 134;
    pub(crate) const RT_SIGPROCMASK: usize = 135; pub(crate) const SETRESUID: usize = 147; pub(crate) const SETRESGID: usize = 149;
    pub(crate) const SETSID: usize = 157; pub(crate) const SETGROUPS: usize = 159; pub(crate) const SETHOSTNAME: usize = 161;
    pub(crate) const SETDOMAINNAME: usize = 162; pub(crate) const UMASK: usize = 166; pub(crate) const PRCTL: usize = 167;
    pub(crate) const EXIT: usize = 93; pub(crate) const SECCOMP: usize = 277;
    pub(crate) const FCNTL: usize = 25; pub(crate) const PIPE2: usize = 59; pub(crate) const KILL: usize = 129;
    pub(crate) const GETPID: usize = 172; pub(crate) const MEMFD_CREATE: usize = 279;
    pub(crate) const RECVFROM: usize = 207; pub(crate) const SENDMSG: usize = 211; pub(crate) const SOCKET: usize = 198; pub(crate) const KEYCTL: usize = 219;
    pub(crate) const CLONE: usize = 220; pub(crate) const EXECVE: usize = 221; pub(crate) const MMAP: usize = 222;
    pub(crate) const ACCEPT4: usize = 242; pub(crate) const WAIT4: usize = 260; pub(crate) const PRLIMIT64: usize = 261;
    pub(crate) const SETNS: usize = 268; pub(crate) const STATX: usize = 291; pub(crate) const OPEN_TREE: usize = 428;
    pub(crate) const MOVE_MOUNT: usize = 429; pub(crate) const FSOPEN: usize = 430; pub(crate) const FSCONFIG: usize = 431;
    pub(crate) const FSPICK: usize = 433; pub(crate) const FSMOUNT: usize = 432; pub(crate) const CLOSE_RANGE: usize = 436; pub(crate) const OPENAT2: usize = 437;
    pub(crate) const FACCESSAT2: usize = 439; pub(crate) const MOUNT_SETATTR: usize = 442;
    pub(crate) const SCHED_SETAFFINITY: usize = 122; pub(crate) const SCHED_SETATTR: usize = 274;
    pub(crate) const IOPRIO_SET: usize = 30; pub(crate) const PERSONALITY: usize = 92; pub(crate) const SET_MEMPOLICY: usize = 237;
    pub(crate) const FCHMOD: usize = 52; pub(crate) const UTIMENSAT: usize = 88; pub(crate) const GETDENTS64: usize = 61; pub(crate) const READLINKAT: usize = 78;
    pub(crate) const SENDFILE: usize = 71; pub(crate) const FLISTXATTR: usize = 13; pub(crate) const FGETXATTR: usize = 10;
}
