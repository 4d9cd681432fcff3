//! The same releases through each front door: aliases, weighted records, weighted target groups.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Instant,
};

use crossfade_tests::{
    Alb, Behaviour, Dns, Ended, Execution, Target, Traffic, alb::Made, invariants, release::until,
};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, a_moment, alone, canary, test},
    died::lose_the_event,
};

/// A release in three steps, of which one takes long.
const STEPS: [u8; 3] = [10, 50, 100];

pub(crate) fn tests() -> Vec<Test> {
    use Kind::{Alias, Listener, Rule, Zone};
    vec![
        test("door_route53_prods_timeline", prods_timeline),
        test("door_route53_there_and_back_again", there_and_back),
        test("door_route53_promoted", |case| promoted(case, Zone)),
        test("door_route53_alarm_at_10_percent", |case| {
            alarm(case, Zone, 0)
        }),
        test("door_route53_alarm_at_50_percent", |case| {
            alarm(case, Zone, 1)
        }),
        test("door_route53_alarm_at_100_percent", |case| {
            alarm(case, Zone, 2)
        }),
        test("door_route53_stopped_by_hand", |case| stopped(case, Zone)),
        test("door_route53_rollback_within_retention", |case| {
            taken_back(case, Zone)
        }),
        test("door_route53_moved_by_someone_else", |case| {
            changed_outside(case, Zone)
        }),
        test("door_route53_two_at_once", |case| two_at_once(case, Zone)),
        test("door_route53_split_before", |case| split_before(case, Zone)),
        test("door_route53_answer_of_a_change_lost", answer_lost),
        test("door_route53_prior_request_not_complete", prior_request),
        test("door_route53_keeps_what_it_does_not_move", records_kept),
        test("door_route53_judges_what_is_behind", judges_what_is_behind),
        test("door_alb_promoted", |case| promoted(case, Rule)),
        test("door_alb_promoted_by_the_default_action", |case| {
            promoted(case, Listener)
        }),
        test("door_alb_alarm_at_10_percent", |case| alarm(case, Rule, 0)),
        test("door_alb_alarm_at_50_percent", |case| {
            alarm(case, Listener, 1)
        }),
        test("door_alb_alarm_at_100_percent", |case| alarm(case, Rule, 2)),
        test("door_alb_stopped_by_hand", |case| stopped(case, Rule)),
        test("door_alb_stopped_by_hand_at_the_default_action", |case| {
            stopped(case, Listener)
        }),
        test("door_alb_there_and_back_again", |case| {
            groups_there_and_back(case, Rule)
        }),
        test("door_alb_held_and_promoted", |case| {
            held_and_promoted(case, Rule)
        }),
        test("door_alb_held_and_promoted_at_the_default_action", |case| {
            held_and_promoted(case, Listener)
        }),
        test("door_route53_held_and_promoted", |case| {
            held_and_promoted(case, Zone)
        }),
        test("door_route53_makes_the_alias_of_a_colour", colour_made),
        test("door_alb_rollback_within_retention", |case| {
            taken_back(case, Rule)
        }),
        test("door_alb_moved_by_someone_else", |case| {
            changed_outside(case, Rule)
        }),
        test("door_alb_two_at_once", |case| two_at_once(case, Rule)),
        test("door_alb_split_before", |case| split_before(case, Rule)),
        test("door_alb_keeps_what_it_does_not_move", actions_kept),
        test("door_alb_of_machines_promoted", machines),
        test("door_alb_of_machines_that_fail", failing_machines),
        test(
            "door_alb_of_machines_that_are_not_healthy",
            unhealthy_machines,
        ),
        test("door_alias_alarm_at_10_percent", |case| {
            alarm(case, Alias, 0)
        }),
        test("door_alias_alarm_at_50_percent", |case| {
            alarm(case, Alias, 1)
        }),
        test("door_alias_alarm_at_100_percent", |case| {
            alarm(case, Alias, 2)
        }),
        test("door_alias_takes_tenths_of_a_percent", |case| {
            tenths(case, Alias, [0.001, 0.025, 0.999])
        }),
        test("door_route53_takes_the_nearest_to_a_tenth", |case| {
            tenths(case, Zone, [1.0 / 256.0, 1.0 / 40.0, 255.0 / 256.0])
        }),
        test("door_alb_takes_tenths_of_a_percent", |case| {
            tenths(case, Rule, [0.001, 0.025, 0.999])
        }),
        // Alone, because it counts all calls.
        alone("door_one_write_rolls_back_through_each", one_write),
        // Alone, because a schedule that another test runs would clear them away.
        alone("door_of_a_dead_holder_is_put_back_first", dead_holders),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Alias,
    /// Two records in a zone.
    Zone,
    /// Two groups of a rule.
    Rule,
    /// Two groups of a listener's default action.
    Listener,
}

/// What stands before a function whose version 1 serves and whose `$LATEST` is to be released.
#[derive(Clone)]
pub(crate) enum Door {
    Alias(Target),
    Zone(Target, Box<Dns>),
    Balancer(Target, Alb),
}

/// A name of at most 32 characters that no other test has.
fn short(case: &Case, more: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (&case.name, more).hash(&mut hasher);
    format!("it-{:016x}", hasher.finish())
}

impl Door {
    pub(crate) async fn make(case: &Case, kind: Kind, green: Behaviour) -> Self {
        let local = &case.suite().local;
        if kind == Kind::Alias {
            return Self::Alias(case.blue_and(green).await);
        }
        let target = case.function(Behaviour::healthy("blue")).await;
        assert_eq!(target.publish().await, "1");
        let door = if kind == Kind::Zone {
            let dns = Dns::create(local, &short(case, "")).await;
            for colour in ["blue", "green"] {
                let alias = format!("{ALIAS}-{colour}");
                target.alias(&alias, "1").await;
                dns.send_to(colour, &target, &alias).await;
            }
            case.behind(invariants::Door::Zone(Box::new(dns.clone())));
            Self::Zone(target.clone(), Box::new(dns))
        } else {
            let made = Made {
                by_default: kind == Kind::Listener,
                ..Made::default()
            };
            let alb = Alb::create(local, &short(case, ""), made).await;
            alb.send_to(&alb.blue, &target, "1").await;
            case.behind(invariants::Door::Balancer(alb.clone()));
            Self::Balancer(target.clone(), alb)
        };
        target.update(green).await;
        door
    }

    pub(crate) fn target(&self) -> &Target {
        match self {
            Self::Alias(target) | Self::Zone(target, _) | Self::Balancer(target, _) => target,
        }
    }

    /// A request to release through it.
    pub(crate) fn request(&self, case: &Case, more: Value) -> Value {
        let mut request = case.request(more);
        match self {
            Self::Alias(_) => {}
            Self::Zone(_, dns) => {
                request["traffic"] =
                    json!({"type": "route53", "hostedZoneId": dns.zone, "recordName": dns.name});
            }
            Self::Balancer(_, alb) => {
                let functions = request["functions"].as_array_mut().unwrap();
                functions[0].as_object_mut().unwrap().remove("alias");
                request["traffic"] = through(alb);
            }
        }
        request
    }

    /// The part of the traffic that is given to what was idle at first, 0.0 to 1.0.
    pub(crate) async fn share(&self) -> f64 {
        match self {
            Self::Alias(target) => {
                let alias = target.look(ALIAS).await.expect("the alias is there");
                match alias.settled() {
                    Some("2") => 1.0,
                    _ => alias.share("2"),
                }
            }
            Self::Zone(_, dns) => {
                let (blue, green) = dns.weights().await;
                #[expect(clippy::cast_precision_loss, reason = "weights are up to 255")]
                let share = green as f64 / (blue + green) as f64;
                share
            }
            Self::Balancer(_, alb) => alb.share().await,
        }
    }

    pub(crate) async fn share_is(&self, share: f64) {
        until(&format!("{share} of the traffic"), || async {
            ((self.share().await - share).abs() < 1e-6).then_some(())
        })
        .await;
    }

    /// Somebody outside Crossfade moves the traffic.
    async fn move_it(&self, blue: u8, green: u8) {
        match self {
            Self::Alias(_) => unreachable!("has its own tests"),
            Self::Zone(_, dns) => dns.move_weights(blue.into(), green.into()).await,
            Self::Balancer(_, alb) => alb.move_weights(blue.into(), green.into()).await,
        }
    }

    pub(crate) fn users(&self, case: &Case, per_second: f64) -> Traffic {
        match self {
            Self::Alias(target) => case.users(target, per_second),
            Self::Zone(_, dns) => dns.users(per_second),
            Self::Balancer(_, alb) => alb.users(per_second),
        }
    }

    /// A health check of each side, what serves at first and what is idle at first, with the side's field.
    pub(crate) fn of_each_side(&self, checks: [Value; 2]) -> Vec<Value> {
        let (field, sides) = match self {
            Self::Alias(_) => unreachable!("has no sides"),
            Self::Zone(..) => ("setIdentifier", ["blue", "green"]),
            Self::Balancer(_, alb) => ("targetGroupArn", [alb.blue.as_str(), alb.green.as_str()]),
        };
        let each = checks.into_iter().zip(sides);
        each.map(|(mut check, side)| {
            check[field] = json!(side);
            check
        })
        .collect()
    }

    /// The AWS calls that move the traffic.
    fn writes(&self) -> &'static [&'static str] {
        match self {
            Self::Alias(_) => &["UpdateAlias"],
            Self::Zone(..) => &["ChangeResourceRecordSets"],
            Self::Balancer(..) => &["ModifyRule", "ModifyListener"],
        }
    }
}

