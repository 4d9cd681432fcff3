//! What counts the responses that callers get: a handler that answers 500 is a success for Lambda.

use std::{collections::BTreeMap, fmt};

use deserr::{
    Deserr, IntoValue, Map, MergeWithError, Value as Input, ValuePointerRef, take_cf_content,
};
use schemars::{JsonSchema, Schema};
use serde::Serialize;

use crate::domain::names::{
    FunctionName,
    cloudwatch::{DimensionValue, LoadBalancerName, MetricName, Statistic},
};
use crate::parse::bounds::{shown, unexpected};
use crate::parse::problem::Problems;

crate::parse::carried!(OwnMetric, Responses);

/// The most dimensions that CloudWatch lets a metric have.
const MAX_DIMENSIONS: usize = 30;

const COMPARED: &str = "green against blue";
const TOGETHER: &str = "both versions together, held to a ceiling";

/// What counts responses in front of the functions: exactly one of the four.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Responses {
    /// The URL of the alias of this function. CloudWatch counts its 5xx answers by version, so green is judged against
    /// blue by them.
    FunctionUrl(FunctionName),
    /// A stage of a REST API. It counts both versions together, so it is held to `maxErrorRatePercent`.
    RestApi(RestApi),
    /// A stage of an HTTP API. It counts both versions together, so it is held to `maxErrorRatePercent`.
    HttpApi(HttpApi),
    /// An Application Load Balancer, as its metrics name it: `app/NAME/ID`. It counts both versions together, so it is
    /// held to `maxErrorRatePercent`. (With `traffic.type` `alb` the two target groups are judged anyway.)
    LoadBalancer(LoadBalancerName),
}

/// A stage of a REST API.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
pub struct RestApi {
    /// The API's name: its metrics do not go by its id.
    pub api_name: String,
    /// The stage.
    pub stage: String,
}

/// A stage of an HTTP API.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
pub struct HttpApi {
    /// The API's id.
    pub api_id: String,
    /// The stage.
    pub stage: String,
}

impl Responses {
    /// Returns how green is judged by it, in words.
    #[must_use]
    pub fn judged(&self) -> &'static str {
        match self {
            Self::FunctionUrl(_) => COMPARED,
            Self::RestApi(_) | Self::HttpApi(_) | Self::LoadBalancer(_) => TOGETHER,
        }
    }
}

impl fmt::Display for Responses {
    /// As the evidence names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FunctionUrl(function) => write!(f, "function URL of {function}"),
            Self::RestApi(RestApi { api_name, stage }) => {
                write!(f, "stage {stage} of API {api_name}")
            }
            Self::HttpApi(HttpApi { api_id, stage }) => write!(f, "stage {stage} of API {api_id}"),
            Self::LoadBalancer(name) => write!(f, "load balancer {name}"),
        }
    }
}

impl Deserr<Problems> for Responses {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        #[derive(Deserr)]
        #[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
        struct Fields {
            #[deserr(default)]
            function_url: Option<FunctionName>,
            #[deserr(default)]
            rest_api: Option<RestApi>,
            #[deserr(default)]
            http_api: Option<HttpApi>,
            #[deserr(default)]
            load_balancer: Option<LoadBalancerName>,
        }
        let Fields {
            function_url,
            rest_api,
            http_api,
            load_balancer,
        } = Fields::deserialize_from_value(value, location)?;
        let mut given = [
            function_url.map(Self::FunctionUrl),
            rest_api.map(Self::RestApi),
            http_api.map(Self::HttpApi),
            load_balancer.map(Self::LoadBalancer),
        ]
        .into_iter()
        .flatten();
        match (given.next(), given.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(unexpected(
                "must have exactly one of functionUrl, restApi, httpApi and loadBalancer",
                location,
            )),
        }
    }
}

/// A metric of your own. With `of` it counts bad ones among all: green's share is judged against blue's where a
/// dimension has `${version}`. With `max` it is held to a ceiling. A metric without data is no pass.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = compared_or_held)]
#[non_exhaustive]
pub struct OwnMetric {
    /// The metric's namespace.
    pub namespace: MetricName,
    /// The metric: the count of the bad ones where `of` is given, else the one value that `max` holds. It must publish
    /// zeros too, for one that has never had any data is not known to count.
    pub name: MetricName,
    /// The metric, of the same namespace and dimensions, that counts all of which `name` counts the bad ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<MetricName>,
    /// The metric's dimensions, exactly: 1 to 30. In a value, `${version}` stands for the number of the version that is
    /// counted, which the code finds in `AWS_LAMBDA_FUNCTION_VERSION`.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 30))]
    pub dimensions: BTreeMap<MetricName, DimensionValue>,
    /// How a minute becomes one value; `Sum` when absent. Not with `of`, where both are sums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistic: Option<Statistic>,
    /// The ceiling: with `of` the largest share of bad ones in percent, 0 to 100; else the largest value, which must be
    /// exceeded in the two newest minutes with data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The function whose version `${version}` is. When absent, the only one of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_name: Option<FunctionName>,
}

