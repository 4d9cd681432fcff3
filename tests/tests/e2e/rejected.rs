//! Releases that are rejected, or stopped before their first shift, behind a load balancer and Route 53:
//! nobody is served by what did not pass, the idle side holds what it held, and a way back of the release
//! before them reaches blue.

use std::hash::{DefaultHasher, Hash, Hasher};

use crossfade_tests::{
    Behaviour, Ended, Execution, Traffic, http,
    release::until,
    traffic::{Counts, Met},
    world::Fault,
};
use serde_json::{Value, json};

use crate::{
    case::{Case, Test, a_moment, canary, test},
    splitters::{Door, Kind, PROBES_PER_SECOND},
};

pub(crate) fn tests() -> Vec<Test> {
    use Kind::{Listener, Rule, Zone};
    vec![
        test("rejected_then_by_hand_goes_back_to_blue_rule", |case| {
            way_back(case, Rule, Back::ByHand)
        }),
        test("rejected_then_by_hand_goes_back_to_blue_route53", |case| {
            way_back(case, Zone, Back::ByHand)
        }),
        test("rejected_release_meets_no_sticky_client_rule", |case| {
            sticky_client(case, Rule)
        }),
        test("rejected_release_meets_no_sticky_client_listener", |case| {
            sticky_client(case, Listener)
        }),
        test(
            "rejected_release_meets_no_sticky_client_that_is_accepted",
            accepted,
        ),
        test("rejected_release_meets_no_stale_resolver", stale_resolver),
        test(
            "rejected_release_is_met_through_no_second_rule",
            second_rule,
        ),
        test("rules_named_together_move_together", rules_together),
        test(
            "rejected_release_is_met_through_no_url_of_a_colour",
            url_of_a_colour,
        ),
        test("stopped_before_the_first_shift_rule", |case| {
            stopped_early(case, Rule)
        }),
        test("stopped_before_the_first_shift_route53", |case| {
            stopped_early(case, Zone)
        }),
    ]
}

/// How many requests users send, and each client that a test is about.
const USERS_PER_SECOND: f64 = 8.0;

/// How a release is taken back within its retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Alarm,
    ByHand,
}

/// Fails every invocation, its smoke test too.
fn failing() -> Behaviour {
    Behaviour::failing("failing", 100.0)
}

/// A request whose functions have a smoke test.
fn tested(mut request: Value) -> Value {
    let functions = request["functions"].as_array_mut();
    for function in functions.into_iter().flatten() {
        function["smokeTests"] = json!([{"name": "health", "payload": {"path": "/health"}}]);
    }
    request
}

/// Releases version 2, with a day's retention in which the alarm takes it back.
async fn promoted(case: &Case, door: &Door, alarm: &str) -> Execution {
    let more = json!({"analysis": {"alarms": [alarm]}, "retention": {"blueHours": 24}});
    promoted_by(case, &tested(door.request(case, more))).await
}

async fn promoted_by(case: &Case, request: &Value) -> Execution {
    let (execution, ended) = case.release(request).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(ended.output["deploymentStatus"], "SUCCESSFUL");
    assert_eq!(ended.output["functions"][0]["greenVersion"], "2");
    execution
}

/// Releases what does not pass its smoke test.
async fn rejected_by(case: &Case, door: &Door, request: &Value) -> Ended {
    door.target().update(failing()).await;
    let (_, ended) = case.release(request).await;
    was_rejected(&ended);
    ended
}

fn was_rejected(ended: &Ended) {
    assert_eq!(ended.status, "FAILED", "{ended:?}");
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED", "{ended:?}");
}

/// Every request was answered, and by nobody but these versions.
fn only(who: &str, met: &Counts, versions: &[&str]) {
    let served: Vec<_> = met.by_version.keys().map(String::as_str).collect();
    assert!(
        served.iter().all(|version| versions.contains(version)),
        "{who} met {:?}; expected {versions:?}",
        met.by_version
    );
    assert!(met.total().requests > 0, "{who} sent nothing");
    assert_eq!(met.total().errors, 0, "{who} met {:?}", met.by_version);
}

/// Takes a promoted release back, and waits until users are served by version 1 alone.
async fn taken_back(
    case: &Case,
    door: &Door,
    back: Back,
    (execution, alarm): (&Execution, &str),
    users: Traffic,
) {
    match back {
        Back::Alarm => case.world.fire(alarm).await,
        Back::ByHand => {
            let (_, ended) = case.release(&case.rollback()).await;
            assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
        }
    }
    door.share_is(0.0).await;
    case.ledger_says(execution, "ROLLED_BACK").await;
    let told = case.told(execution, "ROLLED_BACK").await;
    let serves = "version 1 serves now";
    assert!(told.message.contains(serves), "{}", told.message);
    until("users are served by blue", || async {
        let before = users.so_far();
        a_moment().await;
        let now = users.so_far();
        let served = |version| now.of(version).requests - before.of(version).requests;
        assert_eq!(
            served("3"),
            0,
            "users are served by what was rejected: {:?}",
            now.by_version
        );
        (served("1") > 0 && served("2") == 0).then_some(())
    })
    .await;
    only("users", &users.stop().await, &["1", "2"]);
}

