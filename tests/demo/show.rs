//! The show: a good release, and a bad one, while users keep coming.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_sdk_cloudwatch::types::{ComparisonOperator, Dimension, StateValue, Statistic};
use crossfade_tests::{
    Behaviour, Execution, LocalAws, Stack, Target, Traffic, World,
    local::Options,
    paths,
    release::{Ended, Entered},
    target::Alias,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    act::{self, Act},
    live::Live,
    picture, table,
};

/// What is released; [`Stack::deploy`] allows functions whose names begin so.
pub(crate) const PREFIX: &str = "demo-";
pub(crate) const FUNCTION: &str = "demo-chat";
pub(crate) const ALIAS: &str = "production";
pub(crate) const ALARM: &str = "demo-chat-errors";

/// A minute of waiting takes 1.2 seconds here.
const WAIT_SCALE: f64 = 0.02;
/// Users' requests a second.
const RATE: f64 = 50.0;
/// How many of green's requests fail in the bad version, percent.
const BAD: f64 = 50.0;
/// How many of green's requests fail in the subtle version, percent.
const SUBTLE: f64 = 3.0;
/// How many more requests a second there are while it is released.
const MORE: f64 = 100.0;
/// Failed requests in a minute, from which on the alarm fires. Green serves 5 requests a second in the
/// first step: the bad version gets there in the middle of its bake of 12 seconds, the good one never.
const MOST_ERRORS: f64 = 5.0;
/// How much of the traffic before and after a release the picture shows, seconds.
const BEFORE: f64 = 2.0;
const AFTER: f64 = 3.0;
/// Longer than this no release takes.
const PATIENCE: Duration = Duration::from_secs(150);

/// Runs the show.
pub(crate) async fn demo() -> Result<(), String> {
    let begun = Instant::now();
    println!(
        "Starting a local AWS, and deploying Crossfade to it: template.yaml, by `sam deploy`."
    );
    let local = start(Options {
        wait_scale: WAIT_SCALE,
        ..Options::default()
    })
    .await;
    let stack = Stack::deploy_with(&local, PREFIX, &[("LiveErrors", "yes")]).await;
    let world = World::new(&local, &stack);
    let target = first_version(&local).await;
    make_alarm(&world).await;
    let good = target.upload(behaviour("good", 0.0)).await;
    let bad = target.upload(behaviour("bad", BAD)).await;
    let subtle = Behaviour {
        logs_errors: true,
        ..behaviour("subtle", SUBTLE)
    };
    let subtle = target.upload(subtle).await;

    let traffic = Traffic::start(&local, &target, ALIAS, RATE);
    let stage = Stage {
        world,
        target,
        traffic_began: epoch() - traffic.began().elapsed().as_secs_f64(),
        traffic,
    };
    println!(
        "It is there after {:.0} s. {RATE:.0} requests a second go through {FUNCTION}:{ALIAS} from now on.\n\
         Releases are canaries: 10 % for 10 min, 50 % for 5 min, 100 % for 5 min; a minute takes {:.1} s here.",
        begun.elapsed().as_secs_f64(),
        60.0 * WAIT_SCALE
    );
    tokio::time::sleep(Duration::from_secs_f64(BEFORE)).await;

    println!("\nA good version, by StartExecution:");
    let (first, first_ended) = stage.release("a good version", &request(&good)).await?;
    let promoted = expect_promoted(&stage, &first, &first_ended).await;
    tokio::time::sleep(Duration::from_secs_f64(AFTER)).await;

    println!(
        "\nA bad version, {BAD:.0} % of whose answers are errors, and which no smoke test catches:"
    );
    let (second, second_ended) = stage.release("a bad version", &request(&bad)).await?;
    let rolled_back = expect_rolled_back(&stage, &second, &second_ended).await;
    tokio::time::sleep(Duration::from_secs_f64(AFTER)).await;

    println!(
        "\nA subtle one: {SUBTLE:.0} % of its answers are errors, no alarm is configured, and its metrics come a minute late:"
    );
    // A function in production has been called for more than these minutes.
    stage.target.has_past(ALIAS).await;
    let more = Traffic::start(&local, &stage.target, ALIAS, MORE);
    let (third, third_ended) = stage.release("a subtle version", &subtly(&subtle)).await?;
    let more = more.stop().await.of(&third.green).errors;
    let found = expect_found(&third, &third_ended);

    let Stage {
        traffic,
        traffic_began,
        ..
    } = stage;
    let counts = traffic.stop().await;
    let subtle_failed = counts.of(&third.green).errors + more;
    let requests = counts.requests;
    let acts = [first, second].map(|act| with_users(act, &requests, traffic_began));
    drop(local);

    println!("\n{}", table::table(&acts));
    let path = paths::target().join("demo-timeline.svg");
    std::fs::write(&path, picture::draw(&acts))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    println!(
        "The timeline is in {} ({:.0} s in all).",
        shown(&path),
        begun.elapsed().as_secs_f64()
    );
    promoted?;
    rolled_back?;
    let [first, second] = acts;
    let (Some(alarm), Some(back)) = (second.alarm, second.back) else {
        return Err("the bad release was not rolled back by its alarm".to_owned());
    };
    println!(
        "{}",
        conclusion(
            &first.green,
            (back - alarm, second.failed),
            (found?, subtle_failed)
        )
    );
    Ok(())
}

