//! See `crossfade_hostile::event`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crossfade_hostile::event(bytes));
