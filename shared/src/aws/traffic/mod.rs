//! What splits traffic: one small interface, a module for each kind of front door.
//!
//! A kind reads what is, sets green's share, proves it by reading, and puts all traffic back on blue.
//! Before that it says who is blue, and registers green on the idle side once it is validated; after a
//! release that was not promoted it puts back what the idle side held. Nothing outside of this folder
//! asks which kind it is.

mod alb;
mod alias;
mod reachable;
mod route53;
mod weighted;

pub use self::alb::GroupTarget;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use aws_config::SdkConfig;
use futures::future::join_all;

use crate::{
    aws::{capacity, ledger::Leave},
    domain::{
        Timestamp,
        capacity::LeftBehind,
        names::{AliasName, FunctionName, Version, resources::TargetGroupArn},
        release::{Footprint, InForce, Target},
        routing::{alias::Alias, weighted::rounded},
        traffic::FrontDoor,
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
    /// What serves now, where green has all of it.
    pub serves: Serves,
    /// What people should know. A sentence each.
    pub notes: Vec<String>,
}

/// What serves, as it was read after the last write; empty where nothing was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serves {
    /// The version that each function's traffic reaches.
    pub versions: BTreeMap<FunctionName, Version>,
    /// The target group or record that has the traffic; none of an alias.
    pub by: Vec<String>,
}

impl Serves {
    /// Adds what was read elsewhere.
    pub fn extend(&mut self, other: Self) {
        self.versions.extend(other.versions);
        for by in other.by {
            if !self.by.contains(&by) {
                self.by.push(by);
            }
        }
    }
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
    /// Where somebody else had moved the traffic, so that their value stands, and where blue could not
    /// be put back, so that nothing was moved. A sentence each.
    pub changed_outside: Vec<String>,
    /// Whether weights were moved.
    pub moved: bool,
    /// What serves now.
    pub serves: Serves,
    /// What people should know. A sentence each.
    pub notes: Vec<String>,
}

impl PutBack {
    /// Nothing has been done to `functions` yet.
    fn of(functions: &[Target]) -> Self {
        Self {
            functions: functions.to_vec(),
            changed_outside: Vec::new(),
            moved: false,
            serves: Serves::default(),
            notes: Vec::new(),
        }
    }
}

