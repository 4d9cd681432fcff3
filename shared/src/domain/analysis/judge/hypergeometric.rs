//! Fisher's noncentral hypergeometric distribution: what routing alone makes of a minute's hits.
//!
//! Given a minute's totals (n requests of which K were hits, m of the n on green), a green with odds
//! ratio w gets X hits with probability P(X = x) w^x / E[w^X], where P is the central hypergeometric
//! distribution and E its mean. So all the tests need of a minute is `ln E[w^X]` for each lane.
//! Source of the formula: R. A. Fisher (1935), The logic of inductive inference; A. Fog (2008),
//! Calculation methods for Wallenius' noncentral hypergeometric distribution.

use crate::domain::analysis::judge::grid::{EDGE, Grid, LANES};

/// A minute with more requests than this is bounded, not summed.
const EXACT_REQUESTS: u64 = 20_000;
/// Sums of at most this many terms are polynomials: 1000^64 still fits a double.
const POLYNOMIAL_TERMS: usize = 65;
/// A pending product above this is moved into the logarithms before it can overflow.
const FLUSH_ABOVE: f64 = 1e100;

/// A minute's totals, or a block's, for one kind of hit. `green_hits <= hits` and so on are the caller's promise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub green: u64,
    pub blue: u64,
    pub green_hits: u64,
    pub hits: u64,
}

/// Sums over minutes of `ln E[w^X]`, one a lane: an upper bound for the bets, a lower one for the
/// edge and the margins (both exact up to rounding while minutes are small), so that an e-value made
/// of them is never too large.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    ln: [f64; LANES],
    pending: [f64; LANES],
    /// Sum over minutes of green's hits less the least it could have had.
    over: u64,
    /// Minutes from which something could be learned.
    pub telling: u64,
}

impl Moments {
    pub(super) fn new() -> Self {
        Self {
            ln: [0.0; LANES],
            pending: [1.0; LANES],
            over: 0,
            telling: 0,
        }
    }

    /// Takes in one minute.
    pub(super) fn add(&mut self, grid: &Grid, split: Split) {
        let Split {
            green,
            blue,
            green_hits,
            hits,
        } = split;
        let least = hits.saturating_sub(blue);
        let most = hits.min(green);
        if most == least {
            return; // Only one outcome was possible: nothing to learn.
        }
        self.telling += 1;
        self.over += green_hits - least;
        if green + blue > EXACT_REQUESTS {
            for lane in 0..LANES {
                let (odds, ln_odds) = (grid.odds[lane], grid.ln[lane]);
                let ln = match lane {
                    0..EDGE => at_most(split, odds, ln_odds),
                    EDGE => at_least(split, ln_odds),
                    _ => at_least(split, ln_odds).max(largest_term(split, odds, ln_odds)),
                };
                self.ln[lane] += ln - least as f64 * ln_odds;
            }
        } else if most - least < POLYNOMIAL_TERMS as u64 {
            match (most - least) as usize {
                few @ 0..16 => self.multiply::<16>(grid, split, least, few),
                more => self.multiply::<POLYNOMIAL_TERMS>(grid, split, least, more),
            }
        } else {
            for lane in 0..LANES {
                self.ln[lane] +=
                    summed(split, grid.odds[lane], grid.ln[lane]) - least as f64 * grid.ln[lane];
            }
        }
    }

    /// The exact sum as a polynomial in w, for all lanes at once (Horner). Coefficients are relative
    /// to the largest, so none overflows, and the division by their sum normalises (Vandermonde).
    /// `TERMS` is over `degree`; small minutes are many, and should not pay for large ones.
    fn multiply<const TERMS: usize>(
        &mut self,
        grid: &Grid,
        split: Split,
        least: u64,
        degree: usize,
    ) {
        let mut terms = [0.0; TERMS];
        let (hits, green, blue) = (split.hits as f64, split.green as f64, split.blue as f64);
        let least = least as f64;
        let mode = ((hits + 1.0) * (green + 1.0) / (green + blue + 2.0)).floor() - least;
        let mode = (mode.max(0.0) as usize).min(degree);
        // P(x + 1) / P(x) = (K - x)(m - x) / ((x + 1)(n - m - K + x + 1))
        let spare = blue - hits + 1.0;
        let mut x = least + mode as f64;
        let middle = x;
        let mut term = 1.0;
        terms[mode] = term;
        for slot in &mut terms[mode + 1..=degree] {
            term *= (hits - x) * (green - x) / ((x + 1.0) * (spare + x));
            x += 1.0;
            *slot = term;
        }
        (x, term) = (middle, 1.0);
        for slot in terms[..mode].iter_mut().rev() {
            term *= x * (spare + x - 1.0) / ((hits - x + 1.0) * (green - x + 1.0));
            x -= 1.0;
            *slot = term;
        }
        let terms = &terms[..=degree];
        let scale = 1.0 / terms.iter().sum::<f64>();
        let mut sums = [0.0; LANES];
        for &term in terms.iter().rev() {
            for (sum, odds) in sums.iter_mut().zip(&grid.odds) {
                *sum = *sum * odds + term;
            }
        }
        for (product, sum) in self.pending.iter_mut().zip(&sums) {
            *product *= sum * scale;
        }
        if self.pending[EDGE - 1] > FLUSH_ABOVE {
            self.flush();
        }
    }

