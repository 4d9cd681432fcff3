//! What is seen while it runs: a line for each thing that happens, and below them a bar of who serves.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use crossfade_tests::traffic::Tally;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line stands in for the bar where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(3);

/// The lines and the bar of one release.
#[derive(Debug)]
pub(crate) struct Live {
    bar: ProgressBar,
    began: Instant,
    line_at: Instant,
    line_weight: f64,
}

impl Live {
    /// Begins; times are told from here.
    pub(crate) fn begin() -> Self {
        // On standard output, where the lines go: of two streams one would tear the other.
        let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stdout_with_hz(10));
        bar.set_style(
            ProgressStyle::with_template("  {bar:20.green/blue} {wide_msg}")
                .expect("the template is right")
                .progress_chars("██░"),
        );
        Self {
            bar,
            began: Instant::now(),
            line_at: Instant::now(),
            line_weight: 0.0,
        }
    }

    /// Something happened.
    pub(crate) fn line(&self, what: &str, more: &str) {
        let at = self.began.elapsed().as_secs_f64();
        self.say(format!("{at:6.1} s  {what:<22} {more}").trim_end());
    }

    /// Green's weight in percent, and who served how much so far.
    pub(crate) fn update(&mut self, weight: f64, by_version: &BTreeMap<String, Tally>) {
        // All of it fits into 80 columns, the bar too.
        let mut message = format!("green {weight:3.0} %");
        for (version, tally) in by_version {
            let who = if version.is_empty() {
                "refused".to_owned()
            } else {
                format!("v{version}")
            };
            // Writing to a String cannot fail.
            let _ = write!(
                message,
                " | {who}: {} served, {} failed",
                tally.requests, tally.errors
            );
        }
        if self.bar.is_hidden() {
            let moved = (weight - self.line_weight).abs() > 0.01;
            if moved || self.line_at.elapsed() >= LINE_EVERY {
                (self.line_at, self.line_weight) = (Instant::now(), weight);
                self.line("traffic", &message);
            }
            return;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // It is a percentage.
        self.bar.set_position(weight.round() as u64);
        self.bar.set_message(message);
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            println!("{line}");
        } else {
            self.bar.suspend(|| println!("{line}"));
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end();
    }
}