fn through(alb: &Alb) -> Value {
    let mut traffic = json!({"type": "alb", "targetGroupArns": [alb.blue, alb.green]});
    match &alb.rule {
        Some(rule) => traffic["ruleArn"] = json!(rule),
        None => traffic["listenerArn"] = json!(alb.listener),
    }
    traffic
}

/// Three steps, of which the one at `long` bakes for hours.
fn steps(long: Option<usize>) -> Value {
    let seconds = |index| if Some(index) == long { 80_000 } else { 30 };
    let steps: Vec<(u8, u32)> = STEPS
        .iter()
        .enumerate()
        .map(|(index, weight)| (*weight, seconds(index)))
        .collect();
    canary(&steps)
}

/// A release that bakes at its step `nth`.
async fn baking(case: &Case, door: &Door, nth: usize, mut analysis: Value) -> Execution {
    // A step without users by chance waits for some.
    analysis["maxBakeSeconds"] = json!(86_400);
    let request = door.request(
        case,
        json!({"strategy": steps(Some(nth)), "analysis": analysis}),
    );
    let execution = case.start(&request).await;
    door.share_is(f64::from(STEPS[nth]) / 100.0).await;
    execution
}

/// At each tenth the traffic is what the splitter has for it; an alarm leads back from the first, and a
/// release that nobody stops goes through all of them.
async fn tenths(case: Case, kind: Kind, expected: [f64; 3]) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let asked = [json!(0.1), json!(2.5), json!(99.9), json!(100)];
    let steps = |bakes: [u32; 4]| -> Vec<Value> {
        let each = asked.iter().zip(bakes);
        each.map(|(weight, bake)| json!({"weight": weight, "bakeSeconds": bake}))
            .collect()
    };
    let alarm = case.alarm().await;
    let mut request = door.request(
        &case,
        json!({
            "strategy": {"type": "canary", "steps": steps([80_000, 0, 0, 0])},
            "analysis": {"alarms": [alarm], "maxBakeSeconds": 86_400},
        }),
    );
    let execution = case.start(&request).await;
    door.share_is(expected[0]).await;
    execution.wait_for_state("Bake", 1).await;
    case.world.fire(&alarm).await;
    door.share_is(0.0).await;
    let ended = execution.wait().await;
    back_on_blue(&case, &door, &execution, &ended).await;
    assert_eq!(ended.cause["steps"][0]["weight"], asked[0], "{ended:?}");

    // Nobody is there to be judged by.
    request["strategy"]["steps"] = json!(steps([300, 300, 300, 0]));
    request["analysis"] = json!({"onInconclusive": "proceed", "maxBakeSeconds": 300});
    let execution = case.start(&request).await;
    for share in expected {
        door.share_is(share).await;
    }
    let ended = execution.wait().await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert!((door.share().await - 1.0).abs() < 1e-9);
    let steps = ended.output["steps"].as_array().expect("it has steps");
    let weights: Vec<_> = steps.iter().map(|step| step["weight"].clone()).collect();
    assert_eq!(weights, asked);
    let warned = ended.output["warnings"].to_string();
    assert_eq!(
        warned.contains("a step of 0.1 % is 0.4 % in fact"),
        kind == Kind::Zone,
        "{warned}"
    );
}

