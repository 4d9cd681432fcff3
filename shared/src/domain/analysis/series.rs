//! The metrics that count a function's requests: who publishes them, and by which dimensions.

use std::borrow::Cow;

use crate::domain::analysis::counts::Minute;

/// What publishes the metrics of a series, and so what they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publisher {
    /// `AWS/Lambda`.
    Function,
    /// `AWS/Lambda` of a function URL.
    FunctionUrl,
    /// `AWS/ApplicationELB`.
    LoadBalancer,
    /// `AWS/ApiGateway` of a REST API.
    RestApi,
    /// `AWS/ApiGateway` of an HTTP API.
    HttpApi,
    /// The user's own code.
    Own(OwnNames),
}

/// What the user's code calls its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnNames {
    /// The namespace of both.
    pub namespace: String,
    /// The metric that counts all.
    pub all: String,
    /// The metric that counts the bad ones among them.
    pub bad: String,
}

/// A metric's dimensions: exactly these, for CloudWatch does not add up over what is left out
/// (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>).
pub type Dimensions = Vec<(Cow<'static, str>, String)>;

/// Returns dimensions whose names AWS has given.
#[must_use]
pub fn dimensions<const N: usize>(of: [(&'static str, String); N]) -> Dimensions {
    of.map(|(name, value)| (Cow::Borrowed(name), value)).into()
}

/// One thing whose requests are counted, by colour: a series of the judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Its name in the evidence.
    pub name: String,
    /// Who counts.
    pub publisher: Publisher,
    /// Where blue's requests are counted; none without a blue.
    pub blue: Option<Dimensions>,
    /// Where green's are.
    pub green: Dimensions,
    /// Where blue's were before the release; none without a blue.
    pub past: Option<Dimensions>,
}

/// One metric whose value is held to a ceiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valued {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its dimensions.
    pub dimensions: Dimensions,
    /// How a minute becomes one value.
    pub statistic: String,
}

/// What was read of one thing that is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counting {
    /// The minutes with any data, in order.
    pub minutes: Vec<Minute>,
    /// Whether any data point counted bad ones, zero included.
    pub tells_bad: bool,
}
