//! Runs injections, many at once, and counts what came of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use crossfade_tests::invariants::Broken;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};

use crate::{ground::Ground, judge};

/// How often it is said how far it has come.
const SAY_EVERY: Duration = Duration::from_secs(20);

/// One thing that goes wrong in a release of its own.
pub(crate) struct Injection {
    /// Such as `canary/alias/alarm shift-traffic lambda UpdateAlias 2 kill-after`; what runs it alone.
    pub(crate) name: String,
    /// What a sample has as much of as of every other.
    pub(crate) stratum: String,
    /// Whether it is one of the whole; the others run only where they are asked for.
    is_chosen: bool,
    /// Whether it takes minutes: samples have none of these.
    is_slow: bool,
    run: Run,
}

type Run = Box<dyn FnOnce(Arc<Ground>) -> BoxFuture<'static, Seen> + Send>;
type Listed = BoxFuture<'static, Result<Vec<Injection>, String>>;

impl Injection {
    pub(crate) fn new<F>(
        name: String,
        stratum: String,
        run: impl FnOnce(Arc<Ground>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Seen> + Send + 'static,
    {
        Self {
            name,
            stratum,
            is_chosen: true,
            is_slow: false,
            run: Box::new(move |ground| run(ground).boxed()),
        }
    }

    /// Leaves it out of the whole, unless it is `chosen`.
    pub(crate) fn chosen_if(self, chosen: bool) -> Self {
        Self {
            is_chosen: chosen,
            ..self
        }
    }

    /// Says whether it takes minutes.
    pub(crate) fn slow_if(self, slow: bool) -> Self {
        Self {
            is_slow: slow,
            ..self
        }
    }
}

/// Where injections come from: some are known only once a release has run without.
pub(crate) struct Source {
    /// What the names of its injections begin with.
    pub(crate) name: String,
    list: Box<dyn FnOnce(Arc<Ground>) -> Listed + Send>,
}

impl Source {
    /// `list` says why where the release did not do what it is for.
    pub(crate) fn new<F>(name: String, list: impl FnOnce(Arc<Ground>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Vec<Injection>, String>> + Send + 'static,
    {
        Self {
            name,
            list: Box::new(move |ground| list(ground).boxed()),
        }
    }
}

/// What came of an injection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Whether it struck. A release may take another way, and never come there.
    pub(crate) injected: bool,
    /// What is broken.
    pub(crate) bad: Vec<Bad>,
}

/// Something that may not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) class: Class,
    /// What was seen.
    pub(crate) what: String,
    /// How many requests met it, where requests did.
    pub(crate) requests: u64,
}

impl Bad {
    pub(crate) fn of(class: Class, what: String) -> Self {
        Self {
            class,
            what,
            requests: 0,
        }
    }

    pub(crate) fn of_invariant(broken: &Broken) -> Self {
        Self {
            class: judge::class(broken),
            what: broken.to_string(),
            requests: broken.requests,
        }
    }
}

/// What kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The execution does not end, or traffic stays split.
    Stuck,
    /// All traffic is on a version that it should not be on.
    WrongVersion,
    /// A version served requests that had not passed validation.
    Unproven,
    /// A lock is held for nobody.
    LostLock,
    /// A version is gone that is needed.
    Deleted,
    /// A subscription filter is left on a log group.
    Subscription,
    /// Another invariant does not hold.
    Other,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stuck => "stuck",
            Self::WrongVersion => "wrong version",
            Self::Unproven => "unproven",
            Self::LostLock => "lost lock",
            Self::Deleted => "deleted in error",
            Self::Subscription => "subscription left",
            Self::Other => "another invariant",
        })
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// A sample of so many; all when absent.
    faults: Option<usize>,
    /// What the sample is drawn by.
    seed: u64,
    /// Only those whose name is this, or begins with it.
    only: Option<String>,
    /// Those too that the whole leaves out.
    every: bool,
    /// Only count and name them.
    list: bool,
    /// Tell how long each took.
    times: bool,
    /// How many local AWSs.
    grounds: usize,
    /// How many releases at once on each.
    at_once: usize,
}

