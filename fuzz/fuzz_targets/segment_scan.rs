#![no_main]
#![allow(dead_code)]

#[path = "../src/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::segment_scan(bytes));