/// Traffic that was put back with as few calls as that takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AtOnce {
    /// The functions whose traffic is on blue; the others are as they were, or nobody knows.
    pub functions: BTreeSet<FunctionName>,
    /// What serves now.
    pub serves: Serves,
    /// Whether weights were moved.
    pub moved: bool,
    /// What people should know. A sentence each.
    pub notes: Vec<String>,
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
    /// Registers green on the idle side, for as long as there is leave to: only what has passed
    /// validation may be reached by any path.
    ///
    /// # Errors
    /// [`Error::ChangedOutside`] when the idle side does not hold what was recorded of it.
    async fn stage(&self, leave: Leave<'_>, of: &Footprint) -> Result<(), Error>;

    /// Sees that what is to serve can, where that is not a function.
    async fn ready(&self, of: &[Target]) -> Result<(), Error>;

    /// Puts back what the idle side held when the release began, once all traffic is on blue. `served`
    /// says whether green has had weight. Returns what people should know, a sentence each.
    ///
    /// # Errors
    /// [`Error::Transient`] when AWS did not answer. What it refuses is no error: it is told.
    async fn unstage(&self, of: &Footprint, served: bool) -> Result<Vec<String>, Error>;

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
    /// Where blue has a side of its own, that is read first, and holds the version recorded as blue before
    /// weights move. `served` says whether green has had weight: where it never had, blue's side is only
    /// read.
    ///
    /// # Errors
    /// [`Error::Transient`] when AWS did not answer for a part; the rest is on blue.
    async fn restore(&self, of: &Footprint, late: Late, served: bool) -> Result<PutBack, Error>;

    /// Puts all traffic back on blue with as few calls as that takes while nothing has changed since
    /// the footprint was written.
    async fn restore_at_once(&self, of: &Footprint) -> AtOnce;

    /// Reads what serves, and changes nothing. Empty for traffic that is split, and for what could not
    /// be read.
    async fn serves(&self, of: &Footprint) -> Serves;
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
                let $router = &route53::Pair::new($self.route53(), &$self.aliases, records);
                Box::pin($call).await
            }
            FrontDoor::Alb(forward) => {
                let $router = &alb::Pair::new($self.elb(), &$self.aliases, forward);
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

    /// Reads what is registered in a load balancer's group, and how it is.
    pub async fn targets(&self, group: &TargetGroupArn) -> Result<Vec<GroupTarget>, Error> {
        Box::pin(alb::health(self.elb(), group)).await
    }

    /// See `Router::stage`.
    pub async fn stage(&self, leave: Leave<'_>, of: &Footprint) -> Result<(), Error> {
        with!(self, &of.traffic, router => router.stage(leave, of))
    }

    /// See `Router::ready`.
    pub async fn ready(&self, door: &FrontDoor, functions: &[Target]) -> Result<(), Error> {
        with!(self, door, router => router.ready(functions))
    }

    /// See `Router::unstage`.
    pub async fn unstage(&self, of: &Footprint, served: bool) -> Result<Vec<String>, Error> {
        with!(self, &of.traffic, router => router.unstage(of, served))
    }

    /// See `Router::shift`.
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
                serves: Serves::default(),
                notes: Vec::new(),
            });
        }
        let first = Box::pin(First::begin(leave, from)).await?;
        let moved = with!(self, &of.traffic, router => router.shift(leave, of, from, to));
        Box::pin(first.settle(of, &moved)).await;
        moved
    }

    /// See `Router::promote`.
    pub async fn promote(
        &self,
        leave: Leave<'_>,
        of: &Footprint,
        from: Weight,
    ) -> Result<Moved, Error> {
        let first = Box::pin(First::begin(leave, from)).await?;
        let moved = with!(self, &of.traffic, router => router.promote(leave, of, from));
        Box::pin(first.settle(of, &moved)).await;
        moved
    }

    /// See `Router::restore`.
    pub async fn restore(
        &self,
        of: &Footprint,
        late: Late,
        served: bool,
    ) -> Result<PutBack, Error> {
        with!(self, &of.traffic, router => router.restore(of, late, served))
    }

    /// See `Router::restore_at_once`.
    pub async fn restore_at_once(&self, of: &Footprint) -> AtOnce {
        with!(self, &of.traffic, router => router.restore_at_once(of))
    }

    /// See `Router::serves`.
    pub async fn serves(&self, of: &Footprint) -> Serves {
        with!(self, &of.traffic, router => router.serves(of))
    }

    /// Counts the durable executions that began on green since `began_at` and still run, of the functions
    /// that have any. What cannot be counted is told as such, a sentence each.
    pub async fn left_behind(
        &self,
        of: &Footprint,
        began_at: Timestamp,
    ) -> (Vec<LeftBehind>, Vec<String>) {
        let durable = of.functions.iter().filter(|target| target.is_durable);
        let each = durable.map(|target| async move {
            let (function, green) = (&target.function_name, &target.green_version);
            let client = self.aliases.client();
            let running = capacity::running(client, function, green, Some(began_at)).await;
            (target, running)
        });
        let (mut left, mut notes) = (Vec::new(), Vec::new());
        for (target, running) in join_all(each).await {
            match running {
                Ok(count) if count.running > 0 => left.push(LeftBehind {
                    function: target.function_name.clone(),
                    version: target.green_version.clone(),
                    count,
                }),
                Ok(_) => {}
                Err(error) => notes.push(format!(
                    "durable executions that began on green may run on, and could not be counted: {error}"
                )),
            }
        }
        (left, notes)
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

/// A write of green's first weight: it is on record before it is made, so that whoever ends the release
/// knows whether green may have had traffic.
struct First<'a> {
    /// None where green has had weight before, or may have had some by an earlier try.
    leave: Option<Leave<'a>>,
}

impl<'a> First<'a> {
    async fn begin(leave: Leave<'a>, from: Weight) -> Result<Self, Error> {
        let known = from == Weight::ZERO && !leave.begin_first_shift().await?;
        Ok(Self {
            leave: known.then_some(leave),
        })
    }

    /// Takes the record back where AWS has refused the only write that there was. Otherwise it stays: what
    /// became of a write that got no answer is unknown.
    async fn settle(self, of: &Footprint, moved: &Result<Moved, Error>) {
        let (Some(leave), Err(error)) = (self.leave, moved) else {
            return;
        };
        if is_one_write(of)
            && is_refusal(error)
            && let Err(untold) = leave.first_shift_refused().await
        {
            tracing::warn!(error.message = %untold, "Failed to record that the first shift was refused.");
        }
    }
}

/// Whether a shift is one write: of several, some may have been made when one is refused.
fn is_one_write(of: &Footprint) -> bool {
    match &of.traffic {
        FrontDoor::Alias => of.functions.len() == 1,
        door @ (FrontDoor::Route53(_) | FrontDoor::Alb(_)) => door.locks().len() == 1,
    }
}

/// Whether an error is an answer: nothing was written.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::InvalidRequest(_)
        | Error::ChangedOutside(_)
        | Error::ValidationFailed(_)
        | Error::Refused(_) => true,
        Error::DeploymentInProgress(_)
        | Error::MigrationFailed(_)
        | Error::DeploymentRolledBack(_)
        | Error::RollbackFailed(_)
        | Error::Transient(_) => false,
    }
}

/// The alias that a request names for a function. It is missing only behind a load balancer.
fn alias_of(asked: &FunctionRequest) -> Result<&AliasName, Error> {
    asked.alias.as_ref().ok_or_else(|| {
        Error::InvalidRequest(format!("{} has no alias to release", asked.function_name).into())
    })
}
