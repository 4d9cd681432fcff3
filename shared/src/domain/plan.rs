//! The plan: every step of a release, fixed before anything moves.

use deserr::Deserr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::weight::Weight;
use crate::parse::bounds::BakeSeconds;

/// The longest bake of one step, in seconds: a day.
pub const MAX_BAKE_SECONDS: u32 = 86_400;

/// The most steps a plan may have.
pub const MAX_STEPS: usize = 100;

/// A weight and how long it bakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, Deserr)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[deserr(rename_all = camelCase, deny_unknown_fields)]
pub struct Step {
    /// Percent of traffic on green: 0 to 100, in steps of 0.1.
    pub weight: Weight,
    /// How long the step is watched before the next decision, in seconds: 0 to 86400 (a day).
    #[schemars(with = "BakeSeconds")]
    #[deserr(from(BakeSeconds) = u32::from)]
    pub bake_seconds: u32,
}

/// The fixed list of steps: 1 to 100 of them, weights strictly rising, the last at 100 less what is kept on
/// blue until the promotion, each bake at most a day. Position in a plan is an index, never found again
/// from a weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "Parts", into = "Parts")]
pub struct Plan {
    steps: Vec<Step>,
    approve_before: Option<Weight>,
    control: Weight,
}

/// A plan as JSON carries it, not yet checked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Parts {
    steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approve_before: Option<Weight>,
    #[serde(default = "nothing", skip_serializing_if = "is_zero")]
    control: Weight,
}

const fn nothing() -> Weight {
    Weight::ZERO
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference.
fn is_zero(weight: &Weight) -> bool {
    *weight == Weight::ZERO
}

/// One reason why a list of steps is not a plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There are no steps, or more than [`MAX_STEPS`].
    #[error("must be a list of 1 to {MAX_STEPS} items, not {0}")]
    Count(usize),
    /// A step does not put more on green than the one before it.
    #[error("is {weight}, after {before}; weights must rise with every step")]
    NotRising {
        /// The step's index.
        index: usize,
        /// Its weight.
        weight: Weight,
        /// The weight of the step before it.
        before: Weight,
    },
    /// The last step leaves traffic on blue.
    #[error("is {weight}, and this is the last step; the last step's weight must be 100")]
    NotFull {
        /// The last step's index.
        index: usize,
        /// Its weight.
        weight: Weight,
    },
    /// A step before the last has no more left for blue than the control group, or less.
    #[error(
        "is {weight}, and a control group of {control} leaves less than {} to every step but the last", .control.rest()
    )]
    IntoControl {
        /// The step's index.
        index: usize,
        /// Its weight.
        weight: Weight,
        /// What is kept on blue.
        control: Weight,
    },
    /// A bake is longer than [`MAX_BAKE_SECONDS`].
    #[error("must be a whole number from 0 to {MAX_BAKE_SECONDS}, not {seconds}")]
    BakeTooLong {
        /// The step's index.
        index: usize,
        /// Its bake.
        seconds: u32,
    },
    /// Approval is asked before a weight that no step has.
    #[error("is {approve_before}, which no step has; use the weight of a step: {weights}")]
    ApproveBefore {
        /// The weight requested.
        approve_before: Weight,
        /// The weights there are, as a sentence shows them.
        weights: String,
    },
    /// A linear strategy that takes more than [`MAX_STEPS`] steps, or never moves.
    #[error(
        "must be a number from 1 to 100 in steps of 0.1, not {}; a plan has at most {MAX_STEPS} steps", .0.percent()
    )]
    StepWeight(Weight),
}

/// Every reason why something is not a plan; at least one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct PlanErrors(Vec<PlanError>);

impl PlanErrors {
    /// The reasons, in the order of the steps.
    #[must_use]
    pub fn as_slice(&self) -> &[PlanError] {
        &self.0
    }
}

impl From<PlanError> for PlanErrors {
    fn from(error: PlanError) -> Self {
        Self(vec![error])
    }
}

impl Plan {
    /// Checks a list of steps. `approve_before` is the weight of the step that an operator must
    /// approve, or `None` without an approval.
    pub fn new(steps: Vec<Step>, approve_before: Option<Weight>) -> Result<Self, PlanErrors> {
        if steps.is_empty() || steps.len() > MAX_STEPS {
            return Err(PlanError::Count(steps.len()).into());
        }
        let mut errors = Vec::new();
        for (index, pair) in (1..).zip(steps.windows(2)) {
            let (before, weight) = (pair[0].weight, pair[1].weight);
            if weight <= before {
                errors.push(PlanError::NotRising {
                    index,
                    weight,
                    before,
                });
            }
        }
        for (index, step) in steps.iter().enumerate() {
            let Step {
                weight,
                bake_seconds: seconds,
            } = *step;
            if seconds > MAX_BAKE_SECONDS {
                errors.push(PlanError::BakeTooLong { index, seconds });
            }
            if index + 1 == steps.len() && weight != Weight::FULL {
                errors.push(PlanError::NotFull { index, weight });
            }
        }
        if let Some(approve_before) = approve_before
            && !steps.iter().any(|step| step.weight == approve_before)
        {
            let weights: Vec<_> = steps
                .iter()
                .map(|s| s.weight.percent().to_string())
                .collect();
            let weights = weights.join(", ");
            errors.push(PlanError::ApproveBefore {
                approve_before,
                weights,
            });
        }
        if errors.is_empty() {
            Ok(Self {
                steps,
                approve_before,
                control: Weight::ZERO,
            })
        } else {
            Err(PlanErrors(errors))
        }
    }

