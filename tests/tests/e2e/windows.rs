//! Releases outside of the stack's windows.

use std::time::SystemTime;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use crossfade_tests::{Target, world::field};
use serde_json::json;

use crate::{
    case::{ALIAS, Case, Test, apart},
    promoted::promoted,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![apart("windows_refuse_and_are_overridden", windows)]
}

/// A window that opens in three days.
fn closed() -> String {
    let now: DateTime<Utc> = SystemTime::now().into();
    let day = (now + TimeDelta::days(3)).weekday();
    format!("{day} 00:00-00:30 UTC")
}

async fn set(case: &Case, windows: &str) {
    let variables = [("RELEASE_WINDOWS", windows)];
    let suite = case.suite();
    let stack = &suite.world.stack;
    let function = Target::existing(&suite.local, &stack.function("deploy-green"));
    function.updated().await;
    stack
        .set_variables(&suite.local, &["deploy-green"], &variables)
        .await;
    function.updated().await;
}

async fn windows(case: Case) {
    let target = case.blue().await;
    let window = closed();
    set(&case, &window).await;
    let (refused, no) = case.release(&case.request(json!({}))).await;
    let overridden = json!({"by": "Ada", "reason": "checkout is down"});
    let request = case.request(json!({"overrideFreeze": overridden}));
    let before = (target.look(ALIAS).await, target.versions().await);
    let (release, yes) = case.release(&request).await;
    let by_hand = case.release(&case.rollback()).await.1;
    set(&case, "office hours").await;
    let (_, unreadable) = case.release(&case.request(json!({}))).await;
    // What all tests share is as it was before anything is asserted.
    set(&case, "").await;

    assert_eq!(no.error, "InvalidRequest", "{no:?}");
    assert_eq!(no.cause["deploymentStatus"], "REJECTED", "{no:?}");
    let why = no.cause["reason"].as_str().unwrap_or_default();
    println!("windows: {why}");
    assert!(
        why.contains(&format!("releases begin {window} only")),
        "{why}"
    );
    assert!(why.contains("the next one opens on"), "{why}");
    case.told(&refused, "REJECTED").await;
    let (alias, versions) = before;
    let alias = alias.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"), "nothing was touched: {alias:?}");
    assert_eq!(versions, ["1"], "nothing was published");

    assert_eq!(yes.status, "SUCCEEDED", "{yes:?}");
    assert_eq!(
        yes.output["evidence"]["overrideFreeze"], overridden,
        "{yes:?}"
    );
    let told = case.told(&release, "SUCCESSFUL").await;
    assert!(
        told.message.contains("overridden by Ada: checkout is down"),
        "{}",
        told.message
    );
    let row = case
        .world
        .deployment(&release.arn)
        .await
        .expect("it has a row");
    assert_eq!(field(&row, "overrideFreeze"), overridden.to_string());

    assert_eq!(
        by_hand.output["deploymentStatus"], "ROLLED_BACK",
        "no rollback is frozen: {by_hand:?}"
    );
    assert_eq!(unreadable.error, "InvalidRequest", "{unreadable:?}");
    let why = unreadable.cause["reason"].as_str().unwrap_or_default();
    assert!(why.contains("ReleaseWindows cannot be read"), "{why}");

    let (_, open) = case.release(&case.request(json!({}))).await;
    promoted(&target, &open, "2").await;
}
