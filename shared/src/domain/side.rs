//! What a colour's side of a load balancer or of Route 53 holds, and what is written to it.
//!
//! A side is what a colour's traffic reaches: the targets of a target group, or the version that a
//! colour's alias points at. The idle side is green's: a sticky client, another rule or a late resolver
//! may still reach it, so it holds green only from the end of validation to the end of the release, and
//! what it held before is restored unless green is promoted.
//!
//! All decisions are made here, from what was read and what was recorded when the release began.

use super::names::Version;
use crate::domain::routing::alias::Revision;

/// What is registered on a side: ids of targets, or the one version of an alias. Empty for nothing.
pub type Content = Vec<String>;

/// What staging green writes to the idle side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staging {
    /// Nothing: green is there.
    Done,
    /// Green.
    Write,
    /// Nothing: another writer has changed the idle side since the release began.
    Foreign,
}

/// Decides how green is staged on an idle side that holds `seen` and held `before` when the release
/// began. `before` is unknown for a release that a former version of Crossfade began.
///
/// An empty side is a write of our own that was interrupted: a target group takes one function, so
/// its target is deregistered before green is registered.
#[must_use]
pub fn staging(seen: &[String], before: Option<&[String]>, green: &str) -> Staging {
    if seen == [green] {
        Staging::Done
    } else if seen.is_empty() || before.is_none_or(|before| before == seen) {
        Staging::Write
    } else {
        Staging::Foreign
    }
}

/// What putting the idle side back writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unstaging {
    /// Nothing: the side is as it is to be.
    Done,
    /// The first of these that AWS accepts; an empty one clears the side.
    Write(Vec<Content>),
    /// Nothing: another writer has changed the idle side since the release began.
    Foreign,
}

/// The idle side of a release that ends without a promotion.
#[derive(Clone, Copy, Debug)]
pub struct Idle<'a> {
    /// What it held when the release began; none where that is not recorded.
    pub before: Option<&'a [String]>,
    /// What staging wrote.
    pub green: &'a str,
    /// The version recorded as blue, as it would be registered here; none for a first release.
    pub blue: Option<&'a str>,
    /// Whether green has had weight, so that clients may still come.
    pub served: bool,
}

/// Decides what is written to an idle side that holds `seen`.
///
/// What it held before is restored. Where that is nothing, clients that were sent to green may still
/// come, so blue is left there. Blue also stands in for what is not recorded, and for a version that
/// has been deleted meanwhile.
#[must_use]
pub fn unstaging(seen: &[String], idle: &Idle<'_>) -> Unstaging {
    let blue = || idle.blue.map(|blue| vec![blue.to_owned()]);
    if idle.before == Some(seen) {
        // Nothing was staged; or nothing was there before, and green was registered for a moment.
        return match (seen, idle.served) {
            ([], true) => blue().map_or(Unstaging::Done, |blue| Unstaging::Write(vec![blue])),
            _ => Unstaging::Done,
        };
    }
    if !seen.is_empty() && seen != [idle.green] {
        let is_blue = idle.blue.is_some_and(|blue| seen == [blue]);
        return if is_blue {
            Unstaging::Done
        } else {
            Unstaging::Foreign
        };
    }
    let mut wanted = Vec::new();
    match idle.before {
        Some([]) if !idle.served => wanted.push(Content::new()),
        Some([]) | None => {}
        Some(before) => wanted.push(before.to_vec()),
    }
    wanted.extend(blue().filter(|blue| !wanted.contains(blue)));
    if wanted.is_empty() {
        wanted.push(Content::new());
    }
    // Green may be blue's own version: a function whose code did not change moves with the others.
    if wanted[0] == seen {
        Unstaging::Done
    } else {
        Unstaging::Write(wanted)
    }
}

/// One function's side as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Where it is, for messages: a target group's ARN, or `FUNCTION:ALIAS`.
    pub place: String,
    /// What it holds.
    pub holds: Content,
    /// The published version of the function that its requests reach; none where it is not exactly one.
    pub version: Option<Version>,
    /// The revision of the alias that was read; none of a target group, which has none.
    pub revision: Option<Revision>,
}