async fn back_on_blue(case: &Case, door: &Door, execution: &Execution, ended: &Ended) {
    assert_eq!(ended.status, "FAILED", "{ended:?}");
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    assert!(door.share().await.abs() < 1e-9);
    case.ledger_says(execution, "ROLLED_BACK").await;
    case.told(execution, "ROLLED_BACK").await;
    assert_eq!(
        case.world.locks_of(&execution.arn).await,
        Vec::<String>::new()
    );
}

async fn promoted(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let users = door.users(&case, 40.0);
    let request = door.request(&case, json!({"strategy": steps(None)}));
    let (execution, ended) = case.release(&request).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(
        ended.output["deploymentStatus"], "SUCCESSFUL",
        "{}",
        ended.output
    );
    assert!((door.share().await - 1.0).abs() < 1e-9);
    case.ledger_says(&execution, "PROMOTED").await;
    if let Door::Balancer(..) = door {
        let judge = &ended.output["evidence"]["judge"];
        assert_eq!(judge["functions"], 2, "the groups are judged too: {judge}");
    }
    // Those whose resolvers still remember blue are served by it, as well.
    until("users are served by green", || async {
        let served = users.so_far().of("2").requests;
        (served > 20).then_some(())
    })
    .await;
    let counts = users.stop().await;
    assert_eq!(counts.total().errors, 0, "{:?}", counts.by_version);
    assert!(counts.of("1").requests > 0, "{:?}", counts.by_version);
}

