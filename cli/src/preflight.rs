//! What a start would say of a release at this moment, read from AWS and changing nothing.

use std::time::SystemTime;

use aws_credential_types::provider::ProvideCredentials as _;
use crossfade::{
    admission::{
        Admission, Holder, Kind, Limits, Place, Read, Seen, Unknown, Unread, decide, locks_of,
        observe,
    },
    aws::{
        artifacts::Artifacts, classify::chain, executions::Executions, functions::Functions,
        ledger::Ledger, metrics::Metrics, traffic::Traffic,
    },
    domain::{
        Timestamp,
        health::{HealthCheck, Side, of_green},
        moved::Serving,
        traffic::Splitter,
    },
    wire::request::ReleaseRequest,
};
use futures::future::join_all;
use serde::Serialize;

use crate::{
    error::CliError,
    exit_code::{Ended, Exit},
    listening,
    output::brief,
    scaling,
    stack::Aws,
};

/// What AWS says before a release.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Preflight {
    /// What serves now, a phrase for each function.
    pub(crate) serving: Vec<String>,
    /// What CloudWatch has of what counts responses, and of the team's own metrics, a phrase each.
    pub(crate) counted: Vec<String>,
    /// What operators should know.
    pub(crate) warnings: Vec<String>,
    /// What would turn the release away, each by its path.
    pub(crate) problems: Vec<String>,
    /// What may or may not be in the way, each with why it is not known.
    pub(crate) could_not_tell: Vec<String>,
    /// What a start would end with.
    #[serde(skip)]
    pub(crate) refusal: Option<Kind>,
}

impl Preflight {
    /// Looks. What cannot be read is reported as such: the caller's role may allow less than Crossfade's.
    /// A rollback to a version is not refused by the time of day.
    pub(crate) async fn of(aws: &Aws, request: &ReleaseRequest, goes_back: bool) -> Self {
        if let Some(why) = without_credentials(aws).await {
            let what = "anything about AWS".to_owned();
            let unknown = Unknown {
                what,
                because: Unread { why, passes: false },
            };
            return Self::from(Admission {
                unknown: vec![unknown],
                ..Admission::default()
            });
        }
        let config = aws.config();
        let (traffic, metrics, functions, artifacts) = (
            Traffic::new(config),
            Metrics::new(config),
            Functions::new(config),
            Artifacts::new(config),
        );
        let now: Timestamp = SystemTime::now().into();
        let ledger = aws.ledger().await.map_err(|trouble| unread(&trouble));
        let names = request.functions.iter().map(|asked| &asked.function_name);
        let (world, splitter, bypasses, holders, limits, machine) = futures::join!(
            Box::pin(observe::world(
                &functions,
                &artifacts,
                &metrics,
                ledger.as_ref().ok(),
                request,
                now
            )),
            Box::pin(observe::splitter(&traffic, ledger.as_ref().ok(), request)),
            join_all(names.map(|name| functions.bypasses(name))),
            holders(aws, ledger.as_ref(), request, now),
            limits(aws, goes_back),
            aws.machine(),
        );
        let region = config.region().map_or("", AsRef::as_ref).to_owned();
        let mut seen = Seen {
            place: machine.map_or_else(
                |_| Place {
                    region,
                    ..Place::default()
                },
                |arn| Place::of(&arn),
            ),
            limits,
            holders,
            splitter: splitter.problems,
            ways: splitter.ways,
            ..world
        };
        if let Some(observed) = &splitter.observed {
            let serving = &observed.functions;
            seen.counted = observe::counted(&metrics, request, observed, now).await;
            seen.blues = observe::blues(&functions, request, serving).await;
            seen.capacity = observe::capacity(&functions, request, serving, &seen.blues).await;
        }
        let scaled = scaling::warnings(config, request, &seen.capacity).await;
        let mut told = Self::from(decide(request, &seen, now));
        told.warnings.extend(splitter.warnings);
        told.warnings.extend(scaled);
        if let Some(observed) = &splitter.observed {
            told.warnings
                .extend(listening::warnings(aws, request, observed).await);
        }
        if let Some(observed) = splitter.observed {
            for (asked, serving) in request.functions.iter().zip(&observed.functions) {
                let serves = serves(serving);
                told.serving
                    .push(format!("{}: {serves}", asked.function_name));
            }
            if let Some(sides) = observed.splitter.sides() {
                told.serving.push(format!(
                    "{} serves; green's traffic goes through {}",
                    sides.blue, sides.green
                ));
            }
            let checks = &request.analysis.health_checks;
            told.serving.extend(asked(checks, &observed.splitter));
            told.warnings.extend(observed.warnings);
        }
        for found in bypasses {
            match found {
                Ok(found) => told.warnings.extend(found),
                // Not an obstacle: a warning of the release may be missing here.
                Err(error) => told.warnings.push(format!(
                    "could not read who calls a function past its alias: {}",
                    brief(&error.to_string())
                )),
            }
        }
        told
    }

