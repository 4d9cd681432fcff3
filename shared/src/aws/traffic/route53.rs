//! Route 53: two weighted records, changed in one atomic batch.
//!
//! Route 53 gives no revisions, and an `UPSERT` replaces the whole record: it is read right before, and
//! all but the weight is sent back as it was (<https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html>).

use aws_config::{Region, SdkConfig, retry::RetryConfig};
use aws_sdk_route53::{
    Client,
    types::{Change, ChangeAction, ChangeBatch, ChangeStatus, ResourceRecordSet, RrType},
};
use futures::future::try_join_all;

use super::{Observed, Serving, alias::Aliases, alias_of, weighted::Weighted};
use crate::{
    aws::classify::classify,
    domain::{
        names::{
            AliasName, FunctionName, NameError, Version, derived,
            resources::{RecordName, RecordType, SetIdentifier},
        },
        release::{InForce, Target},
        routing::weighted::{Scale, Shares},
        side::{Content, Side},
        traffic::{Colour, FrontDoor, Layers, Records},
    },
    error::Error,
    wire::request::{FunctionRequest, Route53},
};

/// What resolvers hold an alias target's answer for, seconds: a load balancer's (<https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html>).
const ALIAS_TTL_SECONDS: u32 = 60;

/// All weighted records of one name and type fit into one page: there are 100 at the most.
const PAGE: i32 = 100;

/// A client of the global service. An account has five requests a second for everything, so it is
/// asked more patiently than others.
pub(super) fn client(config: &SdkConfig) -> Client {
    let config = aws_sdk_route53::config::Builder::from(config)
        .region(Region::from_static("us-east-1"))
        .retry_config(RetryConfig::standard().with_max_attempts(6))
        .build();
    Client::from_conf(config)
}

/// The two records of a release.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    client: &'a Client,
    aliases: &'a Aliases,
    at: &'a Records,
}