async fn alarm(case: Case, kind: Kind, nth: usize) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let users = door.users(&case, 20.0);
    let alarm = case.alarm().await;
    let execution = baking(&case, &door, nth, json!({"alarms": [alarm]})).await;
    case.world.fire(&alarm).await;
    door.share_is(0.0).await;
    let ended = execution.wait().await;
    drop(users);
    back_on_blue(&case, &door, &execution, &ended).await;
    assert_eq!(ended.cause["evidence"]["decidedBy"], "alarm", "{ended:?}");
}

async fn stopped(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let users = door.users(&case, 20.0);
    let execution = baking(&case, &door, 1, json!({})).await;
    execution.stop().await;
    let began = Instant::now();
    door.share_is(0.0).await;
    assert!(
        began.elapsed().as_secs() < 5,
        "whole after {:?}",
        began.elapsed()
    );
    drop(users);
    assert_eq!(execution.wait().await.status, "ABORTED");
    case.ledger_says(&execution, "ROLLED_BACK").await;
    case.told(&execution, "ROLLED_BACK").await;
}

/// A person promotes what is held at 10 %: the rest of the way is one write.
async fn held_and_promoted(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let users = door.users(&case, 20.0);
    let mut steps = canary(&[(10, 30), (100, 30)]);
    steps["approveBefore"] = json!(100);
    let request = door.request(
        &case,
        json!({"strategy": steps, "approvalTimeoutSeconds": 60, "onApprovalTimeout": "hold"}),
    );
    let execution = case.start(&request).await;
    execution.wait_for_state("Hold", 1).await;
    door.share_is(0.1).await;
    let told = until("people are called to the hold", || async {
        let told = case.world.notifications(&execution.arn).await;
        let mut tokens = told.iter().filter_map(|one| one.token().map(str::to_owned));
        tokens.nth(1)
    })
    .await;
    execution.answer(&told, "promote").await;
    let ended = execution.wait().await;
    drop(users);
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert!((door.share().await - 1.0).abs() < 1e-9);
    case.ledger_says(&execution, "PROMOTED").await;
}

