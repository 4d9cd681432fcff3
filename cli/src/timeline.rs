//! What happened, from an execution's history: a pure fold of events into what operators want to know.

mod entry;
mod outside;
mod present;
#[cfg(test)]
mod tests;
mod words;

use crossfade::{
    display::duration,
    domain::{
        Timestamp, analysis::verdict::Verdict, decision::Decision, release::Release,
        status::DeploymentStatus, weight::Weight,
    },
    wire::{failure::Failure, request::Request, state_name::StateName},
};
use serde::Deserialize;
use serde_json::{Value, json};

use self::words::{describe_failure, serving, versions};
pub(crate) use self::{
    entry::{Entry, Kind, Now, Rates},
    outside::{Outside, goes_back},
};
use crate::{
    executions::{Event, What},
    exit_code::Ended,
};

/// A release as far as its history has been read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    /// The release, once there is one.
    pub(crate) release: Option<Box<Release>>,
    /// What was requested.
    pub(crate) application: Option<String>,
    /// The state that it is in.
    state: Option<Present>,
    /// How it ended.
    pub(crate) ended: Option<Box<Ended>>,
    /// The id of the last event that was read.
    pub(crate) read: i64,
    /// What operators should know, as far as it has been said.
    pub(crate) warnings: Vec<String>,
    /// How many of these have been shown.
    told_warnings: usize,
    /// Whether a state that moves traffic was entered.
    shift_begun: bool,
    /// Whether it is a rollback to a version.
    to_version: bool,
    /// What the last look was at, found and decided.
    looked: Option<Look>,
    /// What failed last, and is tried again.
    tried: Option<String>,
    /// What has been shown of a rollback from outside the execution.
    pub(crate) outside: Outside,
}

/// A step, what was found of it, and what was decided.
type Look = (Option<usize>, Option<Verdict>, Option<Decision>);

/// The present state.
#[derive(Clone, Debug)]
struct Present {
    name: String,
    /// The same; none where it is none of ours.
    state: Option<StateName>,
    task: bool,
    /// Whether the release had ended before it.
    ended: bool,
    /// Whether it takes in an operator's answer.
    answered: bool,
    since: Timestamp,
    calls: u32,
    failed: Failure,
}

impl Timeline {
    /// Takes in an event. What there is to say of it, where there is something.
    pub(crate) fn apply(&mut self, event: Event) -> Option<Entry> {
        match &event.what {
            What::Exited { output, .. } => {
                self.warned(&output["warnings"]);
                self.warned(&output["outcome"]["warnings"]);
            }
            What::Ended(ended) => {
                let outcome = ended.outcome.as_ref();
                self.warned(&json!(outcome.map(|outcome| &outcome.warnings)));
            }
            _ => {}
        }
        let mut told = self.happened(event)?;
        told.warnings = self.warnings[self.told_warnings..].to_vec();
        let look = (told.event == Kind::Looked).then_some((told.step, told.verdict, told.decision));
        let last = std::mem::replace(&mut self.looked, look);
        let is_repeated = look.is_some() && look == last;
        // It began outside the execution, which takes it in now.
        let is_known = told.event == Kind::RollingBack && self.outside != Outside::Unseen;
        // A rollback is tried for half an hour, and fails the same way each time.
        let tried = (told.event == Kind::TriedAgain).then(|| told.text.clone());
        let is_repeated = is_repeated || (tried.is_some() && tried == self.tried);
        self.tried = tried;
        told.unchanged = (is_repeated || is_known) && told.warnings.is_empty();
        self.told_warnings = self.warnings.len();
        Some(told)
    }

    /// Takes in warnings that are new.
    fn warned(&mut self, warnings: &Value) {
        for warning in warnings.as_array().into_iter().flatten() {
            let warning = warning.as_str().unwrap_or_default();
            if !self.warnings.iter().any(|known| known == warning) {
                self.warnings.push(warning.to_owned());
            }
        }
    }