/// What the show ends with: the good release's version, and after how many seconds and failed requests each of the others
/// was found.
fn conclusion(good: &str, bad: (f64, u64), subtle: (f64, u64)) -> String {
    format!(
        "demo: good release promoted, version {good}\n\
         demo: bad release rolled back in {:.1} s, {} failed requests\n\
         demo: subtle release found after {:.1} s, by {} failed requests",
        bad.0, bad.1, subtle.0, subtle.1
    )
}

/// A local AWS. Starting one blocks, and can be interrupted all the same.
pub(crate) async fn start(options: Options) -> LocalAws {
    tokio::task::spawn_blocking(move || LocalAws::start(options))
        .await
        .expect("the local AWS starts")
}

/// A function with one version, which the alias is on.
pub(crate) async fn first_version(local: &LocalAws) -> Target {
    let target = Target::create(local, FUNCTION, behaviour("first", 0.0)).await;
    let version = target.publish().await;
    target.alias(ALIAS, &version).await;
    target
}

/// A version that answers after 5 ms, and fails so often; never in its smoke test.
pub(crate) fn behaviour(version: &str, error_rate_percent: f64) -> Behaviour {
    Behaviour {
        latency_ms: 5,
        spare_path: Some("/health".to_owned()),
        ..Behaviour::failing(version, error_rate_percent)
    }
}

/// An alarm as teams have them: on the errors that users of the alias meet, whatever the version.
pub(crate) async fn make_alarm(world: &World) {
    alarm(world, ALARM, FUNCTION, ALIAS).await;
}

/// An alarm on the errors that callers of an alias get, as the guide has it; returns once it is OK.
pub(crate) async fn alarm(world: &World, name: &str, function: &str, alias: &str) {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    world
        .cloudwatch
        .put_metric_alarm()
        .alarm_name(name)
        .namespace("AWS/Lambda")
        .metric_name("Errors")
        .dimensions(dimension("FunctionName", function))
        .dimensions(dimension("Resource", &format!("{function}:{alias}")))
        .statistic(Statistic::Sum)
        .period(60)
        .evaluation_periods(1)
        .threshold(MOST_ERRORS)
        .comparison_operator(ComparisonOperator::GreaterThanOrEqualToThreshold)
        .treat_missing_data("notBreaching")
        .send()
        .await
        .expect("an alarm can be made");
    crossfade_tests::release::until("the alarm is OK", || async {
        let (state, _) = alarm_state(world, name).await?;
        (state == StateValue::Ok).then_some(())
    })
    .await;
}

