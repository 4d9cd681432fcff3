//! Releases of the sample, with users: a good one, its rollback within retention, and a bad one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crossfade_tests::Behaviour;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    api::{Aws, CLOUDWATCH, STATES},
    function::{Code, Function, text},
    ground::{Crossfade, Ground},
    report::Report,
    run::{Pace, Run, now},
};

const ALIAS: &str = "production";
const APPLICATION: &str = "run";

/// How many of green's requests fail in the bad version, percent.
const BAD: f64 = 50.0;

/// Failed requests in a minute from which on the alarm fires.
const MOST_ERRORS: f64 = 5.0;

/// The parts that a run shares.
#[derive(Clone, Copy)]
pub(crate) struct Stage<'a> {
    pub(crate) aws: &'a Aws,
    pub(crate) run: &'a Run,
    pub(crate) pace: &'a Pace,
    pub(crate) ground: &'a Ground,
}

/// A request through the alias: when it was sent, who served it, and whether it failed.
type Sent = (f64, String, bool);

/// Users of the alias, until this value is dropped.
struct Users {
    sent: Arc<Mutex<Vec<Sent>>>,
    _tasks: JoinSet<()>,
}

impl Users {
    fn start(aws: &Arc<Aws>, pace: Pace, function: &str) -> Self {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let (aws, name, all) = (Arc::clone(aws), function.to_owned(), Arc::clone(&sent));
        tasks.spawn(async move {
            let mut every = tokio::time::interval(Duration::from_secs_f64(1.0 / pace.rate));
            let mut going = JoinSet::new();
            loop {
                every.tick().await;
                let (aws, name, all) = (Arc::clone(&aws), name.clone(), Arc::clone(&all));
                going.spawn(async move {
                    let at = now();
                    let function = Function::existing(&aws, &pace, &name);
                    let done = function.invoke(ALIAS, &json!({"path": "/"})).await;
                    let request = match done {
                        Ok(done) => (at, done.version, done.error.is_some()),
                        Err(_) => (at, String::new(), true),
                    };
                    all.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(request);
                });
                while going.try_join_next().is_some() {}
            }
        });
        Self {
            sent,
            _tasks: tasks,
        }
    }

    /// What was sent since then.
    fn since(&self, at: f64) -> Vec<Sent> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().filter(|sent| sent.0 >= at).cloned().collect()
    }

    /// Such as `1: 240 served, 0 failed; 2: 12 served, 5 failed`.
    fn told(&self, since: f64) -> String {
        let mut by_version: BTreeMap<String, (u32, u32)> = BTreeMap::new();
        for (_, version, failed) in self.since(since) {
            let who = if version.is_empty() {
                "none".to_owned()
            } else {
                version
            };
            let tally = by_version.entry(who).or_default();
            tally.0 += 1;
            tally.1 += u32::from(failed);
        }
        let lines = by_version.iter();
        let lines =
            lines.map(|(who, (all, failed))| format!("{who}: {all} served, {failed} failed"));
        lines.collect::<Vec<_>>().join("; ")
    }
}

/// How an execution went.
struct Went {
    status: String,
    outcome: Value,
    /// When all traffic was first seen on the version that served before, after it was not.
    back: Option<f64>,
    /// When the alarm was in ALARM.
    alarm: Option<f64>,
    seconds: f64,
    began: f64,
}

impl Went {
    fn outcome(&self) -> String {
        let status = text(&self.outcome, "deploymentStatus");
        let reason = text(&self.outcome, "reason");
        format!("{} {status}: {reason}", self.status)
    }
}

