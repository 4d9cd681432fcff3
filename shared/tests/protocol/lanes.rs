//! The fast lane: what is put is on record before, and is removed whatever dies; and what is heard decides.

use crossfade::{
    domain::{
        Timestamp,
        analysis::Analysis,
        live::{
            evidence::LiveEvidence,
            lane::{Ear, Lane},
            test::Come,
        },
        weight::Weight,
    },
    error::Error,
    fake::{Actor, Call, Failure, Reply, Rules, World, drive},
    protocol::{
        ledger::Ledger,
        live::{Delivery, HEARING, Told, arm, before_shift, disarm, sweep, take, unheard},
    },
};

const EXECUTION: &str = "arn:aws:states:eu-west-1:123456789012:execution:crossfade-deployment:e";
const TO: &str = "arn:aws:lambda:eu-west-1:123456789012:function:crossfade-live-errors";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_796_000_000 + seconds, 0).unwrap()
}

fn group(function: &str) -> String {
    format!("/aws/lambda/{function}")
}

fn lane(functions: &[&str]) -> Lane {
    let ears = functions.iter().map(|function| Ear {
        function_name: function.parse().unwrap(),
        group: group(function),
        blue: "1".to_owned().try_into().unwrap(),
        green: "2".to_owned().try_into().unwrap(),
        come: Come::OneByOne,
    });
    Lane::of(EXECUTION, &Analysis::default(), ears.collect())
}

/// Two log groups, on one of which somebody else listens too.
fn world() -> World {
    let mut world = World::default();
    world.filters.insert(group("f"), vec!["datadog".into()]);
    world.filters.insert(group("g"), Vec::new());
    world
}

fn armed(world: &mut World, functions: &[&str]) -> Vec<Call> {
    let lane = lane(functions);
    let (done, calls) = drive(world, |client| async move {
        let ledger = Ledger::on(client.clone());
        arm(&client, &ledger, &lane, |_| "?ERROR".into(), TO, at(0)).await
    });
    done.expect("nothing goes wrong");
    calls
}

fn swept(world: &mut World, now: Timestamp) -> Result<usize, Error> {
    drive(world, |client| async move {
        sweep(&client, &Ledger::on(client.clone()), now).await
    })
    .0
}

/// Whether nothing of ours is left, and what is another's is as it was.
fn is_clean(world: &World) -> bool {
    let ours = |name: &&String| name.starts_with("crossfade-live-");
    let left = world.filters.values().flatten().filter(ours).count();
    left == 0 && world.filters[&group("f")] == ["datadog"]
}

/// What goes wrong at a call.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    DiesBefore,
    DiesAfter,
    Lost,
    LostAfter,
    Denied,
}

/// Does something with what goes wrong at its nth call. Returns whether there was such a call.
fn with<'a, T, F: Future<Output = T> + 'a>(
    world: &mut World,
    at_call: usize,
    wrong: Wrong,
    work: impl FnOnce(crossfade::fake::Client) -> F,
) -> bool {
    let mut actor = Actor::new(work);
    let mut made = 0;
    while let Some((nth, call)) = actor.pending().into_iter().next() {
        let strikes = made == at_call;
        made += 1;
        let reply = match (strikes, wrong) {
            (true, Wrong::DiesBefore) => return true,
            (true, Wrong::Lost) => Reply::Failed(Failure::Lost),
            (true, Wrong::Denied) => Reply::Failed(Failure::Denied),
            (true, Wrong::LostAfter) => {
                world.apply(&call, &Rules::default());
                Reply::Failed(Failure::Lost)
            }
            (true, Wrong::DiesAfter) => {
                world.apply(&call, &Rules::default());
                return true;
            }
            (false, _) => world.apply(&call, &Rules::default()),
        };
        actor.answer(nth, reply);
    }
    made > at_call
}

#[test]
fn what_is_put_is_on_record_before() {
    let mut world = world();
    let calls = armed(&mut world, &["f", "g"]);
    let record = calls
        .iter()
        .position(|call| matches!(call, Call::Transact(_)));
    let put = calls
        .iter()
        .position(|call| matches!(call, Call::Subscribe(..)));
    assert!(record < put && record.is_some(), "{calls:?}");
    assert_eq!(world.filters[&group("f")].len(), 2);
    assert_eq!(world.filters[&group("g")].len(), 1);
}

#[test]
fn nothing_is_left_whatever_dies() {
    let after = at(3_600);
    let mut cases = 0;
    for wrong in [
        Wrong::DiesBefore,
        Wrong::DiesAfter,
        Wrong::Lost,
        Wrong::LostAfter,
        Wrong::Denied,
    ] {
        for nth in 0.. {
            let mut world = world();
            let lane = lane(&["f", "g"]);
            let struck = with(&mut world, nth, wrong, |client| async move {
                let ledger = Ledger::on(client.clone());
                arm(&client, &ledger, &lane, |_| String::new(), TO, at(0)).await
            });
            assert_eq!(swept(&mut world, after), Ok(0), "{wrong:?} at {nth}");
            assert!(is_clean(&world), "{wrong:?} at {nth}: {:?}", world.filters);
            cases += 1;
            if !struck {
                break;
            }
        }
        for nth in 0.. {
            let mut world = world();
            armed(&mut world, &["f", "g"]);
            let struck = with(&mut world, nth, wrong, |client| async move {
                disarm(&client, &Ledger::on(client.clone()), EXECUTION, after).await
            });
            assert_eq!(swept(&mut world, after), Ok(0), "{wrong:?} at {nth}");
            assert!(is_clean(&world), "{wrong:?} at {nth}: {:?}", world.filters);
            cases += 1;
            if !struck {
                break;
            }
        }
    }
    assert!(cases > 30, "{cases}");
}