/// A release of `code`, and the execution's input.
pub(crate) fn request(code: &Value) -> Value {
    json!({
        "application": "chat",
        "functions": [{
            "functionName": FUNCTION,
            "alias": ALIAS,
            "code": code,
            "smokeTests": [{
                "name": "health",
                "payload": {"path": "/health"},
                "expect": {"statusCode": 200, "maxDurationMs": 2000}
            }]
        }],
        "strategy": {"type": "canary", "steps": [
            {"weight": 10, "bakeSeconds": 600},
            {"weight": 50, "bakeSeconds": 300},
            {"weight": 100, "bakeSeconds": 300}
        ]},
        // Metrics come at once here, and one look at the end of each bake is enough to see it go on.
        "analysis": {"alarms": [ALARM], "settleSeconds": 0, "checkEverySeconds": 600, "liveErrors": "off"}
    })
}

/// A release of `code` that has no alarm, and whose metrics are judged as late as AWS has them.
fn subtly(code: &Value) -> Value {
    let mut request = request(code);
    request["strategy"] = json!({"type": "canary", "steps": [
        {"weight": 5, "bakeSeconds": 9000},
        {"weight": 100, "bakeSeconds": 300}
    ]});
    request["analysis"] = json!({"settleSeconds": 60, "checkEverySeconds": 300});
    request
}

/// The alarm's state and since when, seconds since 1970.
async fn alarm_state(world: &World, name: &str) -> Option<(StateValue, f64)> {
    let described = world
        .cloudwatch
        .describe_alarms()
        .alarm_names(name)
        .send()
        .await
        .expect("alarms can be described");
    let alarm = described.metric_alarms?.into_iter().next()?;
    Some((
        alarm.state_value?,
        alarm.state_updated_timestamp?.as_secs_f64(),
    ))
}

/// What the releases share.
struct Stage {
    world: World,
    target: Target,
    traffic: Traffic,
    /// Seconds since 1970.
    traffic_began: f64,
}

