//! What the local AWS says, beside aliases and executions: the ledger, notifications, calls; and
//! what can be done to it: faults, lost events, alarms.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::types::{ComparisonOperator, StateValue, Statistic};
use aws_sdk_dynamodb::{primitives::DateTime, types::AttributeValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    LocalAws, Stack,
    local::Control,
    release::{Execution, Starter},
};

/// A lock as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Such as `function/chat-api`.
    pub name: String,
    /// The execution that holds it.
    pub execution: String,
}

/// What people were told.
#[derive(Clone, Debug, Deserialize)]
pub struct Notification {
    /// When, seconds since 1970.
    pub time: f64,
    /// The subject.
    #[serde(default)]
    pub subject: Option<String>,
    /// The text.
    pub message: String,
    /// Attributes, as SNS has them.
    #[serde(default)]
    attributes: Value,
}

impl Notification {
    /// Its attribute `deploymentStatus`.
    #[must_use]
    pub fn status(&self) -> &str {
        self.attribute("deploymentStatus")
    }

    /// Its attribute `kind`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.attribute("kind")
    }

    fn attribute(&self, name: &str) -> &str {
        let attribute = &self.attributes[name];
        ["Value", "StringValue"]
            .iter()
            .find_map(|name| attribute[*name].as_str())
            .unwrap_or_default()
    }

    /// The token of a hold, from the commands that it names.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.message
            .split("--task-token '")
            .nth(1)?
            .split('\'')
            .next()
    }

    /// The link to the release's page, which only shows.
    #[must_use]
    pub fn page(&self) -> Option<&str> {
        let words = self.message.split_whitespace();
        words
            .filter(|word| word.starts_with("https://"))
            .find(|word| word.contains("&signature="))
    }

    /// The link to the page where it can be answered.
    #[must_use]
    pub fn link(&self) -> Option<&str> {
        let words = self.message.split_whitespace();
        words
            .filter(|word| word.starts_with("https://"))
            .find(|word| word.contains("&nonce="))
    }
}

/// One call of an AWS API, as the local AWS logged it.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// Its place in the log.
    pub seq: u64,
    /// When it came, seconds since 1970.
    pub time: f64,
    /// Such as `lambda`.
    pub service: String,
    /// Such as `UpdateAlias`.
    pub action: String,
    /// The function that made it; none for those of the tests.
    pub caller: Option<String>,
    /// The answer's HTTP status, even when it was lost on the way; 0 when there was none.
    pub status: u16,
    /// What it was about.
    pub resource: Option<String>,
    /// The error's name, or the fault's.
    pub error: Option<String>,
    /// What a write to Lambda's control plane asked for.
    #[serde(default)]
    pub asked: Option<Value>,
    /// Whether it was made while an invocation of the release that it is logged under was served.
    #[serde(default)]
    pub served: bool,
    /// How long its answer took, seconds.
    #[serde(default)]
    pub seconds: f64,
}

