//! A release played by hand: the bench is the state machine, and hands each function what its state
//! would. So each can be measured by itself, on what really comes before it.

use std::{
    collections::BTreeMap,
    time::{Instant, SystemTime},
};

use chrono::{DateTime, TimeDelta, Utc};
use crossfade_tests::{
    Api, Behaviour, LocalAws, Stack, Target, World,
    api::{Kind, STAGES},
    figures::{Samples, median},
    http::Connection,
    stack::FUNCTIONS,
    world::Call,
};
use serde_json::{Value, json};

use crate::{
    https::Https,
    rie::{Emulator, Program},
};

/// What the names of the functions to release begin with.
const PREFIX: &str = "bench-";
/// The alias that is shifted.
pub(crate) const ALIAS: &str = "live";
/// The alarm of the releases that it takes back.
const ALARM: &str = "bench-errors";
/// The alarm of those that are promoted, which go on watching it for as long as blue is kept.
const QUIET: &str = "bench-quiet";
/// How long a bake is. Nothing waits for it: the clock is an input.
const BAKE_SECONDS: u32 = 60;

/// How the functions reach AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wire {
    /// In the clear, as the local AWS is.
    Http,
    /// By TLS, as AWS is, with as many root certificates as Lambda has.
    Https,
}

/// The local AWS with the stack, a function to release, and what the functions are started with.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) local: LocalAws,
    pub(crate) world: World,
    pub(crate) target: Target,
    pub(crate) api: Api,
    hook: Target,
    https: Https,
    /// What a bare round trip takes besides the time in which it is served, milliseconds.
    pub(crate) wire_ms: f64,
    variables: BTreeMap<String, Vec<(String, String)>>,
}

impl Stage {
    /// Deploys the stack, and makes a function with two versions, an API and a hook.
    pub(crate) async fn set(local: LocalAws) -> Self {
        let stack = Stack::deploy(&local, PREFIX).await;
        let world = World::new(&local, &stack);
        let named = |name: &str| format!("{PREFIX}{name}");
        let target = Target::create(&local, &named("chat"), Behaviour::healthy("1")).await;
        target.publish().await;
        target.alias(ALIAS, "1").await;
        target.update(Behaviour::healthy("2")).await;
        target.publish().await;
        let hook = Behaviour {
            answers: vec![json!({"hookStatus": "SUCCEEDED"})],
            ..Behaviour::healthy("hook")
        };
        let hook = Target::create(&local, &named("hook"), hook).await;
        let api = Api::create(&local, Kind::Rest, &named("api"), &target).await;
        for alarm in [ALARM, QUIET] {
            world.make_alarm(alarm).await;
        }
        let https = Https::start(&local).await;
        let mut stage = Self {
            local,
            world,
            target,
            api,
            hook,
            https,
            wire_ms: 0.0,
            variables: BTreeMap::new(),
        };
        stage.wire_ms = stage.wire_ms().await;
        for name in FUNCTIONS {
            let given = stage.variables_of(name).await;
            stage.variables.insert(name.to_owned(), given);
        }
        stage
    }

    /// From the first byte of a call to the last of its answer, over a connection that is open already
    /// and with nothing to sign or to understand, less the time in which the local AWS served it.
    async fn wire_ms(&self) -> f64 {
        /// Enough for a median that stays.
        const ROUND_TRIPS: usize = 100;
        let address = self.local.endpoint();
        let address = address.trim_start_matches("http://");
        let mut connection = Connection::open(address).await.expect("it listens");
        let path = format!("/2015-03-31/functions/{}/aliases/{ALIAS}", self.target.name);
        let scope = "AWS4-HMAC-SHA256 Credential=test/20261127/us-east-1/lambda/aws4_request, \
            SignedHeaders=host, Signature=0";
        let since = self.world.now().await;
        let mut took = Samples::new();
        for _ in 0..ROUND_TRIPS {
            let begun = Instant::now();
            let answer = connection
                .send("GET", &path, &[("authorization", scope)], b"")
                .await;
            took.push(begun.elapsed().as_secs_f64() * 1e3);
            assert_eq!(answer.expect("it answers").status, 200);
        }
        let calls = self.world.calls(since).await;
        let served = calls.iter().filter(|call| call.action == "GetAlias");
        let served: Samples = served.map(|call| call.seconds * 1e3).collect();
        assert_eq!(
            served.len(),
            ROUND_TRIPS,
            "nobody else calls now: {calls:?}"
        );
        let besides: Samples = took
            .iter()
            .zip(served)
            .map(|(all, served)| all - served)
            .collect();
        median(&besides)
    }

