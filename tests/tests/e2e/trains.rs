//! Several functions as one release: together to green, or together back to blue.

use std::time::{Duration, Instant};

use crossfade_tests::{
    Behaviour, Ended, Execution, Target, Traffic,
    release::until,
    world::{Call, Fault},
};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, alone, apart, canary, merge, test},
    promoted::weights,
};

/// Functions in each of these releases, but where it says otherwise.
const CARS: usize = 6;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "train_is_promoted_without_what_serves_already",
            promoted_but_one,
        ),
        test("train_with_one_bad_function_goes_back", one_bad),
        test(
            "train_that_fails_in_the_middle_of_a_shift_goes_back",
            shift_fails,
        ),
        test(
            "train_that_fails_in_the_middle_of_the_promotion_goes_back",
            promotion_fails,
        ),
        test(
            "train_with_a_failing_smoke_test_moves_no_traffic",
            smoke_test_fails,
        ),
        test(
            "train_stopped_in_the_middle_of_a_shift_is_whole",
            stopped_in_a_shift,
        ),
        test(
            "train_rolled_back_by_hand_in_the_middle_of_a_shift_is_whole",
            rolled_back_by_hand_in_a_shift,
        ),
        alone(
            "train_meets_an_alarm_in_the_middle_of_its_first_shift",
            alarm_in_a_shift,
        ),
        // What is measured in seconds runs alone, and so does what slows everybody down.
        alone("train_goes_back_where_an_alarm_can_not_put_it_all", held_up),
        apart("train_goes_back_although_lambda_throttles", throttled),
    ]
}

/// Functions that serve version 1 and have a green as `green` says in `$LATEST`.
async fn train(case: &Case, cars: usize, green: impl Fn(usize) -> Behaviour) -> Vec<Target> {
    join_all((0..cars).map(|nth| {
        let (name, green) = (format!("{}-{nth}", case.function_name()), green(nth));
        async move {
            let target = case
                .function_called(&name, Behaviour::healthy("blue"))
                .await;
            assert_eq!(target.publish().await, "1");
            target.alias(ALIAS, "1").await;
            target.update(green).await;
            target
        }
    }))
    .await
}

async fn healthy_train(case: &Case) -> Vec<Target> {
    train(case, CARS, |_| Behaviour::healthy("green")).await
}

/// A request to release them all.
fn request(case: &Case, train: &[Target], more: Value) -> Value {
    let mut request = case.request(json!({}));
    request["functions"] = train
        .iter()
        .map(|target| json!({"functionName": target.name, "alias": ALIAS}))
        .collect();
    merge(&mut request, more);
    request
}

fn users(case: &Case, train: &[Target], per_second: f64) -> Vec<Traffic> {
    let users = train.iter().map(|target| case.users(target, per_second));
    users.collect()
}

/// How many of them have all traffic on `version`.
async fn on(version: &str, train: &[Target]) -> usize {
    let aliases = join_all(train.iter().map(|target| target.look(ALIAS))).await;
    let settled = aliases.iter().flatten().map(|alias| alias.settled());
    settled.filter(|settled| *settled == Some(version)).count()
}

async fn all_on_blue(train: &[Target]) {
    until("all on blue", || async {
        (on("1", train).await == train.len()).then_some(())
    })
    .await;
}

async fn went_back(case: &Case, train: &[Target], execution: &Execution, ended: &Ended) -> Value {
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    assert_eq!(on("1", train).await, train.len(), "all are on blue");
    let told = ended.cause["functions"].as_array().map(Vec::len);
    assert_eq!(told, Some(train.len()), "{ended:?}");
    case.ledger_says(execution, "ROLLED_BACK").await;
    case.told(execution, "ROLLED_BACK").await;
    ended.cause.clone()
}

/// The writes to their aliases that one of our functions made and that took effect.
async fn written_by(case: &Case, train: &[Target], caller: &str) -> Vec<Call> {
    let caller = case.world.stack.function(caller);
    let calls = case.world.calls(case.since).await;
    calls
        .into_iter()
        .filter(|call| call.caller.as_ref() == Some(&caller))
        .filter(|call| call.action == "UpdateAlias" && call.took_effect())
        .filter(|call| {
            train
                .iter()
                .any(|target| call.resource.as_ref() == Some(&target.name))
        })
        .collect()
}