/// Executions that died with their traffic split, and nobody was told of it: the next release puts it
/// back before it begins.
async fn dead_holders(case: Case) {
    for kind in [Kind::Zone, Kind::Rule, Kind::Listener] {
        let case = case.part(&format!("{kind:?}"));
        let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
        let users = door.users(&case, 20.0);
        let dead = baking(&case, &door, 0, json!({})).await;
        lose_the_event(&case, &dead).await;
        dead.stop().await;
        a_moment().await;
        door.share_is(0.1).await;
        let request = door.request(&case, json!({"strategy": steps(None)}));
        let (_, ended) = case.release(&request).await;
        drop(users);
        assert_eq!(ended.status, "SUCCEEDED", "{kind:?}: {ended:?}");
        let warnings = ended.output["warnings"].to_string();
        assert!(warnings.contains(&dead.arn), "{kind:?}: {warnings}");
        assert!((door.share().await - 1.0).abs() < 1e-9);
        assert_eq!(case.world.deployment_status(&dead.arn).await, "ROLLED_BACK");
    }
}

async fn taken_back(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let users = door.users(&case, 40.0);
    let request = door.request(&case, json!({"strategy": steps(None)}));
    let (execution, ended) = case.release(&request).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    let (_, back) = case.release(&case.rollback()).await;
    drop(users);
    assert_eq!(back.status, "SUCCEEDED", "{back:?}");
    assert_eq!(
        back.output["deploymentStatus"], "ROLLED_BACK",
        "{}",
        back.output
    );
    assert!(door.share().await.abs() < 1e-9);
    case.ledger_says(&execution, "ROLLED_BACK").await;
}

async fn changed_outside(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let users = door.users(&case, 20.0);
    let request = door.request(
        &case,
        json!({"strategy": canary(&[(10, 300), (50, 300), (100, 300)])}),
    );
    let execution = case.start(&request).await;
    door.share_is(0.1).await;
    door.move_it(63, 37).await;
    let ended = execution.wait().await;
    drop(users);
    assert_eq!(ended.error, "ChangedOutside", "{ended:?}");
    assert!(
        (door.share().await - 0.37).abs() < 1e-9,
        "somebody else's value stands"
    );
    let told = case.told(&execution, "HELD").await;
    assert!(told.message.contains("37"), "{}", told.message);
}

async fn two_at_once(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let users = door.users(&case, 20.0);
    let execution = baking(&case, &door, 0, json!({})).await;
    // Another application and another function, through the same door.
    let other = case
        .function_called(&short(&case, "other"), Behaviour::healthy("other"))
        .await;
    let mut request = door.request(&case, json!({"strategy": steps(None)}));
    request["application"] = json!(format!("app-other-{}", case.name));
    request["functions"][0]["functionName"] = json!(other.name);
    let (_, refused) = case.release(&request).await;
    assert_eq!(refused.error, "DeploymentInProgress", "{refused:?}");
    door.share_is(0.1).await;
    execution.stop().await;
    door.share_is(0.0).await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
    drop(users);
}

async fn split_before(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    door.move_it(70, 30).await;
    let request = door.request(&case, json!({"strategy": steps(None)}));
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.error, "ChangedOutside", "{ended:?}");
    assert_eq!(
        door.target().versions().await,
        ["1"],
        "nothing was published"
    );
    door.move_it(0, 0).await;
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
}

