//! What speaks for and against green.

use crossfade::display::counted;
use crossfade::domain::{analysis::check, record::Record};

use super::asked;
use crate::{format, history::Both, story::Story};

/// The judge's numbers, as it saw them.
pub(crate) struct Judged {
    /// The function that decided, where there are several.
    pub(crate) function: Option<String>,
    pub(crate) both: Both,
    /// E-value and what it is held against.
    pub(crate) e_value: f64,
    pub(crate) threshold: f64,
    /// Whether it was recorded only.
    pub(crate) shadow: bool,
}

impl Judged {
    /// How much of the way to a rollback the evidence has come, 0 to 1. An e-value grows by factors: each tenfold is as
    /// far as the one before.
    pub(crate) fn share(&self) -> f64 {
        let share = self.e_value.max(1.0).ln() / self.threshold.max(1.0 + f64::EPSILON).ln();
        share.clamp(0.0, 1.0)
    }

    /// The same in words.
    pub(crate) fn strength(&self) -> &'static str {
        match self.share() {
            share if share >= 1.0 => "enough to roll back",
            share if share >= 0.5 => "some, and not enough to roll back",
            share if share > 0.0 => "little",
            _ => "none",
        }
    }
}

/// What is known of green.
#[derive(Default)]
pub(crate) struct Evidence {
    pub(crate) judged: Option<Judged>,
    /// What speaks against green beside its counts, a sentence each.
    pub(crate) against: Vec<String>,
    /// Smoke tests: how many passed, and how many there are.
    pub(crate) smoke_tests: Option<(usize, usize)>,
}

impl Evidence {
    /// The newest there is: of a question, a rollback, the end, or the last look.
    pub(super) fn of(record: &Record, story: &Story, functions: usize) -> Self {
        let of_question = asked(record).map(|asked| &asked.evidence);
        let of_rollback = record.why.as_ref().map(|why| &why.evidence);
        let of_outcome = story.outcome.as_ref().map(|outcome| &outcome.evidence);
        let of_release = story.release.as_ref().map(|it| &it.progress().evidence);
        let mut all = [of_question, of_rollback, of_outcome, of_release].into_iter();
        let found = all.find_map(|one| one.filter(|one| !one.is_empty()));
        found.map_or_else(Self::default, |found| Self::read(found, functions))
    }

    fn read(evidence: &check::Evidence, functions: usize) -> Self {
        let alarms = evidence.alarms.iter().map(|it| {
            let state = it.shown().replace("INSUFFICIENT_DATA", "INSUFFICIENT DATA");
            format!("The alarm {} is {state}.", it.name)
        });
        let checks = evidence
            .health_checks
            .iter()
            .map(|found| format::sentence(&found.reason()));
        // Lines of the functions' logs come seconds after a failure, and say in which environment.
        let live = evidence.live.as_ref().map(|live| {
            let per = if live.sticking {
                "times, once a spell,"
            } else {
                "times"
            };
            format!(
                "Environments of green of {} failed {} {per} as its logs say, those of blue {}.",
                live.function_name,
                crossfade::display::thousands(live.green),
                counted(live.blue, "time", "times"),
            )
        });
        let failed = evidence
            .validation
            .iter()
            .filter(|proof| proof["passed"] == false)
            .count();
        let tests = evidence.validation.len() + evidence.validation_left_out;
        Self {
            judged: evidence.judge.as_ref().map(|judge| Judged {
                function: judge.function.clone().filter(|_| functions > 1),
                both: Both {
                    blue: judge.blue,
                    green: judge.green,
                },
                e_value: judge.e_value,
                threshold: judge.threshold,
                shadow: evidence.shadow,
            }),
            against: alarms.chain(checks).chain(live).collect(),
            smoke_tests: (tests > 0).then(|| (tests - failed, tests)),
        }
    }
}
