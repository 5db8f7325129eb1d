//! The four functions that the compiler may call for copies and comparisons; there is no libc to bring them.

/// # Safety
/// As memcpy(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's promise: both runs are valid and do not overlap. An instruction, so that the compiler cannot
    // turn a loop here into a call of this very function.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") count => _,
            options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    for n in 0..count {
        // SAFETY: as above; volatile, so that the loop stays a loop.
        unsafe { to.add(n).write_volatile(from.add(n).read_volatile()) };
    }
    to
}

/// # Safety
/// As memmove(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= count {
        // SAFETY: `to` does not begin inside the source, so a forward copy reads every byte before it is overwritten.
        return unsafe { memcpy(to, from, count) };
    }
    for n in (0..count).rev() {
        // SAFETY: the caller's promise: both runs are valid.
        unsafe { to.add(n).write_volatile(from.add(n).read_volatile()) };
    }
    to
}

/// # Safety
/// As memset(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller's promise: the run is valid.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!("rep stosb", inout("rdi") to => _, in("al") value as u8, inout("rcx") count => _,
            options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    for n in 0..count {
        // SAFETY: as above.
        unsafe { to.add(n).write_volatile(value as u8) };
    }
    to
}

/// # Safety
/// As memcmp(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    for n in 0..count {
        // SAFETY: the caller's promise: both runs are valid.
        let (a, b) = unsafe { (a.add(n).read_volatile(), b.add(n).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// # Safety
/// As memcmp(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(a, b, count) }
}

/// # Safety
/// As strlen(3).
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut count = 0;
    // SAFETY: the caller's promise: a NUL ends the run.
    while unsafe { text.add(count).read_volatile() } != 0 {
        count += 1;
    }
    count
}
