//! Each call of a release, and each thing that can go wrong at it.
//!
//! A scenario runs once without a fault, and its calls are read from the log: those that our functions
//! made, and those that Step Functions made to invoke them. Then it runs again for every call and
//! every fault.
//!
//! All of them are some 22,000. The whole has, of a canary through an alias, every fault at every call
//! on every path; of a canary through another door, every fault at the calls that the alias does not
//! take on the same path; of the other strategies, every fault at the calls that neither of these makes;
//! and of all that is left one fault at each call, another at each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crossfade_tests::world::{Call, Fault};

use crate::{
    door::Kind,
    ground::Ground,
    runner::{Injection, Seen, Source},
    scenario::{Path, Scenario, Strategy},
};

use tokio::sync::OnceCell;

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
    /// Another transaction holds what is written.
    Conflict,
    /// The same for so long that the process gives up.
    ConflictForLong,
    /// A transaction of which items are throttled.
    ItemsThrottled,
}

impl Wrong {
    const ALL: [Self; 12] = [
        Self::ThrottledOnce,
        Self::ThrottledForEver,
        Self::Error500,
        Self::DroppedBefore,
        Self::DroppedAfter,
        Self::Silence,
        Self::DeniedForEver,
        Self::KilledBefore,
        Self::KilledAfter,
        Self::Conflict,
        Self::ConflictForLong,
        Self::ItemsThrottled,
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
            Self::Conflict => "transaction-conflict",
            Self::ConflictForLong => "transaction-conflict-for-long",
            Self::ItemsThrottled => "transaction-throttled",
        }
    }

    /// Of a call that Step Functions makes there is no process of ours to kill.
    fn can_strike(self, site: &Site) -> bool {
        const WRITES: [&str; 4] = ["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"];
        match self {
            Self::KilledBefore | Self::KilledAfter => site.caller != "states",
            Self::Conflict | Self::ConflictForLong => WRITES.contains(&site.action.as_str()),
            Self::ItemsThrottled => site.action == "TransactWriteItems",
            _ => true,
        }
    }

    /// Where it is tried again and again, ever further apart: by those that move the traffic, and by
    /// rollback, forty times.
    fn is_slow_at(self, site: &Site) -> bool {
        let patient = ["lambda", "route53", "elbv2"].contains(&site.service.as_str());
        let patient = patient && site.caller != "states";
        self == Self::ThrottledForEver && (patient || site.caller.ends_with("-rollback"))
    }

    /// The fault, at this call and, where it is for ever, at all that follow.
    fn at(self, site: &Site) -> Fault {
        let kind = match self {
            Self::ThrottledForEver => "throttle",
            Self::ConflictForLong => "transaction-conflict",
            other => other.name(),
        };
        let fault = Fault::new(kind)
            .on(&site.service, &site.action)
            .by(&site.caller)
            .after(site.nth - 1);
        match self {
            Self::ThrottledForEver | Self::DeniedForEver => fault.always(),
            Self::Silence => fault.seconds(SILENCE),
            Self::ConflictForLong => fault.times(10),
            _ => fault,
        }
    }
}

/// The scenarios: every way that a release can end through an alias with every strategy, and each
/// other kind of traffic; and through the latter, one that is rejected and the release before it taken back.
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
    for path in [Path::RejectedAlarm, Path::RejectedByHand] {
        for kind in [Kind::Route53, Kind::Alb] {
            scenarios.push(Scenario {
                strategy: Strategy::AllAtOnce,
                kind,
                path,
            });
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

/// The calls of a scenario, once it has been run without a fault; why not, where it did not go as it
/// should.
type Known = Arc<OnceCell<Result<Vec<Site>, String>>>;

/// A source for each scenario.
pub(crate) fn sources() -> Vec<Source> {
    let all: Vec<(Scenario, Known)> = scenarios()
        .into_iter()
        .map(|scenario| (scenario, Known::default()))
        .collect();
    let sources = all.iter().enumerate().map(|(nth, (scenario, known))| {
        let (scenario, known) = (*scenario, Arc::clone(known));
        let bases = scenario
            .bases()
            .into_iter()
            .filter(|base| *base != scenario);
        let bases: Vec<_> = bases
            .filter_map(|base| all.iter().find(|(other, _)| *other == base).cloned())
            .collect();
        Source::new(scenario.name(), move |ground| async move {
            let stack = ground.world.stack.name.clone();
            let sites = known.get_or_init(|| clean(scenario, &ground)).await;
            let mut usual = BTreeSet::new();
            for (base, known) in bases {
                let sites = known.get_or_init(|| clean(base, &ground)).await.clone();
                usual.extend(sites?);
            }
            let sites = sites.clone()?;
            let of = |(place, site)| injections(scenario, nth + place, site, &usual, &stack);
            Ok(sites.iter().enumerate().flat_map(of).collect())
        })
    });
    sources.collect()
}

/// Runs it without a fault.
async fn clean(scenario: Scenario, ground: &Ground) -> Result<Vec<Site>, String> {
    let clean = scenario.run(ground, None).await;
    clean.is_good()?;
    let promoted = clean
        .ended
        .as_ref()
        .is_some_and(|ended| ended.outcome()["deploymentStatus"] == "SUCCESSFUL");
    if promoted != scenario.path.may_promote() {
        return Err(format!("without any fault it ended {:?}", clean.ended));
    }
    let error = clean.ended.as_ref().map(|ended| ended.error.as_str());
    if scenario.path.is_rejected() && error != Some("ValidationFailed") {
        return Err(format!("without any fault it ended {:?}", clean.ended));
    }
    let mut sites = sites(&clean.calls, &ground.world.stack.name);
    if scenario.path == Path::Retained {
        // What comes before is as in any release.
        sites.retain(|site| site.caller.ends_with("-prune"));
    }
    Ok(sites)
}

/// All that can go wrong at a call. Where it is `usual`, the whole has one of them: the one whose turn
/// it is.
fn injections(
    scenario: Scenario,
    turn: usize,
    site: &Site,
    usual: &BTreeSet<Site>,
    stack: &str,
) -> Vec<Injection> {
    let possible: Vec<_> = Wrong::ALL
        .into_iter()
        .filter(|wrong| wrong.can_strike(site))
        .collect();
    let its_turn = turn % possible.len();
    let all = possible.into_iter().enumerate().map(|(nth, wrong)| {
        injection(scenario, site, wrong, stack)
            .chosen_if(!usual.contains(site) || nth == its_turn)
            .slow_if(wrong.is_slow_at(site))
    });
    all.collect()
}

fn injection(scenario: Scenario, site: &Site, wrong: Wrong, stack: &str) -> Injection {
    let name = format!("{} {} {}", scenario.name(), site.name(stack), wrong.name());
    let stratum = format!("{} {}", scenario.name(), wrong.name());
    let site = site.clone();
    Injection::new(name, stratum, move |ground| async move {
        let ran = scenario.run(&ground, Some(wrong.at(&site))).await;
        Seen {
            injected: ran.struck > 0,
            bad: ran.bad,
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
