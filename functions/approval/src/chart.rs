//! The release so far, drawn: green's weight, and both versions' error rates.
//!
//! An outer picture without a scale of its own, so that its text is as large as the page's on any screen;
//! in it one for each plot, which fills the width. Positions in those are thousandths of the time, and
//! hundredths of the height, from the top.

use std::fmt::Write as _;

use crossfade::domain::{Timestamp, analysis::counts::Counts, weight::Weight};
use maud::{Markup, html};

use crate::{
    format,
    history::{Both, History, error_percent, slow_percent},
};

/// What the axis of error rates may end at, percent.
const TOPS: [f64; 8] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

/// Room between the weights that are written beside the line, in thousandths of the width.
const ROOM: f64 = 130.0;

/// How high one plot is with its heading, and where the first begins.
const PLOT: f64 = 140.0;

/// A share of the requests that is drawn for both versions.
#[derive(Clone, Copy)]
struct Share {
    heading: &'static str,
    of: fn(Counts) -> Option<f64>,
}

/// Draws it.
pub(crate) fn chart(history: &History) -> Markup {
    let plots = Plots { history };
    let mut shares = Vec::new();
    if let Some(all) = history.counts {
        shares.push(Share {
            heading: "Requests that failed",
            of: error_percent,
        });
        if all.blue.slow + all.green.slow > 0 {
            shares.push(Share {
                heading: "Slow requests",
                of: slow_percent,
            });
        }
    }
    let starts = plots.starts();
    let drawn = (0..)
        .zip(&shares)
        .map(|(nth, share)| (PLOT * f64::from(nth + 1), share));
    let axis = drawn.clone().last().map_or(142.0, |(y, _)| y + 142.0);
    let height = if shares.is_empty() {
        axis + 20.0
    } else {
        axis + 24.0
    };
    html! {
        svg.chart role="img" aria-labelledby="chart-title chart-text" width="100%" height=(height) {
            title id="chart-title" { "The release so far" }
            desc id="chart-text" { (plots.in_words()) }
            text.axis x="0" y="12" { "Traffic on green" }
            svg.plot x="0" y="26" width="100%" height="96" viewBox="0 0 1000 100" preserveAspectRatio="none" {
                path.grid d="M0 0H1000M0 50H1000" {}
                path.base d="M0 100H1000" {}
                path.share d={ (plots.weights()) "V100H0Z" } {}
                path.weight d=(plots.weights()) {}
            }
            text.tick x="0" y="38" { "100 %" }
            text.tick x="0" y="86" { "50 %" }
            @for (x, weight) in plots.labels() {
                text.mark x={ (x / 10.0) "%" } y=(mark(weight)) dx="5" { (weight) }
            }
            @for (y, share) in drawn {
                @let top = plots.top(share.of);
                text.axis x="0" y=(y + 12.0) { (share.heading) }
                svg.plot x="0" y=(y + 26.0) width="100%" height="96" viewBox="0 0 1000 100" preserveAspectRatio="none" {
                    path.grid d="M0 0H1000M0 50H1000" {}
                    path.base d="M0 100H1000" {}
                    path.since d=(starts) {}
                    path.rate-blue d=(plots.rates(top, |both| (share.of)(both.blue))) {}
                    path.rate-green d=(plots.rates(top, |both| (share.of)(both.green))) {}
                }
                text.tick x="0" y=(y + 38.0) { (top) " %" }
                text.tick x="0" y=(y + 86.0) { (top / 2.0) " %" }
            }
            text.tick x="0" y=(axis) { (plots.hour(history.from)) }
            text.tick.end x="100%" y=(axis) { (plots.hour(history.to)) " UTC" }
            @if !shares.is_empty() {
                line.rate-blue x1="0" y1=(axis + 18.0) x2="26" y2=(axis + 18.0) {}
                text.key x="32" y=(axis + 22.0) { "Blue" }
                line.rate-green x1="82" y1=(axis + 18.0) x2="108" y2=(axis + 18.0) {}
                text.key x="114" y=(axis + 22.0) { "Green" }
            }
        }
    }
}

