//! x86_64: the entry, the call instruction, the numbers (arch/x86/entry/syscalls/syscall_64.tbl).

core::arch::global_asm!(
    // Not dumpable is the very first thing: prctl(PR_SET_DUMPABLE, 0) (CVE-2016-9962).
    ".globl _start",
    "_start:",
    "mov eax, 157",
    "mov edi, 4",
    "xor esi, esi",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "syscall",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    start = sym crate::start,
);

/// # Safety
/// The arguments are what the call with this number takes.
pub(super) unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = args;
    let answer;
    // SAFETY: the caller's promise; the kernel changes rax, rcx and r11 only, and memory that the arguments point to.
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") number as isize => answer, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
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
        core::arch::asm!("syscall", "test rax, rax", "jnz 2f", "xor ebp, ebp", "call r12", "ud2", "2:",
            inlateout("rax") number::CLONE as isize => answer, in("rdi") flags, in("rsi") top, in("rdx") 0, in("r10") 0,
            in("r8") 0, in("r12") entry as usize, lateout("rcx") _, lateout("r11") _, options(nostack));
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
        core::arch::asm!("syscall", "test rax, rax", "jle 2f", "mov eax, 231", "xor edi, edi", "syscall", "ud2", "2:",
            inlateout("rax") number::CLONE as isize => answer, inlateout("rdi") flags => _, in("rsi") 0, in("rdx") pid,
            in("r10") 0, in("r8") 0, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

/// Ends the process by a fault.
pub(super) fn trap() -> ! {
    // SAFETY: nothing comes after it.
    unsafe { core::arch::asm!("ud2", options(noreturn)) }
}

pub(crate) const O_DIRECTORY: u32 = 0o200_000;
pub(crate) const O_NOFOLLOW: u32 = 0o400_000;

#[rustfmt::skip]
pub(super) mod number {
    pub(crate) const FSETXATTR: usize = 190; pub(crate) const READ: usize = 0; pub(crate) const WRITE: usize = 1; pub(crate) const CLOSE: usize = 3;
    pub(crate) const LSEEK: usize = 8; pub(crate) const MMAP: usize = 9; pub(crate) const RT_SIGACTION: usize = 13;
    pub(crate) const IOCTL: usize = 16; pub(crate) const FSTATFS: usize = 138;
    pub(crate) const RT_SIGPROCMASK: usize = 14; pub(crate) const RECVFROM: usize = 45; pub(crate) const SENDMSG: usize = 46; pub(crate) const SOCKET: usize = 41;
    pub(crate) const GETPID: usize = 39; pub(crate) const KILL: usize = 62; pub(crate) const FCNTL: usize = 72;
    pub(crate) const EXIT: usize = 60; pub(crate) const SECCOMP: usize = 317;
    pub(crate) const PIPE2: usize = 293; pub(crate) const MEMFD_CREATE: usize = 319;
    pub(crate) const CLONE: usize = 56; pub(crate) const EXECVE: usize = 59; pub(crate) const WAIT4: usize = 61;
    pub(crate) const GETCWD: usize = 79; pub(crate) const CHDIR: usize = 80; pub(crate) const FCHDIR: usize = 81;
    pub(crate) const UMASK: usize = 95; pub(crate) const SETSID: usize = 112; pub(crate) const SETGROUPS: usize = 116;
    pub(crate) const SETRESUID: usize = 117; pub(crate) const SETRESGID: usize = 119; pub(crate) const CAPSET: usize = 126;
    pub(crate) const PIVOT_ROOT: usize = 155; pub(crate) const PRCTL: usize = 157; pub(crate) const CHROOT: usize = 161;
    pub(crate) const UMOUNT2: usize = 166; pub(crate) const SETHOSTNAME: usize = 170; pub(crate) const SETDOMAINNAME: usize = 171;
    pub(crate) const CLOCK_GETTIME: usize = 228; pub(crate) const EXIT_GROUP: usize = 231; pub(crate) const KEYCTL: usize = 250;
    pub(crate) const MKDIRAT: usize = 258; pub(crate) const MKNODAT: usize = 259; pub(crate) const FCHOWNAT: usize = 260;
    pub(crate) const SYMLINKAT: usize = 266; pub(crate) const PPOLL: usize = 271; pub(crate) const UNSHARE: usize = 272;
    pub(crate) const ACCEPT4: usize = 288; pub(crate) const DUP3: usize = 292; pub(crate) const PRLIMIT64: usize = 302;
    pub(crate) const SETNS: usize = 308; pub(crate) const STATX: usize = 332; pub(crate) const OPEN_TREE: usize = 428;
    pub(crate) const MOVE_MOUNT: usize = 429; pub(crate) const FSOPEN: usize = 430; pub(crate) const FSCONFIG: usize = 431;
    pub(crate) const FSPICK: usize = 433; pub(crate) const FSMOUNT: usize = 432; pub(crate) const CLOSE_RANGE: usize = 436; pub(crate) const OPENAT2: usize = 437;
    pub(crate) const FACCESSAT2: usize = 439; pub(crate) const MOUNT_SETATTR: usize = 442;
    pub(crate) const SCHED_SETAFFINITY: usize = 203; pub(crate) const SCHED_SETATTR: usize = 314;
    pub(crate) const IOPRIO_SET: usize = 251; pub(crate) const PERSONALITY: usize = 135; pub(crate) const SET_MEMPOLICY: usize = 238;
    pub(crate) const FCHMOD: usize = 91; pub(crate) const UTIMENSAT: usize = 280; pub(crate) const GETDENTS64: usize = 217; pub(crate) const READLINKAT: usize = 267;
    pub(crate) const SENDFILE: usize = 40; pub(crate) const FLISTXATTR: usize = 196; pub(crate) const FGETXATTR: usize = 193;
}
