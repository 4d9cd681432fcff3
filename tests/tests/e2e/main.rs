//! Releases for real: each test starts executions of the deployed state machine, and asserts on what
//! the local AWS then says.

mod case;
mod judged;
mod promoted;

fn main() -> std::process::ExitCode {
    case::run(vec![promoted::tests(), judged::tests()])
}
