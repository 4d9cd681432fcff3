//! What is known of the account before anything is made, and what a run costs.

use serde_json::Value;

use crate::api::{Aws, CLOUDFORMATION, CLOUDWATCH, DYNAMODB, IAM, LOGS, Refusal, STATES, STS};

/// Executions that a run needs at a time: traffic, Crossfade's own functions, probes.
const LEAST_CONCURRENCY: u64 = 10;

/// What provisioned concurrency leaves to all other functions, and what the probes take of it.
const PROVISIONABLE: u64 = 100 + 10;

/// The account that the credentials are of.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    /// The credentials' ARN.
    pub(crate) caller: String,
    /// How many executions all functions may have at a time.
    pub(crate) concurrency: u64,
}

impl Account {
    /// Reads it, and finds out by harmless calls whether the credentials are likely to be enough.
    pub(crate) async fn look(aws: &Aws) -> Result<Self, String> {
        let who = aws.query(STS, "GetCallerIdentity", &[]).await;
        let who = who.map_err(|refusal| unusable(aws, &refusal))?;
        let text = |name| who.first(name).unwrap_or_default();
        let (id, caller) = (text("Account"), text("Arn"));
        if !caller.starts_with("arn:aws:") {
            return Err(format!(
                "{caller} is of another partition than `aws`; `make aws` knows only that one"
            ));
        }
        let told = |refusal: Refusal| denied(&caller, &refusal);
        let settings = aws.lambda("GET", "/2016-08-19/account-settings", None);
        let settings = settings.await.map_err(told)?;
        let limit = &settings["AccountLimit"];
        let concurrency = limit["ConcurrentExecutions"].as_u64().unwrap_or_default();
        let free = limit["UnreservedConcurrentExecutions"].as_u64();
        if free.unwrap_or(concurrency) < LEAST_CONCURRENCY {
            return Err(format!(
                "the account has {} executions at a time that no function has reserved; expected at least \
                 {LEAST_CONCURRENCY}: free some, or ask Service Quotas for more (`Concurrent executions`)",
                free.unwrap_or(concurrency)
            ));
        }
        // What a run lists at its end, tried at its beginning.
        aws.query(CLOUDFORMATION, "ListStacks", &[])
            .await
            .map_err(told)?;
        aws.query(IAM, "ListRoles", &[]).await.map_err(told)?;
        aws.s3("GET", "/", &[], &[]).await.map_err(told)?;
        for (service, operation) in [
            (CLOUDWATCH, "DescribeAlarms"),
            (DYNAMODB, "ListTables"),
            (LOGS, "DescribeLogGroups"),
            (STATES, "ListStateMachines"),
        ] {
            let nothing = Value::Object(serde_json::Map::new());
            aws.json(service, operation, nothing).await.map_err(told)?;
        }
        Ok(Self {
            id,
            caller,
            concurrency,
        })
    }

    /// Why provisioned concurrency cannot be tried here.
    pub(crate) fn without_provisioned(&self) -> Option<String> {
        (self.concurrency < PROVISIONABLE).then(|| {
            format!(
                "not run: the account has {} executions at a time, and AWS provisions none of the last 100",
                self.concurrency
            )
        })
    }

    /// What a small account should know beforehand.
    pub(crate) fn warning(&self) -> Option<String> {
        (self.concurrency < PROVISIONABLE).then(|| {
            format!(
                "The account has {} executions at a time, as new ones do: provisioned concurrency and reserved \
                 concurrency are not probed, and other functions of the account may be throttled meanwhile. \
                 Service Quotas raises the limit (`Concurrent executions`).",
                self.concurrency
            )
        })
    }
}

fn unusable(aws: &Aws, refusal: &Refusal) -> String {
    if refusal.status == 0 {
        let place = aws.endpoint().map_or_else(
            || format!("AWS in the Region {}", aws.region),
            ToOwned::to_owned,
        );
        return format!(
            "{place} does not answer; expected it to: {refusal}. Is the Region's name right?"
        );
    }
    format!(
        "AWS does not take the credentials: {refusal}; expected valid ones of an account of your own: sign in \
         again, or unset AWS_SESSION_TOKEN when it is of an older session"
    )
}

fn denied(caller: &str, refusal: &Refusal) -> String {
    if refusal.is_denied() {
        format!(
            "{caller} lacks a permission; expected those in docs/AWS-RUN.md, or an administrator's: {refusal}"
        )
    } else {
        refusal.to_string()
    }
}

/// What a run takes of a service, at a price in US dollars.
struct Item(&'static str, f64, f64);

/// When the prices were looked up: us-east-1's list prices, without free tiers.
pub(crate) const PRICED: &str = "us-east-1's list prices of November 2026, no free tier";

/// A month, hours.
const MONTH: f64 = 730.0;

const ITEMS: [Item; 10] = [
    // Two releases and a rollback at 10 requests a second, and the probes.
    Item("Lambda requests", 25_000.0, 0.20 / 1e6),
    Item("Lambda GB-seconds", 1_500.0, 0.000_016_666_7),
    Item("provisioned GB-seconds", 0.5 * 900.0, 0.000_004_166_7),
    Item("state transitions", 400.0, 0.025 / 1e3),
    Item("metrics read", 3_000.0, 0.01 / 1e3),
    // Crossfade's four, the sample's and the probes'; a log alarm is the dearest.
    Item("alarm hours", 10.0, 0.50 / MONTH),
    Item("custom metric hours", 40.0, 0.30 / MONTH),
    Item("log GB, queries included", 0.05, 0.515),
    Item("ledger writes and reads", 2_000.0, 1.25 / 1e6),
    Item("S3, SNS, SQS and EventBridge requests", 5_000.0, 5.0 / 1e6),
];

/// What a run costs, US dollars.
pub(crate) fn cost() -> f64 {
    ITEMS
        .iter()
        .map(|Item(_, count, price)| count * price)
        .sum()
}

/// The same, item by item.
pub(crate) fn bill() -> String {
    let line = |Item(what, count, price): &Item| {
        format!("    {:>8.0} {what}: ${:.3}\n", count.ceil(), count * price)
    };
    ITEMS.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_costs_less_than_a_dollar() {
        assert!((0.01..0.5).contains(&cost()), "{}", cost());
        assert_eq!(bill().lines().count(), ITEMS.len());
    }
}
