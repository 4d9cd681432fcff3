//! `crossfade`: releases from the command line. All of it is in the library beside this.

use std::process::ExitCode;

fn main() -> ExitCode {
    crossfade_cli::main()
}
