//! Users: a steady stream of requests, through an alias, a stage, a record or a load balancer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_sdk_lambda::{
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    primitives::Blob,
};
use serde_json::json;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::MissedTickBehavior,
};

use crate::{LocalAws, Target};

/// The most requests that are on their way at the same time.
const MOST_AT_ONCE: usize = 24;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// When it was sent, since the traffic began.
    pub sent: Duration,
    /// How long the answer took.
    pub took: Duration,
    /// The version that ran; none when Lambda refused or did not answer.
    pub version: Option<String>,
    /// Whether the function failed, or none ran.
    pub failed: bool,
}

/// Requests and errors of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many requests it served.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
}

/// What users met.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Every request, in the order of the answers.
    pub requests: Vec<Request>,
    /// Sums by version; those that no version served are under the empty one.
    pub by_version: BTreeMap<String, Tally>,
}

impl Counts {
    fn add(&mut self, request: Request) {
        let version = request.version.clone().unwrap_or_default();
        let tally = self.by_version.entry(version).or_default();
        tally.requests += 1;
        tally.errors += u64::from(request.failed);
        self.requests.push(request);
    }

    /// What a version did.
    #[must_use]
    pub fn of(&self, version: &str) -> Tally {
        self.by_version.get(version).copied().unwrap_or_default()
    }

    /// What all did.
    #[must_use]
    pub fn total(&self) -> Tally {
        let sum = |of: fn(&Tally) -> u64| self.by_version.values().map(of).sum();
        Tally {
            requests: sum(|tally| tally.requests),
            errors: sum(|tally| tally.errors),
        }
    }

    /// Sums by version for each `slot` of time since the traffic began.
    #[must_use]
    pub fn series(&self, slot: Duration) -> Vec<BTreeMap<String, Tally>> {
        let mut series: Vec<BTreeMap<String, Tally>> = Vec::new();
        for request in &self.requests {
            let nth = usize::try_from(request.sent.as_millis() / slot.as_millis().max(1))
                .expect("no test takes so long");
            if series.len() <= nth {
                series.resize_with(nth + 1, BTreeMap::new);
            }
            let version = request.version.clone().unwrap_or_default();
            let tally = series[nth].entry(version).or_default();
            tally.requests += 1;
            tally.errors += u64::from(request.failed);
        }
        series
    }
}

/// Traffic until it is stopped, or dropped.
#[derive(Debug)]
pub struct Traffic {
    counts: Arc<Mutex<Counts>>,
    stop: watch::Sender<bool>,
    generator: Option<JoinHandle<()>>,
    began: Instant,
    /// The same by the wall clock, seconds since 1970.
    began_at: f64,
}

/// What requests to one function met, kept for the checks at a test's end, when the traffic may have stopped.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Who sends the requests, such as `users` or `a sticky client of it-chat-green`.
    pub who: String,
    /// The function behind what they are sent to.
    pub function: String,
    counts: Arc<Mutex<Counts>>,
    began_at: f64,
}

/// An answer by a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// When the answer was there, seconds since 1970.
    pub at: f64,
    /// The version that ran.
    pub version: String,
}

impl Witness {
    /// The answers so far that a version gave.
    #[must_use]
    pub fn answers(&self) -> Vec<Answered> {
        let counts = lock(&self.counts);
        let answers = counts.requests.iter().filter_map(|request| {
            Some(Answered {
                at: self.began_at + (request.sent + request.took).as_secs_f64(),
                version: request.version.clone()?,
            })
        });
        answers.collect()
    }
}

/// What one request met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// The version that ran, or whatever else served; none when nothing did.
    pub version: Option<String>,
    /// Whether it failed, or nothing answered.
    pub failed: bool,
}

impl Traffic {
    /// Begins to send `per_second` requests to the alias, one after the other at even distances.
    #[must_use]
    pub fn start(local: &LocalAws, target: &Target, alias: &str, per_second: f64) -> Self {
        // Users do not repeat what failed, or it would not be seen.
        let config = local
            .config()
            .into_builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_timeout(Duration::from_secs(30))
                    .build(),
            )
            .build();
        let client = aws_sdk_lambda::Client::new(&config);
        let (name, alias) = (target.name.clone(), alias.to_owned());
        Self::through(per_second, move || {
            let request = client
                .invoke()
                .function_name(&name)
                .qualifier(&alias)
                .payload(Blob::new(json!({"path": "/"}).to_string()));
            async move {
                match request.send().await {
                    Ok(done) => Met {
                        version: done.executed_version,
                        failed: done.function_error.is_some(),
                    },
                    Err(_) => Met {
                        version: None,
                        failed: true,
                    },
                }
            }
        })
    }

    /// Begins to send `per_second` requests in any other way.
    #[must_use]
    pub fn through<F>(per_second: f64, send: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Met> + Send + 'static,
    {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let (stop, mut stopped) = watch::channel(false);
        let began = Instant::now();
        let began_at = SystemTime::now().duration_since(UNIX_EPOCH);
        let began_at = began_at.map_or(0.0, |since| since.as_secs_f64());
        let seen = Arc::clone(&counts);
        let generator = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let room = Arc::new(Semaphore::new(MOST_AT_ONCE));
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = stopped.changed() => break,
                }
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                    break;
                };
                let answer = send();
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let sent = began.elapsed();
                    let Met { version, failed } = answer.await;
                    let took = began.elapsed().saturating_sub(sent);
                    lock(&seen).add(Request {
                        sent,
                        took,
                        version,
                        failed,
                    });
                    drop(permit);
                });
            }
            // Every answer is waited for, so that the counts are whole.
            let most = u32::try_from(MOST_AT_ONCE).expect("it is small");
            let _ = room.acquire_many(most).await;
        });
        Self {
            counts,
            stop,
            generator: Some(generator),
            began,
            began_at,
        }
    }

    /// Keeps what its requests meet, also after it has stopped.
    #[must_use]
    pub fn witness(&self, who: &str, function: &str) -> Witness {
        Witness {
            who: who.to_owned(),
            function: function.to_owned(),
            counts: Arc::clone(&self.counts),
            began_at: self.began_at,
        }
    }

    /// What users have met so far.
    #[must_use]
    pub fn so_far(&self) -> Counts {
        lock(&self.counts).clone()
    }

    /// When it began: what the series counts from.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Stops, waits for the answers that are outstanding, and says what users met.
    pub async fn stop(mut self) -> Counts {
        let _ = self.stop.send(true);
        if let Some(generator) = self.generator.take() {
            generator.await.expect("the generator does not panic");
        }
        self.so_far()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

fn lock(counts: &Mutex<Counts>) -> std::sync::MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
