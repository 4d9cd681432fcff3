//! Strategies: the short ways to say a plan.

#[cfg(test)]
mod tests;

use deserr::{
    DeserializeError, Deserr, ErrorKind, IntoValue, MergeWithError, Value, ValuePointerRef,
    take_cf_content,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::plan::{MAX_STEPS, Plan, PlanError, PlanErrors, Step};
use super::weight::{self, Weight};
use crate::parse::{
    bounds::{BakeSeconds, List, Whole, quoted, unexpected},
    tagged::tagged,
};

/// How traffic goes from blue to green.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Strategy {
    /// All traffic at once.
    AllAtOnce(AllAtOnce),
    /// Green is proven while it serves nothing, then takes all traffic and bakes.
    BlueGreen(BlueGreen),
    /// Steps of your own.
    Canary(Canary),
    /// Equal steps at equal times.
    Linear(Linear),
}

/// All traffic at once. One step: weight 100.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
pub struct AllAtOnce {
    /// How long green is watched at weight 100, in seconds: 0 to 86400 (a day).
    #[serde(default)]
    #[schemars(with = "BakeSeconds")]
    #[deserr(default, from(BakeSeconds) = u32::from)]
    pub bake_seconds: u32,
    /// The weight that an operator must approve before traffic moves to it: here always 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub approve_before: Option<Weight>,
}

/// Blue-green. Two steps: weight 0 without a bake (green is proven while it serves nothing), then
/// weight 100 with the bake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
pub struct BlueGreen {
    /// How long green is watched at weight 100, in seconds: 0 to 86400 (a day).
    #[serde(default = "default_blue_green_bake_seconds")]
    #[schemars(with = "BakeSeconds")]
    #[deserr(default = default_blue_green_bake_seconds(), from(BakeSeconds) = u32::from)]
    pub bake_seconds: u32,
    /// The weight that an operator must approve before traffic moves to it: 0 or 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub approve_before: Option<Weight>,
}

/// Steps of your own: a little traffic first, then more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
pub struct Canary {
    /// 1 to 100 steps, their weights strictly rising, the last one 100.
    #[schemars(length(min = 1, max = 100))]
    #[deserr(from(List<Step, 1, MAX_STEPS>) = List::into_vec)]
    pub steps: Vec<Step>,
    /// The weight that an operator must approve before traffic moves to it: the weight of one of the
    /// steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub approve_before: Option<Weight>,
}

/// Equal steps at equal times: 10, 20, 30 … 100. When the step does not divide 100 the last step
/// is the shorter one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
pub struct Linear {
    /// What each step adds, in percent of traffic: 1 to 100, in steps of 0.1.
    #[schemars(extend("minimum" = 1))]
    #[deserr(from(Stride) = Stride::weight)]
    pub step_weight: Weight,
    /// How long each step before the last bakes, in seconds: 0 to 86400 (a day).
    #[schemars(with = "BakeSeconds")]
    #[deserr(from(BakeSeconds) = u32::from)]
    pub interval_seconds: u32,
    /// How long green is watched at weight 100, in seconds: 0 to 86400 (a day). When absent,
    /// `intervalSeconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BakeSeconds>")]
    #[deserr(default, from(Option<BakeSeconds>) = Whole::optional)]
    pub bake_seconds: Option<u32>,
    /// The weight that an operator must approve before traffic moves to it: the weight of one of the
    /// steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[deserr(default)]
    pub approve_before: Option<Weight>,
}

/// Long enough to see the first minutes of full traffic in CloudWatch, whose metrics come a minute
/// or two late.
const fn default_blue_green_bake_seconds() -> u32 {
    300
}

impl Default for BlueGreen {
    fn default() -> Self {
        Self {
            bake_seconds: default_blue_green_bake_seconds(),
            approve_before: None,
        }
    }
}

/// Reads a weight of at least 1 %: with less there would be more than [`MAX_STEPS`] steps.
struct Stride(Weight);

impl Stride {
    const LEAST: Weight = match Weight::of_tenths(10) {
        Some(weight) => weight,
        None => Weight::FULL,
    };