    /// What the exit code is.
    pub(crate) fn exit(&self) -> Exit {
        match self.refusal {
            Some(kind) => Ended::refused(kind.into()),
            None if self.could_not_tell.is_empty() => Exit::Done,
            None => Exit::CouldNotTell,
        }
    }
}

impl From<Admission> for Preflight {
    fn from(mut admission: Admission) -> Self {
        if admission.idle_wait_seconds > 0 {
            admission.warnings.push(format!(
                "waits {} s before green is validated, until no client reaches the idle side",
                admission.idle_wait_seconds
            ));
        }
        Self {
            serving: Vec::new(),
            refusal: admission.refusal().map(|(kind, _)| kind),
            problems: admission.problems.iter().map(ToString::to_string).collect(),
            could_not_tell: admission
                .unknown
                .iter()
                .map(|unknown| format!("{}: {}", unknown.what, brief(&unknown.because.why)))
                .collect(),
            counted: admission.counted,
            warnings: admission.warnings,
        }
    }
}

/// Which health checks a release that began now would ask: those of the side that is green.
fn asked(checks: &[HealthCheck], splitter: &Splitter) -> Option<String> {
    let side = Side::green(splitter).filter(|_| !checks.is_empty())?;
    let asked = of_green(checks, splitter);
    let asked: Vec<_> = asked.iter().map(ToString::to_string).collect();
    Some(format!(
        "green is {side}, and its health checks are asked: {}",
        asked.join(", ")
    ))
}

/// Why there are no credentials; none where there are some.
async fn without_credentials(aws: &Aws) -> Option<String> {
    let why = match aws.config().credentials_provider() {
        Some(provider) => chain(&provider.provide_credentials().await.err()?),
        None => "there are none".to_owned(),
    };
    Some(format!(
        "no credentials; log in, or name another profile with --profile ({})",
        brief(&why)
    ))
}

/// What the stack was deployed for.
async fn limits(aws: &Aws, goes_back: bool) -> Read<Limits> {
    match aws.stack().await {
        Ok(stack) => {
            let limits = Limits::of(|name| stack.parameters.get(name).cloned().unwrap_or_default());
            Read::Seen(if goes_back {
                limits.at_any_time()
            } else {
                limits
            })
        }
        Err(trouble) => Read::Unread(unread(&trouble)),
    }
}

/// Who holds what the release needs.
async fn holders(
    aws: &Aws,
    ledger: Result<&Ledger, &Unread>,
    request: &ReleaseRequest,
    now: Timestamp,
) -> Read<Vec<Holder>> {
    let ledger = match ledger {
        Ok(ledger) => ledger,
        Err(why) => return Read::Unread(why.clone()),
    };
    let found = async {
        let holding = ledger.holding(&locks_of(request)).await?;
        let executions = Executions::new(aws.config());
        observe::holders(ledger, &executions, holding, now).await
    };
    found.await.into()
}

fn unread(trouble: &CliError) -> Unread {
    Unread {
        why: trouble.what.clone(),
        passes: false,
    }
}

fn serves(serving: &Serving) -> String {
    match (&serving.alias, &serving.seen, &serving.version) {
        (Some(alias), Some(seen), _) => format!("alias {alias}: {seen}"),
        (Some(alias), None, _) => format!("alias {alias} does not exist yet: a first release"),
        (None, _, Some(version)) => format!("version {version}"),
        (None, _, None) => "nothing yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crossfade::admission::{Problem, Stage};

    use super::*;

    fn unknown() -> Unknown {
        Unknown {
            what: "whether there is a function \"chat\"".into(),
            because: Unread {
                why: format!("AccessDeniedException: {}\nat line 2", "no ".repeat(200)),
                passes: false,
            },
        }
    }

    #[test]
    fn exits_by_what_a_start_would_end_with() {
        let with = |problems: &[(Stage, Kind)], unknown: Vec<Unknown>| {
            let problems = problems.iter().map(|&(stage, kind)| Problem {
                path: "a".into(),
                message: "b".into(),
                kind,
                stage,
            });
            Preflight::from(Admission {
                problems: problems.collect(),
                unknown,
                ..Admission::default()
            })
            .exit()
        };
        assert_eq!(with(&[], Vec::new()), Exit::Done);
        assert_eq!(with(&[], vec![unknown()]), Exit::CouldNotTell);
        let locks = (Stage::Locks, Kind::DeploymentInProgress);
        let invalid = (Stage::World, Kind::InvalidRequest);
        assert_eq!(with(&[locks], vec![unknown()]), Exit::Rejected);
        assert_eq!(with(&[locks, invalid], Vec::new()), Exit::Usage);
    }

    #[test]
    fn tells_in_one_line_what_could_not_be_read() {
        let told = Preflight::from(Admission {
            unknown: vec![unknown()],
            ..Admission::default()
        });
        let line = &told.could_not_tell[0];
        assert!(
            line.starts_with("whether there is a function \"chat\": AccessDeniedException: no"),
            "{line}"
        );
        assert!(!line.contains('\n') && line.chars().count() < 260, "{line}");
    }
}
