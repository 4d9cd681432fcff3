//! Calling a person: the traffic stays as it is until someone answers.

use std::fmt::Write as _;

use crossfade::{
    domain::{
        approval::{Asked, AskedKind},
        nonce::Nonce,
        release::{DeploymentStatus, Release},
        retention::name_of,
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
    pub(crate) async fn ask(&self, task: Task, token: &str) -> Result<Value, Error> {
        let mut release: Release = state(task.state)?;
        release.take_answers(task.now);
        let kind = task.asks.unwrap_or(AskedKind::Hold);
        let nonce = random()?;
        let asked = Asked::of(&release, kind, task.now, nonce.hash());
        self.ledger.ask(&task.execution, token, &asked).await?;

        let outcome = Outcome::of(&release, DeploymentStatus::Held, asked.reason.clone());
        let link = self.link(&task.execution, &nonce);
        let answers = answers(&asked, token, link.as_deref());
        self.notifier
            .ask(&task.execution, &outcome, &answers)
            .await?;
        tracing::info!(
            deployment.id = task.execution,
            weight_percent = release.weight().percent(),
            asked = ?kind,
            "Asked a person."
        );
        Ok(json!({}))
    }

    /// The page where a person can answer; none where the stack has none.
    fn link(&self, execution: &str, nonce: &Nonce) -> Option<String> {
        let url = self.approval_url.as_ref()?;
        let name = name_of(execution);
        Some(format!("{url}?release={name}&nonce={}", nonce.shown()))
    }
}

fn random() -> Result<Nonce, Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Transient(format!("no randomness for a nonce: {error}")))?;
    Ok(Nonce::from_random(bytes))
}

/// What a person can do, and what happens if nobody does.
fn answers(asked: &Asked, token: &str, link: Option<&str>) -> String {
    let mut text = format!(
        "Traffic stays as it is, and an alarm still rolls it back. Without an answer until {} {}.\n",
        asked
            .until
            .to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        asked.on_silence
    );
    if let Some(link) = link {
        // Writing to a String cannot fail.
        let _ = write!(text, "\nHere you can see more, and answer: {link}\n");
    }
    for word in asked.kind.words() {
        let (meaning, word): (_, &str) = (asked.meaning(*word), word.into());
        let _ = write!(
            text,
            "\n{word}: {meaning}\n  aws stepfunctions send-task-success \
             --task-output '{{\"decision\":\"{word}\"}}' --task-token '{token}'\n"
        );
    }
    text
}
