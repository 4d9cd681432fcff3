//! What happens after a promotion: blue is kept, taken back or given up, and old versions go. On the
//! real second state machine, whose waits are scaled: an hour is 36 seconds.

use std::time::{Duration, Instant};

use crossfade_tests::{
    Alb, Behaviour, Ended, Execution, Target, alb::Made, release::until, world::Fault,
};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, apart, canary, ended_after_minutes, test},
    promoted::promoted,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(
            "retention_of_200_versions_keeps_10_and_what_is_needed",
            two_hundred,
        ),
        test("retention_of_a_version_without_a_number", without_a_number),
        test("retention_superseded_by_a_newer_release", superseded),
        test(
            "retention_taken_back_by_hand_deletes_nothing",
            taken_back_by_hand,
        ),
        test(
            "retention_taken_back_by_an_alarm_deletes_nothing",
            taken_back_by_an_alarm,
        ),
        test("retention_over_while_a_release_is_in_flight", in_flight),
        test("retention_over_is_not_taken_back", over_is_not_taken_back),
        test(
            "retention_keeps_what_another_application_needs",
            another_application,
        ),
        test(
            "retention_looks_right_before_each_deletion",
            looks_before_each,
        ),
        apart(
            "retention_of_a_version_that_a_release_wants",
            wanted_by_a_release,
        ),
        test(
            "retention_that_deletes_a_version_holds_up_its_release",
            doomed,
        ),
        test("retention_whose_answers_are_lost", answers_are_lost),
        test("retention_that_fails_is_told", fails_and_is_told),
        test("retention_lists_what_aws_does_not_delete", not_let_go),
        test(
            "retention_of_a_function_that_cannot_be_read_cleans_up_the_others",
            one_function_is_unread,
        ),
        test(
            "retention_keeps_what_a_target_group_calls",
            called_by_a_group,
        ),
        test(
            "retention_keeps_what_runs_durable_executions",
            runs_durable_executions,
        ),
        test(
            "retention_lets_requests_end_before_it_deletes",
            requests_end,
        ),
        apart(
            "retention_deletes_nothing_that_a_late_alias_still_calls",
            late_alias,
        ),
        apart(
            "retention_that_cannot_be_started_is_told",
            cannot_be_started,
        ),
    ]
}

/// The retention of a release that was promoted.
async fn retention(case: &Case, release: &Execution) -> Execution {
    let found = case.world.retention_of(release).await;
    found.expect("a promoted release has a retention")
}

/// How it ended, and what it planned at first.
async fn ended(case: &Case, release: &Execution) -> (Ended, Value) {
    let execution = retention(case, release).await;
    let ended = ended_after_minutes(&execution).await;
    let visits = execution.visits().await;
    let plan = visits
        .into_iter()
        .find(|visit| visit.state == "PlanCleanup");
    (ended, plan.expect("it planned").output)
}

/// `$LATEST.PUBLISHED`, which functions of Managed Instances have beside their numbered versions.
async fn without_a_number(case: Case) {
    let target = with_versions(&case, 4, 4).await;
    crate::refused::published_latest(&case, &target).await;
    let retention = json!({"retention": {"blueHours": 0, "keepVersions": 2}});
    let (release, outcome) = case.release(&case.request(retention)).await;
    promoted(&target, &outcome, "5").await;
    let (over, _) = ended(&case, &release).await;
    assert_eq!(over.status, "SUCCEEDED", "{over:?}");
    let all = target.versions().await;
    let numbered: Vec<_> = all
        .iter()
        .filter(|version| !version.contains("LATEST"))
        .collect();
    assert_eq!(numbered, ["4", "5"]);
}

/// Publishes versions until there are so many.
async fn publish_up_to(target: &Target, count: u32) {
    let lambda = target.lambda();
    let have = u32::try_from(target.versions().await.len()).expect("they are few");
    for number in have + 1..=count {
        // A description is configuration, and what differs is another version.
        lambda
            .update_function_configuration()
            .function_name(&target.name)
            .description(format!("version {number}"))
            .send()
            .await
            .expect("the configuration can be changed");
        // Lambda's own waiter looks once a second.
        until("the update", || async {
            let published = lambda
                .publish_version()
                .function_name(&target.name)
                .send()
                .await;
            match published {
                Ok(published) => {
                    assert_eq!(published.version, Some(number.to_string()));
                    Some(())
                }
                Err(error) => {
                    let error = error.into_service_error();
                    assert!(error.is_resource_conflict_exception(), "{error:?}");
                    None
                }
            }
        })
        .await;
    }
}