async fn one_write(case: Case) {
    for kind in [Kind::Alias, Kind::Zone, Kind::Rule] {
        let case = case.part(&format!("{kind:?}"));
        let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
        let alarm = case.alarm().await;
        let execution = baking(&case, &door, 0, json!({"alarms": [alarm]})).await;
        execution.wait_for_state("Bake", 1).await;
        let since = case.world.now().await;
        case.world.fire(&alarm).await;
        let ended = execution.wait().await;
        back_on_blue(&case, &door, &execution, &ended).await;
        let calls = case.world.our_calls(since).await;
        let writes: Vec<_> = calls
            .iter()
            .filter(|call| door.writes().contains(&call.action.as_str()))
            .collect();
        let checker = case.world.stack.function("check-alarms");
        let by_checker = writes
            .iter()
            .filter(|call| call.caller.as_ref() == Some(&checker));
        assert_eq!(by_checker.count(), 1, "{kind:?}: {writes:?}");
        // An alias is written to once more before the release is closed: nothing late applies.
        let all = if kind == Kind::Alias { 2 } else { 1 };
        assert_eq!(writes.len(), all, "{kind:?}: {writes:?}");
    }
}

// --- Route 53 alone -----------------------------------------------------------------------------

fn zone(door: &Door) -> &Dns {
    match door {
        Door::Zone(_, dns) => dns,
        Door::Alias(_) | Door::Balancer(..) => unreachable!("made in a zone"),
    }
}

/// The design's timeline: 10 % for 5 minutes, 50 % for 10, a person, 100 %, and a day of retention in
/// which it can be taken back.
async fn prods_timeline(case: Case) {
    let door = Door::make(&case, Kind::Zone, Behaviour::healthy("green")).await;
    let users = door.users(&case, 40.0);
    let request = door.request(&case, json!({"strategy": "prod"}));
    let execution = case.start(&request).await;
    let asked = case.told(&execution, "HELD").await;
    door.share_is(0.5).await;
    execution
        .answer(asked.token().expect("it says how to answer"), "approve")
        .await;
    let ended = execution.wait().await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    door.share_is(1.0).await;
    let steps: Vec<_> = ended.output["steps"].as_array().unwrap().clone();
    let weights: Vec<_> = steps.iter().map(|step| step["weight"].clone()).collect();
    assert_eq!(weights, [json!(10), json!(50), json!(100)]);
    for step in &steps {
        let (started, in_force) = (step["startedAt"].as_str(), step["inForceAt"].as_str());
        assert!(in_force > started, "DNS took its time: {step}");
    }
    let states = execution.states_entered().await;
    assert!(
        states.iter().filter(|state| *state == "AwaitDns").count() >= 3,
        "{states:?}"
    );
    until("all users are served by green", || async {
        let before = users.so_far();
        a_moment().await;
        let now = users.so_far();
        (now.of("1").requests == before.of("1").requests
            && now.of("2").requests > before.of("2").requests)
            .then_some(())
    })
    .await;
    let counts = users.stop().await;
    assert_eq!(counts.total().errors, 0, "{:?}", counts.by_version);
}

/// Two releases, the second of which finds the roles swapped.
async fn released_twice(case: &Case, door: &Door) {
    let request = door.request(case, json!({"strategy": steps(None)}));
    for (share, version, next) in [(1.0, "2", "third"), (0.0, "3", "fourth")] {
        let (_, ended) = case.release(&request).await;
        assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
        assert_eq!(ended.output["functions"][0]["greenVersion"], version);
        door.share_is(share).await;
        door.target().update(Behaviour::healthy(next)).await;
    }
}

/// Blue to green, then green to blue: the roles swap.
async fn there_and_back(case: Case) {
    let door = Door::make(&case, Kind::Zone, Behaviour::healthy("second")).await;
    let users = door.users(&case, 40.0);
    released_twice(&case, &door).await;
    let target = door.target();
    let (blue, green) = (
        target.look("live-blue").await.unwrap(),
        target.look("live-green").await.unwrap(),
    );
    assert_eq!(
        (blue.settled(), green.settled()),
        (Some("3"), Some("2")),
        "each colour's alias has its release"
    );
    let counts = users.stop().await;
    assert_eq!(counts.total().errors, 0, "{:?}", counts.by_version);
}

