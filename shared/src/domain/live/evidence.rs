//! The numbers behind a rollback by the fast lane, enough to check its arithmetic.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    environment::AtWeight,
    test::{Come, e_value, of_release},
};
use crate::domain::names::FunctionName;

/// What the fast lane counted of one function.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The function.
    pub function: FunctionName,
    /// Whether its failures are taken to come one by one.
    pub come: Come,
    /// The counts.
    pub failures: Vec<AtWeight>,
}

/// The numbers of the function whose failures weigh most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LiveEvidence {
    /// The function.
    pub function_name: FunctionName,
    /// Failures of green that counted: at most one of an environment in ten seconds, or in a spell where `sticking`.
    pub green: u64,
    /// Failures of blue.
    pub blue: u64,
    /// Whether an environment counted once a spell: blue's past shows errors that do not come one by one, or there is
    /// no past that shows it.
    pub sticking: bool,
    /// The function's e-value.
    pub own_e_value: f64,
    /// The release's: the average over its functions.
    pub e_value: f64,
    /// From which on the release is rolled back: 2 / alpha, as the judge has the other half.
    pub threshold: f64,
    /// How many functions are listened to.
    pub functions: usize,
}

impl LiveEvidence {
    /// Weighs a release's failures; none where nothing is listened to.
    #[must_use]
    pub fn weigh(functions: &[Series], odds_ratio: f64, alpha: f64) -> Option<Self> {
        let values = functions
            .iter()
            .map(|one| e_value(&one.failures, odds_ratio, one.come));
        let values: Vec<f64> = values.collect();
        let (worst, own) = functions
            .iter()
            .zip(&values)
            .reduce(|worst, next| if next.1 > worst.1 { next } else { worst })?;
        let sticking = worst.come == Come::Sticking;
        let all = worst.failures.iter().map(|at| at.counted);
        let green = all
            .clone()
            .map(|it| if sticking { it.green_spells } else { it.green });
        Some(Self {
            function_name: worst.function.clone(),
            green: green.sum(),
            blue: all.map(|it| it.blue).sum(),
            sticking,
            own_e_value: *own,
            e_value: of_release(&values),
            threshold: 2.0 / alpha,
            functions: functions.len(),
        })
    }

    /// Whether green is to have no traffic any more.
    #[must_use]
    pub fn condemns(&self) -> bool {
        self.e_value >= self.threshold
    }

    /// Returns why, in words and numbers.
    #[must_use]
    pub fn reason(&self) -> String {
        let each = if self.sticking {
            "each in a spell of its own"
        } else {
            "each in an environment or ten seconds of its own"
        };
        format!(
            "{}: the logs show {} failures of green, {each}, and of {} of blue; the e-value {} is over {}",
            self.function_name,
            self.green,
            self.blue,
            crate::domain::analysis::judge::in_words(self.e_value, 4),
            self.threshold
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{live::environment::Counted, weight::Weight};

    fn series(name: &str, green: u64, come: Come) -> Series {
        Series {
            function: FunctionName::try_from(name.to_owned()).unwrap(),
            come,
            failures: vec![AtWeight {
                weight: Weight::try_from(10.0).unwrap(),
                counted: Counted {
                    green,
                    green_spells: green.min(1),
                    blue: 1,
                },
            }],
        }
    }

    #[test]
    fn condemns_by_the_worst_function_of_all() {
        let weigh = |series: &[Series]| LiveEvidence::weigh(series, 1.1, 0.01).unwrap();
        let bad = weigh(&[
            series("a", 0, Come::OneByOne),
            series("b", 6, Come::OneByOne),
        ]);
        assert!(bad.condemns(), "{bad:?}");
        assert_eq!(
            (bad.function_name.as_ref(), bad.green, bad.blue),
            ("b", 6, 1)
        );
        assert!((bad.threshold - 200.0).abs() < 1e-9);
        assert!(
            bad.reason()
                .starts_with("b: the logs show 6 failures of green"),
            "{}",
            bad.reason()
        );
        assert!(!weigh(&[series("b", 6, Come::Sticking)]).condemns());
        assert!(!weigh(&[series("b", 1, Come::OneByOne)]).condemns());
        assert_eq!(LiveEvidence::weigh(&[], 1.1, 0.01), None);
    }
}