fn reason(cause: &Value) -> &str {
    cause["reason"].as_str().unwrap_or_default()
}

async fn promoted_but_one(case: Case) {
    let train = healthy_train(&case).await;
    let (same, moving) = train.split_last().expect("there are some");
    let users = users(&case, moving, 6.0);
    let mut request = request(
        &case,
        &train,
        json!({"strategy": canary(&[(50, 100), (75, 100), (100, 100)])}),
    );
    request["functions"][CARS - 1]["code"] = json!({"version": "1"});
    let (_, ended) = case.release(&request).await;
    drop(users);

    assert_eq!(ended.output["deploymentStatus"], "SUCCESSFUL", "{ended:?}");
    assert_eq!(on("2", moving).await, CARS - 1);
    assert_eq!(on("1", &train).await, 1);
    let named = ended.output["functions"].as_array().map(Vec::len);
    assert_eq!(named, Some(CARS - 1), "{ended:?}");
    let warnings = ended.output["warnings"].to_string();
    assert!(
        warnings.contains(&format!("{}: version 1 serves already", same.name)),
        "{warnings}"
    );
    // In lockstep: no function is at the next step before all are at this one.
    let shares: Vec<_> = written_by(&case, &train, "shift-traffic")
        .await
        .iter()
        .map(|call| {
            let asked = call.asked.clone().unwrap_or_default();
            asked["RoutingConfig"]["AdditionalVersionWeights"]["2"]
                .as_f64()
                .expect("each gives green a share")
        })
        .collect();
    assert_eq!(shares.len(), 3 * (CARS - 1));
    assert!(shares.is_sorted(), "{shares:?}");
}

async fn one_bad(case: Case) {
    let train = train(&case, CARS, |nth| match nth {
        3 => Behaviour::failing("green", 60.0),
        _ => Behaviour::healthy("green"),
    })
    .await;
    let users = users(&case, &train, 6.0);
    let request = request(
        &case,
        &train,
        json!({"strategy": canary(&[(50, 1000), (100, 100)])}),
    );
    let (execution, ended) = case.release(&request).await;
    drop(users);
    let cause = went_back(&case, &train, &execution, &ended).await;
    let judge = &cause["evidence"]["judge"];
    assert_eq!(judge["function"], train[3].name.as_str(), "{cause}");
    assert_eq!(judge["functions"], CARS, "{cause}");
    let next = judge["next"].as_array().map(Vec::len);
    assert_eq!(next, Some(3), "and what looks worst after it: {cause}");
    assert!(reason(&cause).contains(&train[3].name), "{cause}");
}

async fn shift_fails(case: Case) {
    let train = healthy_train(&case).await;
    let users = users(&case, &train, 6.0);
    let denied = Fault::new("access-denied")
        .on("lambda", "UpdateAlias")
        .by(&case.world.stack.function("shift-traffic"))
        .about(&train[2].name);
    // The first shift is let through.
    let denied = case.world.fault(denied.always().after(1)).await;
    let request = request(
        &case,
        &train,
        json!({"strategy": canary(&[(50, 100), (75, 100), (100, 100)])}),
    );
    let (execution, ended) = case.release(&request).await;
    drop(users);
    assert!(case.world.struck(denied).await > 0);
    let cause = went_back(&case, &train, &execution, &ended).await;
    assert!(
        reason(&cause).contains(&train[2].name) && reason(&cause).contains("AccessDenied"),
        "{cause}"
    );
    let shifted = written_by(&case, &train, "shift-traffic").await.len();
    assert_eq!(shifted, 2 * CARS - 1, "the others had shifted");
}

async fn promotion_fails(case: Case) {
    let train = healthy_train(&case).await;
    let users = users(&case, &train, 6.0);
    let denied = Fault::new("access-denied")
        .on("lambda", "UpdateAlias")
        .by(&case.world.stack.function("finalize"))
        .about(&train[4].name);
    case.world.fault(denied.always()).await;
    let request = request(&case, &train, json!({"strategy": canary(&[(100, 100)])}));
    let (execution, ended) = case.release(&request).await;
    drop(users);
    let cause = went_back(&case, &train, &execution, &ended).await;
    assert!(reason(&cause).contains(&train[4].name), "{cause}");
    let promoted = written_by(&case, &train, "finalize").await.len();
    assert_eq!(promoted, CARS - 1, "the others had been promoted");
}

