//! Levels that change for both versions alike: a dependency's bad hour, a day's rhythm, a drift.

use std::f64::consts::TAU;

use rand::RngExt;

use super::{At, DAY, Sky, Weather};
use crate::draw::{Rng, between};

fn times(at: At, factor: f64) -> Sky {
    let sky = at.clear();
    Sky {
        level: (sky.level * factor).min(1.0),
        ..sky
    }
}

/// Traffic grows tenfold over the release.
pub struct Ramp;

impl Weather for Ramp {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let sky = at.clear();
        Sky {
            requests: sky.requests * 10f64.powf(at.minute.clamp(0, 19) as f64 / 19.0),
            ..sky
        }
    }
}

/// For five minutes while both versions have traffic, half to all requests fail on both.
pub struct Outage {
    starts: i64,
    severity: f64,
}

impl Outage {
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            starts: rng.random_range(0..13),
            severity: rng.random_range(0.5..1.0),
        }
    }
}

impl Weather for Outage {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let out = (self.starts..self.starts + 5).contains(&at.minute);
        let sky = at.clear();
        Sky {
            level: if out { self.severity } else { sky.level },
            ..sky
        }
    }
}

/// An outage that begins when green has all traffic, or all but the control group's.
pub struct OutageLast(f64);

impl OutageLast {
    pub fn draw(rng: &mut Rng) -> Self {
        Self(rng.random_range(0.5..1.0))
    }
}

impl Weather for OutageLast {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let sky = at.clear();
        let out = at.weight > 0.9 && at.minute >= 16;
        Sky {
            level: if out { self.0 } else { sky.level },
            ..sky
        }
    }
}

/// Some bad hours in blue's past day, nothing since.
pub struct Incident {
    from: i64,
    minutes: i64,
    level: f64,
}

impl Incident {
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            from: -rng.random_range(180..1400),
            minutes: rng.random_range(40..75),
            level: between(rng, 0.05, 0.9),
        }
    }
}

impl Weather for Incident {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let sky = at.clear();
        let within = (self.from..self.from + self.minutes).contains(&at.minute);
        Sky {
            level: if within { self.level } else { sky.level },
            ..sky
        }
    }
}

/// Rate and error rate follow the hour of day; the release comes at any of them.
pub struct Rhythm {
    phase: f64,
    /// The busiest hour's requests, and error rate, over the average.
    requests: f64,
    level: f64,
    /// The error rate's highest hour, after that of the requests.
    lag: f64,
}

impl Rhythm {
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            phase: rng.random(),
            requests: between(rng, 1.3, 4.0),
            level: between(rng, 1.2, 5.0),
            lag: rng.random_range(-0.25..0.25),
        }
    }
}

impl Weather for Rhythm {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let wave = |lag: f64| (TAU * (at.minute as f64 / DAY as f64 + self.phase + lag)).sin();
        let sky = times(at, self.level.powf(wave(self.lag)));
        Sky {
            requests: sky.requests * self.requests.powf(wave(0.0)),
            ..sky
        }
    }
}

/// Two days of the past week had another level and another rate; the release comes on one or the other.
pub struct Weekend {
    /// The day of the week, 0 to 6, on which the release begins; 5 and 6 are the weekend.
    day: i64,
    /// Minutes into that day.
    begins: i64,
    requests: f64,
    level: f64,
}

impl Weekend {
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            day: rng.random_range(0..7),
            begins: rng.random_range(0..DAY),
            requests: between(rng, 0.1, 1.5),
            level: between(rng, 0.2, 5.0),
        }
    }
}

impl Weather for Weekend {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let day = (self.day * DAY + self.begins + at.minute).div_euclid(DAY);
        if day.rem_euclid(7) < 5 {
            return at.clear();
        }
        let sky = times(at, self.level);
        Sky {
            requests: sky.requests * self.requests,
            ..sky
        }
    }
}

/// The level rises for both while green has all traffic, or all but the control group's.
pub struct Rise(f64);

impl Rise {
    pub fn draw(rng: &mut Rng) -> Self {
        Self(between(rng, 1.5, 5.0))
    }
}

impl Weather for Rise {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let risen = at.weight > 0.9 && at.minute >= 15;
        times(at, if risen { self.0 } else { 1.0 })
    }
}

/// The level is another one from the release's first minute on, as after another team's release.
pub struct Higher(f64);

impl Higher {
    pub fn draw(rng: &mut Rng) -> Self {
        Self(between(rng, 1.2, 5.0))
    }
}

impl Weather for Higher {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        times(at, if at.in_release() { self.0 } else { 1.0 })
    }
}

/// The level drifts over the release, up or down.
pub struct Drift {
    factor: f64,
    minutes: f64,
}

impl Drift {
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            factor: between(rng, 0.3, 5.0),
            minutes: rng.random_range(8.0..30.0),
        }
    }
}

impl Weather for Drift {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        let part = (at.minute.max(0) as f64 / self.minutes).min(1.0);
        times(at, self.factor.powf(part))
    }
}

/// A cache that both share was emptied with the release, and warms.
pub struct Cache {
    factor: f64,
    minutes: f64,
}

impl Cache {
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            factor: between(rng, 2.0, 20.0),
            minutes: between(rng, 1.0, 15.0),
        }
    }
}

impl Weather for Cache {
    fn sky(&mut self, at: At, _: &mut Rng) -> Sky {
        if !at.in_release() {
            return at.clear();
        }
        let left = (-(at.minute as f64) / self.minutes).exp();
        times(at, 1.0 + (self.factor - 1.0) * left)
    }
}

/// A dependency that comes and goes: by the minute, for both.
pub struct Flapping {
    down: bool,
    falls: f64,
    stays: f64,
    level: f64,
}

impl Flapping {
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            down: false,
            falls: between(rng, 0.005, 0.1),
            stays: rng.random_range(0.2..0.8),
            level: between(rng, 0.05, 0.8),
        }
    }
}

impl Weather for Flapping {
    fn sky(&mut self, at: At, rng: &mut Rng) -> Sky {
        self.down = rng.random_bool(if self.down { self.stays } else { self.falls });
        let sky = at.clear();
        Sky {
            level: if self.down { self.level } else { sky.level },
            ..sky
        }
    }
}
