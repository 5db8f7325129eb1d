//! Any bytes as a seccomp profile.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    planc_fuzz::seccomp(bytes);
});
