//! What a release would do and cost, from its request alone.
//!
//! It counts the way in which all goes well: every look finds green healthy, nothing is tried again, and an
//! operator who is asked approves. The end-to-end suite compares it with a release that was made.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ops::{Add, Mul},
};

use crossfade::{
    domain::{
        analysis::{
            Analysis,
            responses::{OwnMetric, Responses},
        },
        budget::Pace,
        names::Application,
        plan::Plan,
        routing::weighted::{Scale, Shares},
        weight::Weight,
    },
    wire::{
        request::{Code, ReleaseRequest, Traffic},
        state_name::StateName,
    },
};
use serde::Serialize;

/// What a release would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Estimate {
    /// What is released.
    pub(crate) application: Application,
    /// The steps.
    pub(crate) steps: Vec<Step>,
    /// How long all bakes take, seconds, where every one ends when the plan says.
    pub(crate) seconds: u64,
    /// How long they may take, seconds, where each is extended to its limit.
    pub(crate) longest_seconds: u64,
    /// The states that are entered, each a transition that Step Functions bills.
    pub(crate) state_transitions: u64,
    /// Those of the retention, which begins after the promotion.
    pub(crate) retention_transitions: u64,
    /// How many events the execution has at the most, of the 25,000 that it may have: every bake extended to its limit,
    /// every hook in progress until its timeout.
    pub(crate) events: u32,
    /// The AWS calls that Crossfade's functions make, by service and action.
    pub(crate) calls: BTreeMap<&'static str, u64>,
    /// What it costs.
    pub(crate) cost: Cost,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Step {
    /// Percent of traffic on green.
    pub(crate) weight: Weight,
    /// What it is in the weights of records or target groups; none for an alias, which takes it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shares: Option<Split>,
    /// When it begins at the earliest, seconds after the first one.
    pub(crate) after_seconds: u64,
    /// How long it bakes.
    pub(crate) bake_seconds: u32,
    /// How long it may bake where there is too little to judge by.
    pub(crate) longest_seconds: u32,
    /// How often it is looked at.
    pub(crate) looks: u64,
    /// Whether an operator is asked before it.
    pub(crate) approval: bool,
}

/// The weights of both colours, and what green has by them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Split {
    /// Blue's weight.
    pub(crate) blue: u32,
    /// Green's weight.
    pub(crate) green: u32,
    /// Green's share in percent, to the nearest tenth.
    pub(crate) percent: f64,
}

impl Split {
    fn of(weight: Weight, scale: Scale) -> Self {
        let shares = Shares::at(weight, scale);
        Self {
            blue: shares.blue,
            green: shares.green,
            percent: shares.percent(),
        }
    }
}

impl Step {
    /// Returns the weight; a tenth with what it is in the weights of records or groups.
    pub(crate) fn on_green(&self) -> String {
        let weight = self.weight;
        let Some(Split {
            blue,
            green,
            percent,
        }) = self.shares.as_ref().filter(|_| weight.whole().is_none())
        else {
            return weight.to_string();
        };
        let of = format!("{green} of {}", blue + green);
        if Weight::try_from(*percent) == Ok(weight) {
            format!("{weight} ({of})")
        } else {
            format!("{weight} (in fact {percent} %, {of})")
        }
    }
}

/// US dollars at us-east-1's list prices, without free tiers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cost {
    /// State transitions of release and retention.
    pub(crate) step_functions: f64,
    /// Crossfade's own functions.
    pub(crate) lambda: f64,
    /// Metrics that are read.
    pub(crate) cloud_watch: f64,
    /// The ledger.
    pub(crate) dynamo_db: f64,
    /// Notifications and events.
    pub(crate) telling: f64,
    /// All of it.
    pub(crate) total: f64,
}

/// A state transition, US dollars (<https://aws.amazon.com/step-functions/pricing/>).
const TRANSITION: f64 = 0.025 / 1e3;

/// A request to a function, and a second of one with 256 MB on arm64, US dollars (<https://aws.amazon.com/lambda/pricing/>).
const INVOCATION: f64 = 0.20 / 1e6;
const SECOND: f64 = 0.25 * 0.000_013_333_4;