/// How far down a weight is written, in units of the outer picture.
fn mark(weight: Weight) -> f64 {
    ((118.0 - weight.percent() * 0.96) * 100.0).round() / 100.0
}

struct Plots<'a> {
    history: &'a History,
}

impl Plots<'_> {
    /// Thousandths of the time.
    #[allow(clippy::cast_precision_loss)] // Milliseconds of two weeks.
    fn x(&self, at: Timestamp) -> f64 {
        let (from, to) = (self.history.from, self.history.to);
        let all = (to - from).num_milliseconds().max(1);
        let x = (at - from).num_milliseconds() as f64 / all as f64 * 1000.0;
        (x.clamp(0.0, 1000.0) * 10.0).round() / 10.0
    }

    /// The line of weights, from the left edge to the right.
    fn weights(&self) -> String {
        let mut path = String::new();
        for (index, (since, weight)) in self.history.weights.iter().enumerate() {
            let y = weight.rest().percent();
            // Writing to a String cannot fail.
            let _ = match index {
                0 => write!(path, "M0 {y}"),
                _ => write!(path, "H{}V{y}", self.x(*since)),
            };
        }
        path.push_str("H1000");
        path
    }

    /// Where a weight began, beside the first.
    fn starts(&self) -> String {
        let later = self.history.weights.iter().skip(1);
        later.fold(String::new(), |mut path, (since, _)| {
            let _ = write!(path, "M{} 0V100", self.x(*since));
            path
        })
    }

    /// Which weights are written beside the line, and where: those that have room.
    fn labels(&self) -> Vec<(f64, Weight)> {
        let mut labels: Vec<(f64, Weight)> = Vec::new();
        for (since, weight) in self.history.weights.iter().skip(1) {
            let x = self.x(*since);
            if x <= 1000.0 - ROOM && labels.last().is_none_or(|(last, _)| x - last >= ROOM) {
                labels.push((x, *weight));
            }
        }
        labels
    }

    /// What the axis of rates ends at, percent.
    fn top(&self, of: fn(Counts) -> Option<f64>) -> f64 {
        let counts = self.history.slices.iter().filter_map(|slice| slice.counts);
        let rates = counts.flat_map(|both| [both.blue, both.green]);
        let most = rates.filter_map(of).fold(0.0, f64::max);
        let fits = TOPS.into_iter().find(|top| most <= *top);
        fits.unwrap_or(TOPS[TOPS.len() - 1])
    }

    /// A line through the slices that had requests, broken where there were none. One such slice alone
    /// is a line without length, which round ends make a dot.
    fn rates(&self, top: f64, of: impl Fn(Both) -> Option<f64>) -> String {
        let mut path = String::new();
        let mut on = false;
        let half = chrono::TimeDelta::seconds(self.history.slice_minutes * 30);
        for slice in &self.history.slices {
            let Some(rate) = slice.counts.and_then(&of) else {
                on = false;
                continue;
            };
            let x = self.x((slice.start + half).min(self.history.to));
            let y = ((100.0 - 100.0 * rate / top) * 10.0).round() / 10.0;
            let _ = if on {
                write!(path, "L{x} {y}")
            } else {
                write!(path, "M{x} {y}h0")
            };
            on = true;
        }
        path
    }

    /// A time on the axis, with its day where there is more than one.
    fn hour(&self, at: Timestamp) -> String {
        if self.history.from.date_naive() == self.history.to.date_naive() {
            format::time(at)
        } else {
            at.format("%-d %b %H:%M").to_string()
        }
    }

    /// What there is to see, for those who do not.
    fn in_words(&self) -> String {
        let steps = self.history.weights.iter();
        let steps: Vec<_> = steps
            .map(|(since, weight)| format!("{weight} from {}", format::time(*since)))
            .collect();
        let mut words = format!("Green's share of the traffic was {}.", steps.join(", "));
        if let Some(all) = self.history.counts {
            let rate = |rate: Option<f64>| rate.map_or("no requests".to_owned(), format::percent);
            let _ = write!(
                words,
                " Requests that failed on blue: {}; on green: {}. A table with all numbers follows.",
                rate(error_percent(all.blue)),
                rate(error_percent(all.green)),
            );
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use crossfade::domain::{analysis::counts::Minute, step_record::StepRecord};

    use super::*;

    fn history(green: &[(u64, u64)]) -> History {
        let from: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let step = |weight: u8, minutes: i64| StepRecord {
            weight: Weight::try_from(weight).unwrap(),
            started_at: from + TimeDelta::minutes(minutes),
            in_force_at: None,
            ended_at: None,
            verdict: None,
        };
        let minutes: Vec<_> = (0..)
            .zip(green)
            .map(|(nth, (invocations, errors))| Minute {
                start: from.timestamp() + 60 * nth,
                green: Counts {
                    invocations: *invocations,
                    errors: *errors,
                    ..Counts::default()
                },
                ..Minute::default()
            })
            .collect();
        let steps = [step(10, 5), step(50, 10)];
        History::of(
            from,
            from + TimeDelta::minutes(20),
            &steps,
            None,
            Some(&[minutes]),
        )
    }

    #[test]
    fn weights_are_steps() {
        let history = history(&[]);
        let plots = Plots { history: &history };
        assert_eq!(plots.weights(), "M0 100H250V90H500V50H1000");
        assert_eq!(plots.starts(), "M250 0V100M500 0V100");
        let labels = [(250.0, 10u8), (500.0, 50)];
        let labels = labels.map(|(x, percent)| (x, Weight::try_from(percent).unwrap()));
        assert_eq!(plots.labels(), labels);
    }

    #[test]
    fn tenths_are_drawn_without_what_arithmetic_leaves_of_them() {
        let mut history = history(&[]);
        for (step, tenths) in history.weights.iter_mut().skip(1).zip([1, 999]) {
            step.1 = Weight::of_tenths(tenths).unwrap();
        }
        let plots = Plots { history: &history };
        assert_eq!(plots.weights(), "M0 100H250V99.9H500V0.1H1000");
        let drawn = chart(&history).into_string();
        for mark in ["y=\"117.9\" dx=\"5\">0.1 %<", "y=\"22.1\" dx=\"5\">99.9 %<"] {
            assert!(drawn.contains(mark), "{drawn}");
        }
    }

    #[test]
    fn breaks_the_line_at_missing_data() {
        let history = history(&[(10, 1), (10, 0), (0, 0), (10, 2)]);
        let plots = Plots { history: &history };
        assert!((plots.top(error_percent) - 20.0).abs() < f64::EPSILON);
        let line = plots.rates(20.0, |both| error_percent(both.green));
        assert_eq!(line, "M25 50h0L75 100M175 0h0");
        assert_eq!(plots.rates(20.0, |both| error_percent(both.blue)), "");
    }

    #[test]
    fn nothing_of_it_is_not_a_number() {
        let from: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        for history in [
            history(&[]),
            history(&[(1, 1)]),
            History::of(from, from, &[], None, None),
        ] {
            let drawn = chart(&history).into_string();
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
            assert_eq!(
                drawn.contains("Requests that failed"),
                history.counts.is_some()
            );
        }
    }

    #[test]
    fn describes_the_chart_in_text() {
        let history = history(&[(10, 1)]);
        let words = Plots { history: &history }.in_words();
        assert_eq!(
            words,
            "Green's share of the traffic was 0 % from 02:00, 10 % from 02:05, 50 % from 02:10. \
             Requests that failed on blue: no requests; on green: 10 %. A table with all numbers follows."
        );
    }
}
