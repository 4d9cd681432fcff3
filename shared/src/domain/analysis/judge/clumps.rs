//! Two e-values for hits that come together: those of one environment, all of them of one version.

use crate::domain::analysis::judge::evidence::Together;
use crate::domain::analysis::judge::grid::{BETS, Grid, ln_average};
use crate::domain::analysis::judge::hypergeometric::Split;

/// The bets on green's share of a block's hits, and what is staked on each: most on the one that finds a green
/// that always fails in its third block.
const LAMBDAS: [f64; 7] = [0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95];
const STAKES: [f64; 7] = [0.08, 0.08, 0.1, 0.12, 0.13, 0.15, 0.34];

/// No minute.
const NOTHING: Split = Split {
    green: 0,
    blue: 0,
    green_hits: 0,
    hits: 0,
};
/// A minute is of another step when green's requests are so many standard errors, and one, from its share.
const ANOTHER_STEP: f64 = 4.0;

/// The largest share of the hits that a green at the edge is expected to have.
fn share(edge: f64, split: Split) -> f64 {
    let green = edge * split.green as f64;
    green / (green + split.blue as f64)
}

/// Whether green's share of the requests changes with a minute by more than chance explains: a block has one
/// share, whatever minutes its hits come in. This looks at no hits.
fn is_other_share(block: Split, minute: Split) -> bool {
    let share = share(1.0, block);
    let requests = minute.green as f64 + minute.blue as f64;
    let differs = (minute.green as f64 - requests * share).abs();
    differs > ANOTHER_STEP * (requests * share * (1.0 - share)).sqrt() + 1.0
}

/// Hits that come together, over the minutes that both versions served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clumps {
    /// The minutes of a block.
    minutes: u32,
    /// The size of a clump.
    size: f64,
    /// `ln` of each bet on shares, over the blocks that are over.
    ln_shares: [f64; LAMBDAS.len()],
    /// The block that is not over: its minutes, and their sums.
    open: (u32, Split),
    /// `ln` of each bet on clumps.
    ln_sizes: [f64; BETS],
}

impl Clumps {
    /// Clumps of `size` hits that last for `minutes`.
    pub(super) fn new(minutes: u32, size: f64) -> Self {
        Self {
            minutes: minutes.max(1),
            size: size.max(1.0),
            ln_shares: [0.0; LAMBDAS.len()],
            open: (0, NOTHING),
            ln_sizes: [0.0; BETS],
        }
    }

    /// Takes in one minute.
    pub(super) fn add(&mut self, grid: &Grid, edge: f64, split: Split) {
        if split.green == 0 || split.blue == 0 {
            return;
        }
        let share = share(edge, split);
        let (hits, all) = (split.green_hits as f64, split.hits as f64);
        for (ln, (odds, ln_odds)) in self.ln_sizes.iter_mut().zip(grid.odds.iter().zip(&grid.ln)) {
            // Relative to the edge, so that a bet at the edge wins and loses nothing.
            let (odds, ln_odds) = (odds / edge, ln_odds - edge.ln());
            *ln += hits * ln_odds - all * (share * (odds - 1.0)).ln_1p();
        }
        if self.open.0 > 0 && is_other_share(self.open.1, split) {
            self.end_block(edge);
        }
        let (minutes, sums) = &mut self.open;
        *minutes += 1;
        sums.green = sums.green.saturating_add(split.green);
        sums.blue = sums.blue.saturating_add(split.blue);
        sums.green_hits = sums.green_hits.saturating_add(split.green_hits);
        sums.hits = sums.hits.saturating_add(split.hits);
        if *minutes >= self.minutes {
            self.end_block(edge);
        }
    }

    fn end_block(&mut self, edge: f64) {
        let (_, sums) = std::mem::replace(&mut self.open, (0, NOTHING));
        if sums.hits > 0 {
            let over = sums.green_hits as f64 / (share(edge, sums) * sums.hits as f64) - 1.0;
            for (ln, lambda) in self.ln_shares.iter_mut().zip(LAMBDAS) {
                *ln += (lambda * over).ln_1p();
            }
        }
    }

    /// `ln` of the e-value: half is staked on the blocks, half on the clumps.
    pub(super) fn ln_e(&self, grid: &Grid) -> f64 {
        ln_average(&[self.ln_shares(), self.ln_sizes(grid)], &[0.5, 0.5])
    }

    /// `ln` of the e-value by green's shares of blocks.
    fn ln_shares(&self) -> f64 {
        ln_average(&self.ln_shares, &STAKES)
    }

    /// `ln` of the e-value by clumps of the size that the past shows.
    fn ln_sizes(&self, grid: &Grid) -> f64 {
        ln_average(&self.ln_sizes.map(|ln| ln / self.size), &grid.stakes)
    }

    /// What hits that come together are taken for.
    pub(super) fn together(&self) -> Together {
        Together {
            minutes: self.minutes,
            hits: self.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(green: (u64, u64), blue: (u64, u64)) -> Split {
        Split {
            green: green.0,
            blue: blue.0,
            green_hits: green.1,
            hits: green.1 + blue.1,
        }
    }

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12 * b.abs().max(1.0), "{a} is not {b}");
    }

    /// By hand, at an edge of 1: a tenth of the requests, all of the hits: each bet wins 1 + 9 l.
    #[test]
    fn a_block_wins_at_most_one_over_greens_share() {
        let mut clumps = Clumps::new(1, 1e12);
        let grid = Grid::new(1.0);
        for hits in [1, 30] {
            clumps.add(&grid, 1.0, split((30, hits), (270, 0)));
        }
        for (ln, lambda) in clumps.ln_shares.iter().zip(LAMBDAS) {
            near(*ln, 2.0 * (1.0 + 9.0 * lambda).ln());
        }
        // Half of the average of the products: 0.5 x sum of stakes x (1 + 9 l)^2, and 0.5 of no clump at all.
        let shares: f64 = LAMBDAS
            .iter()
            .zip(STAKES)
            .map(|(l, stake)| stake * (1.0 + 9.0 * l).powi(2))
            .sum();
        assert!((clumps.ln_e(&grid) - (0.5 * shares + 0.5).ln()).abs() < 1e-9);
    }

