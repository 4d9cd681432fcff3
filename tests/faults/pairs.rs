//! Two releases of one application at once, at pairs of their writes: the first one's execution is stopped
//! right before a write, which is late; the second one begins at that moment, takes over what it finds, and
//! one of its own writes is late as well. Every order of these writes is in the model of the protocol; here
//! some of them meet the programs themselves.

use std::{collections::BTreeMap, time::Duration};

use crossfade_tests::{
    invariants::{self, Scope},
    release::until_within,
    world::Fault,
};

use crate::{
    door::{ALIAS, Door, Kind, Serving},
    ground::{Code, Ground},
    judge,
    runner::{Bad, Class, Injection, Seen, Source},
    scenario::{Path, Scenario, Strategy},
};

/// The quickest release: one shift, and the promotion.
const SCENARIO: Scenario = Scenario {
    strategy: Strategy::AllAtOnce,
    kind: Kind::Alias,
    path: Path::Promoted,
};

/// How late a write of the first release is, seconds: as long as it takes the second one to get as far.
const LATE: [f64; 2] = [0.7, 2.0];
/// How late one of the second is.
const SECOND_LATE: f64 = 0.8;
/// No two releases take longer.
const PATIENCE: Duration = Duration::from_secs(4 * 60);

/// One of a release's writes, told apart from its others.
#[derive(Clone, Debug)]
struct Write {
    function: String,
    service: String,
    action: String,
    nth: u32,
}

impl Write {
    fn name(&self) -> String {
        format!("{} {} {}", self.function, self.action, self.nth)
    }

    fn at(&self, stack: &str, kind: &str) -> Fault {
        Fault::new(kind)
            .on(&self.service, &self.action)
            .by(&format!("{stack}-{}", self.function))
            .after(self.nth - 1)
    }
}

/// All pairs of writes that both are about what the releases share.
pub(crate) fn source() -> Source {
    Source::new("pairs/alias".into(), move |ground| async move {
        let clean = SCENARIO.run(&ground, None).await;
        clean.is_good()?;
        let ours = format!("{}-", ground.world.stack.name);
        let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
        let mut writes = Vec::new();
        for call in clean.calls.iter().filter(|call| call.served) {
            let caller = call.caller.as_deref().unwrap_or_default();
            let shared = [
                "TransactWriteItems",
                "UpdateItem",
                "UpdateAlias",
                "PublishVersion",
            ];
            let Some(function) = caller.strip_prefix(&ours) else {
                continue;
            };
            if !shared.contains(&call.action.as_str()) {
                continue;
            }
            let key = (function.to_owned(), call.action.clone());
            let nth = counts.entry(key).or_default();
            *nth += 1;
            writes.push(Write {
                function: function.to_owned(),
                service: call.service.clone(),
                action: call.action.clone(),
                nth: *nth,
            });
        }
        let mut all = Vec::new();
        for first in &writes {
            for second in &writes {
                for late in LATE {
                    all.push(injection(first, second, late));
                }
            }
        }
        Ok(all)
    })
}

fn injection(first: &Write, second: &Write, late: f64) -> Injection {
    let name = format!(
        "pairs/alias {} late-by-{late} with {}",
        first.name(),
        second.name()
    );
    let (first, second) = (first.clone(), second.clone());
    Injection::new(name, "pairs/alias".into(), move |ground| async move {
        run(&ground, &first, &second, late).await
    })
}

async fn run(ground: &Ground, first: &Write, second: &Write, late: f64) -> Seen {
    let stack = ground.world.stack.name.clone();
    let since = ground.world.now().await;
    let (token, other) = (Ground::token(), Ground::token());
    // What both are named in is of the second: its token is known first.
    let theirs = ground.world.of_release(&other).await;
    let world = ground.world.of_release(&token).await;
    let target = SCENARIO.function(ground, &token).await;
    let door = Door::make(ground, Kind::Alias, &token, &target, Some("1")).await;
    let request = SCENARIO.request(&token, &door, None);
    let mut next = request.clone();
    next["functions"][0]["code"] = Code::Bad.named();

    let fault = first.at(&stack, "stop-late").of_release(&token);
    let fault = world.fault(fault.seconds(late)).await;
    let later = second.at(&stack, "late").of_release(&other);
    let later = world.fault(later.seconds(SECOND_LATE)).await;
    let one = world.start_as(&token, &request).await;
    until_within(PATIENCE, "the first release's write", || async {
        let struck = world.struck(fault).await > 0 || one.ended().await.is_some();
        struck.then_some(())
    })
    .await;
    let two = theirs.start_as(&other, &next).await;
    let mut seen = Seen {
        injected: world.struck(fault).await > 0,
        bad: Vec::new(),
    };
    let mut over = true;
    for (world, execution) in [(&world, &one), (&theirs, &two)] {
        world.wait_for(execution, "", 1, PATIENCE).await;
        over &= execution.ended().await.is_some();
    }
    if over {
        tokio::time::sleep(Duration::from_secs_f64(late + 0.5)).await;
        until_within(
            PATIENCE,
            "the end of what their ends have set off",
            || async {
                let at_work = world.at_work().await + theirs.at_work().await;
                (at_work == 0).then_some(())
            },
        )
        .await;
        ground.sweep().await;
        if let Serving::Split(how) = door.serving(&target).await {
            seen.bad.push(Bad::of(Class::Stuck, how));
        }
        for lock in ground.world.locks().await {
            if lock.name.contains(&target.name) || [&one.arn, &two.arn].contains(&&lock.execution) {
                let what = format!("{lock:?} is held");
                seen.bad.push(Bad::of(Class::LostLock, what));
            }
        }
        let scope = Scope {
            targets: vec![(target.clone(), ALIAS.to_owned())],
            doors: Vec::new(),
            executions: vec![one.clone(), two.clone()],
            witnesses: Vec::new(),
            since,
        };
        for broken in invariants::check_within(&ground.world, &scope, judge::WHOLE_WITHIN).await {
            seen.bad.push(Bad::of_invariant(&broken));
        }
    } else {
        let what = format!("one runs on after {PATIENCE:?}");
        seen.bad.push(Bad::of(Class::Stuck, what));
    }
    world.mend(fault).await;
    world.mend(later).await;
    if std::env::var_os("KEEP").is_none() {
        for (world, execution) in [(&world, &one), (&theirs, &two)] {
            execution.stop().await;
            if let Some(retention) = world.retention_of(execution).await {
                retention.stop().await;
            }
        }
        target.delete().await;
        world.forget().await;
        theirs.forget().await;
    }
    seen
}
