#![no_main]
//! `alm::properties::reply`, for any bytes.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::properties::reply(bytes));
