//! The product's own decisions, in the model's words: what an alias is wanted to do, which states are a
//! deployment's own, and what is written over what.

use std::collections::HashMap;

use crossfade::domain::{
    analysis::{OnInconclusive, verdict::Verdict},
    decision::{Bake, Decision, Next, decide},
    names::Version,
    plan::{Plan, Step},
    release::Target,
    routing::alias::{Alias, Primary, Revision, Routing, reconcile},
    weight::Weight,
};

use crate::world::{FIRST, Rel, Routed, STRANGERS, V};

/// What is written over what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Nothing: it is so already.
    Nothing,
    /// This.
    Write(Routed),
    /// Nothing: it is somebody else's.
    Conflict,
}

/// One release from one blue.
#[derive(Debug)]
struct Way {
    /// What is wanted after each number of steps.
    after: Vec<Option<Routing>>,
    /// Every state that it can have caused.
    ours: Vec<Routing>,
    /// The same, in the model's words.
    routed: Vec<Routed>,
}

/// The plan that both releases have, and all that follows from it.
#[derive(Debug)]
pub struct Product {
    plan: Plan,
    ways: HashMap<(Rel, Routed), Way>,
}

impl Product {
    /// Releases by these weights; with an approval before the last where people are asked.
    ///
    /// # Panics
    /// Where they are no plan.
    #[must_use]
    pub fn new(weights: &[u8], asks: bool) -> Self {
        let steps = weights.iter().map(|percent| Step {
            weight: weight(*percent),
            bake_seconds: 0,
        });
        let last = weights.last().filter(|_| asks);
        let plan = Plan::new(steps.collect(), last.map(|percent| weight(*percent)));
        let plan = plan.expect("weights rise to 100");
        let blues = [FIRST, Rel::A.green(), Rel::B.green(), STRANGERS].map(Routed::On);
        let mut ways = HashMap::new();
        for rel in Rel::BOTH {
            for blue in blues.into_iter().chain([Routed::Gone]) {
                ways.insert((rel, blue), Way::new(&plan, rel, blue));
            }
        }
        Self { plan, ways }
    }

    fn way(&self, rel: Rel, blue: Routed) -> &Way {
        &self.ways[&(rel, blue)]
    }

    /// How many steps there are.
    #[must_use]
    pub fn steps(&self) -> u8 {
        u8::try_from(self.plan.steps().len()).expect("they are few")
    }

    /// What is wanted after so many steps: `Target::routing`.
    #[must_use]
    pub fn after(&self, rel: Rel, blue: Routed, steps: u8) -> Routed {
        routed(self.way(rel, blue).after[usize::from(steps)].as_ref())
    }

    /// Whether a release can have caused a state: `Target::ours`. What it began on is its own as well.
    #[must_use]
    pub fn is_ours(&self, rel: Rel, blue: Routed, seen: Routed) -> bool {
        seen == blue || self.way(rel, blue).routed.contains(&seen)
    }

    /// `reconcile`, for a shift or a promotion from the routing after so many steps.
    #[must_use]
    pub fn forth(&self, rel: Rel, blue: Routed, seen: Routed, want: Routed, steps: u8) -> Decided {
        let before = &self.way(rel, blue).after[usize::from(steps)];
        reconciled(seen, want, before.as_slice())
    }

    /// `reconcile`, for the way back to blue.
    #[must_use]
    pub fn back(&self, rel: Rel, blue: Routed, seen: Routed) -> Decided {
        reconciled(seen, blue, &self.way(rel, blue).ours)
    }

    /// `decide`, after a bake: where a healthy or an unhealthy look leads.
    #[must_use]
    pub fn decision(&self, steps: u8, verdict: Verdict) -> Decision {
        let next = usize::from(steps);
        let next = match self.plan.step(next) {
            None => Next::End,
            Some(_) if self.plan.needs_approval(next) => Next::StepAfterApproval,
            Some(_) => Next::Step,
        };
        let bake = Bake {
            planned_seconds: 0,
            waited_seconds: 0,
            max_seconds: 0,
            check_every_seconds: 0,
        };
        decide(verdict, &bake, next, OnInconclusive::Hold).decision
    }
}

impl Way {
    fn new(plan: &Plan, rel: Rel, blue: Routed) -> Self {
        let blue_version = match blue {
            Routed::On(v) => Some(version(v)),
            Routed::Gone | Routed::Split(..) => None,
        };
        let target = Target {
            function_name: "f".parse().expect("it is a name"),
            alias: Some("live".parse().expect("it is a name")),
            called_as: None,
            blue_version,
            green_version: version(rel.green()),
            revision_id: None,
            provisioned: None,
            is_durable: false,
        };
        let weights = plan.steps().iter().map(|step| step.weight);
        let after = std::iter::once(Weight::ZERO).chain(weights);
        let ours = target.ours(plan);
        Self {
            after: after.map(|weight| target.routing(weight)).collect(),
            routed: ours.iter().map(|one| routed(Some(one))).collect(),
            ours,
        }
    }
}

fn reconciled(seen: Routed, want: Routed, ours: &[Routing]) -> Decided {
    let alias = alias(seen).expect("what is gone is not reconciled");
    let want = routing(want).expect("nobody wants it gone by an update");
    match reconcile(&alias, &want, ours) {
        Ok(None) => Decided::Nothing,
        Ok(Some(update)) => {
            assert_eq!(
                update.if_revision, alias.revision,
                "decided on what was read"
            );
            Decided::Write(routed(Some(&update.routing)))
        }
        Err(_) => Decided::Conflict,
    }
}

fn version(v: V) -> Version {
    v.to_string().parse().expect("it is a number")
}

fn weight(percent: u8) -> Weight {
    percent.try_into().expect("it is a percentage")
}

fn number(version: &Version) -> V {
    version.as_ref().parse().expect("they are small")
}

/// An alias as Lambda describes it.
fn alias(seen: Routed) -> Option<Alias> {
    let (primary, additional) = match seen {
        Routed::Gone => return None,
        Routed::On(v) => (v, None),
        Routed::Split(blue, green, percent) => {
            (blue, Some((version(green), weight(percent).fraction())))
        }
    };
    Some(Alias {
        primary: Primary::Version(version(primary)),
        additional,
        revision: Revision("as read".into()),
    })
}

fn routing(want: Routed) -> Option<Routing> {
    Some(match want {
        Routed::Gone => return None,
        Routed::On(v) => Routing::Settled(version(v)),
        Routed::Split(blue, green, percent) => Routing::Split {
            blue: version(blue),
            green: version(green),
            weight: weight(percent),
        },
    })
}

fn routed(routing: Option<&Routing>) -> Routed {
    match routing {
        None => Routed::Gone,
        Some(Routing::Settled(version)) => Routed::On(number(version)),
        Some(Routing::Split {
            blue,
            green,
            weight,
        }) => {
            let percent = weight.whole().and_then(|it| u8::try_from(it).ok());
            let percent = percent.expect("plans here have whole ones");
            Routed::Split(number(blue), number(green), percent)
        }
    }
}