/// A filter may be put by a function that nobody waits for any more, after the release has ended.
#[test]
fn what_is_put_late_is_found() {
    let mut world = world();
    armed(&mut world, &["f"]);
    assert_eq!(swept(&mut world, at(60)), Ok(1), "it is looked at again");
    assert!(is_clean(&world));
    let name = lane(&["f"]).filter();
    world.filters.get_mut(&group("f")).unwrap().push(name);
    assert_eq!(swept(&mut world, at(1_200)), Ok(0));
    assert!(is_clean(&world));
}

/// A world in which a release has 10 % of the traffic since a minute.
fn shifted() -> World {
    let mut world = world();
    armed(&mut world, &["f"]);
    let (done, _) = drive(&mut world, |client| async move {
        let weight = Weight::try_from(10u8).unwrap();
        before_shift(&Ledger::on(client), EXECUTION, weight, at(0)).await
    });
    done.unwrap();
    world
}

fn delivery(version: u8, environment: &str, lines: &[(&str, i64)]) -> Delivery {
    Delivery {
        filter: lane(&["f"]).filter(),
        group: group("f"),
        stream: format!("2026/11/30/[{version}]{environment}"),
        lines: lines
            .iter()
            .map(|(id, seconds)| Told {
                id: (*id).to_owned(),
                at: at(*seconds),
                message: "[ERROR] ValueError: no".into(),
            })
            .collect(),
    }
}

fn heard(world: &mut World, delivery: &Delivery) -> Option<LiveEvidence> {
    let (done, _) = drive(world, |client| async move {
        take(&Ledger::on(client), delivery, at(100)).await
    });
    done.unwrap().map(|(_, evidence)| evidence)
}

#[test]
fn failures_of_green_condemn_it_and_doubles_do_not() {
    let mut world = shifted();
    let first = delivery(2, "a", &[("1", 20), ("2", 21)]);
    for _ in 0..10 {
        assert_eq!(heard(&mut world, &first), None);
    }
    assert_eq!(heard(&mut world, &delivery(2, "b", &[("3", 22)])), None);
    assert_eq!(heard(&mut world, &delivery(3, "x", &[("9", 22)])), None);
    let mut last = None;
    for (environment, id) in [("c", "4"), ("d", "5")] {
        last = last.or(heard(&mut world, &delivery(2, environment, &[(id, 23)])));
    }
    let found = last.expect("four environments of green's have failed, and none of blue's");
    assert!(
        found.condemns() && found.green >= 3 && found.blue == 0,
        "{found:?}"
    );
}

#[test]
fn blues_failures_speak_for_green() {
    let mut world = shifted();
    for n in 0..9 {
        let lines = [(&*n.to_string(), n)];
        assert_eq!(heard(&mut world, &delivery(1, "blue", &lines)), None);
    }
    for (nth, environment) in ["a", "b", "c", "d"].iter().enumerate() {
        let id = format!("g{nth}");
        let found = heard(&mut world, &delivery(2, environment, &[(&id, 30)]));
        assert_eq!(found, None, "{nth}");
    }
}

#[test]
fn nothing_is_heard_of_what_is_over() {
    let mut world = shifted();
    drive(&mut world, |client| async move {
        disarm(&client, &Ledger::on(client.clone()), EXECUTION, at(50)).await
    })
    .0
    .unwrap();
    for (nth, environment) in ["a", "b", "c", "d", "e"].iter().enumerate() {
        let id = nth.to_string();
        assert_eq!(
            heard(&mut world, &delivery(2, environment, &[(&id, 30)])),
            None
        );
    }
}

#[test]
fn waits_until_something_of_green_is_heard_and_no_longer() {
    let functions = [String::from("f").try_into().unwrap()];
    let wait = |world: &mut World| {
        let functions = functions.clone();
        let (done, calls) = drive(world, |client| async move {
            let ledger = Ledger::on(client.clone());
            unheard(&ledger, &client, EXECUTION, &functions).await
        });
        let slept = calls
            .iter()
            .filter(|call| matches!(call, Call::Sleep(_)))
            .count();
        (done.unwrap().len(), slept as u64)
    };
    let mut world = shifted();
    assert_eq!(wait(&mut world), (1, HEARING.as_secs()));
    let mut begins = delivery(2, "a", &[("1", -5)]);
    begins.lines[0].message = "INIT_START Runtime Version: python:3.13.v1".into();
    assert_eq!(heard(&mut world, &begins), None);
    assert_eq!(wait(&mut world), (0, 0));
}