/// Version 2 is promoted, version 3 is rejected, and then version 2 is taken back: to version 1.
async fn way_back(case: Case, kind: Kind, back: Back) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let alarm = case.alarm().await;
    let users = door.users(&case, USERS_PER_SECOND);
    let execution = promoted(&case, &door, &alarm).await;
    let next = tested(door.request(&case, json!({})));
    rejected_by(&case, &door, &next).await;
    door.share_is(1.0).await;
    taken_back(&case, &door, back, (&execution, &alarm), users).await;
}

/// A client keeps to the group that served it before, for a day.
async fn sticky_client(case: Case, kind: Kind) {
    sticky_through(&case, kind, &json!([])).await;
}

/// The same where the request accepts that clients may keep to the idle group.
async fn accepted(case: Case) {
    sticky_through(&case, Kind::Rule, &json!(["stickiness"])).await;
}

async fn sticky_through(case: &Case, kind: Kind, accepted: &Value) {
    const A_DAY: i32 = 86_400;
    let door = Door::make_sticky(case, kind, Behaviour::healthy("green"), A_DAY).await;
    let Door::Balancer(target, alb) = &door else {
        unreachable!("made so")
    };
    let accepting = |mut request: Value| {
        if accepted.as_array().is_some_and(|names| !names.is_empty()) {
            request["traffic"]["acceptReachable"] = accepted.clone();
        }
        tested(request)
    };
    let users = door.users(case, USERS_PER_SECOND);
    let sticky = alb.sticky_client(&alb.blue, USERS_PER_SECOND).await;
    let sticky = case.witnessed(sticky, "a client of a day ago", target);
    promoted_by(case, &accepting(door.request(case, json!({})))).await;
    let next = accepting(door.request(case, json!({})));
    rejected_by(case, &door, &next).await;
    a_moment().await;
    only("the sticky client", &sticky.stop().await, &["1"]);
    only("users", &users.stop().await, &["1", "2"]);
}

/// A client's resolver knows where the name pointed before, and asks nobody again.
async fn stale_resolver(case: Case) {
    let door = Door::make(&case, Kind::Zone, Behaviour::healthy("green")).await;
    let Door::Zone(target, dns) = &door else {
        unreachable!("made so")
    };
    let users = door.users(&case, USERS_PER_SECOND);
    let stale = case.witnessed(
        dns.stale_client("blue", USERS_PER_SECOND),
        "a stale resolver",
        target,
    );
    promoted_by(&case, &tested(door.request(&case, json!({})))).await;
    let next = tested(door.request(&case, json!({})));
    rejected_by(&case, &door, &next).await;
    a_moment().await;
    only("the stale resolver", &stale.stop().await, &["1"]);
    only("users", &users.stop().await, &["1", "2"]);
    // Each colour's alias is as it was.
    for (alias, version) in [("live-blue", "1"), ("live-green", "2")] {
        let seen = target.look(alias).await.expect("it is there");
        assert_eq!(seen.settled(), Some(version), "{alias}: {seen:?}");
    }
}

/// Another rule forwards to the same groups, and the release does not name it.
async fn second_rule(case: Case) {
    let door = Door::make(&case, Kind::Rule, Behaviour::healthy("green")).await;
    let Door::Balancer(target, alb) = &door else {
        unreachable!("made so")
    };
    alb.second_rule("/admin").await;
    let users = door.users(&case, USERS_PER_SECOND);
    let admins = case.witnessed(
        alb.users_at("/admin", USERS_PER_SECOND),
        "users of /admin",
        target,
    );
    // Green's group has no weight in the other rule.
    promoted_by(&case, &tested(door.request(&case, json!({})))).await;
    // Now the idle group is the one that serves /admin.
    let next = tested(door.request(&case, json!({})));
    rejected_by(&case, &door, &next).await;
    a_moment().await;
    only("users of /admin", &admins.stop().await, &["1"]);
    only("users", &users.stop().await, &["1", "2"]);
    assert_eq!(alb.targets(&alb.blue).await, [target.arn("1")]);
}

/// Both rules of a service are named: they move together, and go back together.
async fn rules_together(case: Case) {
    let door = Door::make(&case, Kind::Rule, Behaviour::healthy("green")).await;
    let Door::Balancer(target, alb) = &door else {
        unreachable!("made so")
    };
    let admin = alb.second_rule("/admin").await;
    let both = |more: Value| {
        let mut request = tested(door.request(&case, more));
        let traffic = request["traffic"].as_object_mut().expect("it is there");
        let rule = traffic.remove("ruleArn");
        traffic.insert("ruleArns".into(), json!([rule, admin]));
        request
    };
    let alarm = case.alarm().await;
    let users = door.users(&case, USERS_PER_SECOND);
    let admins = case.witnessed(
        alb.users_at("/admin", USERS_PER_SECOND),
        "users of /admin",
        target,
    );
    let steps = json!({
        "strategy": canary(&[(50, 60), (100, 30)]),
        "analysis": {"alarms": [alarm]},
        "retention": {"blueHours": 24},
    });
    let execution = promoted_by(&case, &both(steps)).await;
    assert_eq!(alb.weights_of(&admin).await, alb.weights().await);
    door.share_is(1.0).await;
    rejected_by(&case, &door, &both(json!({}))).await;
    assert_eq!(alb.weights_of(&admin).await, alb.weights().await);
    taken_back(&case, &door, Back::Alarm, (&execution, &alarm), users).await;
    until("both rules are on blue", || async {
        (alb.weights_of(&admin).await == alb.weights().await).then_some(())
    })
    .await;
    only("users of /admin", &admins.stop().await, &["1", "2"]);
}

