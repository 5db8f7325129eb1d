//! Any bytes as a config.json.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    planc_fuzz::config(bytes);
});
