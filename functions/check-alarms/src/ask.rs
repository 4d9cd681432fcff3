//! Calling an operator: the traffic stays as it is until someone answers.

use crossfade::{
    domain::{
        approval::{Question, nonce::Nonce},
        retention::name_of,
        status::DeploymentStatus,
    },
    error::Error,
    notice::Notice,
    wire::{outcome::Outcome, task::Task},
};
use serde_json::{Value, json};

use crate::Handler;

impl Handler {
    /// Records the task token, so that an alarm can end the wait, and publishes how to answer.
    pub(crate) async fn ask(&self, task: Task, token: &str) -> Result<Value, Error> {
        let kind = task.question();
        let (release, _) = task.state.in_flight()?.answered(task.now)?;
        let nonce = random()?;
        let asked = Question::of(&release, kind, task.now, nonce.hash());
        self.ledger.ask(&task.execution, token, &asked).await?;

        let outcome = Outcome::of(&release, DeploymentStatus::Held, asked.reason.clone());
        let link = self.link(&task.execution, &nonce);
        let notice = Notice::asked(&task.execution, &outcome, &asked, token, link);
        self.notifier.deliver(&notice).await?;
        tracing::info!(
            event = "decision_requested",
            deployment.id = task.execution,
            weight_percent = release.weight().percent(),
            asked = ?kind,
            "Requested an operator's decision."
        );
        Ok(json!({}))
    }

    /// The page where an operator can answer; none where the stack has none.
    fn link(&self, execution: &str, nonce: &Nonce) -> Option<String> {
        let url = self.approval_url.as_ref()?;
        let name = name_of(execution);
        Some(format!("{url}?release={name}&nonce={}", nonce.shown()))
    }
}

fn random() -> Result<Nonce, Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Transient(format!("no randomness for a nonce: {error}").into()))?;
    Ok(Nonce::from_random(bytes))
}
