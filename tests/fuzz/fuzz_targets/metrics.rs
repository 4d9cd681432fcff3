//! See `crossfade_hostile::metrics`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crossfade_hostile::metrics(bytes));