/// Lets the schema say which fields exclude each other.
fn compared_or_held(schema: &mut Schema) {
    let either = serde_json::json!([{ "required": ["of"] }, { "required": ["max"] }]);
    schema.insert("anyOf".to_owned(), either);
    let with_of = serde_json::json!({
        "required": ["of"],
        "properties": { "of": { "type": "string" } },
    });
    schema.insert("if".to_owned(), with_of);
    let sums = serde_json::json!({
        "properties": {
            "statistic": { "type": "null" },
            "max": { "minimum": 0, "maximum": 100 },
        },
    });
    schema.insert("then".to_owned(), sums);
}

impl OwnMetric {
    /// Returns whether it is counted by version.
    #[must_use]
    pub fn is_by_version(&self) -> bool {
        self.dimensions.values().any(DimensionValue::has_version)
    }

    /// Returns how green is judged by it, in words.
    #[must_use]
    pub fn judged(&self) -> &'static str {
        match (&self.of, self.is_by_version()) {
            (Some(_), true) => COMPARED,
            (_, false) => TOGETHER,
            (None, true) => "green's, held to a ceiling",
        }
    }
}

impl fmt::Display for OwnMetric {
    /// As the evidence names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metric {}/{}", self.namespace, self.name)?;
        if let Some(of) = &self.of {
            write!(f, " of {of}")?;
        }
        Ok(())
    }
}

/// Dimensions by their names. `deserr`'s own map leaves out what is wrong, and says nothing of it.
struct Dimensions(BTreeMap<MetricName, DimensionValue>);

impl Deserr<Problems> for Dimensions {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        let Input::Map(fields) = value else {
            let message = format!(
                "must be an object of names and values, not {}",
                shown(&value)
            );
            return Err(unexpected(&message, location));
        };
        let (mut dimensions, mut wrong) = (BTreeMap::new(), None);
        for (name, value) in fields.into_iter() {
            let location = location.push_key(&name);
            let read = name
                .parse::<MetricName>()
                .map_err(|error| unexpected(&error.to_string(), location))
                .and_then(|name| {
                    let value =
                        DimensionValue::deserialize_from_value(value.into_value(), location)?;
                    Ok((name, value))
                });
            match read {
                Ok((name, value)) => drop(dimensions.insert(name, value)),
                Err(problems) => {
                    wrong = Some(take_cf_content(Problems::merge(wrong, problems, location)));
                }
            }
        }
        wrong.map_or(Ok(Self(dimensions)), Err)
    }
}

/// A finite number.
struct Number(f64);

impl Deserr<Problems> for Number {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        #[allow(clippy::cast_precision_loss)] // A ceiling of more than 2^53 is none.
        match value {
            Input::Integer(n) => Ok(Self(n as f64)),
            Input::NegativeInteger(n) => Ok(Self(n as f64)),
            Input::Float(n) if n.is_finite() => Ok(Self(n)),
            _ => Err(unexpected(
                &format!("must be a number, not {}", shown(&value)),
                location,
            )),
        }
    }
}

impl Deserr<Problems> for OwnMetric {
    fn deserialize_from_value<V: IntoValue>(
        value: Input<V>,
        location: ValuePointerRef,
    ) -> Result<Self, Problems> {
        #[derive(Deserr)]
        #[deserr(error = Problems, rename_all = camelCase, deny_unknown_fields)]
        struct Fields {
            namespace: MetricName,
            name: MetricName,
            #[deserr(default)]
            of: Option<MetricName>,
            dimensions: Dimensions,
            #[deserr(default)]
            statistic: Option<Statistic>,
            #[deserr(default)]
            max: Option<Number>,
            #[deserr(default)]
            function_name: Option<FunctionName>,
        }
        let Fields {
            namespace,
            name,
            of,
            dimensions: Dimensions(dimensions),
            statistic,
            max,
            function_name,
        } = Fields::deserialize_from_value(value, location)?;
        let metric = Self {
            namespace,
            name,
            of,
            dimensions,
            statistic,
            max: max.map(|Number(max)| max),
            function_name,
        };
        let wrong = |field: &str, message: &str| Err(unexpected(message, location.push_key(field)));
        if !(1..=MAX_DIMENSIONS).contains(&metric.dimensions.len()) {
            let message = format!(
                "must be an object of 1 to {MAX_DIMENSIONS} fields, not of {}",
                metric.dimensions.len()
            );
            return wrong("dimensions", &message);
        }
        match (&metric.of, &metric.statistic, metric.max) {
            (None, _, None) => wrong(
                "max",
                "is missing; give the largest value that is accepted, or in \"of\" the metric that counts all of which \
                 this one counts the bad ones",
            ),
            (Some(_), Some(_), _) => wrong(
                "statistic",
                "is not used with \"of\", where both metrics are summed up; leave it out",
            ),
            (Some(of), None, _) if *of == metric.name => wrong(
                "of",
                "is the metric itself; name the one that counts all, the good ones too",
            ),
            (Some(_), None, Some(max)) if !(0.0..=100.0).contains(&max) => wrong(
                "max",
                "must be a number of percent from 0 to 100 where \"of\" is given",
            ),
            (None, None | Some(_), Some(_)) | (Some(_), None, _) => match &metric.function_name {
                Some(_) if !metric.is_by_version() => wrong(
                    "functionName",
                    "says whose version \"${version}\" is, and no dimension has that; leave it out, or put \
                     \"${version}\" into a dimension",
                ),
                Some(_) | None => Ok(metric),
            },
        }
    }
}
