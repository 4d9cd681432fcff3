//! From a verdict to what happens next.

use serde::{Deserialize, Serialize};

use super::analysis::OnInconclusive;
use crate::domain::analysis::verdict::Verdict;

/// What to do about a verdict. The name is the word that the state machine's `Decide` matches.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Decision {
    /// Wait until clients follow the last change: DNS takes its time.
    AwaitDns,
    /// Watch the present weight longer.
    BakeOn,
    /// Ask the user's hook, and then watch.
    RunHook,
    /// Go to the next step.
    Shift,
    /// An operator decides whether to go to the next step.
    Ask,
    /// Keep green.
    Promote,
    /// Stop at the present weight and call an operator.
    Hold,
    /// All traffic back to blue.
    RollBack,
}

/// How far the bake of the present step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bake {
    /// How long the plan bakes this step, seconds.
    pub planned_seconds: u32,
    /// How long it has baked, seconds: the sum of the waits, so that no clock can be wrong about it.
    pub waited_seconds: u32,
    /// How long it may bake when there is too little to judge, seconds.
    pub max_seconds: u32,
    /// How long one wait is at the most, seconds.
    pub check_every_seconds: u32,
}

impl Bake {
    /// How long to wait before the next look, seconds; 0 when the planned bake is over.
    #[must_use]
    pub fn next_wait(&self) -> u32 {
        self.check_every_seconds
            .min(self.planned_seconds.saturating_sub(self.waited_seconds))
    }

    /// How long to wait for data that is still missing, seconds; 0 when the limit is reached.
    #[must_use]
    pub fn next_extension(&self) -> u32 {
        self.check_every_seconds
            .min(self.max_seconds.saturating_sub(self.waited_seconds))
    }
}

/// What comes after the present step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another step.
    Step,
    /// Another step, which an operator has to approve.
    StepAfterApproval,
    /// Nothing: green has all traffic, but for the control group's.
    End,
}

/// A decision and the seconds that the next bake waits, where it is [`Decision::BakeOn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What to do.
    pub decision: Decision,
    /// Seconds to wait before the next look; 0 unless baking on.
    pub wait_seconds: u32,
}

/// What to do about `verdict`.
///
/// An unhealthy verdict ends the release at any moment. A healthy one counts when the bake is over.
/// Too little data is never a pass: it extends the bake up to its limit, and then the request's own
/// word decides.
#[must_use]
pub fn decide(
    verdict: Verdict,
    bake: &Bake,
    next: Next,
    on_inconclusive: OnInconclusive,
) -> Decided {
    let go_on = match next {
        Next::Step => Decision::Shift,
        Next::StepAfterApproval => Decision::Ask,
        Next::End => Decision::Promote,
    };
    let wait_seconds = match (verdict, bake.next_wait()) {
        (Verdict::Unhealthy, _) => 0,
        (Verdict::Inconclusive, 0) => bake.next_extension(),
        (Verdict::Healthy | Verdict::Inconclusive, planned) => planned,
    };
    let decision = match (verdict, wait_seconds) {
        (Verdict::Unhealthy, _) => Decision::RollBack,
        (Verdict::Healthy | Verdict::Inconclusive, 1..) => Decision::BakeOn,
        (Verdict::Healthy, 0) => go_on,
        (Verdict::Inconclusive, 0) => match on_inconclusive {
            OnInconclusive::Hold => Decision::Hold,
            OnInconclusive::RollBack => Decision::RollBack,
            OnInconclusive::Proceed => go_on,
        },
    };
    Decided {
        decision,
        wait_seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVER: Bake = Bake {
        planned_seconds: 300,
        waited_seconds: 300,
        max_seconds: 900,
        check_every_seconds: 60,
    };

    fn decision(verdict: Verdict, bake: Bake, next: Next, word: OnInconclusive) -> (Decision, u32) {
        let decided = decide(verdict, &bake, next, word);
        (decided.decision, decided.wait_seconds)
    }

    #[test]
    fn unhealthy_rolls_back_at_every_moment() {
        for waited_seconds in [0, 60, 299, 300, 900] {
            for next in [Next::Step, Next::StepAfterApproval, Next::End] {
                for word in [
                    OnInconclusive::Hold,
                    OnInconclusive::RollBack,
                    OnInconclusive::Proceed,
                ] {
                    let bake = Bake {
                        waited_seconds,
                        ..OVER
                    };
                    assert_eq!(
                        decision(Verdict::Unhealthy, bake, next, word),
                        (Decision::RollBack, 0)
                    );
                }
            }
        }
    }

    #[test]
    fn watches_a_healthy_bake_to_its_end() {
        let at = |waited_seconds| {
            decision(
                Verdict::Healthy,
                Bake {
                    waited_seconds,
                    ..OVER
                },
                Next::Step,
                OnInconclusive::Hold,
            )
        };
        assert_eq!(at(0), (Decision::BakeOn, 60));
        assert_eq!(
            at(270),
            (Decision::BakeOn, 30),
            "the last wait is only what is left"
        );
        assert_eq!(at(300), (Decision::Shift, 0));
    }

    #[test]
    fn follows_the_plan_after_a_bake() {
        let after = |next| decision(Verdict::Healthy, OVER, next, OnInconclusive::Hold).0;
        assert_eq!(after(Next::Step), Decision::Shift);
        assert_eq!(after(Next::StepAfterApproval), Decision::Ask);
        assert_eq!(after(Next::End), Decision::Promote);
    }

    #[test]
    fn too_little_data_extends_the_bake_and_then_does_what_the_request_says() {
        let at = |waited_seconds, word| {
            decision(
                Verdict::Inconclusive,
                Bake {
                    waited_seconds,
                    ..OVER
                },
                Next::End,
                word,
            )
        };
        assert_eq!(at(300, OnInconclusive::Proceed), (Decision::BakeOn, 60));
        assert_eq!(at(870, OnInconclusive::Proceed), (Decision::BakeOn, 30));
        assert_eq!(at(900, OnInconclusive::Proceed), (Decision::Promote, 0));
        assert_eq!(at(900, OnInconclusive::Hold), (Decision::Hold, 0));
        assert_eq!(at(900, OnInconclusive::RollBack), (Decision::RollBack, 0));
    }

    #[test]
    fn ends_every_bake() {
        for verdict in [Verdict::Healthy, Verdict::Inconclusive] {
            let mut bake = Bake {
                waited_seconds: 0,
                check_every_seconds: 7,
                ..OVER
            };
            let mut looks = 0;
            while let (Decision::BakeOn, wait) =
                decision(verdict, bake, Next::Step, OnInconclusive::Hold)
            {
                bake.waited_seconds += wait;
                looks += 1;
                assert!(looks <= 900, "{verdict:?} never ends");
            }
            assert_eq!(
                bake.waited_seconds,
                if verdict == Verdict::Healthy {
                    300
                } else {
                    900
                }
            );
        }
    }
}
