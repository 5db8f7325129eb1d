//! The bare system call instruction, for the one place where libc may not be used: between clone and exec.

/// Performs a system call; a negative answer is an errno.
///
/// # Safety
/// The arguments are what the call with this number takes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn syscall(number: libc::c_long, args: [usize; 5]) -> isize {
    let [a, b, c, d, e] = args;
    let answer;
    // SAFETY: the caller's promise; the kernel changes rax, rcx and r11 only, and memory that the arguments point to.
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") number as isize => answer, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

/// Performs a system call; a negative answer is an errno.
///
/// # Safety
/// The arguments are what the call with this number takes.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(super) unsafe fn syscall(number: libc::c_long, args: [usize; 5]) -> isize {
    let [a, b, c, d, e] = args;
    let answer;
    // SAFETY: the caller's promise; the kernel changes x0 only, and memory that the arguments point to.
    unsafe {
        core::arch::asm!("svc #0", in("x8") number, inlateout("x0") a as isize => answer, in("x1") b, in("x2") c,
            in("x3") d, in("x4") e, options(nostack));
    }
    answer
}
