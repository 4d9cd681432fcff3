//! The metrics that count a function's requests: who publishes them, and by which dimensions.

/// What publishes the metrics of a series, and so what they are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publisher {
    /// `AWS/Lambda`.
    Function,
    /// `AWS/ApplicationELB`.
    LoadBalancer,
    /// `AWS/ApiGateway` of a REST API.
    RestApi,
    /// `AWS/ApiGateway` of an HTTP API.
    HttpApi,
}

/// A metric's dimensions: exactly these, for CloudWatch does not add up over what is left out
/// (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>).
pub type Dimensions = Vec<(&'static str, String)>;

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
