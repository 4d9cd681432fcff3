//! Beginning to listen to the functions' logs, before green is validated: its smoke tests are what is received first.
//!
//! No release ends for this: where nothing can be received, it goes on by alarms and metrics alone, and says so.

use std::collections::BTreeMap;

use crossfade::{
    aws::{
        live::{Asked, hear},
        logs::listener,
    },
    domain::{
        Timestamp,
        analysis::{Analysis, counts::BluePast, live::LiveErrors},
        live::{
            deaf::{self, Deaf, Format, Logging},
            filter,
            lane::{Ear, Lane},
            test::Come,
        },
        names::{FunctionName, derived::live_filter},
        target::Target,
        traffic::Splitter,
    },
    protocol::live,
    wire::request::ReleaseRequest,
};
use futures::future::join_all;

use crate::Handler;

/// What can be listened to.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    pub(crate) ears: Vec<Ear>,
    /// In which format each of the log groups is written.
    pub(crate) formats: BTreeMap<String, Format>,
    /// Where nothing is received, or not all.
    pub(crate) warnings: Vec<String>,
}

impl Handler {
    /// Returns what can be listened to: nothing where the stack does not listen, or the request does not want it.
    pub(crate) async fn ears(
        &self,
        execution: &str,
        request: &ReleaseRequest,
        functions: &[Target],
        splitter: &Splitter,
        past: &BTreeMap<FunctionName, BluePast>,
    ) -> Listening {
        let mut found = Listening::default();
        if self.logs.is_none() || request.analysis.live_errors == LiveErrors::Off {
            return found;
        }
        let each = functions.iter().map(|target| async move {
            (
                target,
                self.hear(execution, request, target, splitter).await,
            )
        });
        for (target, heard) in join_all(each).await {
            let name = &target.function_name;
            match heard {
                Ok(green) => {
                    let half = deaf::half(&green, request.analysis.live_errors.pattern());
                    found.warnings.extend(half.map(|why| {
                        format!("failures in the log of {name} are received in part: {why}")
                    }));
                    found.formats.insert(green.group.clone(), green.format);
                    let Some(blue) = target.blue_version.clone() else {
                        continue;
                    };
                    found.ears.push(Ear {
                        function_name: name.clone(),
                        group: green.group,
                        blue,
                        green: target.green_version.clone(),
                        come: Come::of(past.get(name)),
                    });
                }
                Err(why) => found.warnings.push(format!(
                    "failures in the log of {name} are not received: {why}"
                )),
            }
        }
        found
    }

    /// Looks whether a function logs what can be received, and returns how its green logs; or why it cannot.
    async fn hear(
        &self,
        execution: &str,
        request: &ReleaseRequest,
        target: &Target,
        splitter: &Splitter,
    ) -> Result<Logging, String> {
        let name = &target.function_name;
        if target.blue_version.is_none() || !splitter.routes_each_request() {
            return Err(Deaf::NotRouted.to_string());
        }
        let Some(logs) = &self.logs else {
            return Err("the stack does not listen".into());
        };
        let asked = Asked {
            function: name,
            blue: target.blue_version.as_ref(),
            green: Some(&target.green_version),
            own: request.analysis.live_errors.pattern(),
            ours: &live_filter(execution),
        };
        hear(&self.lambda, logs, asked).await
    }

    /// Begins to listen. Returns the functions that are listened to, and what operators should know: where a
    /// subscription filter could not be put, nothing is.
    pub(crate) async fn arm(
        &self,
        lane: &Lane,
        formats: &BTreeMap<String, Format>,
        analysis: &Analysis,
        now: Timestamp,
    ) -> (Vec<FunctionName>, Option<String>) {
        let (Some(logs), Some(to), false) = (&self.logs, listener(), lane.ears.is_empty()) else {
            return (Vec::new(), None);
        };
        let own = analysis.live_errors.pattern();
        let pattern = |ear: &Ear| {
            let format = formats.get(&ear.group).copied().unwrap_or_default();
            filter::pattern(format, own)
        };
        match live::arm(logs, &self.ledger, lane, pattern, &to, now).await {
            Ok(()) => {
                let names = lane.ears.iter().map(|ear| ear.function_name.clone());
                (names.collect(), None)
            }
            Err(error) => {
                live::disarm_or_leave(Some(logs), &self.ledger, &lane.execution, now).await;
                let told = format!("failures in the functions' logs are not received: {error}");
                (Vec::new(), Some(told))
            }
        }
    }
}
