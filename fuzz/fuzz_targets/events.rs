#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| klatch_fuzz::events(data));
