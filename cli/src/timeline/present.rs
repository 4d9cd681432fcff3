//! How a release stands at a moment.

use crossfade::{
    domain::{Timestamp, release::Release, weight::Weight},
    wire::state_name::StateName,
};

use super::{Now, Rates, Timeline};

impl Timeline {
    /// How the release stands at `at`.
    pub(crate) fn now(&self, at: Timestamp) -> Now {
        let release = self.release.as_deref();
        let weight = release.map_or(Weight::ZERO, Release::weight);
        let state = self.state.as_ref();
        let name = state.map_or("", |state| state.name.as_str());
        let present = state.map_or(Some(StateName::Route), |state| state.state);
        let has_ended = state.is_some_and(|state| state.ended);
        let doing = match present {
            Some(StateName::Route | StateName::DeployGreen) => "making green".to_owned(),
            Some(StateName::AwaitIdle) => {
                "waiting until no client reaches the idle side".to_owned()
            }
            Some(StateName::ValidateGreen) => "proving green".to_owned(),
            Some(StateName::AwaitApproval) => "waits for approval".to_owned(),
            Some(StateName::Hold) => "held".to_owned(),
            Some(StateName::RunMigration) if has_ended => "running the migration back".to_owned(),
            Some(StateName::RunMigration) => "migrating".to_owned(),
            Some(StateName::RunHook | StateName::AwaitHook) => "asking a hook".to_owned(),
            Some(StateName::RollbackDeployment | StateName::Decide) if has_ended => {
                "ending".to_owned()
            }
            Some(StateName::RollbackDeployment) if !self.shift_begun => "ending".to_owned(),
            Some(StateName::RollbackDeployment) => "rolling back".to_owned(),
            Some(StateName::DeploymentSuccessful | StateName::FinalizeDeployment) => {
                "promoting".to_owned()
            }
            Some(StateName::Decide)
                if release.is_none_or(|known| known.progress().steps.is_empty()) =>
            {
                "making green".to_owned()
            }
            Some(StateName::Bake)
                if release.is_some_and(|release| release.propagation().is_some()) =>
            {
                "waits for DNS".to_owned()
            }
            _ => match release.and_then(|release| release.step().map(|step| (release, step))) {
                Some((release, step)) if !release.progress().steps.is_empty() => {
                    let waited = i64::from(release.progress().position.waited_seconds);
                    let waits = i64::from(release.progress().position.wait_seconds);
                    let waiting = match state {
                        Some(state) if state.state == Some(StateName::Bake) => {
                            (at - state.since).num_seconds().clamp(0, waits)
                        }
                        _ => 0,
                    };
                    format!("bakes {} of {} s", waited + waiting, step.bake_seconds)
                }
                _ => name.to_owned(),
            },
        };
        let step = release.map(|release| {
            format!(
                "step {} of {}, ",
                release.progress().steps.len().max(1),
                release.spec.plan.len()
            )
        });
        let rates = release.and_then(|release| Rates::of(&release.progress().evidence));
        let rates = rates.map(|rates| format!("; {}", rates.describe()));
        Now {
            weight,
            told: format!(
                "{}{doing}{}",
                step.unwrap_or_default(),
                rates.unwrap_or_default()
            ),
        }
    }
}