/// A function with so many versions, whose alias is on the given one, and a `$LATEST` to be released.
pub(crate) async fn with_versions(case: &Case, count: u32, blue: u32) -> Target {
    let target = case.function(Behaviour::healthy("blue")).await;
    publish_up_to(&target, count).await;
    target.alias(ALIAS, &blue.to_string()).await;
    target.update(Behaviour::healthy("green")).await;
    target
}

fn numbers(versions: &[String]) -> Vec<u32> {
    let numbers = versions.iter().map(|version| version.parse());
    numbers.map(|number| number.expect("it is one")).collect()
}

/// The versions that our functions have deleted of a function, in order.
async fn deleted(case: &Case, target: &Target) -> Vec<u32> {
    let calls = case.world.our_calls(case.since).await;
    let deletions = calls.iter().filter(|call| {
        call.action == "DeleteFunction"
            && call.resource.as_deref() == Some(&target.name)
            && call.took_effect()
    });
    deletions
        .map(|call| {
            let asked = call.asked.as_ref().expect("it is logged");
            let qualifier = asked["query"]["Qualifier"].as_str();
            let version = qualifier.expect("or it would be the function");
            version.parse().expect("it is a number")
        })
        .collect()
}

/// Why a version stays, in a plan for one function.
fn because<'a>(plan: &'a Value, version: &str) -> &'a str {
    let keep = plan["functions"][0]["keep"]
        .as_array()
        .expect("it is a list");
    let group = keep.iter().find(|group| {
        let spans = group["versions"].as_array().expect("it is a list");
        spans.iter().any(|span| span == version)
    });
    let group = group.unwrap_or_else(|| panic!("{version} by itself in {plan}"));
    group["because"].as_str().expect("it says why")
}

async fn two_hundred(case: Case) {
    // Version 200 is what is released.
    let target = with_versions(&case, 199, 150).await;
    target.alias("old", "7").await;
    target.alias("beta", "40").await;
    target.move_alias("beta", "40", Some(("60", 0.1))).await;
    let request = case.request(json!({"retention": {"blueHours": 0, "keepVersions": 10}}));
    let (execution, done) = case.release(&request).await;
    promoted(&target, &done, "200").await;
    let (over, plan) = ended(&case, &execution).await;

    assert_eq!(over.status, "SUCCEEDED", "{over:?}");
    assert_eq!(over.output["standing"], "over", "{over:?}");
    let left: Vec<u32> = [7, 40, 60].into_iter().chain(191..=200).collect();
    assert_eq!(numbers(&target.versions().await), left);
    // The dry run said so, with the reasons, before anything was deleted.
    let cleanup = &plan["functions"][0];
    assert_eq!(
        cleanup["delete"],
        json!(["1-6", "8-39", "41-59", "61-190"]),
        "{plan}"
    );
    assert_eq!(cleanup["count"], 187);
    assert_eq!(because(&plan, "7"), "alias old is on it");
    assert_eq!(because(&plan, "40"), "alias beta is on it");
    assert_eq!(because(&plan, "60"), "alias beta gives it a share");
    assert_eq!(because(&plan, "191-199"), "one of the newest 10");
    assert!(because(&plan, "200").starts_with("alias live is on it; green of app-"));
    assert!(because(&plan, "200").ends_with("; the newest"));
    // And it was done as it was said.
    assert_eq!(over.output["deleted"], 187, "{over:?}");
    assert_eq!(over.output.get("notDeleted"), None, "{over:?}");
    let planned: Vec<u32> = (1..=190).filter(|one| ![7, 40, 60].contains(one)).collect();
    assert_eq!(deleted(&case, &target).await, planned);
    // Users never noticed.
    assert_eq!(target.invoke_alias(ALIAS).await.version, "200");

    // At the pace of what nobody waits for.
    let prune = case.world.stack.function("prune");
    let calls = case.world.our_calls(case.since).await;
    let of_prune = calls.iter().filter(|call| {
        call.service == "lambda"
            && call.caller.as_ref() == Some(&prune)
            && call.resource.as_deref() == Some(&target.name)
            // AWS counts it by itself.
            && call.action != "GetPolicy"
    });
    let times: Vec<f64> = of_prune.map(|call| call.time).collect();
    let (first, last) = (times[0], times[times.len() - 1]);
    let made = u32::try_from(times.len()).expect("they are few");
    let per_second = f64::from(made) / (last - first);
    println!(
        "retention: 200 versions, {} deleted, 13 left, {} calls in {:.0} s",
        planned.len(),
        made,
        last - first
    );
    assert!(per_second < 6.0, "{per_second} calls a second");
}