    fn happened(&mut self, event: Event) -> Option<Entry> {
        let Event { id, at, what } = event;
        self.read = self.read.max(id);
        match what {
            What::Started { input } => Some(self.started(at, &input)),
            What::Entered { state, task, input } => {
                let told = self.entered(at, &state, &input);
                self.state = Some(Present {
                    state: state.parse().ok(),
                    name: state,
                    task,
                    ended: input.get("outcome").is_some(),
                    answered: ["answer", "approvalAnswer", "unanswered"]
                        .iter()
                        .any(|field| input.get(field).is_some()),
                    since: at,
                    calls: 0,
                    failed: Failure::default(),
                });
                told
            }
            What::Called => self.called(at),
            What::Failed(failure) => {
                if let Some(state) = &mut self.state {
                    state.failed = failure;
                }
                None
            }
            What::Exited { state, output } => self.exited(at, &state, &output),
            What::Ended(ended) => {
                let mut sentence = ended.sentence();
                // Its reason says so: rolled back by hand.
                if let (true, Some(reason)) = (self.to_version, sentence.strip_prefix("promoted: "))
                {
                    let reason = reason.to_owned();
                    sentence = reason;
                }
                self.state = None;
                self.ended = Some(ended.clone());
                let mut told = self.happening(at, Kind::Ended, sentence);
                told.exit_code = Some(ended.exit().code());
                told.ended = Some(ended);
                Some(told)
            }
            What::Other => None,
        }
    }

    fn happening(&self, at: Timestamp, event: Kind, text: impl Into<String>) -> Entry {
        let release = self.release.as_deref();
        let shifted = release.filter(|release| !release.progress().steps.is_empty());
        Entry {
            at,
            event,
            text: text.into(),
            weight: release.map(Release::weight),
            step: shifted.map(|release| release.progress().steps.len()),
            steps: release.map(|release| release.spec.plan.len()),
            verdict: None,
            decision: None,
            rates: None,
            by: None,
            ended: None,
            exit_code: None,
            warnings: Vec::new(),
            unchanged: false,
        }
    }

    fn started(&mut self, at: Timestamp, input: &Value) -> Entry {
        let text = match Request::parse(input) {
            Ok(request) => {
                self.application = Some(request.application().to_string());
                let application = request.application();
                match &request {
                    Request::Release(release) => {
                        let steps: Vec<_> = release
                            .plan()
                            .steps()
                            .iter()
                            .map(|step| {
                                format!(
                                    "{} for {}",
                                    step.weight,
                                    duration(step.bake_seconds.into())
                                )
                            })
                            .collect();
                        let what = release.about().line();
                        let what = what.map(|what| format!(" ({what})")).unwrap_or_default();
                        format!("release of {application}{what} began: {}", steps.join(", "))
                    }
                    Request::Rollback { .. } => format!("rollback of {application} began"),
                    Request::ToVersion(to) => {
                        self.to_version = true;
                        let version = &to.to_version;
                        match &to.function_name {
                            Some(function) => format!(
                                "rollback of {application} began: {function} to version {version}"
                            ),
                            None => format!("rollback of {application} to version {version} began"),
                        }
                    }
                    Request::Wire { .. } => format!("wiring of {application} began"),
                    Request::Unwire { .. } => format!("unwiring of {application} began"),
                }
            }
            Err(problems) => {
                self.application = input["application"].as_str().map(str::to_owned);
                format!("began with a request that is not valid:\n{problems}")
            }
        };
        self.happening(at, Kind::Started, text)
    }

