//! Where a program begins that is made by `cargo xtask release` (build.rs, docs/decisions/static-programs.md): before libc's
//! own entry the kernel is asked for the pages that are written in any case, all at once instead of by a page fault each.
#![allow(unsafe_code, reason = "nothing of a program's runs before it but this")]

/// Of the stack, in bytes: what `run` and `exec` use of it.
const STACK: usize = 48 << 10;

// SAFETY: who is called here is the kernel, and it changes rax, rcx and r11 only; of the other registers libc's entry takes the
// stack pointer, which stays (x86-64 psABI, "Process Initialization"). The ranges are the segment that is relocated and written,
// and the stack below what is used of it; populating changes nothing of what is in them (madvise(2), MADV_POPULATE_WRITE), and
// where the kernel refuses, page faults do it later.
core::arch::global_asm!(
    ".pushsection .text.planc_start,\"ax\",@progbits",
    ".globl planc_start",
    ".type planc_start,@function",
    "planc_start:",
    "lea rdi, [rip + __init_array_start]",
    "and rdi, -4096",
    "lea rsi, [rip + _edata]",
    "sub rsi, rdi",
    "mov edx, {populate_write}",
    "mov eax, {madvise}",
    "syscall",
    "mov rdi, rsp",
    "and rdi, -4096",
    "sub rdi, {stack}",
    "mov esi, {stack}",
    "mov edx, {populate_write}",
    "mov eax, {madvise}",
    "syscall",
    "jmp _start",
    ".size planc_start, . - planc_start",
    ".popsection",
    populate_write = const 23,
    madvise = const 28,
    stack = const STACK,
);
