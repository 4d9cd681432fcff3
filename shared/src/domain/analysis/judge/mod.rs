//! Judging: per-minute counts of green and blue in, verdict and evidence out. Pure.
//!
//! An *e-value* is a number that is at least 0 and at most 1 on average if green is no worse than blue; its
//! product over minutes then reaches 1 / alpha at any time with probability at most alpha (Ville's
//! inequality). Nothing below needs the level of the errors to be known or to stay: incidents, rhythms,
//! outages, drifts and ramps that befall both versions change the totals, and the totals are given.
//!
//! **Routing.** *Assumes that each request comes to green by chance, whatever becomes of it.* Lambda does so, by
//! weight. Then, given a minute's totals (n requests, m of them green's, K hits), green's hits X are
//! hypergeometric for a green that is as good as blue, and for odds ratio w they are Fisher's noncentral
//! hypergeometric: `P(x) w^x / E[w^X]`. The minute's e-value for w is that over the same with the least odds ratio that
//! matters (`minEffect`, 1.1). The ratio rises with X, so its mean is at most 1 for every green
//! below that edge. Bets on 16 odds ratios are multiplied over the minutes and averaged. E-variables for 2x2 tables:
//! Turner, Ly and Gruenwald (2024); theirs is unconditional and assumes a steady rate, this one
//! conditions and does not. By hand: one hit in ten requests, on the only green one, is worth 10 w / (w + 9)
//! against a green just as good.
//!
//! **Hits that come together** break that: one environment with a broken connection gives its version all of
//! its failures. Where blue's past shows such ([`past`], within the hour, so that neither an incident nor a rhythm
//! counts), the verdict takes the smaller of the e-value above and the average of two others
//! ([`clumps`]):
//! - *By blocks, assuming that a block's hits are on average green's by its share of the requests, however
//!   they hang together, and that what is in one block says nothing of the next.* Of y hits of a block (a minute, or
//!   five of one step where hits last), y_g green's, with w green's share at the edge: `1 + l (y_g / (w y) - 1)` is at
//!   least 0 for l up to 1, and 1 on average; bets on seven l. It grows by at most 1 / w in a block. Bets on bounded
//!   means: Waudby-Smith and Ramdas (2024).
//! - *By clumps, assuming that each clump has at most s hits and comes to green by its share.* For a clump of s_i
//!   hits the logarithm of `E[exp(t X)]`, `ln(1 + w (exp(t s_i) - 1))`, is convex in s_i and 0 at 0, hence at most
//!   s_i / s of that at s. So the binomial likelihood ratio of green's y_g of y to the power 1 / s is
//!   an e-value over any minutes. s is twice the unevenness of blue's past, which is the size of the clump of an average
//!   hit; clumps with an exponential tail are within it.
//!
//! **Blue's past** adds power where errors are so rare that routing has little to go by. *Assumes that the level of this
//! release is at most that of blue's worst hour of the week, but for a few, as long as blue does not show otherwise.* The
//! e-value is the binomial likelihood ratio of green's hits against that rate: half of the stake. It is kept from
//! mattering where the level has changed: it counts only minutes in which blue has at least half as many requests as green
//! and is in line with that rate, in this minute (one in twenty) and since the release began (one standard error or
//! so), which a risen level shows long before green's hits are worth 200; and only until eight hits were to be expected of
//! green. That is no proof for every level: the worst, a steady one that is a half to twice above all hours, is in
//! the simulation (`higher`, `rise`, `drift`).
//!
//! **Without blue** (a last step of 100) nothing is compared, and no test decides: yesterday's level need not be
//! today's. The evidence says which part of the release that was. `analysis.controlPercent` keeps blue beside green until
//! the promotion.
//!
//! **One alpha.** An average of e-values is an e-value, however they depend on one another. The release
//! has one: the average over its functions, of each the staked average over its tests ([`Signal`]), of each
//! what is above. It beats Bonferroni, which asks the same of the largest alone. Ceilings are limits, not
//! tests, and have no part in alpha.
//!
//! Traffic that DNS weights route is not routed by request but by client: there the test rests on
//! clients being alike, and a client with many failing requests is what a sick environment is here.
#![allow(
    clippy::cast_precision_loss,
    reason = "counts above 2^53 requests a minute do not occur, and a rounded count is still a fair count"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts to integers are of values clamped to their range just before"
)]