    async fn variables_of(&self, name: &str) -> Vec<(String, String)> {
        let lambda = aws_sdk_lambda::Client::new(&self.local.config());
        let call = lambda.get_function_configuration();
        let told = call.function_name(self.world.stack.function(name));
        let told = told.send().await.expect("it is deployed");
        let given = told.environment.and_then(|given| given.variables);
        given.unwrap_or_default().into_iter().collect()
    }

    /// One of Crossfade's functions, with what the template gives it.
    pub(crate) fn ours(&self, name: &str, wire: Wire) -> Program {
        let given = self.variables[name].iter();
        let given = given.map(|(name, value)| (name.as_str(), value.as_str()));
        self.on(&Program::bootstrap(name).with(name, given), wire)
    }

    /// Any program, with its way to AWS.
    pub(crate) fn on(&self, program: &Program, wire: Wire) -> Program {
        let authorities = self.https.authorities.display().to_string();
        match wire {
            Wire::Http => program.with(
                &program.name,
                [("AWS_ENDPOINT_URL", self.local.endpoint().as_str())],
            ),
            Wire::Https => program.with(
                &format!("{} https", program.name),
                [
                    ("AWS_ENDPOINT_URL", self.https.endpoint.as_str()),
                    // What Rust programs and boto3 take for the system's roots.
                    ("SSL_CERT_FILE", authorities.as_str()),
                    ("AWS_CA_BUNDLE", authorities.as_str()),
                ],
            ),
        }
    }

    /// How long a TLS handshake takes by itself, milliseconds.
    pub(crate) async fn handshake_ms(&self) -> f64 {
        self.https.handshake_ms().await
    }

    /// A wish to have the API call the alias, which it does already from the second time on.
    pub(crate) fn wire_request(&self) -> Value {
        json!({
            "action": "wire",
            "application": "bench-door",
            "frontDoor": {"type": "apiGateway", "apiId": self.api.id, "stage": STAGES[0], "alias": ALIAS},
        })
    }
}

/// The alarm's event, as EventBridge delivers it.
pub(crate) fn alarm_event() -> Value {
    json!({
        "version": "0",
        "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "account": "000000000000",
        "time": Utc::now().to_rfc3339(),
        "region": "us-east-1",
        "resources": [format!("arn:aws:cloudwatch:us-east-1:000000000000:alarm:{ALARM}")],
        "detail": {
            "alarmName": ALARM,
            "state": {"value": "ALARM", "reason": "Threshold Crossed: 3 datapoints were over it"},
            "previousState": {"value": "OK", "reason": "all is well"},
            "configuration": {},
        },
    })
}

/// A request of the approval page's URL whose link is none any more.
pub(crate) fn page_event() -> Value {
    let nonce = "A".repeat(43);
    json!({
        "version": "2.0",
        "rawQueryString": format!("release=bench-0&nonce={nonce}"),
        "headers": {"accept": "text/html"},
        "requestContext": {
            "timeEpoch": Utc::now().timestamp_millis(),
            "http": {"method": "GET", "path": "/"},
        },
        "isBase64Encoded": false,
    })
}

/// One release.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) execution: String,
    now: DateTime<Utc>,
    request: Value,
    /// What the state before has left.
    pub(crate) state: Value,
}

impl Release {
    /// A release of this name: of the version that does not serve. One that is going to be promoted has a
    /// hook, and an alarm that does not fire.
    pub(crate) async fn begin(stage: &Stage, name: &str, promoted: bool) -> Self {
        let serving = stage.target.look(ALIAS).await.expect("it is there");
        let serving = serving.settled().expect("no release is on its way");
        let green = if serving == "1" { "2" } else { "1" };
        let mut request = json!({
            "application": "bench",
            "functions": [{
                "functionName": stage.target.name, "alias": ALIAS, "code": {"version": green},
                "smokeTests": [{"name": "health", "expect": {"statusCode": 200}}],
            }],
            "strategy": {"type": "canary", "steps": [
                {"weight": 50, "bakeSeconds": BAKE_SECONDS}, {"weight": 100, "bakeSeconds": BAKE_SECONDS},
            ]},
            "analysis": {
                "alarms": [if promoted { QUIET } else { ALARM }],
                "minInvocations": 1, "settleSeconds": 0, "maxErrorRatePercent": 5,
                "checkEverySeconds": BAKE_SECONDS, "maxBakeSeconds": BAKE_SECONDS,
                "onInconclusive": "proceed",
            },
        });
        if promoted {
            request["hooks"] = json!({"beforeShift": {"functionName": stage.hook.name}});
        }
        let machine = &stage.world.stack.state_machine;
        let execution = machine.replace(":stateMachine:", ":execution:");
        Self {
            execution: format!("{execution}:{name}"),
            now: Utc::now(),
            state: request.clone(),
            request,
        }
    }

