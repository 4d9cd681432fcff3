//! Walks releases through the state machine's own definition, and counts the events that an execution then has.

use std::{env, fs};

use crossfade::{
    domain::{
        Timestamp,
        analysis::{
            check::{Evidence, Finding},
            verdict::Verdict,
        },
        hook::{HookPoint, HookReply, HookRun},
        propagation::Effective,
        release::{Event, Release},
        status::DeploymentStatus,
        weight::Weight,
    },
    wire::{
        graph::{Next, Output},
        outcome::{Finished, Outcome},
        request::{ReleaseRequest, Request},
    },
};
use crossfade_tests::paths;
use serde_json::{Map, Value, json};

use super::{choose, states};

/// How a release goes that is walked through.
struct Walk {
    verdict: Verdict,
    /// Looks until Route 53 has a change in force.
    unsynced: usize,
    release: Release,
    events: u32,
    /// Seconds of each bake, in the order of the steps.
    baked: Vec<u32>,
    synced_looks: usize,
    looks: usize,
    /// The states that were entered, each with green's weight once it is over.
    visits: Vec<(String, Weight)>,
}

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().expect("it is a time")
}

fn request(more: &Value) -> ReleaseRequest {
    let mut request = json!({"application": "chat", "functions": [{"functionName": "chat-api", "alias": "live"}]});
    for (field, value) in more.as_object().expect("it has fields") {
        request[field] = value.clone();
    }
    match Request::parse(&request) {
        Ok(Request::Release(request)) => *request,
        other => panic!("{other:?}"),
    }
}

fn release(request: &ReleaseRequest) -> Release {
    let mut release = json!({
        "application": "chat", "startedAt": now(), "slowestSeconds": 3,
        "functions": [{"functionName": "chat-api", "alias": "live", "blueVersion": "1", "greenVersion": "2",
            "revisionId": "r"}],
        "plan": request.plan(), "analysis": request.analysis, "blueHours": 24, "hooks": request.hooks,
        "hold": {"timeoutSeconds": 60, "onTimeout": "rollBack"},
        "position": {"step": 0, "waitedSeconds": 0, "waitSeconds": 0},
    });
    if json!(request.traffic)["type"] == "route53" {
        release["traffic"] = json!({"type": "route53", "hostedZoneId": "Z1", "recordName": "a.example.com",
            "recordType": "A", "blue": "blue", "green": "green", "dnsSeconds": 60});
    }
    serde_json::from_value(release).expect("it is a release")
}

impl Walk {
    /// Goes from the start to the end. Returns the last state and the events.
    fn through(
        states: &Map<String, Value>,
        request: &ReleaseRequest,
        verdict: Verdict,
        unsynced: usize,
    ) -> (String, Self) {
        let mut walk = Self {
            verdict,
            unsynced,
            release: release(request),
            // ExecutionStarted, and how it ends.
            events: 2,
            baked: vec![0; request.plan().len()],
            synced_looks: 0,
            looks: 0,
            visits: Vec::new(),
        };
        let (mut name, mut state) = ("Route".to_owned(), json!({"application": "chat"}));
        loop {
            let definition = &states[&name];
            walk.events += match definition["Type"].as_str().expect("a state has a type") {
                "Task"
                    if definition["Resource"]
                        .as_str()
                        .is_some_and(|it| it.ends_with("waitForTaskToken")) =>
                {
                    6
                }
                "Task" => 5,
                "Fail" => 1,
                _ => 2,
            };
            let next = match definition["Type"].as_str() {
                _ if definition["End"] == true => {
                    walk.visits.push((name.clone(), walk.release.weight()));
                    return (name, walk);
                }
                Some("Fail") => return (name, walk),
                Some("Choice") => choose(definition, &state),
                Some("Task") => {
                    state = walk.task(&name, state);
                    definition["Next"]
                        .as_str()
                        .expect("a task leads on")
                        .to_owned()
                }
                _ => {
                    if name == "Bake" && walk.release.propagation().is_none() {
                        walk.baked[walk.release.progress().position.step] +=
                            walk.release.progress().position.wait_seconds;
                    }
                    definition["Next"]
                        .as_str()
                        .expect("a wait leads on")
                        .to_owned()
                }
            };
            walk.visits.push((name, walk.release.weight()));
            name = next;
        }
    }