impl Call {
    /// Whether it took effect, whatever its caller was told.
    #[must_use]
    pub fn took_effect(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// When it was answered, seconds since 1970.
    #[must_use]
    pub fn answered(&self) -> f64 {
        self.time + self.seconds
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn writes(&self) -> bool {
        const READS: [&str; 5] = ["Get", "List", "Describe", "Query", "BatchGet"];
        !READS.iter().any(|read| self.action.starts_with(read))
    }
}

/// One invocation of a function, as the local AWS saw it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invocation {
    /// When it was asked for, seconds since 1970.
    pub time: f64,
    /// The function.
    pub function: String,
    /// Whether a process was started for it.
    pub cold: bool,
    /// How long that start took, milliseconds.
    pub init_ms: f64,
    /// How long the answer took after that, milliseconds.
    pub duration_ms: f64,
    /// What the start took of a CPU, milliseconds.
    pub init_cpu_ms: f64,
    /// What the answer took of a CPU, milliseconds.
    pub cpu_ms: f64,
    /// The function's memory, MB.
    pub memory_mb: u32,
    /// Whether the function failed.
    pub error: bool,
}

/// What to do to calls that match.
#[derive(Clone, Debug)]
pub struct Fault {
    fields: Map<String, Value>,
}

impl Fault {
    /// Returns a fault of a kind that tests/local/README.md lists; it strikes once, unless told otherwise.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self {
            fields: Map::from_iter([("kind".to_owned(), json!(kind))]),
        }
    }

    /// Returns a fault that answers with an error of the service.
    #[must_use]
    pub fn refuse(status: u16, code: &str, message: &str) -> Self {
        Self::new("refuse")
            .with("status", json!(status))
            .with("code", json!(code))
            .with("message", json!(message))
    }

    /// Of this service's action only.
    #[must_use]
    pub fn on(self, service: &str, action: &str) -> Self {
        self.with("service", json!(service))
            .with("action", json!(action))
    }

    /// By this function only.
    #[must_use]
    pub fn by(self, caller: &str) -> Self {
        self.with("caller", json!(caller))
    }

    /// By invocations of this release only; see [`World::of_release`].
    #[must_use]
    pub fn of_release(self, token: &str) -> Self {
        self.with("release", json!(token))
    }

    /// About this resource only.
    #[must_use]
    pub fn about(self, resource: &str) -> Self {
        self.with("resource", json!(resource))
    }

    /// Until it is mended.
    #[must_use]
    pub fn always(self) -> Self {
        self.with("times", Value::Null)
    }

    /// So often.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        self.with("times", json!(times))
    }

    /// After so many that are let through.
    #[must_use]
    pub fn after(self, skip: u32) -> Self {
        self.with("skip", json!(skip))
    }

    /// How long a silence is.
    #[must_use]
    pub fn seconds(self, seconds: f64) -> Self {
        self.with("seconds", json!(seconds))
    }

    /// How long a call that it strikes is late.
    #[must_use]
    pub fn late_by(&self) -> Duration {
        let is_late = self.fields["kind"] == "late" || self.fields["kind"] == "stop-late";
        let seconds = self.fields.get("seconds").and_then(Value::as_f64);
        Duration::from_secs_f64(seconds.filter(|_| is_late).unwrap_or_default())
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }
}

/// What the local AWS says.
#[derive(Clone, Debug)]
pub struct World {
    /// The deployed stack.
    pub stack: Stack,
    /// The control API.
    pub control: Control,
    /// CloudWatch, for what this does not do.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    /// Step Functions, for what this does not do.
    pub sfn: aws_sdk_sfn::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    starter: Arc<Starter>,
    /// Where releases have their retention started, whoever interprets the releases themselves.
    retentions: Arc<Starter>,
    /// The token of the release that this is narrowed to.
    release: Option<String>,
}

impl World {
    /// The world around a stack. Its clients belong to the runtime that makes them.
    #[must_use]
    pub fn new(local: &LocalAws, stack: &Stack) -> Self {
        Self::of(local, stack, &local.config())
    }

    /// The same with moto's Step Functions, which are given the stack's own state machine.
    ///
    /// # Panics
    /// When moto was not asked for.
    pub async fn on_moto(local: &LocalAws, stack: &Stack) -> Self {
        let world = Self::new(local, stack);
        let moto = local.moto_config().expect("moto was asked for");
        let made = world.copied(&moto, &stack.state_machine).await;
        let stack = Stack {
            state_machine: made,
            ..stack.clone()
        };
        Self::of(local, &stack, &moto)
    }

    /// Starts an execution of the retention's definition on moto's interpreter. Those of releases on
    /// moto run where the deployed machine is.
    ///
    /// # Panics
    /// When moto was not asked for.
    pub async fn start_retention_on_moto(&self, local: &LocalAws, input: &Value) -> Execution {
        let moto = local.moto_config().expect("moto was asked for");
        let made = self.copied(&moto, &self.stack.retention).await;
        Starter::new(&moto, &made).start(input).await
    }

