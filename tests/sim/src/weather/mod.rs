//! The weather: what befalls blue and green alike, in blue's past and during the release.
//!
//! Each kind draws its parameters anew for every run, from ranges wide enough that no number can be tuned
//! to. Nothing here knows which version is which: a healthy green and blue live under one sky.

mod clients;
mod clumps;
mod level;

use super::cell::Kind;
use super::draw::Rng;

/// A day in minutes.
pub const DAY: i64 = 1440;

/// What one minute is like.
#[derive(Clone, Copy, Debug)]
pub struct Sky {
    /// The mean of its requests.
    pub requests: f64,
    /// The chance of each to fail by itself.
    pub level: f64,
    /// Failures that come together: all of a clump are of one version, green with the chance of its weight.
    pub clumps: Option<Clumps>,
    /// Environments that fail for a while.
    pub spells: Option<Spells>,
    /// The chance of the first request in a new environment to fail.
    pub cold: f64,
}

/// How many clumps a minute has on average, and the mean size of one.
#[derive(Clone, Copy, Debug)]
pub struct Clumps {
    pub number: f64,
    pub size: f64,
}

/// The share of environments that is sick, for how many minutes on average, and what share of its requests
/// such a one fails.
#[derive(Clone, Copy, Debug)]
pub struct Spells {
    pub share: f64,
    pub minutes: f64,
    pub fails: f64,
}

/// When a minute is, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Minutes since the release began; negative in blue's past.
    pub minute: i64,
    /// Green's weight, 0 to 1; 0 in blue's past.
    pub weight: f64,
    /// What the cell says of every minute: requests, and the chance of each to fail.
    pub rate: f64,
    pub base: f64,
}

impl At {
    /// Nothing is the matter.
    pub fn clear(self) -> Sky {
        Sky {
            requests: self.rate,
            level: self.base,
            clumps: None,
            spells: None,
            cold: 0.0,
        }
    }

    pub fn in_release(self) -> bool {
        self.minute >= 0
    }
}

/// A kind of weather with its parameters.
pub trait Weather {
    /// One minute's sky. `rng` is for what is drawn by the minute.
    fn sky(&mut self, at: At, rng: &mut Rng) -> Sky;
}

struct Clear;

impl Weather for Clear {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        at.clear()
    }
}

/// Draws the parameters of a kind.
pub fn draw(kind: Kind, rng: &mut Rng) -> Box<dyn Weather> {
    match kind {
        Kind::Steady | Kind::Slow | Kind::Late => Box::new(Clear),
        Kind::Ramp => Box::new(level::Ramp),
        Kind::Outage => Box::new(level::Outage::draw(rng)),
        Kind::OutageLast => Box::new(level::OutageLast::draw(rng)),
        Kind::Incident => Box::new(level::Incident::draw(rng)),
        Kind::Rhythm => Box::new(level::Rhythm::draw(rng)),
        Kind::Weekend => Box::new(level::Weekend::draw(rng)),
        Kind::Rise => Box::new(level::Rise::draw(rng)),
        Kind::Higher => Box::new(level::Higher::draw(rng)),
        Kind::Drift => Box::new(level::Drift::draw(rng)),
        Kind::Cache => Box::new(level::Cache::draw(rng)),
        Kind::Flapping => Box::new(level::Flapping::draw(rng)),
        Kind::Sticky => Box::new(clumps::Sticky),
        Kind::Clumps => Box::new(clumps::Within::draw(rng)),
        Kind::RareClumps => Box::new(clumps::Rare::draw(rng)),
        Kind::Spells => Box::new(clumps::Sick::draw(rng)),
        Kind::Cold => Box::new(clumps::Cold::draw(rng)),
        Kind::Bursts => Box::new(clients::Bursts),
        Kind::Retries => Box::new(clients::Retries::draw(rng)),
        Kind::Cron => Box::new(clients::Cron::draw(rng)),
        Kind::Whale => Box::new(clients::Whale::draw(rng)),
        Kind::Poison => Box::new(clients::Poison::draw(rng)),
        Kind::Batch => Box::new(clients::Batch::draw(rng)),
    }
}
