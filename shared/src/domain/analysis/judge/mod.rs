//! Judging: per-minute counts of green and blue in, verdict and evidence out. Pure.
//!
//! **Routing.** Lambda routes every request at random by weight. So, given a minute's totals, a green no
//! worse than blue gets its share of the errors by chance alone, whatever bursts, outages or ramps do to
//! the totals: hypergeometric. The minute's e-variable for an odds ratio w is the probability of green's
//! errors under Fisher's noncentral hypergeometric distribution with w, over that with the least odds
//! ratio that matters (`minEffect`). Multiplied over minutes and averaged over a grid of w it is at
//! least 1 / alpha at any moment with probability at most alpha (Ville's inequality). The idea of
//! e-variables for 2x2 tables: Turner, Ly and Gruenwald (2024); theirs is unconditional and assumes a
//! steady rate, this one conditions and does not.
//!
//! **Blue's past.** Blue's days before the release say what rate is usual, which is more than routing shows
//! when errors are rare and is all there is at 100 %. The e-variable is the binomial likelihood ratio of
//! green's errors, average over a grid of rates, against blue's usual rate put cautiously high. It
//! assumes that usual is still usual: so a minute counts only while blue beside green is in line with
//! its past, green is held to blue's rate in this release when that is higher, and minutes without
//! blue are scaled down by how unevenly blue's errors came before. An outage that begins when blue has
//! no traffic any more cannot be distinguished from a green that fails.
//!
//! **Errors that stick** to environments break routing: one sick environment gives its version many
//! errors. When blue's past shows errors that last from minute to minute, log e-values are divided by
//! the variance of blue's errors over their mean, except while green has had so few requests that no
//! sick spell is to be expected on it.
//!
//! **One alpha.** An average of e-values is an e-value, however they depend on one another. The release
//! has one: the average over its functions, of each the staked average over its tests (errors 3/4 and
//! slow 1/4, or errors alone), of each the staked average over routing and past, of each over a grid.
//! It beats Bonferroni, which asks the same of the largest alone. Ceilings are limits, not tests, and
//! have no part in alpha.
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

mod baseline;
#[cfg(test)]
mod edges;
mod evidence;
mod grid;
mod hypergeometric;
#[cfg(test)]
mod samples;
mod settings;
mod tally;
#[cfg(test)]
mod tests;
mod thresholds;

pub use evidence::{DecidedBy, Evidence, Judgement, Other, Own, Verdict, in_words};
pub use settings::{Judging, MinEffect, Overdispersion};
pub use tally::Tally;

use crate::domain::analysis::counts::FunctionSeries;
use tally::Finding;

/// What is staked on errors when slowness is tested too.
const ON_ERRORS: f64 = 0.75;
/// How many functions are reported beside the one that decided.
const NEXT: usize = 3;
/// The largest e-value reported: a JSON number that any reader can take.
const TOLD: f64 = 1e12;
/// The largest e-value of a test that is averaged: its share, with as many functions as a release may
/// have, is above [`TOLD`], so the reported value is exact up to that.
const AVERAGED: f64 = 1e15;
/// An empty newest minute is natural when this much or more of all minutes would be empty.
const NATURALLY_EMPTY: f64 = 0.01;

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
            .all(|view| view.findings().all(|f| margin(f.odds_under)));
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
    errors: Finding,
    slow: Option<Finding>,
}

impl<'a> View<'a> {
    fn new(name: &'a str, tally: &'a Tally) -> Self {
        Self {
            name,
            tally,
            errors: tally.errors(),
            slow: tally.slow(),
        }
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        std::iter::once(&self.errors).chain(&self.slow)
    }

    /// The staked average over the function's tests.
    fn e_value(&self) -> f64 {
        let errors = averaged(self.errors.ln_e);
        self.slow.map_or(errors, |slow| {
            ON_ERRORS * errors + (1.0 - ON_ERRORS) * averaged(slow.ln_e)
        })
    }

    /// The test that says most against green.
    fn heavier(&self) -> (DecidedBy, &Finding) {
        match &self.slow {
            Some(slow)
                if (1.0 - ON_ERRORS) * averaged(slow.ln_e)
                    > ON_ERRORS * averaged(self.errors.ln_e) =>
            {
                (DecidedBy::SlowTest, slow)
            }
            _ => (DecidedBy::ErrorTest, &self.errors),
        }
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
            let (hits, blue) = self.errors.hits;
            let reason = format!(
                "{}: nothing speaks against green: it failed {hits} of {} requests, blue {blue} of {}",
                self.name, tally.green.invocations, tally.blue.invocations
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
        let (first, last) = self.tally.seen?;
        let silent = watch.through.saturating_sub(last) / 60;
        let minutes = (last.saturating_sub(first) / 60 + 1) as f64;
        let each = self.tally.blue.plus(self.tally.green).invocations as f64 / minutes;
        (silent > 0 && (-each * silent as f64).exp() < NATURALLY_EMPTY).then_some(silent)
    }

    fn marked(&self, release: &Release) -> (DecidedBy, String) {
        let (decided_by, finding) = self.heavier();
        (
            decided_by,
            self.told_with(release, finding, decided_by, "reaches"),
        )
    }

    fn suspected(&self, release: &Release) -> String {
        let (decided_by, finding) = self.heavier();
        self.told_with(release, finding, decided_by, "is suspicious but under")
    }

    fn told_with(
        &self,
        release: &Release,
        finding: &Finding,
        decided_by: DecidedBy,
        relation: &str,
    ) -> String {
        let what = if decided_by == DecidedBy::SlowTest {
            "were slow"
        } else {
            "failed"
        };
        let share = |hits: u64, all: u64| 100.0 * hits as f64 / all.max(1) as f64;
        let (green, blue) = (self.tally.green.invocations, self.tally.blue.invocations);
        format!(
            "{}: {} of {green} green requests {what} ({:.3} %), {} of {blue} blue ones ({:.3} %), {} of {} before the release; the e-value {} {relation} {}",
            self.name,
            finding.hits.0,
            share(finding.hits.0, green),
            finding.hits.1,
            share(finding.hits.1, blue),
            finding.past.1,
            finding.past.0,
            in_words(release.e_value, 4),
            release.threshold,
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
                past: told(finding.ln_past),
            },
            past_requests: finding.past.0,
            past_hits: finding.past.1,
            scaled_by: finding.scaled,
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
            past: 1.0,
        },
        past_requests: 0,
        past_hits: 0,
        scaled_by: 1.0,
        odds_ratio_under: None,
    };
    Judgement {
        verdict: Verdict::Inconclusive,
        evidence,
        early_proceed: false,
    }
}

fn averaged(ln_e: f64) -> f64 {
    ln_e.exp().min(AVERAGED)
}

fn told(ln_e: f64) -> f64 {
    ln_e.exp().min(TOLD)
}
