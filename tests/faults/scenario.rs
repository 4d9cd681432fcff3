//! Releases in which things go wrong: a strategy, a kind of traffic, and how it ends when nothing does.

use std::time::{Duration, Instant};

use aws_sdk_cloudwatch::types::StateValue;
use aws_sdk_lambda::types::FunctionCode;
use crossfade_tests::{
    Ended, Execution, Target, World,
    release::{until, until_within},
    stack::ARTIFACTS,
    traffic::Witness,
    world::{Call, Fault},
};
use serde_json::{Value, json};

use crate::{
    door::{ALIAS, Door, Kind, alarm},
    ground::{Code, Ground, PREFIX, SMOKE},
    judge::{self, End},
    runner::{Bad, Class},
};

/// No release takes longer, whatever goes wrong in it: forty tries to put traffic back, each given up
/// after seconds.
const PATIENCE: Duration = Duration::from_mins(20);

/// How traffic goes to green.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    AllAtOnce,
    BlueGreen,
    Canary,
    Linear,
}

impl Strategy {
    pub(crate) const ALL: [Self; 4] =
        [Self::AllAtOnce, Self::BlueGreen, Self::Canary, Self::Linear];

    const fn name(self) -> &'static str {
        match self {
            Self::AllAtOnce => "all-at-once",
            Self::BlueGreen => "blue-green",
            Self::Canary => "canary",
            Self::Linear => "linear",
        }
    }

    /// Each step but those of weight 0 bakes so long.
    fn request(self, bake: u32) -> Value {
        match self {
            Self::AllAtOnce => json!({"type": "allAtOnce", "bakeSeconds": bake}),
            Self::BlueGreen => json!({"type": "blueGreen", "bakeSeconds": bake}),
            Self::Canary => json!({"type": "canary", "steps": [
                {"weight": 50, "bakeSeconds": bake}, {"weight": 100, "bakeSeconds": bake},
            ]}),
            Self::Linear => {
                json!({"type": "linear", "stepWeight": 34, "intervalSeconds": bake, "bakeSeconds": bake})
            }
        }
    }
}

/// How a release ends when nothing goes wrong, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Promoted.
    Promoted,
    /// The first release of a function: there is no blue.
    First,
    /// Promoted, after which old versions are deleted.
    Retained,
    /// A person approves of it.
    Approval,
    /// Rolled back, because green fails.
    Verdict,
    /// Rolled back, because an alarm fires.
    Alarm,
    /// Rejected by its smoke test, after which an alarm takes the release before it back.
    RejectedAlarm,
    /// The same, where a person takes the release before it back.
    RejectedByHand,
}

impl Path {
    const fn name(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::First => "first",
            Self::Retained => "retained",
            Self::Approval => "approval",
            Self::Verdict => "verdict",
            Self::Alarm => "alarm",
            Self::RejectedAlarm => "rejected-then-alarm",
            Self::RejectedByHand => "rejected-then-by-hand",
        }
    }

    /// Whether green may end with the traffic.
    pub(crate) const fn may_promote(self) -> bool {
        !matches!(self, Self::Verdict | Self::Alarm) && !self.is_rejected()
    }

    /// Whether it does not pass its smoke test, and the release before it is then taken back.
    pub(crate) const fn is_rejected(self) -> bool {
        matches!(self, Self::RejectedAlarm | Self::RejectedByHand)
    }
}

/// A release as it is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) strategy: Strategy,
    pub(crate) kind: Kind,
    pub(crate) path: Path,
}

/// A release that has been, and what it left behind.
pub(crate) struct Ran {
    /// The calls that were made in it, in order.
    pub(crate) calls: Vec<Call>,
    /// How often the fault struck.
    pub(crate) struck: u64,
    /// What may not be.
    pub(crate) bad: Vec<Bad>,
    /// How its execution ended; none when it did not.
    pub(crate) ended: Option<Ended>,
    /// The states that it entered, in order.
    pub(crate) states: Vec<String>,
}

impl Ran {
    /// Whether nothing is broken, of one that ran without a fault; what is, else.
    pub(crate) fn is_good(&self) -> Result<(), String> {
        if self.bad.is_empty() {
            return Ok(());
        }
        let bad = self.bad.iter();
        let bad: Vec<_> = bad
            .map(|bad| format!("{}: {}", bad.class, bad.what))
            .collect();
        Err(format!("without any fault: {}", bad.join("\n  ")))
    }
}