    /// Gives moto a deployed state machine.
    async fn copied(&self, moto: &SdkConfig, state_machine: &str) -> String {
        let deployed = self
            .sfn
            .describe_state_machine()
            .state_machine_arn(state_machine)
            .send()
            .await
            .expect("the state machine is deployed");
        let made = aws_sdk_sfn::Client::new(moto)
            .create_state_machine()
            .name(deployed.name)
            .definition(deployed.definition)
            .role_arn(deployed.role_arn)
            .send()
            .await
            .expect("moto takes the definition");
        made.state_machine_arn
    }

    fn of(local: &LocalAws, stack: &Stack, states: &SdkConfig) -> Self {
        let config = local.config();
        Self {
            stack: stack.clone(),
            control: local.control(),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(states),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            starter: Arc::new(Starter::new(states, &stack.state_machine)),
            retentions: Arc::new(Starter::new(&config, &stack.retention)),
            release: None,
        }
    }

    /// The world as far as it is about one release: only the calls and notifications that are. `token`
    /// has to be in the names of all that the release has, its execution's among them.
    pub async fn of_release(&self, token: &str) -> Self {
        self.control
            .post("releases", &json!({ "token": token }))
            .await;
        Self {
            release: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// Forgets what is kept of the release that this is narrowed to, in the ledger as well.
    pub async fn forget(&self) {
        let Some(token) = &self.release else { return };
        let about = self.rows("contains(pk, :p) OR contains(sk, :p)", token);
        for row in about.await {
            let key = |name: &str| row.get(name).cloned().expect("every row has it");
            let call = self.dynamodb.delete_item().table_name(&self.stack.table);
            let call = call.key("pk", key("pk")).key("sk", key("sk"));
            call.send().await.expect("the ledger can be written");
        }
        self.control
            .delete(&format!("releases?token={token}"))
            .await;
    }

    /// How many asynchronous invocations are on their way, with those that wait to be tried again: of
    /// the release that this is narrowed to, else those that are of none.
    pub async fn at_work(&self) -> u64 {
        let token = self.release.as_deref().unwrap_or_default();
        let said = self.control.get("releases").await;
        let known = said["releases"].as_array().cloned().unwrap_or_default();
        let own = known.iter().find(|one| one["token"] == token);
        own.and_then(|one| one["atWork"].as_u64())
            .unwrap_or_default()
    }

    /// Starts a release, or a rollback by hand.
    pub async fn start(&self, input: &Value) -> Execution {
        self.starter.start(input).await
    }

    /// The same under a name.
    pub async fn start_as(&self, name: &str, input: &Value) -> Execution {
        self.starter.start_as(Some(name), input).await
    }

    /// Waits until an execution has ended, or has entered a state for the nth time, counted from 1;
    /// else for so long. Tells whether the state was reached.
    pub async fn wait_for(
        &self,
        execution: &Execution,
        state: &str,
        nth: usize,
        patience: Duration,
    ) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let seconds = left.as_secs_f64().min(20.0);
            let arn = &execution.arn;
            let path =
                format!("executions/wait?arn={arn}&state={state}&nth={nth}&seconds={seconds}");
            let said = self.control.get(&path).await;
            let reached = said["reached"] == true;
            if reached || said["status"] != "RUNNING" || left.is_zero() {
                return reached;
            }
        }
    }

    /// An execution that has been started.
    #[must_use]
    pub fn execution(&self, arn: &str) -> Execution {
        self.starter.existing(arn)
    }

    /// The execution that keeps blue after a release, and cleans up after that; none when none was
    /// started.
    pub async fn retention_of(&self, release: &Execution) -> Option<Execution> {
        let name = release.arn.rsplit(':').next()?;
        let machine = self
            .stack
            .retention
            .replace(":stateMachine:", ":execution:");
        let execution = self.retentions.existing(&format!("{machine}:{name}"));
        execution.exists().await.then_some(execution)
    }

