//! Traffic split by two weights that are kept in one place: Route 53's weighted records, an ALB's
//! weighted target groups.
//!
//! As with an alias, [`reconcile`] is the only place that decides on a write: it requests a wanted
//! state, and refuses to write over one that this deployment cannot have produced. Neither service
//! gives revisions, so what is written over is read right before, under the deployment's lock, and
//! read again after.

use std::fmt;

use crate::domain::{
    plan::{Plan, Step},
    weight::Weight,
};

/// What a service keeps weights in: whole numbers from 0 to a largest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Route 53's records: up to 255 each.
    Records,
    /// A load balancer's target groups: up to 999 each.
    Groups,
}

impl Scale {
    const fn largest(self) -> u32 {
        match self {
            Self::Records => 255,
            Self::Groups => 999,
        }
    }
}

/// The weights of blue and green as the service keeps them. A colour's share of the traffic is its
/// weight over their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Blue's weight.
    pub blue: u32,
    /// Green's weight.
    pub green: u32,
}

impl Shares {
    /// Returns the shares nearest to `weight` that the scale has.
    ///
    /// A whole percentage adds up to 100, as it always has, so that what a former version wrote is read
    /// as what it is. A tenth adds up to 1000 where the scale reaches so far, and is exact; elsewhere it
    /// is the nearest fraction, which is never none of the traffic and never all of it.
    #[must_use]
    pub fn at(weight: Weight, scale: Scale) -> Self {
        let (green, blue) = (
            u32::from(weight.tenths()),
            u32::from(weight.rest().tenths()),
        );
        if weight.whole().is_some() {
            Self {
                blue: blue / 10,
                green: green / 10,
            }
        } else if blue.max(green) <= scale.largest() {
            Self { blue, green }
        } else if green > blue {
            // Whichever colour it is, the same share is the same numbers.
            let Self { blue, green } = Self::at(weight.rest(), scale);
            Self {
                blue: green,
                green: blue,
            }
        } else {
            nearest(green, blue, scale.largest())
        }
    }

    /// Returns whether the traffic is split just so, in whatever numbers. Both weights 0 is no split:
    /// Route 53 then answers with either, as often.
    #[must_use]
    pub fn are(&self, weight: Weight, scale: Scale) -> bool {
        let want = Self::at(weight, scale);
        let cross = |a: u32, b: u32| u64::from(a) * u64::from(b);
        (self.blue, self.green) != (0, 0)
            && cross(self.blue, want.green) == cross(self.green, want.blue)
    }

    /// Returns green's share in percent, to the nearest tenth.
    #[must_use]
    pub fn percent(&self) -> f64 {
        let (green, all) = (f64::from(self.green), f64::from(self.blue + self.green));
        if all == 0.0 {
            0.0
        } else {
            (1000.0 * green / all).round() / 10.0
        }
    }
}

/// The fraction of whole numbers up to `largest`, none of them 0, that is nearest to `green` of
/// `green + blue`; of several the one with the smallest numbers. Green has the smaller part.
fn nearest(green: u32, blue: u32, largest: u32) -> Shares {
    let all = u64::from(green + blue);
    // The distance to what is wanted, as a fraction: of `all` times the sum of both.
    let off = |shares: &Shares| {
        let sum = u64::from(shares.green + shares.blue);
        let (have, want) = (u64::from(shares.green) * all, u64::from(green) * sum);
        (have.abs_diff(want), sum)
    };
    let mut best = Shares {
        blue: largest,
        green: 1,
    };
    for part in 1..=largest {
        // Blue's part that is just too little, and the one that is just too much.
        let rest = part * blue / green.max(1);
        for rest in [rest, rest + 1] {
            let shares = Shares {
                blue: rest.clamp(1, largest),
                green: part,
            };
            let ((here, sum), (least, of)) = (off(&shares), off(&best));
            if here * of < least * sum {
                best = shares;
            }
        }
    }
    best
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "weights {} on blue and {} on green",
            self.blue, self.green
        )
    }
}

