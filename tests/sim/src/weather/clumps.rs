//! Failures that hang together, because an environment has them: all of them are of one version.

use rand::RngExt;

use super::{At, Clumps, Sky, Spells, Weather};
use crate::draw::{Rng, between};

/// Half of the errors come from environments that fail half of their requests, for three minutes.
pub struct Sticky;

impl Weather for Sticky {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let sky = at.clear();
        Sky {
            level: sky.level / 2.0,
            spells: Some(Spells {
                share: sky.level,
                minutes: 3.0,
                fails: 0.5,
            }),
            ..sky
        }
    }
}

/// An environment with a broken connection fails some requests in a row, and is replaced.
pub struct Within {
    /// Requests between two of them, on average.
    each: f64,
    size: f64,
}

impl Within {
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            each: between(rng, 1_500.0, 20_000.0),
            size: between(rng, 15.0, 100.0),
        }
    }
}

impl Weather for Within {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let sky = at.clear();
        Sky {
            clumps: Some(Clumps {
                number: sky.requests / self.each,
                size: self.size,
            }),
            ..sky
        }
    }
}

/// The same, but once in an hour or three, whatever the traffic.
pub struct Rare {
    minutes: f64,
    size: f64,
}

impl Rare {
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            minutes: between(rng, 60.0, 200.0),
            size: between(rng, 15.0, 100.0),
        }
    }
}

impl Weather for Rare {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let sky = at.clear();
        Sky {
            clumps: Some(Clumps {
                number: 1.0 / self.minutes,
                size: self.size,
            }),
            ..sky
        }
    }
}

/// Some environments fail all their requests for minutes.
pub struct Sick(Spells);

impl Sick {
    pub fn draw(rng: &mut Rng) -> Self {
        Self(Spells {
            share: between(rng, 0.005, 0.05),
            minutes: between(rng, 2.0, 10.0),
            fails: rng.random_range(0.5..=1.0),
        })
    }
}

impl Weather for Sick {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let sky = at.clear();
        Sky {
            level: sky.level / 10.0,
            spells: Some(self.0),
            ..sky
        }
    }
}

/// New environments fail their first request now and then: those of blue when it scales, those of green when
/// a shift brings it traffic. The shift falls within the minute, as on AWS.
pub struct Cold(f64);

impl Cold {
    pub fn draw(rng: &mut Rng) -> Self {
        Self(rng.random_range(0.05..0.8))
    }
}

impl Weather for Cold {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        Sky {
            cold: self.0,
            ..at.clear()
        }
    }
}