    fn entered(&mut self, at: Timestamp, state: &str, input: &Value) -> Option<Entry> {
        let state = state.parse::<StateName>().ok()?;
        self.shift_begun |= matches!(
            state,
            StateName::ShiftTraffic | StateName::FinalizeDeployment
        );
        match state {
            StateName::AwaitApproval | StateName::Hold => {
                let asks = if state == StateName::Hold {
                    "held: waits for an operator"
                } else {
                    "waits for approval"
                };
                let weight = self.release.as_ref().map_or(Weight::ZERO, |it| it.weight());
                let wait = if state == StateName::Hold {
                    "hold"
                } else {
                    "approval"
                };
                let limit = input[wait]["timeoutSeconds"].as_u64();
                let limit = limit.map(|limit| format!(" for up to {}", duration(limit)));
                let reason = input["reason"].as_str().filter(|reason| !reason.is_empty());
                let reason = reason.map(|reason| format!("; {reason}"));
                let text = format!(
                    "{asks}{}, with {weight} on green{}",
                    limit.unwrap_or_default(),
                    reason.unwrap_or_default()
                );
                let mut told = self.happening(at, Kind::Asked, text);
                told.rates = self
                    .release
                    .as_ref()
                    .and_then(|it| Rates::of(&it.progress().evidence));
                Some(told)
            }
            // What came after the end has failed, and has just been shown.
            StateName::RollbackDeployment if input.get("outcome").is_some() => None,
            StateName::RollbackDeployment => {
                let failure = input.get("failure");
                if input["action"] == "rollback" && failure.is_none() {
                    let text = "takes back what is in flight, or was promoted last";
                    return Some(self.happening(at, Kind::RollingBack, text));
                }
                if !self.shift_begun {
                    let text = "the release ends before its first shift";
                    // What failed has just been shown.
                    let why = input["reason"].as_str().filter(|_| failure.is_none());
                    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                    return Some(self.happening(at, Kind::Rejected, format!("{text}{why}")));
                }
                let why = match failure {
                    Some(failure) => describe_failure(failure),
                    None => input["reason"].as_str().unwrap_or("requested").to_owned(),
                };
                let text = format!("all traffic returns to blue: {why}");
                Some(self.happening(at, Kind::RollingBack, text))
            }
            _ => None,
        }
    }

    fn called(&mut self, at: Timestamp) -> Option<Entry> {
        let state = self.state.as_mut()?;
        state.calls += 1;
        if state.calls == 1 {
            return None;
        }
        let text = format!("{} is tried again: {}", state.name, state.failed);
        Some(self.happening(at, Kind::TriedAgain, text))
    }

    fn exited(&mut self, at: Timestamp, state: &str, output: &Value) -> Option<Entry> {
        let present = self.state.take()?;
        let name = present.state;
        for (field, asked) in [
            ("answer", StateName::Hold),
            ("approvalAnswer", StateName::AwaitApproval),
        ] {
            if name == Some(asked) && output[field].is_object() {
                return Some(self.answered(at, &output[field]));
            }
        }
        if name == Some(StateName::AwaitApproval) && output.get("unanswered").is_some() {
            let text = "no operator answered in time";
            return Some(self.happening(at, Kind::Unanswered, text));
        }
        if present.task && output.get("failure").is_some() {
            // Shown with its successor: as a rule the rollback.
            let text = format!("{state} failed: {}", describe_failure(&output["failure"]));
            return Some(self.happening(at, Kind::Failed, text));
        }
        if let Ok(release) = Release::deserialize(output) {
            self.release = Some(Box::new(release));
        }
        let release = self.release.as_deref();
        match (name, release) {
            (Some(StateName::DeployGreen), Some(release)) => {
                let made: Vec<_> = release.progress().functions.iter().map(versions).collect();
                // Behind a load balancer the team registers green itself.
                let text = if made.is_empty() {
                    "green is registered".to_owned()
                } else {
                    format!("green is made: {}", made.join(", "))
                };
                Some(self.happening(at, Kind::GreenMade, text))
            }
            (Some(StateName::ValidateGreen), Some(release)) => {
                let evidence = &release.progress().evidence;
                let tests = evidence.validation.len() + evidence.validation_left_out;
                let text = match tests {
                    0 => "green is ready; it has no smoke tests".to_owned(),
                    tests => format!("green is proven: {tests} checks passed"),
                };
                Some(self.happening(at, Kind::Proven, text))
            }
            (Some(StateName::ShiftTraffic), Some(release)) => {
                let bake = release.step().map_or(0, |step| step.bake_seconds);
                let text = format!(
                    "{} on green, step {} of {}, to bake for {}",
                    release.weight(),
                    release.progress().steps.len(),
                    release.spec.plan.len(),
                    duration(bake.into())
                );
                Some(self.happening(at, Kind::Shifted, text))
            }
            // An answer, which has been shown.
            (Some(StateName::CheckAlarms), Some(_)) if present.answered => None,
            (Some(StateName::CheckAlarms), Some(release)) => Some(self.looked(at, release)),
            (Some(StateName::FinalizeDeployment), _) => {
                // Alone, by the definition of version 0.1.
                let outcome = output.get("outcome").unwrap_or(output);
                let text = outcome["reason"]
                    .as_str()
                    .unwrap_or("green has all traffic");
                let mut told = self.happening(at, Kind::Promoted, text);
                told.weight = Some(Weight::FULL);
                Some(told)
            }
            (Some(StateName::RollbackDeployment), _) if present.ended => None,
            (Some(StateName::RollbackDeployment), _) => {
                Some(self.rolled_back(at, &output["outcome"]))
            }
            // It comes again until all is in force.
            (Some(StateName::WireStage), _) if output.get("wiring").is_some() => None,
            (
                Some(
                    StateName::DeployGreen
                    | StateName::StartRetention
                    | StateName::RetentionNotStarted,
                ),
                _,
            ) => None,
            _ if present.task => Some(self.happening(at, Kind::Did, format!("{state} is done"))),
            _ => None,
        }
    }

