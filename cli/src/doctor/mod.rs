//! Says whether an installation is sound: `observe` reads AWS, `checks` judges.

mod checks;
mod observe;

use std::time::Duration;

use serde_json::json;

use crate::{error::CliError, exit_code::Exit, output::Output, stack::Aws};

/// Checks an installation, and shows a line for each check. Sends a test event if one may take some time.
pub(crate) async fn doctor(
    aws: &Aws,
    patience: Option<Duration>,
    screen: &Output,
) -> Result<Exit, CliError> {
    let seen = Box::pin(observe::observe(aws, patience)).await;
    let checks = checks::judge(&seen, env!("CARGO_PKG_VERSION"));
    let exit = checks::exit(&checks);
    if screen.is_json() {
        screen.object(&json!({ "checks": checks, "exitCode": exit.code() }));
    }
    for check in &checks {
        screen.say(&check.line());
    }
    Ok(exit)
}