    fn flush(&mut self) {
        for (ln, product) in self.ln.iter_mut().zip(&mut self.pending) {
            *ln += product.ln();
            *product = 1.0;
        }
    }

    /// `ln` of the likelihood of all minutes at each lane's odds ratio, over that at odds ratio 1.
    pub(super) fn ln_likelihood(&self, grid: &Grid) -> [f64; LANES] {
        let over = self.over as f64;
        std::array::from_fn(|lane| over * grid.ln[lane] - self.ln[lane] - self.pending[lane].ln())
    }
}

/// `ln E[w^X]`, by the terms around the largest: those left out are under 1e-17 of it each and fall
/// faster than geometrically.
fn summed(split: Split, odds: f64, ln_odds: f64) -> f64 {
    let Split {
        green, blue, hits, ..
    } = split;
    let (least, most) = (hits.saturating_sub(blue), hits.min(green));
    let top = likeliest(split, odds).clamp(least, most);
    let (k, m, b) = (hits as f64, green as f64, blue as f64);
    let up = |x: f64| odds * (k - x) * (m - x) / ((x + 1.0) * (b - k + x + 1.0));
    let mut sum = 1.0;
    let mut term = 1.0;
    for x in top..most {
        term *= up(x as f64);
        sum += term;
        if term < 1e-17 {
            break;
        }
    }
    term = 1.0;
    for x in (least..top).rev() {
        term /= up(x as f64);
        sum += term;
        if term < 1e-17 {
            break;
        }
    }
    ln_central(split, top) + top as f64 * ln_odds + sum.ln()
}

/// The likeliest value of X at odds ratio w: the root of P(x + 1) w = P(x), rounded up.
fn likeliest(split: Split, odds: f64) -> u64 {
    let (hits, green, blue) = (split.hits as f64, split.green as f64, split.blue as f64);
    // (w - 1) x^2 - 2 h x + c = 0 with h = ((K + m) w + n - m - K + 2) / 2, the smaller root.
    let half = f64::midpoint((hits + green) * odds, blue - hits + 2.0);
    let c = odds * hits * green - (blue - hits + 1.0);
    if c <= 0.0 {
        return 0;
    }
    // The form without cancellation; right at w = 1 too.
    let root = (half * half - (odds - 1.0) * c).max(0.0).sqrt();
    (c / (half + root)).ceil().max(0.0) as u64
}

/// `ln P(X = x)` of the central hypergeometric distribution.
fn ln_central(split: Split, x: u64) -> f64 {
    let Split {
        green, blue, hits, ..
    } = split;
    ln_choose(green, x) + ln_choose(blue, hits - x) - ln_choose(green + blue, hits)
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// `ln n!`: a product below 16, Stirling's series above (its next term is under 1e-11).
fn ln_factorial(n: u64) -> f64 {
    if n < 16 {
        return (2..=n).map(|i| i as f64).product::<f64>().ln();
    }
    let n = n as f64;
    let square = n * n;
    n * n.ln() - n
        + 0.5 * (std::f64::consts::TAU * n).ln()
        + (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * square)) / square) / n
}

