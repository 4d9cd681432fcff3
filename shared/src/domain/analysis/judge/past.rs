//! Blue's past: the rate that green may be held to, and whether its hits come together.
//!
//! Neither may depend on a bad hour, on the rhythm of a day, or on a weekend. So both are asked hour by hour,
//! and of the hours the highest few do not count: an incident of an hour touches two of the clock's.

use crate::domain::analysis::counts::PastShare;

/// The hours of a day that do not count, and one more for so many hours.
const BAD_HOURS: usize = 2;
const HOURS_FOR_ONE_MORE: usize = 48;
/// A part of the past has at least so many hits on average, and at most so many hours.
const HITS_OF_A_PART: f64 = 16.0;
const LONGEST_PART: usize = 8;
/// Blue's rate is never put lower than so many hits in all of its past.
const LEAST_HITS: f64 = 3.0;
/// The minutes of the blocks between which lasting hits are looked for, and kept as one in the release.
pub(super) const LASTING_MINUTES: usize = 5;
/// An hour whose hits vary so many times as much as hits that come one by one shows bursts: the highest of a
/// day of such hits is over it once in two hundred days.
const BURSTS: f64 = 2.3;
/// The same of blocks, of which an hour has fewer.
const LASTING_BURSTS: f64 = 4.5;
/// The same of the average over all hours that count: four standard errors.
const USUAL_BURSTS: f64 = 1.2;
const USUAL_LASTING_BURSTS: f64 = 1.7;
/// Hits last where blocks vary so many times as much as single minutes.
const LASTS: f64 = 1.5;
/// Hits that come together are taken for so many times the unevenness: that of hits in clumps of any size is
/// the size of the clump in which an average hit comes, and an exponential tail is within twice of it.
const OF_UNEVENNESS: f64 = 2.0;

impl PastShare {
    /// Sums up blue's past: consecutive minutes as (requests, hits), oldest first, at best a day of
    /// them, and the hours before that.
    #[must_use]
    pub fn from_minutes(minutes: &[(u64, u64)], earlier: &[(u64, u64)]) -> Self {
        let hours: Vec<_> = earlier
            .iter()
            .copied()
            .chain(minutes.chunks(60).map(|hour| hour.iter().fold((0, 0), sum)))
            .collect();
        let (requests, hits) = hours.iter().fold((0, 0), sum);
        let (together_minutes, together) = together(minutes);
        Self {
            requests,
            hits,
            highest_rate: highest_rate(&hours, requests, hits),
            together_minutes,
            together,
        }
    }
}

fn sum(total: (u64, u64), one: &(u64, u64)) -> (u64, u64) {
    (
        total.0.saturating_add(one.0),
        total.1.saturating_add(one.1.min(one.0)),
    )
}

/// The rate of blue's worst part but the few that do not count, and never under the rate of all.
fn highest_rate(hours: &[(u64, u64)], requests: u64, hits: u64) -> f64 {
    if requests == 0 {
        return 1.0;
    }
    let each = hits as f64 / hours.len() as f64;
    let long = (HITS_OF_A_PART / each.max(1e-9)).ceil() as usize;
    let long = long.clamp(1, LONGEST_PART);
    // A part with hardly any request says nothing of the rate.
    let least = requests as f64 / hours.len() as f64 * long as f64 / 10.0;
    let mut rates: Vec<f64> = hours
        .chunks(long)
        .map(|part| part.iter().fold((0, 0), sum))
        .filter(|part| part.0 as f64 >= least)
        .map(|part| part.1 as f64 / part.0 as f64)
        .collect();
    rates.sort_unstable_by(|a, b| b.total_cmp(a));
    let left_out = BAD_HOURS + hours.len() / HOURS_FOR_ONE_MORE;
    let highest = rates.get(left_out).copied().unwrap_or(0.0);
    let hits = hits as f64;
    let all = (hits + hits.sqrt()).max(LEAST_HITS) / requests as f64;
    highest.max(all).min(1.0)
}

