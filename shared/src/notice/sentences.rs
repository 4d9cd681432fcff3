//! The words and numbers that mail and chat have in common.

use crate::display::{counted, duration, thousands};
use chrono::{SecondsFormat, TimeDelta};

use crate::domain::{
    Timestamp,
    analysis::{check::Evidence, counts::Counts, judge::in_words},
    approval::{AnswerKind, Question, QuestionKind},
    decision::Next,
    migration::MigrationRun,
    names::Version,
    release::Release,
    status::DeploymentStatus,
    weight::Weight,
};
use crate::notice::{Kind, NextStep, NoticeDetail};

/// The sentence that a release begins with.
pub(super) fn started(release: &Release) -> String {
    let weights: Vec<_> = release
        .spec
        .plan
        .steps()
        .iter()
        .map(|step| format!("{} for {}", step.weight, duration(step.bake_seconds.into())))
        .collect();
    let functions = release.progress().functions.len();
    let approval = release
        .spec
        .plan
        .approve_before()
        .map(|weight| format!("; approval is required before {weight}"))
        .unwrap_or_default();
    // Behind a load balancer the team registers green itself.
    let green = match functions {
        0 => "green is registered".to_owned(),
        some => format!(
            "green of {} is made",
            counted(some as u64, "function", "functions")
        ),
    };
    format!(
        "{green}; its share of the traffic will be {}{approval}",
        list(&weights, 5)
    )
}

/// The sentence of a shift.
pub(super) fn shifted(release: &Release) -> String {
    let step = release.progress().position.step;
    let started_at = release.progress().steps.last().map(|step| step.started_at);
    let mut reason = format!(
        "{} of the traffic is on green, step {} of {}",
        release.weight(),
        step + 1,
        release.spec.plan.steps().len()
    );
    // What led here, and not to an earlier step.
    let answers = release.progress().answers.iter().rev();
    let here = answers.take_while(|answer| Some(answer.at) == started_at);
    for answer in here {
        reason.push_str("; ");
        reason.push_str(&answer.describe());
    }
    if !release.progress().reason.is_empty() {
        reason.push_str("; before that: ");
        reason.push_str(&release.progress().reason);
    }
    reason
}

/// What comes after the bake that has just begun.
pub(super) fn after_the_bake(release: &Release, now: Timestamp) -> NextStep {
    let step = release.step();
    let bake = step.map_or(0, |step| step.bake_seconds);
    let weight = |index: usize| {
        let step = release.spec.plan.step(index);
        step.map_or(Weight::FULL, |step| step.weight)
    };
    let next = weight(release.progress().position.step + 1);
    let then = match release.next() {
        Next::Step => format!("{next} go to green"),
        Next::StepAfterApproval => format!("an operator is asked whether {next} go to green"),
        Next::End => match release.spec.plan.control() {
            Weight::ZERO => "green is promoted".to_owned(),
            control => format!("green is promoted, and takes the {control} that blue has kept"),
        },
    };
    let what = if bake == 0 {
        then
    } else {
        format!("after {} at this weight {then}", duration(bake.into()))
    };
    let at = release
        .propagation()
        .is_none()
        .then(|| now + TimeDelta::seconds(i64::from(bake)));
    NextStep {
        what,
        at,
        without_an_answer: None,
    }
}

/// What an operator is waited for with.
pub(super) fn once_answered(asked: &Question, evidence: &Evidence) -> String {
    let alarm =
        if evidence.migrations.iter().any(MigrationRun::freezes) && asked.weight > Weight::ZERO {
            "no alarm rolls it back (afterRollback: freeze)"
        } else if asked.weight == Weight::ZERO {
            "an alarm still ends it"
        } else {
            "an alarm still rolls it back"
        };
    let goes_on = match asked.kind {
        QuestionKind::Approval => AnswerKind::Approve,
        QuestionKind::Hold => AnswerKind::Resume,
    };
    let word: &str = goes_on.into();
    format!(
        "traffic stays as it is until an operator answers, and {alarm}; {word} {}",
        asked.meaning(goes_on)
    )
}

/// What stands in brackets at the beginning of a subject.
pub(super) fn label(facts: &NoticeDetail) -> String {
    let status = |status: DeploymentStatus| -> &'static str { status.into() };
    match (facts.kind, facts.deployment_status) {
        (Kind::Started, _) => "STARTED".into(),
        (Kind::Shifted, _) => "SHIFTED".into(),
        (Kind::ApprovalNeeded, _) => "APPROVAL NEEDED".into(),
        (Kind::Stuck, _) => "STUCK".into(),
        (Kind::RetentionFailed, _) => "RETENTION FAILED".into(),
        (_, Some(told)) => status(told).into(),
        (kind, None) => kind.to_string().to_uppercase(),
    }
}

pub(super) fn application(facts: &NoticeDetail) -> &str {
    facts
        .application
        .as_ref()
        .map_or("(unknown application)", AsRef::as_ref)
}

/// The command line's verb for a word.
pub(super) fn verb(word: AnswerKind) -> String {
    let word: &str = word.into();
    word.to_lowercase()
}

/// How many requests green has met, in a sentence; none where that means nothing.
pub(super) fn met(facts: &NoticeDetail) -> Option<String> {
    let served = facts.steps.iter().any(|step| step.weight > Weight::ZERO);
    match (facts.kind, facts.met) {
        (
            Kind::Started | Kind::Rejected | Kind::Unchanged | Kind::Wired | Kind::RetentionFailed,
            _,
        )
        | (Kind::Shifted, None) => None,
        (_, Some(met)) => {
            let whose = if met.functions < met.of_functions {
                format!(" of {} of {} functions", met.functions, met.of_functions)
            } else {
                String::new()
            };
            Some(format!(
                "By the last look, green had served {}{whose}, and {} of them failed{}.",
                counted(met.requests, "request", "requests"),
                thousands(met.failed),
                share(met.failed, met.requests)
                    .map(|share| format!(" ({share})"))
                    .unwrap_or_default()
            ))
        }
        (_, None) if served => Some(
            "How many requests green has met is not known: its traffic was not judged before this."
                .into(),
        ),
        (_, None) => Some("No request has met green: it had no traffic.".into()),
    }
}

