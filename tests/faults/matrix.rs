//! Each call of a release, and each thing that can go wrong at it.
//!
//! A scenario runs once without a fault, and its calls are read from the log: those that our functions
//! made, and those that Step Functions made to invoke them. Then it runs again for every call and
//! every fault.

use std::{collections::BTreeMap, sync::Arc};

use crossfade_tests::world::{Call, Fault};

use crate::{
    door::Kind,
    ground::Ground,
    runner::{Injection, Seen, Source},
    scenario::{Path, Scenario, Strategy},
};

/// How long nothing is heard, seconds.
const SILENCE: f64 = 30.0;

/// One call of a release, told apart from its others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Site {
    caller: String,
    service: String,
    action: String,
    /// Which of the calls that this caller makes of this action, counted from 1.
    nth: u32,
}

impl Site {
    fn name(&self, stack: &str) -> String {
        let caller = self
            .caller
            .trim_start_matches(stack)
            .trim_start_matches('-');
        format!("{caller} {} {} {}", self.service, self.action, self.nth)
    }
}

/// What goes wrong at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    ThrottledOnce,
    ThrottledForEver,
    Error500,
    DroppedBefore,
    DroppedAfter,
    Silence,
    DeniedForEver,
    KilledBefore,
    KilledAfter,
}

impl Wrong {
    const ALL: [Self; 9] = [
        Self::ThrottledOnce,
        Self::ThrottledForEver,
        Self::Error500,
        Self::DroppedBefore,
        Self::DroppedAfter,
        Self::Silence,
        Self::DeniedForEver,
        Self::KilledBefore,
        Self::KilledAfter,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::ThrottledOnce => "throttle",
            Self::ThrottledForEver => "throttle-for-ever",
            Self::Error500 => "error500",
            Self::DroppedBefore => "drop-before",
            Self::DroppedAfter => "drop-after",
            Self::Silence => "silence",
            Self::DeniedForEver => "access-denied",
            Self::KilledBefore => "kill-before",
            Self::KilledAfter => "kill-after",
        }
    }

    /// Of a call that Step Functions makes there is no process of ours to kill.
    fn can_strike(self, site: &Site) -> bool {
        site.caller != "states" || !matches!(self, Self::KilledBefore | Self::KilledAfter)
    }

    /// The fault, at this call and, where it is for ever, at all that follow.
    fn at(self, site: &Site) -> Fault {
        let kind = match self {
            Self::ThrottledForEver => "throttle",
            other => other.name(),
        };
        let fault = Fault::new(kind)
            .on(&site.service, &site.action)
            .by(&site.caller)
            .after(site.nth - 1);
        match self {
            Self::ThrottledForEver | Self::DeniedForEver => fault.always(),
            Self::Silence => fault.seconds(SILENCE),
            _ => fault,
        }
    }
}

/// The scenarios: every way that a release can end through an alias with every strategy, and each
/// other kind of traffic.
fn scenarios() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for strategy in Strategy::ALL {
        for path in [Path::Promoted, Path::Verdict, Path::Alarm, Path::Approval] {
            for kind in [Kind::Alias, Kind::Route53, Kind::Alb] {
                scenarios.push(Scenario {
                    strategy,
                    kind,
                    path,
                });
            }
        }
    }
    for path in [Path::First, Path::Retained] {
        scenarios.push(Scenario {
            strategy: Strategy::Canary,
            kind: Kind::Alias,
            path,
        });
    }
    scenarios
}

/// A source for each scenario.
pub(crate) fn sources() -> Vec<Source> {
    let sources = scenarios()
        .into_iter()
        .map(|scenario| Source::new(scenario.name(), move |ground| list(scenario, ground)));
    sources.collect()
}

async fn list(scenario: Scenario, ground: Arc<Ground>) -> Result<Vec<Injection>, String> {
    let clean = scenario.run(&ground, None).await;
    if let Some(bad) = clean.bad.first() {
        return Err(format!("without any fault: {}: {}", bad.class, bad.what));
    }
    let promoted = clean
        .ended
        .as_ref()
        .is_some_and(|ended| ended.outcome()["deploymentStatus"] == "SUCCESSFUL");
    if promoted != scenario.path.may_promote() {
        return Err(format!("without any fault it ended {:?}", clean.ended));
    }
    let stack = ground.world.stack.name.clone();
    let mut injections = Vec::new();
    for site in sites(&clean.calls, &stack) {
        for wrong in Wrong::ALL {
            if wrong.can_strike(&site) {
                injections.push(injection(scenario, &site, wrong, &stack));
            }
        }
    }
    Ok(injections)
}

fn injection(scenario: Scenario, site: &Site, wrong: Wrong, stack: &str) -> Injection {
    let name = format!("{} {} {}", scenario.name(), site.name(stack), wrong.name());
    let stratum = format!("{} {}", scenario.name(), wrong.name());
    let site = site.clone();
    Injection::new(name, stratum, move |ground| async move {
        let ran = scenario.run(&ground, Some(wrong.at(&site))).await;
        // What is broken without the fault having struck is broken all the same.
        if ran.struck == 0 && ran.bad.is_empty() {
            Seen::NotReached
        } else {
            Seen::Injected(ran.bad)
        }
    })
}

/// The calls that can go wrong: those of our functions while they serve the release, and those by
/// which Step Functions has them invoked.
fn sites(calls: &[Call], stack: &str) -> Vec<Site> {
    let ours = format!("{stack}-");
    let mut counts: BTreeMap<(String, String, String), u32> = BTreeMap::new();
    let mut sites = Vec::new();
    for call in calls {
        let Some(caller) = call.caller.as_deref().filter(|_| call.served) else {
            continue;
        };
        if !caller.starts_with(&ours) && caller != "states" {
            continue;
        }
        let key = (caller.to_owned(), call.service.clone(), call.action.clone());
        let count = counts.entry(key).or_default();
        *count += 1;
        sites.push(Site {
            caller: caller.to_owned(),
            service: call.service.clone(),
            action: call.action.clone(),
            nth: *count,
        });
    }
    sites
}