async fn smoke_test_fails(case: Case) {
    let train = train(&case, CARS, |nth| Behaviour {
        status_code: (nth == 1).then_some(500),
        ..Behaviour::healthy("green")
    })
    .await;
    let mut request = request(&case, &train, json!({}));
    for function in request["functions"].as_array_mut().expect("it is a list") {
        function["smokeTests"] = (0..4)
            .map(|nth| json!({"name": format!("health {nth}"), "expect": {"statusCode": 200}}))
            .collect();
        function["prewarm"] = json!(3);
    }
    let (_, ended) = case.release(&request).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    assert_eq!(on("1", &train).await, CARS);
    assert!(
        reason(&ended.cause).contains(&format!("4 of {} smoke tests failed", 4 * CARS))
            && reason(&ended.cause).contains(&train[1].name),
        "{ended:?}"
    );
    // The evidence has those that failed, and of the rest only the slowest.
    let evidence = &ended.cause["evidence"];
    let shown = evidence["validation"].as_array().expect("it is a list");
    let failed = shown.iter().filter(|proof| proof["passed"] == false);
    assert!(
        failed.clone().count() == 4 && failed.clone().all(|p| p["functionName"] == *train[1].name),
        "{evidence}"
    );
    assert_eq!(
        Some(shown.len() as u64 + evidence["validationLeftOut"].as_u64().unwrap_or_default()),
        Some(4 * CARS as u64),
        "{evidence}"
    );
    assert!(shown.len() < 4 * CARS, "{evidence}");
    let calls = case.world.our_calls(case.since).await;
    let moved = calls.iter().filter(|call| {
        call.action == "UpdateAlias"
            && train
                .iter()
                .any(|t| call.resource.as_ref() == Some(&t.name))
    });
    assert_eq!(moved.count(), 0, "no alias was touched");
}

/// A release of a train in whose shift one write gets no answer for a while, and is tried again when all
/// has been put back.
async fn slow_shift(case: &Case, train: &[Target], seconds: f64) -> Execution {
    let slow = Fault::new("silence")
        .on("lambda", "UpdateAlias")
        .by(&case.world.stack.function("shift-traffic"))
        .about(&train[5].name);
    let slow = case.world.fault(slow.seconds(seconds)).await;
    let strategy = canary(&[(50, 3600), (100, 100)]);
    let request = request(case, train, json!({ "strategy": strategy }));
    let execution = case.start(&request).await;
    until("the shift that is slow", || async {
        (case.world.struck(slow).await > 0).then_some(())
    })
    .await;
    execution
}

/// It is on a revision that is good no more: blue was written over blue.
async fn late_write_is_refused(case: &Case, train: &[Target]) {
    let shift = case.world.stack.function("shift-traffic");
    until("the write that comes late, and is refused", || async {
        let calls = case.world.calls(case.since).await;
        let late = calls.iter().any(|call| {
            call.action == "UpdateAlias"
                && call.caller.as_ref() == Some(&shift)
                && call.resource.as_deref() == Some(train[5].name.as_str())
                && call.status == 412
        });
        late.then_some(())
    })
    .await;
    let written = written_by(case, &train[5..], "shift-traffic").await;
    assert_eq!(written.len(), 0, "{written:?}");
    all_on_blue(train).await;
}

/// A function that is shifting goes on when its execution is stopped: whatever it writes late must
/// not stay.
async fn stopped_in_a_shift(case: Case) {
    let train = healthy_train(&case).await;
    let execution = slow_shift(&case, &train, 2.0).await;
    execution.stop().await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
    all_on_blue(&train).await;
    late_write_is_refused(&case, &train).await;
    assert_eq!(execution.wait().await.status, "ABORTED");
}

/// The same when a person asks for a rollback of it, and it goes on.
async fn rolled_back_by_hand_in_a_shift(case: Case) {
    let train = healthy_train(&case).await;
    let execution = slow_shift(&case, &train, 7.0).await;
    let (_, ended) = case.release(&case.rollback()).await;
    assert_eq!(ended.status, "SUCCEEDED", "{ended:?}");
    late_write_is_refused(&case, &train).await;
    let ended = execution.wait().await;
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    case.ledger_says(&execution, "ROLLED_BACK").await;
    all_on_blue(&train).await;
}

