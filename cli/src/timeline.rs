//! What happened, from an execution's history: a pure fold of events into what people want to know.

use crossfade::{
    domain::{
        Timestamp,
        analysis::{check::Evidence, judge, verdict::Verdict},
        decision::Decision,
        release::Release,
        status::DeploymentStatus,
        target::Target,
        weight::Weight,
    },
    wire::{failure::Failure, request::Request, state_name::StateName},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    executions::{Event, What},
    exit_code::Ended,
};

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// The execution began.
    Started,
    /// Green was made.
    GreenMade,
    /// Green has passed its smoke tests.
    Proven,
    /// The weight was changed.
    Shifted,
    /// A look at the alarms and at green's traffic.
    Looked,
    /// A person is asked, or was called.
    Asked,
    /// A person answered.
    Answered,
    /// Nobody answered.
    Unanswered,
    /// A call failed, and is made again.
    TriedAgain,
    /// A state failed.
    Failed,
    /// Traffic goes back to blue.
    RollingBack,
    /// The release ends before its first shift: no traffic was moved.
    Rejected,
    /// Green was made what serves.
    Promoted,
    /// Another state has done its work.
    Did,
    /// The execution ended.
    Ended,
}

/// Both versions' errors, and what the judge makes of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rates {
    /// The function that they are of, where the judge names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) function: Option<String>,
    /// Percent of green's requests that failed since the release began.
    pub(crate) green_error_percent: f64,
    /// How many requests green had.
    pub(crate) green_requests: u64,
    /// Percent of blue's requests that failed since the release began.
    pub(crate) blue_error_percent: f64,
    /// How many requests blue had.
    pub(crate) blue_requests: u64,
    /// The evidence against green.
    pub(crate) e_value: f64,
    /// How much of it rolls back.
    pub(crate) threshold: f64,
}

impl Rates {
    fn of(evidence: &Evidence) -> Option<Self> {
        let judge::Evidence {
            function,
            blue,
            green,
            blue_error_percent,
            green_error_percent,
            e_value,
            threshold,
            ..
        } = evidence.judge.as_ref()?;
        Some(Self {
            function: function.clone(),
            green_error_percent: *green_error_percent,
            green_requests: green.invocations,
            blue_error_percent: *blue_error_percent,
            blue_requests: blue.invocations,
            e_value: *e_value,
            threshold: *threshold,
        })
    }

    /// In a phrase.
    pub(crate) fn told(&self) -> String {
        format!(
            "green {:.2} % of {}, blue {:.2} % of {} failed, e-value {} of {}",
            self.green_error_percent,
            self.green_requests,
            self.blue_error_percent,
            self.blue_requests,
            e_value(self.e_value),
            e_value(self.threshold),
        )
    }
}

/// An e-value in as few digits as say something.
fn e_value(value: f64) -> String {
    judge::in_words(value, if value >= 10.0 { 0 } else { 2 })
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Happening {
    /// When.
    pub(crate) at: Timestamp,
    /// What kind of thing.
    pub(crate) event: Kind,
    /// What, in words.
    pub(crate) text: String,
    /// Percent of traffic on green, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weight: Option<Weight>,
    /// The step, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<usize>,
    /// How many steps there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) steps: Option<usize>,
    /// What the look said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<Verdict>,
    /// What was decided on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decision: Option<Decision>,
    /// Both versions' rates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rates: Option<Rates>,
    /// Who answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Box<Ended>>,
    /// What the command exits with, where the end is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<u8>,
    /// What people should know, and have not been told before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

impl Happening {
    /// In a line for people, and one for each warning.
    pub(crate) fn line(&self) -> String {
        self.dated("%H:%M:%SZ")
    }

    /// The same, with the time as `format` has it.
    pub(crate) fn dated(&self, format: &str) -> String {
        let mut line = format!("{}  {}", self.at.format(format), self.text);
        for warning in &self.warnings {
            line.push_str("\n  warning: ");
            line.push_str(warning);
        }
        line
    }
}

/// How a release stands between two happenings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Now {
    /// Percent of traffic on green.
    pub(crate) weight: Weight,
    /// In a line.
    pub(crate) told: String,
}

/// A release as far as its history has been read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    /// The release, once there is one.
    pub(crate) release: Option<Box<Release>>,
    /// What was asked for.
    pub(crate) application: Option<String>,
    /// The state that it is in.
    state: Option<Present>,
    /// How it ended.
    pub(crate) ended: Option<Box<Ended>>,
    /// The id of the last event that was read.
    pub(crate) read: i64,
    /// What people should know, as far as it has been said.
    pub(crate) warnings: Vec<String>,
    /// How many of these have been told.
    told_warnings: usize,
    /// Whether a state that moves traffic was entered.
    shift_begun: bool,
    /// Whether it is a rollback to a version.
    to_version: bool,
}

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