    fn weight(self) -> Weight {
        self.0
    }
}

impl<E: DeserializeError> Deserr<E> for Stride {
    fn deserialize_from_value<V: IntoValue>(
        value: Value<V>,
        location: ValuePointerRef,
    ) -> Result<Self, E> {
        weight::read(Self::LEAST..=Weight::FULL, &value, location).map(Self)
    }
}

/// Plans everything before anything moves.
///
/// Fails only for a strategy that says no plan: canary steps that do not rise to 100, an approval
/// before a weight that no step has, or (built in Rust, not read from JSON) numbers out of range.
pub fn plan(strategy: &Strategy) -> Result<Plan, PlanErrors> {
    let step = |weight, bake_seconds| Step {
        weight,
        bake_seconds,
    };
    match strategy {
        Strategy::AllAtOnce(AllAtOnce {
            bake_seconds,
            approve_before,
        }) => Plan::new(vec![step(Weight::FULL, *bake_seconds)], *approve_before),
        Strategy::BlueGreen(BlueGreen {
            bake_seconds,
            approve_before,
        }) => {
            let steps = vec![step(Weight::ZERO, 0), step(Weight::FULL, *bake_seconds)];
            Plan::new(steps, *approve_before)
        }
        Strategy::Canary(Canary {
            steps,
            approve_before,
        }) => Plan::new(steps.clone(), *approve_before),
        Strategy::Linear(Linear {
            step_weight,
            interval_seconds,
            bake_seconds,
            approve_before,
        }) => {
            if *step_weight < Stride::LEAST {
                return Err(PlanError::StepWeight(*step_weight).into());
            }
            let stride = step_weight.tenths();
            let partial = (stride..Weight::FULL.tenths())
                .step_by(stride.into())
                .filter_map(Weight::of_tenths)
                .map(|weight| step(weight, *interval_seconds));
            let last = step(Weight::FULL, bake_seconds.unwrap_or(*interval_seconds));
            Plan::new(partial.chain([last]).collect(), *approve_before)
        }
    }
}

/// CodeDeploy's predefined configurations for Lambda: name, percent, minutes.
const CANARIES: [(&str, u8, u32); 4] = [
    ("Canary10Percent5Minutes", 10, 5),
    ("Canary10Percent10Minutes", 10, 10),
    ("Canary10Percent15Minutes", 10, 15),
    ("Canary10Percent30Minutes", 10, 30),
];
const LINEARS: [(&str, u8, u32); 4] = [
    ("Linear10PercentEvery1Minute", 10, 1),
    ("Linear10PercentEvery2Minutes", 10, 2),
    ("Linear10PercentEvery3Minutes", 10, 3),
    ("Linear10PercentEvery10Minutes", 10, 10),
];
const ALL_AT_ONCE: &str = "AllAtOnce";
/// Names that are ours.
const OWN: [&str; 4] = ["BlueGreen", "dev", "staging", "prod"];
/// What CodeDeploy's users write before the name: in SAM nothing, in the console and API more.
const PREFIXES: [&str; 2] = ["CodeDeployDefault.Lambda", "Lambda"];

