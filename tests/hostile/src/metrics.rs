//! What CloudWatch counts.

use std::ops::Range;

use aws_sdk_cloudwatch::{
    primitives::DateTime,
    types::{MetricDataResult, StatusCode},
};
use crossfade::{
    aws::metrics::{minutes_of, past_of},
    domain::analysis::series::{Counted, Counting, OwnNames, Publisher, dimensions},
};

const MINUTE: i64 = 60;
/// A whole day, in epoch seconds.
const DAY: i64 = 1_789_948_800;

/// Bytes, taken from the front.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn eight(&mut self) -> [u8; 8] {
        std::array::from_fn(|_| self.byte())
    }

    /// A moment: most within or near what was asked for, some anywhere.
    fn moment(&mut self) -> i64 {
        match self.byte() {
            255 => i64::from_le_bytes(self.eight()),
            nth => DAY + MINUTE * (i64::from(nth) - 4),
        }
    }

    /// A count: most are small and whole, some anything that a double can be.
    fn value(&mut self) -> f64 {
        match self.byte() {
            255 => f64::from_le_bytes(self.eight()),
            254 => f64::NAN,
            253 => f64::INFINITY,
            252 => -1.0,
            251 => u32::MAX.into(),
            small => f64::from(small) / 2.0,
        }
    }

    fn answer(&mut self) -> MetricDataResult {
        let id = match self.byte() {
            255 => "t18446744073709551615k18446744073709551615".to_owned(),
            254 => "t-1k+1".to_owned(),
            253 => "é".to_owned(),
            of => format!("t{}k{}", of & 3, of >> 2),
        };
        let status = match self.byte() {
            255 => StatusCode::InternalError,
            254 => StatusCode::from("Odd"),
            253 => StatusCode::PartialData,
            _ => StatusCode::Complete,
        };
        let points = self.byte() & 15;
        let mut answer = MetricDataResult::builder().id(id).status_code(status);
        for _ in 0..points {
            answer = answer.timestamps(DateTime::from_secs(self.moment()));
            // One more or fewer than there are moments.
            if self.byte() != 255 {
                answer = answer.values(self.value());
            }
        }
        answer.build()
    }
}

fn counted(publisher: Publisher, blue: bool) -> Counted {
    let dimensions = || dimensions([("FunctionName", "chat".to_owned())]);
    Counted {
        name: "chat".to_owned(),
        publisher,
        blue: blue.then(dimensions),
        green: dimensions(),
        past: blue.then(dimensions),
    }
}

/// Answers of `GetMetricData`, in a form of their own: see `Bytes::answer`.
///
/// # Panics
/// When more failed than was asked, minutes are not in order, or some are of another time.
pub fn metrics(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let counted = [
        counted(Publisher::Function, true),
        counted(Publisher::LoadBalancer, true),
        counted(Publisher::RestApi, false),
        counted(
            Publisher::Own(OwnNames {
                namespace: "Chat".to_owned(),
                all: "Requests".to_owned(),
                bad: "Failures".to_owned(),
            }),
            true,
        ),
    ];
    let counted: Vec<_> = counted.iter().collect();
    let mut answers = Vec::new();
    while !bytes.0.is_empty() {
        answers.push(bytes.answer());
    }
    let within = DAY..DAY + 200 * MINUTE;
    match minutes_of(&counted, &answers, within.clone()) {
        Err(error) => crate::has_a_stable_name(&error),
        Ok(series) => {
            assert_eq!(series.len(), counted.len());
            for Counting { minutes, .. } in series {
                assert!(minutes.is_sorted_by(|one, next| one.start < next.start));
                for minute in minutes {
                    assert!(within.contains(&minute.start), "{minute:?}");
                    for counts in [minute.blue, minute.green] {
                        assert!(counts.errors <= counts.invocations, "{minute:?}");
                    }
                    judged(minute);
                }
            }
        }
    }
    let before = DAY - 6 * 86_400..DAY;
    past(&counted, &answers, within, before);
}

/// What was counted survives being carried between states.
fn judged(minute: crossfade::domain::analysis::counts::Minute) {
    let written = serde_json::to_value(minute).expect("it can be written");
    let read: crossfade::domain::analysis::counts::Minute =
        serde_json::from_value(written).expect("it can be read");
    assert_eq!(read, minute);
}

fn past(counted: &[&Counted], answers: &[MetricDataResult], day: Range<i64>, before: Range<i64>) {
    match past_of(counted, true, (answers, day), (answers, before)) {
        Err(error) => crate::has_a_stable_name(&error),
        Ok(all) => {
            assert_eq!(all.len(), counted.len());
            for (of, past) in counted.iter().zip(all) {
                assert_eq!(past.is_some(), of.past.is_some());
                let Some(past) = past else { continue };
                for share in [Some(past.errors), past.slow].into_iter().flatten() {
                    assert!(share.hits <= share.requests, "{share:?}");
                    assert!(
                        share.highest_rate.is_finite() && share.together.is_finite(),
                        "{share:?}"
                    );
                }
            }
        }
    }
}
