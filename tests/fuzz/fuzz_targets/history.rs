//! See `crossfade_hostile::history`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crossfade_hostile::history(bytes));