    /// None of the hits are green's: each bet keeps 1 - l. Minutes without hits, or with one version, are no bets.
    #[test]
    fn a_block_without_greens_hits_loses_the_bet_and_one_without_hits_nothing() {
        let mut clumps = Clumps::new(1, 1.0);
        let grid = Grid::new(1.0);
        clumps.add(&grid, 1.0, split((30, 0), (270, 0)));
        clumps.add(&grid, 1.0, split((30, 7), (0, 0)));
        clumps.add(&grid, 1.0, split((0, 0), (30, 7)));
        assert!(clumps.ln_shares.iter().all(|ln| *ln == 0.0));
        assert!(clumps.ln_sizes.iter().all(|ln| *ln == 0.0));
        clumps.add(&grid, 1.0, split((30, 0), (270, 5)));
        for (ln, lambda) in clumps.ln_shares.iter().zip(LAMBDAS) {
            near(*ln, (1.0 - lambda).ln());
        }
    }

    /// At an edge of 2, a third of the requests is expected to have half of the hits.
    #[test]
    fn the_edge_raises_greens_share() {
        let mut clumps = Clumps::new(1, 1.0);
        let grid = Grid::new(2.0);
        clumps.add(&grid, 2.0, split((100, 10), (200, 10)));
        for ln in clumps.ln_shares {
            near(ln, 0.0);
        }
    }

    #[test]
    fn a_block_counts_once_its_minutes_are_over() {
        let grid = Grid::new(1.0);
        let mut clumps = Clumps::new(2, 1.0);
        clumps.add(&grid, 1.0, split((22, 5), (78, 0)));
        assert!(clumps.ln_shares.iter().all(|ln| *ln == 0.0));
        clumps.add(&grid, 1.0, split((18, 1), (82, 9)));
        // Six hits of green's where a fifth of fifteen was expected: twice as many.
        for (ln, lambda) in clumps.ln_shares.iter().zip(LAMBDAS) {
            near(*ln, (1.0 + lambda).ln());
        }
    }

    /// A tenth of the requests is 10 of 100, and 4 x 3 + 1 more are another step's.
    #[test]
    fn a_block_ends_with_its_step() {
        let block = split((100, 0), (900, 0));
        let of = |green| is_other_share(block, split((green, 0), (100 - green, 0)));
        assert!(!of(23) && of(24) && !of(0));
        let grid = Grid::new(1.0);
        let mut clumps = Clumps::new(5, 1.0);
        clumps.add(&grid, 1.0, split((10, 2), (90, 8)));
        clumps.add(&grid, 1.0, split((50, 9), (50, 1)));
        for (ln, lambda) in clumps.ln_shares.iter().zip(LAMBDAS) {
            near(*ln, (1.0 + lambda).ln());
        }
        assert_eq!((clumps.open.0, clumps.open.1.green_hits), (1, 9));
    }

    /// By hand: two hits, one of them on green's half. At odds 3 to 1 the likelihood is 3 / 2^2 of that of even odds.
    #[test]
    fn clumps_are_the_binomial_likelihood_by_their_size() {
        let mut grid = Grid::new(1.0);
        (grid.odds[0], grid.ln[0]) = (3.0, 3f64.ln());
        let mut clumps = Clumps::new(1, 1.0);
        clumps.add(&grid, 1.0, split((50, 1), (50, 1)));
        near(clumps.ln_sizes[0], 0.75f64.ln());
        // By their size: each bet to the power of a tenth.
        let mut large = Clumps::new(1, 10.0);
        large.add(&grid, 1.0, split((50, 9), (50, 1)));
        let of: f64 = (large.ln_sizes.iter().zip(grid.stakes))
            .map(|(ln, stake)| stake * (ln / 10.0).exp())
            .sum();
        near(large.ln_sizes(&grid), of.ln());
        assert_eq!(
            large.together(),
            Together {
                minutes: 1,
                hits: 10.0
            }
        );
    }

    #[test]
    fn stakes_sum_to_one() {
        near(STAKES.iter().sum(), 1.0);
    }

    /// Whatever clumps of at most four hits green gets by chance, the average of the e-value by clumps is at most 1:
    /// all cases of three clumps, each of which comes to green with the chance of its share.
    #[test]
    fn clumps_within_their_size_are_worth_at_most_one_on_average() {
        let grid = Grid::new(1.0);
        for sizes in [[4, 4, 4], [1, 2, 4], [1, 1, 1]] {
            for share in [0.1, 0.5, 0.9] {
                let mean: f64 = (0..8)
                    .map(|case: u32| {
                        let (mut chance, mut on_green, mut on_blue) = (1.0, 0, 0);
                        for (at, size) in sizes.iter().enumerate() {
                            if case >> at & 1 == 1 {
                                chance *= share;
                                on_green += size;
                            } else {
                                chance *= 1.0 - share;
                                on_blue += size;
                            }
                        }
                        let green = (1000.0 * share) as u64;
                        let mut clumps = Clumps::new(1, 4.0);
                        let minute = split((green, on_green), (1000 - green, on_blue));
                        clumps.add(&grid, 1.0, minute);
                        chance * clumps.ln_sizes(&grid).exp()
                    })
                    .sum();
                assert!(mean <= 1.0 + 1e-9, "{sizes:?} {share}: {mean}");
            }
        }
    }
}