impl Strategy {
    /// The strategy with this name, or `None` when there is none.
    ///
    /// - `AllAtOnce`, `BlueGreen`: those types with their defaults.
    /// - `Canary10Percent5Minutes`, `Linear10PercentEvery1Minute` and the rest of CodeDeploy's
    ///   predefined names, also as `LambdaCanary…` and `CodeDeployDefault.LambdaCanary…`. They keep
    ///   CodeDeploy's times exactly: there is no bake at weight 100, because it has none. Write
    ///   the strategy as an object to watch green after the last shift as well.
    /// - `dev`: all at once, no bake. `staging`: all at once, no bake, and every function must have
    ///   a smoke test. `prod`: 10 % for 5 minutes, 50 % for 10 minutes, an operator's approval, then
    ///   100 % for 5 minutes, less a control group ([`Planned::control`]).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let weight = |percent| Weight::try_from(percent).ok();
        let bare = PREFIXES
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix))
            .unwrap_or(name);
        if let Some((_, percent, minutes)) = CANARIES.into_iter().find(|(n, ..)| *n == bare) {
            let first = Step {
                weight: weight(percent)?,
                bake_seconds: minutes * 60,
            };
            let steps = vec![
                first,
                Step {
                    weight: Weight::FULL,
                    bake_seconds: 0,
                },
            ];
            return Some(Self::Canary(Canary {
                steps,
                approve_before: None,
            }));
        }
        if let Some((_, percent, minutes)) = LINEARS.into_iter().find(|(n, ..)| *n == bare) {
            return Some(Self::Linear(Linear {
                step_weight: weight(percent)?,
                interval_seconds: minutes * 60,
                bake_seconds: Some(0),
                approve_before: None,
            }));
        }
        if bare == ALL_AT_ONCE {
            return Some(Self::AllAtOnce(AllAtOnce::default()));
        }
        match name {
            "BlueGreen" => Some(Self::BlueGreen(BlueGreen::default())),
            "dev" | "staging" => Some(Self::AllAtOnce(AllAtOnce::default())),
            "prod" => {
                let steps = [(10, 300), (50, 600), (100, 300)].into_iter();
                let step = |(percent, bake_seconds)| {
                    weight(percent).map(|weight| Step {
                        weight,
                        bake_seconds,
                    })
                };
                let steps = steps.map(step).collect::<Option<_>>()?;
                Some(Self::Canary(Canary {
                    steps,
                    approve_before: Some(Weight::FULL),
                }))
            }
            _ => None,
        }
    }

    /// Every name that [`Strategy::named`] knows, the short ones first.
    #[must_use]
    pub fn names() -> Vec<String> {
        let canaries = CANARIES.iter().map(|(name, ..)| *name);
        let linears = LINEARS.iter().map(|(name, ..)| *name);
        let theirs: Vec<&str> = [ALL_AT_ONCE]
            .into_iter()
            .chain(canaries)
            .chain(linears)
            .collect();
        let short = OWN.iter().chain(&theirs).map(ToString::to_string);
        let long = PREFIXES
            .iter()
            .flat_map(|p| theirs.iter().map(move |name| format!("{p}{name}")));
        short.chain(long).collect()
    }
}

/// A strategy as it was given, together with the plan it says. Read from an object or a name;
/// written as the object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Strategy", into = "Strategy")]
pub struct Planned {
    strategy: Strategy,
    plan: Plan,
    control: Weight,
}

/// What `prod` keeps on blue until the promotion, unless the request says otherwise.
const PROD_CONTROL: Weight = match Weight::of_tenths(50) {
    Some(weight) => weight,
    None => Weight::ZERO,
};

impl Planned {
    /// Returns what stays on blue until the promotion where the request does not say it: 5 % with the name
    /// `prod`, else nothing, because who writes 100 means 100.
    #[must_use]
    pub fn control(&self) -> Weight {
        self.control
    }

    /// Takes it, once the request itself says so.
    pub fn take_control(&mut self) -> Weight {
        std::mem::replace(&mut self.control, Weight::ZERO)
    }

    /// The strategy as it was given; a name has become what it stands for.
    #[must_use]
    pub fn strategy(&self) -> &Strategy {
        &self.strategy
    }

    /// The plan it says.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl TryFrom<Strategy> for Planned {
    type Error = PlanErrors;

    fn try_from(strategy: Strategy) -> Result<Self, PlanErrors> {
        let plan = plan(&strategy)?;
        Ok(Self {
            strategy,
            plan,
            control: Weight::ZERO,
        })
    }
}

impl From<Planned> for Strategy {
    fn from(planned: Planned) -> Self {
        planned.strategy
    }
}

