//! What people are told by mail and in the channel, and programs by events.

use std::{collections::BTreeSet, sync::Mutex};

use crossfade::notice::Event;
use crossfade_tests::{
    Behaviour, Execution, Target, listener::Listener, release::until, world::Fault,
};
use serde_json::{Value, json};

use crate::{
    case::{ALIAS, Case, Test, apart, canary, ended_after_minutes, test},
    faults::moved_by_another,
    promoted::promoted,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("told_of_each_step_and_of_the_promotion", promotion),
        test("told_of_an_approval_and_of_an_alarm", approval_and_alarm),
        test("told_what_a_release_is", what_it_is),
        test("told_of_a_hold_and_of_who_ended_it", hold),
        test("told_of_what_is_rejected_and_unchanged", nothing_done),
        test("told_of_what_is_stuck", stuck),
        test("events_that_cannot_be_read_are_kept", unreadable_events),
        test("told_of_what_could_invoke_nothing", nothing_invoked),
        test(
            "told_that_it_is_over_and_not_that_it_is_stuck",
            over_and_not_stuck,
        ),
        apart("told_late_or_never_endangers_nothing", cannot_tell),
        apart("told_late_what_the_execution_said", late_and_the_same),
    ]
}

/// The kinds of the events of an execution, each told as its type has it, once it has come to the last
/// one.
pub(crate) async fn kinds(listener: &Listener, execution: &Execution, last: &str) -> Vec<String> {
    let events = heard(listener, execution, last).await;
    events
        .iter()
        .map(|event| event.detail_type.to_string())
        .collect()
}

/// The events of an execution without doubles, once there is one of this kind.
pub(crate) async fn heard(listener: &Listener, execution: &Execution, last: &str) -> Vec<Event> {
    until(
        &format!("the event {last} of {}", execution.arn),
        || async {
            let mut ids = BTreeSet::new();
            let events: Vec<Event> = listener
                .heard()
                .await
                .into_iter()
                .map(|event| {
                    assert!(event["id"].is_string(), "EventBridge has sent it: {event}");
                    let read = serde_json::from_value::<Event>(event.clone());
                    read.unwrap_or_else(|error| panic!("{error}: {event}"))
                })
                .filter(|event| event.detail.execution == execution.arn)
                .filter(|event| ids.insert(event.detail.id.clone()))
                .collect();
            let there = events
                .iter()
                .any(|event| event.detail_type.to_string() == last);
            there.then_some(events)
        },
    )
    .await
}

/// The kinds of the mails and of the channel's messages of an execution, without doubles.
async fn told(case: &Case, execution: &Execution) -> (Vec<String>, Vec<Value>) {
    let mails = case.world.mails(&execution.arn).await;
    let mut mailed: Vec<String> = mails.iter().map(|mail| mail.kind().to_owned()).collect();
    let mut chatted = case.world.chat(&execution.arn).await;
    let mut ids = BTreeSet::new();
    chatted.retain(|message| ids.insert(message["id"].to_string()));
    // Steps have the same kind, and are not doubles.
    let kinds = |messages: &[Value]| -> Vec<String> {
        let kind = |message: &Value| message["metadata"]["eventType"].as_str().map(str::to_owned);
        messages.iter().filter_map(kind).collect()
    };
    if mails.len() > chatted.len() {
        mailed.dedup();
    }
    assert_eq!(mailed, kinds(&chatted), "mail and channel differ");
    for message in &chatted {
        assert_eq!(message["source"], "custom", "{message}");
        assert_eq!(message["content"]["textType"], "client-markdown");
        let thread = execution.arn.rsplit(':').next();
        assert_eq!(message["metadata"]["threadId"].as_str(), thread);
        assert!(!message.to_string().contains("--task-token"), "{message}");
    }
    (mailed, chatted)
}

async fn promotion(case: Case) {
    let listener = case.listener().await;
    let target = case.blue().await;
    let request = case.request(json!({"strategy": canary(&[(10, 0), (50, 0), (100, 0)])}));
    let (execution, ended) = case.release(&request).await;
    promoted(&target, &ended, "2").await;
    let events = heard(&listener, &execution, "Promoted").await;
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event.detail_type.to_string())
        .collect();
    let all = ["Started", "Shifted", "Shifted", "Shifted", "Promoted"];
    assert_eq!(kinds, all);
    let weights: Vec<_> = events
        .iter()
        .filter_map(|event| event.detail.weight)
        .map(crossfade::domain::weight::Weight::whole)
        .collect();
    assert_eq!(weights, [0, 10, 50, 100, 100].map(Some));
    let last = &events[4].detail;
    assert_eq!(json!(last.deployment_status), "SUCCESSFUL");
    assert!(last.retain_until.is_some());
    assert_eq!(told(&case, &execution).await.0, all);
    let mails = case.world.mails(&execution.arn).await;
    assert!(
        mails[1]
            .message
            .contains("What comes next: 50 % go to green"),
        "{}",
        mails[1].message
    );
}

