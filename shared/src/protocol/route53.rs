//! Route 53: two weighted records, changed in one atomic batch.
//!
//! Route 53 gives no revisions, and an `UPSERT` replaces the whole record: it is read right before, and
//! all but the weight is sent back as it was (<https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html>).

use futures::future::try_join_all;

use super::{alias::Aliases, splitter::alias_of, weighted::Weighted};
use crate::{
    domain::{
        moved::{Observed, Serving},
        names::{AliasName, FunctionName, NameError, Version, derived, resources::SetIdentifier},
        propagation::Effective,
        routing::weighted::{Scale, Shares},
        side::{Content, Side},
        target::Target,
        traffic::{Colour, Layers, Records, Splitter},
    },
    error::Error,
    ports::{AliasApi, Clock, Record, RecordApi},
    wire::request::{FunctionRequest, Route53},
};

/// What resolvers hold an alias target's answer for, seconds: a load balancer's (<https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html>).
const ALIAS_TTL_SECONDS: u32 = 60;

/// The two records of a release.
#[derive(Debug)]
pub(super) struct Pair<'a, P> {
    api: &'a P,
    at: &'a Records,
}

impl<'a, P: AliasApi + RecordApi + Clock> Pair<'a, P> {
    pub(super) const fn new(api: &'a P, at: &'a Records) -> Self {
        Self { api, at }
    }

    /// The alias of a target behind a colour's record.
    fn alias(&self, colour: Colour, target: &Target) -> Result<AliasName, Error> {
        let of = target.alias.as_ref().ok_or_else(|| {
            Error::Refused(format!("{} has no alias", target.function_name).into())
        })?;
        self.at.alias(colour, of).map_err(unnamed)
    }

    async fn side(&self, colour: Colour, target: &Target) -> Result<Side, Error> {
        let alias = self.alias(colour, target)?;
        let function = &target.function_name;
        let seen = self.api.alias(function, &alias).await?;
        let place = format!("{function}:{alias}");
        let Some(seen) = seen else {
            return Ok(Side {
                place,
                holds: Content::new(),
                version: None,
                revision: None,
            });
        };
        Ok(if seen.is_split() {
            Side {
                place,
                holds: vec![seen.to_string()],
                version: None,
                revision: Some(seen.revision),
            }
        } else {
            Side {
                place,
                holds: vec![seen.primary.to_string()],
                version: seen.primary.version().cloned(),
                revision: Some(seen.revision),
            }
        })
    }
}

/// Both record sets as they were read.
pub(super) struct Both<S> {
    blue: S,
    green: S,
}

