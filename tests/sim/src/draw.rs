//! Random draws.

use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Distribution, Poisson};
use rand_xoshiro::Xoshiro256PlusPlus;

pub type Rng = Xoshiro256PlusPlus;

/// A stream of its own for each use of a seed.
pub fn stream(seed: u64, number: u64) -> Rng {
    Rng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

pub fn binomial(rng: &mut Rng, n: u64, p: f64) -> u64 {
    if n == 0 || p <= 0.0 {
        return 0;
    }
    if p >= 1.0 {
        return n;
    }
    Binomial::new(n, p).map_or(0, |d| d.sample(rng))
}

pub fn poisson(rng: &mut Rng, mean: f64) -> u64 {
    Poisson::new(mean).map_or(0, |d: Poisson<f64>| d.sample(rng) as u64)
}

/// Evenly in logs from `low` to `high`.
pub fn between(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low * (high / low).powf(rng.random::<f64>())
}

/// At least 1, with the given mean: geometric.
pub fn geometric(rng: &mut Rng, mean: f64) -> u64 {
    if mean <= 1.0 {
        return 1;
    }
    let u: f64 = rng.random::<f64>().max(1e-12);
    1 + (u.ln() / (1.0 - 1.0 / mean).ln()) as u64
}