    // The ledger.

    /// The locks that are taken, by all deployments.
    pub async fn locks(&self) -> Vec<Lock> {
        self.scan("begins_with(pk, :p)", "LOCK#")
            .await
            .into_iter()
            .map(|row| Lock {
                name: field(&row, "pk").trim_start_matches("LOCK#").to_owned(),
                execution: field(&row, "execution"),
            })
            .collect()
    }

    /// The locks that one execution holds.
    pub async fn locks_of(&self, execution: &str) -> Vec<String> {
        let locks = self.locks().await;
        locks
            .into_iter()
            .filter(|lock| lock.execution == execution)
            .map(|lock| lock.name)
            .collect()
    }

    /// A deployment's row; none when it took no locks.
    pub async fn deployment(&self, execution: &str) -> Option<Map<String, Value>> {
        let got = self
            .dynamodb
            .get_item()
            .table_name(&self.stack.table)
            .key("pk", AttributeValue::S(format!("DEPLOYMENT#{execution}")))
            .key("sk", AttributeValue::S("-".into()))
            .consistent_read(true)
            .send()
            .await
            .expect("the ledger can be read");
        got.item.map(|item| plain(&item))
    }

    /// What links to pages are signed with, as the ledger keeps it.
    ///
    /// # Panics
    /// When no release has made it yet.
    pub async fn page_key(&self) -> String {
        let got = self
            .dynamodb
            .get_item()
            .table_name(&self.stack.table)
            .key("pk", AttributeValue::S("PAGEKEY".into()))
            .key("sk", AttributeValue::S("-".into()))
            .consistent_read(true)
            .send()
            .await
            .expect("the ledger can be read");
        let row = got.item.map(|item| plain(&item)).unwrap_or_default();
        let key = field(&row, "key");
        assert!(!key.is_empty(), "a release has made the key");
        key
    }

    /// The status in a deployment's row; empty without one.
    pub async fn deployment_status(&self, execution: &str) -> String {
        let row = self.deployment(execution).await;
        row.map(|row| field(&row, "status")).unwrap_or_default()
    }

    /// The executions whose deployments the ledger calls running.
    pub async fn running(&self) -> Vec<String> {
        self.scan("pk = :p", "RUNNING")
            .await
            .iter()
            .map(|row| field(row, "sk"))
            .collect()
    }

    /// The rows by which an execution watches its alarms, by the alarm's name.
    pub async fn watches_of(&self, execution: &str) -> BTreeMap<String, Map<String, Value>> {
        self.scan("begins_with(pk, :p)", "ALARM#")
            .await
            .into_iter()
            .filter(|row| field(row, "sk") == execution)
            .map(|row| {
                (
                    field(&row, "pk").trim_start_matches("ALARM#").to_owned(),
                    row,
                )
            })
            .collect()
    }

    /// What releases have promised to keep of a function, by their executions.
    pub async fn promises_of(&self, function: &str) -> BTreeMap<String, Map<String, Value>> {
        let rows = self.scan("pk = :p", &format!("RETAINED#{function}")).await;
        let rows = rows.into_iter().map(|row| (field(&row, "sk"), row));
        rows.collect()
    }

    /// Says that versions of a function are about to be deleted, as a cleanup did so many hours ago
    /// that never came to its end.
    pub async fn doom(&self, function: &str, spans: &[&str], hours_ago: u64) {
        let at = SystemTime::now() - Duration::from_hours(hours_ago);
        self.dynamodb
            .put_item()
            .table_name(&self.stack.table)
            .item("pk", AttributeValue::S(format!("DOOMED#{function}")))
            .item("sk", AttributeValue::S("a cleanup that died".into()))
            .item("versions", AttributeValue::S(json!(spans).to_string()))
            .item("at", AttributeValue::S(DateTime::from(at).to_string()))
            .send()
            .await
            .expect("the ledger can be written");
    }

