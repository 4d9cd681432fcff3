//! One entry of the timeline, and the present.

use crossfade::domain::{
    Timestamp,
    analysis::{check::Evidence, judge, verdict::Verdict},
    decision::Decision,
    weight::Weight,
};
use serde::Serialize;

use crate::exit_code::Ended;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// The execution began.
    Started,
    /// Green was made.
    GreenMade,
    /// Green has passed its smoke tests.
    Proven,
    /// The weight was changed.
    Shifted,
    /// A look at the alarms and at green's traffic.
    Looked,
    /// An operator is asked, or was called.
    Asked,
    /// An operator answered.
    Answered,
    /// No operator answered.
    Unanswered,
    /// A call failed, and is made again.
    TriedAgain,
    /// A state failed.
    Failed,
    /// Traffic returns to blue.
    RollingBack,
    /// The release ends before its first shift: no traffic was moved.
    Rejected,
    /// Green was made what serves.
    Promoted,
    /// Another state has done its work.
    Did,
    /// The execution ended.
    Ended,
}

/// Both versions' errors, and what the judge makes of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rates {
    /// The function that they are of, where the judge names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) function: Option<String>,
    /// Percent of green's requests that failed since the release began.
    pub(crate) green_error_percent: f64,
    /// How many requests green had.
    pub(crate) green_requests: u64,
    /// Percent of blue's requests that failed since the release began.
    pub(crate) blue_error_percent: f64,
    /// How many requests blue had.
    pub(crate) blue_requests: u64,
    /// The evidence against green.
    pub(crate) e_value: f64,
    /// How much of it rolls back.
    pub(crate) threshold: f64,
}

impl Rates {
    pub(super) fn of(evidence: &Evidence) -> Option<Self> {
        let judge::Evidence {
            function,
            blue,
            green,
            blue_error_percent,
            green_error_percent,
            e_value,
            threshold,
            ..
        } = evidence.judge.as_ref()?;
        Some(Self {
            function: function.clone(),
            green_error_percent: *green_error_percent,
            green_requests: green.invocations,
            blue_error_percent: *blue_error_percent,
            blue_requests: blue.invocations,
            e_value: *e_value,
            threshold: *threshold,
        })
    }

    /// In a phrase.
    pub(crate) fn describe(&self) -> String {
        format!(
            "green {:.2} % of {}, blue {:.2} % of {} failed, e-value {} of {}",
            self.green_error_percent,
            self.green_requests,
            self.blue_error_percent,
            self.blue_requests,
            e_value(self.e_value),
            e_value(self.threshold),
        )
    }
}

/// An e-value in as few digits as say something.
fn e_value(value: f64) -> String {
    judge::in_words(value, if value >= 10.0 { 0 } else { 2 })
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    /// Whether it says what the entry before it said: a look that found and decided the same, a call that failed the same
    /// way.
    #[serde(skip)]
    pub(crate) unchanged: bool,
    /// When.
    pub(crate) at: Timestamp,
    /// What kind of thing.
    pub(crate) event: Kind,
    /// What, in words.
    pub(crate) text: String,
    /// Percent of traffic on green, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weight: Option<Weight>,
    /// The step, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<usize>,
    /// How many steps there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) steps: Option<usize>,
    /// What the look said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<Verdict>,
    /// What was decided on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decision: Option<Decision>,
    /// Both versions' rates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rates: Option<Rates>,
    /// Who answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Box<Ended>>,
    /// The exit code of the command, on the last entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<u8>,
    /// Warnings not shown before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

impl Entry {
    /// In a line for operators, and one for each warning.
    pub(crate) fn line(&self) -> String {
        self.dated("%H:%M:%SZ")
    }

    /// The same, with the time as `format` has it.
    pub(crate) fn dated(&self, format: &str) -> String {
        let mut line = format!("{}  {}", self.at.format(format), self.text);
        for warning in &self.warnings {
            line.push_str("\n  warning: ");
            line.push_str(warning);
        }
        line
    }
}

/// How a release stands between two happenings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Now {
    /// Percent of traffic on green.
    pub(crate) weight: Weight,
    /// In a line.
    pub(crate) told: String,
}
