#![no_main]
//! `alm::properties::request`, for any bytes.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::properties::request(bytes));