/// `(minutes, hits)`: how long and how large the clumps are that hits come in; `(0, 1.0)` where each comes by
/// itself.
fn together(minutes: &[(u64, u64)]) -> (u32, f64) {
    taken_for(unevenness(minutes, 1), unevenness(minutes, LASTING_MINUTES))
}

/// The same by the highest and the usual unevenness of minutes, and of blocks.
fn taken_for((highest, usual): (f64, f64), (highest_block, usual_block): (f64, f64)) -> (u32, f64) {
    let lasts = highest_block >= LASTING_BURSTS.max(LASTS * highest)
        || usual_block >= USUAL_LASTING_BURSTS.max(LASTS * usual);
    if lasts {
        (LASTING_MINUTES as u32, OF_UNEVENNESS * highest_block)
    } else if highest >= BURSTS || usual >= USUAL_BURSTS {
        (1, OF_UNEVENNESS * highest)
    } else {
        (0, 1.0)
    }
}

/// How many times more the hits of a block vary than if each came by itself: in the highest hour that counts,
/// and over all hours but the highest.
///
/// Of three blocks in a row, the middle one's hits less what the outer two make expect: whatever the level is,
/// and however it rises or falls, this is 0 on average, and its variance that of Poisson counts if hits
/// come one by one. Per hour, the sum of its squares over the sum of these variances.
pub(super) fn unevenness(minutes: &[(u64, u64)], block: usize) -> (f64, f64) {
    let hours = minutes.chunks(60).map(|hour| {
        let blocks: Vec<_> = hour
            .chunks_exact(block)
            .map(|block| block.iter().fold((0, 0), sum))
            .collect();
        let threes = blocks.windows(3).map(|three| {
            let [a, b, c] = [three[0], three[1], three[2]].map(|(n, h)| (n as f64, h as f64));
            let (around, all) = (a.0 + c.0, a.0 + b.0 + c.0);
            if around <= 0.0 {
                return (0.0, 0.0);
            }
            let over = b.1 - b.0 * (a.1 + c.1) / around;
            let rate = (a.1 + b.1 + c.1) / all;
            (over * over, rate * b.0 * (1.0 + b.0 / around))
        });
        threes.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    let mut hours: Vec<f64> = hours
        .filter(|(_, expected)| *expected > 0.0)
        .map(|(squares, expected)| squares / expected)
        .collect();
    hours.sort_unstable_by(|a, b| b.total_cmp(a));
    let count = minutes.len().div_ceil(60);
    let rest = hours.get(BAD_HOURS.min(count / 8)..).unwrap_or_default();
    let usual = rest.iter().sum::<f64>() / rest.len().max(1) as f64;
    (rest.first().copied().unwrap_or(0.0), usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{a} is not {b}");
    }

    /// A day of minutes of a thousand requests, with these hits over and over.
    fn day(hits: &[u64]) -> Vec<(u64, u64)> {
        (0..1440).map(|t| (1000, hits[t % hits.len()])).collect()
    }

    /// A day of ten hits in a thousand requests, but for some minutes.
    fn but(at: &[usize], hits: u64) -> Vec<(u64, u64)> {
        let mut minutes = day(&[10, 12, 9, 10, 8, 11, 9, 11]);
        for minute in at {
            minutes[*minute].1 = hits;
        }
        minutes
    }

    fn found(minutes: &[(u64, u64)]) -> (u32, f64) {
        let past = PastShare::from_minutes(minutes, &[]);
        (past.together_minutes, past.together)
    }

    /// By hand, 0 10 0 10: the middle of three is 10 more, or less, than the mean of its neighbours. Its square is 100;
    /// of Poisson counts at (0 + 10 + 0) / 3 or (10 + 0 + 10) / 3 a minute it would be 1.5 times these, on average 7.5.
    #[test]
    fn unevenness_by_hand() {
        let (highest, usual) = unevenness(&day(&[0, 10]), 1);
        near(highest, 100.0 / 7.5);
        near(usual, 100.0 / 7.5);
        // Pairs of minutes are all alike.
        assert_eq!(unevenness(&day(&[0, 10]), 2), (0.0, 0.0));
        // Levels that rise evenly are not uneven, and neither is traffic that does.
        let rise: Vec<_> = (0..1440).map(|t| (1000, t)).collect();
        near(unevenness(&rise, 1).0, 0.0);
        let traffic: Vec<_> = (0..1440).map(|t| (100 * t, t)).collect();
        near(unevenness(&traffic, 5).0, 0.0);
        assert_eq!(unevenness(&day(&[0]), 1), (0.0, 0.0));
    }

    /// Twice of what the third highest hour shows: 1.5 x 90^2 over 58 variances of 15.
    #[test]
    fn bursts_in_three_hours_of_a_day_come_together_and_in_two_they_do_not() {
        assert_eq!(found(&but(&[], 0)), (0, 1.0));
        assert_eq!(found(&but(&[100, 500], 100)), (0, 1.0));
        let (minutes, hits) = found(&but(&[100, 500, 930], 100));
        assert_eq!(minutes, 1);
        assert!((20.0..40.0).contains(&hits), "{hits}");
    }

    #[test]
    fn hits_come_together_from_each_border_on() {
        const NONE: (f64, f64) = (1.0, 1.0);
        for (minutes, blocks, wanted) in [
            (NONE, NONE, (0, 1.0)),
            ((2.29, 1.19), NONE, (0, 1.0)),
            ((2.3, 1.0), NONE, (1, 4.6)),
            ((1.0, 1.2), NONE, (1, 2.0)),
            (NONE, (4.49, 1.69), (0, 1.0)),
            (NONE, (4.5, 1.0), (5, 9.0)),
            (NONE, (1.0, 1.7), (5, 2.0)),
            // Blocks have to vary half as much again as minutes.
            ((4.0, 1.0), (5.9, 1.0), (1, 8.0)),
            ((4.0, 1.0), (6.0, 1.0), (5, 12.0)),
            ((1.0, 1.2), (1.0, 1.79), (1, 2.0)),
            ((1.0, 1.2), (1.0, 1.8), (5, 2.0)),
        ] {
            assert_eq!(taken_for(minutes, blocks), wanted, "{minutes:?} {blocks:?}");
        }
    }

    /// One in eight, and two at the most.
    #[test]
    fn of_few_hours_fewer_do_not_count() {
        let of = |hours: usize, at: &[usize]| found(&but(at, 100)[..60 * hours]);
        assert_eq!(of(7, &[]).0, 0);
        assert_eq!(of(7, &[100]).0, 1);
        assert_eq!(of(8, &[100]).0, 0);
        assert_eq!(of(15, &[100, 200]).0, 1);
        assert_eq!(of(16, &[100, 200]).0, 0);
        assert_eq!(of(24, &[100, 200, 300]).0, 1);
    }

    /// By hand: 12,000 requests in twelve hours, so that a hundred are a tenth of an hour's.
    #[test]
    fn an_hour_with_a_tenth_of_the_usual_requests_counts() {
        let mut hours = vec![(1300, 13); 12];
        hours[3..6].fill((100, 100));
        near(PastShare::from_minutes(&[], &hours).highest_rate, 1.0);
        hours[3..6].fill((99, 99));
        assert!(PastShare::from_minutes(&[], &hours).highest_rate < 0.04);
        // With eight hits an hour two are a part, and a tenth of two hours is asked of it.
        let mut hours = vec![(1000, 8); 24];
        hours[6..12].fill((100, 8));
        near(PastShare::from_minutes(&[], &hours).highest_rate, 0.08);
        hours[6..12].fill((50, 8));
        assert!(PastShare::from_minutes(&[], &hours).highest_rate < 0.02);
    }

    #[test]
    fn small_bursts_come_together_where_they_are_usual() {
        let mut minutes = day(&[0]);
        // Each by itself; every seventh has a clump of eleven.
        let mut seed = 1u64;
        for (at, minute) in minutes.iter_mut().enumerate() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let noise = (0..32).filter(|bit| seed >> (bit + 20) & 1 == 1).count() as u64;
            // Of half the variance of Poisson counts.
            minute.1 = noise + if at % 7 == 3 { 11 } else { 0 };
        }
        let (highest, usual) = unevenness(&minutes, 1);
        assert!((USUAL_BURSTS..BURSTS).contains(&usual), "{usual} {highest}");
        assert_eq!(found(&minutes).0, 1);
    }

    #[test]
    fn hits_that_last_make_long_blocks() {
        // Five minutes of a hundred, every half an hour.
        let spells: Vec<_> = (0..1440)
            .map(|t| (1000, if t % 30 < 5 { 100 } else { 5 }))
            .collect();
        let (minutes, hits) = found(&spells);
        assert_eq!(minutes, 5);
        assert!(hits > 100.0, "{hits}");
    }

    /// An hour of 30 % errors begins and ends in two of the clock's.
    #[test]
    fn neither_an_incident_nor_a_rhythm_is_a_burst_and_neither_sets_the_rate() {
        let mut incident = but(&[], 0);
        for minute in &mut incident[700..760] {
            minute.1 = 300;
        }
        let past = PastShare::from_minutes(&incident, &[]);
        assert_eq!((past.together_minutes, past.together), (0, 1.0));
        assert!(past.highest_rate < 0.025, "{}", past.highest_rate);
        let rhythm: Vec<_> = (0..1440)
            .map(|t| {
                let wave = (std::f64::consts::TAU * f64::from(t) / 1440.0).sin();
                (100_000, (1000.0 * 3f64.powf(wave)) as u64)
            })
            .collect();
        let past = PastShare::from_minutes(&rhythm, &[]);
        assert_eq!(past.together_minutes, 0);
        assert!((0.025..0.03).contains(&past.highest_rate), "{past:?}");
    }

    #[test]
    fn rate_is_that_of_the_worst_hour_but_a_few() {
        // A week of 1 % in which some hours have 5 %.
        let week = |bad: usize| {
            let hours: Vec<_> = (0..168)
                .map(|h| (6000, if h < bad { 300 } else { 60 }))
                .collect();
            PastShare::from_minutes(&[], &hours).highest_rate
        };
        // Two, and one more for 48 hours: 5 of 168.
        near(week(6), 0.05);
        assert!(week(5) < 0.012 && week(5) > 0.01, "{}", week(5));
        // Hours with hardly any request say nothing.
        let mut hours = vec![(6000, 60); 168];
        for hour in &mut hours[..20] {
            *hour = (500, 100);
        }
        assert!(PastShare::from_minutes(&[], &hours).highest_rate < 0.03);
        for hour in &mut hours[..20] {
            *hour = (600, 100);
        }
        near(
            PastShare::from_minutes(&[], &hours).highest_rate,
            100.0 / 600.0,
        );
    }

    #[test]
    fn rate_is_never_under_that_of_all_and_three_hits() {
        near(PastShare::from_minutes(&[], &[]).highest_rate, 1.0);
        let none = PastShare::from_minutes(&[(1000, 0); 60], &[]);
        near(none.highest_rate, 3.0 / 60_000.0);
        // Few hits: 100 and their root, of 168 hours taken together by eight.
        let mut hours = vec![(6000, 0); 168];
        hours[3].1 = 100;
        near(
            PastShare::from_minutes(&[], &hours).highest_rate,
            110.0 / 1_008_000.0,
        );
    }

    /// Sixteen hits in a part: with two an hour these are eight hours, whose worst but a few has all of its hits.
    #[test]
    fn rare_hits_are_taken_together_over_hours() {
        let hours: Vec<_> = (0..168)
            .map(|h| (1000, if h % 8 == 0 { 16 } else { 0 }))
            .collect();
        let rate = PastShare::from_minutes(&[], &hours).highest_rate;
        near(rate, (336.0 + 336f64.sqrt()) / 168_000.0);
        let often: Vec<_> = (0..168)
            .map(|h| (1000, if h % 8 == 0 { 160 } else { 0 }))
            .collect();
        near(PastShare::from_minutes(&[], &often).highest_rate, 0.16);
    }

    #[test]
    fn hits_are_never_more_than_requests_and_are_summed() {
        let past = PastShare::from_minutes(&[(10, 50)], &[(1, 5)]);
        assert_eq!((past.requests, past.hits), (11, 11));
        near(past.highest_rate, 1.0);
    }
}
