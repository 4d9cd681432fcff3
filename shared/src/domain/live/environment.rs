//! What one execution environment's lines have come to: few numbers, whatever comes twice, late or out of order.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::weights::{Since, in_force};
use crate::domain::{Timestamp, weight::Weight};

/// Of one environment of green's, at most one failure counts in so many seconds: a connection that breaks fails all
/// requests until it is made anew.
pub const WINDOW_SECONDS: i64 = 10;

/// Where errors stick, an environment's failures are one spell while no two are further apart, seconds.
pub const SPELL_SECONDS: i64 = 300;

/// How many failures are remembered by their ids, so that one that is delivered twice counts once: more than a
/// delivery of one stream's lines and the one before it have as a rule.
const REMEMBERED: usize = 64;

/// Which version an environment runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Colour {
    /// The one that served when the release began.
    Blue,
    /// The one that is released.
    Green,
}

/// A failure, as a line shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The id that CloudWatch Logs gave the line.
    pub id: &'a str,
    /// When the line was written.
    pub at: Timestamp,
    /// When its invocation began; where that is not known, when the line was written.
    pub began: Timestamp,
}

/// How many failures counted while one weight was in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counted {
    /// Green's, at most one of an environment in [`WINDOW_SECONDS`].
    pub green: u64,
    /// Green's, one of an environment for each spell.
    pub green_spells: u64,
    /// Blue's: all.
    pub blue: u64,
}

impl Counted {
    /// Returns both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            green: self.green.saturating_add(other.green),
            green_spells: self.green_spells.saturating_add(other.green_spells),
            blue: self.blue.saturating_add(other.blue),
        }
    }
}

/// The numbers at one weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AtWeight {
    /// The weight.
    pub weight: Weight,
    /// The numbers.
    pub counted: Counted,
}

/// An execution environment's failures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Environment {
    /// What counted, by weight.
    pub counted: Vec<AtWeight>,
    /// When the newest failure was written that counted in its window.
    #[serde(skip_serializing_if = "Option::is_none")]
    counted_at: Option<Timestamp>,
    /// When the newest failure was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_at: Option<Timestamp>,
    /// The hashes of the newest failures' ids, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seen: Vec<String>,
}

impl Environment {
    /// Takes a failure in. Returns whether that changed anything.
    ///
    /// One that comes late may lie before others that counted already. Of green it does not count then: that only
    /// lowers the value. Where lines are held back for as long as a spell's pause, a spell may count twice.
    pub fn take(&mut self, colour: Colour, failure: Failure<'_>, weights: &[Since]) -> bool {
        let id = hash(failure.id);
        let Some(weight) = in_force(weights, failure.began) else {
            return false;
        };
        if self.seen.contains(&id) {
            return false;
        }
        self.seen.push(id);
        let forgotten = self.seen.len().saturating_sub(REMEMBERED);
        self.seen.drain(..forgotten);

        let is_after = |last: Option<Timestamp>, seconds: i64| {
            last.is_none_or(|last| failure.at - last >= TimeDelta::seconds(seconds))
        };
        let counted = match colour {
            Colour::Blue => Counted {
                blue: 1,
                ..Counted::default()
            },
            Colour::Green => Counted {
                green: u64::from(is_after(self.counted_at, WINDOW_SECONDS)),
                green_spells: u64::from(is_after(self.failed_at, SPELL_SECONDS)),
                blue: 0,
            },
        };
        if counted.green > 0 {
            self.counted_at = Some(failure.at);
        }
        self.failed_at = self.failed_at.max(Some(failure.at));
        let known = self.counted.iter_mut().find(|one| one.weight == weight);
        match known {
            Some(one) => one.counted = one.counted.plus(counted),
            None => self.counted.push(AtWeight { weight, counted }),
        }
        true
    }
}

/// Sums environments up, by weight.
#[must_use]
pub fn sum<'a>(environments: impl IntoIterator<Item = &'a Environment>) -> Vec<AtWeight> {
    let mut total: Vec<AtWeight> = Vec::new();
    for one in environments.into_iter().flat_map(|it| &it.counted) {
        match total.iter_mut().find(|sum| sum.weight == one.weight) {
            Some(sum) => sum.counted = sum.counted.plus(one.counted),
            None => total.push(*one),
        }
    }
    total.sort_by_key(|at| at.weight);
    total
}