/// Every weight that a deployment with this plan can have set, from before its first shift to after
/// its promotion.
#[must_use]
pub fn all_of(plan: &Plan) -> Vec<Weight> {
    let steps = plan.steps().iter().map(|step| step.weight);
    [Weight::ZERO, Weight::FULL]
        .into_iter()
        .chain(steps)
        .collect()
}

/// Returns a sentence for each step of a plan whose share the scale cannot keep to the tenth.
#[must_use]
pub fn rounded(plan: &Plan, scale: Scale) -> Vec<String> {
    let largest = scale.largest();
    let told = |step: &Step| {
        let (weight, shares) = (step.weight, Shares::at(step.weight, scale));
        let (is, sum) = (shares.percent(), shares.blue + shares.green);
        let same = Weight::try_from(is) == Ok(weight);
        (!same).then(|| {
            format!(
                "a step of {weight} is {is} % in fact ({} of {sum}): weights here are whole numbers up to \
                 {largest}, and this is the nearest",
                shares.green
            )
        })
    };
    plan.steps().iter().filter_map(told).collect()
}

/// Another writer moved the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {seen}, which this deployment did not write; it wanted {want} on green")]
pub struct Conflict {
    /// What was found.
    pub seen: Shares,
    /// What was wanted.
    pub want: Weight,
}