impl Options {
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let text = |name: &str| variable(name).filter(|value| !value.is_empty());
        let number = |name: &str| match text(name) {
            None => Ok(None),
            Some(value) => value
                .parse::<usize>()
                .map(Some)
                .map_err(|_| format!("{name}={value}: not a number")),
        };
        Ok(Self {
            faults: number("FAULTS")?,
            seed: number("SEED")?.unwrap_or(1) as u64,
            only: text("ONLY"),
            every: text("EVERY").is_some(),
            list: text("LIST").is_some(),
            times: text("TIMES").is_some(),
            grounds: number("GROUNDS")?.unwrap_or(2).max(1),
            at_once: number("AT_ONCE")?.unwrap_or(20).max(1),
        })
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| {
            name == only || name.starts_with(&format!("{only} ")) || is_part(only, name)
        })
    }

    /// Whether a source may have what is wanted.
    fn wants_of(&self, source: &str) -> bool {
        self.only.as_deref().is_none_or(|only| {
            only.starts_with(source) || is_part(only, source) || !only.contains('/')
        })
    }
}

/// Whether the words of `only` begin the words of `name`, or one of them is a part of it.
fn is_part(only: &str, name: &str) -> bool {
    !only.contains(' ') && name.contains(only)
}

/// Runs what is asked for. Tells whether nothing was broken.
pub(crate) async fn run(options: Options, sources: Vec<Source>) -> Result<bool, String> {
    let begun = Instant::now();
    println!(
        "Starting {} local AWS and deploying Crossfade to each.",
        options.grounds
    );
    let mut grounds = Vec::new();
    for _ in 0..options.grounds {
        grounds.push(Ground::start().await?);
    }
    let sources: Vec<_> = sources
        .into_iter()
        .filter(|source| options.wants_of(&source.name))
        .collect();
    let releases = sources.len();
    let at_once = options.at_once * options.grounds;
    let listed: Vec<_> = stream::iter(sources.into_iter().enumerate())
        .map(|(nth, Source { name, list })| {
            let ground = Arc::clone(&grounds[nth % grounds.len()]);
            tokio::spawn(async move {
                let listed = AssertUnwindSafe(list(ground)).catch_unwind().await;
                match listed {
                    Ok(listed) => listed.map_err(|why| format!("{name}: {why}")),
                    Err(_) => Err(format!("{name} broke; what broke is above")),
                }
            })
        })
        .buffered(at_once)
        .collect()
        .await;
    let mut injections = Vec::new();
    for one in listed {
        injections.extend(one.map_err(|error| error.to_string())??);
    }
    let known = injections.len();
    injections.retain(|injection| options.wants(&injection.name));
    if options.only.is_none() && !options.every {
        injections.retain(|injection| injection.is_chosen);
    }
    if let Some(count) = options.faults {
        injections.retain(|injection| !injection.is_slow);
        injections = sample(injections, count, options.seed);
    }
    println!(
        "{releases} releases ran without a fault, where {known} can be injected; {} are.",
        injections.len()
    );
    if options.list {
        for injection in &injections {
            println!("{}", injection.name);
        }
    }
    if options.list || injections.is_empty() {
        return Ok(options.list);
    }

    let (began, total) = (Instant::now(), injections.len());
    let mut tally = Tally::default();
    let mut said = Instant::now();
    // What takes minutes waits nearly all of the time, and must not keep the others from the machine.
    let (slow, quick): (Vec<_>, Vec<_>) = injections.into_iter().partition(|one| one.is_slow);
    let lane = |injections: Vec<Injection>, at_once: usize| {
        let grounds = grounds.clone();
        stream::iter(injections.into_iter().enumerate())
            .map(move |(nth, injection)| {
                injected(Arc::clone(&grounds[nth % grounds.len()]), injection)
            })
            .buffer_unordered(at_once)
    };
    let mut done = stream::select(lane(slow, at_once / 2), lane(quick, at_once));
    while let Some(one) = done.next().await {
        let (name, seen, took) = one;
        if options.times {
            println!("{:6.1} s  {name}", took.as_secs_f64());
        }
        tally.add(&name, seen);
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            tally.tell(total, began.elapsed());
        }
    }
    drop(done);
    tally.tell(total, began.elapsed());
    println!("It took {:.0} s.\n", begun.elapsed().as_secs_f64());
    println!("{}", tally.line());
    Ok(tally.broken.is_empty())
}