impl<'a> Pair<'a> {
    pub(super) fn new(client: &'a Client, aliases: &'a Aliases, at: &'a Records) -> Self {
        Self {
            client,
            aliases,
            at,
        }
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
        let seen = self.aliases.read(function, &alias).await?;
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
pub(super) struct Both {
    blue: ResourceRecordSet,
    green: ResourceRecordSet,
}

impl Weighted for Pair<'_> {
    type Place = ();
    type Seen = Both;
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

    async fn read(&self, (): &()) -> Result<(Shares, Both), Error> {
        let Records {
            hosted_zone_id,
            record_name,
            record_type,
            blue,
            green,
            ..
        } = self.at;
        let mut sets = read(
            self.client,
            hosted_zone_id.as_ref(),
            record_name,
            *record_type,
        )
        .await?;
        let blue = take(&mut sets, blue).ok_or_else(|| gone(&self.shown(&()), blue))?;
        let green = take(&mut sets, green).ok_or_else(|| gone(&self.shown(&()), green))?;
        alone(&self.shown(&()), &sets)?;
        let shares = Shares {
            blue: weight(&blue),
            green: weight(&green),
        };
        Ok((shares, Both { blue, green }))
    }

    async fn write(&self, (): &(), seen: Both, shares: Shares) -> Result<InForce, Error> {
        let with = |mut set: ResourceRecordSet, weight: u32| {
            set.weight = Some(i64::from(weight));
            Change::builder()
                .action(ChangeAction::Upsert)
                .resource_record_set(set)
                .build()
                .expect("action and set are given")
        };
        let batch = ChangeBatch::builder()
            .comment(format!("Crossfade: {shares}"))
            .changes(with(seen.blue, shares.blue))
            .changes(with(seen.green, shares.green))
            .build()
            .expect("changes are given");
        let done = self
            .client
            .change_resource_record_sets()
            .hosted_zone_id(self.at.hosted_zone_id.as_ref())
            .change_batch(batch)
            .send()
            .await
            .map_err(|error| classify("ChangeResourceRecordSets", &error))?;
        let id = done
            .change_info
            .map(|change| change.id.trim_start_matches("/change/").to_owned());
        Ok(InForce::Later(id))
    }

    fn already(&self) -> InForce {
        InForce::Later(None)
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
        self.aliases
            .set(&target.function_name, &alias, seen, to)
            .await
    }

    /// What is behind a record without a function is not known here.
    async fn healthy(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[allow(clippy::needless_pass_by_value)] // For `map_err`.
pub(super) fn unnamed(error: NameError) -> Error {
    Error::InvalidRequest(error.to_string().into())
}

/// Whether a change is at all of Route 53's servers.
pub(super) async fn in_sync(client: &Client, change_id: &str) -> Result<bool, Error> {
    let now = client
        .get_change()
        .id(change_id)
        .send()
        .await
        .map_err(|error| classify("GetChange", &error))?;
    Ok(now
        .change_info
        .is_some_and(|change| change.status == ChangeStatus::Insync))
}

/// Which record serves, and what the functions' alias for it is on.
pub(super) async fn observe(
    client: &Client,
    aliases: &Aliases,
    asked: &Route53,
    functions: &[FunctionRequest],
) -> Result<Observed, Error> {
    let shown = format!("{} {}", asked.record_name, asked.record_type);
    let [one, other] = asked.set_identifiers.as_slice() else {
        return Err(Error::InvalidRequest(
            "traffic.setIdentifiers: must be two".into(),
        ));
    };
    let zone = asked.hosted_zone_id.as_ref();
    let mut sets = read(client, zone, &asked.record_name, asked.record_type).await?;
    let missing = |identifier: &SetIdentifier| {
        Error::ValidationFailed(format!(
            "{shown} in {zone} has no weighted record with set identifier \"{identifier}\"; make both \
             records first, one with weight 100 and one with weight 0"
        ).into())
    };
    let first = take(&mut sets, one).ok_or_else(|| missing(one))?;
    let second = take(&mut sets, other).ok_or_else(|| missing(other))?;
    alone(&shown, &sets)?;
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
    let ttl = serving.ttl.and_then(|ttl| u32::try_from(ttl).ok());
    Ok(Observed {
        door: FrontDoor::Route53(Records {
            hosted_zone_id: asked.hosted_zone_id.clone(),
            record_name: asked.record_name.clone(),
            record_type: asked.record_type,
            blue: blue.clone(),
            green: green.clone(),
            dns_seconds: asked.dns_seconds.or(ttl).unwrap_or(ALIAS_TTL_SECONDS),
            layer,
            idle: Some(idle.into_iter().flatten().collect()),
        }),
        functions,
        warnings: Vec::new(),
    })
}

/// All weighted records of a name and type. The list is positioned at them, and goes on after them.
async fn read(
    client: &Client,
    zone: &str,
    name: &RecordName,
    kind: RecordType,
) -> Result<Vec<ResourceRecordSet>, Error> {
    let word: &str = kind.into();
    let kind = RrType::from(word);
    let page = client
        .list_resource_record_sets()
        .hosted_zone_id(zone)
        .start_record_name(name.as_ref())
        .start_record_type(kind.clone())
        .max_items(PAGE)
        .send()
        .await
        .map_err(|error| classify("ListResourceRecordSets", &error))?;
    let these = |set: &ResourceRecordSet| name.is(&set.name) && set.r#type == kind;
    Ok(page
        .resource_record_sets
        .into_iter()
        .filter(these)
        .collect())
}

fn take(
    sets: &mut Vec<ResourceRecordSet>,
    identifier: &SetIdentifier,
) -> Option<ResourceRecordSet> {
    let is = |set: &ResourceRecordSet| {
        set.set_identifier.as_deref() == Some(identifier.as_ref()) && set.weight.is_some()
    };
    let index = sets.iter().position(is)?;
    Some(sets.swap_remove(index))
}

/// A third record with weight would take a share of what is meant for two.
fn alone(shown: &str, others: &[ResourceRecordSet]) -> Result<(), Error> {
    match others.iter().find(|set| weight(set) > 0) {
        None => Ok(()),
        Some(set) => Err(Error::ChangedOutside(
            format!(
                "{shown}: a third record, \"{}\", has weight {}",
                set.set_identifier.as_deref().unwrap_or("(none)"),
                weight(set)
            )
            .into(),
        )),
    }
}

fn gone(shown: &str, identifier: &SetIdentifier) -> Error {
    Error::ChangedOutside(format!("{shown}: the record \"{identifier}\" is gone").into())
}

fn weight(set: &ResourceRecordSet) -> u32 {
    set.weight
        .and_then(|weight| u32::try_from(weight).ok())
        .unwrap_or_default()
}