async fn superseded(case: Case) {
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let request = case.request(json!({
        "analysis": {"alarms": [alarm]}, "retention": {"blueHours": 1, "keepVersions": 1},
    }));
    let (older, done) = case.release(&request).await;
    promoted(&target, &done, "2").await;
    assert_eq!(case.world.watches_of(&older.arn).await.len(), 1);
    assert_eq!(case.world.promises_of(&target.name).await.len(), 1);

    target.update(Behaviour::healthy("newer")).await;
    let request = case.request(json!({"retention": {"blueHours": 24, "keepVersions": 1}}));
    let (newer, done) = case.release(&request).await;
    promoted(&target, &done, "3").await;
    until("the older one's end", || async {
        let watches = case.world.watches_of(&older.arn).await;
        let promises = case.world.promises_of(&target.name).await;
        let only_newer = promises.len() == 1 && promises.contains_key(&newer.arn);
        (watches.is_empty() && only_newer).then_some(())
    })
    .await;
    let row = case
        .world
        .deployment(&older.arn)
        .await
        .expect("it is there");
    assert_eq!(row["supersededBy"], newer.arn.as_str());
    // Its alarm is nobody's any more.
    case.world.fire(&alarm).await;
    crate::case::a_moment().await;
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("3"), "{alias:?}");

    // When its time comes it says so, and deletes what nothing needs now: its own blue is 1.
    let (over, plan) = ended(&case, &older).await;
    assert_eq!(over.status, "SUCCEEDED", "{over:?}");
    assert_eq!(over.output["standing"], "superseded", "{over:?}");
    let reason = over.output["reason"].as_str().expect("it says why");
    let name = newer.arn.rsplit(':').next().expect("it has a name");
    assert!(reason.contains(name), "{reason}");
    assert!(because(&plan, "2").starts_with("blue of app-"), "{plan}");
    assert_eq!(target.versions().await, ["2", "3"]);

    // Only the newer one can be taken back, and then nothing can.
    let (_, done) = case.release(&case.rollback()).await;
    assert_eq!(done.output["deploymentStatus"], "ROLLED_BACK", "{done:?}");
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("2"), "{alias:?}");
    let (_, again) = case.release(&case.rollback()).await;
    assert_eq!(again.error, "InvalidRequest", "{again:?}");
    let reason = again.cause["reason"].as_str().expect("it says why");
    assert!(reason.contains("has been rolled back already"), "{reason}");
}