/// Anybody may call the idle colour's alias by its URL.
async fn url_of_a_colour(case: Case) {
    let door = Door::make(&case, Kind::Zone, Behaviour::healthy("green")).await;
    let host = door.target().open("live-green").await;
    let address = case.suite().local.endpoint().replace("http://", "");
    let callers = Traffic::through(PROBES_PER_SECOND, move || {
        let (address, host) = (address.clone(), host.clone());
        async move {
            let headers = [("host", host.as_str())];
            let answer = http::send(&address, "GET", "/", &headers, b"").await.ok();
            let answer = answer.filter(|answer| answer.status == 200);
            // The version tells its label, and nothing else does.
            let label = answer.and_then(|answer| {
                let told: Value = serde_json::from_slice(&answer.body).ok()?;
                told["version"].as_str().map(str::to_owned)
            });
            Met {
                failed: label.is_none(),
                version: label,
            }
        }
    });
    let refused = tested(door.request(&case, json!({})));
    rejected_by(&case, &door, &refused).await;
    let mut accepting = refused;
    accepting["traffic"]["acceptReachable"] = json!([
        "functionUrl",
        "permission:url-anybody",
        "permission:url-invoke"
    ]);
    let (_, ended) = case.release(&accepting).await;
    was_rejected(&ended);
    a_moment().await;
    only("callers of the URL", &callers.stop().await, &["blue"]);
}

/// A name that no other part of any test has, as the token of an execution.
fn token(case: &Case, moment: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (&case.name, moment).hash(&mut hasher);
    format!("early-{:016x}", hasher.finish())
}

/// The execution of a release is stopped as it enters each state up to the first shift, and right after what
/// makes green reachable: the idle side is as it was, and the release before goes back to blue.
async fn stopped_early(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let alarm = case.alarm().await;
    let users = door.users(&case, USERS_PER_SECOND);
    let execution = promoted(&case, &door, &alarm).await;
    door.target().update(failing()).await;
    for state in ["DeployGreen", "AwaitIdle", "ValidateGreen"] {
        let entered = Fault::new("stop").on("states", "EnterState").about(state);
        stopped_at(&case, &door, state, entered).await;
    }
    door.target().update(Behaviour::healthy("third")).await;
    // The second `Decide` follows what validated green.
    for (state, earlier) in [("ValidateGreen", 0), ("Decide", 1), ("ShiftTraffic", 0)] {
        let entered = Fault::new("stop").on("states", "EnterState").about(state);
        let entered = entered.after(earlier);
        stopped_at(&case, &door, &format!("{state} of a healthy one"), entered).await;
    }
    let (service, action) = match kind {
        Kind::Zone => ("lambda", "UpdateAlias"),
        _ => ("elbv2", "RegisterTargets"),
    };
    for moment in ["stop-before", "stop-after"] {
        let write = Fault::new(moment).on(service, action);
        stopped_at(&case, &door, &format!("{moment} {action}"), write).await;
    }
    taken_back(&case, &door, Back::Alarm, (&execution, &alarm), users).await;
}

async fn stopped_at(case: &Case, door: &Door, moment: &str, fault: Fault) {
    let has_idle_state = moment != "AwaitIdle" || definition_has(case, moment).await;
    if !has_idle_state {
        return;
    }
    let token = token(case, moment);
    case.world.of_release(&token).await;
    let fault = case.world.fault(fault.of_release(&token)).await;
    let request = tested(door.request(case, json!({})));
    let execution = case.world.start_as(&token, &request).await;
    case.watch(&execution);
    let ended = execution.wait().await;
    assert_eq!(ended.status, "ABORTED", "{moment}: {ended:?}");
    case.world.mend(fault).await;
    until(
        &format!("the end of what was stopped at {moment}"),
        || async {
            let locks = case.world.locks_of(&execution.arn).await;
            let running = case.world.running().await;
            (locks.is_empty() && !running.contains(&execution.arn)).then_some(())
        },
    )
    .await;
    door.share_is(1.0).await;
}

async fn definition_has(case: &Case, state: &str) -> bool {
    let machine = &case.world.stack.state_machine;
    let described = case.world.sfn.describe_state_machine();
    let described = described.state_machine_arn(machine).send().await;
    let definition = described.expect("it is deployed").definition;
    let definition: Value = serde_json::from_str(&definition).expect("it is JSON");
    definition["States"][state].is_object()
}