/// The same through two groups: what the idle one had before is taken out of it.
async fn groups_there_and_back(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("second")).await;
    let Door::Balancer(_, alb) = &door else {
        unreachable!("made so")
    };
    let users = door.users(&case, 40.0);
    released_twice(&case, &door).await;
    until("users are served by the third", || async {
        (users.so_far().of("3").requests > 20).then_some(())
    })
    .await;
    let counts = users.stop().await;
    assert_eq!(counts.total().errors, 0, "{:?}", counts.by_version);
    let calls = case.world.our_calls(case.since).await;
    let taken_out = calls
        .iter()
        .filter(|call| call.action == "DeregisterTargets")
        .filter(|call| call.resource.as_deref() == Some(&alb.blue));
    assert_eq!(taken_out.count(), 1, "version 1 is in no group any more");
}

/// A colour that nobody has released to yet has no alias: it is made.
async fn colour_made(case: Case) {
    let door = Door::make(&case, Kind::Zone, Behaviour::healthy("green")).await;
    let target = door.target();
    let gone = target.lambda().delete_alias().function_name(&target.name);
    let gone = gone.name("live-green").send().await;
    gone.expect("the alias can be deleted");
    let more = json!({
        "strategy": canary(&[(10, 30), (100, 0)]),
        "analysis": {"onInconclusive": "proceed", "maxBakeSeconds": 30},
    });
    let (_, ended) = case.release(&door.request(&case, more)).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    let made = target.look("live-green").await.expect("it was made");
    assert_eq!(made.settled(), Some("2"));
}

/// Both load balancers' own requests are counted beside the function's, and the verdict says that DNS
/// routes clients.
async fn judges_what_is_behind(case: Case) {
    let door = Door::make(&case, Kind::Zone, Behaviour::healthy("green")).await;
    let users = door.users(&case, 40.0);
    let dns = zone(&door);
    let mut request = door.request(&case, json!({"strategy": steps(None)}));
    request["traffic"]["behind"] = json!([
        {"setIdentifier": "blue", "loadBalancer": dns.blue.dimension},
        {"setIdentifier": "green", "loadBalancer": dns.green.dimension},
    ]);
    let (_, ended) = case.release(&request).await;
    drop(users);
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    let evidence = &ended.output["evidence"];
    assert_eq!(evidence["judge"]["functions"], 2, "{evidence}");
    assert!(
        evidence["restsOn"]
            .as_str()
            .is_some_and(|text| text.contains("clients")),
        "{evidence}"
    );
}

async fn faulted(case: &Case, door: &Door, fault: crossfade_tests::world::Fault) -> Ended {
    let users = door.users(case, 40.0);
    let fault = case.world.fault(fault).await;
    let request = door.request(case, json!({"strategy": steps(None)}));
    let (_, ended) = case.release(&request).await;
    drop(users);
    assert!(case.world.struck(fault).await > 0, "the fault was met");
    ended
}

async fn answer_lost(case: Case) {
    let door = Door::make(&case, Kind::Zone, Behaviour::healthy("green")).await;
    let fault = crossfade_tests::world::Fault::new("drop-after")
        .on("route53", "ChangeResourceRecordSets")
        .about(&zone(&door).zone);
    let ended = faulted(&case, &door, fault).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    door.share_is(1.0).await;
}

async fn prior_request(case: Case) {
    let door = Door::make(&case, Kind::Zone, Behaviour::healthy("green")).await;
    let fault = crossfade_tests::world::Fault::new("prior-request")
        .on("route53", "ChangeResourceRecordSets")
        .about(&zone(&door).zone)
        .times(2);
    let ended = faulted(&case, &door, fault).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    door.share_is(1.0).await;
}

async fn records_kept(case: Case) {
    let door = Door::make(&case, Kind::Zone, Behaviour::healthy("green")).await;
    let dns = zone(&door);
    let check = dns.health_check(&short(&case, "check")).await;
    let mut records = dns.records().await;
    for record in &mut records {
        record.health_check_id = Some(check.clone());
    }
    dns.upsert(records).await;
    let without_weight = |mut records: Vec<aws_sdk_route53::types::ResourceRecordSet>| {
        for record in &mut records {
            record.weight = None;
        }
        records
    };
    let before = without_weight(dns.records().await);
    let users = door.users(&case, 40.0);
    let request = door.request(&case, json!({"strategy": steps(None)}));
    let (_, ended) = case.release(&request).await;
    drop(users);
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(without_weight(dns.records().await), before);
}