impl Scenario {
    pub(crate) fn name(self) -> String {
        let Self {
            strategy,
            kind,
            path,
        } = self;
        format!("{}/{}/{}", strategy.name(), kind.name(), path.name())
    }

    /// The scenarios that have what most releases of its path have, and of its kind of traffic.
    pub(crate) fn bases(self) -> [Self; 2] {
        let path = if self.path.is_rejected() {
            Path::Promoted
        } else {
            self.path
        };
        [Kind::Alias, self.kind].map(|kind| Self {
            strategy: Strategy::Canary,
            kind,
            path,
        })
    }

    /// Versions that are there before, of which the last one serves.
    const fn versions(self) -> u32 {
        match self.path {
            Path::First => 0,
            Path::Retained => 3,
            _ => 1,
        }
    }

    /// Runs it on a function of its own, with what goes wrong in it. It struck as often as the part of it
    /// that struck least.
    pub(crate) async fn run(self, ground: &Ground, faults: impl IntoIterator<Item = Fault>) -> Ran {
        let token = Ground::token();
        let world = ground.world.of_release(&token).await;
        let target = self.function(ground, &token).await;
        let blue = (self.versions() > 0).then(|| self.versions().to_string());
        let door = Door::make(ground, self.kind, &token, &target, blue.as_deref()).await;
        let alarm = match self.path {
            Path::Alarm | Path::RejectedAlarm => Some(alarm(&world, &token).await),
            _ => None,
        };
        let probes = door.probes(ground, &target).await;
        let mut witnesses: Vec<Witness> = probes
            .iter()
            .map(|(probe, who)| probe.witness(who, &target.name))
            .collect();
        let mut former = None;
        if self.path.is_rejected() {
            former = Some(Former::release(self, &world, &token, &door, alarm.as_deref()).await);
        }
        let since = world.now().await;
        let (mut injected, mut late) = (Vec::new(), Duration::ZERO);
        for fault in faults {
            late = late.max(fault.late_by());
            injected.push(world.fault(fault.of_release(&token)).await);
        }
        let watched = alarm.as_deref().filter(|_| former.is_none());
        let request = self.request(&token, &door, watched);
        let users = self.has_users().then(|| door.users(ground, &target, 8.0));
        witnesses.extend(
            users
                .iter()
                .map(|users| users.witness("users", &target.name)),
        );
        let execution = world.start_as(&token, &request).await;
        let has_ended = self.play(&world, &execution, watched).await;
        drop(users);
        if let Some(former) = &mut former
            && has_ended
        {
            former.take_back(&world).await;
        }

        // From here on nothing goes wrong: what is still open is mended by who has been trying all the
        // time, and by the schedule.
        let mut struck = None;
        for fault in injected {
            let times = world.struck(fault).await;
            struck = Some(struck.unwrap_or(times).min(times));
            world.mend(fault).await;
        }
        let mut ran = Ran {
            calls: Vec::new(),
            struck: struck.unwrap_or_default(),
            bad: Vec::new(),
            ended: None,
            states: execution.states_entered().await,
        };
        if has_ended {
            // What is late may come now.
            tokio::time::sleep(late).await;
            self.settle(&world, &execution).await;
            ran.calls = world.calls(since).await;
            ground.sweep().await;
            if let Some(former) = &mut former
                && !former.is_taken_back(&world).await
            {
                // What kept it from going back is over, and it is asked for again.
                former.take_back(&world).await;
                self.settle(&world, &execution).await;
            }
            let ended = execution.wait().await;
            let former = former.iter().flat_map(|former| &former.executions);
            let end = End {
                scenario: self,
                world: &world,
                target: &target,
                door: &door,
                execution: &execution,
                former: former.cloned().collect(),
                witnesses,
                ended: &ended,
                blue: blue.as_deref(),
            };
            ran.bad = judge::judge(&end).await;
            ran.ended = Some(ended);
        } else {
            let states = execution.states_entered().await;
            let what = format!("runs on after {PATIENCE:?}: {states:?}");
            ran.bad.push(Bad::of(Class::Stuck, what));
        }
        drop(probes);
        if std::env::var_os("KEEP").is_none() {
            if let Some(former) = former {
                former.clean_up(&world).await;
            }
            self.clean_up(&world, &target, &execution, alarm).await;
            door.delete().await;
        }
        ran
    }

