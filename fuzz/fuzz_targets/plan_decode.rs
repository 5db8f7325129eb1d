//! Any bytes as a plan.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    planc_fuzz::plan_decode(bytes);
});