/// Whoever meets the release reads what it is: at its beginning, at its end by an alarm, in a refusal, and in Lambda.
async fn what_it_is(case: Case) {
    let listener = case.listener().await;
    let target = case.blue().await;
    let alarm = case.alarm().await;
    let about = json!({"description": "Answers in German", "commit": "3f2c1d0", "by": "Ada",
        "url": "https://github.com/example/chat/pull/7"});
    let mut more = about.clone();
    more["$schema"] = json!("../request.schema.json");
    more["strategy"] = canary(&[(10, 3600), (100, 60)]);
    more["analysis"] = json!({"alarms": [alarm], "checkEverySeconds": 600});
    let request = case.request(more);
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    let line = "Answers in German, commit 3f2c1d0, by Ada";
    assert_eq!(target.description("2").await.as_deref(), Some(line));

    let mut second = request.clone();
    second["by"] = json!("Eve");
    let refused = case.start(&second).await.wait().await;
    assert_eq!(refused.error, "DeploymentInProgress", "{refused:?}");
    assert_eq!(refused.cause["about"]["by"], "Eve", "{refused:?}");

    case.world.fire(&alarm).await;
    let ended = execution.wait().await;
    assert_eq!(ended.error, "DeploymentRolledBack", "{ended:?}");
    assert_eq!(ended.cause["about"], about, "{ended:?}");
    for event in heard(&listener, &execution, "RolledBack").await {
        assert_eq!(json!(event.detail.about), about, "{event:?}");
    }
    for mail in case.world.mails(&execution.arn).await {
        for words in [line, "https://github.com/example/chat/pull/7"] {
            assert!(mail.message.contains(words), "{words}: {}", mail.message);
        }
    }
    for message in case.world.chat(&execution.arn).await {
        assert!(message.to_string().contains(line), "{message}");
    }
}

async fn approval_and_alarm(case: Case) {
    let listener = case.listener().await;
    case.blue().await;
    let alarm = case.alarm().await;
    let mut steps = canary(&[(10, 0), (100, 0)]);
    steps["approveBefore"] = json!(100);
    let request = case.request(json!({"strategy": steps, "analysis": {"alarms": [alarm]}}));
    let execution = case.start(&request).await;
    let asked = case.told(&execution, "HELD").await;
    let token = asked.token().expect("people can answer").to_owned();
    assert!(
        asked.message.contains("crossfade approve "),
        "{}",
        asked.message
    );
    execution.wait_for_state("AwaitApproval", 1).await;
    case.world.fire(&alarm).await;
    execution.wait().await;
    let events = heard(&listener, &execution, "RolledBack").await;
    let all = ["Started", "Shifted", "ApprovalNeeded", "RolledBack"];
    let is: Vec<_> = events
        .iter()
        .map(|one| one.detail_type.to_string())
        .collect();
    assert_eq!(is, all);
    let next = events[2].detail.next.clone().expect("it says what comes");
    assert!(next.at.is_some() && next.without_an_answer.is_some());
    let why = &events[3].detail;
    assert!(why.reason.contains(&alarm), "{}", why.reason);
    assert_eq!(why.evidence.alarms[0].name.as_ref(), alarm);
    assert!(!json!(events).to_string().contains(&token));
    let (mailed, chatted) = told(&case, &execution).await;
    assert_eq!(mailed, all);
    assert!(!json!(chatted).to_string().contains(&token));
}

async fn hold(case: Case) {
    let listener = case.listener().await;
    case.blue().await;
    let mut steps = canary(&[(10, 0), (100, 0)]);
    steps["approveBefore"] = json!(100);
    let execution = case
        .start(&case.request(json!({ "strategy": steps })))
        .await;
    let asked = case.told(&execution, "HELD").await;
    let no = json!({"decision": "reject", "by": "Ada", "reason": "not today"});
    execution.answer_with(asked.token().unwrap(), &no).await;
    execution.wait_for_state("Hold", 1).await;
    let held = until("people are told of the hold", || async {
        let mails = case.world.mails(&execution.arn).await;
        mails.into_iter().find(|mail| mail.kind() == "Held")
    })
    .await;
    assert!(held.message.contains("Ada rejected it: not today"));
    let back = json!({"decision": "rollBack", "by": "Grace"});
    execution.answer_with(held.token().unwrap(), &back).await;
    execution.wait().await;
    let events = heard(&listener, &execution, "RolledBack").await;
    let last = events.last().expect("there are some");
    let who: Vec<_> = last
        .detail
        .answers
        .iter()
        .map(|answer| answer.by.as_deref())
        .collect();
    assert_eq!(who, [Some("Ada"), Some("Grace")]);
    let all = ["Started", "Shifted", "ApprovalNeeded", "Held", "RolledBack"];
    assert_eq!(told(&case, &execution).await.0, all);
}

