#![no_main]
//! `alm::properties::events`, for any bytes.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::properties::events(bytes));