    /// Keeps `control` on blue through the last bake: the last step, which is the one at 100, has so much less.
    /// An approval before 100 is required before that step.
    pub fn keeping(self, control: Weight) -> Result<Self, PlanErrors> {
        let most = control.rest();
        let last = self.steps.len() - 1;
        let errors: Vec<_> = self.steps[..last]
            .iter()
            .enumerate()
            .filter(|(_, step)| step.weight >= most)
            .map(|(index, step)| PlanError::IntoControl {
                index,
                weight: step.weight,
                control,
            })
            .collect();
        if !errors.is_empty() {
            return Err(PlanErrors(errors));
        }
        let kept = |weight| if weight == Weight::FULL { most } else { weight };
        let mut steps = self.steps;
        steps[last].weight = most;
        Ok(Self {
            steps,
            approve_before: self.approve_before.map(kept),
            control,
        })
    }

    /// Returns what stays on blue until green is promoted, so that green is compared to the end.
    #[must_use]
    pub fn control(&self) -> Weight {
        self.control
    }

    /// The steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step at `index`, or `None` after the last.
    #[must_use]
    pub fn step(&self, index: usize) -> Option<Step> {
        self.steps.get(index).copied()
    }

    /// How many steps there are: 1 to [`MAX_STEPS`].
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a plan is never empty")]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// The weight of the step that an operator must approve before it is taken; always the weight of
    /// one of the steps.
    #[must_use]
    pub fn approve_before(&self) -> Option<Weight> {
        self.approve_before
    }

    /// Whether an operator must approve the step at `index` before it is taken.
    #[must_use]
    pub fn needs_approval(&self, index: usize) -> bool {
        self.approve_before.is_some() && self.step(index).map(|s| s.weight) == self.approve_before
    }

    /// Returns the index of the last step in which green is judged: it has traffic, and a bake.
    #[must_use]
    pub fn last_judged(&self) -> Option<usize> {
        let judged = |step: &Step| step.weight > Weight::ZERO && step.bake_seconds > 0;
        self.steps.iter().rposition(judged)
    }

    /// The longest bake of any step, in seconds.
    #[must_use]
    pub fn longest_bake_seconds(&self) -> u32 {
        self.steps
            .iter()
            .map(|step| step.bake_seconds)
            .max()
            .unwrap_or(0)
    }

    /// All bakes together, in seconds: the least time the plan takes.
    #[must_use]
    pub fn total_bake_seconds(&self) -> u64 {
        self.steps
            .iter()
            .map(|step| u64::from(step.bake_seconds))
            .sum()
    }
}

impl TryFrom<Parts> for Plan {
    type Error = PlanErrors;

    fn try_from(parts: Parts) -> Result<Self, PlanErrors> {
        let control = parts.control;
        // As it was before the control group was taken from its last step.
        let whole = |weight| {
            if weight == control.rest() {
                Weight::FULL
            } else {
                weight
            }
        };
        let mut steps = parts.steps;
        if let Some(last) = steps.last_mut() {
            last.weight = whole(last.weight);
        }
        Self::new(steps, parts.approve_before.map(whole))?.keeping(control)
    }
}