/// A text's hash, short: 64 bits are enough for a few failures.
#[must_use]
pub fn hash(text: &str) -> String {
    let digest = Sha256::digest(text);
    let first: [u8; 8] = std::array::from_fn(|at| digest[at]);
    format!("{:016x}", u64::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_timestamp_millis(1_000_000_000 + ms).unwrap()
    }

    fn weights() -> Vec<Since> {
        let since = |percent: f64, ms| Since {
            weight: Weight::try_from(percent).unwrap(),
            at: at(ms),
        };
        vec![since(10.0, 0), since(50.0, 600_000)]
    }

    fn take(environment: &mut Environment, colour: Colour, id: &str, ms: i64) -> bool {
        let failure = Failure {
            id,
            at: at(ms),
            began: at(ms),
        };
        environment.take(colour, failure, &weights())
    }

    fn total(environment: &Environment) -> Counted {
        let all = environment.counted.iter().map(|one| one.counted);
        all.fold(Counted::default(), Counted::plus)
    }

    #[test]
    fn counts_an_environment_of_greens_once_in_a_window_and_in_a_spell() {
        let mut green = Environment::default();
        for (n, ms) in [0, 1_000, 9_999, 10_000, 15_000, 300_000, 599_999]
            .into_iter()
            .enumerate()
        {
            assert!(take(&mut green, Colour::Green, &n.to_string(), ms));
        }
        // 0, 10 s, 300 s and 599.999 s; no two of them were further apart than a spell's pause but the last.
        let sums = total(&green);
        assert_eq!((sums.green, sums.green_spells, sums.blue), (4, 1, 0));
        assert!(take(&mut green, Colour::Green, "late", 950_000));
        assert_eq!(total(&green).green_spells, 2);
        assert_eq!(green.counted.len(), 2, "{green:?}");
    }

    #[test]
    fn counts_all_of_blues_each_once() {
        let mut blue = Environment::default();
        for _ in 0..3 {
            for id in ["a", "b", "c"] {
                take(&mut blue, Colour::Blue, id, 5);
            }
        }
        assert_eq!(
            total(&blue),
            Counted {
                blue: 3,
                ..Counted::default()
            }
        );
    }

    #[test]
    fn counts_nothing_from_before_the_first_shift() {
        let mut green = Environment::default();
        assert!(!take(&mut green, Colour::Green, "smoke", -10_000));
        assert_eq!(green, Environment::default());
        // It ended after the shift to 50 %, and had begun at 10 %.
        let failure = Failure {
            id: "x",
            at: at(610_000),
            began: at(590_000),
        };
        assert!(green.take(Colour::Green, failure, &weights()));
        assert_eq!(green.counted[0].weight, Weight::try_from(10.0).unwrap());
    }

    #[test]
    fn remembers_no_more_than_it_needs() {
        let mut blue = Environment::default();
        for n in 0..1_000 {
            take(&mut blue, Colour::Blue, &n.to_string(), n);
        }
        assert!(serde_json::to_string(&blue).unwrap().len() < 2_048);
    }

    proptest! {
        /// Doubles change nothing, and no order of green's lines counts more than their own order.
        #[test]
        fn doubles_and_disorder_only_lower_the_count(
            mut times in prop::collection::vec(0i64..1_200_000, 1..40),
            seed in prop::collection::vec(any::<prop::sample::Index>(), 40),
        ) {
            times.sort_unstable();
            times.dedup();
            let mut ordered = Environment::default();
            for ms in &times {
                take(&mut ordered, Colour::Green, &ms.to_string(), *ms);
            }
            let mut shuffled = times.clone();
            for (n, index) in seed.iter().enumerate() {
                let other = index.index(shuffled.len());
                let len = shuffled.len();
                shuffled.swap(n % len, other);
            }
            let mut mixed = Environment::default();
            for ms in shuffled.iter().chain(&shuffled) {
                take(&mut mixed, Colour::Green, &ms.to_string(), *ms);
            }
            prop_assert!(total(&mixed).green <= total(&ordered).green);
        }
    }
}