    /// The function to release.
    pub(crate) async fn function(self, ground: &Ground, token: &str) -> Target {
        let code = FunctionCode::builder()
            .s3_bucket(ARTIFACTS)
            .s3_key(Code::Blue.key())
            .build();
        let target = Target::of_code(&ground.local, &format!("{PREFIX}{token}"), code).await;
        for number in 1..=self.versions() {
            if number > 1 {
                // A description is configuration, and what differs is another version.
                let change = target.lambda().update_function_configuration();
                let change = change.function_name(&target.name);
                let done = change.description(format!("version {number}")).send().await;
                done.expect("the configuration can be changed");
            }
            until("the update", || async {
                let publish = target.lambda().publish_version();
                match publish.function_name(&target.name).send().await {
                    Ok(published) => {
                        assert_eq!(published.version, Some(number.to_string()));
                        Some(())
                    }
                    Err(error) => {
                        let error = error.into_service_error();
                        assert!(error.is_resource_conflict_exception(), "{error:?}");
                        tokio::time::sleep(Duration::from_millis(150)).await;
                        None
                    }
                }
            })
            .await;
        }
        if self.versions() > 0 {
            // Its log group is there once it has been invoked.
            let blue = self.versions().to_string();
            until("blue's first answer", || async {
                let invoked = target.invoke(&blue, &json!({"path": SMOKE})).await;
                invoked.ok().map(drop)
            })
            .await;
        }
        target
    }

    pub(crate) fn request(self, token: &str, door: &Door, alarm: Option<&str>) -> Value {
        let code = match self.path {
            Path::Verdict => Code::Bad,
            Path::RejectedAlarm | Path::RejectedByHand => Code::Broken,
            _ => Code::Green,
        };
        // An alarm is waited for; what is judged by numbers takes a moment until there are some.
        let bake = match self.path {
            Path::Alarm => 400,
            Path::Verdict => 30,
            Path::Promoted if self.has_users() => 30,
            Path::Promoted
            | Path::First
            | Path::Retained
            | Path::Approval
            | Path::RejectedAlarm
            | Path::RejectedByHand => 0,
        };
        let mut strategy = self.strategy.request(bake);
        if self.path == Path::Approval {
            strategy["approveBefore"] = json!(100);
        }
        let mut request = json!({
            "application": format!("app-{token}"),
            "functions": [{
                "functionName": format!("{PREFIX}{token}"), "alias": ALIAS, "code": code.named(),
                "smokeTests": [{"name": "health", "payload": {"path": SMOKE}}],
            }],
            "strategy": strategy,
            // The local AWS has its metrics at once.
            "analysis": {
                "minInvocations": 1, "settleSeconds": 0, "checkEverySeconds": 600,
                "maxBakeSeconds": 1000,
            },
            "approvalTimeoutSeconds": 3000,
            "holdTimeoutSeconds": 300,
        });
        let analysis = &mut request["analysis"];
        if self.has_users() {
            analysis["checkEverySeconds"] = json!(30);
            analysis["maxErrorRatePercent"] = json!(5);
        }
        if let Some(alarm) = alarm {
            analysis["alarms"] = json!([alarm]);
        }
        if self.path == Path::Retained {
            request["retention"] = json!({"blueHours": 0, "keepVersions": 2});
        }
        door.put_into(&mut request);
        request
    }

    /// Whether it takes users to tell how green does.
    fn has_users(self) -> bool {
        self.path == Path::Verdict
            || (self.path == Path::Promoted && self.strategy == Strategy::Canary)
    }

