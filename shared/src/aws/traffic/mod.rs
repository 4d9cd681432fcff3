//! What splits traffic: one small interface, a module for each kind of front door.
//!
//! A kind reads what is, sets green's share, proves it by reading, and puts all traffic back on blue;
//! before that it says who is blue, and makes green reachable while it has no share. Nothing outside
//! of this folder asks which kind it is.

mod alb;
mod alias;
mod route53;
mod weighted;

use std::{collections::BTreeSet, sync::OnceLock};

use aws_config::SdkConfig;

use crate::{
    aws::ledger::Leave,
    domain::{
        front_door::FrontDoor,
        names::{AliasName, FunctionName, Version},
        release::{Footprint, InForce, Target},
        routing::Alias,
        shares::rounded,
        weight::Weight,
    },
    error::Error,
    wire::request::{FunctionRequest, ReleaseRequest, Traffic as Asked},
};

/// How often a write is decided anew when what it is about changes meanwhile. Each turn means that
/// somebody wrote between our reading and our writing; more than this in a row is no coincidence.
const TURNS: u32 = 5;

/// A shift or promotion that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// The targets as they now are.
    pub functions: Vec<Target>,
    /// When it is in force.
    pub in_force: InForce,
}

/// Whether a function may still be about to write what was decided on before: one of an execution that
/// is over, or one that Step Functions has given up and tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// It may.
    Possible,
    /// Nothing was decided on yet.
    Impossible,
}

/// Traffic that was put back on blue.
#[derive(Clone, Debug, PartialEq)]
pub struct PutBack {
    /// The targets as they now are.
    pub functions: Vec<Target>,
    /// Where somebody else had moved the traffic: their value stands. A sentence each.
    pub changed_outside: Vec<String>,
}

/// One function as it serves before a release.
#[derive(Clone, Debug, PartialEq)]
pub struct Serving {
    /// The alias that callers reach blue by; none behind a load balancer that calls a version.
    pub alias: Option<AliasName>,
    /// That alias as it is; none when there is none yet (a first release).
    pub seen: Option<Alias>,
    /// The version that a load balancer calls without an alias.
    pub version: Option<Version>,
}

/// What stands before the functions at the beginning of a release.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The door, with the roles of the colours.
    pub door: FrontDoor,
    /// The functions, in the request's order.
    pub functions: Vec<Serving>,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// What each kind can do with a release that is on its way.
trait Router {
    /// Gives green `to`, from the weight that it was given before, for as long as there is leave to.
    ///
    /// # Errors
    /// [`Error::ChangedOutside`] when traffic is at neither. [`Error::DeploymentRolledBack`] when the
    /// leave was lost on the way: then what was written is on blue again.
    async fn shift(
        &self,
        leave: Leave<'_>,
        of: &Footprint,
        from: Weight,
        to: Weight,
    ) -> Result<Moved, Error>;

    /// Makes green what serves, in as many writes as a shift takes.
    ///
    /// # Errors
    /// [`Error::ChangedOutside`] when traffic is not where the last shift left it.
    /// [`Error::DeploymentRolledBack`] as for a shift.
    async fn promote(&self, leave: Leave<'_>, of: &Footprint, from: Weight)
    -> Result<Moved, Error>;

    /// Puts all traffic back on blue, from every state that a deployment with this plan can have
    /// caused.
    ///
    /// Where something may come late, what is on blue is written to as well, so that no write which was
    /// decided on before applies any more; nothing where there are no revisions to do that with.
    ///
    /// # Errors
    /// [`Error::Transient`] when AWS did not answer for a part; the rest is on blue.
    async fn restore(&self, of: &Footprint, late: Late) -> Result<PutBack, Error>;

    /// Puts all traffic back on blue with as few calls as that takes while nothing has changed since
    /// the footprint was written. The functions for which that was so; the others are as they were,
    /// or nobody knows.
    async fn restore_at_once(&self, of: &Footprint) -> BTreeSet<FunctionName>;
}

/// All front doors; the clients of each are made when it is first needed.
#[derive(Debug)]
pub struct Traffic {
    config: SdkConfig,
    aliases: alias::Aliases,
    route53: OnceLock<aws_sdk_route53::Client>,
    elb: OnceLock<aws_sdk_elasticloadbalancingv2::Client>,
}

/// Calls a method of the kind that a door is. Boxed: an SDK's futures nest so deep that two kinds of
/// them in one are more than the compiler looks into.
macro_rules! with {
    ($self:ident, $door:expr, $router:ident => $call:expr) => {
        match $door {
            FrontDoor::Alias => {
                let $router = &$self.aliases;
                Box::pin($call).await
            }
            FrontDoor::Route53(records) => {
                let $router = &route53::Pair::new($self.route53(), records);
                Box::pin($call).await
            }
            FrontDoor::Alb(forward) => {
                let $router = &alb::Pair::new($self.elb(), forward);
                Box::pin($call).await
            }
        }
    };
}

impl Traffic {
    /// Clients on `config`.
    #[must_use]
    pub fn new(config: &SdkConfig) -> Self {
        Self {
            config: config.clone(),
            aliases: alias::Aliases::new(config),
            route53: OnceLock::new(),
            elb: OnceLock::new(),
        }
    }