/// Runs one on a task of its own.
async fn injected(ground: Arc<Ground>, injection: Injection) -> (String, Seen, Duration) {
    let Injection { name, run, .. } = injection;
    let began = Instant::now();
    let task = tokio::spawn(async move { AssertUnwindSafe(run(ground)).catch_unwind().await });
    let seen = match task.await {
        Ok(Ok(seen)) => seen,
        Ok(Err(_)) | Err(_) => Seen {
            injected: false,
            bad: vec![Bad::of(
                Class::Other,
                "what looks at it broke; what broke is above".into(),
            )],
        },
    };
    (name, seen, began.elapsed())
}

/// What came of all.
#[derive(Debug, Default)]
struct Tally {
    injected: usize,
    not_reached: usize,
    /// How many injections broke something, by what.
    counts: BTreeMap<Class, usize>,
    /// How many requests were served by a version that had not passed validation.
    unproven: u64,
    broken: Vec<String>,
}

impl Tally {
    fn add(&mut self, name: &str, seen: Seen) {
        let Seen { injected, bad } = seen;
        if injected {
            self.injected += 1;
        } else {
            self.not_reached += 1;
        }
        self.unproven += bad.iter().map(|one| one.requests).sum::<u64>();
        let classes: BTreeSet<_> = bad.iter().map(|one| one.class).collect();
        for class in classes {
            *self.counts.entry(class).or_default() += 1;
        }
        if bad.is_empty() {
            return;
        }
        println!("BROKEN  make faults ONLY='{name}'");
        for Bad { class, what, .. } in &bad {
            println!("        {class}: {what}");
        }
        self.broken.push(name.to_owned());
    }

    fn tell(&self, total: usize, took: Duration) {
        let done = self.injected + self.not_reached;
        #[expect(clippy::cast_precision_loss, reason = "they are few")]
        let rate = done as f64 / took.as_secs_f64();
        println!(
            "{done} of {total}, {rate:.2} a second: {} injected, {} never came to their call, {} broken",
            self.injected,
            self.not_reached,
            self.broken.len()
        );
    }

    fn line(&self) -> String {
        let of = |class| self.counts.get(&class).copied().unwrap_or_default();
        let mut line = String::new();
        if of(Class::Other) > 0 {
            line = format!("faults: other invariants broken by {}\n", of(Class::Other));
        }
        line + &format!(
            "faults: {} injected, {} stuck, {} wrong version, {} lost locks, {} versions deleted in error, {} unproven requests, {} subscriptions left",
            self.injected,
            of(Class::Stuck),
            of(Class::WrongVersion),
            of(Class::LostLock),
            of(Class::Deleted),
            self.unproven,
            of(Class::Subscription)
        )
    }
}

/// So many of them, as many of each stratum as can be, drawn by `seed`.
fn sample(injections: Vec<Injection>, count: usize, seed: u64) -> Vec<Injection> {
    let mut strata: BTreeMap<String, Vec<Injection>> = BTreeMap::new();
    for injection in injections {
        strata
            .entry(injection.stratum.clone())
            .or_default()
            .push(injection);
    }
    let mut random = Random(seed);
    let mut strata: Vec<_> = strata.into_values().collect();
    for stratum in &mut strata {
        random.shuffle(stratum);
    }
    random.shuffle(&mut strata);
    let mut chosen = Vec::new();
    while chosen.len() < count && !strata.is_empty() {
        for stratum in &mut strata {
            if chosen.len() < count {
                chosen.extend(stratum.pop());
            }
        }
        strata.retain(|stratum| !stratum.is_empty());
    }
    chosen
}