impl Story {
    /// Takes in an event. What there is to say of it, where there is something.
    pub(crate) fn tell(&mut self, event: Event) -> Option<Happening> {
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

    fn happened(&mut self, event: Event) -> Option<Happening> {
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

    fn happening(&self, at: Timestamp, event: Kind, text: impl Into<String>) -> Happening {
        let release = self.release.as_deref();
        let shifted = release.filter(|release| !release.progress().steps.is_empty());
        Happening {
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
        }
    }

    fn started(&mut self, at: Timestamp, input: &Value) -> Happening {
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
                                format!("{} for {}", step.weight, seconds(step.bake_seconds))
                            })
                            .collect();
                        format!("release of {application} began: {}", steps.join(", "))
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

    fn entered(&mut self, at: Timestamp, state: &str, input: &Value) -> Option<Happening> {
        let state = state.parse::<StateName>().ok()?;
        self.shift_begun |= matches!(
            state,
            StateName::ShiftTraffic | StateName::FinalizeDeployment
        );
        match state {
            StateName::AwaitApproval | StateName::Hold => {
                let asks = if state == StateName::Hold {
                    "held: waits for a person"
                } else {
                    "asks for approval"
                };
                let weight = self.release.as_ref().map_or(Weight::ZERO, |it| it.weight());
                let wait = if state == StateName::Hold {
                    "hold"
                } else {
                    "approval"
                };
                let limit = input[wait]["timeoutSeconds"].as_u64();
                let limit = limit.map(|limit| {
                    format!(
                        " for up to {}",
                        seconds(u32::try_from(limit).unwrap_or(u32::MAX))
                    )
                });
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
            // What came after the end has failed, and has just been told.
            StateName::RollbackDeployment if input.get("outcome").is_some() => None,
            StateName::RollbackDeployment => {
                let failure = input.get("failure");
                if input["action"] == "rollback" && failure.is_none() {
                    let text = "takes back what is in flight, or was promoted last";
                    return Some(self.happening(at, Kind::RollingBack, text));
                }
                if !self.shift_begun {
                    let text = "the release ends before its first shift";
                    // What failed has just been told.
                    let why = input["reason"].as_str().filter(|_| failure.is_none());
                    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                    return Some(self.happening(at, Kind::Rejected, format!("{text}{why}")));
                }
                let why = match failure {
                    Some(failure) => failure_told(failure),
                    None => input["reason"].as_str().unwrap_or("asked for").to_owned(),
                };
                let text = format!("all traffic goes back to blue: {why}");
                Some(self.happening(at, Kind::RollingBack, text))
            }
            _ => None,
        }
    }

    fn called(&mut self, at: Timestamp) -> Option<Happening> {
        let state = self.state.as_mut()?;
        state.calls += 1;
        if state.calls == 1 {
            return None;
        }
        let text = format!("{} is tried again: {}", state.name, state.failed);
        Some(self.happening(at, Kind::TriedAgain, text))
    }

    fn exited(&mut self, at: Timestamp, state: &str, output: &Value) -> Option<Happening> {
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
            let text = "nobody answered in time";
            return Some(self.happening(at, Kind::Unanswered, text));
        }
        if present.task && output.get("failure").is_some() {
            // Told with where it leads: to the rollback, as a rule.
            let text = format!("{state} failed: {}", failure_told(&output["failure"]));
            return Some(self.happening(at, Kind::Failed, text));
        }
        if let Ok(release) = Release::deserialize(output) {
            self.release = Some(Box::new(release));
        }
        let release = self.release.as_deref();
        match (name, release) {
            (Some(StateName::DeployGreen), Some(release)) => {
                let made: Vec<_> = release.progress().functions.iter().map(versions).collect();
                let text = format!("green is made: {}", made.join(", "));
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
                    seconds(bake)
                );
                Some(self.happening(at, Kind::Shifted, text))
            }
            // An answer, which has been told.
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
                Some(self.went_back(at, &output["outcome"]))
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
    fn went_back(&self, at: Timestamp, outcome: &Value) -> Happening {
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

    fn looked(&self, at: Timestamp, release: &Release) -> Happening {
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
            Some(Decision::Ask) => "asks a person",
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
        let numbers = rates.as_ref().map(|rates| format!("; {}", rates.told()));
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

    fn answered(&self, at: Timestamp, answer: &Value) -> Happening {
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
            Some(StateName::AwaitIdle) => "waiting until nobody reaches the idle side".to_owned(),
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
        let rates = rates.map(|rates| format!("; {}", rates.told()));
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

fn versions(target: &Target) -> String {
    let function = &target.function_name;
    match &target.blue_version {
        Some(blue) => format!("{function} {blue} -> {}", target.green_version),
        None => format!("{function} {} (its first)", target.green_version),
    }
}

/// Seconds as people say them.
pub(crate) fn seconds(seconds: u32) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        _ if seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// Returns what a Catch has left, in a sentence.
fn failure_told(failure: &Value) -> String {
    Failure::deserialize(failure)
        .unwrap_or_default()
        .to_string()
}

/// The versions that serve, as they were read, in brackets; nothing where none was read.
fn serving(outcome: &Value) -> String {
    let functions = outcome["functions"].as_array().into_iter().flatten();
    let versions: Vec<_> = functions
        .filter_map(|one| {
            let (name, version) = (one["functionName"].as_str()?, one["serving"].as_str()?);
            Some(format!("{name}: version {version}"))
        })
        .collect();
    if versions.is_empty() {
        String::new()
    } else {
        format!(" ({})", versions.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        let noon: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        noon + chrono::TimeDelta::seconds(seconds)
    }

    fn release(steps: &Value, more: &Value) -> Value {
        let mut release = json!({
            "application": "chat", "startedAt": "2026-11-20T12:00:00Z",
            "functions": [{"functionName": "f", "alias": "live", "blueVersion": "1", "greenVersion": "2", "revisionId": "r"}],
            "plan": {"steps": [{"weight": 10, "bakeSeconds": 300}, {"weight": 100, "bakeSeconds": 0}]},
            "analysis": {}, "hold": {"timeoutSeconds": 60, "onTimeout": "rollBack"}, "blueHours": 24,
            "position": {"step": 0, "waitedSeconds": 60, "waitSeconds": 60},
            "steps": steps});
        let fields = release.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        release
    }

    fn judged() -> Value {
        json!({"judge": {"decidedBy": "enoughSeen", "reason": "fine", "minutes": 3,
            "blue": {"invocations": 900, "errors": 9}, "green": {"invocations": 100, "errors": 2},
            "blueErrorPercent": 1.0, "greenErrorPercent": 2.0, "eValue": 0.8, "threshold": 100.0,
            "functions": 1, "own": {"eValue": 0.8, "routing": 0.8, "past": 1.0},
            "pastRequests": 0, "pastHits": 0}})
    }

    fn told(events: Vec<What>) -> (Story, Vec<String>) {
        let mut story = Story::default();
        let lines = (1..)
            .zip(events)
            .filter_map(|(id, what)| {
                story.tell(Event {
                    id,
                    at: at(id),
                    what,
                })
            })
            .map(|told| told.text)
            .collect();
        (story, lines)
    }

    fn entered(state: &str, input: Value) -> What {
        What::Entered {
            state: state.into(),
            task: !matches!(state, "Bake" | "Decide"),
            input,
        }
    }

    fn exited(state: &str, output: Value) -> What {
        What::Exited {
            state: state.into(),
            output,
        }
    }

    fn baking() -> Vec<What> {
        let taken =
            json!([{"weight": 10, "startedAt": "2026-11-20T12:00:10Z", "verdict": "healthy"}]);
        let looked = release(
            &taken,
            &json!({"decision": "bakeOn", "evidence": judged(), "reason": "fine"}),
        );
        vec![
            What::Started {
                input: json!({"application": "chat",
                "functions": [{"functionName": "f", "alias": "live"}], "strategy": "Canary10Percent5Minutes"}),
            },
            entered("DeployGreen", json!({})),
            What::Called,
            exited("DeployGreen", release(&json!([]), &json!({}))),
            entered("ValidateGreen", json!({})),
            exited("ValidateGreen", release(&json!([]), &json!({}))),
            entered("ShiftTraffic", json!({})),
            exited("ShiftTraffic", release(&taken, &json!({}))),
            entered("CheckAlarms", json!({})),
            exited("CheckAlarms", looked),
            entered("Decide", json!({})),
            exited("Decide", json!({})),
            entered("Bake", json!({})),
        ]
    }

    #[test]
    fn a_release_is_told_in_a_line_each() {
        let (story, lines) = told(baking());
        assert_eq!(
            lines,
            [
                "release of chat began: 10 % for 5 min, 100 % for 0 s",
                "green is made: f 1 -> 2",
                "green is ready; it has no smoke tests",
                "10 % on green, step 1 of 2, to bake for 5 min",
                "healthy, bakes on; green 2.00 % of 100, blue 1.00 % of 900 failed, e-value 0.80 of 100",
            ]
        );
        assert_eq!(
            (story.read, story.application.as_deref()),
            (13, Some("chat"))
        );
    }

    #[test]
    fn between_two_looks_the_bake_is_seen_to_go_on() {
        let (story, _) = told(baking());
        let now = story.now(at(13 + 20));
        assert_eq!(now.weight.whole(), Some(10));
        assert!(
            now.told
                .starts_with("step 1 of 2, bakes 80 of 300 s; green 2.00 %"),
            "{}",
            now.told
        );
        // However late it is looked at, no more is waited than that.
        assert!(story.now(at(9000)).told.contains("bakes 120 of 300 s"));
    }

    #[test]
    fn answers_and_failures_have_their_words() {
        let mut events = baking();
        events.extend([
            entered("Hold", release(&json!([]), &json!({"reason": "too few requests"}))),
            exited("Hold", json!({"answer": {"decision": "resume", "by": "ann", "reason": "seen it"}})),
            entered("CheckAlarms", release(&json!([]), &json!({"answer": {"decision": "resume"}}))),
            exited("CheckAlarms", release(&json!([]), &json!({"next": "shift"}))),
            entered("ShiftTraffic", json!({})),
            What::Called,
            What::Failed(Failure { error: "Transient".into(), cause: json!({"errorMessage": "busy"}).to_string() }),
            What::Called,
            exited("ShiftTraffic", json!({"failure": {"Error": "ChangedOutside",
                "Cause": json!({"errorType": "ChangedOutside", "errorMessage": "not ours"}).to_string()}})),
            entered("RollbackDeployment", json!({"failure": {"Error": "ChangedOutside", "Cause": "not ours"}})),
            exited("RollbackDeployment", json!({"outcome": {"deploymentStatus": "HELD", "reason": "not ours"}})),
            What::Ended(Box::new(Ended::of("FAILED", None, Some("ChangedOutside".into()), None))),
        ]);
        let (story, lines) = told(events);
        assert_eq!(
            lines[5..],
            [
                "held: waits for a person for up to 60 s, with 10 % on green; too few requests",
                "ann answered resume: seen it",
                "ShiftTraffic is tried again: Transient: busy",
                "ShiftTraffic failed: ChangedOutside: not ours",
                "all traffic goes back to blue: ChangedOutside: not ours",
                "traffic is not on blue; not ours",
                "changed outside (ChangedOutside); see docs/errors/ChangedOutside.md",
            ]
        );
        assert!(story.ended.is_some());
    }

    #[test]
    fn says_no_more_of_a_release_that_has_ended() {
        let outcome = json!({"deploymentStatus": "SUCCESSFUL", "reason": "green has all traffic"});
        let failure = json!({"Error": "States.Timeout", "Cause": ""});
        let ended = json!({"outcome": outcome, "failure": failure});
        let (_, lines) = told(vec![
            entered("FinalizeDeployment", json!({})),
            exited(
                "FinalizeDeployment",
                json!({"next": "hook", "outcome": outcome}),
            ),
            entered("RunHook", json!({ "outcome": outcome })),
            exited("RunHook", ended.clone()),
            entered("RollbackDeployment", ended),
            exited(
                "RollbackDeployment",
                json!({"next": "done", "outcome": outcome}),
            ),
        ]);
        assert_eq!(
            lines,
            ["green has all traffic", "RunHook failed: States.Timeout"]
        );
    }

    #[test]
    fn tells_which_version_serves_after_a_way_back() {
        let ended = |outcome: serde_json::Value| {
            let (_, lines) = told(vec![
                entered("RollbackDeployment", json!({})),
                exited("RollbackDeployment", json!({ "outcome": outcome })),
            ]);
            lines.last().cloned().unwrap_or_default()
        };
        let functions = json!([{"functionName": "chat", "serving": "1"}, {"functionName": "shop"}]);
        assert_eq!(
            ended(json!({"reason": "late", "functions": functions})),
            "blue has all traffic (chat: version 1); late"
        );
        assert_eq!(
            ended(json!({"reason": "no blue", "deploymentStatus": "HELD"})),
            "traffic is not on blue; no blue"
        );
    }

    #[test]
    fn speaks_of_no_rollback_before_the_first_shift() {
        let why = json!({"errorType": "Refused", "errorMessage": "no such image"}).to_string();
        let failure = json!({"failure": {"Error": "Refused", "Cause": why}});
        let outcome = json!({"deploymentStatus": "REJECTED", "application": "chat",
            "functions": [], "reason": "Refused: no such image"});
        let end = Ended::of(
            "FAILED",
            None,
            Some("ValidationFailed".into()),
            Some(outcome.to_string()),
        );
        let (_, lines) = told(vec![
            entered("DeployGreen", json!({})),
            What::Called,
            exited("DeployGreen", failure.clone()),
            entered("RollbackDeployment", failure),
            exited("RollbackDeployment", json!({ "outcome": outcome })),
            What::Ended(Box::new(end)),
        ]);
        assert_eq!(
            lines,
            [
                "DeployGreen failed: Refused: no such image",
                "the release ends before its first shift",
                "no traffic was moved",
                "rejected (ValidationFailed): Refused: no such image; see docs/errors/ValidationFailed.md",
            ]
        );
    }

    #[test]
    fn tells_each_warning_once_with_what_happened() {
        let warned = |warnings: Value| release(&json!([]), &json!({ "warnings": warnings }));
        let outcome = json!({"deploymentStatus": "SUCCESSFUL", "application": "chat",
            "functions": [], "reason": "fine", "warnings": ["a", "b", "c"]});
        let mut story = Story::default();
        let events = [
            entered("DeployGreen", json!({})),
            exited("DeployGreen", warned(json!(["a"]))),
            entered("ValidateGreen", json!({})),
            exited("ValidateGreen", warned(json!(["a", "b"]))),
            What::Ended(Box::new(Ended::of(
                "SUCCEEDED",
                Some(&outcome.to_string()),
                None,
                None,
            ))),
        ];
        let told: Vec<_> = (1..)
            .zip(events)
            .filter_map(|(id, what)| {
                story.tell(Event {
                    id,
                    at: at(id),
                    what,
                })
            })
            .collect();
        let warnings: Vec<_> = told.iter().map(|one| one.warnings.join(",")).collect();
        assert_eq!(warnings, ["a", "b", "c"]);
        assert!(
            told[0].line().ends_with("\n  warning: a"),
            "{}",
            told[0].line()
        );
    }

    #[test]
    fn a_state_of_which_nothing_is_known_is_told_too() {
        let (_, lines) = told(vec![
            entered("RunMigration", json!({})),
            exited("RunMigration", json!({})),
            entered("StateOfAnotherVersion", json!({})),
            exited("StateOfAnotherVersion", json!({})),
        ]);
        assert_eq!(
            lines,
            ["RunMigration is done", "StateOfAnotherVersion is done"]
        );
    }

    #[test]
    fn seconds_are_said_as_people_do() {
        let said: Vec<_> = [0, 90, 300, 301, 7200].into_iter().map(seconds).collect();
        assert_eq!(said, ["0 s", "90 s", "5 min", "5 min 1 s", "2 h"]);
    }
}
