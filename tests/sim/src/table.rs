//! What came out, as tables.

use super::cell::{Cell, Kind};
use super::chart;
use super::play::{CLAIRVOYANT, RULES, Tried};
use super::rules::PEERS;

/// A peer is safe under this rate of false rollbacks.
pub const SAFE: f64 = 0.05;
/// Standard errors by which a peer must be better to beat us.
const SURE: f64 = 3.0;

/// Cells, each with what was tried in it and in the healthy one that it is matched with.
pub struct Table<'a> {
    pub rows: Vec<Row<'a>>,
}

pub struct Row<'a> {
    pub cell: &'a Cell,
    pub own: &'a Tried,
    healthy: &'a Tried,
}

impl Row<'_> {
    fn is_safe(&self, rule: usize) -> bool {
        self.healthy.false_rate(rule) < SAFE
    }

    /// The peers that beat us.
    pub fn beaten_by(&self) -> Vec<usize> {
        let beats = |rule: &usize| {
            let (behind, error) = self.own.behind(*rule);
            !self.cell.healthy() && self.is_safe(*rule) && behind > SURE * error
        };
        (1..CLAIRVOYANT).filter(beats).collect()
    }

    /// What we let through over what the best safe peer does, and over what the clairvoyant does.
    fn ratios(&self) -> (Option<f64>, f64) {
        let least = |rules: &mut dyn Iterator<Item = usize>| {
            rules.map(|rule| self.own.mean(rule)).reduce(f64::min)
        };
        let best = least(&mut (1..CLAIRVOYANT).filter(|rule| self.is_safe(*rule)));
        let over = |other: f64| self.own.mean(0) / other.max(0.1);
        (best.map(over), over(self.own.mean(CLAIRVOYANT)))
    }

    fn name(&self) -> String {
        let (blue, green) = self.cell.rates();
        format!(
            "{} at {} requests a minute, {green} % against {blue} %",
            self.cell.kind.name(),
            self.cell.rate
        )
    }
}

impl<'a> Table<'a> {
    pub fn new(cells: &'a [Cell], tried: &'a [Tried]) -> Self {
        let mut healthy = &tried[0];
        let rows = cells.iter().zip(tried).map(|(cell, own)| {
            if cell.healthy() {
                healthy = own;
            }
            Row { cell, own, healthy }
        });
        Self {
            rows: rows.collect(),
        }
    }

    pub fn healthy(&self) -> impl Iterator<Item = &Row<'a>> {
        self.rows.iter().filter(|row| row.cell.healthy())
    }

    pub fn bad(&self) -> impl Iterator<Item = &Row<'a>> {
        self.rows.iter().filter(|row| !row.cell.healthy())
    }

    pub fn print(&self) {
        println!(
            "Rolled back, and failed (in `slow`: slow) requests let through. s: safe in the matching healthy cell; !: beats \
             us. `x peer`, `x all`: what we let through over what the best safe peer does, and the clairvoyant."
        );
        print!(
            "{:9}{:>7}{:>6}{:>6} |{:>18} {:>5}{:>8}{:>7}",
            "world", "req/min", "blue%", "green%", "crossfade", "min", "x peer", "x all"
        );
        let peers = PEERS.map(|(name, _)| format!("{name:>18}")).concat();
        println!("{peers}{:>18}", "clairvoyant");
        for row in &self.rows {
            Self::print_row(row);
        }
        for row in &self.rows {
            for rule in row.beaten_by() {
                let (behind, error) = row.own.behind(rule);
                println!(
                    "beaten: {}: {} let {behind:.2} fewer failed requests through (+- {error:.2}); its false rollback is {:.1} %, ours {:.1} %",
                    row.name(),
                    PEERS[rule - 1].0,
                    100.0 * row.healthy.false_rate(rule),
                    100.0 * row.healthy.false_rate(0),
                );
            }
        }
    }

    fn print_row(row: &Row) {
        let (cell, own) = (row.cell, row.own);
        let (blue, green) = cell.rates();
        let beaten_by = row.beaten_by();
        print!(
            "{:9}{:>7}{blue:>6}{green:>6} |",
            cell.kind.name(),
            cell.rate
        );
        for rule in 0..RULES {
            let mark = if rule == 0 {
                let (peer, all) = row.ratios();
                let peer = peer.map_or_else(String::new, |peer| format!("{peer:.2}"));
                let ratios = if cell.healthy() {
                    " ".repeat(15)
                } else {
                    format!("{peer:>8}{all:>7.2}")
                };
                format!(" {:>5.1}{ratios}", own.took / own.runs)
            } else if beaten_by.contains(&rule) {
                "!".to_owned()
            } else if row.is_safe(rule) && rule != CLAIRVOYANT {
                "s".to_owned()
            } else {
                " ".to_owned()
            };
            let (stopped, through) = (100.0 * own.false_rate(rule), own.mean(rule));
            print!("{stopped:>6.1}% {through:>9.1}{mark}");
        }
        println!();
    }

    /// What an incident or a rhythm of blue's past changes, at the most.
    pub fn by_the_past(&self) -> Option<(f64, String)> {
        let of = |row: &Row| Some((row.own.by_the_past()?, row.name()));
        let worst = |a: (f64, String), b: (f64, String)| if b.0 > a.0 { b } else { a };
        self.bad().filter_map(of).reduce(worst)
    }

    /// The healthy cell that is rolled back most often, with its interval of 95 %.
    pub fn worst_healthy(&self) -> String {
        let rate = |row: &&Row| row.own.false_rate(0);
        let worst = self.healthy().max_by(|a, b| rate(a).total_cmp(&rate(b)));
        let Some(worst) = worst else {
            return "no healthy cell".to_owned();
        };
        let (rate, low, high) = worst.own.interval(1.96);
        format!(
            "max false rollback {rate:.1}% [{low:.1}, {high:.1}] over {} healthy cells ({})",
            self.healthy().count(),
            worst.name()
        )
    }

    pub fn summary(&self) -> String {
        let steady = |row: &&Row| row.cell.kind == Kind::Steady && row.cell.rate >= 100.0;
        let beaten = |row: &&Row| !row.beaten_by().is_empty();
        format!(
            "sim: {}; beaten in {} of {} bad steady cells from 100 requests a minute on, and in {} of all {}, by a peer whose own false rollback is under 5%",
            self.worst_healthy(),
            self.bad().filter(steady).filter(beaten).count(),
            self.bad().filter(steady).count(),
            self.bad().filter(beaten).count(),
            self.bad().count()
        )
    }

    pub fn points(&self) -> Vec<chart::Point> {
        let names = std::iter::once("crossfade").chain(PEERS.iter().map(|(name, _)| *name));
        let mean =
            |values: Vec<f64>| 100.0 * values.iter().sum::<f64>() / values.len().max(1) as f64;
        let point = |(rule, name)| {
            let healthy = self.healthy().map(|row| row.own.false_rate(rule));
            let bad = self
                .bad()
                .map(|row| row.own.let_through[rule] / row.own.unruled.max(1.0));
            (name, mean(healthy.collect()), mean(bad.collect()))
        };
        names.enumerate().map(point).collect()
    }
}