mod clumps;
#[cfg(test)]
mod edges;
mod evidence;
mod grid;
mod hypergeometric;
mod past;
#[cfg(test)]
mod samples;
mod settings;
mod signal;
mod tally;
#[cfg(test)]
mod tests;
mod thresholds;

pub use evidence::{
    DecidedBy, Evidence, Judgement, Other, Own, Together, Verdict, WithoutBlue, in_words,
};
pub use settings::{Judging, MinEffect};
pub use signal::Signal;
pub use tally::Tally;

use crate::display::thousands;
use crate::domain::analysis::counts::{FunctionSeries, silent_minutes};
use tally::Finding;

/// How many functions are reported beside the one that decided.
const NEXT: usize = 3;
/// The largest e-value reported: a JSON number that any reader can take.
const TOLD: f64 = 1e12;
/// The largest e-value of a test that is averaged: its share, with as many functions as a release may
/// have, is above [`TOLD`], so the reported value is exact up to that.
const AVERAGED: f64 = 1e15;

/// Which minutes are judged, in seconds since 1970 (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The start of the first minute of the present step.
    pub from: i64,
    /// The start of the newest minute that has settled.
    pub through: i64,
}

/// Judges a release by all its settled minutes so far.
#[must_use]
pub fn judge(judging: &Judging, functions: &[FunctionSeries], watch: Watch) -> Judgement {
    let tallies: Vec<(&str, Tally)> = functions
        .iter()
        .map(|series| (series.function.as_str(), Tally::of(judging, series, watch)))
        .collect();
    conclude(judging, &tallies, watch)
}

/// Judges a release by sums that were kept: [`judge`] is this over [`Tally::of`].
#[must_use]
pub fn conclude(judging: &Judging, functions: &[(&str, Tally)], watch: Watch) -> Judgement {
    let judging = judging.within_range();
    let mut views: Vec<View> = functions
        .iter()
        .map(|(name, tally)| View::new(name, tally))
        .collect();
    // By name, so that the order of functions never matters.
    views.sort_by(|a, b| a.name.cmp(b.name));
    let e_value = views.iter().map(View::e_value).sum::<f64>() / views.len().max(1) as f64;
    let e_value = e_value.min(TOLD);
    let threshold = 1.0 / judging.alpha;
    let release = Release {
        e_value,
        threshold,
        functions: views.len(),
    };

    let worst = views
        .iter()
        .map(|view| (view, view.alone(&judging, watch)))
        .reduce(|worst, next| if next.1.0 > worst.1.0 { next } else { worst });
    let heaviest = views.iter().reduce(|most, next| {
        if next.e_value() > most.e_value() {
            next
        } else {
            most
        }
    });
    let (Some((worst, (mut verdict, mut decided_by, mut reason))), Some(heaviest)) =
        (worst, heaviest)
    else {
        return nothing(threshold);
    };
    let mut view = worst;
    if e_value >= threshold {
        (view, verdict) = (heaviest, Verdict::Unhealthy);
        (decided_by, reason) = heaviest.marked(&release);
    } else if e_value >= judging.suspect_at && verdict == Verdict::Healthy {
        (view, verdict, decided_by) = (heaviest, Verdict::Inconclusive, DecidedBy::Suspicion);
        reason = heaviest.suspected(&release);
    }
    let margin = |under: Option<f64>| {
        under.is_some_and(|odds| odds <= early_margin(judging.min_effect.odds_ratio))
    };
    let early_proceed = verdict == Verdict::Healthy
        && views
            .iter()
            .all(|view| view.findings.iter().all(|(_, f)| margin(f.odds_under)));
    let mut evidence = view.evidence(decided_by, reason, &release);
    evidence.next = next(&views, view.name);
    Judgement {
        verdict,
        evidence,
        early_proceed,
    }
}

