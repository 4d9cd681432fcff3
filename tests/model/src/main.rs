//! Checks the protocol, and says how many states that took. `model deep` checks what takes minutes.

use std::process::ExitCode;

use crossfade_model::suite;

fn main() -> ExitCode {
    let deep = std::env::args().nth(1).is_some_and(|what| what == "deep");
    suite::run(if deep { suite::DEEP } else { suite::ALL })
}