/// Makes the sample, and plays both releases and the rollback. The lines go into the report as they come.
pub(crate) async fn play(
    aws: &Arc<Aws>,
    stage: Stage<'_>,
    crossfade: &Crossfade,
    report: &Report,
) -> Result<(), String> {
    let Stage { run, pace, .. } = stage;
    let name = run.sample("chat");
    let first = Code::sample(&behaviour("first", 0.0));
    let function = Function::make(aws, run, pace, stage.ground, &name, &first, json!({})).await?;
    let blue = text(&function.publish().await?, "Version");
    function.settled(Some(&blue)).await?;
    function.alias(ALIAS, &blue).await?;
    let alarm = make_alarm(stage, &name).await?;
    let users = Users::start(aws, *pace, &name);
    let show = Show {
        stage,
        function,
        users: &users,
        machine: &crossfade.machine,
        alarm: &alarm,
    };

    println!("Releasing a good version.");
    let code = show.upload("good", 0.0).await?;
    let good = show.follow(&show.request(&code, "good")).await?;
    let now_on = function.look(ALIAS).await?;
    report.release(
        "a good release",
        &good.outcome(),
        good.seconds,
        &users.told(good.began),
    );
    if good.outcome["deploymentStatus"] != "SUCCESSFUL" || now_on.share(&blue) > 0.0 {
        return Err(format!(
            "the good release was not promoted: {}; the alias is {now_on:?}",
            good.outcome()
        ));
    }

    println!("Rolling it back, within its retention.");
    let asked = json!({"action": "rollback", "application": APPLICATION, "reason": "a rollback of `make aws`"});
    let back = show.follow(&asked).await?;
    let now_on = function.look(ALIAS).await?;
    report.release(
        "a rollback within retention",
        &back.outcome(),
        back.seconds,
        &users.told(back.began),
    );
    if back.outcome["deploymentStatus"] != "ROLLED_BACK" || now_on.share(&blue) < 1.0 {
        return Err(format!(
            "the promoted release was not rolled back: {}; the alias is {now_on:?}",
            back.outcome()
        ));
    }

    println!("Releasing a bad version, {BAD:.0} % of whose answers are errors.");
    let code = show.upload("bad", BAD).await?;
    let bad = show.follow(&show.request(&code, "bad")).await?;
    let now_on = function.look(ALIAS).await?;
    report.release(
        "a bad release",
        &bad.outcome(),
        bad.seconds,
        &users.told(bad.began),
    );
    if bad.outcome["deploymentStatus"] != "ROLLED_BACK" || now_on.share(&blue) < 1.0 {
        return Err(format!(
            "the bad release was not rolled back: {}; the alias is {now_on:?}",
            bad.outcome()
        ));
    }
    show.measure(&bad, &blue, report);
    Ok(())
}

/// A version that answers after 5 ms, and fails so often; never in its smoke test.
fn behaviour(version: &str, error_rate_percent: f64) -> Behaviour {
    Behaviour {
        latency_ms: 5,
        spare_path: Some("/health".to_owned()),
        ..Behaviour::failing(version, error_rate_percent)
    }
}

/// An alarm on the errors that users of the alias meet, as the guide has it.
async fn make_alarm(stage: Stage<'_>, function: &str) -> Result<String, String> {
    let name = format!("{}-errors", stage.run.name);
    let tags: Vec<_> = stage.run.tags().into();
    let tags = tags.iter().map(|(k, v)| json!({"Key": k, "Value": v}));
    let asked = json!({
        "AlarmName": name,
        "Namespace": "AWS/Lambda",
        "MetricName": "Errors",
        "Dimensions": [
            {"Name": "FunctionName", "Value": function},
            {"Name": "Resource", "Value": format!("{function}:{ALIAS}")}
        ],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": MOST_ERRORS,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
        "Tags": tags.collect::<Vec<_>>(),
    });
    stage.aws.json(CLOUDWATCH, "PutMetricAlarm", asked).await?;
    let deadline = Instant::now() + Duration::from_secs(5 * 60);
    while Instant::now() < deadline {
        if alarm_state(stage.aws, &name).await?.0 == "OK" {
            return Ok(name);
        }
        tokio::time::sleep(stage.pace.look * 3).await;
    }
    Err(format!("the alarm {name} was not OK after five minutes"))
}

/// An alarm's state, and since when.
async fn alarm_state(aws: &Aws, name: &str) -> Result<(String, f64), String> {
    let asked = json!({"AlarmNames": [name]});
    let seen = aws.json(CLOUDWATCH, "DescribeAlarms", asked).await?;
    let alarm = &seen["MetricAlarms"][0];
    let since = &alarm["StateTransitionedTimestamp"];
    let since = since
        .as_f64()
        .or_else(|| alarm["StateUpdatedTimestamp"].as_f64());
    Ok((text(alarm, "StateValue"), since.unwrap_or_default()))
}

struct Show<'a> {
    stage: Stage<'a>,
    function: Function<'a>,
    users: &'a Users,
    machine: &'a str,
    alarm: &'a str,
}

