#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile_bytes::stream_message(bytes));
