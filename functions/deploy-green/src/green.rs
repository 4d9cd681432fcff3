//! One function's green: its code, its version, and whether it can stand beside blue.

use std::time::Duration;

use crossfade::{
    aws::functions::{Configuration, UPDATED},
    domain::{
        names::Version,
        release::Target,
        routing::{Alias, Primary},
    },
    error::Error,
    wire::request::{Code, FunctionRequest},
};

use crate::Handler;

/// How long a version may take to be active: images and SnapStart take minutes, and the function's
/// own time is 14.
const ACTIVE: Duration = Duration::from_mins(8);

/// What was there before anything was touched.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    alias: Option<Alias>,
    bypasses: Vec<String>,
}

/// A function whose green is ready.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) target: Target,
    pub(crate) warnings: Vec<String>,
}

impl Prepared {
    /// Whether green is another version than blue.
    pub(crate) fn changes(&self) -> bool {
        self.target.blue_version.as_ref() != Some(&self.target.green_version)
    }
}

impl Handler {
    /// Reads what is there.
    ///
    /// # Errors
    /// [`Error::ChangedOutside`] when the alias is split: someone else is shifting its traffic.
    pub(crate) async fn observe(&self, asked: &FunctionRequest) -> Result<Seen, Error> {
        let (alias, bypasses) = futures::try_join!(
            self.functions.alias(&asked.function_name, &asked.alias),
            self.functions.bypasses(&asked.function_name),
        )?;
        if let Some(alias) = &alias
            && alias.additional.is_some()
        {
            return Err(Error::ChangedOutside(format!(
                "{}:{} is split before the release ({alias}); settle it on one version first",
                asked.function_name, asked.alias
            )));
        }
        Ok(Seen { alias, bypasses })
    }

    /// Makes green, and sees that it can share blue's traffic.
    pub(crate) async fn prepare(
        &self,
        asked: &FunctionRequest,
        seen: Seen,
    ) -> Result<Prepared, Error> {
        let function = &asked.function_name;
        let mut warnings = seen.bypasses;
        let (blue, revision_id) = match seen.alias {
            None => (None, None),
            Some(Alias {
                primary: Primary::Version(version),
                revision,
                ..
            }) => (Some(version), Some(revision)),
            // What serves now has to be a version before it can share traffic, and before its code
            // is replaced: it is published as it stands, and the alias pinned to it.
            Some(Alias {
                primary: Primary::Latest,
                ..
            }) => {
                let latest = self.functions.updated(function, UPDATED).await?;
                let blue = self.functions.publish(function, &latest).await?.version;
                let target = Target {
                    function_name: function.clone(),
                    alias: asked.alias.clone(),
                    blue_version: Some(blue.clone()),
                    green_version: blue.clone(),
                    past: None,
                    revision_id: None,
                };
                let pinned = self.functions.pin(&target, &blue).await?;
                warnings.push(format!(
                    "{function}:{} was on $LATEST; it is now on version {blue}, the same code",
                    asked.alias
                ));
                (Some(blue), Some(pinned.revision))
            }
        };

        let (green, known) = self.green(asked).await?;
        let prepared = Prepared {
            target: Target {
                function_name: function.clone(),
                alias: asked.alias.clone(),
                blue_version: blue.clone(),
                green_version: green.clone(),
                past: None,
                revision_id,
            },
            warnings,
        };
        if !prepared.changes() {
            return Ok(prepared);
        }
        let serving = async {
            match known {
                Some(configuration) => Ok(configuration),
                None => self.functions.active(function, &green, ACTIVE).await,
            }
        };
        match &blue {
            Some(blue) => {
                let (green, blue) =
                    futures::try_join!(serving, self.functions.version(function, blue))?;
                fit(function.as_ref(), &green, &blue)?;
            }
            None => drop(serving.await?),
        }
        Ok(prepared)
    }

    /// Green's version, and its configuration where it is known to be active.
    async fn green(
        &self,
        asked: &FunctionRequest,
    ) -> Result<(Version, Option<Configuration>), Error> {
        let function = &asked.function_name;
        let uploaded = match &asked.code {
            Some(Code::Version { version }) => return Ok((version.clone(), None)),
            Some(code @ (Code::S3 { .. } | Code::Image { .. })) => {
                Some(self.functions.update_code(function, code).await?)
            }
            None => None,
        };
        let latest = self.functions.updated(function, UPDATED).await?;
        if let Some(uploaded) = uploaded
            && uploaded != latest.code_sha256
        {
            return Err(Error::ChangedOutside(format!(
                "{function}: $LATEST was replaced by someone else right after the upload"
            )));
        }
        let published = self.functions.publish(function, &latest).await?;
        let known = published.active.then_some(published.configuration);
        Ok((published.version, known))
    }
}

/// Two versions share an alias only with the same role and dead-letter queue (AWS-FACTS 1.5).
fn fit(function: &str, green: &Configuration, blue: &Configuration) -> Result<(), Error> {
    let shown = |text: &str| {
        if text.is_empty() {
            "none".to_owned()
        } else {
            text.to_owned()
        }
    };
    let mut problems = Vec::new();
    if green.role != blue.role {
        problems.push(format!(
            "role {} instead of {}",
            shown(&green.role),
            shown(&blue.role)
        ));
    }
    if green.dead_letter != blue.dead_letter {
        problems.push(format!(
            "dead-letter queue {} instead of {}",
            shown(&green.dead_letter),
            shown(&blue.dead_letter)
        ));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::ValidationFailed(format!(
        "{function}: green has {}; Lambda shares an alias's traffic only between versions that have the same: \
         point the alias at a version with the changed configuration first, then release code",
        problems.join(" and ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(role: &str, dead_letter: &str) -> Configuration {
        Configuration {
            code_sha256: String::new(),
            revision: String::new(),
            modified: String::new(),
            role: role.into(),
            dead_letter: dead_letter.into(),
        }
    }

    #[test]
    fn versions_that_cannot_share_traffic_are_refused_by_what_differs() {
        let blue = configuration("r", "q");
        assert_eq!(fit("f", &configuration("r", "q"), &blue), Ok(()));
        let refused = |green| match fit("f", &green, &blue) {
            Err(Error::ValidationFailed(message)) => message,
            other => panic!("{other:?}"),
        };
        assert!(refused(configuration("r2", "q")).contains("role r2 instead of r"));
        assert!(refused(configuration("r", "")).contains("dead-letter queue none instead of q"));
    }
}