    async fn scan(&self, filter: &str, value: &str) -> Vec<Map<String, Value>> {
        self.rows(filter, value).await.iter().map(plain).collect()
    }

    async fn rows(
        &self,
        filter: &str,
        value: &str,
    ) -> Vec<std::collections::HashMap<String, AttributeValue>> {
        self.dynamodb
            .scan()
            .table_name(&self.stack.table)
            .filter_expression(filter)
            .expression_attribute_values(":p", AttributeValue::S(value.into()))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .expect("the ledger can be read")
    }

    // People.

    /// What people were told of how an execution stands or ended, in order: all mails but those that
    /// only say that it goes on.
    pub async fn notifications(&self, execution: &str) -> Vec<Notification> {
        let mut mails = self.mails(execution).await;
        mails.retain(|mail| !["Started", "Shifted"].contains(&mail.kind()));
        mails
    }

    /// All mails about an execution, in order.
    pub async fn mails(&self, execution: &str) -> Vec<Notification> {
        let line = format!("Execution: {execution}\n");
        let mut told = self.published(&self.stack.topic).await;
        told.retain(|notification| notification.message.contains(&line));
        told
    }

    /// All messages in the channel about an execution, in order.
    pub async fn chat(&self, execution: &str) -> Vec<Value> {
        let told = self.published(&self.stack.chat).await;
        let messages = told.into_iter().map(|notification| {
            serde_json::from_str::<Value>(&notification.message).expect("a channel is told JSON")
        });
        messages
            .filter(|message| message["metadata"]["relatedResources"][0] == execution)
            .collect()
    }

    async fn published(&self, topic: &str) -> Vec<Notification> {
        let about = self.release.as_deref().unwrap_or_default();
        let told = self
            .control
            .get(&format!("notifications?topic={topic}&about={about}"))
            .await;
        serde_json::from_value(told).expect("notifications are as README.md says")
    }

    // Calls and what is done to them.

    /// Where the log of calls is now.
    pub async fn now(&self) -> u64 {
        self.control.get("health").await["calls"]
            .as_u64()
            .expect("it counts calls")
    }

    /// The calls since a place in the log, in the order of their answers.
    pub async fn calls(&self, since: u64) -> Vec<Call> {
        let about = self.release.as_deref().unwrap_or_default();
        let path = format!("calls?since={since}&release={about}");
        let mut said = self.control.get(&path).await;
        serde_json::from_value(said["calls"].take()).expect("calls are as README.md says")
    }

    /// Those of them that our functions made.
    pub async fn our_calls(&self, since: u64) -> Vec<Call> {
        let ours = format!("{}-", self.stack.name);
        let calls = self.calls(since).await;
        calls
            .into_iter()
            .filter(|call| {
                call.caller
                    .as_ref()
                    .is_some_and(|caller| caller.starts_with(&ours))
            })
            .collect()
    }

