//! See `crossfade_hostile::request`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crossfade_hostile::request(bytes));
