//! One tick of the judge: 50 functions, 24 hours of minutes, 1,000 requests a minute, 1 % errors.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use crossfade::domain::analysis::counts::{BluePast, Counts, FunctionSeries, Minute, PastShare};
use crossfade::domain::analysis::judge::{Judging, Tally, Watch, conclude, judge};
use rand::SeedableRng;
use rand_distr::{Binomial, Distribution};
use rand_xoshiro::Xoshiro256PlusPlus;

const DAY: i64 = 1440;

fn functions(weight: f64) -> Vec<FunctionSeries> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut draw = |n: u64, p: f64| Binomial::new(n, p).map_or(0, |d| d.sample(&mut rng));
    let past = PastShare {
        requests: 10_000_000,
        hits: 100_000,
        highest_rate: 0.012,
        ..PastShare::default()
    };
    (0..50)
        .map(|i| FunctionSeries {
            function: format!("function-{i}"),
            minutes: (0..DAY)
                .map(|t| {
                    let green = draw(1000, weight);
                    let mut counts = |n| Counts {
                        invocations: n,
                        errors: draw(n, 0.01),
                        slow: draw(n, 0.02),
                        throttles: 0,
                    };
                    Minute {
                        start: 60 * t,
                        blue: counts(1000 - green),
                        green: counts(green),
                        green_p99_ms: Some(900),
                    }
                })
                .collect(),
            is_new: false,
            past: Some(BluePast {
                errors: past,
                slow: Some(past),
            }),
        })
        .collect()
}

fn ticks(c: &mut Criterion) {
    let watch = Watch {
        from: 0,
        through: 60 * (DAY - 1),
    };
    for (name, weight) in [("10 %", 0.1), ("50 %", 0.5)] {
        let functions = functions(weight);
        let errors = Judging::default();
        c.bench_function(&format!("a day of 50 functions, errors, {name}"), |b| {
            b.iter(|| judge(&errors, black_box(&functions), watch));
        });
        let both = Judging {
            slower_than_ms: Some(6000),
            ..errors
        };
        c.bench_function(
            &format!("a day of 50 functions, errors and slow, {name}"),
            |b| {
                b.iter(|| judge(&both, black_box(&functions), watch));
            },
        );
    }
    let functions = functions(0.1);
    let judging = Judging::default();
    let kept: Vec<(&str, Tally)> = functions
        .iter()
        .map(|f| (f.function.as_str(), Tally::of(&judging, f, watch)))
        .collect();
    c.bench_function("one more minute of 50 functions, sums kept", |b| {
        b.iter(|| {
            let mut kept = kept.clone();
            for ((_, tally), series) in kept.iter_mut().zip(&functions) {
                tally.add(&series.minutes[0], true);
            }
            conclude(&judging, &kept, watch)
        });
    });
}

criterion_group! { name = benches; config = Criterion::default().sample_size(50); targets = ticks }
criterion_main!(benches);