    /// How the traffic is once the rollback's state is over, by the outcome that it made.
    fn rolled_back(&self, at: Timestamp, outcome: &Value) -> Entry {
        let reason = outcome["reason"].as_str().unwrap_or_default();
        let status = DeploymentStatus::deserialize(&outcome["deploymentStatus"]);
        let (kind, weight, text) = match status {
            Ok(DeploymentStatus::Rejected) => (
                Kind::Rejected,
                Some(Weight::ZERO),
                "no traffic was moved".to_owned(),
            ),
            Ok(DeploymentStatus::Held) => (
                Kind::RollingBack,
                None,
                format!("traffic is not on blue; {reason}"),
            ),
            _ => (
                Kind::RollingBack,
                Some(Weight::ZERO),
                format!("blue has all traffic{}; {reason}", serving(outcome)),
            ),
        };
        let mut told = self.happening(at, kind, text);
        told.weight = weight.or(told.weight);
        told
    }

    fn looked(&self, at: Timestamp, release: &Release) -> Entry {
        let verdict = release
            .progress()
            .steps
            .last()
            .and_then(|step| step.verdict);
        let rates = Rates::of(&release.progress().evidence);
        let decided = match release.progress().decision {
            Some(Decision::AwaitDns) => "waits for DNS",
            Some(Decision::BakeOn) => "bakes on",
            Some(Decision::RunHook) => "asks a hook",
            Some(Decision::Shift) => "shifts",
            Some(Decision::Ask) => "waits for approval",
            Some(Decision::Promote) => "promotes",
            Some(Decision::Hold) => "holds",
            Some(Decision::RollBack) => "rolls back",
            None => "goes on",
        };
        let word = match verdict {
            Some(Verdict::Healthy) => "healthy",
            Some(Verdict::Inconclusive) => "inconclusive",
            Some(Verdict::Unhealthy) => "unhealthy",
            None => "looked",
        };
        let numbers = rates
            .as_ref()
            .map(|rates| format!("; {}", rates.describe()));
        // The reason has the same numbers where all is well.
        let reason = match verdict {
            Some(Verdict::Healthy) if numbers.is_some() => String::new(),
            _ => format!(": {}", release.progress().reason),
        };
        let text = format!("{word}, {decided}{reason}{}", numbers.unwrap_or_default());
        let mut told = self.happening(at, Kind::Looked, text);
        told.verdict = verdict;
        told.decision = release.progress().decision;
        told.rates = rates;
        told
    }

    fn answered(&self, at: Timestamp, answer: &Value) -> Entry {
        let by = answer["by"].as_str();
        let text = format!(
            "{} answered {}{}",
            by.unwrap_or("somebody"),
            answer["decision"]
                .as_str()
                .unwrap_or("(no word that is known)"),
            answer["reason"]
                .as_str()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default()
        );
        let mut told = self.happening(at, Kind::Answered, text);
        told.by = by.map(str::to_owned);
        told
    }
}