/// The worst functions but the one that decided.
fn next(views: &[View], decided: &str) -> Vec<Other> {
    let mut others: Vec<&View> = views.iter().filter(|view| view.name != decided).collect();
    others.sort_by(|a, b| b.e_value().total_cmp(&a.e_value()));
    let told = others.into_iter().take(NEXT).map(|view| Other {
        function: view.name.to_owned(),
        e_value: view.e_value().min(TOLD),
        blue: view.tally.blue,
        green: view.tally.green,
    });
    told.collect()
}

/// The margin that a bake may end early under: the first kept one at or above 1.5 times the edge.
fn early_margin(edge: f64) -> f64 {
    grid::MARGINS
        .into_iter()
        .find(|margin| *margin >= 1.5 * edge)
        .unwrap_or(edge)
}

/// What holds for the whole release.
struct Release {
    e_value: f64,
    threshold: f64,
    functions: usize,
}

/// One function, read.
struct View<'a> {
    name: &'a str,
    tally: &'a Tally,
    /// What each test says, the first one reported where none speaks against green.
    findings: Vec<(Signal, Finding)>,
}

impl<'a> View<'a> {
    fn new(name: &'a str, tally: &'a Tally) -> Self {
        Self {
            name,
            tally,
            findings: tally.findings().collect(),
        }
    }

    /// The staked average over the function's tests.
    fn e_value(&self) -> f64 {
        let stakes: f64 = self.findings.iter().map(|(signal, _)| signal.stake()).sum();
        self.findings.iter().map(staked).sum::<f64>() / stakes
    }

    /// The test that says most against green.
    fn heavier(&self) -> &(Signal, Finding) {
        let heavier = |a, b| if staked(b) > staked(a) { b } else { a };
        let heaviest = self.findings.iter().reduce(heavier);
        heaviest.expect("errors are always tested")
    }

    /// What the function's ceilings and data say, without any test.
    fn alone(&self, judging: &Judging, watch: Watch) -> (Verdict, DecidedBy, String) {
        let tally = self.tally;
        if let Some((ceiling, reason)) = thresholds::over(judging, tally) {
            return (
                Verdict::Unhealthy,
                ceiling,
                format!("{}: {reason}", self.name),
            );
        }
        let wanted = judging.min_invocations;
        let (decided_by, reason) = if tally.green.invocations == 0 || tally.step_requests == 0 {
            let reason = if tally.minutes == 0 {
                "no client has called it since the release began, so there is nothing to judge; send requests, or say \
                 in analysis.onInconclusive what follows"
            } else {
                "green served no request in this step, or its metrics never came"
            };
            (DecidedBy::NoData, reason.to_owned())
        } else if let Some(silent) = self.silent_minutes(watch) {
            (
                DecidedBy::LateData,
                format!("no data for the newest {silent} settled minutes"),
            )
        } else if tally.step_requests < wanted {
            let seen = tally.step_requests;
            (
                DecidedBy::TooFewRequests,
                format!("green served {seen} requests in this step, {wanted} are needed"),
            )
        } else {
            let (hits, blue) = self.findings[0].1.hits;
            let reason = format!(
                "{}: nothing speaks against green: it failed {} of {} requests, blue {} of {}{}",
                self.name,
                thousands(hits),
                thousands(tally.green.invocations),
                thousands(blue),
                thousands(tally.blue.invocations),
                self.findings[0].1.given_up(),
            );
            return (Verdict::Healthy, DecidedBy::EnoughSeen, reason);
        };
        (
            Verdict::Inconclusive,
            decided_by,
            format!("{}: {reason}", self.name),
        )
    }

