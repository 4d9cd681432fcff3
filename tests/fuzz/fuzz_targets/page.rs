//! See `crossfade_hostile::page`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crossfade_hostile::page(bytes));