/// Blue is where the first shift comes from, and where an alarm leads back to: a shift must not take
/// the one for the other.
async fn alarm_in_a_shift(case: Case) {
    const CARS: usize = 30;
    let train = train(&case, CARS, |_| Behaviour::healthy("green")).await;
    let alarm = case.alarm().await;
    let request = request(
        &case,
        &train,
        json!({"strategy": canary(&[(50, 1000), (100, 100)]), "analysis": {"alarms": [alarm]}}),
    );
    let execution = case.start(&request).await;
    until("the first writes", || async {
        (!written_by(&case, &train, "shift-traffic").await.is_empty()).then_some(())
    })
    .await;
    case.world.fire(&alarm).await;
    let fired = Instant::now();
    let ended = execution.wait().await;
    let took = fired.elapsed();
    let cause = went_back(&case, &train, &execution, &ended).await;
    assert_eq!(cause["evidence"]["decidedBy"], "alarm", "{cause}");
    let shifted = written_by(&case, &train, "shift-traffic").await;
    let to_green = shifted.iter().filter(|call| {
        let asked = call.asked.clone().unwrap_or_default();
        asked["RoutingConfig"]["AdditionalVersionWeights"]["2"].is_number()
    });
    assert!(to_green.count() < CARS, "the shift was stopped on its way");
    assert!(took < Duration::from_secs(10), "it ended after {took:?}");
    println!(
        "alarm in the middle of a shift of {CARS}: over after {:.1} s",
        took.as_secs_f64()
    );
}

/// One alias cannot be written by the alarm's own rollback: the others do not wait for it, and it is
/// not forgotten.
async fn held_up(case: Case) {
    let train = healthy_train(&case).await;
    let users = users(&case, &train, 10.0);
    let alarm = case.alarm().await;
    let throttled = Fault::new("throttle")
        .on("lambda", "UpdateAlias")
        .by(&case.world.stack.function("restore-blue"))
        .about(&train[0].name);
    let throttled = case.world.fault(throttled.always()).await;
    let request = request(
        &case,
        &train,
        json!({"strategy": canary(&[(50, 1000), (100, 100)]),
            "analysis": {"alarms": [alarm], "checkEverySeconds": 1000}}),
    );
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    let fired = Instant::now();
    case.world.fire(&alarm).await;
    all_on_blue(&train[1..]).await;
    assert!(
        fired.elapsed() < Duration::from_secs(2),
        "{:?}",
        fired.elapsed()
    );
    let ended = execution.wait().await;
    drop(users);
    let cause = went_back(&case, &train, &execution, &ended).await;
    assert_eq!(cause["evidence"]["decidedBy"], "alarm", "{cause}");
    assert!(case.world.struck(throttled).await > 0);
    assert_eq!(
        written_by(&case, &train[..1], "rollback").await.len(),
        1,
        "the execution put back what the alarm could not"
    );
}

/// Five calls a second for all, and sixteen functions to be put back.
async fn throttled(case: Case) {
    const CARS: usize = 16;
    let train = train(&case, CARS, |_| Behaviour::healthy("green")).await;
    let users = users(&case, &train, 5.0);
    let alarm = case.alarm().await;
    let request = request(
        &case,
        &train,
        json!({"strategy": canary(&[(50, 4000), (100, 100)]),
            "analysis": {"alarms": [alarm], "checkEverySeconds": 3000}}),
    );
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    case.world.limit_control_plane(Some(5)).await;
    let since = case.world.now().await;
    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    let calls = case.world.our_calls(since).await;
    case.world.limit_control_plane(None).await;
    drop(users);
    let cause = went_back(&case, &train, &execution, &ended).await;
    assert_eq!(cause["evidence"]["decidedBy"], "alarm", "{cause}");
    let of_aliases = || calls.iter().filter(|call| call.action == "UpdateAlias");
    let refused = of_aliases().filter(|call| call.status == 429).count();
    assert!(refused > 0, "nothing was throttled: {calls:?}");
    assert_eq!(
        of_aliases().filter(|call| call.took_effect()).count(),
        2 * CARS,
        "each alias is put back once, and once more before the release is closed: nothing late applies"
    );
    assert_eq!(weights(&ended.cause), [50]);
}
