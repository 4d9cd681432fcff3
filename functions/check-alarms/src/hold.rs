//! Calling a person: the traffic stays as it is until someone answers.

use std::fmt::Write as _;

use crossfade::{
    domain::{
        analysis::OnHoldTimeout,
        decision::Decision,
        release::{DeploymentStatus, Release},
    },
    error::Error,
    wire::{
        outcome::Outcome,
        task::{Task, state},
    },
};
use serde_json::{Value, json};

use crate::Handler;

impl Handler {
    /// Puts the token on record, so that an alarm can end the wait, and tells people how to.
    pub(crate) async fn hold(&self, task: Task, token: &str) -> Result<Value, Error> {
        let release: Release = state(task.state)?;
        let asked = release.decision == Some(Decision::Ask);
        let why = if asked {
            "approval is asked for"
        } else {
            "held"
        };
        let reason = format!(
            "{why} with {} on green; {}",
            release.weight(),
            release.reason
        );
        self.ledger.hold(&task.execution, token, &reason).await?;
        let outcome = Outcome::of(&release, DeploymentStatus::Held, reason);
        self.notifier
            .ask(&task.execution, &outcome, &answers(&release, token))
            .await?;
        tracing::info!(
            deployment.id = task.execution,
            weight_percent = release.weight().percent(),
            "Held."
        );
        Ok(json!({}))
    }
}

/// What a person can do, and what happens if nobody does.
fn answers(release: &Release, token: &str) -> String {
    let next = match release.resume {
        Some(Decision::Shift) => match release.step() {
            Some(step) => format!("goes on to {} on green", step.weight),
            None => "goes on".to_owned(),
        },
        _ => "promotes green".to_owned(),
    };
    let silence = match release.hold.on_timeout {
        OnHoldTimeout::RollBack => "all traffic goes back to blue",
        OnHoldTimeout::Leave => "traffic stays split as it is, and the locks stay taken",
    };
    let mut text = format!(
        "Traffic stays as it is, and an alarm still rolls it back. After {} s without an answer {silence}.\n",
        release.hold.timeout_seconds
    );
    for (word, meaning) in [
        ("resume", next.as_str()),
        ("promote", "puts all traffic on green now"),
        ("rollBack", "puts all traffic back on blue"),
    ] {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n{word}: {meaning}\n  aws stepfunctions send-task-success \
             --task-output '{{\"decision\":\"{word}\"}}' --task-token '{token}'\n"
        );
    }
    text
}
