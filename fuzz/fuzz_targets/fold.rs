#![no_main]
//! `alm::properties::fold`, for any bytes.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::properties::fold(bytes));