/// Takes a release back within its retention, and sees that this ends without a deletion.
async fn taken_back(case: &Case, back: impl AsyncFnOnce(&Target, &Execution)) {
    let target = with_versions(case, 3, 3).await;
    let alarm = case.alarm().await;
    let request = case.request(json!({
        "analysis": {"alarms": [alarm]}, "retention": {"blueHours": 1, "keepVersions": 1},
    }));
    let (execution, done) = case.release(&request).await;
    promoted(&target, &done, "4").await;
    back(&target, &execution).await;
    case.alias_is(&target, "on blue", |alias| alias.settled() == Some("3"))
        .await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
    let (over, plan) = ended(case, &execution).await;
    assert_eq!(over.status, "SUCCEEDED", "{over:?}");
    assert_eq!(over.output["standing"], "takenBack", "{over:?}");
    assert!(
        over.output["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("green is kept for debugging")),
        "{over:?}"
    );
    assert_eq!(plan["functions"], json!([]), "{plan}");
    assert_eq!(target.versions().await, ["1", "2", "3", "4"]);
    // What serves, and green, stay on record.
    let promises = case.world.promises_of(&target.name).await;
    let row = &promises[&execution.arn];
    assert_eq!((&row["blue"], &row["green"]), (&json!("3"), &json!("4")));
}

async fn taken_back_by_hand(case: Case) {
    taken_back(&case, async |_, _| {
        let begun = Instant::now();
        let (_, done) = case.release(&case.rollback()).await;
        assert_eq!(done.output["deploymentStatus"], "ROLLED_BACK", "{done:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "at once");
    })
    .await;
}

async fn taken_back_by_an_alarm(case: Case) {
    taken_back(&case, async |_, execution| {
        let watches = case.world.watches_of(&execution.arn).await;
        let (alarm, _) = watches.first_key_value().expect("it watches one");
        case.world.fire(alarm).await;
    })
    .await;
}

async fn in_flight(case: Case) {
    let target = with_versions(&case, 4, 4).await;
    let request = case.request(json!({"retention": {"blueHours": 1, "keepVersions": 1}}));
    let (execution, done) = case.release(&request).await;
    promoted(&target, &done, "5").await;
    // An old version is released again. At weight 0 no alias is on it.
    let mut again = case.request(json!({
        "strategy": canary(&[(0, 9000), (100, 0)]), "analysis": {"checkEverySeconds": 3600, "maxBakeSeconds": 9000},
    }));
    again["functions"][0]["code"] = json!({"version": "2"});
    let newer = case.start(&again).await;
    newer.wait_for_state("Bake", 1).await;
    let (over, plan) = ended(&case, &execution).await;
    assert_eq!(over.output["standing"], "over", "{over:?}");
    let name = newer.arn.rsplit(':').next().expect("it has a name");
    assert_eq!(
        because(&plan, "2"),
        format!("release {name} is moving its traffic")
    );
    assert_eq!(target.versions().await, ["2", "5"]);
    assert!(newer.ended().await.is_none(), "it was not disturbed");
    newer.stop().await;
    case.ledger_says(&newer, "ROLLED_BACK").await;
}

async fn over_is_not_taken_back(case: Case) {
    let target = with_versions(&case, 3, 3).await;
    let alarm = case.alarm().await;
    // Nothing is said about how many versions are enough.
    let request = case.request(json!({
        "analysis": {"alarms": [alarm]}, "retention": {"blueHours": 0},
    }));
    let (execution, done) = case.release(&request).await;
    promoted(&target, &done, "4").await;
    assert!(done.output["retainUntil"].is_string(), "{done:?}");
    let (over, plan) = ended(&case, &execution).await;
    assert_eq!(over.output["standing"], "over", "{over:?}");
    let none = "retention.keepVersions is not given";
    assert_eq!(because(&plan, "1-3"), none, "{plan}");
    assert_eq!(target.versions().await, ["1", "2", "3", "4"]);
    let row = case
        .world
        .deployment(&execution.arn)
        .await
        .expect("it is there");
    assert!(row.contains_key("retentionEndedAt"), "{row:?}");
    // Neither an alarm nor a person takes it back.
    case.world.fire(&alarm).await;
    let (_, refused) = case.release(&case.rollback()).await;
    assert_eq!(refused.error, "InvalidRequest", "{refused:?}");
    let reason = refused.cause["reason"].as_str().expect("it says why");
    assert!(reason.contains("was kept until"), "{reason}");
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("4"), "{alias:?}");
    // Green is on record for as long as it serves.
    let promises = case.world.promises_of(&target.name).await;
    let row = &promises[&execution.arn];
    assert_eq!((row.get("blue"), &row["green"]), (None, &json!("4")));
}

async fn another_application(case: Case) {
    let target = with_versions(&case, 3, 3).await;
    target.alias("beta", "1").await;
    // Another application releases version 2 through an alias of its own, and keeps 1.
    let mut beta = case.request(json!({"retention": {"blueHours": 24, "keepVersions": 2}}));
    beta["application"] = json!(format!("beta-{}", case.name));
    beta["functions"][0]["alias"] = json!("beta");
    beta["functions"][0]["code"] = json!({"version": "2"});
    let (_, done) = case.release(&beta).await;
    assert_eq!(done.status, "SUCCEEDED", "{done:?}");
    let request = case.request(json!({"retention": {"blueHours": 0, "keepVersions": 1}}));
    let (execution, done) = case.release(&request).await;
    promoted(&target, &done, "4").await;
    let (_, plan) = ended(&case, &execution).await;
    assert!(because(&plan, "1").starts_with("blue of beta-"), "{plan}");
    assert!(because(&plan, "2").contains("green of beta-"), "{plan}");
    // The more careful of the two counts.
    assert_eq!(because(&plan, "3"), "one of the newest 2", "{plan}");
    assert_eq!(target.versions().await, ["1", "2", "3", "4"]);
}

/// A release that keeps one version, with a fault that strikes its retention.
async fn pruned_with(case: &Case, fault: Fault, versions: u32) -> (Target, Execution, u64) {
    let target = with_versions(case, versions, versions).await;
    let prune = case.world.stack.function("prune");
    let fault = case.world.fault(fault.by(&prune).about(&target.name)).await;
    let request = case.request(json!({"retention": {"blueHours": 0, "keepVersions": 1}}));
    let (execution, done) = case.release(&request).await;
    promoted(&target, &done, &(versions + 1).to_string()).await;
    (target, execution, fault)
}

async fn has_struck(case: &Case, fault: u64) {
    until("the fault", || async {
        (case.world.struck(fault).await > 0).then_some(())
    })
    .await;
}

async fn looks_before_each(case: Case) {
    // The first deletion is on its way for a while, and then not performed: it is tried again.
    let slow = Fault::new("silence")
        .on("lambda", "DeleteFunction")
        .seconds(3.0);
    let (target, execution, slow) = pruned_with(&case, slow, 4).await;
    has_struck(&case, slow).await;
    // Meanwhile somebody needs the version that is being deleted, and another that was planned.
    target.alias("sudden", "1").await;
    target.alias("other", "3").await;
    let (over, plan) = ended(&case, &execution).await;
    assert_eq!(plan["functions"][0]["delete"], json!(["1-4"]), "{plan}");
    assert_eq!(over.status, "SUCCEEDED", "{over:?}");
    assert_eq!(target.versions().await, ["1", "3", "5"]);
    let kept = over.output["notDeleted"].as_array().expect("it says so");
    assert_eq!(kept.len(), 2, "{over:?}");
    // Lambda itself refused the one, and the other was not tried.
    let said = kept[0]["because"].as_str().expect("it says why");
    assert!(said.contains("aliases reference it: [sudden]"), "{said}");
    assert_eq!(kept[0]["versions"], json!(["1"]));
    assert_eq!(kept[1]["because"], "alias other is on it", "{over:?}");
    assert_eq!(kept[1]["versions"], json!(["3"]));
    assert_eq!(over.output["deleted"], 2, "{over:?}");
    assert_eq!(deleted(&case, &target).await, [2, 4]);
}

async fn wanted_by_a_release(case: Case) {
    // The retention has said what goes, and is held up when it looks what needs the first of them.
    let slow = Fault::new("silence").on("lambda", "ListAliases").after(1);
    let (target, execution, slow) = pruned_with(&case, slow.seconds(1.0), 4).await;
    has_struck(&case, slow).await;
    // Meanwhile a release takes the lock, and is held up longer when it reads what goes.
    let release = case.world.stack.function("deploy-green");
    let slower = Fault::new("silence").on("dynamodb", "Query").by(&release);
    let slower = case.world.fault(slower.seconds(2.5)).await;
    let mut again = case.request(json!({"retention": {"blueHours": 24}}));
    again["functions"][0]["code"] = json!({"version": "2"});
    let newer = case.start(&again).await;
    let (over, plan) = ended(&case, &execution).await;
    assert_eq!(plan["functions"][0]["delete"], json!(["1-4"]), "{plan}");
    let done = newer.wait().await;
    promoted(&target, &done, "2").await;
    assert_eq!(case.world.struck(slower).await, 1);
    let kept = &over.output["notDeleted"][0];
    let because = kept["because"].as_str().expect("it says why");
    assert!(
        because.contains("has begun, and may want any version"),
        "{over:?}"
    );
    assert_eq!(kept["versions"], json!(["1-4"]), "{over:?}");
    assert_eq!(deleted(&case, &target).await, Vec::<u32>::new());
    assert_eq!(target.versions().await, ["1", "2", "3", "4", "5"]);
}

async fn doomed(case: Case) {
    let target = with_versions(&case, 4, 4).await;
    let mut request = case.request(json!({}));
    request["functions"][0]["code"] = json!({"version": "2"});
    // A cleanup that has said what it deletes, and is at it.
    case.world.doom(&target.name, &["1", "2-3"], 0).await;
    let (_, refused) = case.release(&request).await;
    assert_eq!(refused.error, "ValidationFailed", "{refused:?}");
    let reason = refused.cause["reason"].as_str().expect("it says why");
    assert!(
        reason.contains("version 2 is about to be deleted"),
        "{reason}"
    );
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("4"), "{alias:?}");
    // One that died long ago.
    case.world.doom(&target.name, &["1", "2-3"], 3).await;
    let (_, done) = case.release(&request).await;
    promoted(&target, &done, "2").await;
}