/// `SplitMix64`: the same seed draws the same sample everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let chosen = self.next() % (last as u64 + 1);
            items.swap(last, usize::try_from(chosen).expect("it is at most `last`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn injection(stratum: &str, nth: usize) -> Injection {
        Injection::new(format!("{stratum} {nth}"), stratum.into(), |_| async {
            Seen::default()
        })
    }

    fn names(seed: u64, count: usize) -> Vec<String> {
        let all = (0..30)
            .map(|nth| injection(["a", "b", "c"][nth % 3], nth))
            .chain([injection("d", 0)])
            .collect();
        let chosen = sample(all, count, seed).into_iter();
        chosen.map(|injection| injection.name).collect()
    }

    #[test]
    fn a_sample_has_as_much_of_each_kind() {
        let chosen = names(1, 10);
        let of = |stratum: &str| chosen.iter().filter(|n| n.starts_with(stratum)).count();
        assert_eq!([of("a"), of("b"), of("c"), of("d")], [3, 3, 3, 1]);
        assert_eq!(chosen, names(1, 10));
        assert_ne!(chosen, names(2, 10));
        let all: BTreeSet<_> = names(1, 100).into_iter().collect();
        assert_eq!(all.len(), 31);
    }

    #[test]
    fn what_is_counted() {
        let bad = |class| Bad::of(class, String::new());
        let seen = |bad| Seen {
            injected: true,
            bad,
        };
        let mut tally = Tally::default();
        tally.add("a", seen(Vec::new()));
        tally.add("b", Seen::default());
        assert!(tally.broken.is_empty());
        let twice = vec![bad(Class::Stuck), bad(Class::Stuck), bad(Class::LostLock)];
        tally.add("c", seen(twice));
        let line = "faults: 2 injected, 1 stuck, 0 wrong version, 1 lost locks, 0 versions deleted in error, \
                    0 unproven requests, 0 subscriptions left";
        assert_eq!(tally.line(), line);
        let unproven = |requests| Bad {
            requests,
            ..bad(Class::Unproven)
        };
        tally.add("e", seen(vec![unproven(3), unproven(4)]));
        assert!(tally.line().contains(" 7 unproven requests,"));
        tally.add("d", seen(vec![bad(Class::Other)]));
        assert!(
            tally
                .line()
                .starts_with("faults: other invariants broken by 1\n")
        );
        assert_eq!(tally.broken, ["c", "e", "d"]);
    }

    #[test]
    fn what_is_asked_for() {
        let read = |given: &'static [(&'static str, &'static str)]| {
            Options::read(|name| {
                let found = given.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let all = read(&[("FAULTS", ""), ("ONLY", "")]).unwrap();
        assert_eq!((all.faults, all.only.as_deref()), (None, None));
        assert!(all.wants("a/b/c x 1") && all.wants_of("a/b/c"));
        assert!(read(&[("FAULTS", "many")]).is_err());
        let one = read(&[("ONLY", "a/b/c x 1 kill-after")]).unwrap();
        assert!(one.wants("a/b/c x 1 kill-after") && !one.wants("a/b/c x 12 kill-after"));
        assert!(one.wants_of("a/b/c") && !one.wants_of("a/b/d"));
        let some = read(&[("ONLY", "a/b/c")]).unwrap();
        assert!(some.wants("a/b/c x 1 kill-after") && !some.wants("a/b/d x 1 kill-after"));
        let kind = read(&[("ONLY", "kill-after")]).unwrap();
        assert!(kind.wants("a/b/c x 1 kill-after") && !kind.wants("a/b/c x 1 throttle"));
        assert!(kind.wants_of("a/b/c"));
    }
}
