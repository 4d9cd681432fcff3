//! What is wrong with an installation, by what was seen of it. Pure.

use crossfade::domain::Timestamp;
use serde::Serialize;

use crate::exit_code::Exit;

/// What was read, or why it could not be.
pub(crate) type Read<T> = Result<T, String>;

/// How long the schedule may be silent before something is wrong, minutes: three of its rounds.
pub(crate) const SILENT_MINUTES: i64 = 15;

/// What was seen of an installation.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The Region that was looked at.
    pub(crate) region: String,
    /// Whether there are credentials.
    pub(crate) credentials: Read<()>,
    /// The stack; `None` where there is none of the name.
    pub(crate) stack: Read<Option<Installation>>,
    /// The rest, where there is a stack.
    pub(crate) parts: Option<Parts>,
}

/// The stack, as CloudFormation describes it.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    /// Its name.
    pub(crate) name: String,
    /// Such as `UPDATE_COMPLETE`.
    pub(crate) status: String,
    /// The version of Crossfade that it was deployed from; none where it has no such output.
    pub(crate) version: Option<String>,
}

/// What the stack consists of, and what it needs.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// Whether the caller may start an execution.
    pub(crate) starts: Read<bool>,
    /// Whether the caller may describe an execution.
    pub(crate) describes: Read<bool>,
    /// Whether the caller can read the ledger.
    pub(crate) ledger: Read<()>,
    /// Who is subscribed to the topic for operators.
    pub(crate) people: Read<Vec<Subscription>>,
    /// Who is subscribed to the topic for chat.
    pub(crate) chat: Read<Vec<Subscription>>,
    /// The rules that invoke functions.
    pub(crate) rules: Vec<Rule>,
    /// When the schedule last invoked its function; `None` where there is no data.
    pub(crate) sweep: Read<Option<Timestamp>>,
    /// The time by which that is judged.
    pub(crate) now: Timestamp,
    /// The queues of what was not delivered and what failed.
    pub(crate) queues: Vec<Queue>,
    /// The stack's own alarms and their states.
    pub(crate) alarms: Read<Vec<(String, String)>>,
    /// How the test event went.
    pub(crate) event: TestEvent,
}

/// A subscription of a topic.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    /// Such as `email`.
    pub(crate) protocol: String,
    /// Such as an address.
    pub(crate) endpoint: String,
    /// Whether SNS still waits for its confirmation.
    pub(crate) pending: bool,
}

/// A rule of EventBridge.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// What it brings, as a check's name.
    pub(crate) check: &'static str,
    /// The function that it should invoke.
    pub(crate) function: String,
    /// What it is like.
    pub(crate) seen: Read<SeenRule>,
}

/// What EventBridge says of a rule.
#[derive(Clone, Debug)]
pub(crate) struct SeenRule {
    /// Its name.
    pub(crate) name: String,
    /// Whether it is enabled.
    pub(crate) enabled: bool,
    /// The ARNs of its targets.
    pub(crate) targets: Vec<String>,
}

/// A dead-letter queue.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    /// What is in it, in words.
    pub(crate) holds: &'static str,
    /// How many messages it has.
    pub(crate) messages: Read<u64>,
}

/// How the test event went.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TestEvent {
    /// None was sent.
    NotSent,
    /// Whether it reached the function, or why that is not known, and after how many seconds.
    Sent(Read<bool>, u64),
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Verdict {
    Ok,
    Wrong,
    CouldNotTell,
}

impl Verdict {
    /// As it is shown.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Wrong => "wrong",
            Self::CouldNotTell => "not known",
        }
    }
}

/// A check and what it found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Check {
    /// What was checked.
    pub(crate) name: &'static str,
    /// How it is.
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) found: String,
    /// What to do about it.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        let (verdict, found) = (Verdict::Ok, found.into());
        Self {
            name,
            verdict,
            found,
            advice: None,
        }
    }

    fn wrong(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let (verdict, advice) = (Verdict::Wrong, Some(advice.into()));
        Self {
            name,
            verdict,
            found: found.into(),
            advice,
        }
    }

    fn unknown(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let verdict = Verdict::CouldNotTell;
        Self {
            verdict,
            ..Self::wrong(name, found, advice)
        }
    }

    fn unread(name: &'static str, why: &str) -> Self {
        Self::unknown(
            name,
            why,
            "docs/recipes/cli-policy.json lists the permissions that doctor needs",
        )
    }

    /// In a line.
    pub(crate) fn line(&self) -> String {
        let advice = self.advice.as_ref().map(|advice| format!("; {advice}"));
        let advice = advice.unwrap_or_default();
        format!(
            "{:<16}{:<16}{}{advice}",
            self.verdict.word(),
            self.name,
            self.found
        )
    }
}

