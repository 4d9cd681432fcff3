//! Reads a request from standard input and prints its plan, or everything that is wrong with it.

use std::io::{self, Read};
use std::process::ExitCode;

use crossfade::wire::request::Request;

fn main() -> ExitCode {
    let mut text = String::new();
    let read = io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| error.to_string());
    let input = read.and_then(|_| serde_json::from_str(&text).map_err(|error| error.to_string()));
    match input.map(|input| Request::parse(&input)) {
        Ok(Ok(Request::Release(release))) => {
            for (index, step) in release.plan().steps().iter().enumerate() {
                println!("step {index}: {} for {} s", step.weight, step.bake_seconds);
            }
            ExitCode::SUCCESS
        }
        Ok(Ok(Request::Rollback { application, .. })) => {
            println!("roll {application} back");
            ExitCode::SUCCESS
        }
        Ok(Ok(Request::ToVersion(to))) => {
            println!("roll {} back to version {}", to.application, to.to_version);
            ExitCode::SUCCESS
        }
        Ok(Ok(Request::Wire { application, .. })) => {
            println!("have a stage of {application} call its alias");
            ExitCode::SUCCESS
        }
        Ok(Ok(Request::Unwire { application, .. })) => {
            println!("put a stage of {application} back to how it was");
            ExitCode::SUCCESS
        }
        Ok(Err(problems)) => {
            eprintln!("{problems}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("not JSON: {error}");
            ExitCode::FAILURE
        }
    }
}