/// What a function's run takes as a rule, seconds: it waits for AWS's answers. Making green takes longer.
const RUN_SECONDS: f64 = 1.0;
const MAKING_SECONDS: f64 = 10.0;

/// A metric that `GetMetricData` is requested, US dollars.
const METRIC: f64 = 0.01 / 1e3;

/// A write and a read of DynamoDB's on-demand tables, US dollars. In a transaction each counts twice.
const WRITE: f64 = 0.625 / 1e6;
const READ: f64 = 0.125 / 1e6;

/// A notification and an event, US dollars. An email counts as a call.
const NOTIFICATION: f64 = 0.50 / 1e6;
const EVENT: f64 = 1.00 / 1e6;

/// Metrics that a look reads of a function: requests, errors, throttles and p99 of green, requests, errors
/// and throttles of blue.
const SERIES: u64 = 7;
/// And the slow ones of each, where slowness is tested.
const SLOW_SERIES: u64 = 2;
/// Metrics of blue's past, by the minute and by the hour: requests and errors; and slow ones.
const PAST_SERIES: u64 = 4;
const SLOW_PAST_SERIES: u64 = 2;

/// States of a release beside its steps.
const AROUND_STEPS: [StateName; 10] = [
    StateName::Route,
    StateName::DeployGreen,
    StateName::Decide,
    StateName::ValidateGreen,
    StateName::Decide,
    StateName::DeploymentSuccessful,
    StateName::FinalizeDeployment,
    StateName::StartRetention,
    StateName::Decide,
    StateName::Done,
];
/// States of a look.
const LOOK: [StateName; 3] = [StateName::Bake, StateName::CheckAlarms, StateName::Decide];
/// States of an approval.
const APPROVAL: [StateName; 3] = [
    StateName::AwaitApproval,
    StateName::CheckAlarms,
    StateName::Decide,
];
/// States of a stage that is wired already.
const STAGE: [StateName; 2] = [StateName::WireStage, StateName::Decide];

/// States of a retention: SupersedeOlder, KeepBlue, LetRequestsEnd, PlanCleanup, PruneVersions, MoreToPrune,
/// RetentionOver.
const STATES_OF_A_RETENTION: u64 = 7;
/// Turns of the wait for DNS after a shift: a minute until Route 53 has it in force, asked every 10
/// seconds, and once more for resolvers to forget.
const TURNS_OF_DNS: u64 = 7;

/// What a request would do.
pub(crate) fn estimate(request: &ReleaseRequest) -> Estimate {
    let plan = request.plan();
    let pace = request.pace();
    let steps = steps(&plan, request, &pace);
    let looks: u64 = steps.iter().map(|step| step.looks).sum();
    let approvals = count(steps.iter().filter(|step| step.approval));
    let shifts = count(&steps);
    let dns = match request.traffic {
        Traffic::Route53(_) => shifts * TURNS_OF_DNS,
        Traffic::Alias | Traffic::Alb(_) => 0,
    };
    let stages = u64::from(request.front_door.is_some());
    let entered: [(&[StateName], u64); 5] = [
        (&AROUND_STEPS, 1),
        (&[StateName::ShiftTraffic], shifts),
        (&LOOK, looks + dns),
        (&APPROVAL, approvals),
        (&STAGE, stages),
    ];
    let state_transitions = entered.iter().map(|(states, times)| count(*states) * times);
    let state_transitions = state_transitions.sum();
    let tasks = entered.iter().map(|(states, times)| {
        let tasks = states.iter().filter(|state| state.invokes_a_handler());
        count(tasks) * times
    });
    let judged: u64 = steps
        .iter()
        .filter(|step| step.weight > Weight::ZERO && step.bake_seconds > 0)
        .map(|step| step.looks)
        .sum();
    let calls = calls(request, &steps, looks + dns, judged, approvals);
    let functions = count(&request.functions);
    let slow = u64::from(request.analysis.slower_than_ms.is_some());
    let metrics = functions
        * (judged * (SERIES + slow * SLOW_SERIES) + PAST_SERIES + slow * SLOW_PAST_SERIES)
        + sources(&request.analysis, judged);
    let rows = 3 + functions + count(&request.analysis.alarms);
    let made = |call: &str| calls.get(call).copied().unwrap_or_default();
    let cost = Cost::of(&Billed {
        transitions: state_transitions + STATES_OF_A_RETENTION,
        tasks: tasks.sum(),
        metrics,
        // A transaction writes each of its rows twice.
        writes: made("dynamodb TransactWriteItems") * rows * 2 + made("dynamodb UpdateItem"),
        reads: made("dynamodb GetItem") + made("dynamodb Query"),
        notifications: made("sns Publish"),
        events: made("events PutEvents"),
    });
    Estimate {
        application: request.application.clone(),
        seconds: steps.iter().map(|step| u64::from(step.bake_seconds)).sum(),
        longest_seconds: steps
            .iter()
            .map(|step| u64::from(step.longest_seconds))
            .sum(),
        steps,
        state_transitions,
        retention_transitions: STATES_OF_A_RETENTION,
        events: pace.events_with(request.front_door.is_some()),
        calls,
        cost,
    }
}