impl<P: AliasApi + RecordApi + Clock> Weighted for Pair<'_, P> {
    type Place = ();
    type Seen = Both<P::Set>;
    const SCALE: Scale = Scale::Records;

    fn places(&self) -> Vec<()> {
        vec![()]
    }

    fn shown(&self, (): &()) -> String {
        format!(
            "{} {} in {}",
            self.at.record_name, self.at.record_type, self.at.hosted_zone_id
        )
    }

    fn named(&self, colour: Colour) -> String {
        format!(
            "record \"{}\" of {}",
            self.at.identifier(colour),
            self.shown(&())
        )
    }

    async fn read(&self, (): &()) -> Result<(Shares, Self::Seen), Error> {
        let Records {
            hosted_zone_id,
            record_name,
            record_type,
            blue,
            green,
            ..
        } = self.at;
        let mut records = self
            .api
            .records(hosted_zone_id, record_name, *record_type)
            .await?;
        let shown = self.shown(&());
        let blue = take(&mut records, blue).ok_or_else(|| gone(&shown, blue))?;
        let green = take(&mut records, green).ok_or_else(|| gone(&shown, green))?;
        alone(&shown, &records)?;
        let shares = Shares {
            blue: weight(&blue),
            green: weight(&green),
        };
        let seen = Both {
            blue: blue.set,
            green: green.set,
        };
        Ok((shares, seen))
    }

    async fn write(&self, (): &(), seen: Self::Seen, shares: Shares) -> Result<Effective, Error> {
        let changes = vec![(seen.blue, shares.blue), (seen.green, shares.green)];
        let comment = format!("Crossfade: {shares}");
        let id = self
            .api
            .change_records(&self.at.hosted_zone_id, changes, &comment)
            .await?;
        Ok(Effective::Later(id))
    }

    fn already(&self) -> Effective {
        Effective::Later(None)
    }

    async fn sides(&self, colour: Colour, of: &[Target]) -> Result<Vec<Side>, Error> {
        try_join_all(of.iter().map(|target| self.side(colour, target))).await
    }

    fn id(&self, _: &Target, version: &Version) -> String {
        version.to_string()
    }

    fn before(&self, target: &Target) -> Option<Content> {
        self.at.before(&target.function_name)
    }

    async fn put(
        &self,
        colour: Colour,
        target: &Target,
        seen: &Side,
        content: &[String],
    ) -> Result<(), Error> {
        let alias = self.alias(colour, target)?;
        let to = content.first().map(String::as_str);
        let seen = seen.revision.as_ref();
        Aliases::new(self.api)
            .set(&target.function_name, &alias, seen, to)
            .await
    }

    /// What is behind a record without a function is not known here.
    async fn healthy(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[allow(clippy::needless_pass_by_value)] // For `map_err`.
pub(crate) fn unnamed(error: NameError) -> Error {
    Error::InvalidRequest(error.to_string().into())
}

/// Which record serves, and what the functions' alias for it is on.
pub(super) async fn observe<P: AliasApi + RecordApi + Clock>(
    api: &P,
    asked: &Route53,
    functions: &[FunctionRequest],
) -> Result<Observed, Error> {
    let shown = format!("{} {}", asked.record_name, asked.record_type);
    let [one, other] = asked.set_identifiers.as_slice() else {
        return Err(Error::InvalidRequest(
            "traffic.setIdentifiers: must be two".into(),
        ));
    };
    let zone = &asked.hosted_zone_id;
    let listed = api.records(zone, &asked.record_name, asked.record_type);
    let mut records = listed.await?;
    let missing = |identifier: &SetIdentifier| {
        Error::ValidationFailed(format!(
            "{shown} in {zone} has no weighted record with set identifier \"{identifier}\"; make both \
             records first, one with weight 100 and one with weight 0"
        ).into())
    };
    let first = take(&mut records, one).ok_or_else(|| missing(one))?;
    let second = take(&mut records, other).ok_or_else(|| missing(other))?;
    alone(&shown, &records)?;
    let (serving, blue, green) = match (weight(&first), weight(&second)) {
        (0, 0) => {
            return Err(Error::ValidationFailed(format!(
                "{shown}: both weights are 0, so Route 53 answers with either; give one of them 100"
            ).into()));
        }
        (1.., 0) => (&first, one, other),
        (0, 1..) => (&second, other, one),
        (a, b) => {
            return Err(Error::ChangedOutside(format!(
                "{shown} is split before the release: \"{one}\" has weight {a} and \"{other}\" {b}; give \
                 one of them 0 first"
            ).into()));
        }
    };

    let aliases = &Aliases::new(api);
    let each = functions.iter().map(|asked| async move {
        let of = alias_of(asked)?;
        let alias = derived::colour(of, blue).map_err(unnamed)?;
        let idle = derived::colour(of, green).map_err(unnamed)?;
        let (serving, idle) = futures::try_join!(
            aliases.serving(&asked.function_name, &alias),
            aliases.serving(&asked.function_name, &idle),
        )?;
        if serving.seen.is_none() {
            return Err(Error::ValidationFailed(format!(
                "{}:{alias} does not exist, and the record \"{blue}\" serves: make it, on the version \
                 that is called there now",
                asked.function_name
            ).into()));
        }
        let idle = idle.seen.map(|seen| seen.primary.to_string());
        Ok((serving, idle.map(|idle| (asked.function_name.clone(), idle))))
    });
    let each: Vec<(Serving, Option<(FunctionName, String)>)> = try_join_all(each).await?;
    let (functions, idle): (Vec<_>, Vec<_>) = each.into_iter().unzip();
    let behind = |identifier: &SetIdentifier| {
        let found = asked
            .behind
            .iter()
            .find(|b| b.set_identifier == *identifier);
        found.map(crate::wire::request::Behind::layer)
    };
    let layer = behind(blue).zip(behind(green)).map(|(blue, green)| Layers {
        blue,
        green,
        past: None,
    });
    Ok(Observed {
        splitter: Splitter::Route53(Records {
            hosted_zone_id: asked.hosted_zone_id.clone(),
            record_name: asked.record_name.clone(),
            record_type: asked.record_type,
            blue: blue.clone(),
            green: green.clone(),
            dns_seconds: asked
                .dns_seconds
                .or(serving.ttl_seconds)
                .unwrap_or(ALIAS_TTL_SECONDS),
            layer,
            idle: Some(idle.into_iter().flatten().collect()),
        }),
        functions,
        warnings: Vec::new(),
    })
}

fn take<S>(records: &mut Vec<Record<S>>, identifier: &SetIdentifier) -> Option<Record<S>> {
    let is = |record: &Record<S>| {
        record.identifier.as_deref() == Some(identifier.as_ref()) && record.weight.is_some()
    };
    let index = records.iter().position(is)?;
    Some(records.swap_remove(index))
}

/// Rejects a third record with weight: it would take a share of what is meant for two.
fn alone<S>(shown: &str, others: &[Record<S>]) -> Result<(), Error> {
    match others.iter().find(|record| weight(record) > 0) {
        None => Ok(()),
        Some(record) => Err(Error::ChangedOutside(
            format!(
                "{shown}: a third record, \"{}\", has weight {}",
                record.identifier.as_deref().unwrap_or("(none)"),
                weight(record)
            )
            .into(),
        )),
    }
}

fn gone(shown: &str, identifier: &SetIdentifier) -> Error {
    Error::ChangedOutside(format!("{shown}: the record \"{identifier}\" is gone").into())
}

fn weight<S>(record: &Record<S>) -> u32 {
    record.weight.unwrap_or_default()
}
