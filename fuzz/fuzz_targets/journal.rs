#![no_main]
//! `alm::properties::journal`, for any bytes.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::properties::journal(bytes));