async fn nothing_done(case: Case) {
    let listener = case.listener().await;
    let target = case.blue().await;
    let mut wrong = case.request(json!({}));
    wrong["strategie"] = json!("dev");
    let (rejected, _) = case.release(&wrong).await;
    assert_eq!(kinds(&listener, &rejected, "Rejected").await, ["Rejected"]);
    let (_, ended) = case.release(&case.request(json!({}))).await;
    promoted(&target, &ended, "2").await;
    let (same, _) = case.release(&case.request(json!({}))).await;
    assert_eq!(kinds(&listener, &same, "Unchanged").await, ["Unchanged"]);
    assert_eq!(told(&case, &same).await.0, ["Unchanged"]);
}

async fn stuck(case: Case) {
    let listener = case.listener().await;
    let (_target, execution) = moved_by_another(&case).await;
    execution.wait().await;
    let events = heard(&listener, &execution, "Stuck").await;
    let last = &events.last().expect("there are some").detail;
    assert_eq!(last.weight, None, "nobody can be sure of it");
    assert!(last.reason.contains("version 3"), "{}", last.reason);
    let told = case.told(&execution, "HELD").await;
    assert!(told.subject.unwrap_or_default().starts_with("[STUCK] app-"));
}

/// EventBridge is silent, and SNS refuses: traffic moves all the same, and not much later. What a
/// release ends with is told before it ends, or the outcome says that it could not be.
async fn cannot_tell(case: Case) {
    // Nobody is told, as it would have to be, so the invariants are not asked about this one.
    let blue = Behaviour::healthy("blue");
    let target = Target::create(&case.suite().local, &case.function_name(), blue).await;
    target.publish().await;
    target.alias(ALIAS, "1").await;
    target.update(Behaviour::healthy("green")).await;
    let world = &case.world;
    let mut faults = Vec::new();
    for function in ["deploy-green", "shift-traffic"] {
        let caller = world.stack.function(function);
        let silent = Fault::new("silence").on("events", "PutEvents").by(&caller);
        let silent = silent.seconds(60.0).always();
        faults.push(world.fault(silent).await);
        let denied = Fault::new("access-denied").on("sns", "Publish").by(&caller);
        faults.push(world.fault(denied.always()).await);
    }
    let finalize = world.stack.function("finalize");
    let denied = Fault::new("access-denied")
        .on("sns", "Publish")
        .by(&finalize);
    faults.push(world.fault(denied.always()).await);
    let request = case.request(json!({"strategy": canary(&[(50, 0), (100, 0)])}));
    let begun = std::time::Instant::now();
    let execution = world.start(&request).await;
    let ended = execution.wait().await;
    let took = begun.elapsed();
    for fault in &faults {
        assert!(world.struck(*fault).await > 0);
        world.mend(*fault).await;
    }
    promoted(&target, &ended, "2").await;
    let warnings = ended.output["warnings"].to_string();
    assert!(
        warnings.contains("the notice of this could not be delivered"),
        "{warnings}"
    );
    println!(
        "untold: promoted all the same, in {:.1} s",
        took.as_secs_f64()
    );
    assert!(took.as_secs() < 60, "{took:?}");
}

/// SNS refuses while a release ends. The schedule tells people later, and the same that the execution
/// says.
async fn late_and_the_same(case: Case) {
    let target = case.blue_and(Behaviour::healthy("green")).await;
    let world = &case.world;
    let mut faults = Vec::new();
    for (caller, service, action) in [
        ("deploy-green", "lambda", "PublishVersion"),
        ("rollback", "sns", "Publish"),
    ] {
        let denied = Fault::new("access-denied").on(service, action);
        let denied = denied.by(&world.stack.function(caller)).always();
        faults.push(world.fault(denied).await);
    }
    let (execution, ended) = case.release(&case.request(json!({}))).await;
    assert_eq!(ended.error, "ValidationFailed", "{ended:?}");
    for fault in faults {
        assert!(world.struck(fault).await > 0);
        world.mend(fault).await;
    }
    assert_eq!(world.notifications(&execution.arn).await.len(), 0);
    case.ledger_says(&execution, "REJECTED").await;
    world.run_schedule().await;
    let told = case.told(&execution, "REJECTED").await;
    assert!(told.message.contains("PublishVersion"), "{}", told.message);
    assert_eq!(world.notifications(&execution.arn).await.len(), 1);
    case.alias_is(&target, "on blue", |alias| alias.settled() == Some("1"))
        .await;
}

