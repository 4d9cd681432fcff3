//! What there is of runs in an account, by listing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::{Value, json};

use crate::{
    api::{
        Aws, CLOUDFORMATION, CLOUDWATCH, DYNAMODB, EVENTS, IAM, Json, LOGS, Query, Refusal, SNS,
        SQS, STATES,
    },
    run::{PREFIX, run_of},
    web,
    xml::Xml,
};

/// A kind of resource.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Kind {
    Stack,
    Function,
    WebFunction,
    Alarm,
    MuteRule,
    Table,
    Bucket,
    LogGroup,
    Role,
    Rule,
    Queue,
    Topic,
    StateMachine,
    Dashboard,
}

/// What there is of runs, by listing: names, by kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Left(pub(crate) BTreeMap<Kind, Vec<String>>);

impl Left {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }

    /// The names of one kind.
    pub(crate) fn of(&self, kind: Kind) -> &[String] {
        self.0.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// What is of one run.
    fn only(&self, run: &str) -> Self {
        let of_run = |names: &Vec<String>| {
            let own = names.iter().filter(|name| run_of(name) == Some(run));
            own.cloned().collect()
        };
        let kinds = self.0.iter();
        Self(kinds.map(|(kind, names)| (*kind, of_run(names))).collect())
    }

    /// The runs that it is of.
    pub(crate) fn runs(&self) -> BTreeSet<String> {
        let names = self.0.values().flatten();
        let runs = names.filter_map(|name| run_of(name));
        runs.map(str::to_owned).collect()
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, names) in &self.0 {
            for name in names {
                writeln!(f, "    {kind:?} {name}")?;
            }
        }
        Ok(())
    }
}

