//! `alm::properties::prompt`, for any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::properties::prompt(bytes));