/// What to write so that traffic found at `seen` has `want` on green: nothing when it does already,
/// one write when it is at a weight that is `ours`.
///
/// # Errors
/// [`Conflict`] when it is at none that is ours: it is reported, never overwritten.
pub fn reconcile(
    seen: Shares,
    want: Weight,
    ours: &[Weight],
    scale: Scale,
) -> Result<Option<Shares>, Conflict> {
    if seen.are(want, scale) {
        Ok(None)
    } else if ours.iter().any(|weight| seen.are(*weight, scale)) {
        Ok(Some(Shares::at(want, scale)))
    } else {
        Err(Conflict { seen, want })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Scale; 2] = [Scale::Records, Scale::Groups];

    fn all() -> impl Iterator<Item = Weight> {
        (0..=1000).map(|tenths| Weight::of_tenths(tenths).unwrap())
    }

    fn shares(blue: u32, green: u32) -> Shares {
        Shares { blue, green }
    }

    #[test]
    fn whole_percentages_are_written_as_they_always_were() {
        for percent in 0..=100u8 {
            let weight = Weight::try_from(percent).unwrap();
            for scale in BOTH {
                let expected = shares(100 - u32::from(percent), percent.into());
                assert_eq!(Shares::at(weight, scale), expected);
            }
        }
    }

    #[test]
    fn approximates_every_tenth() {
        for weight in all() {
            for scale in BOTH {
                let at = Shares::at(weight, scale);
                assert!(at.blue.max(at.green) <= scale.largest(), "{weight}: {at}");
                assert_eq!(at.green == 0, weight == Weight::ZERO, "{weight}: {at}");
                assert_eq!(at.blue == 0, weight == Weight::FULL, "{weight}: {at}");
                let share = 100.0 * f64::from(at.green) / f64::from(at.blue + at.green);
                let off = (share - weight.percent()).abs();
                // 1 of 256 is the least that records can have.
                let is_least = at.blue.min(at.green) == 1 && at.blue.max(at.green) == 255;
                let limit = match scale {
                    Scale::Groups => 1e-9,
                    Scale::Records if is_least => 0.3,
                    Scale::Records => 0.05,
                };
                assert!(off < limit, "{weight}: {at}, off by {off}");
                let rest = Shares::at(weight.rest(), scale);
                assert_eq!((rest.blue, rest.green), (at.green, at.blue), "{weight}");
            }
        }
    }

    #[test]
    fn finds_the_nearest_shares() {
        for weight in all().filter(|weight| weight.tenths() % 7 == 3) {
            let off = |shares: Shares| {
                let share = f64::from(shares.green) / f64::from(shares.blue + shares.green);
                (share - weight.fraction()).abs()
            };
            let here = off(Shares::at(weight, Scale::Records));
            for blue in 1..=255 {
                for green in 1..=255 {
                    let there = shares(blue, green);
                    assert!(here <= off(there) + 1e-12, "{weight}: {there} is nearer");
                }
            }
        }
    }

    #[test]
    fn tenths_are_what_one_would_write() {
        for (tenths, records, groups) in [
            (1, shares(255, 1), shares(999, 1)),
            (3, shares(255, 1), shares(997, 3)),
            (4, shares(249, 1), shares(996, 4)),
            (5, shares(199, 1), shares(995, 5)),
            (25, shares(39, 1), shares(975, 25)),
            (999, shares(1, 255), shares(1, 999)),
        ] {
            let weight = Weight::of_tenths(tenths).unwrap();
            assert_eq!(Shares::at(weight, Scale::Records), records, "{weight}");
            assert_eq!(Shares::at(weight, Scale::Groups), groups, "{weight}");
        }
    }

    #[test]
    fn distinguishes_every_weight_of_the_scale() {
        for scale in BOTH {
            for set in all() {
                let at = Shares::at(set, scale);
                for asked in all() {
                    let same = at == Shares::at(asked, scale);
                    assert_eq!(at.are(asked, scale), same, "{set}, {asked}");
                    // 0.1, 0.2 and 0.3 are one to Route 53, and so at the other end.
                    let outer = |weight: Weight| weight.tenths().min(weight.rest().tenths()) <= 3;
                    let expected = set == asked
                        || (scale == Scale::Records
                            && outer(set)
                            && outer(asked)
                            && set.tenths().abs_diff(asked.tenths()) <= 2
                            && ![set, asked].contains(&Weight::ZERO)
                            && ![set, asked].contains(&Weight::FULL));
                    assert_eq!(same, expected, "{set}, {asked}: {at}");
                }
            }
        }
    }

    #[test]
    fn tells_the_steps_that_the_scale_cannot_keep() {
        let step = |tenths| Step {
            weight: Weight::of_tenths(tenths).unwrap(),
            bake_seconds: 60,
        };
        let plan = Plan::new([1, 5, 123, 1000].map(step).to_vec(), None).unwrap();
        assert_eq!(rounded(&plan, Scale::Groups), Vec::<String>::new());
        assert_eq!(
            rounded(&plan, Scale::Records),
            [
                "a step of 0.1 % is 0.4 % in fact (1 of 256): weights here are whole numbers up to 255, and \
                 this is the nearest"
            ]
        );
    }

    #[test]
    fn reads_existing_weights_by_share() {
        for (blue, green, tenths) in [
            (255, 0, 0),
            (1, 0, 0),
            (0, 255, 1000),
            (9, 1, 100),
            (1, 1, 500),
            (990, 10, 10),
        ] {
            let weight = Weight::of_tenths(tenths).unwrap();
            for scale in BOTH {
                let found = reconcile(shares(blue, green), weight, &[], scale);
                assert_eq!(found, Ok(None), "{weight}");
            }
        }
    }

    #[test]
    fn refuses_two_zero_weights() {
        let ours: Vec<_> = all().collect();
        for want in all() {
            for scale in BOTH {
                assert!(
                    reconcile(shares(0, 0), want, &ours, scale).is_err(),
                    "{want}"
                );
            }
        }
    }

    #[test]
    fn refuses_foreign_splits_and_restores_ours() {
        let ours = [0, 1, 25, 100, 1000].map(|tenths| Weight::of_tenths(tenths).unwrap());
        for scale in BOTH {
            for found in all() {
                let seen = Shares::at(found, scale);
                let decided = reconcile(seen, Weight::ZERO, &ours, scale);
                let is_ours = ours.iter().any(|ours| Shares::at(*ours, scale) == seen);
                let expected = match found {
                    Weight::ZERO => Ok(None),
                    _ if is_ours => Ok(Some(shares(100, 0))),
                    _ => Err(Conflict {
                        seen,
                        want: Weight::ZERO,
                    }),
                };
                assert_eq!(decided, expected);
            }
        }
    }
}
