//! A function whose versions behave as they are told: healthy, failing, slow or crashing.
//!
//! How is in `behaviour.json` beside the binary, so that one build makes any number of versions.

mod behaviour;

use std::env;
use std::process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use behaviour::Behaviour;
use lambda_runtime::{
    Diagnostic, Error, FunctionResponse, LambdaEvent, MetadataPrelude, StreamResponse, service_fn,
    streaming::Body,
};
use serde_json::{Value, json};

/// What a failing version answers: a function error, so Lambda counts it in `Errors`.
#[derive(Debug)]
struct ToldToFail {
    version: String,
}

impl ToldToFail {
    /// Writes what Python's runtime writes of an error that a handler raises.
    fn log(&self) {
        let message = format!("version {} was told to fail", self.version);
        if env::var("AWS_LAMBDA_LOG_FORMAT").is_ok_and(|format| format == "JSON") {
            let line = json!({"timestamp": "2026-01-01T00:00:00Z", "log_level": "ERROR",
                "errorMessage": message, "errorType": "ToldToFail", "stackTrace": []});
            println!("{line}");
        } else {
            println!("[ERROR] ToldToFail: {message}");
        }
    }
}

impl From<ToldToFail> for Diagnostic {
    fn from(error: ToldToFail) -> Self {
        Self {
            error_type: "ToldToFail".into(),
            error_message: format!("version {} was told to fail", error.version),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let behaviour = Behaviour::read()?;
    // Initialisation is what happens before the runtime asks for its first event.
    tokio::time::sleep(Duration::from_millis(behaviour.init_ms)).await;
    let behaviour = &behaviour;
    let mut seed = seed();
    let mut nth = 0;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let roll = Roll {
            fails: percent(&mut seed),
            slow: percent(&mut seed),
            nth,
        };
        nth += 1;
        answer(behaviour, event.payload, roll)
    }))
    .await
}

/// Two random numbers from 0 to 100, drawn before the work so that the handler stays a plain function, and
/// how often this process has been invoked before.
struct Roll {
    fails: f64,
    slow: f64,
    nth: usize,
}

/// A value, or a stream with its prelude.
type Answer = FunctionResponse<Value, Body>;

async fn answer(behaviour: &Behaviour, payload: Value, roll: Roll) -> Result<Answer, ToldToFail> {
    let mut wait = behaviour.latency_ms;
    if roll.slow < behaviour.slow_rate_percent {
        wait += behaviour.slow_ms;
    }
    if wait > 0 {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    if behaviour.crash {
        process::exit(1);
    }
    let spared = behaviour
        .spare_path
        .as_deref()
        .is_some_and(|path| payload["path"] == path);
    if !spared && roll.fails < behaviour.error_rate_percent {
        let error = ToldToFail {
            version: behaviour.version.clone(),
        };
        if behaviour.logs_errors {
            error.log();
        }
        return Err(error);
    }
    if let Some(line) = &behaviour.logs {
        println!("{line}");
    }
    let last = behaviour.answers.len().saturating_sub(1);
    if let Some(told) = behaviour.answers.get(roll.nth.min(last)) {
        let mut told = told.clone();
        if behaviour.echo {
            told["event"] = payload;
        }
        return Ok(Answer::BufferedResponse(told));
    }
    let body = behaviour.body.clone().unwrap_or_else(|| {
        let mut told = json!({ "version": behaviour.version });
        if behaviour.echo {
            told["event"] = payload;
        }
        told.to_string()
    });
    if behaviour.stream {
        let mut metadata_prelude = MetadataPrelude::default();
        if let Ok(code) = u16::from(behaviour.status_code).try_into() {
            metadata_prelude.status_code = code;
        }
        let stream = Body::from(body);
        return Ok(Answer::StreamingResponse(StreamResponse {
            metadata_prelude,
            stream,
        }));
    }
    Ok(Answer::BufferedResponse(
        json!({ "statusCode": behaviour.status_code, "headers": {}, "body": body }),
    ))
}

fn seed() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // Two processes started in the same instant must not roll the same numbers. Odd, so never zero.
    (u64::from(now.subsec_nanos()) ^ (u64::from(process::id()) << 32)) | 1
}

/// Xorshift: good enough to hit a rate, and one dependency less.
fn percent(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    // The upper half: 32 bits are exact in a double.
    f64::from((*state >> 32) as u32) / (f64::from(u32::MAX) + 1.0) * 100.0
}