    /// Lets as much time pass as the state says.
    pub(crate) fn wait(&mut self) {
        let seconds = &self.state["position"]["waitSeconds"];
        let seconds = seconds.as_i64().expect("a bake has a wait");
        self.now += TimeDelta::seconds(seconds);
    }

    /// What a state hands to its function now.
    pub(crate) fn task(&self, at: &str) -> Value {
        json!({
            "at": at, "execution": self.execution, "now": self.now.to_rfc3339(), "retries": 0,
            "request": self.request, "state": self.state,
        })
    }

    /// Takes what a function answered for the next state's input.
    pub(crate) fn goes_on(&mut self, answer: &Value) {
        self.state = answer.clone();
    }

    /// What the retention of a release that was promoted begins with.
    pub(crate) fn retention(&self) -> Value {
        json!({
            "act": "supersede",
            "execution": self.execution, "now": self.now.to_rfc3339(), "retries": 0,
            "state": {
                "deployment": self.execution, "application": "bench",
                "retainUntil": self.state["outcome"]["retainUntil"],
            },
        })
    }

    /// The event that this execution was stopped.
    pub(crate) fn stopped(&self) -> Value {
        json!({
            "detail-type": "Step Functions Execution Status Change",
            "source": "aws.states",
            "account": "000000000000",
            "region": "us-east-1",
            "time": Utc::now().to_rfc3339(),
            "detail": {
                "executionArn": self.execution, "status": "ABORTED",
                "input": self.request.to_string(),
            },
        })
    }
}

/// What a call of a function meant for the local AWS.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) answer: Value,
    pub(crate) took_ms: f64,
    pub(crate) asked_at: f64,
    /// The calls that it made, in the order in which they came.
    pub(crate) calls: Vec<Call>,
}

impl Seen {
    /// From the event until the alias was written, milliseconds.
    pub(crate) fn to_blue_ms(&self) -> f64 {
        (self.blue().answered() - self.asked_at) * 1e3
    }

    /// How many calls the write of the alias came after, and itself.
    pub(crate) fn calls_to_blue(&self) -> usize {
        let blue = self.blue();
        let before = |call: &&Call| call.status != 0 && call.answered() <= blue.time;
        self.calls.iter().filter(before).count() + 1
    }

    /// How long at least one call was on its way, milliseconds.
    pub(crate) fn calls_ms(&self) -> f64 {
        let (mut sum, mut until) = (0.0, f64::NEG_INFINITY);
        for call in &self.calls {
            sum += (call.answered() - call.time.max(until)).max(0.0);
            until = until.max(call.answered());
        }
        sum * 1e3
    }

    /// How many calls came one after the other: later than the answer of the one before could be there
    /// and the call be here. What came sooner was sent beside it.
    pub(crate) fn turns(&self, wire_ms: f64) -> usize {
        let (mut turns, mut until) = (0, f64::NEG_INFINITY);
        for call in &self.calls {
            turns += usize::from(call.time >= until + wire_ms / 1e3);
            until = until.max(call.answered());
        }
        turns
    }

    fn blue(&self) -> &Call {
        let mut writes = self
            .calls
            .iter()
            .filter(|call| call.action == "UpdateAlias");
        let blue = writes.find(|call| call.took_effect());
        blue.unwrap_or_else(|| panic!("no alias was written: {:?}", self.calls))
    }
}

/// Sends an event, and sees what the function calls.
pub(crate) async fn ask(world: &World, emulator: &mut Emulator, event: &Value) -> Seen {
    let since = world.now().await;
    let answer = emulator.ask(event).await;
    let mut calls = world.calls(since).await;
    calls.retain(|call| call.caller.is_none());
    calls.sort_by(|a, b| a.time.total_cmp(&b.time));
    let asked_at = answer.asked_at.duration_since(SystemTime::UNIX_EPOCH);
    Seen {
        answer: answer.value,
        took_ms: answer.took.as_secs_f64() * 1e3,
        asked_at: asked_at.expect("it is after 1970").as_secs_f64(),
        calls,
    }
}