impl Show<'_> {
    async fn upload(&self, version: &str, failing: f64) -> Result<Value, String> {
        let Stage { aws, ground, .. } = self.stage;
        let key = format!("app/{version}.zip");
        let code = Code::sample(&behaviour(version, failing));
        let path = format!("/{}/{key}", ground.bucket);
        aws.s3("PUT", &path, &[], code.zip()).await?;
        Ok(json!({"s3Bucket": ground.bucket, "s3Key": key}))
    }

    fn request(&self, code: &Value, which: &str) -> Value {
        // A bad release bakes until its alarm fires, which no look is to forestall.
        let (steps, every) = if which == "bad" {
            let steps = json!([
                {"weight": 50, "bakeSeconds": 480},
                {"weight": 100, "bakeSeconds": 0}
            ]);
            (steps, 480)
        } else {
            let steps = json!([
                {"weight": 10, "bakeSeconds": 180},
                {"weight": 100, "bakeSeconds": 120}
            ]);
            (steps, 180)
        };
        json!({
            "application": APPLICATION,
            "functions": [{
                "functionName": self.function.name,
                "alias": ALIAS,
                "code": code,
                "smokeTests": [{
                    "name": "health",
                    "payload": {"path": "/health"},
                    "expect": {"statusCode": 200}
                }]
            }],
            "strategy": {"type": "canary", "steps": steps},
            "analysis": {
                "alarms": [self.alarm],
                "settleSeconds": self.stage.pace.settle_seconds,
                "checkEverySeconds": every
            },
            "retention": {"blueHours": 1}
        })
    }

    /// Starts an execution and follows it to its end.
    async fn follow(&self, input: &Value) -> Result<Went, String> {
        let Stage { aws, pace, .. } = self.stage;
        let before = self.function.look(ALIAS).await?.primary;
        let asked = json!({"stateMachineArn": self.machine, "input": input.to_string()});
        let (began, clock) = (now(), Instant::now());
        let started = aws.json(STATES, "StartExecution", asked).await?;
        let of = json!({"executionArn": started["executionArn"]});
        let (mut seen, mut back, mut alarm) = (None, None, None);
        loop {
            let look = self.function.look(ALIAS).await?;
            if seen.as_ref() != Some(&look) {
                let share = look.share(&before) * 100.0;
                println!(
                    "  {:6.1} s  {share:.0} % on version {before}, {:.0} % elsewhere",
                    clock.elapsed().as_secs_f64(),
                    100.0 - share
                );
                if seen.is_some() && share >= 100.0 {
                    back = back.or(Some(now()));
                }
                seen = Some(look);
            }
            let (state, since) = alarm_state(aws, self.alarm).await?;
            if alarm.is_none() && state == "ALARM" && since >= began {
                alarm = Some(since);
                println!("  {:6.1} s  the alarm fires", clock.elapsed().as_secs_f64());
            }
            let now_is = aws.json(STATES, "DescribeExecution", of.clone()).await?;
            let status = text(&now_is, "status");
            if status != "RUNNING" {
                let told = ["output", "cause"]
                    .iter()
                    .find_map(|field| now_is[*field].as_str());
                let went = Went {
                    status,
                    outcome: told
                        .and_then(|told| serde_json::from_str(told).ok())
                        .unwrap_or_default(),
                    back,
                    alarm,
                    seconds: clock.elapsed().as_secs_f64(),
                    began,
                };
                println!("  {:6.1} s  {}", went.seconds, went.outcome());
                return Ok(went);
            }
            if clock.elapsed() > pace.release {
                return Err(format!(
                    "{} still runs after {:?}",
                    started["executionArn"], pace.release
                ));
            }
            tokio::time::sleep(pace.look).await;
        }
    }

    /// What the bad release's end took, and whom it met.
    fn measure(&self, bad: &Went, blue: &str, report: &Report) {
        let (Some(alarm), Some(back)) = (bad.alarm, bad.back) else {
            report.measured(
                "seconds from the alarm to blue",
                "not seen: the release was rolled back before its alarm fired, by its own look",
            );
            return;
        };
        let seconds = back - alarm;
        report.measured(
            "seconds from the alarm to blue",
            &format!(
                "{seconds:.1} (the alarm's own time to the alias on blue, seen every {:?})",
                self.stage.pace.look
            ),
        );
        let after = self.users.since(back);
        let late = after
            .iter()
            .filter(|(_, version, _)| version != blue && !version.is_empty());
        let last = late.map(|(at, ..)| at - back).fold(0.0, f64::max);
        let errors = self.users.since(bad.began);
        let errors = errors.iter().filter(|(_, _, failed)| *failed).count();
        report.measured(
            "seconds from blue until no request reached green",
            &format!("{last:.1}; {errors} requests failed in the whole release"),
        );
    }
}