    /// How many of the newest settled minutes are empty, when traffic was too dense for that.
    fn silent_minutes(&self, watch: Watch) -> Option<i64> {
        let requests = self.tally.blue.plus(self.tally.green).invocations;
        silent_minutes(self.tally.seen?, requests, watch.through)
    }

    fn marked(&self, release: &Release) -> (DecidedBy, String) {
        let decided_by = self.heavier().0.decided_by();
        (decided_by, self.told_with(release, "reaches"))
    }

    fn suspected(&self, release: &Release) -> String {
        self.told_with(release, "is suspicious but under")
    }

    fn told_with(&self, release: &Release, relation: &str) -> String {
        let (signal, finding) = self.heavier();
        let what = signal.did();
        let share = |hits: u64, all: u64| 100.0 * hits as f64 / all.max(1) as f64;
        let (green, blue) = finding.requests;
        format!(
            "{}: {} of {} green requests {what} ({:.3} %), {} of {} blue ones ({:.3} %), {} of {} before the release; the e-value {} {relation} {}{}",
            self.name,
            thousands(finding.hits.0),
            thousands(green),
            share(finding.hits.0, green),
            thousands(finding.hits.1),
            thousands(blue),
            share(finding.hits.1, blue),
            thousands(finding.past.1),
            thousands(finding.past.0),
            in_words(release.e_value, 4),
            release.threshold,
            finding.given_up(),
        )
    }

    fn evidence(&self, decided_by: DecidedBy, reason: String, release: &Release) -> Evidence {
        let (_, finding) = self.heavier();
        let percent =
            |c: super::counts::Counts| 100.0 * c.errors as f64 / c.invocations.max(1) as f64;
        Evidence {
            decided_by,
            function: Some(self.name.to_owned()),
            reason,
            minutes: self.tally.minutes,
            blue: self.tally.blue,
            green: self.tally.green,
            blue_error_percent: percent(self.tally.blue),
            green_error_percent: percent(self.tally.green),
            e_value: release.e_value,
            threshold: release.threshold,
            functions: release.functions as u64,
            next: Vec::new(),
            own: Own {
                e_value: told(finding.ln_e),
                routing: told(finding.ln_routing),
                past: finding.ln_past.map(told),
                together: finding.together.map(|(_, ln_e)| told(ln_e)),
            },
            past_requests: finding.past.0,
            past_hits: finding.past.1,
            together: finding.together.map(|(together, _)| together),
            without_blue: finding.without_blue,
            odds_ratio_under: finding.odds_under,
        }
    }
}

/// A release without functions is no release that anyone has seen to be healthy.
fn nothing(threshold: f64) -> Judgement {
    let evidence = Evidence {
        decided_by: DecidedBy::NoData,
        function: None,
        reason: "there is no function to judge".to_owned(),
        minutes: 0,
        blue: super::counts::Counts::default(),
        green: super::counts::Counts::default(),
        blue_error_percent: 0.0,
        green_error_percent: 0.0,
        e_value: 1.0,
        threshold,
        functions: 0,
        next: Vec::new(),
        own: Own {
            e_value: 1.0,
            routing: 1.0,
            past: None,
            together: None,
        },
        past_requests: 0,
        past_hits: 0,
        together: None,
        without_blue: None,
        odds_ratio_under: None,
    };
    Judgement {
        verdict: Verdict::Inconclusive,
        evidence,
        early_proceed: false,
    }
}

/// A test's part of its function's e-value, before it is divided by all stakes.
fn staked((signal, finding): &(Signal, Finding)) -> f64 {
    signal.stake() * averaged(finding.ln_e)
}

fn averaged(ln_e: f64) -> f64 {
    ln_e.exp().min(AVERAGED)
}

fn told(ln_e: f64) -> f64 {
    ln_e.exp().min(TOLD)
}
