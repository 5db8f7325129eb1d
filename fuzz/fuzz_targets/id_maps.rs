//! Any bytes as id maps of a user namespace and of a mount.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    planc_fuzz::id_maps(bytes);
});
