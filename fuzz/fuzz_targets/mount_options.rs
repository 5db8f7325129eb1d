//! Any bytes as the options of a mount.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    planc_fuzz::mount_options(bytes);
});