/// `ln E[w^X]` from above, in closed form, for minutes too large to sum.
///
/// A hypergeometric count is never more spread than the binomial one with the same mean (Hoeffding 1963,
/// theorem 4), whichever of hits, green requests and green's successes is taken as the sample; this is
/// the least of the three bounds. The e-value only gets smaller by it, by little while hits are few.
fn at_most(split: Split, odds: f64, ln_odds: f64) -> f64 {
    let (k, m, b) = (split.hits as f64, split.green as f64, split.blue as f64);
    let (n, over) = (m + b, odds - 1.0);
    let by_hits = k * (over * m / n).ln_1p();
    let by_green = m * (over * k / n).ln_1p();
    let by_successes = m * ln_odds + (n - k) * (-(over / odds) * m / n).ln_1p();
    by_hits.min(by_green).min(by_successes)
}

/// `ln E[w^X]` from below: Jensen's inequality. At an edge of 1.1 it costs thousandths for each hit.
fn at_least(split: Split, ln_odds: f64) -> f64 {
    split.hits as f64 * (split.green as f64 / (split.green as f64 + split.blue as f64)) * ln_odds
}

/// `ln E[w^X]` from below by the largest term of the sum, less what rounding may have added.
fn largest_term(split: Split, odds: f64, ln_odds: f64) -> f64 {
    let (least, most) = (
        split.hits.saturating_sub(split.blue),
        split.hits.min(split.green),
    );
    let top = likeliest(split, odds).clamp(least, most);
    ln_central(split, top) + top as f64 * ln_odds - 1e-4
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ln` of the likelihood ratio of one minute at each lane.
    fn one(green: u64, blue: u64, green_hits: u64, hits: u64, edge: f64) -> ([f64; LANES], Grid) {
        let grid = Grid::new(edge);
        let mut moments = Moments::new();
        moments.add(
            &grid,
            Split {
                green,
                blue,
                green_hits,
                hits,
            },
        );
        (moments.ln_likelihood(&grid), grid)
    }

    /// By hand: one hit in ten requests, one of them green. P(green) = 1/10, so E[w^X] = (w + 9) / 10 and
    /// the ratio for X = 1 is 10 w / (w + 9).
    #[test]
    fn one_hit_on_the_only_green_request() {
        let (ln, grid) = one(1, 9, 1, 1, 1.1);
        for (ln, w) in ln.iter().zip(grid.odds) {
            assert!((ln - (10.0 * w / (w + 9.0)).ln()).abs() < 1e-12, "odds {w}");
        }
    }

    /// By hand: 4 green, 6 blue, 3 hits, 2 of them green. The central weights of X = 0, 1, 2, 3 are
    /// C(4,x) C(6,3-x) = 20, 60, 36, 4 of 120, so the ratio is 120 w^2 / (20 + 60 w + 36 w^2 + 4 w^3).
    /// At w = 2: 480 / 316 = 120 / 79. At w = 3: 1080 / 632 = 135 / 79.
    #[test]
    fn two_of_three_hits_on_green() {
        let (ln, grid) = one(4, 6, 2, 3, 1.1);
        let at = |w: f64| {
            ln[grid
                .odds
                .iter()
                .rposition(|x| (x - w).abs() < 1e-12)
                .expect("a margin")]
        };
        assert!((at(2.0) - (120.0f64 / 79.0).ln()).abs() < 1e-12);
        assert!((at(3.0) - (135.0f64 / 79.0).ln()).abs() < 1e-12);
    }

    /// With Python's fractions (exact rationals, summed term by term, `math.comb`), green 500, blue 500,
    /// 120 hits, 80 of them green: ln of the ratio at 2 and at 10, to 12 digits.
    #[test]
    fn many_hits_take_the_sum_and_agree_with_exact_rationals() {
        let (ln, grid) = one(500, 500, 80, 120, 1.1);
        let at = |w: f64| {
            ln[grid
                .odds
                .iter()
                .rposition(|x| (x - w).abs() < 1e-12)
                .expect("a margin")]
        };
        assert!((at(2.0) - EXACT_2).abs() < 1e-9, "{}", at(2.0));
        assert!((at(10.0) - EXACT_10).abs() < 1e-9, "{}", at(10.0));
    }
    const EXACT_2: f64 = 7.600_147_359_617_381;
    const EXACT_10: f64 = -15.169_504_319_887_38;

    /// A minute in which every request failed, or none, or that only one version served, shows nothing.
    #[test]
    fn nothing_to_learn() {
        for (green, blue, green_hits, hits) in [
            (10, 90, 10, 100),
            (10, 90, 0, 0),
            (10, 0, 3, 3),
            (0, 90, 0, 7),
        ] {
            assert!(
                one(green, blue, green_hits, hits, 1.1)
                    .0
                    .iter()
                    .all(|ln| *ln == 0.0)
            );
        }
    }

    /// The closed forms lie on the right sides of the sum, and not far from it while hits are few.
    #[test]
    fn bounds_hold() {
        for (green, blue, hits) in [
            (300, 2700, 30),
            (1500, 1500, 900),
            (50, 2000, 2000),
            (2000, 50, 1990),
            // Of two terms one is nearly all.
            (1000, 1, 1),
        ] {
            let split = Split {
                green,
                blue,
                green_hits: 0,
                hits,
            };
            for w in [1.1f64, 1.5, 10.0, 1000.0] {
                let exact = summed(split, w, w.ln());
                assert!(at_most(split, w, w.ln()) >= exact - 1e-9, "{split:?} {w}");
                assert!(at_least(split, w.ln()) <= exact + 1e-9, "{split:?} {w}");
                assert!(
                    largest_term(split, w, w.ln()) <= exact + 1e-9,
                    "{split:?} {w}"
                );
            }
        }
        let split = Split {
            green: 300,
            blue: 2700,
            green_hits: 0,
            hits: 30,
        };
        assert!(at_most(split, 10.0, 10f64.ln()) - summed(split, 10.0, 10f64.ln()) < 0.5);
    }

    /// Each of the three binomial counts, where it is the one that bounds most closely: by hits, where they are few; by
    /// green's requests, where these are; by green's successes, where nearly all are hits.
    #[test]
    fn bound_from_above_is_the_closest_of_three() {
        for (green, blue, hits, by) in [
            (300, 2700, 30, 0),
            (300, 2700, 900, 1),
            (2900, 100, 2950, 2),
        ] {
            let split = split((green, blue, 0, hits));
            let (k, m, n) = (hits as f64, green as f64, (green + blue) as f64);
            for w in [1.5f64, 10.0, 1000.0] {
                // E[w^B] of a binomial count B of t trials with chance p is (1 - p + p w)^t.
                let binomial = |t: f64, p: f64, w: f64| t * (1.0 - p + p * w).ln();
                let each = [
                    binomial(k, m / n, w),
                    binomial(m, k / n, w),
                    m * w.ln() + binomial(n - k, m / n, 1.0 / w),
                ];
                let bound = at_most(split, w, w.ln());
                let closest = each[by];
                assert!(each.iter().all(|one| *one >= closest), "{each:?}");
                assert!(
                    (bound - closest).abs() < 1e-9 * closest,
                    "{bound} {closest}"
                );
            }
        }
    }

    /// `ln n!`, one factor after the other.
    fn ln_factorials(n: u64) -> Vec<f64> {
        let mut all = vec![0.0];
        for i in 1..=n {
            all.push(all.last().unwrap() + (i as f64).ln());
        }
        all
    }

    /// `ln E[w^X]` with every term of the sum, and the X of the largest one.
    fn by_definition(split: Split, w: f64) -> (f64, u64) {
        let Split {
            green, blue, hits, ..
        } = split;
        let all = ln_factorials(green + blue);
        let at = |n: u64| all[usize::try_from(n).unwrap()];
        let choose = |n: u64, k: u64| at(n) - at(k) - at(n - k);
        let terms: Vec<(u64, f64)> = (hits.saturating_sub(blue)..=hits.min(green))
            .map(|x| {
                let central =
                    choose(green, x) + choose(blue, hits - x) - choose(green + blue, hits);
                (x, central + x as f64 * w.ln())
            })
            .collect();
        let top = terms
            .iter()
            .copied()
            .reduce(|a, b| if b.1 > a.1 { b } else { a })
            .unwrap();
        let sum: f64 = terms.iter().map(|term| (term.1 - top.1).exp()).sum();
        (top.1 + sum.ln(), top.0)
    }

    fn split((green, blue, green_hits, hits): (u64, u64, u64, u64)) -> Split {
        Split {
            green,
            blue,
            green_hits,
            hits,
        }
    }

    /// Minutes of every way to sum: few terms, more, the most of a polynomial, too many for one; with hits
    /// that blue alone cannot have.
    const EXACT: [(u64, u64, u64, u64); 11] = [
        (10, 90, 3, 4),
        (30, 40, 12, 15),
        (30, 40, 12, 16),
        (20, 5, 14, 16),
        (200, 300, 20, 64),
        (200, 300, 20, 65),
        (300, 40, 70, 90),
        (500, 500, 80, 120),
        (900, 30, 300, 310),
        (900, 100, 250, 300),
        (2000, 3000, 100, 400),
    ];

    #[test]
    fn likelihoods_are_by_definition() {
        for of in EXACT {
            let split = split(of);
            let (ln, grid) = one(of.0, of.1, of.2, of.3, 1.1);
            for (lane, (ln, w)) in ln.iter().zip(grid.odds).enumerate() {
                let exact = split.green_hits as f64 * w.ln() - by_definition(split, w).0;
                assert!(
                    (ln - exact).abs() < 1e-8,
                    "{of:?}, lane {lane}: {ln}, {exact}"
                );
            }
        }
    }

    #[test]
    fn likeliest_count_has_the_largest_term() {
        let small = (1..10).flat_map(|green| {
            (1..10).flat_map(move |blue| (1..green + blue).map(move |hits| (green, blue, 0, hits)))
        });
        for of in EXACT.into_iter().chain(small) {
            for w in [0.5, 1.0, 1.1, 3.0, 1000.0] {
                let split = split(of);
                let (least, most) = (
                    split.hits.saturating_sub(split.blue),
                    split.hits.min(split.green),
                );
                let top = likeliest(split, w).clamp(least, most);
                let wanted = by_definition(split, w).1;
                // Two terms may be alike.
                let term = |x| ln_central(split, x) + x as f64 * w.ln();
                assert!(
                    term(top) > term(wanted) - 1e-9,
                    "{of:?} at {w}: {top}, {wanted}"
                );
            }
        }
    }

    #[test]
    fn factorials_are_products() {
        for (n, exact) in ln_factorials(3000).into_iter().enumerate() {
            let error = (ln_factorial(n as u64) - exact).abs();
            assert!(error < 1e-11 * exact.max(1.0), "{n}: {error}");
        }
    }

    /// Never too large, for the bets and for the edge and the margins each on its side; and not far off.
    #[test]
    fn large_minutes_are_bounded_from_the_right_sides() {
        for (of, within) in [
            ((4_000, 17_000, 20, 30), 0.2),
            ((10_001, 10_000, 15, 20), 0.2),
            ((20_000, 1_000, 1_150, 1_200), 60.0),
            ((1_000, 20_000, 60, 600), f64::INFINITY),
        ] {
            let split = split(of);
            let (ln, grid) = one(of.0, of.1, of.2, of.3, 1.1);
            for (lane, (ln, w)) in ln.iter().zip(grid.odds).enumerate() {
                let exact = split.green_hits as f64 * w.ln() - by_definition(split, w).0;
                // The bets may look less likely than they are, what they are held to more.
                let over = if lane < EDGE { exact - ln } else { ln - exact };
                assert!(over > -1e-6, "{of:?}, lane {lane}: {ln}, {exact}");
                if lane <= EDGE || within < 1.0 {
                    let near = if lane > EDGE { 3.0 } else { within };
                    assert!(over < near, "{of:?}, lane {lane}: {ln}, {exact}");
                }
            }
        }
        // The last that is summed.
        let (ln, grid) = one(10_000, 10_000, 15, 20, 1.1);
        let last = split((10_000, 10_000, 15, 20));
        let exact = 15.0 * grid.ln[0] - by_definition(last, grid.odds[0]).0;
        assert!((ln[0] - exact).abs() < 1e-9, "{} {exact}", ln[0]);
    }

    #[test]
    fn minutes_add_up() {
        let grid = Grid::new(1.1);
        let minutes = [
            (10, 90, 3, 4),
            (500, 500, 80, 120),
            (4_000, 17_000, 20, 30),
            (10, 90, 0, 0),
        ];
        let mut moments = Moments::new();
        let mut sums = [0.0; LANES];
        // Often enough for products that no double could hold.
        for nth in 0..2000 {
            let (green, blue, green_hits, hits) = minutes[nth % minutes.len()];
            moments.add(&grid, split((green, blue, green_hits, hits)));
            let (ln, _) = one(green, blue, green_hits, hits, 1.1);
            sums.iter_mut().zip(ln).for_each(|(sum, ln)| *sum += ln);
        }
        assert_eq!(moments.telling, 1500);
        for (ln, sum) in moments.ln_likelihood(&grid).into_iter().zip(sums) {
            assert!((ln - sum).abs() < 1e-6 * sum.abs().max(1.0), "{ln} {sum}");
        }
    }
}