impl Side {
    /// Says what the side holds.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.holds.is_empty() {
            "nothing".to_owned()
        } else {
            self.holds.join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{option, prelude::*, sample::select};

    use super::*;

    fn content(ids: &[&str]) -> Content {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn idle(before: Option<&[String]>, served: bool) -> Idle<'_> {
        Idle {
            before,
            green: "3",
            blue: Some("2"),
            served,
        }
    }

    #[test]
    fn stages_only_over_what_was_recorded() {
        let before = content(&["1"]);
        for (seen, decided) in [
            (content(&["1"]), Staging::Write),
            (content(&["3"]), Staging::Done),
            (content(&[]), Staging::Write),
            (content(&["9"]), Staging::Foreign),
            (content(&["3", "9"]), Staging::Foreign),
        ] {
            assert_eq!(staging(&seen, Some(&before), "3"), decided, "{seen:?}");
        }
        assert_eq!(staging(&content(&["9"]), None, "3"), Staging::Write);
        assert_eq!(staging(&content(&["9"]), Some(&[]), "3"), Staging::Foreign);
    }

    #[test]
    fn puts_back_what_the_idle_side_held() {
        let before = content(&["1"]);
        let back = Unstaging::Write(vec![content(&["1"]), content(&["2"])]);
        for served in [false, true] {
            let idle = idle(Some(&before), served);
            for (seen, decided) in [
                (content(&["3"]), back.clone()),
                // Interrupted between deregistering and registering.
                (content(&[]), back.clone()),
                (content(&["1"]), Unstaging::Done),
                (content(&["2"]), Unstaging::Done),
                (content(&["9"]), Unstaging::Foreign),
            ] {
                assert_eq!(unstaging(&seen, &idle), decided, "{seen:?}");
            }
        }
    }

    #[test]
    fn clears_an_empty_side_unless_clients_may_still_come() {
        let nothing = content(&[]);
        let cleared = Unstaging::Write(vec![nothing.clone(), content(&["2"])]);
        let blue = Unstaging::Write(vec![content(&["2"])]);
        let green = content(&["3"]);
        assert_eq!(unstaging(&green, &idle(Some(&nothing), false)), cleared);
        assert_eq!(unstaging(&green, &idle(Some(&nothing), true)), blue);
        assert_eq!(
            unstaging(&nothing, &idle(Some(&nothing), false)),
            Unstaging::Done
        );
        assert_eq!(unstaging(&nothing, &idle(Some(&nothing), true)), blue);
    }

    #[test]
    fn writes_nothing_where_green_is_blue() {
        let same = Idle {
            green: "2",
            ..idle(None, false)
        };
        assert_eq!(unstaging(&content(&["2"]), &same), Unstaging::Done);
    }

    #[test]
    fn leaves_blue_where_nothing_was_recorded() {
        let blue = Unstaging::Write(vec![content(&["2"])]);
        assert_eq!(unstaging(&content(&["3"]), &idle(None, false)), blue);
        let first = Idle {
            blue: None,
            ..idle(None, false)
        };
        let cleared = Unstaging::Write(vec![content(&[])]);
        assert_eq!(unstaging(&content(&["3"]), &first), cleared);
    }

    fn anything() -> impl Strategy<Value = Content> {
        prop_oneof![
            Just(content(&[])),
            select(vec!["1", "2", "3", "9"]).prop_map(|id| content(&[id])),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn never_leaves_green_on_the_idle_side_unless_it_was_there(
            seen in anything(),
            before in option::of(anything()),
            served: bool,
        ) {
            let idle = idle(before.as_deref(), served);
            match unstaging(&seen, &idle) {
                Unstaging::Done | Unstaging::Foreign => {
                    prop_assert!(seen != ["3"] || before.as_deref() == Some(&seen[..]));
                }
                Unstaging::Write(wanted) => {
                    prop_assert!(!wanted.is_empty());
                    for one in &wanted {
                        prop_assert!(*one != ["3"] || before.as_ref() == Some(one));
                    }
                    // Whatever is written, another look finds nothing more to do.
                    for one in wanted {
                        prop_assert_eq!(unstaging(&one, &idle), Unstaging::Done);
                    }
                }
            }
        }

        #[test]
        fn staging_is_followed_by_putting_back(before in anything(), served: bool) {
            let seen = content(&["3"]);
            prop_assert_eq!(staging(&seen, Some(&before), "3"), Staging::Done);
            let is_done = unstaging(&seen, &idle(Some(&before), served)) == Unstaging::Done;
            prop_assert_eq!(is_done, before == seen);
        }
    }
}