impl JsonSchema for Planned {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StrategyOrName".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "How traffic goes from blue to green: a name, or an object with a `type`. \
                `AllAtOnce` and CodeDeploy's names keep CodeDeploy's times (no bake at weight 100). \
                `dev`: all at once. `staging`: all at once, and every function must have a smoke \
                test. `prod`: 10 % for 5 minutes, 50 % for 10 minutes, an operator's approval, 100 % \
                for 5 minutes, of which 5 % stay on blue until the promotion (`analysis.controlPercent`).",
            "anyOf": [
                { "type": "string", "enum": Strategy::names() },
                generator.subschema_for::<Strategy>(),
            ],
        })
    }
}

impl<E: DeserializeError> Deserr<E> for Planned {
    fn deserialize_from_value<V: IntoValue>(
        value: Value<V>,
        location: ValuePointerRef,
    ) -> Result<Self, E> {
        let mut control = Weight::ZERO;
        let strategy = match value {
            Value::String(name) => {
                if name == "prod" {
                    control = PROD_CONTROL;
                }
                Strategy::named(&name).ok_or_else(|| {
                    if ["canary", "linear"].contains(&name.as_str()) {
                        let message = format!(
                            "{} is a type, which has fields of its own: write an object, \
                             {{\"type\": {}, …}}, or one of the names, such as \"Canary10Percent5Minutes\"",
                            quoted(&name),
                            quoted(&name)
                        );
                        return unexpected(&message, location);
                    }
                    let names = Strategy::names();
                    let accepted: Vec<_> = names.iter().map(String::as_str).collect();
                    let kind = ErrorKind::UnknownValue {
                        value: &name,
                        accepted: &accepted,
                    };
                    take_cf_content(E::error::<V>(None, kind, location))
                })?
            }
            Value::Map(_) => Strategy::deserialize_from_value(value, location)?,
            other => {
                let shown = crate::parse::bounds::shown(&other);
                let message = format!("must be a name such as \"prod\" or an object, not {shown}");
                return Err(unexpected(&message, location));
            }
        };
        let planned = Self::try_from(strategy).map_err(|errors| {
            let all = errors
                .as_slice()
                .iter()
                .map(|error| located(error, location));
            all.reduce(|a, b| take_cf_content(E::merge(Some(a), b, location)))
                .unwrap_or_else(|| unexpected("is not a plan", location))
        })?;
        Ok(Self { control, ..planned })
    }
}

/// The plan's error at the strategy's field.
fn located<E: DeserializeError>(error: &PlanError, strategy: ValuePointerRef) -> E {
    let message = error.to_string();
    let at = |index: usize, field: &str| {
        let steps = strategy.push_key("steps");
        let step = steps.push_index(index);
        unexpected(&message, step.push_key(field))
    };
    match error {
        PlanError::Count(_) => unexpected(&message, strategy.push_key("steps")),
        PlanError::NotRising { index, .. }
        | PlanError::NotFull { index, .. }
        | PlanError::IntoControl { index, .. } => at(*index, "weight"),
        PlanError::BakeTooLong { index, .. } => at(*index, "bakeSeconds"),
        PlanError::ApproveBefore { .. } => unexpected(&message, strategy.push_key("approveBefore")),
        PlanError::StepWeight(_) => unexpected(&message, strategy.push_key("stepWeight")),
    }
}

// By hand, because the derive does not say which types there are when the tag is not one of them.
impl<E: DeserializeError + MergeWithError<E>> Deserr<E> for Strategy {
    fn deserialize_from_value<V: IntoValue>(
        value: Value<V>,
        location: ValuePointerRef,
    ) -> Result<Self, E> {
        const TYPES: [&str; 4] = ["allAtOnce", "blueGreen", "canary", "linear"];
        let (tag, fields) = tagged(value, "type", &TYPES, location)?;
        let fields = Value::<V>::Map(fields);
        match tag {
            "allAtOnce" => Deserr::deserialize_from_value(fields, location).map(Self::AllAtOnce),
            "blueGreen" => Deserr::deserialize_from_value(fields, location).map(Self::BlueGreen),
            "canary" => Deserr::deserialize_from_value(fields, location).map(Self::Canary),
            "linear" => Deserr::deserialize_from_value(fields, location).map(Self::Linear),
            other => Err(unexpected(
                &format!("{} is not a type", quoted(other)),
                location,
            )),
        }
    }
}