/// What a function has failed on three times is in the queue that an alarm of the stack watches.
async fn unreadable_events(case: Case) {
    let control = case.suite().local.control();
    let machine = &case.world.stack.state_machine;
    let alarm = json!({"state": {"value": "ALARM"}, "mark": format!("{}-alarm", case.name)});
    let execution = json!({
        "status": "FAILED", "stateMachineArn": machine, "mark": format!("{}-execution", case.name),
    });
    for (source, kind, detail) in [
        ("aws.cloudwatch", "CloudWatch Alarm State Change", &alarm),
        (
            "aws.states",
            "Step Functions Execution Status Change",
            &execution,
        ),
    ] {
        control.put_event(source, kind, detail).await;
    }
    let sqs = aws_sdk_sqs::Client::new(&case.suite().local.config());
    let queues = sqs
        .list_queues()
        .queue_name_prefix("crossfade-FailedEvents");
    let queues = queues.send().await.expect("queues are listed").queue_urls;
    let [queue] = queues.unwrap_or_default().try_into().expect("there is one");
    let kept = Mutex::new(BTreeSet::new());
    until("both events are kept", || async {
        let received = sqs.receive_message().queue_url(&queue);
        let received = received.max_number_of_messages(10).visibility_timeout(1);
        let messages = received.send().await.expect("the queue is there").messages;
        let mut kept = kept.lock().expect("nobody panics with it");
        for body in messages
            .unwrap_or_default()
            .iter()
            .filter_map(|one| one.body())
        {
            let marks = [&alarm, &execution].map(|detail| detail["mark"].as_str());
            kept.extend(
                marks
                    .into_iter()
                    .flatten()
                    .filter(|mark| body.contains(*mark)),
            );
        }
        (kept.len() == 2).then_some(())
    })
    .await;
}

/// The state machine may invoke nothing, not even what tells people of failures.
async fn nothing_invoked(case: Case) {
    let target = case.blue().await;
    let own = case.world.of_release(&case.name).await;
    let denied = Fault::new("access-denied")
        .on("lambda", "Invoke")
        .by("states")
        .of_release(&case.name);
    let denied = own.fault(denied.always()).await;
    let execution = case.start(&case.request(json!({}))).await;
    let ended = ended_after_minutes(&execution).await;
    assert_eq!(ended.error, "RollbackFailed", "{ended:?}");
    own.mend(denied).await;
    let told = case.told(&execution, "REJECTED").await;
    assert!(told.message.contains("RollbackFailed"), "{}", told.message);
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"), "{alias:?}");
}

/// Traffic is put back and the deployment closed, and no answer tells so to the function that does it.
async fn over_and_not_stuck(case: Case) {
    let target = case.blue().await;
    let own = case.world.of_release(&case.name).await;
    let request = case.request(json!({
        "strategy": canary(&[(50, 3600), (100, 0)]), "analysis": {"checkEverySeconds": 3600},
    }));
    let execution = case.start(&request).await;
    execution.wait_for_state("Bake", 1).await;
    let lost = Fault::new("drop-after")
        .on("dynamodb", "TransactWriteItems")
        .by(&case.world.stack.function("rollback"))
        .of_release(&case.name);
    let lost = own.fault(lost.always()).await;
    execution.stop().await;
    case.ledger_says(&execution, "ROLLED_BACK").await;
    until("the end of the last try", || async {
        (own.at_work().await == 0).then_some(())
    })
    .await;
    assert!(own.struck(lost).await >= 3, "each try lost its answer");
    own.mend(lost).await;
    let told = case.world.notifications(&execution.arn).await;
    let said: Vec<_> = told.iter().map(|mail| mail.status().to_owned()).collect();
    assert!(
        said.iter().all(|status| status == "ROLLED_BACK"),
        "{said:?}"
    );
    let alias = target.look(ALIAS).await.expect("the alias is there");
    assert_eq!(alias.settled(), Some("1"), "{alias:?}");
}