    /// How many calls each of our functions made since a place in the log.
    pub async fn calls_by_caller(&self, since: u64) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in self.our_calls(since).await {
            *counts.entry(call.caller.unwrap_or_default()).or_default() += 1;
        }
        counts
    }

    /// How many functions ran so far: a place in the list of invocations.
    pub async fn invoked(&self) -> u64 {
        self.control.get("health").await["invocations"]
            .as_u64()
            .expect("it counts invocations")
    }

    /// The invocations of our functions since a place in the list, in the order of their ends.
    pub async fn invocations(&self, since: u64) -> Vec<Invocation> {
        let about = self.release.as_deref().unwrap_or_default();
        let mut said = self
            .control
            .get(&format!("invocations?since={since}&release={about}"))
            .await;
        let all: Vec<Invocation> = serde_json::from_value(said["invocations"].take())
            .expect("invocations are as README.md says");
        let ours = format!("{}-", self.stack.name);
        let ours = |one: &Invocation| one.function.starts_with(&ours);
        all.into_iter().filter(ours).collect()
    }

    /// Has something go wrong. Returns its number.
    pub async fn fault(&self, fault: Fault) -> u64 {
        let said = self
            .control
            .post("faults", &Value::Object(fault.fields))
            .await;
        said["id"].as_u64().expect("a fault has a number")
    }

    /// Has a fault strike no more.
    pub async fn mend(&self, fault: u64) {
        self.control.delete(&format!("faults?id={fault}")).await;
    }

    /// How often a fault has struck.
    pub async fn struck(&self, fault: u64) -> u64 {
        let said = self.control.get("faults").await;
        let faults = said["faults"].as_array().cloned().unwrap_or_default();
        faults
            .iter()
            .find(|one| one["id"] == fault)
            .and_then(|one| one["hits"].as_u64())
            .unwrap_or_default()
    }

    /// Has Lambda's control plane throttle above so many calls a second by all together, but for
    /// `GetFunction` and `GetPolicy`, which have limits of their own; none: it throttles nothing.
    pub async fn limit_control_plane(&self, per_second: Option<u32>) {
        let limits = json!({ "lambdaControlPlanePerSecond": per_second });
        self.control.post("limits", &limits).await;
    }

    /// What happens to EventBridge events of a kind whose detail matches: `drop`, `duplicate` (with
    /// `count`) or `delay` (with `seconds`).
    pub async fn event_rule(&self, rule: Value) {
        self.control.post("events/rules", &rule).await;
    }

    /// Fires the stack's schedule now.
    pub async fn run_schedule(&self) {
        let rule = json!({"rule": self.stack.name});
        self.control.post("schedules/run", &rule).await;
    }

    // Alarms.

    /// Makes an alarm that never evaluates by itself to anything but missing data, and sets it OK.
    pub async fn make_alarm(&self, name: &str) {
        self.cloudwatch
            .put_metric_alarm()
            .alarm_name(name)
            .namespace("Crossfade/Tests")
            .metric_name(name)
            .statistic(Statistic::Sum)
            .period(60)
            .evaluation_periods(1)
            .threshold(1.0)
            .comparison_operator(ComparisonOperator::GreaterThanThreshold)
            .treat_missing_data("ignore")
            .send()
            .await
            .expect("an alarm can be made");
        self.set_alarm(name, StateValue::Ok).await;
    }

    /// Makes a composite alarm of others.
    pub async fn make_composite_alarm(&self, name: &str, rule: &str) {
        self.cloudwatch
            .put_composite_alarm()
            .alarm_name(name)
            .alarm_rule(rule)
            .send()
            .await
            .expect("a composite alarm can be made");
    }

    /// Sets an alarm's state, which sends its event when it changes.
    pub async fn set_alarm(&self, name: &str, state: StateValue) {
        self.cloudwatch
            .set_alarm_state()
            .alarm_name(name)
            .state_reason(format!("3 datapoints of {name} were over the threshold"))
            .state_value(state)
            .send()
            .await
            .expect("an alarm can be set");
    }

    /// Has an alarm fire.
    pub async fn fire(&self, alarm: &str) {
        self.set_alarm(alarm, StateValue::Alarm).await;
    }
}

/// A text field of a row; empty when it has none of the name.
#[must_use]
pub fn field(row: &Map<String, Value>, name: &str) -> String {
    row.get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn plain(item: &std::collections::HashMap<String, AttributeValue>) -> Map<String, Value> {
    item.iter()
        .map(|(name, value)| {
            let value = match value {
                AttributeValue::S(text) => json!(text),
                AttributeValue::N(number) => number.parse().map_or(Value::Null, Value::Number),
                AttributeValue::Bool(yes) => json!(yes),
                other => json!(format!("{other:?}")),
            };
            (name.clone(), value)
        })
        .collect()
}
