//! What clients do: they try again, come by the clock, or send what no version can serve.

use rand::RngExt;

use super::{At, Sky, Weather};
use crate::draw::{Rng, between};

/// Clients send bad requests for a minute, to both versions alike.
pub struct Bursts;

impl Weather for Bursts {
    fn sky(&mut self, at: At, rng: &mut Rng) -> Sky {
        let sky = at.clear();
        let burst = rng.random_bool(0.04);
        Sky {
            level: if burst {
                rng.random_range(0.05..0.4)
            } else {
                sky.level
            },
            ..sky
        }
    }
}

/// What fails is tried again, at growing intervals, and for some time fails again: each bad spell of a
/// dependency has echoes.
pub struct Retries {
    starts: f64,
    severity: f64,
    attempts: usize,
    /// Requests that will be tried again, by minutes from now.
    waiting: [f64; 16],
}

impl Retries {
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            starts: between(rng, 0.005, 0.05),
            severity: between(rng, 0.05, 0.9),
            attempts: rng.random_range(1..5),
            waiting: [0.0; 16],
        }
    }
}

impl Weather for Retries {
    fn sky(&mut self, at: At, rng: &mut Rng) -> Sky {
        let again = self.waiting[0];
        self.waiting.rotate_left(1);
        self.waiting[15] = 0.0;
        let sky = at.clear();
        let failed = if rng.random_bool(self.starts) {
            self.severity * sky.requests
        } else {
            0.0
        };
        // After 1, 2, 4, 8 minutes.
        for attempt in 0..self.attempts {
            self.waiting[(1 << attempt) - 1] += failed * 0.5f64.powi(attempt as i32);
        }
        let requests = sky.requests + again;
        Sky {
            requests,
            level: ((sky.level * sky.requests + failed + 0.5 * again) / requests).min(1.0),
            ..sky
        }
    }
}

/// A cron's calls at every so many full minutes, many at once, with errors of their own.
pub struct Cron {
    every: i64,
    offset: i64,
    times: f64,
    level: f64,
}

impl Cron {
    pub fn draw(rng: &mut Rng) -> Self {
        let every = [2, 5, 10, 15, 30, 60][rng.random_range(0..6)];
        Self {
            every,
            offset: rng.random_range(0..every),
            times: between(rng, 0.2, 10.0),
            level: between(rng, 0.002, 0.5),
        }
    }
}

impl Weather for Cron {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let sky = at.clear();
        if (at.minute + self.offset).rem_euclid(self.every) != 0 {
            return sky;
        }
        Sky {
            requests: sky.requests * (1.0 + self.times),
            level: (sky.level + self.times * self.level) / (1.0 + self.times),
            ..sky
        }
    }
}

/// One client that is a tenth to a half of the traffic, and whose own releases make it send what fails, for
/// minutes to hours.
pub struct Whale {
    share: f64,
    level: f64,
    ill: bool,
    falls: f64,
    ends: f64,
}

impl Whale {
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            share: rng.random_range(0.1..0.5),
            level: between(rng, 0.02, 1.0),
            ill: false,
            falls: between(rng, 0.002, 0.03),
            ends: between(rng, 0.01, 0.3),
        }
    }
}

impl Weather for Whale {
    fn sky(&mut self, at: At, rng: &mut Rng) -> Sky {
        self.ill = if self.ill {
            !rng.random_bool(self.ends)
        } else {
            rng.random_bool(self.falls)
        };
        let sky = at.clear();
        let own = if self.ill { self.level } else { sky.level };
        Sky {
            level: (1.0 - self.share) * sky.level + self.share * own,
            ..sky
        }
    }
}

/// Messages that no version can serve come back every minute until they have been tried often enough.
pub struct Poison {
    comes: f64,
    number: f64,
    lives: i64,
    left: Vec<(i64, f64)>,
}

impl Poison {
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            comes: between(rng, 0.005, 0.1),
            number: between(rng, 1.0, 50.0),
            lives: rng.random_range(3..60),
            left: Vec::new(),
        }
    }
}

impl Weather for Poison {
    fn sky(&mut self, at: At, rng: &mut Rng) -> Sky {
        self.left.retain(|(until, _)| *until > at.minute);
        if rng.random_bool(self.comes) {
            self.left.push((at.minute + self.lives, self.number));
        }
        let poison: f64 = self.left.iter().map(|(_, number)| number).sum();
        let sky = at.clear();
        let requests = sky.requests + poison;
        Sky {
            requests,
            level: (sky.level * sky.requests + poison) / requests,
            ..sky
        }
    }
}

/// Batches at a time of day: for some minutes there is far more traffic, of another kind.
pub struct Batch {
    every: i64,
    offset: i64,
    minutes: i64,
    times: f64,
    level: f64,
}

impl Batch {
    pub fn draw(rng: &mut Rng) -> Self {
        let every = rng.random_range(30..400);
        Self {
            every,
            offset: rng.random_range(0..every),
            minutes: rng.random_range(2..20),
            times: between(rng, 1.0, 20.0),
            level: between(rng, 0.001, 0.2),
        }
    }
}

impl Weather for Batch {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let sky = at.clear();
        if (at.minute + self.offset).rem_euclid(self.every) >= self.minutes {
            return sky;
        }
        Sky {
            requests: sky.requests * (1.0 + self.times),
            level: (sky.level + self.times * self.level) / (1.0 + self.times),
            ..sky
        }
    }
}