async fn answers_are_lost(case: Case) {
    let lost = Fault::new("drop-after").on("lambda", "DeleteFunction");
    let (target, execution, lost) = pruned_with(&case, lost.times(6), 4).await;
    let (over, _) = ended(&case, &execution).await;
    assert_eq!(case.world.struck(lost).await, 6);
    assert_eq!(over.status, "SUCCEEDED", "{over:?}");
    assert_eq!(over.output["deleted"], 4, "{over:?}");
    assert_eq!(target.versions().await, ["5"]);
}

async fn fails_and_is_told(case: Case) {
    let listener = case.listener().await;
    let denied = Fault::new("access-denied").on("lambda", "ListVersionsByFunction");
    let (target, execution, denied) = pruned_with(&case, denied.always(), 4).await;
    let retention = retention(&case, &execution).await;
    let failed = ended_after_minutes(&retention).await;
    assert_eq!(failed.error, "RetentionFailed", "{failed:?}");
    assert!(
        failed
            .cause
            .as_str()
            .is_some_and(|cause| cause.contains("AccessDenied")),
        "{failed:?}"
    );
    let told = case.world.notifications(&retention.arn).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].message.contains("AccessDenied"), "{told:?}");
    let subject = told[0].subject.clone().unwrap_or_default();
    assert!(subject.starts_with("[RETENTION FAILED] app-"), "{subject}");
    let events = crate::notices::kinds(&listener, &retention, "RetentionFailed").await;
    assert_eq!(events, ["RetentionFailed"]);
    // Nothing is gone, and a release of one of the old versions is not in the way of anything.
    assert_eq!(target.versions().await, ["1", "2", "3", "4", "5"]);
    case.world.mend(denied).await;
    let mut again = case.request(json!({"retention": {"blueHours": 0, "keepVersions": 1}}));
    again["functions"][0]["code"] = json!({"version": "2"});
    let (execution, done) = case.release(&again).await;
    promoted(&target, &done, "2").await;
    // Whose retention makes up for it: 5 is the newest.
    let (over, _) = ended(&case, &execution).await;
    assert_eq!(over.status, "SUCCEEDED", "{over:?}");
    assert_eq!(target.versions().await, ["2", "5"]);
}