/// A row of the evidence: what; blue's number and its share of blue's requests; the same of green's.
pub(super) type Row = [String; 5];

/// The judge's counts as rows, the first one a heading; nothing where green was not judged.
pub(super) fn table(facts: &NoticeDetail) -> Vec<Row> {
    let judge = facts.evidence.judge.as_ref();
    let Some((judge, function)) = judge.and_then(|judge| Some((judge, judge.function.as_ref()?)))
    else {
        return Vec::new();
    };
    let of = facts
        .functions
        .iter()
        .find(|one| one.function_name.as_ref() == function);
    let colour = |colour: &str, version: Option<&Version>| match version {
        Some(version) => format!("{colour} ({version})"),
        None => colour.to_owned(),
    };
    let (b, g) = (&judge.blue, &judge.green);
    let row = |what: &str, of: fn(&Counts) -> u64, shares: bool| {
        let share = |counts: &Counts| {
            let share = share(of(counts), counts.invocations);
            share.filter(|_| shares).unwrap_or_default()
        };
        let number = |counts: &Counts| thousands(of(counts));
        [what.to_owned(), number(b), share(b), number(g), share(g)]
    };
    let mut rows = vec![
        [
            String::new(),
            colour("blue", of.and_then(|one| one.blue_version.as_ref())),
            String::new(),
            colour("green", of.map(|one| &one.green_version)),
            String::new(),
        ],
        row("requests", |counts| counts.invocations, false),
        row("failed", |counts| counts.errors, true),
    ];
    if b.slow + g.slow > 0 {
        rows.push(row("slow", |counts| counts.slow, true));
    }
    if b.throttles + g.throttles > 0 {
        rows.push(row("throttled", |counts| counts.throttles, false));
    }
    rows
}

/// What the counts are of, and what the test makes of them.
pub(super) fn judged(facts: &NoticeDetail) -> Option<(String, String)> {
    let judge = facts.evidence.judge.as_ref()?;
    let function = judge.function.as_ref()?;
    let of = if judge.functions > facts.functions.len().max(1) as u64 {
        format!("{function}, one of {} that are compared", judge.functions)
    } else if judge.functions > 1 {
        format!("{function}, one of {} functions", judge.functions)
    } else {
        function.clone()
    };
    let heading = format!(
        "{of}: {} with traffic",
        counted(judge.minutes, "minute", "minutes")
    );
    let test = format!(
        "e-value {} of {} that roll back",
        in_words(judge.e_value, 3),
        judge.threshold
    );
    Some((heading, test))
}

/// The functions that look worst after the one that decided, a line each.
pub(super) fn others(facts: &NoticeDetail) -> Vec<String> {
    let judge = facts.evidence.judge.iter();
    let one = |colour: &str, counts: &Counts| {
        format!(
            "{colour} {} of {} failed",
            thousands(counts.errors),
            thousands(counts.invocations)
        )
    };
    judge
        .flat_map(|judge| &judge.next)
        .map(|other| {
            format!(
                "{}: {}, {}; e-value {}",
                other.function,
                one("blue", &other.blue),
                one("green", &other.green),
                in_words(other.e_value, 3)
            )
        })
        .collect()
}

/// Where to look at it: the console of the execution's own Region.
pub(super) fn console(execution: &str) -> Option<String> {
    let mut parts = execution.split(':');
    let (arn, partition) = (parts.next()?, parts.next()?);
    let (service, region) = (parts.next()?, parts.next()?);
    if arn != "arn" || service != "states" || region.is_empty() {
        return None;
    }
    let host = match partition {
        "aws" => format!("{region}.console.aws.amazon.com"),
        "aws-cn" => format!("{region}.console.amazonaws.cn"),
        "aws-us-gov" => format!("{region}.console.amazonaws-us-gov.com"),
        _ => return None,
    };
    Some(format!(
        "https://{host}/states/home?region={region}#/v2/executions/details/{execution}"
    ))
}

pub(super) fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Lists the first `most` items, and counts the rest.
pub(super) fn list(items: &[String], most: usize) -> String {
    let told = items.iter().take(most).cloned().collect::<Vec<_>>();
    match items.len().saturating_sub(most) {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

/// A share in percent; none of nothing.
fn share(part: u64, of: u64) -> Option<String> {
    #[allow(
        clippy::cast_precision_loss,
        reason = "two decimals of a share do not need more than 53 bits"
    )]
    (of > 0).then(|| format!("{:.2} %", 100.0 * part as f64 / of as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_shares_and_lists() {
        assert_eq!(share(1, 0), None);
        assert_eq!(share(1, 3).as_deref(), Some("33.33 %"));
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(list(&items, 3), "a, b, c");
        assert_eq!(list(&items, 1), "a and 2 more");
    }

    #[test]
    fn links_the_console_of_the_partition() {
        let arn = |partition: &str| format!("arn:{partition}:states:cn-north-1:1:execution:c:42");
        for (partition, host) in [
            ("aws", "https://cn-north-1.console.aws.amazon.com/"),
            ("aws-cn", "https://cn-north-1.console.amazonaws.cn/"),
        ] {
            let link = console(&arn(partition)).unwrap();
            assert!(link.starts_with(host), "{link}");
        }
        assert_eq!(console(&arn("aws-iso")), None);
        assert_eq!(console("a:42"), None);
    }
}