impl From<Plan> for Parts {
    fn from(plan: Plan) -> Self {
        Self {
            steps: plan.steps,
            approve_before: plan.approve_before,
            control: plan.control,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(percent: u8) -> Weight {
        Weight::try_from(percent).unwrap()
    }

    fn steps(percents: &[u8]) -> Vec<Step> {
        let step = |percent: &u8| Step {
            weight: weight(*percent),
            bake_seconds: 60,
        };
        percents.iter().map(step).collect()
    }

    fn errors(percents: &[u8], approve_before: Option<Weight>) -> Vec<PlanError> {
        Plan::new(steps(percents), approve_before)
            .unwrap_err()
            .as_slice()
            .to_vec()
    }

    #[test]
    fn looks_up_steps() {
        let plan = Plan::new(steps(&[0, 50, 100]), Some(weight(50))).unwrap();
        assert_eq!((plan.len(), plan.steps().len()), (3, 3));
        assert_eq!(plan.step(2).map(|step| step.weight), Some(Weight::FULL));
        assert_eq!(plan.step(3), None);
        assert_eq!(
            [0, 1, 2, 3].map(|i| plan.needs_approval(i)),
            [false, true, false, false]
        );
        assert_eq!(
            (plan.longest_bake_seconds(), plan.total_bake_seconds()),
            (60, 180)
        );
    }

    #[test]
    fn a_control_group_is_taken_from_the_last_step_alone() {
        let whole = Plan::new(steps(&[0, 50, 100]), Some(Weight::FULL)).unwrap();
        assert_eq!(whole.control(), Weight::ZERO);
        let weights = |plan: &Plan| {
            plan.steps()
                .iter()
                .map(|step| step.weight)
                .collect::<Vec<_>>()
        };
        for (tenths, last) in [(0, 1000), (1, 999), (50, 950), (499, 501)] {
            let (control, last) = (
                Weight::of_tenths(tenths).unwrap(),
                Weight::of_tenths(last).unwrap(),
            );
            let plan = whole.clone().keeping(control).unwrap();
            assert_eq!(weights(&plan), [Weight::ZERO, weight(50), last]);
            assert_eq!(
                (plan.control(), plan.approve_before()),
                (control, Some(last))
            );
            assert_eq!([1, 2].map(|i| plan.needs_approval(i)), [false, true]);
            let json = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan, "{json}");
        }
        // An approval before another step stays where it is.
        let plan = Plan::new(steps(&[50, 100]), Some(weight(50))).unwrap();
        let plan = plan.keeping(weight(5)).unwrap();
        assert_eq!(plan.approve_before(), Some(weight(50)));
    }

    #[test]
    fn rejects_steps_that_leave_blue_less_than_the_control_group() {
        let plan = Plan::new(steps(&[10, 95, 98, 100]), None).unwrap();
        let errors = plan.clone().keeping(weight(5)).unwrap_err();
        let into = |index, percent| PlanError::IntoControl {
            index,
            weight: weight(percent),
            control: weight(5),
        };
        assert_eq!(errors.as_slice(), [into(1, 95), into(2, 98)]);
        assert_eq!(
            into(1, 95).to_string(),
            "is 95 %, and a control group of 5 % leaves less than 95 % to every step but the last"
        );
        assert!(plan.keeping(weight(1)).is_ok());
    }

    #[test]
    fn asks_no_approval_by_default() {
        let plan = Plan::new(steps(&[100]), None).unwrap();
        assert_eq!(
            [0, 1].map(|index| plan.needs_approval(index)),
            [false, false]
        );
    }

    #[test]
    fn reports_every_plan_error() {
        assert_eq!(errors(&[], None), [PlanError::Count(0)]);
        assert_eq!(errors(&[100; 101], None), [PlanError::Count(101)]);
        let (a, b) = (weight(20), weight(10));
        assert_eq!(
            errors(&[20, 10, 10], Some(weight(30))),
            [
                PlanError::NotRising {
                    index: 1,
                    weight: b,
                    before: a
                },
                PlanError::NotRising {
                    index: 2,
                    weight: b,
                    before: b
                },
                PlanError::NotFull {
                    index: 2,
                    weight: b
                },
                PlanError::ApproveBefore {
                    approve_before: weight(30),
                    weights: "20, 10, 10".to_owned()
                },
            ]
        );
        let long = vec![Step {
            weight: Weight::FULL,
            bake_seconds: MAX_BAKE_SECONDS + 1,
        }];
        let error = Plan::new(long, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "must be a whole number from 0 to 86400, not 86401"
        );
    }

    #[test]
    fn accepts_a_step_per_percent() {
        let all: Vec<u8> = (1..=100).collect();
        assert_eq!(Plan::new(steps(&all), None).unwrap().len(), MAX_STEPS);
    }

    #[test]
    fn names_the_tenths_where_approval_is_before_no_step() {
        let tenths = |tenths| Weight::of_tenths(tenths).unwrap();
        let step = |weight| Step {
            weight,
            bake_seconds: 60,
        };
        let all = [1, 25, 999, 1000].map(tenths).map(step).to_vec();
        assert!(Plan::new(all.clone(), Some(tenths(999))).is_ok());
        let error = Plan::new(all, Some(tenths(2))).unwrap_err().to_string();
        let told = "is 0.2 %, which no step has; use the weight of a step: 0.1, 2.5, 99.9, 100";
        assert_eq!(error, told);
    }

    #[test]
    fn round_trips_and_validates_a_plan() {
        for approve_before in [None, Some(Weight::FULL)] {
            let plan = Plan::new(steps(&[10, 100]), approve_before).unwrap();
            let json = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan, "{json}");
        }
        for bad in [
            r#"{"steps":[]}"#,
            r#"{"steps":[{"weight":10,"bakeSeconds":1}]}"#,
            r#"{"steps":[{"weight":100,"bakeSeconds":86401}]}"#,
            r#"{"steps":[{"weight":100,"bakeSeconds":1}],"approveBefore":50}"#,
            r#"{"steps":[{"weight":100,"bakeSeconds":1}],"more":1}"#,
            r#"{"steps":[{"weight":95,"bakeSeconds":1}],"control":4}"#,
            r#"{"steps":[{"weight":96,"bakeSeconds":1},{"weight":95,"bakeSeconds":1}],"control":5}"#,
        ] {
            assert!(serde_json::from_str::<Plan>(bad).is_err(), "{bad}");
        }
    }
}