/// What was not deleted of this test's only function, with the reasons.
fn not_deleted(over: &Ended) -> Vec<(Vec<&str>, &str)> {
    let entries = over.output["notDeleted"].as_array();
    let entries = entries.into_iter().flatten().map(|entry| {
        let versions = entry["versions"].as_array().expect("it is a list");
        (
            versions.iter().filter_map(Value::as_str).collect(),
            entry["because"].as_str().expect("it says why"),
        )
    });
    entries.collect()
}

/// One version that AWS refuses to delete stops nothing, whatever AWS says of it.
async fn not_let_go(case: Case) {
    let denied = Fault::new("access-denied").on("lambda", "DeleteFunction");
    let (target, execution, denied) = pruned_with(&case, denied.after(1), 4).await;
    let (over, _) = ended(&case, &execution).await;
    assert_eq!(over.status, "SUCCEEDED", "{over:?}");
    assert_eq!(case.world.struck(denied).await, 1);
    assert_eq!(target.versions().await, ["2", "5"]);
    assert_eq!(over.output["deleted"], 3, "{over:?}");
    let kept = not_deleted(&over);
    assert_eq!(kept.len(), 1, "{over:?}");
    assert_eq!(kept[0].0, ["2"]);
    assert!(kept[0].1.contains("AccessDenied"), "{}", kept[0].1);
    println!("not deleted: {kept:?}");

    target.update(Behaviour::healthy("next")).await;
    let busy = Fault::new("error500").on("lambda", "DeleteFunction");
    let prune = case.world.stack.function("prune");
    let busy = busy.by(&prune).about(&target.name).always();
    let busy = case.world.fault(busy).await;
    let request = case.request(json!({"retention": {"blueHours": 0, "keepVersions": 1}}));
    let (execution, done) = case.release(&request).await;
    promoted(&target, &done, "6").await;
    let (over, _) = ended(&case, &execution).await;
    assert!(case.world.struck(busy).await > 0);
    // The same where AWS only ever answers with a failure of its own.
    assert_eq!(over.status, "SUCCEEDED", "{over:?}");
    assert_eq!(target.versions().await, ["2", "5", "6"]);
    assert_eq!(not_deleted(&over)[0].0, ["2-5"], "{over:?}");
}

