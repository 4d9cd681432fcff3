//! How the functions are linked when they are built to be deployed.
//!
//! A program that may be loaded anywhere has its forty thousand pointers put right at each start: a
//! megabyte and a half of memory that is read or written before the first event, and a sixth of the
//! program's size. These are loaded where they were linked to be. What that gives up is a random
//! address for the program itself; its heap, stacks and libraries keep theirs.

use std::env;

fn main() {
    // Nothing but the profile changes what it says.
    println!("cargo::rerun-if-env-changed=PROFILE");
    let is = |name: &str, value: &str| env::var(name).as_deref() == Ok(value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../no-unwinding.ld");
        println!("cargo::rerun-if-changed={script}");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{script}");
    }
}
