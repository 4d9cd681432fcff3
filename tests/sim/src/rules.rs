//! The peers' rules, as their sources state them.

use crossfade::domain::analysis::counts::{Counts, Minute};

use super::world::STEP_ENDS;

/// A rule looks at the end of minute `now`; `seen` are the minutes that can be read by then.
pub type Rule = fn(now: usize, seen: &[Minute]) -> bool;

pub const PEERS: [(&str, Rule); 6] = [
    ("any error", any_error),
    ("alarm 1% 1/1", alarm_one),
    ("alarm 5% 2/2", alarm_five),
    ("flagger", flagger),
    ("step 5%", step_rate),
    ("kayenta", kayenta),
];

fn rate(c: &Counts) -> f64 {
    c.errors as f64 / c.invocations as f64
}

/// The minutes of the present step that can be read.
fn this_step(now: usize, seen: &[Minute]) -> &[Minute] {
    let start = STEP_ENDS
        .iter()
        .rev()
        .find(|&&e| e < now)
        .map_or(0, |e| e + 1);
    seen.get(start..).unwrap_or_default()
}

/// awslabs/aws-lambda-deploy: at the end of a step, any error in the last 60 seconds; no data passes.
fn any_error(now: usize, seen: &[Minute]) -> bool {
    STEP_ENDS.contains(&now) && seen.get(now).is_some_and(|m| m.green.errors > 0)
}

/// `CodeDeploy` with an alarm: error rate over 1 % in one minute, 1 of 1 datapoints.
fn alarm_one(_: usize, seen: &[Minute]) -> bool {
    seen.last().is_some_and(|m| rate(&m.green) > 0.01)
}

/// `CodeDeploy` with an alarm: over 5 %, 2 of 2 datapoints.
fn alarm_five(_: usize, seen: &[Minute]) -> bool {
    seen.len() > 1 && seen[seen.len() - 2..].iter().all(|m| rate(&m.green) > 0.05)
}

/// Flagger: success rate at least 99 %, five failed checks in all; no data is a failed check.
fn flagger(now: usize, seen: &[Minute]) -> bool {
    let unseen = now + 1 - seen.len();
    let failed = seen
        .iter()
        .filter(|m| m.green.invocations == 0 || rate(&m.green) > 0.01)
        .count();
    unseen + failed >= 5
}

/// "Error rate over 5 % at the end of the step", over the whole step.
fn step_rate(now: usize, seen: &[Minute]) -> bool {
    let all = this_step(now, seen)
        .iter()
        .fold(Counts::default(), |a, m| a.plus(m.green));
    STEP_ENDS.contains(&now) && rate(&all) > 0.05
}

/// Kayenta: Mann-Whitney on the minutes' error rates so far, at the end of each step; confidence 0.98,
/// tolerance 0.25 of the Hodges-Lehmann estimate, direction increase, at least five minutes a side.
fn kayenta(now: usize, seen: &[Minute]) -> bool {
    if !STEP_ENDS.contains(&now) {
        return false;
    }
    let rates = |of: fn(&Minute) -> Counts| -> Vec<f64> {
        seen.iter()
            .map(of)
            .filter(|c| c.invocations > 0)
            .map(|c| rate(&c))
            .collect()
    };
    let (green, blue) = (rates(|m| m.green), rates(|m| m.blue));
    if green.len() < 5 || blue.len() < 5 {
        return false;
    }
    let mut differences: Vec<f64> = green
        .iter()
        .flat_map(|g| blue.iter().map(move |b| g - b))
        .collect();
    differences.sort_unstable_by(f64::total_cmp);
    let middle = differences.len() / 2;
    let estimate = if differences.len() % 2 == 1 {
        differences[middle]
    } else {
        f64::midpoint(differences[middle - 1], differences[middle])
    };
    let bound = 0.25 * estimate.abs();
    // The lower end of the interval is where z falls to 2.326, or the least difference when z never gets there.
    let least = differences[0];
    if z(&green, &blue, least) <= 2.326 {
        least > bound
    } else {
        z(&green, &blue, bound) > 2.326
    }
}

/// The normal score of the rank sum of `green - shift` against `blue`, with ties and continuity corrected.
fn z(green: &[f64], blue: &[f64], shift: f64) -> f64 {
    let (m, n) = (green.len() as f64, blue.len() as f64);
    let mut u = 0.0;
    for g in green {
        for b in blue {
            let d = g - shift - b;
            u += if d.abs() < 1e-12 {
                0.5
            } else if d > 0.0 {
                1.0
            } else {
                0.0
            };
        }
    }
    let mut all: Vec<f64> = green
        .iter()
        .map(|g| g - shift)
        .chain(blue.iter().copied())
        .collect();
    all.sort_unstable_by(f64::total_cmp);
    let ties: f64 = all
        .chunk_by(|a, b| (a - b).abs() < 1e-12)
        .map(|c| (c.len() as f64).powi(3) - c.len() as f64)
        .sum();
    let total = m + n;
    let sigma = (m * n / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)))).sqrt();
    let centred = u - m * n / 2.0;
    if sigma == 0.0 {
        0.0
    } else {
        (centred - 0.5 * centred.signum()) / sigma
    }
}

/// Knows the chance of a hit on blue and on green in every minute, and only waits for evidence: Wald's
/// sequential test of two known rates at risk `alpha`, looked at as each minute ends. Returns when it stops.
pub fn clairvoyant(seen: &[(Minute, (f64, f64))], alpha: f64) -> Option<usize> {
    let mut evidence = 0.0;
    seen.iter().position(|(minute, (blue, green))| {
        let (blue, green) = (blue.clamp(1e-9, 1.0 - 1e-9), green.clamp(1e-9, 1.0 - 1e-9));
        let hits = (minute.green.errors + minute.green.slow) as f64;
        let passed = minute.green.invocations as f64 - hits;
        evidence += hits * (green / blue).ln() + passed * ((1.0 - green) / (1.0 - blue)).ln();
        evidence >= -alpha.ln()
    })
}