async fn one_function_is_unread(case: Case) {
    let one = with_versions(&case, 3, 3).await;
    let name = format!("{}-other", case.function_name());
    let other = case
        .function_called(&name, Behaviour::healthy("blue"))
        .await;
    publish_up_to(&other, 3).await;
    other.alias(ALIAS, "3").await;
    other.update(Behaviour::healthy("green")).await;
    let prune = case.world.stack.function("prune");
    let denied = Fault::new("access-denied").on("lambda", "ListVersionsByFunction");
    case.world
        .fault(denied.by(&prune).about(&one.name).always())
        .await;
    let mut request = case.request(json!({"retention": {"blueHours": 0, "keepVersions": 1}}));
    request["functions"] = json!([
        {"functionName": one.name, "alias": ALIAS},
        {"functionName": other.name, "alias": ALIAS},
    ]);
    let (execution, done) = case.release(&request).await;
    assert_eq!(done.status, "SUCCEEDED", "{done:?}");
    let (over, plan) = ended(&case, &execution).await;
    assert_eq!(over.status, "SUCCEEDED", "{over:?}");
    let because = plan["functions"][0]["keep"][0]["because"].as_str();
    assert!(
        because.is_some_and(|text| text.contains("could not be read")
            && text.contains("AccessDenied")),
        "{plan}"
    );
    assert_eq!(one.versions().await, ["1", "2", "3", "4"]);
    assert_eq!(other.versions().await, ["4"]);
}

/// What a group of the load balancer holds is kept, for sticky clients are sent there; and
/// what another group holds, which no release has heard of.
async fn called_by_a_group(case: Case) {
    let local = &case.suite().local;
    let target = case.function(Behaviour::healthy("blue")).await;
    publish_up_to(&target, 4).await;
    let made = |sticky| Made {
        sticky_seconds: sticky,
        ..Made::default()
    };
    let name = |more: &str| format!("it-kept-{more}-{}", std::process::id());
    let alb = Alb::create(local, &name("a"), made(Some(86_400))).await;
    alb.send_to(&alb.blue, &target, "3").await;
    let other = Alb::create(local, &name("b"), made(None)).await;
    other.send_to(&other.blue, &target, "1").await;
    target.update(Behaviour::healthy("green")).await;
    // Held up at its first deletion, which is not made.
    let prune = case.world.stack.function("prune");
    let slow = Fault::new("silence").on("lambda", "DeleteFunction");
    let slow = slow.by(&prune).about(&target.name).seconds(3.0);
    let slow = case.world.fault(slow).await;
    let mut request = case.request(json!({"retention": {"blueHours": 0, "keepVersions": 1}}));
    request["functions"] = json!([{"functionName": target.name}]);
    request["traffic"] = json!({
        "type": "alb", "ruleArn": alb.rule, "targetGroupArns": [alb.blue, alb.green],
    });
    let (execution, done) = case.release(&request).await;
    assert_eq!(done.status, "SUCCEEDED", "{done:?}");
    has_struck(&case, slow).await;
    // Meanwhile somebody registers another of those that are planned to go.
    other.send_to(&other.green, &target, "4").await;
    let (over, plan) = ended(&case, &execution).await;
    assert_eq!(over.status, "SUCCEEDED", "{over:?}");
    assert_eq!(plan["functions"][0]["delete"], json!(["2", "4"]), "{plan}");
    let group = |more: &str, colour: &str| format!("target group {}-{colour} calls it", name(more));
    assert_eq!(because(&plan, "1"), group("b", "blue"), "{plan}");
    assert_eq!(because(&plan, "3"), group("a", "blue"), "{plan}");
    let late = group("b", "green");
    assert_eq!(not_deleted(&over), [(vec!["4"], late.as_str())], "{over:?}");
    assert_eq!(target.versions().await, ["1", "3", "4", "5"]);
}