    /// What people and alarms do until it has ended. Tells whether it has.
    async fn play(self, world: &World, execution: &Execution, alarm: Option<&str>) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let left = || deadline.saturating_duration_since(Instant::now());
        if let Some(alarm) = alarm
            && world.wait_for(execution, "Bake", 1, left()).await
        {
            world.fire(alarm).await;
        }
        if self.path == Path::Approval {
            let mut answered = 0;
            while execution.ended().await.is_none() && !left().is_zero() {
                let mails = world.notifications(&execution.arn).await;
                let tokens: Vec<_> = mails.iter().filter_map(|mail| mail.token()).collect();
                // Of those that were asked for, only the last one still waits.
                if tokens.len() > answered {
                    answered = tokens.len();
                    let last = tokens[answered - 1];
                    execution.takes(last, "approve").await;
                }
                world
                    .wait_for(execution, "", 1, Duration::from_millis(400))
                    .await;
            }
        } else {
            world.wait_for(execution, "", 1, left()).await;
        }
        execution.ended().await.is_some()
    }

    /// Waits until what its end has set off is done: events, and the retention that follows.
    async fn settle(self, world: &World, execution: &Execution) {
        world
            .wait_for(execution, "", 1, Duration::from_mins(1))
            .await;
        if let Some(retention) = world.retention_of(execution).await {
            let patience = Duration::from_secs(120);
            let state = match self.path {
                Path::Retained => "",
                _ => "KeepBlue",
            };
            world.wait_for(&retention, state, 1, patience).await;
        }
        let what = "the end of what the release's end has set off";
        at_rest(world, what).await;
    }

    /// Leaves nothing that would take time from those that come later.
    async fn clean_up(
        self,
        world: &World,
        target: &Target,
        execution: &Execution,
        alarm: Option<String>,
    ) {
        execution.stop().await;
        if let Some(retention) = world.retention_of(execution).await {
            retention.stop().await;
        }
        if let Some(alarm) = alarm {
            let done = world.cloudwatch.delete_alarms().alarm_names(alarm).send();
            done.await.expect("the alarm can be deleted");
        }
        target.delete().await;
        world.forget().await;
    }
}

/// Waits until nothing that was set off is at work.
async fn at_rest(world: &World, what: &str) {
    until_within(PATIENCE, what, || async {
        (world.at_work().await == 0).then_some(())
    })
    .await;
}

/// The release before one that is rejected: promoted without a fault, and taken back afterwards.
struct Former {
    /// Its own execution, and those that take it back and succeeded.
    executions: Vec<Execution>,
    application: String,
    /// What its executions' names end with. They have no token in it: what happens to the executions of the
    /// release that is rejected does not happen to these.
    number: String,
    /// The alarm that takes it back; none where a person does.
    alarm: Option<String>,
    tries: u32,
}

impl Former {
    async fn release(
        scenario: Scenario,
        world: &World,
        token: &str,
        door: &Door,
        alarm: Option<&str>,
    ) -> Self {
        let good = Scenario {
            path: Path::Promoted,
            strategy: Strategy::AllAtOnce,
            ..scenario
        };
        let mut request = good.request(token, door, alarm);
        request["retention"] = json!({"blueHours": 24});
        let number: String = token.chars().filter(char::is_ascii_digit).collect();
        let name = format!("former-{number}");
        let execution = world.start_as(&name, &request).await;
        let ended = execution.wait_within(PATIENCE).await;
        assert_eq!(ended.status, "SUCCEEDED", "without any fault: {ended:?}");
        if let Some(retention) = world.retention_of(&execution).await {
            let patience = Duration::from_mins(2);
            world.wait_for(&retention, "KeepBlue", 1, patience).await;
        }
        at_rest(world, "the end of what a promotion has set off").await;
        Self {
            executions: vec![execution],
            application: format!("app-{token}"),
            number,
            alarm: alarm.map(str::to_owned),
            tries: 0,
        }
    }

    async fn is_taken_back(&self, world: &World) -> bool {
        world.deployment_status(&self.executions[0].arn).await == "ROLLED_BACK"
    }

    /// Has it taken back, and waits until that is over, however it ends.
    async fn take_back(&mut self, world: &World) {
        self.tries += 1;
        if let Some(alarm) = &self.alarm {
            world.set_alarm(alarm, StateValue::Ok).await;
            world.fire(alarm).await;
            // The event is on its way.
            tokio::time::sleep(Duration::from_millis(500)).await;
        } else {
            let input = json!({
                "action": "rollback", "application": self.application, "reason": "it looks odd",
            });
            let name = format!("back-{}-{}", self.number, self.tries);
            let back = world.start_as(&name, &input).await;
            if back.wait_within(PATIENCE).await.status == "SUCCEEDED" {
                self.executions.push(back);
            }
        }
        at_rest(world, "the end of a way back").await;
    }

    async fn clean_up(&self, world: &World) {
        if let Some(retention) = world.retention_of(&self.executions[0]).await {
            retention.stop().await;
        }
    }
}