/// The metrics that are read of what counts responses and of the team's own, by each of `judged` looks and before: blue's
/// past, by the minute and by the hour, which the admission reads too.
fn sources(analysis: &Analysis, judged: u64) -> u64 {
    let urls = count(
        analysis
            .responses
            .iter()
            .filter(|one| matches!(one, Responses::FunctionUrl(_))),
    );
    let stages = count(&analysis.responses) - urls;
    let counts = analysis.metrics.iter().filter(|one| one.of.is_some());
    let (apart, together): (Vec<_>, Vec<_>) = counts.partition(|one| one.is_by_version());
    let values = count(&analysis.metrics) - count(&apart) - count(&together);
    // Requests and bad ones: of blue, green and both; of blue and green; of both.
    let each_look = 6 * urls + 4 * count(&apart) + 2 * (stages + count(&together)) + values;
    let before = 8 * (count(&analysis.responses) + count(&apart) + count(&together)) + values;
    judged * each_look + before
}

fn steps(plan: &Plan, request: &ReleaseRequest, pace: &Pace) -> Vec<Step> {
    let scale = request.traffic.scale();
    let mut after_seconds = 0;
    let each = plan.steps().iter().enumerate().map(|(index, step)| {
        let begins = after_seconds;
        after_seconds += u64::from(step.bake_seconds);
        Step {
            weight: step.weight,
            shares: scale.map(|scale| Split::of(step.weight, scale)),
            after_seconds: begins,
            bake_seconds: step.bake_seconds,
            longest_seconds: request.analysis.longest_bake_seconds(*step),
            // A bake of nothing is looked at once.
            looks: u64::from(step.bake_seconds.div_ceil(pace.look_every_seconds).max(1)),
            approval: plan.needs_approval(index),
        }
    });
    each.collect()
}