/// Lists what there is of all runs, or of one.
pub(crate) async fn left(aws: &Aws, run: Option<&str>) -> Result<Left, Refusal> {
    let prefix = run.unwrap_or(PREFIX);
    let mut found: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
    let mut keep = |kind, names: Vec<String>| {
        let own = names.into_iter().filter(|name| run_of(name).is_some());
        found.entry(kind).or_default().extend(own);
    };
    keep(Kind::Stack, stacks(aws).await?);
    keep(Kind::Function, functions(aws).await?);
    keep(Kind::WebFunction, web::list(aws).await?);
    let alarms =
        json!({"AlarmNamePrefix": prefix, "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]});
    let listed = pages(aws, CLOUDWATCH, "DescribeAlarms", alarms, "NextToken").await?;
    for kind in ["MetricAlarms", "CompositeAlarms", "LogAlarms"] {
        keep(Kind::Alarm, fields(&listed, kind, "AlarmName"));
    }
    let mute = pages(
        aws,
        CLOUDWATCH,
        "ListAlarmMuteRules",
        json!({}),
        "NextToken",
    )
    .await;
    let mute = unless_unknown(mute)?;
    let arns = fields(&mute, "AlarmMuteRuleSummaries", "AlarmMuteRuleArn");
    keep(Kind::MuteRule, last(arns, ':'));
    let boards = json!({"DashboardNamePrefix": prefix});
    let listed = pages(aws, CLOUDWATCH, "ListDashboards", boards, "NextToken").await?;
    keep(
        Kind::Dashboard,
        fields(&listed, "DashboardEntries", "DashboardName"),
    );
    let listed = pages(
        aws,
        DYNAMODB,
        "ListTables",
        json!({}),
        "LastEvaluatedTableName",
    )
    .await?;
    keep(Kind::Table, fields(&listed, "TableNames", ""));
    let buckets = aws.s3("GET", "/", &[], &[]).await?;
    keep(Kind::Bucket, buckets.all("Name"));
    for group in [
        "/aws/lambda/",
        "/aws/vendedlogs/states/",
        "/aws/lambda/web/",
    ] {
        let asked = json!({"logGroupNamePrefix": format!("{group}{prefix}")});
        let listed = pages(aws, LOGS, "DescribeLogGroups", asked, "nextToken").await?;
        keep(Kind::LogGroup, fields(&listed, "logGroups", "logGroupName"));
    }
    let roles = query_pages(aws, IAM, "ListRoles", "Marker", "Marker").await?;
    keep(
        Kind::Role,
        roles.iter().flat_map(|page| page.all("RoleName")).collect(),
    );
    let listed = pages(
        aws,
        EVENTS,
        "ListRules",
        json!({"NamePrefix": prefix}),
        "NextToken",
    )
    .await?;
    keep(Kind::Rule, fields(&listed, "Rules", "Name"));
    let asked = json!({"QueueNamePrefix": prefix, "MaxResults": 1000});
    let listed = pages(aws, SQS, "ListQueues", asked, "NextToken").await?;
    keep(Kind::Queue, last(fields(&listed, "QueueUrls", ""), '/'));
    let topics = query_pages(aws, SNS, "ListTopics", "NextToken", "NextToken").await?;
    let arns = topics
        .iter()
        .flat_map(|page| page.all("TopicArn"))
        .collect();
    keep(Kind::Topic, last(arns, ':'));
    let listed = pages(aws, STATES, "ListStateMachines", json!({}), "nextToken").await?;
    keep(Kind::StateMachine, fields(&listed, "stateMachines", "name"));
    let all = Left(found);
    Ok(run.map_or_else(|| all.clone(), |run| all.only(run)))
}

async fn stacks(aws: &Aws) -> Result<Vec<String>, Refusal> {
    let pages = query_pages(aws, CLOUDFORMATION, "ListStacks", "NextToken", "NextToken").await?;
    let summaries = pages.iter().flat_map(|page| page.parts("member"));
    let alive = summaries.filter(|stack| {
        let status = stack.first("StackStatus");
        status.is_some_and(|status| status != "DELETE_COMPLETE")
    });
    Ok(alive.filter_map(|stack| stack.first("StackName")).collect())
}

async fn functions(aws: &Aws) -> Result<Vec<String>, Refusal> {
    let mut names = Vec::new();
    let mut marker = String::new();
    loop {
        let path = format!("/2015-03-31/functions/?MaxItems=50{marker}");
        let page = aws.lambda("GET", &path, None).await?;
        names.extend(fields(
            std::slice::from_ref(&page),
            "Functions",
            "FunctionName",
        ));
        let Some(next) = page["NextMarker"].as_str().filter(|next| !next.is_empty()) else {
            return Ok(names);
        };
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        marker = format!("&Marker={next}");
    }
}

/// All pages of a JSON service's list.
pub(crate) async fn pages(
    aws: &Aws,
    service: Json,
    operation: &str,
    mut asked: Value,
    token: &str,
) -> Result<Vec<Value>, Refusal> {
    let mut all = Vec::new();
    loop {
        let page = aws.json(service, operation, asked.clone()).await?;
        let next = page[token].clone();
        all.push(page);
        if next.as_str().is_none_or(str::is_empty) {
            return Ok(all);
        }
        let field = if token == "LastEvaluatedTableName" {
            "ExclusiveStartTableName"
        } else {
            token
        };
        asked[field] = next;
    }
}

/// All pages of a query service's list.
async fn query_pages(
    aws: &Aws,
    service: Query,
    action: &str,
    answered: &str,
    asked: &str,
) -> Result<Vec<Xml>, Refusal> {
    let mut all = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let more = token.as_deref().map(|token| (asked, token));
        let page = aws.query(service, action, more.as_slice()).await?;
        token = page.first(answered).filter(|next| !next.is_empty());
        all.push(page);
        if token.is_none() {
            return Ok(all);
        }
    }
}

/// A field of all members of a list; the members themselves where the field has no name.
pub(crate) fn fields(pages: &[Value], list: &str, field: &str) -> Vec<String> {
    let members = pages
        .iter()
        .filter_map(|page| page[list].as_array())
        .flatten();
    let of = |member: &Value| {
        let value = if field.is_empty() {
            member
        } else {
            &member[field]
        };
        value.as_str().map(str::to_owned)
    };
    members.filter_map(of).collect()
}

/// What is behind the last of a letter.
fn last(names: Vec<String>, letter: char) -> Vec<String> {
    let short = names.into_iter();
    short
        .map(|name| name.rsplit(letter).next().unwrap_or_default().to_owned())
        .collect()
}

/// Nothing, where a service or Region does not know the call at all.
fn unless_unknown(listed: Result<Vec<Value>, Refusal>) -> Result<Vec<Value>, Refusal> {
    match listed {
        Err(refusal)
            if refusal.code.contains("InvalidAction") || refusal.code.contains("Unknown") =>
        {
            Ok(Vec::new())
        }
        listed => listed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_of_one_run() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let left = Left(BTreeMap::from([(
            Kind::Queue,
            names(&["crossfade-run-aaaaaa-events", "crossfade-run-bbbbbb-events"]),
        )]));
        assert_eq!(left.runs().len(), 2);
        let only = left.only("crossfade-run-bbbbbb");
        assert_eq!(only.of(Kind::Queue), ["crossfade-run-bbbbbb-events"]);
        assert!(left.only("crossfade-run-cccccc").is_empty());
    }
}