    fn task(&mut self, name: &str, state: Value) -> Value {
        match name {
            "DeployGreen" => return self.handed_on(Next::deployed),
            "ValidateGreen" => {
                self.apply(Event::Validated {
                    smoke_tested: Vec::new(),
                    health: Vec::new(),
                    warnings: Vec::new(),
                    evidence: Evidence::default(),
                });
                return self.handed_on(Next::of);
            }
            "ShiftTraffic" => {
                self.synced_looks = 0;
                let effective = if json!(self.release.spec.traffic)["type"] == "route53" {
                    Effective::Later(Some("C1".into()))
                } else {
                    Effective::AtOnce
                };
                let functions = self.release.progress().functions.clone();
                self.apply(Event::Shifted {
                    functions,
                    effective,
                    warnings: Vec::new(),
                });
            }
            "CheckAlarms" => {
                self.look();
                return self.handed_on(Next::of);
            }
            "RunHook" if state.get("plan").is_none() => return Self::hook_of_outcome(state),
            "RunHook" => {
                let mut run = self.release.next_hook().expect("there is a hook");
                Self::call(&mut run);
                self.apply(Event::HookRan { run, report: None });
                return self.handed_on(Next::of);
            }
            "FinalizeDeployment" => {
                let outcome =
                    Outcome::of(&self.release, DeploymentStatus::Successful, String::new());
                let (hook, pace) = (
                    self.release.spec.hooks.after_promote.as_ref(),
                    self.release.pace(),
                );
                let hook = hook.map(|hook| HookRun::due(HookPoint::AfterPromote, hook, &pace));
                return json!(Output::of(Finished { outcome, hook }, Next::finished));
            }
            "StartRetention" => return state,
            other => panic!("nobody walks through {other}"),
        }
        json!(self.release)
    }

    /// The release, as the handler of a state hands it on.
    fn handed_on(&self, next: fn(&Release) -> Next) -> Value {
        json!(Output::of(self.release.clone(), next))
    }

    /// A hook that wants to be called each second, and succeeds when its time is nearly up.
    fn call(run: &mut HookRun) -> bool {
        let _ = run.begin();
        let left = run.timeout_seconds - run.waited_seconds;
        let status = if left > run.least_wait_seconds {
            "IN_PROGRESS"
        } else {
            "SUCCEEDED"
        };
        let answer = json!({"hookStatus": status, "callBackDelay": 1});
        assert_eq!(run.apply_reply(&HookReply::Answer(answer), 0), None);
        !run.is_open()
    }

    fn hook_of_outcome(state: Value) -> Value {
        let mut finished: Finished = serde_json::from_value(state).expect("it has ended");
        let mut run = finished.hook.take().expect("there is a hook");
        finished.hook = (!Self::call(&mut run)).then_some(run);
        json!(Output::of(finished, Next::finished))
    }

    fn look(&mut self) {
        self.looks += 1;
        let finding = Finding {
            verdict: self.verdict,
            reason: String::new(),
            evidence: Evidence::default(),
            early_proceed: false,
        };
        let health = Vec::new();
        if self.release.propagation().is_some() {
            self.synced_looks += 1;
            self.apply(Event::Followed {
                in_sync: self.synced_looks > self.unsynced,
                finding,
                health,
            });
        } else {
            self.apply(Event::Looked { finding, health });
        }
    }

    fn apply(&mut self, event: Event) {
        let applied = self.release.apply(event, now());
        applied.expect("the graph leads to it");
    }
}

/// The same, which goes on when there is still nothing to judge by.
fn undecided(more: &Value) -> ReleaseRequest {
    let mut more = more.clone();
    more["analysis"]["onInconclusive"] = json!("proceed");
    request(&more)
}

fn canary(steps: u32, bake: u32) -> Value {
    let step =
        |nth: u32| json!({"weight": f64::from(nth * 1000 / steps) / 10.0, "bakeSeconds": bake});
    json!({"type": "canary", "steps": (1..=steps).map(step).collect::<Vec<_>>()})
}

fn checks(seconds: u32) -> Value {
    let check = |side: &str| json!({"url": format!("https://{side}.example.com/"), "intervalSeconds": seconds, "setIdentifier": side});
    json!([check("blue"), check("green")])
}

fn zone() -> Value {
    json!({"type": "route53", "hostedZoneId": "Z0123456789ABCDEFGHIJ", "recordName": "a.example.com"})
}

const DAY: u32 = 86_400;