/// Returns the exit code: 0 where all is well.
pub(crate) fn exit(checks: &[Check]) -> Exit {
    let any = |verdict| checks.iter().any(|check| check.verdict == verdict);
    if any(Verdict::Wrong) {
        Exit::Wrong
    } else if any(Verdict::CouldNotTell) {
        Exit::CouldNotTell
    } else {
        Exit::Done
    }
}

/// Judges what was seen. `own` is the command line's version.
pub(crate) fn judge(seen: &Seen, own: &str) -> Vec<Check> {
    let mut checks = vec![credentials(seen)];
    if seen.credentials.is_err() {
        return checks;
    }
    match &seen.stack {
        Err(why) => checks.push(Check::unread("stack", why)),
        Ok(None) => checks.push(Check::wrong(
            "stack",
            format!("there is none of this name in {}", seen.region),
            "name it with --stack, or another --region, or deploy it: docs/getting-started.md",
        )),
        Ok(Some(stack)) => checks.extend([status(stack), version(stack, own)]),
    }
    let Some(parts) = &seen.parts else {
        return checks;
    };
    checks.push(permissions(parts));
    checks.push(people(&parts.people));
    checks.push(chat(&parts.chat));
    checks.extend(parts.rules.iter().map(rule));
    checks.push(sweep(parts));
    checks.push(queues(&parts.queues));
    checks.push(alarms(&parts.alarms));
    checks.extend(event(&parts.event));
    checks
}

fn credentials(seen: &Seen) -> Check {
    match &seen.credentials {
        Ok(()) => Check::ok(
            "credentials",
            format!("there are some; the Region is {}", seen.region),
        ),
        Err(why) => Check::wrong(
            "credentials",
            why,
            "log in, or name another profile with --profile",
        ),
    }
}

fn status(stack: &Installation) -> Check {
    let Installation { name, status, .. } = stack;
    let found = format!("{name} is {status}");
    match status.as_str() {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Check::ok("stack", found),
        "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_ROLLBACK_COMPLETE" => Check::wrong(
            "stack",
            format!("{found}: its last update failed, and what was there before works on"),
            "see the stack's events, and update it again",
        ),
        status if status.ends_with("_IN_PROGRESS") => {
            Check::unknown("stack", found, "run doctor again when it is done")
        }
        _ => Check::wrong("stack", found, "see the stack's events, and repair it"),
    }
}

/// The parts of a version that must be equal for two programs to understand each other: the major one, and before
/// 1.0 the minor one too (<https://semver.org/spec/v2.0.0.html#spec-item-4>).
fn line_of(version: &str) -> Option<(u64, Option<u64>)> {
    let mut parts = version
        .split(['.', '-', '+'])
        .map(|part| part.parse::<u64>().ok());
    let (major, minor) = (parts.next()??, parts.next()??);
    Some((major, (major == 0).then_some(minor)))
}

fn version(stack: &Installation, own: &str) -> Check {
    let Some(deployed) = &stack.version else {
        return Check::unknown(
            "version",
            format!("the stack does not say its own; the command line has {own}"),
            "deploy the stack from the command line's version",
        );
    };
    let found = format!("the stack has {deployed}, the command line {own}");
    match (line_of(deployed), line_of(own)) {
        (Some(one), Some(other)) if one == other => Check::ok("version", found),
        (Some(_), Some(_)) => Check::wrong("version", found, "update the older of the two"),
        _ => Check::unknown(
            "version",
            found,
            "deploy the stack from the command line's version",
        ),
    }
}

fn permissions(parts: &Parts) -> Check {
    const NAME: &str = "permissions";
    let recipe = "docs/recipes/cli-policy.json has what these commands need";
    let rights = [
        ("start releases", &parts.starts),
        ("describe them", &parts.describes),
    ];
    let missing: Vec<_> = rights
        .iter()
        .filter(|(_, may)| matches!(may, Ok(false)))
        .map(|(what, _)| *what)
        .collect();
    if !missing.is_empty() {
        return Check::wrong(
            NAME,
            format!("you may not {}", missing.join(" or ")),
            recipe,
        );
    }
    let reads = parts.ledger.as_ref().err();
    let reads = reads.map(|why| format!("whether you can read the ledger: {why}"));
    let unknown = rights.iter().filter_map(|(what, may)| {
        let why = may.as_ref().err()?;
        Some(format!("whether you may {what}: {why}"))
    });
    let unknown: Vec<_> = unknown.chain(reads).collect();
    if unknown.is_empty() {
        Check::ok(
            NAME,
            "you may start releases, describe them and read the ledger",
        )
    } else {
        Check::unknown(NAME, unknown.join("; "), recipe)
    }
}

fn pending(subscriptions: &[Subscription]) -> Vec<String> {
    let pending = subscriptions.iter().filter(|one| one.pending);
    pending
        .map(|one| format!("{} {}", one.protocol, one.endpoint))
        .collect()
}