/// The calls of Crossfade's functions. Those of Step Functions itself are in the price of its transitions.
fn calls(
    request: &ReleaseRequest,
    steps: &[Step],
    looks: u64,
    judged: u64,
    approvals: u64,
) -> BTreeMap<&'static str, u64> {
    let functions = count(&request.functions);
    let shifts = count(steps);
    let alarms = u64::from(!request.analysis.alarms.is_empty());
    let uploads =
        count(request.functions.iter().filter(|function| {
            matches!(function.code, Some(Code::S3 { .. } | Code::Image { .. }))
        }));
    let zips = count(
        request
            .functions
            .iter()
            .filter(|function| matches!(function.code, Some(Code::S3 { .. }))),
    );
    let existing = count(
        request
            .functions
            .iter()
            .filter(|function| matches!(function.code, Some(Code::Version { .. }))),
    );
    let published = functions - existing;
    let invocations: u64 = request
        .functions
        .iter()
        .map(|function| count(&function.smoke_tests) + u64::from(function.prewarm))
        .sum();
    let tested = count(
        request
            .functions
            .iter()
            .filter(|function| !function.smoke_tests.is_empty()),
    );
    let warmed = count(request.functions.iter().filter(|one| one.prewarm > 0));
    // From one weight to the same nothing is written.
    let moving = shifts
        - u64::from(
            steps
                .first()
                .is_some_and(|step| step.weight == Weight::ZERO),
        );
    // The promotion takes what blue has kept.
    let all = moving + u64::from(request.control() > Weight::ZERO);
    let writes = match request.traffic {
        Traffic::Alias => ("lambda UpdateAlias", (moving + 1) * functions),
        Traffic::Route53(_) => ("route53 ChangeResourceRecordSets", all),
        Traffic::Alb(_) => ("elasticloadbalancing ModifyRule", all),
    };
    // Values are read in a call of their own; what is there of either is read before the release.
    let analysis = &request.analysis;
    let is_value = |one: &OwnMetric| one.of.is_none();
    let values = u64::from(analysis.metrics.iter().any(is_value));
    let counted = !analysis.responses.is_empty() || !analysis.metrics.iter().all(is_value);
    let counted = u64::from(counted);
    // The start, each shift, each question and the end are published: by email, in the channel, as an event.
    let notices = 2 + shifts + approvals;
    let mut calls = BTreeMap::from([
        // Before the locks are taken, under them, and at each look.
        ("cloudwatch DescribeAlarms", alarms * (2 + looks)),
        (
            "cloudwatch GetMetricData",
            judged * (1 + values) + 2 * functions.min(1) + 2 * counted + values,
        ),
        // The locks, the versions, each shift, the end.
        ("dynamodb TransactWriteItems", 3 + shifts),
        // The first shift is on record before it is made.
        ("dynamodb UpdateItem", 1 + 2 * approvals),
        ("dynamodb GetItem", looks),
        ("dynamodb Query", existing),
        ("lambda GetAlias", functions),
        // Whether it exists; $LATEST once it is updated, green once it is active and before its smoke
        // tests, and blue.
        (
            "lambda GetFunction",
            functions + 2 * published + 2 * existing + functions + tested,
        ),
        (
            "lambda GetProvisionedConcurrencyConfig",
            if request.traffic == Traffic::Alias {
                functions
            } else {
                0
            },
        ),
        // What users leave.
        ("lambda GetFunctionConcurrency", warmed),
        ("lambda GetAccountSettings", warmed.min(1)),
        ("lambda GetPolicy", functions),
        ("lambda Invoke", invocations),
        ("lambda ListEventSourceMappings", functions),
        ("lambda ListFunctionUrlConfigs", functions),
        ("lambda PublishVersion", published),
        ("lambda UpdateFunctionCode", uploads),
        ("s3 GetObject", zips),
        ("ecr BatchGetImage", uploads - zips),
        ("events PutEvents", notices),
        ("sns Publish", 2 * notices),
    ]);
    calls.insert(writes.0, writes.1);
    calls.retain(|_, count| *count > 0);
    calls
}

/// What is billed.
struct Billed {
    transitions: u64,
    tasks: u64,
    metrics: u64,
    writes: u64,
    reads: u64,
    notifications: u64,
    events: u64,
}

impl Cost {
    fn of(billed: &Billed) -> Self {
        let step_functions = dollars(billed.transitions, TRANSITION);
        let lambda = dollars(billed.tasks, INVOCATION + RUN_SECONDS * SECOND)
            .add((MAKING_SECONDS - RUN_SECONDS).mul(SECOND));
        let cloud_watch = dollars(billed.metrics, METRIC);
        let dynamo_db = dollars(billed.writes, WRITE) + dollars(billed.reads, READ);
        let telling = dollars(billed.notifications, NOTIFICATION) + dollars(billed.events, EVENT);
        Self {
            step_functions,
            lambda,
            cloud_watch,
            dynamo_db,
            telling,
            total: step_functions + lambda + cloud_watch + dynamo_db + telling,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn dollars(count: u64, each: f64) -> f64 {
    count as f64 * each
}

fn count<T>(items: impl IntoIterator<Item = T>) -> u64 {
    items.into_iter().map(|_| 1).sum()
}