// --- load balancers alone -----------------------------------------------------------------------

async fn actions_kept(case: Case) {
    let local = &case.suite().local;
    let target = case.function(Behaviour::healthy("blue")).await;
    assert_eq!(target.publish().await, "1");
    let made = Made {
        signed_in: true,
        sticky_seconds: Some(60),
        ..Made::default()
    };
    let alb = Alb::create(local, &short(&case, ""), made).await;
    alb.send_to(&alb.blue, &target, "1").await;
    target.update(Behaviour::healthy("green")).await;
    case.behind(invariants::Door::Balancer(alb.clone()));
    let before = alb.actions().await;
    let door = Door::Balancer(target, alb.clone());
    let users = door.users(&case, 40.0);
    let alarm = case.alarm().await;
    let execution = baking(&case, &door, 1, json!({"alarms": [alarm]})).await;
    let during = alb.actions().await;
    let kinds = |actions: &[aws_sdk_elasticloadbalancingv2::types::Action]| {
        let kinds = actions
            .iter()
            .map(|action| (action.r#type.clone(), action.order));
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(&during),
        kinds(&before),
        "order and all other actions"
    );
    let sticky = |actions: &[aws_sdk_elasticloadbalancingv2::types::Action]| {
        let forward = actions
            .iter()
            .find_map(|action| action.forward_config.clone());
        forward.and_then(|forward| forward.target_group_stickiness_config)
    };
    assert_eq!(sticky(&during), sticky(&before));
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    drop(users);
    back_on_blue(&case, &door, &execution, &ended).await;
    assert_eq!(
        alb.actions().await,
        before,
        "all is as it was before the release"
    );
    let warned = ended.cause["warnings"].as_array().is_some_and(|warnings| {
        warnings
            .iter()
            .any(|warning| warning.as_str().is_some_and(|text| text.contains("60 s")))
    });
    assert!(warned, "stickiness delays a rollback: {}", ended.cause);
}

async fn of_machines(case: &Case) -> (Alb, Value) {
    let made = Made {
        machines: true,
        ..Made::default()
    };
    let alb = Alb::create(&case.suite().local, &short(case, ""), made).await;
    case.behind(invariants::Door::Balancer(alb.clone()));
    for group in [&alb.blue, &alb.green] {
        alb.health(group, "healthy").await;
        alb.behave(group, 0.0, 5.0).await;
    }
    let mut request = case.request(json!({"strategy": steps(None)}));
    request.as_object_mut().unwrap().remove("functions");
    request["traffic"] = through(&alb);
    (alb, request)
}

async fn machines(case: Case) {
    let (alb, request) = of_machines(&case).await;
    let users = alb.users(40.0);
    let (_, ended) = case.release(&request).await;
    drop(users);
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert!((alb.share().await - 1.0).abs() < 1e-9);
}

async fn failing_machines(case: Case) {
    let (alb, mut request) = of_machines(&case).await;
    alb.behave(&alb.green, 60.0, 5.0).await;
    request["strategy"] = canary(&[(50, 4000), (100, 30)]);
    request["analysis"]["maxErrorRatePercent"] = json!(20);
    let users = alb.users(40.0);
    let (_, ended) = case.release(&request).await;
    drop(users);
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    assert!(alb.share().await.abs() < 1e-9);
    let decided_by = ended.cause["evidence"]["judge"]["function"].as_str();
    assert!(
        decided_by.is_some_and(|name| name.starts_with("rule/")),
        "{}",
        ended.cause
    );
}

async fn unhealthy_machines(case: Case) {
    let (alb, request) = of_machines(&case).await;
    let group = &alb.green;
    for before in alb.targets(group).await {
        let call = alb.elb().deregister_targets().target_group_arn(group);
        let target = aws_sdk_elasticloadbalancingv2::types::TargetDescription::builder()
            .id(before)
            .build();
        call.targets(target).send().await.expect("it can be");
    }
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert!(alb.share().await.abs() < 1e-9);
}
