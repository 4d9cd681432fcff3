//! Traffic split by two weights that are kept in one place: Route 53's weighted records, an ALB's
//! weighted target groups.
//!
//! As with an alias, [`reconcile`] is the only place that decides on a write: it asks for a wanted
//! state, and refuses to write over one that this deployment cannot have produced. Neither service
//! gives revisions, so what is written over is read right before, under the deployment's lock, and
//! read again after.

use std::fmt;

use super::{plan::Plan, weight::Weight};

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
    /// `weight` percent on green, in numbers that add up to 100: both services keep whole numbers up
    /// to 255 and more (AWS-FACTS 5 and 6).
    #[must_use]
    pub fn at(weight: Weight) -> Self {
        let green = u32::from(weight.percent());
        Self {
            blue: u32::from(Weight::FULL.percent()) - green,
            green,
        }
    }

    /// Whether the traffic is split just so, in whatever numbers. Both weights 0 is no split: Route 53
    /// then answers with either, as often.
    #[must_use]
    pub fn are(&self, weight: Weight) -> bool {
        let want = Self::at(weight);
        let cross = |a: u32, b: u32| u64::from(a) * u64::from(b);
        (self.blue, self.green) != (0, 0)
            && cross(self.blue, want.green) == cross(self.green, want.blue)
    }
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

/// Somebody else moved the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {seen}, which this deployment did not write; it wanted {want} on green")]
pub struct Conflict {
    /// What was found.
    pub seen: Shares,
    /// What was wanted.
    pub want: Weight,
}

/// What to write so that traffic found at `seen` has `want` percent on green: nothing when it does
/// already, one write when it is at a weight that is `ours`.
///
/// # Errors
/// [`Conflict`] when it is at none that is ours: it is reported, never overwritten.
pub fn reconcile(seen: Shares, want: Weight, ours: &[Weight]) -> Result<Option<Shares>, Conflict> {
    if seen.are(want) {
        Ok(None)
    } else if ours.iter().any(|weight| seen.are(*weight)) {
        Ok(Some(Shares::at(want)))
    } else {
        Err(Conflict { seen, want })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Weight> {
        (0..=100).map(|percent| Weight::try_from(percent).unwrap())
    }

    #[test]
    fn every_weight_is_told_from_every_other() {
        for set in all() {
            for asked in all() {
                assert_eq!(Shares::at(set).are(asked), set == asked, "{set}, {asked}");
            }
        }
    }

    #[test]
    fn the_numbers_that_were_there_before_mean_what_their_share_is() {
        for (blue, green, weight) in [
            (255, 0, 0),
            (1, 0, 0),
            (0, 255, 100),
            (9, 1, 10),
            (1, 1, 50),
        ] {
            let weight = Weight::try_from(weight).unwrap();
            assert_eq!(reconcile(Shares { blue, green }, weight, &[]), Ok(None));
        }
    }

    #[test]
    fn no_weight_at_all_is_nobodys_wish() {
        let none = Shares { blue: 0, green: 0 };
        let ours: Vec<_> = all().collect();
        for want in all() {
            assert!(reconcile(none, want, &ours).is_err(), "{want}");
        }
    }

    #[test]
    fn a_strangers_split_is_refused_and_ours_leads_home() {
        let ours = [0, 10, 100].map(|percent| Weight::try_from(percent).unwrap());
        for seen in all() {
            let decided = reconcile(Shares::at(seen), Weight::ZERO, &ours);
            let expected = match seen {
                Weight::ZERO => Ok(None),
                _ if ours.contains(&seen) => Ok(Some(Shares {
                    blue: 100,
                    green: 0,
                })),
                _ => Err(Conflict {
                    seen: Shares::at(seen),
                    want: Weight::ZERO,
                }),
            };
            assert_eq!(decided, expected);
        }
    }
}
