//! One function's green: its code, its version, and whether it can stand beside blue.

use std::time::Duration;

use crossfade::{
    admission::{Settings, fit},
    aws::functions::{Configuration, Readiness, UPDATED},
    domain::{
        Timestamp,
        capacity::Capacity,
        moved::Serving,
        names::Version,
        routing::alias::{Alias, Primary},
        target::{CalledAs, Target},
        traffic::{Colour, Splitter},
    },
    error::Error,
    wire::request::{Code, FunctionRequest},
};
use serde_json::{Value, json};

use crate::Handler;

/// How long a version may take to be active: images and SnapStart take minutes, and the function's
/// own time is 14.
const ACTIVE: Duration = Duration::from_mins(8);

/// A function of the request, with what is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) index: usize,
    pub(crate) asked: &'a FunctionRequest,
    /// What a version that is published is described by; its function's own description where none.
    pub(crate) description: Option<&'a str>,
    /// The settings of what serves, where they were read.
    pub(crate) blue: Option<&'a Settings>,
    /// The KMS key that encrypts its zip, where that is the customer's.
    pub(crate) source_key: Option<&'a str>,
    /// What stands ready for its alias, where it splits the traffic.
    pub(crate) capacity: Option<&'a Capacity>,
}

/// A function whose green is ready.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) target: Target,
    /// How long one invocation may take, seconds; 0 where green serves already.
    pub(crate) slowest_seconds: u32,
    pub(crate) warnings: Vec<String>,
}

impl Prepared {
    /// Whether green is another version than blue.
    pub(crate) fn changes(&self) -> bool {
        self.target.blue_version.as_ref() != Some(&self.target.green_version)
    }
}

impl Handler {
    /// Makes green, and sees that it can share blue's traffic.
    pub(crate) async fn prepare(
        &self,
        wanted: Wanted<'_>,
        serving: Serving,
        splitter: &Splitter,
        now: Timestamp,
    ) -> Result<Prepared, Error> {
        let Wanted {
            index,
            asked,
            description,
            blue: known_blue,
            source_key,
            capacity,
        } = wanted;
        let function = &asked.function_name;
        let mut warnings = Vec::new();
        let (blue, revision_id) = match (serving.seen, &serving.alias) {
            (None, _) => (serving.version.clone(), None),
            // What serves now has to be a version before it can share traffic, and before its code
            // is replaced: it is published as it stands, and the alias pinned to it.
            (
                Some(Alias {
                    primary: Primary::Latest,
                    ..
                }),
                Some(alias),
            ) => {
                let latest = self.functions.updated(function, UPDATED).await?;
                let published = self.functions.publish(function, &latest, None).await?;
                // Lambda takes an alias on a version that is not active yet, and then fails its callers.
                if !published.active {
                    self.active(asked, &published.version).await?;
                }
                let blue = published.version;
                let pinned = self.traffic.pin(function, alias, &blue).await?;
                warnings.push(format!(
                    "{function}:{alias} was on $LATEST; it is now on version {blue}, the same code"
                ));
                (Some(blue), Some(pinned.revision))
            }
            (Some(seen), _) => (seen.primary.version().cloned(), Some(seen.revision)),
        };

        let (green, known) = self.green(asked, description, source_key, now).await?;
        let called_as = match splitter {
            Splitter::Alias => None,
            Splitter::Route53(_) | Splitter::Alb(_) => Some(CalledAs {
                blue: match &serving.alias {
                    Some(alias) => Some(alias.to_string()),
                    None => blue.as_ref().map(ToString::to_string),
                },
                green: match (splitter, &asked.alias) {
                    (Splitter::Route53(records), Some(alias)) => records
                        .alias(Colour::Green, alias)
                        .map_err(|error| Error::InvalidRequest(error.to_string().into()))?
                        .to_string(),
                    _ => green.to_string(),
                },
            }),
        };
        // What is written is the splitter: an alias's revision has no part in it.
        let revision_id = revision_id.filter(|_| *splitter == Splitter::Alias);
        let provisioned = capacity.and_then(|capacity| capacity.provisioned.as_ref());
        let mut prepared = Prepared {
            target: Target {
                function_name: function.clone(),
                alias: asked.alias.clone(),
                called_as,
                blue_version: blue.clone(),
                green_version: green.clone(),
                revision_id,
                provisioned: provisioned.map(|it| it.executions),
                is_durable: false,
            },
            slowest_seconds: 0,
            warnings,
        };
        if !prepared.changes() {
            return Ok(prepared);
        }
        let active = async {
            match known {
                Some(configuration) => Ok(configuration),
                None => self.active(asked, &green).await,
            }
        };
        let configuration = match &blue {
            // Only an alias asks that both be alike.
            Some(blue) if *splitter == Splitter::Alias => {
                let known = async {
                    match known_blue {
                        Some(settings) => Ok(settings.clone()),
                        None => Ok(self.functions.version(function, blue).await?.settings()),
                    }
                };
                let (green, blue) = futures::try_join!(active, known)?;
                // $LATEST was asked before; it may have been given another configuration since.
                if let Some(why) = fit(&green.settings(), &blue) {
                    return Err(Error::ValidationFailed(
                        format!("functions[{index}].functionName: {why}").into(),
                    ));
                }
                green
            }
            _ => active.await?,
        };
        prepared.slowest_seconds = configuration.timeout_seconds;
        prepared.target.is_durable = configuration.is_durable;
        Ok(prepared)
    }

    /// Waits until a version can serve. One that is idle is woken by what a smoke test would send it.
    async fn active(
        &self,
        asked: &FunctionRequest,
        version: &Version,
    ) -> Result<Configuration, Error> {
        let payload: Value = match asked.smoke_tests.first() {
            Some(test) => test.payload.clone(),
            None => json!({}),
        };
        let function = &asked.function_name;
        match self
            .functions
            .active(function, version, &payload, ACTIVE)
            .await?
        {
            Readiness::Active(configuration) => Ok(configuration),
            Readiness::NotYet(state) => Err(Error::ValidationFailed(format!(
                "{state}, and a version has to be Active before it is released; start the release again, for Lambda \
                 goes on making it ready"
            ).into())),
        }
    }

    /// Green's version, and its configuration where it is known to be active.
    async fn green(
        &self,
        asked: &FunctionRequest,
        description: Option<&str>,
        source_key: Option<&str>,
        now: Timestamp,
    ) -> Result<(Version, Option<Configuration>), Error> {
        let function = &asked.function_name;
        let uploaded = match &asked.code {
            Some(Code::Version { version }) => {
                // Read after the lock was taken: a cleanup that marks it for deletion later sees the lock.
                let doomed = self.ledger.doomed(function, now).await?;
                if doomed.iter().any(|span| span.contains(version)) {
                    return Err(Error::Transient(format!(
                        "{function}: version {version} is about to be deleted by the cleanup after an earlier release"
                    ).into()));
                }
                return Ok((version.clone(), None));
            }
            Some(code @ (Code::S3 { .. } | Code::Image { .. })) => {
                let update = self.functions.update_code(function, code, source_key);
                Some(update.await?)
            }
            None => None,
        };
        let latest = self.functions.updated(function, UPDATED).await?;
        if let Some(uploaded) = uploaded
            && uploaded != latest.code_sha256
        {
            return Err(Error::ChangedOutside(
                format!("{function}: $LATEST was replaced by someone else right after the upload")
                    .into(),
            ));
        }
        let published = self
            .functions
            .publish(function, &latest, description)
            .await?;
        let known = published.active.then_some(published.configuration);
        Ok((published.version, known))
    }
}