fn subscribed(name: &'static str, subscriptions: &[Subscription]) -> Check {
    let pending = pending(subscriptions);
    if pending.is_empty() {
        let confirmed = subscriptions.len();
        let are = if confirmed == 1 {
            "subscription is"
        } else {
            "subscriptions are"
        };
        return Check::ok(name, format!("{confirmed} {are} confirmed"));
    }
    Check::wrong(
        name,
        format!("not confirmed: {}", pending.join(", ")),
        "follow the link that SNS sent, or subscribe again if it has expired",
    )
}

fn people(read: &Read<Vec<Subscription>>) -> Check {
    const NAME: &str = "notices";
    match read {
        Err(why) => Check::unread(NAME, why),
        Ok(none) if none.is_empty() => Check::wrong(
            NAME,
            "no one is subscribed: no operator is notified of approvals and failures",
            "subscribe an address to the output NotificationTopicArn",
        ),
        Ok(subscriptions) => subscribed(NAME, subscriptions),
    }
}

fn chat(read: &Read<Vec<Subscription>>) -> Check {
    const NAME: &str = "chat";
    match read {
        Err(why) => Check::unread(NAME, why),
        Ok(none) if none.is_empty() => {
            Check::ok(NAME, "no channel is subscribed, and none has to be")
        }
        Ok(subscriptions) => subscribed(NAME, subscriptions),
    }
}

fn rule(rule: &Rule) -> Check {
    let update = "update the stack: its template has it";
    let seen = match &rule.seen {
        Ok(seen) => seen,
        Err(why) => return Check::unread(rule.check, why),
    };
    let SeenRule {
        name,
        enabled,
        targets,
    } = seen;
    let ending = format!(":function:{}", rule.function);
    if !enabled {
        let advice = format!("enable it: aws events enable-rule --name {name}");
        return Check::wrong(rule.check, format!("rule {name} is disabled"), advice);
    }
    if targets.iter().any(|arn| arn.ends_with(&ending)) {
        let found = format!("rule {name} is enabled and invokes {}", rule.function);
        return Check::ok(rule.check, found);
    }
    let has = match targets.as_slice() {
        [] => "nothing".to_owned(),
        some => some.join(", "),
    };
    let found = format!("rule {name} invokes {has}, not {}", rule.function);
    Check::wrong(rule.check, found, update)
}

fn sweep(parts: &Parts) -> Check {
    const NAME: &str = "sweep";
    match &parts.sweep {
        Err(why) => Check::unread(NAME, why),
        Ok(None) => Check::unknown(
            NAME,
            format!("CloudWatch has no invocation of the last {SILENT_MINUTES} minutes"),
            "after 20 minutes of a new stack it should: then look at the rule's metrics",
        ),
        Ok(Some(at)) => {
            let minutes = (parts.now - *at).num_minutes();
            Check::ok(
                NAME,
                format!("its rule invoked the function {minutes} min ago"),
            )
        }
    }
}

fn queues(queues: &[Queue]) -> Check {
    const NAME: &str = "queues";
    let full: Vec<_> = queues
        .iter()
        .filter_map(|queue| match queue.messages {
            Ok(count @ 1..) => Some(format!("{count} {}", queue.holds)),
            _ => None,
        })
        .collect();
    if !full.is_empty() {
        return Check::wrong(
            NAME,
            full.join(", "),
            "traffic may be split: docs/RUNBOOK.md says what to do with them",
        );
    }
    match queues
        .iter()
        .find_map(|queue| queue.messages.as_ref().err())
    {
        Some(why) => Check::unread(NAME, why),
        None => Check::ok(NAME, "both are empty"),
    }
}

fn alarms(read: &Read<Vec<(String, String)>>) -> Check {
    const NAME: &str = "alarms";
    let alarms = match read {
        Ok(alarms) => alarms,
        Err(why) => return Check::unread(NAME, why),
    };
    let firing = alarms.iter().filter(|(_, state)| state == "ALARM");
    let firing: Vec<_> = firing.map(|(name, _)| name.as_str()).collect();
    if firing.is_empty() {
        return Check::ok(
            NAME,
            format!("none of the stack's own {} fires", alarms.len()),
        );
    }
    let advice = "docs/RUNBOOK.md has a heading for each";
    Check::wrong(NAME, format!("firing: {}", firing.join(", ")), advice)
}

fn event(sent: &TestEvent) -> Option<Check> {
    const NAME: &str = "test event";
    Some(match sent {
        TestEvent::NotSent => return None,
        TestEvent::Sent(Ok(true), seconds) => Check::ok(
            NAME,
            format!(
                "an alarm's event went through the rule to the function, and its log said so within {seconds} s"
            ),
        ),
        TestEvent::Sent(Ok(false), seconds) => Check::wrong(
            NAME,
            format!(
                "an alarm was set to ALARM, and the function's log said nothing of it for {seconds} s"
            ),
            "look at the rule's metrics Invocations and FailedInvocations, and at the function's log",
        ),
        TestEvent::Sent(Err(why), _) => Check::unread(NAME, why),
    })
}

#[cfg(test)]
mod tests;