impl Stage {
    /// Starts a release and shows it until it has ended.
    async fn release(&self, title: &str, request: &Value) -> Result<(Act, Ended), String> {
        let asked_at = epoch();
        let blue = self.target.look(ALIAS).await.map(|alias| alias.primary);
        let blue = blue.ok_or("the alias is not there")?;
        let execution = self.world.start(request).await;
        let aliases = Arc::new(Mutex::new(Vec::new()));
        let mut watching = JoinSet::new();
        watching.spawn(watch_alias(self.target.clone(), Arc::clone(&aliases)));

        let mut live = Live::begin();
        let (mut told, mut alarm, mut back) = (0, None, None);
        let deadline = Instant::now() + PATIENCE;
        let ended = loop {
            // Looked at first, so that what is seen of an execution that has ended is all of it.
            let ended = execution.ended().await;
            let entered = execution.visits().await;
            for visit in entered.iter().skip(told) {
                live.line(&visit.state, &detail(visit));
            }
            told = entered.len();
            if alarm.is_none()
                && let Some((StateValue::Alarm, at)) = alarm_state(&self.world, ALARM).await
                && at >= asked_at
            {
                alarm = Some(at);
                live.line("alarm", &format!("{ALARM} went into ALARM"));
            }
            let seen = lock(&aliases).clone();
            if back.is_none()
                && let Some(at) = alarm.and_then(|alarm| back_on(&blue, alarm, &seen))
            {
                back = Some(at);
                let after = at - alarm.unwrap_or(at);
                live.line(
                    "rollback",
                    &format!("all traffic is on blue, {after:.2} s after the alarm"),
                );
            }
            let green = seen
                .last()
                .map_or(0.0, |(_, alias)| 1.0 - alias.share(&blue));
            let by_version = act::tallies(
                &self.traffic.so_far().requests,
                self.traffic_began,
                asked_at,
                f64::INFINITY,
            );
            live.update(green * 100.0, &by_version);
            if let Some(ended) = ended {
                break ended;
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{} has not ended after {PATIENCE:?}",
                    execution.arn
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        watching.shutdown().await;
        live.end();
        let outcome = ended.outcome();
        live.line(
            &ended.status,
            &format!(
                "{} {}",
                outcome["deploymentStatus"].as_str().unwrap_or_default(),
                ended.error
            ),
        );
        let aliases = lock(&aliases).clone();
        let act = self
            .act(title, blue, &execution, &ended, &aliases, alarm, back)
            .await;
        Ok((act, ended))
    }

    /// The release as it went. Its times are on its own clock from here on.
    #[allow(clippy::too_many_arguments)] // All that was seen, once.
    async fn act(
        &self,
        title: &str,
        blue: String,
        execution: &Execution,
        ended: &Ended,
        aliases: &[(f64, Alias)],
        alarm: Option<f64>,
        back: Option<f64>,
    ) -> Act {
        let entered = execution.visits().await;
        let began = entered.first().map_or_else(epoch, |visit| visit.at);
        let history = execution.history().await;
        let last = history
            .last()
            .map_or(began, |event| event.timestamp.as_secs_f64());
        let green = ended.outcome()["functions"][0]["greenVersion"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let told = self.world.notifications(&execution.arn).await;
        Act {
            title: title.to_owned(),
            visits: act::visits(&entered, began, last),
            weights: act::weights(aliases, &green, began),
            slots: Vec::new(),
            alarm: alarm.map(|at| at - began),
            back: back.map(|at| at - began),
            took: last - began,
            by_version: BTreeMap::new(),
            failed: 0,
            told: told
                .last()
                .and_then(|told| told.subject.clone())
                .unwrap_or_default(),
            began,
            blue,
            green,
        }
    }
}

/// Adds what users met, once all answers have come.
fn with_users(act: Act, requests: &[crossfade_tests::traffic::Request], traffic_began: f64) -> Act {
    let ended = act.began + act.took;
    let by_version = act::tallies(requests, traffic_began, act.began, ended);
    Act {
        slots: act::slots(
            requests,
            traffic_began,
            act.began,
            &act.green,
            (-BEFORE, act.took + AFTER),
        ),
        failed: by_version.values().map(|tally| tally.errors).sum(),
        by_version,
        ..act
    }
}

/// Writes down what the alias says, again and again.
async fn watch_alias(target: Target, seen: Arc<Mutex<Vec<(f64, Alias)>>>) {
    loop {
        if let Some(alias) = target.look(ALIAS).await {
            // When the answer came: nothing is told earlier than it was so.
            lock(&seen).push((epoch(), alias));
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// When the alias was first seen with all traffic on blue, after the alarm had fired.
fn back_on(blue: &str, alarm: f64, seen: &[(f64, Alias)]) -> Option<f64> {
    let settled = |alias: &Alias| alias.settled() == Some(blue);
    // Not the time before green had any.
    let split = seen.iter().position(|(_, alias)| !settled(alias))?;
    seen.iter()
        .skip(split)
        .find(|(at, alias)| *at >= alarm && settled(alias))
        .map(|(at, _)| *at)
}

/// What a state is about to do, by what goes into it.
fn detail(visit: &Entered) -> String {
    let input = &visit.input;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match visit.state.as_str() {
        "DeployGreen" => "upload, publish, read blue, plan".to_owned(),
        "ValidateGreen" => {
            let function = &input["functions"][0];
            format!(
                "blue is version {}, green is version {}; smoke tests",
                text(&function["blueVersion"]),
                text(&function["greenVersion"])
            )
        }
        "ShiftTraffic" => {
            let step = input["position"]["step"].as_u64().unwrap_or_default();
            let step = usize::try_from(step).unwrap_or_default();
            let weight = &input["plan"]["steps"][step]["weight"];
            format!("{weight} % to green")
        }
        "Bake" => {
            let seconds = input["position"]["waitSeconds"]
                .as_f64()
                .unwrap_or_default();
            format!(
                "{:.0} min, here {:.1} s",
                seconds / 60.0,
                seconds * WAIT_SCALE
            )
        }
        "Decide" => match (text(&input["next"]), text(&input["reason"])) {
            (next, reason) if reason.is_empty() => next,
            (next, reason) => format!("{next}: {reason}"),
        },
        "RollbackDeployment" => {
            let cause = text(&input["failure"]["Cause"]);
            let cause: Value = serde_json::from_str(&cause).unwrap_or_default();
            let message = text(&cause["errorMessage"]);
            if message.is_empty() {
                text(&input["reason"])
            } else {
                message
            }
        }
        _ => String::new(),
    }
}

async fn expect_promoted(stage: &Stage, act: &Act, ended: &Ended) -> Result<(), String> {
    let alias = stage.target.look(ALIAS).await;
    let settled = alias.as_ref().and_then(Alias::settled);
    if ended.status == "SUCCEEDED"
        && ended.output["deploymentStatus"] == "SUCCESSFUL"
        && act.green != act.blue
        && settled == Some(&act.green)
    {
        return Ok(());
    }
    Err(format!(
        "the good version was not promoted: the execution {} ({}), and the alias is on {alias:?}",
        ended.status,
        ended.outcome()["reason"]
    ))
}

async fn expect_rolled_back(stage: &Stage, act: &Act, ended: &Ended) -> Result<(), String> {
    let alias = stage.target.look(ALIAS).await;
    let settled = alias.as_ref().and_then(Alias::settled);
    if ended.status == "FAILED"
        && ended.error == "DeploymentRolledBack"
        && act.alarm.is_some()
        && act.back.is_some()
        && settled == Some(&act.blue)
    {
        return Ok(());
    }
    Err(format!(
        "the bad version was not rolled back by its alarm: the execution {} ({}), and the alias is on {alias:?}",
        ended.status,
        ended.outcome()["reason"]
    ))
}

/// Returns how long after green's first weight all traffic was on blue again, seconds.
fn expect_found(act: &Act, ended: &Ended) -> Result<f64, String> {
    let outcome = ended.outcome();
    let first = act.weights.iter().find(|(_, weight)| *weight > 0.0);
    let back = first.and_then(|(from, _)| {
        let mut later = act.weights.iter();
        later.rfind(|(at, weight)| at > from && *weight <= 0.0)
    });
    match (first, back) {
        (Some((from, _)), Some((at, _))) if outcome["evidence"]["decidedBy"] == "liveErrors" => {
            Ok(at - from)
        }
        _ => Err(format!(
            "the subtle version was not found by its log: the execution {} ({})",
            ended.status, outcome["reason"]
        )),
    }
}

/// Seconds since 1970.
fn epoch() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// A path as seen from the repository, where it is in there.
fn shown(path: &std::path::Path) -> String {
    path.strip_prefix(paths::repository())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blue_has_its_traffic_back_when_it_had_lost_it() {
        let alias = |share: Option<f64>| Alias {
            primary: "1".to_owned(),
            additional: share.map(|share| ("2".to_owned(), share)),
            revision: String::new(),
        };
        let seen = [
            (1.0, alias(None)),
            (2.0, alias(Some(0.5))),
            (3.0, alias(Some(0.5))),
            (4.0, alias(None)),
        ];
        assert_eq!(back_on("1", 2.5, &seen), Some(4.0));
        assert_eq!(back_on("1", 2.5, &seen[..3]), None);
        assert_eq!(back_on("1", 0.5, &seen[..1]), None);
    }

    /// README shows the lines that the demo ends with, but for the numbers.
    #[test]
    fn ends_with_what_the_readme_shows() {
        let masked = |text: &str| -> String {
            text.chars()
                .filter(|c| !c.is_ascii_digit())
                .collect::<String>()
        };
        let readme = std::fs::read_to_string(paths::repository().join("README.md")).unwrap();
        let block = readme.split("```text\n").nth(1).unwrap();
        let block = block.split("```").next().unwrap().trim_end();
        assert_eq!(masked(block), masked(&conclusion("2", (0.1, 5), (24.5, 8))));
    }
}