/// What takes long, each in a way of its own.
fn long_ones() -> Vec<(&'static str, Value)> {
    let hook = |timeout: u32| json!({"functionName": "hook", "timeoutSeconds": timeout});
    let hooks = |timeout: u32| json!({"beforeShift": hook(timeout), "afterShift": hook(timeout), "afterPromote": hook(timeout)});
    vec![
        (
            "a bake extended to two days at default looks",
            json!({"strategy": canary(1, DAY)}),
        ),
        (
            "a day with a health check every ten seconds",
            json!({"strategy": canary(1, DAY), "traffic": zone(), "analysis": {"healthChecks": checks(10)}}),
        ),
        (
            "a day with a health check at its default",
            json!({"strategy": canary(1, DAY), "traffic": zone(), "analysis": {"healthChecks": checks(30)}}),
        ),
        (
            "three days, each extended",
            json!({"strategy": canary(3, DAY), "analysis": {"checkEverySeconds": 10}}),
        ),
        ("twenty-nine days", json!({"strategy": canary(29, DAY)})),
        (
            "a hook in progress for a day",
            json!({"strategy": "AllAtOnce", "hooks": hooks(DAY)}),
        ),
        (
            "a hundred steps with hooks",
            json!({"strategy": canary(100, 300), "hooks": hooks(300)}),
        ),
        (
            "a hundred records with hooks",
            json!({"strategy": canary(100, 300), "hooks": hooks(300), "traffic": zone()}),
        ),
        (
            "a hundred records",
            json!({"strategy": canary(100, 10_000), "traffic": zone()}),
        ),
        ("the smallest", json!({"strategy": "AllAtOnce"})),
        (
            "prod, without its approval",
            json!({"strategy": canary(3, 300)}),
        ),
    ]
}

#[test]
fn stays_within_the_planned_events() {
    let states = states();
    for (what, more) in long_ones() {
        for unsynced in [0, 10] {
            let request = undecided(&more);
            let (end, walk) = Walk::through(&states, &request, Verdict::Inconclusive, unsynced);
            let planned = request.pace().events;
            println!(
                "{what}: {} events of {planned} planned, {} looks",
                walk.events, walk.looks
            );
            assert_eq!(end, "Done", "{what}");
            assert!(
                walk.events <= planned && planned < 24_000,
                "{what}: {} of {planned}",
                walk.events
            );
            let longest = request
                .plan()
                .steps()
                .iter()
                .map(|step| request.analysis.longest_bake_seconds(*step))
                .collect::<Vec<_>>();
            assert_eq!(walk.baked, longest, "{what}");
        }
    }
}

/// Stretched looks end a bake when it is planned to end.
#[test]
fn ends_a_healthy_bake_as_planned() {
    let states = states();
    for (what, more) in long_ones() {
        let request = request(&more);
        let (end, walk) = Walk::through(&states, &request, Verdict::Healthy, 0);
        assert_eq!(end, "Done", "{what}");
        let planned = request
            .plan()
            .steps()
            .iter()
            .map(|step| step.bake_seconds)
            .collect::<Vec<_>>();
        assert_eq!(walk.baked, planned, "{what}");
    }
}

/// The estimate is not so high that nobody believes it: most of it is really taken.
#[test]
fn uses_most_of_the_planned_events() {
    let states = states();
    let request = undecided(&json!({"strategy": canary(1, DAY)}));
    let (_, walk) = Walk::through(&states, &request, Verdict::Inconclusive, 0);
    let planned = request.pace().events;
    assert!(
        walk.events * 100 > planned * 95,
        "{} of {planned}",
        walk.events
    );
}

/// The picture shows the sample, where every look finds green healthy.
#[test]
fn matches_the_pictured_release() {
    let path = paths::repository().join("docs/pictures/release.json");
    let sample = paths::repository().join("events/canary.json");
    let sample = fs::read_to_string(sample).expect("the sample is there");
    let sample: Value = serde_json::from_str(&sample).expect("it is JSON");
    let request = request(&json!({"strategy": sample["strategy"], "analysis": sample["analysis"]}));
    let (_, walk) = Walk::through(&states(), &request, Verdict::Healthy, 0);
    let steps = request.plan().len();
    let looks = walk.looks;
    println!(
        "walk: {} states for {steps} steps and {looks} looks",
        walk.visits.len()
    );
    assert_eq!(
        walk.visits.len(),
        steps + 3 * looks + 10,
        "{:?}",
        walk.visits
    );
    let visits: Vec<_> = walk
        .visits
        .iter()
        .map(|(state, weight)| format!("  {}", json!({"state": state, "weight": weight})))
        .collect();
    let walked = format!("[\n{}\n]\n", visits.join(",\n"));
    if env::var_os("CROSSFADE_WRITE_DOCS").is_some() {
        fs::write(&path, &walked).expect("it can be written");
    }
    let pictured = fs::read_to_string(&path).expect("it is there");
    assert!(pictured == walked, "run `make graph`:\n{walked}");
}