async fn runs_durable_executions(case: Case) {
    let target = case.function(Behaviour::healthy("blue")).await;
    target.make_durable().await;
    publish_up_to(&target, 4).await;
    target.alias(ALIAS, "4").await;
    target.update(Behaviour::healthy("green")).await;
    let run = |version: &'static str| {
        let (control, name) = (case.suite().local.control(), target.name.clone());
        async move {
            let asked = json!({"functionName": name, "version": version});
            control.post("durable/executions", &asked).await
        }
    };
    run("2").await;
    // Held up at its first deletion, which is not made.
    let prune = case.world.stack.function("prune");
    let slow = Fault::new("silence").on("lambda", "DeleteFunction");
    let slow = slow.by(&prune).about(&target.name).seconds(3.0);
    let slow = case.world.fault(slow).await;
    let request = case.request(json!({"retention": {"blueHours": 0, "keepVersions": 1}}));
    let (execution, done) = case.release(&request).await;
    promoted(&target, &done, "5").await;
    has_struck(&case, slow).await;
    run("3").await;
    let (over, plan) = ended(&case, &execution).await;
    assert_eq!(over.status, "SUCCEEDED", "{over:?}");
    assert_eq!(because(&plan, "2"), "durable executions run on it");
    assert_eq!(
        not_deleted(&over),
        [(vec!["3"], "durable executions run on it")],
        "{over:?}"
    );
    assert_eq!(target.versions().await, ["2", "3", "5"]);
}

/// Blue is not deleted at the moment at which it has lost its traffic.
async fn requests_end(case: Case) {
    let target = with_versions(&case, 1, 1).await;
    let request = case.request(json!({"retention": {"blueHours": 0, "keepVersions": 1}}));
    let (execution, done) = case.release(&request).await;
    promoted(&target, &done, "2").await;
    let retention = retention(&case, &execution).await;
    let over = ended_after_minutes(&retention).await;
    assert_eq!(over.output["deleted"], 1, "{over:?}");
    let visits = retention.visits().await;
    let waited = visits
        .iter()
        .find(|visit| visit.state == "LetRequestsEnd")
        .expect("it waits");
    let seconds = waited.left_at.expect("it has ended") - waited.at;
    // Ten minutes, a hundred times shorter.
    assert!(seconds > 5.9, "{seconds}");
    assert_eq!(target.versions().await, ["2"]);
}

async fn cannot_be_started(case: Case) {
    let target = case.blue().await;
    let denied = Fault::new("access-denied")
        .on("states", "StartExecution")
        .by("states");
    let denied = case.world.fault(denied.always()).await;
    let execution = case.start(&case.request(json!({}))).await;
    let done = ended_after_minutes(&execution).await;
    case.world.mend(denied).await;
    promoted(&target, &done, "2").await;
    let warnings = done.output["warnings"].as_array().expect("it warns");
    let warning = warnings.last().and_then(Value::as_str).expect("it is text");
    assert!(warning.contains("no retention was started"), "{warning}");
    assert_eq!(done.output.get("failure"), None, "{done:?}");
    let told = case.world.notifications(&execution.arn).await;
    assert!(
        told.iter()
            .any(|one| one.message.contains("no retention was started")),
        "{told:?}"
    );
    assert!(case.world.retention_of(&execution).await.is_none());
    // Blue is kept all the same, and the way back to it armed.
    let (_, back) = case.release(&case.rollback()).await;
    assert_eq!(back.output["deploymentStatus"], "ROLLED_BACK", "{back:?}");
}

/// For some time after an alias has been changed, some requests still go to the version that it left.
async fn late_alias(case: Case) {
    /// As AWS has it, which does not say how long that is.
    const LAG_SECONDS: u64 = 300;
    let control = case.suite().local.control();
    control
        .post("aliases", &json!({"lagSeconds": LAG_SECONDS}))
        .await;
    let target = case.blue().await;
    let users = case.users(&target, 40.0);
    let request = case.request(json!({"retention": {"blueHours": 0, "keepVersions": 1}}));
    let since = case.world.now().await;
    let (release, done) = case.release(&request).await;
    promoted(&target, &done, "2").await;
    let writes = case.world.our_calls(since).await.into_iter();
    let written = writes
        .filter(|call| call.action == "UpdateAlias" && call.took_effect())
        .map(|call| call.answered())
        .fold(0.0, f64::max);
    ended(&case, &release).await;
    control.post("aliases", &json!({"lagSeconds": 0})).await;
    assert_eq!(target.versions().await, ["2"]);
    let late = case.last_answer_of(&target, "1");
    let met = users.stop().await.total();
    println!(
        "{} requests, {} failed; the last by the version that the alias had left came {:.1} s after the write",
        met.requests,
        met.errors,
        late - written
    );
    assert!(late > written, "some requests come late");
    assert_eq!(met.errors, 0);
}
