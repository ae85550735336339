//! `alm::properties::tool_calls`, for any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| alm::properties::tool_calls(bytes));
