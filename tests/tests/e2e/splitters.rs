//! The same releases through each traffic splitter: aliases, weighted records, weighted target groups.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Instant,
};

use crossfade_tests::{
    Alb, Behaviour, Dns, Ended, Execution, Target, Traffic,
    alb::{Made, SignIn},
    invariants,
    release::until,
};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, a_moment, alone, apart, canary, test},
    died::lose_the_event,
};

/// A release in three steps, of which one takes long.
const STEPS: [u8; 3] = [10, 50, 100];

/// How long clients keep to their group, where nothing else is said: shorter than a release waits for.
const STICKY_SECONDS: i32 = 60;

/// How many requests each client sends that keeps to one side.
pub(crate) const PROBES_PER_SECOND: f64 = 2.0;

#[allow(clippy::too_many_lines)] // A list.
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
        test("door_alb_learns_of_a_permission_late", permission_late),
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
        test("door_alb_back_to_a_version", |case| {
            back_to_a_version(case, Rule)
        }),
        test("door_alb_back_to_a_version_at_the_default_action", |case| {
            back_to_a_version(case, Listener)
        }),
        test("door_route53_back_to_a_version", |case| {
            back_to_a_version(case, Zone)
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
        test(
            "door_route53_rejected_release_then_an_alarm_of_the_last",
            |case| rejected_then_alarm(case, Zone),
        ),
        test(
            "door_alb_rejected_release_then_an_alarm_of_the_last",
            |case| rejected_then_alarm(case, Rule),
        ),
        test(
            "door_alb_rejected_then_an_alarm_at_the_default_action",
            |case| rejected_then_alarm(case, Listener),
        ),
        test("door_route53_stopped_before_the_first_shift", |case| {
            stopped_before_the_first_shift(case, Zone)
        }),
        test("door_alb_stopped_before_the_first_shift", |case| {
            stopped_before_the_first_shift(case, Rule)
        }),
        test("door_route53_alarm_finds_another_version_on_blue", |case| {
            blue_changed(case, Zone)
        }),
        test("door_alb_alarm_finds_another_version_on_blue", |case| {
            blue_changed(case, Rule)
        }),
        test(
            "door_route53_alarm_within_retention_finds_no_blue",
            |case| blue_is_gone(case, Zone, false),
        ),
        test("door_alb_alarm_within_retention_finds_no_blue", |case| {
            blue_is_gone(case, Rule, false)
        }),
        test("door_route53_rollback_by_hand_finds_no_blue", |case| {
            blue_is_gone(case, Zone, true)
        }),
        test("door_alb_rollback_by_hand_finds_no_blue", |case| {
            blue_is_gone(case, Listener, true)
        }),
        test(
            "door_alb_moves_nothing_to_a_blue_that_cannot_be_put_back",
            blue_is_refused,
        ),
        test("door_route53_stays_open_until_blue_can_be_read", |case| {
            blue_is_unreadable(case, Zone)
        }),
        test("door_alb_stays_open_until_blue_can_be_read", |case| {
            blue_is_unreadable(case, Rule)
        }),
        test("door_route53_refuses_to_shift_to_another_version", |case| {
            green_changed(case, Zone)
        }),
        test(
            "door_alb_refuses_an_idle_group_that_somebody_changed",
            |case| idle_changed(case, Rule),
        ),
        test("door_alb_keeps_a_parked_group", parked_group),
        test("door_alb_moves_several_rules_together", several_rules),
        test("door_alb_restores_several_rules_when_one_fails", half_way),
        test(
            "door_alias_split_of_nothing_is_no_obstacle",
            split_of_nothing,
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
        test("door_alias_keeps_a_control_group", |case| {
            control_group(case, Alias)
        }),
        test("door_route53_keeps_a_control_group", |case| {
            control_group(case, Zone)
        }),
        test("door_alb_keeps_a_control_group", |case| {
            control_group(case, Rule)
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
        apart("door_of_a_dead_holder_is_put_back_first", dead_holders),
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
    /// With clients that keep to the side that is idle, and would meet what is put there too early.
    pub(crate) async fn make(case: &Case, kind: Kind, green: Behaviour) -> Self {
        Self::make_sticky(case, kind, green, STICKY_SECONDS).await
    }

    /// The same, where a load balancer's clients keep to their group for so long.
    pub(crate) async fn make_sticky(
        case: &Case,
        kind: Kind,
        green: Behaviour,
        sticky_seconds: i32,
    ) -> Self {
        let door = Self::made(case, kind, green, sticky_seconds).await;
        door.probe(case).await;
        door
    }

    async fn made(case: &Case, kind: Kind, green: Behaviour, sticky_seconds: i32) -> Self {
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
                sign_in: Some(SignIn::Cognito),
                sticky_seconds: Some(sticky_seconds),
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

    /// Sends requests to both sides past the weights: as clients with a cookie of an earlier visit, as one
    /// whose resolver knows an older answer, and as whoever calls a colour's alias.
    async fn probe(&self, case: &Case) {
        match self {
            Self::Alias(_) => {}
            Self::Zone(target, dns) => {
                for colour in ["blue", "green"] {
                    let stale = dns.stale_client(colour, PROBES_PER_SECOND);
                    case.probe(stale, &format!("a stale resolver of {colour}"), target);
                    let alias = format!("{ALIAS}-{colour}");
                    let local = &case.suite().local;
                    let callers = Traffic::start(local, target, &alias, PROBES_PER_SECOND);
                    case.probe(callers, &format!("callers of {alias}"), target);
                }
            }
            Self::Balancer(target, alb) => {
                for (colour, group) in [("blue", &alb.blue), ("green", &alb.green)] {
                    let sticky = alb.sticky_client(group, PROBES_PER_SECOND).await;
                    case.probe(sticky, &format!("a sticky client of {colour}"), target);
                }
            }
        }
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

    /// The version that a colour's side holds; none where it holds nothing.
    async fn holds(&self, colour: &str) -> Option<String> {
        match self {
            Self::Alias(_) => unreachable!("has no sides"),
            Self::Zone(target, _) => {
                let alias = target.look(&format!("{ALIAS}-{colour}")).await?;
                alias.settled().map(str::to_owned)
            }
            Self::Balancer(_, alb) => {
                let group = if colour == "blue" {
                    &alb.blue
                } else {
                    &alb.green
                };
                let targets = alb.targets(group).await;
                assert!(targets.len() < 2, "{targets:?}");
                let last = targets.first()?.rsplit(':').next();
                last.map(str::to_owned)
            }
        }
    }

    /// Somebody outside Crossfade has a colour's side call a version, or nothing.
    async fn put(&self, colour: &str, version: Option<&str>) {
        match self {
            Self::Alias(_) => unreachable!("has no sides"),
            Self::Zone(target, _) => {
                let alias = format!("{ALIAS}-{colour}");
                if let Some(version) = version {
                    target.move_alias(&alias, version, None).await;
                } else {
                    let gone = target.lambda().delete_alias().function_name(&target.name);
                    let gone = gone.name(alias).send().await;
                    gone.expect("the alias can be deleted");
                }
            }
            Self::Balancer(target, alb) => {
                let group = if colour == "blue" {
                    &alb.blue
                } else {
                    &alb.green
                };
                if let Some(version) = version {
                    alb.send_to(group, target, version).await;
                    return;
                }
                for id in alb.targets(group).await {
                    let id = aws_sdk_elasticloadbalancingv2::types::TargetDescription::builder()
                        .id(id)
                        .build();
                    let call = alb.elb().deregister_targets().target_group_arn(group);
                    call.targets(id).send().await.expect("it can be");
                }
            }
        }
    }

    pub(crate) fn users(&self, case: &Case, per_second: f64) -> Traffic {
        match self {
            Self::Alias(target) => case.users(target, per_second),
            Self::Zone(target, dns) => case.witnessed(dns.users(per_second), "users", target),
            Self::Balancer(target, alb) => case.witnessed(alb.users(per_second), "users", target),
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

/// Blue keeps its part through the last bake; an alarm then takes all back, and without one the promotion takes it.
async fn control_group(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let alarm = case.alarm().await;
    let request = |bake: u32| {
        let all_at_once = json!({"type": "allAtOnce", "bakeSeconds": bake});
        let analysis = json!({"controlPercent": 5, "alarms": [alarm], "onInconclusive": "proceed", "maxBakeSeconds": bake});
        door.request(
            &case,
            json!({"strategy": all_at_once, "analysis": analysis}),
        )
    };
    let execution = case.start(&request(80_000)).await;
    door.share_is(0.95).await;
    execution.wait_for_state("Bake", 1).await;
    case.world.fire(&alarm).await;
    door.share_is(0.0).await;
    let ended = execution.wait().await;
    back_on_blue(&case, &door, &execution, &ended).await;

    let mut request = request(60);
    request["analysis"]["alarms"] = json!([]);
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert!((door.share().await - 1.0).abs() < 1e-9);
    assert_eq!(ended.output["steps"][0]["weight"], 95, "{ended:?}");
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
        // And what blue's side held is gone.
        door.put("blue", None).await;
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

/// The roles have swapped with the release: version 1 is released again to the side that it was on.
async fn back_to_a_version(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let users = door.users(&case, 20.0);
    let mut request = door.request(&case, json!({"strategy": steps(None)}));
    request["functions"][0]["smokeTests"] =
        json!([{"name": "health", "expect": {"statusCode": 200}}]);
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    door.share_is(1.0).await;
    let (_, back) = case.release(&crate::to_version::back(&case, "1")).await;
    assert_eq!(back.status, "SUCCEEDED", "{back:?}");
    assert_eq!(back.output["functions"][0]["greenVersion"], "1", "{back:?}");
    assert_eq!(
        back.output["evidence"]["validation"][0]["test"], "health",
        "{back:?}"
    );
    door.share_is(0.0).await;
    let (_, done) = case.release(&case.rollback()).await;
    assert_eq!(done.output["deploymentStatus"], "ROLLED_BACK", "{done:?}");
    door.share_is(1.0).await;
    assert_eq!(users.stop().await.total().errors, 0, "nobody has noticed");
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
        let checker = case.world.stack.function("restore-blue");
        let by_checker = writes
            .iter()
            .filter(|call| call.caller.as_ref() == Some(&checker));
        assert_eq!(by_checker.count(), 1, "{kind:?}: {writes:?}");
        // An alias is written to once more before the release is closed: nothing late applies.
        let all = if kind == Kind::Alias { 2 } else { 1 };
        assert_eq!(writes.len(), all, "{kind:?}: {writes:?}");
    }
}

// --- what is proven, and what is put back ---------------------------------------------------------

/// A green that fails its smoke test.
fn with_a_smoke_test(mut request: Value) -> Value {
    request["functions"][0]["smokeTests"] =
        json!([{"name": "health", "expect": {"statusCode": 200}}]);
    request
}

/// The version that serves by the outcome.
fn serving(outcome: &Value) -> &str {
    outcome["functions"][0]["serving"]
        .as_str()
        .unwrap_or_default()
}

/// A release is promoted; the next one is rejected; and then the first one's alarm fires. What serves
/// then is the first one's blue, and nobody met the rejected version.
async fn rejected_then_alarm(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("second")).await;
    let users = door.users(&case, 40.0);
    let alarm = case.alarm().await;
    let request = door.request(
        &case,
        json!({
            "strategy": steps(None), "analysis": {"alarms": [alarm]},
            "retention": {"blueHours": 168},
        }),
    );
    let (first, ended) = case.release(&request).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    let promoted = ended.output;
    let crashing = Behaviour {
        crash: true,
        ..Behaviour::healthy("third")
    };
    door.target().update(crashing).await;
    let (_, ended) = case.release(&with_a_smoke_test(request)).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED");
    assert_eq!(door.holds("blue").await.as_deref(), Some("1"));
    for outcome in [&promoted, &ended.cause] {
        assert_eq!(serving(outcome), "2", "{outcome}");
    }
    case.world.fire(&alarm).await;
    door.share_is(0.0).await;
    case.ledger_says(&first, "ROLLED_BACK").await;
    let told = case.told(&first, "ROLLED_BACK").await;
    assert!(
        told.message.contains("version 1 serves now"),
        "{}",
        told.message
    );
    assert!(
        told.message.contains("All traffic goes to: "),
        "{}",
        told.message
    );
    let before = users.so_far().of("1").requests;
    until("users are served by the first", || async {
        (users.so_far().of("1").requests > before + 20).then_some(())
    })
    .await;
    let counts = users.stop().await;
    assert_eq!(counts.total().errors, 0, "{:?}", counts.by_version);
    assert_eq!(counts.of("3").requests, 0, "{:?}", counts.by_version);
    // Sticky clients and late resolvers of the side that was given up are served by blue, too.
    assert_eq!(door.holds("blue").await.as_deref(), Some("1"));
    assert_eq!(door.holds("green").await.as_deref(), Some("1"));
}

/// An execution that is stopped leaves the idle side as it was, whatever it was about to do.
async fn stopped_before_the_first_shift(case: Case, kind: Kind) {
    for state in [
        "DeployGreen",
        "ValidateGreen",
        "AwaitApproval",
        "ShiftTraffic",
    ] {
        let case = case.part(state);
        let door = Door::make(&case, kind, Behaviour::slow("green", 700)).await;
        let before = door.holds("green").await;
        let mut strategy = canary(&[(10, 3000), (100, 30)]);
        if state == "AwaitApproval" {
            strategy["approveBefore"] = json!(10);
        }
        let request = with_a_smoke_test(door.request(&case, json!({"strategy": strategy})));
        let execution = case.start(&request).await;
        execution.wait_for_state(state, 1).await;
        if state == "AwaitApproval" {
            let held = door.holds("green").await;
            assert_eq!(held.as_deref(), Some("2"), "it is validated, and staged");
        }
        // Locks that are taken after the stop are the sweep's, which comes every five minutes.
        until("it has its locks", || async {
            let locks = case.world.locks_of(&execution.arn).await;
            (!locks.is_empty()).then_some(())
        })
        .await;
        execution.stop().await;
        until("the locks are given back", || async {
            let locks = case.world.locks_of(&execution.arn).await;
            (execution.ended().await.is_some() && locks.is_empty()).then_some(())
        })
        .await;
        // What the state's function was about to write comes late.
        for _ in 0..4 {
            a_moment().await;
        }
        assert!(door.share().await.abs() < 1e-9, "{state}");
        let after = door.holds("green").await;
        // Where green may have had weight, blue is left to those who still come.
        let may_be_blue = state == "ShiftTraffic" && after.as_deref() == Some("1");
        assert!(after == before || may_be_blue, "{state}: {after:?}");
        assert_eq!(door.holds("blue").await.as_deref(), Some("1"), "{state}");
    }
}

/// Somebody has blue's side call another version while a release bakes. An alarm puts blue back there
/// before it moves the traffic.
async fn blue_changed(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let users = door.users(&case, 20.0);
    let alarm = case.alarm().await;
    let execution = baking(&case, &door, 0, json!({"alarms": [alarm]})).await;
    door.target().update(Behaviour::healthy("third")).await;
    assert_eq!(door.target().publish().await, "3");
    door.put("blue", Some("3")).await;
    case.world.fire(&alarm).await;
    door.share_is(0.0).await;
    let ended = execution.wait().await;
    drop(users);
    back_on_blue(&case, &door, &execution, &ended).await;
    assert_eq!(door.holds("blue").await.as_deref(), Some("1"));
    assert_eq!(serving(&ended.cause), "1", "{}", ended.cause);
}

/// What blue's side held is gone when a promoted release is taken back.
async fn blue_is_gone(case: Case, kind: Kind, by_hand: bool) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let users = door.users(&case, 20.0);
    let alarm = case.alarm().await;
    let more = json!({"strategy": steps(None), "analysis": {"alarms": [alarm]}});
    let (execution, ended) = case.release(&door.request(&case, more)).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    door.put("blue", None).await;
    if by_hand {
        let (_, back) = case.release(&case.rollback()).await;
        assert_eq!(back.status, "SUCCEEDED", "{back:?}");
        assert_eq!(serving(&back.output), "1", "{}", back.output);
    } else {
        case.world.fire(&alarm).await;
        door.share_is(0.0).await;
    }
    case.ledger_says(&execution, "ROLLED_BACK").await;
    assert!(door.share().await.abs() < 1e-9);
    let told = case.told(&execution, "ROLLED_BACK").await;
    let says = "instead of version 1";
    assert!(told.message.contains(says), "{}", told.message);
    assert_eq!(door.holds("blue").await.as_deref(), Some("1"));
    drop(users);
}

/// Blue cannot be put back: nothing is moved, and people are told.
async fn blue_is_refused(case: Case) {
    let door = Door::make(&case, Kind::Rule, Behaviour::healthy("green")).await;
    let users = door.users(&case, 20.0);
    let alarm = case.alarm().await;
    let more = json!({"strategy": steps(None), "analysis": {"alarms": [alarm]}});
    let (execution, ended) = case.release(&door.request(&case, more)).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    door.put("blue", None).await;
    let fault = crossfade_tests::world::Fault::new("access-denied")
        .on("lambda", "AddPermission")
        .about(&door.target().name)
        .always();
    let fault = case.world.fault(fault).await;
    case.world.fire(&alarm).await;
    let told = case.told(&execution, "HELD").await;
    assert!(
        told.message.contains("could not be restored"),
        "{}",
        told.message
    );
    assert!(
        told.message.contains("version 2 serves now"),
        "{}",
        told.message
    );
    assert!((door.share().await - 1.0).abs() < 1e-9, "nothing was moved");
    assert_eq!(door.holds("green").await.as_deref(), Some("2"));
    case.world.mend(fault).await;
    drop(users);
}

/// Rollback may not read blue's side of a release that is split: it keeps its locks and stays open, its end
/// says so, no other release takes its place, and the sweep restores blue once it may.
async fn blue_is_unreadable(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let users = door.users(&case, 20.0);
    let alarm = case.alarm().await;
    let execution = baking(&case, &door, 0, json!({"alarms": [alarm]})).await;
    let (service, action, about) = match &door {
        Door::Balancer(_, alb) => ("elasticloadbalancing", "DescribeTargetHealth", &alb.blue),
        Door::Alias(target) | Door::Zone(target, _) => ("lambda", "GetAlias", &target.name),
    };
    let fault = crossfade_tests::world::Fault::new("access-denied")
        .on(service, action)
        .about(about)
        .always();
    let fault = case.world.fault(fault).await;
    let split = door.share().await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    assert!(case.world.struck(fault).await > 0, "the fault was met");
    assert_eq!(ended.error, "RollbackFailed", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "HELD", "{ended:?}");
    assert_eq!(ended.cause["help"], "docs/errors/RollbackFailed.md");
    case.told(&execution, "HELD").await;
    case.ledger_says(&execution, "ROLLING_BACK").await;
    assert!(!case.world.locks_of(&execution.arn).await.is_empty());
    let (_, next) = case
        .release(&door.request(&case, json!({"strategy": steps(None)})))
        .await;
    assert_eq!(next.status, "FAILED", "{next:?}");
    assert!(
        (door.share().await - split).abs() < 1e-9,
        "nothing was moved"
    );

    case.world.mend(fault).await;
    case.world.run_schedule().await;
    drop(users);
    case.ledger_says(&execution, "ROLLED_BACK").await;
    case.told(&execution, "ROLLED_BACK").await;
    assert!(door.share().await.abs() < 1e-9);
    assert_eq!(
        case.world.locks_of(&execution.arn).await,
        Vec::<String>::new()
    );
}

/// Somebody has green's side call a version that was not validated while a person is waited for.
async fn green_changed(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::healthy("green")).await;
    let users = door.users(&case, 20.0);
    let mut strategy = canary(&[(10, 30), (100, 30)]);
    strategy["approveBefore"] = json!(10);
    let request = door.request(&case, json!({"strategy": strategy}));
    let execution = case.start(&request).await;
    let asked = case.told(&execution, "HELD").await;
    door.target().update(Behaviour::healthy("third")).await;
    assert_eq!(door.target().publish().await, "3");
    door.put("green", Some("3")).await;
    execution
        .answer(asked.token().expect("it says how to answer"), "approve")
        .await;
    let ended = execution.wait().await;
    drop(users);
    assert_eq!(ended.error, "ChangedOutside", "{ended:?}");
    assert!(door.share().await.abs() < 1e-9);
    assert_eq!(
        door.holds("green").await.as_deref(),
        Some("3"),
        "somebody else's value stands"
    );
    let warnings = ended.cause["warnings"].to_string();
    assert!(warnings.contains("did not put there"), "{warnings}");
}

/// Somebody registers another version in the idle group while green is validated.
async fn idle_changed(case: Case, kind: Kind) {
    let door = Door::make(&case, kind, Behaviour::slow("green", 1500)).await;
    let request = with_a_smoke_test(door.request(&case, json!({"strategy": steps(None)})));
    let execution = case.start(&request).await;
    execution.wait_for_state("ValidateGreen", 1).await;
    door.put("green", Some("1")).await;
    let ended = execution.wait().await;
    assert_eq!(ended.error, "ChangedOutside", "{ended:?}");
    assert_eq!(ended.cause["deploymentStatus"], "REJECTED");
    assert_eq!(door.holds("green").await.as_deref(), Some("1"));
}

/// A group that another tool has parked in the rule, with weight 0.
async fn parked_group(case: Case) {
    let door = Door::make(&case, Kind::Rule, Behaviour::healthy("green")).await;
    let Door::Balancer(_, alb) = &door else {
        unreachable!("made so")
    };
    let parked = alb.elb().create_target_group().name(short(&case, "parked"));
    let parked = parked.target_type(aws_sdk_elasticloadbalancingv2::types::TargetTypeEnum::Lambda);
    let parked = parked.send().await.expect("a target group can be made");
    let parked = parked.target_groups.expect("it is told").remove(0);
    let parked = parked.target_group_arn.expect("it has an ARN");
    let mut actions = alb.actions().await;
    for config in actions
        .iter_mut()
        .filter_map(|action| action.forward_config.as_mut())
    {
        let tuple = aws_sdk_elasticloadbalancingv2::types::TargetGroupTuple::builder()
            .target_group_arn(&parked)
            .weight(0)
            .build();
        config
            .target_groups
            .get_or_insert_default()
            .insert(1, tuple);
    }
    let call = alb
        .elb()
        .modify_rule()
        .rule_arn(alb.rule.as_ref().expect("made so"));
    let done = call.set_actions(Some(actions)).send().await;
    done.expect("the rule can be changed");
    let groups = async || {
        let actions = alb.actions().await;
        let configs = actions
            .into_iter()
            .filter_map(|action| action.forward_config);
        let groups = configs.flat_map(|config| config.target_groups.unwrap_or_default());
        let groups = groups.map(|group| (group.target_group_arn.unwrap_or_default(), group.weight));
        groups.collect::<Vec<_>>()
    };
    let three = |blue, green| {
        [(&alb.blue, blue), (&parked, 0), (&alb.green, green)]
            .map(|(arn, weight)| (arn.clone(), Some(weight)))
    };
    assert_eq!(groups().await, three(100, 0));
    let users = door.users(&case, 40.0);
    let request = door.request(&case, json!({"strategy": steps(None)}));
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(groups().await, three(0, 100));
    let (_, back) = case.release(&case.rollback()).await;
    assert_eq!(back.status, "SUCCEEDED", "{back:?}");
    assert_eq!(groups().await, three(100, 0));
    drop(users);
}

/// A load balancer with a second rule that forwards to the same two groups, and a request that names
/// both rules.
async fn with_a_second_rule(case: &Case, more: Value) -> (Door, String, Value) {
    let door = Door::make(case, Kind::Rule, Behaviour::healthy("green")).await;
    let Door::Balancer(_, alb) = &door else {
        unreachable!("made so")
    };
    let rule = alb.second_rule("/admin").await;
    let mut request = door.request(case, more);
    let first = request["traffic"]["ruleArn"].take();
    request["traffic"]
        .as_object_mut()
        .unwrap()
        .remove("ruleArn");
    request["traffic"]["ruleArns"] = json!([first, rule]);
    (door, rule, request)
}

/// Green's part of the weight in the second rule.
async fn share_of(door: &Door, rule: &str) -> f64 {
    let Door::Balancer(_, alb) = door else {
        unreachable!("made so")
    };
    let weights = alb.weights_of(rule).await;
    let of = |arn: &str| f64::from(weights.get(arn).copied().unwrap_or_default());
    of(&alb.green) / (of(&alb.blue) + of(&alb.green))
}

async fn several_rules(case: Case) {
    let alarm = case.alarm().await;
    let more = json!({"strategy": steps(None), "analysis": {"alarms": [alarm]}});
    let (door, rule, request) = with_a_second_rule(&case, more).await;
    let users = door.users(&case, 40.0);
    let (execution, ended) = case.release(&request).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert!((door.share().await - 1.0).abs() < 1e-9);
    assert!((share_of(&door, &rule).await - 1.0).abs() < 1e-9);
    case.world.fire(&alarm).await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
    assert!(door.share().await.abs() < 1e-9);
    assert!(share_of(&door, &rule).await.abs() < 1e-9);
    // Rules that do not agree on who serves are refused, by the one that differs.
    let Door::Balancer(_, alb) = &door else {
        unreachable!("made so")
    };
    alb.move_weights(0, 100).await;
    let mut request = request;
    request["analysis"]["preexistingAlarms"] = json!("ignore");
    let (_, refused) = case.release(&request).await;
    assert_eq!(refused.error, "ValidationFailed", "{refused:?}");
    let reason = refused.cause["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("traffic.ruleArns[1]: "), "{reason}");
    alb.move_weights(100, 0).await;
    drop(users);
}

async fn half_way(case: Case) {
    let (door, rule, request) = with_a_second_rule(&case, json!({"strategy": steps(None)})).await;
    let users = door.users(&case, 40.0);
    let fault = crossfade_tests::world::Fault::new("access-denied")
        .on("elasticloadbalancing", "ModifyRule")
        .by(&case.world.stack.function("shift-traffic"))
        .about(&rule)
        .always();
    let fault = case.world.fault(fault).await;
    let (execution, ended) = case.release(&request).await;
    drop(users);
    assert!(case.world.struck(fault).await > 0, "the fault was met");
    case.world.mend(fault).await;
    assert_eq!(ended.status, "FAILED", "{ended:?}");
    assert!(door.share().await.abs() < 1e-9);
    assert!(share_of(&door, &rule).await.abs() < 1e-9);
    assert_eq!(
        case.world.locks_of(&execution.arn).await,
        Vec::<String>::new()
    );
}

/// Another tool has left a second version on the alias, with a weight of 0.
async fn split_of_nothing(case: Case) {
    let target = case.blue().await;
    assert_eq!(target.publish().await, "2");
    target.move_alias(ALIAS, "1", Some(("2", 0.0))).await;
    target.update(Behaviour::healthy("third")).await;
    let users = case.users(&target, 30.0);
    let request = case.request(json!({"strategy": canary(&[(50, 30), (100, 30)])}));
    let (_, ended) = case.release(&request).await;
    drop(users);
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    assert_eq!(serving(&ended.output), "3");
}

// --- Route 53 alone -----------------------------------------------------------------------------

fn zone(door: &Door) -> &Dns {
    match door {
        Door::Zone(_, dns) => dns,
        Door::Alias(_) | Door::Balancer(..) => unreachable!("made in a zone"),
    }
}

/// The design's timeline: 10 % for 5 minutes, 50 % for 10, a person, 95 %, all, and a day of retention in
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
    assert_eq!(weights, [json!(10), json!(50), json!(95)]);
    for step in &steps {
        let (started, in_force) = (step["startedAt"].as_str(), step["inForceAt"].as_str());
        assert!(in_force > started, "DNS took its time: {step}");
    }
    let visits = execution.visits().await;
    let waits = visits
        .iter()
        .filter(|visit| visit.state == "Bake" && visit.input["decision"] == "awaitDns");
    assert!(waits.count() >= 3, "{visits:?}");
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

async fn permission_late(case: Case) {
    let door = Door::make(&case, Kind::Rule, Behaviour::healthy("green")).await;
    let Door::Balancer(_, alb) = &door else {
        panic!("a rule has a load balancer")
    };
    let message = "elasticloadbalancing principal does not have permission to invoke the function";
    let fault = crossfade_tests::world::Fault::refuse(403, "AccessDenied", message)
        .on("elbv2", "RegisterTargets")
        .about(&alb.green);
    let ended = faulted(&case, &door, fault).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    door.share_is(1.0).await;
}

async fn prior_request(case: Case) {
    let door = Door::make(&case, Kind::Zone, Behaviour::healthy("green")).await;
    let message = "The request was rejected because Route 53 was still processing a prior request.";
    let fault = crossfade_tests::world::Fault::refuse(400, "PriorRequestNotComplete", message)
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
        sign_in: Some(SignIn::Oidc),
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
