//! Reading everything that the plans depend on.

use std::collections::BTreeMap;

use crossfade::{
    domain::{
        Timestamp,
        names::{AliasName, FunctionName},
        record::Status,
        routing::alias::Primary,
        stage_wiring::{Api, Ask, LATEST_ALIAS, Seen, Wiring},
    },
    error::Error,
};

use crate::{
    Handler, refused,
    request::{Direction, WiringRequest},
};

impl Handler {
    /// What is requested, with its function, and what is there.
    pub(crate) async fn observe(
        &self,
        wanted: &WiringRequest,
        now: Timestamp,
    ) -> Result<(Ask, Seen), Error> {
        let (api, wirings) = futures::try_join!(
            self.gateway.api(&wanted.api_id),
            self.ledger.wirings(&wanted.api_id)
        )?;
        let ask = Ask {
            application: wanted.application.clone(),
            api_id: wanted.api_id.clone(),
            stage: wanted.stage.clone(),
            alias: wanted.alias.clone(),
            function_name: function_name(wanted, &api, &wirings)?,
        };
        let function = &ask.function_name;
        let latest_alias: AliasName = LATEST_ALIAS.parse().expect("it is an alias's name");
        // First, for it says best that there is none.
        let (arn, code) = self.aliases.latest(function).await?;
        let (aliases, own_policy, policy, latest_policy, users) = futures::try_join!(
            self.aliases.all(function),
            self.aliases.policy(function, None),
            self.aliases.policy(function, Some(&ask.alias)),
            self.aliases.policy(function, Some(&latest_alias)),
            self.users(wanted, &ask, now),
        )?;
        let aliases: BTreeMap<_, _> = aliases.into_iter().collect();
        let other_code = match aliases.get(ask.alias.as_ref()).map(|alias| &alias.primary) {
            Some(Primary::Version(version)) => {
                self.functions.version(function, version).await?.code_sha256 != code
            }
            Some(Primary::Latest | Primary::LatestPublished) | None => false,
        };
        let (mine, others): (Vec<_>, Vec<_>) = wirings.into_iter().partition(|wiring| {
            wiring.stage == ask.stage && wiring.function_name == ask.function_name
        });
        let seen = Seen {
            function_arn: arn,
            aliases,
            policies: BTreeMap::from([
                (ask.alias.to_string(), policy),
                (latest_alias.to_string(), latest_policy),
            ]),
            own_policy,
            other_code,
            users,
            api,
            wiring: mine.into_iter().next(),
            others,
        };
        Ok((ask, seen))
    }

    /// Who else uses the alias; asked only when it may be deleted.
    async fn users(
        &self,
        wanted: &WiringRequest,
        ask: &Ask,
        now: Timestamp,
    ) -> Result<BTreeMap<String, Vec<String>>, Error> {
        if wanted.verb == Direction::Wire {
            return Ok(BTreeMap::new());
        }
        let mut users = self.aliases.users(&ask.function_name, &ask.alias).await?;
        // Blue is promised to be ready for as long as a release can be taken back.
        if let Some(execution) = self.ledger.promoted_last(&ask.application).await?
            && let Some(record) = self.ledger.get(&execution).await?
            && record.status == Status::Promoted
            && let Some(until) = record.retain_until.filter(|until| now < *until)
            && record
                .footprint
                .iter()
                .flat_map(|it| &it.functions)
                .any(|target| {
                    target.function_name == ask.function_name
                        && target.alias.as_ref() == Some(&ask.alias)
                })
        {
            users.push(format!(
                "{execution} can be taken back until {}",
                until.to_rfc3339()
            ));
        }
        Ok(BTreeMap::from([(ask.alias.to_string(), users)]))
    }
}

/// The function that is meant: as requested, or the only one that it can be.
fn function_name(
    wanted: &WiringRequest,
    api: &Api,
    wirings: &[Wiring],
) -> Result<FunctionName, Error> {
    if let Some(named) = &wanted.function_name {
        return Ok(named.clone());
    }
    let on_record = wirings.iter().filter(|wiring| wiring.stage == wanted.stage);
    let mut names: Vec<String> = on_record
        .map(|wiring| wiring.function_name.to_string())
        .collect();
    if names.is_empty() {
        let stage = api.stage(&wanted.stage).map_err(refused)?;
        names = api.functions_of(stage).into_iter().collect();
    }
    match &names[..] {
        [only] => only.parse().map_err(|_| {
            Error::InvalidRequest(
                format!("frontDoor: the stage calls {only:?}, which is no function").into(),
            )
        }),
        [] => Err(Error::InvalidRequest(
            format!(
                "frontDoor: stage {} of API {} calls no Lambda function",
                wanted.stage, wanted.api_id
            )
            .into(),
        )),
        several => Err(Error::InvalidRequest(
            format!(
                "frontDoor.functionName: is missing; the stage calls {}: name one",
                several.join(", ")
            )
            .into(),
        )),
    }
}