    fn route53(&self) -> &aws_sdk_route53::Client {
        self.route53.get_or_init(|| route53::client(&self.config))
    }

    fn elb(&self) -> &aws_sdk_elasticloadbalancingv2::Client {
        self.elb
            .get_or_init(|| aws_sdk_elasticloadbalancingv2::Client::new(&self.config))
    }

    /// Reads what serves, and which part is whose.
    ///
    /// # Errors
    /// [`Error::ChangedOutside`] when traffic is split: someone else is shifting it.
    /// [`Error::ValidationFailed`] where the release does not fit what stands there.
    pub async fn observe(&self, request: &ReleaseRequest) -> Result<Observed, Error> {
        let functions = &request.functions;
        let mut observed = match &request.traffic {
            Asked::Alias => Box::pin(self.aliases.observe(functions)).await,
            Asked::Route53(records) => {
                Box::pin(route53::observe(
                    self.route53(),
                    &self.aliases,
                    records,
                    functions,
                ))
                .await
            }
            Asked::Alb(alb) => {
                Box::pin(alb::observe(self.elb(), &self.aliases, alb, functions)).await
            }
        }?;
        if let Some(scale) = request.traffic.scale() {
            observed.warnings.extend(rounded(&request.plan(), scale));
        }
        Ok(observed)
    }

    /// Makes green reachable while it has no share, and says how it is then called.
    pub async fn stage(&self, door: &FrontDoor, functions: &mut [Target]) -> Result<(), Error> {
        match door {
            FrontDoor::Alias => Ok(()),
            FrontDoor::Route53(records) => {
                Box::pin(route53::stage(&self.aliases, records, functions)).await
            }
            FrontDoor::Alb(forward) => {
                Box::pin(alb::stage(self.elb(), &self.aliases, forward, functions)).await
            }
        }
    }

    /// See [`Router::shift`].
    pub async fn shift(
        &self,
        leave: Leave<'_>,
        of: &Footprint,
        from: Weight,
        to: Weight,
    ) -> Result<Moved, Error> {
        if from == to {
            return Ok(Moved {
                functions: of.functions.clone(),
                in_force: InForce::AtOnce,
            });
        }
        with!(self, &of.traffic, router => router.shift(leave, of, from, to))
    }

    /// See [`Router::promote`].
    pub async fn promote(
        &self,
        leave: Leave<'_>,
        of: &Footprint,
        from: Weight,
    ) -> Result<Moved, Error> {
        with!(self, &of.traffic, router => router.promote(leave, of, from))
    }

    /// See [`Router::restore`].
    pub async fn restore(&self, of: &Footprint, late: Late) -> Result<PutBack, Error> {
        with!(self, &of.traffic, router => router.restore(of, late))
    }

    /// See [`Router::restore_at_once`].
    pub async fn restore_at_once(&self, of: &Footprint) -> BTreeSet<FunctionName> {
        with!(self, &of.traffic, router => router.restore_at_once(of))
    }

    /// Whether a change of records is in force at all of Route 53's servers.
    pub async fn in_sync(&self, change_id: &str) -> Result<bool, Error> {
        route53::in_sync(self.route53(), change_id).await
    }

    /// Pins an alias to a version, where it points at `$LATEST`: the same code, which from now on
    /// cannot change under it, and can share traffic.
    pub async fn pin(
        &self,
        function: &FunctionName,
        alias: &AliasName,
        version: &Version,
    ) -> Result<Alias, Error> {
        self.aliases.pin(function, alias, version).await
    }
}

/// The alias that a request names for a function. It is missing only behind a load balancer.
fn alias_of(asked: &FunctionRequest) -> Result<&AliasName, Error> {
    asked.alias.as_ref().ok_or_else(|| {
        Error::InvalidRequest(format!("{} has no alias to release", asked.function_name))
    })
}
