//! Takes the locks, makes green, and fixes what the release will do.
//!
//! Everything that can be known before anything is touched is looked at first; and whatever is
//! touched is such that to begin again finds it done: a publication that changes nothing yields the
//! version that exists.

mod choices;
mod green;
mod listen;
mod locks;
mod requested;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, env};

use crossfade::{
    admission::{
        Admission, Found, Limits, Place, Read, Seen, Settings, decide,
        observe::{self, SplitterFindings},
    },
    aws::{
        artifacts::Artifacts, executions::Executions, functions::Functions, ledger::Ledger,
        live::Lambda, logs::Logs, metrics::Metrics, notify::Notifier, traffic::Traffic,
    },
    domain::{
        Timestamp,
        analysis::{check::Evidence, counts::BluePast, source::Source},
        capacity::Capacity,
        health::of_green,
        live::lane::Lane,
        migration::Migration,
        moved::{Observed, Serving},
        names::FunctionName,
        page_link::PageKey,
        record::Status,
        release::{GoesBack, Release, Spec},
        status::DeploymentStatus,
        target::Target,
        traffic::Splitter,
    },
    error::Error,
    notice::Notice,
    wire::{
        graph::{End, Next, Output},
        outcome::{FunctionOutcome, Outcome},
        request::ReleaseRequest,
        task::{Task, task},
    },
};
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::{
    choices::{approval, extend_new, hold, moving, plan, truncate_warnings, wired},
    green::{Prepared, Wanted},
};

/// What a release is admitted with under its locks.
struct Locked {
    admitted: Admission,
    observed: Observed,
    known: Known,
}

/// What was read of the functions before anything was touched, in the request's order.
struct Known {
    /// The settings of what serves.
    blues: Vec<Read<Settings>>,
    functions: Vec<Read<Option<Found>>>,
    capacity: Vec<Read<Capacity>>,
}

/// Reads what the stack was deployed for.
fn limits() -> Limits {
    Limits::of_variables(|name| env::var(name).unwrap_or_default())
}

/// What the handler acts on.
#[derive(Debug)]
pub struct Handler {
    artifacts: Artifacts,
    executions: Executions,
    functions: Functions,
    lambda: Lambda,
    ledger: Ledger,
    logs: Option<Logs>,
    metrics: Metrics,
    notifier: Notifier,
    traffic: Traffic,
}

/// Makes the key that links to pages are signed with.
fn page_key() -> Result<PageKey, Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::Transient(format!("no randomness for the key of pages: {error}").into())
    })?;
    Ok(PageKey::from_random(bytes))
}

impl Handler {
    /// A handler with clients on `config`.
    #[must_use]
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        let ledger = Ledger::new(config);
        let notifier = Notifier::new(config, &ledger).making_a_page_key(page_key);
        Self {
            artifacts: Artifacts::new(config),
            executions: Executions::new(config),
            functions: Functions::new(config),
            lambda: Lambda::new(config),
            ledger,
            logs: Logs::listening(config),
            metrics: Metrics::new(config),
            notifier,
            traffic: Traffic::new(config),
        }
    }

    /// Makes green of a request: a [`Release`], or an [`Outcome`] when there is nothing to release.
    #[allow(clippy::too_many_lines)] // The order of what is observed and done, once.
    pub async fn handle(&self, payload: Value) -> Result<Value, Error> {
        let mut task: Task<Value> = task(payload)?;
        let mut warnings = wired(&mut task.state);
        let requested = Box::pin(self.requested(&task)).await?;
        warnings.extend(requested.warnings);
        let (mut request, back) = (requested.release, requested.back);
        let (admitted, seen) = self.admit(&request, &task, back.as_ref()).await?;
        let by = request.override_freeze.clone();
        let by = by.as_ref().filter(|_| admitted.overrides_windows);

        let request_of = back.as_ref().and_then(|back| back.request_of.as_deref());
        let taken = Box::pin(self.take_locks(&task, &request, by, request_of)).await?;
        let Locked {
            admitted: again,
            observed,
            known,
        } = self.admit_locked(&request, &task, seen).await?;
        if back.is_some() {
            requested::keep_the_others(&mut request, &observed.functions);
        }
        let names = request.functions.iter().map(|asked| &asked.function_name);
        let bypasses = try_join_all(names.map(|name| self.functions.bypasses(name))).await?;
        let mut splitter = observed.splitter;
        warnings.extend(admitted.warnings);
        extend_new(&mut warnings, again.warnings);
        warnings.extend(taken);
        warnings.extend(observed.warnings);
        warnings.extend(bypasses.into_iter().flatten());

        let prepared = self
            .prepare_all(&request, observed.functions, &known, &splitter, task.now)
            .await?;
        warnings.extend(prepared.iter().flat_map(|one| one.warnings.clone()));
        let slowest_seconds = prepared.iter().map(|one| one.slowest_seconds).max();
        let (changed, same): (Vec<Prepared>, Vec<Prepared>) =
            prepared.into_iter().partition(Prepared::changes);
        if changed.is_empty() && !same.is_empty() {
            return self
                .nothing_to_release(&task, &request, &same, warnings)
                .await;
        }
        let (functions, left_out) = moving(&splitter, changed, same, &mut warnings);
        self.traffic.ready(&splitter, &functions).await?;

        let pasts = self.past(&mut splitter, &functions, &request, task.now);
        let (past, source_past) = pasts.await?;
        let plan = plan(&request, &splitter, &functions);
        let mut analysis = request.analysis.clone();
        analysis.health_checks = of_green(&analysis.health_checks, &splitter);
        let evidence = Evidence {
            override_freeze: by.cloned(),
            accepted_reachable: again.accepted_reachable,
            ..Evidence::default()
        };
        let ears = self
            .ears(&task.execution, &request, &functions, &splitter, &past)
            .await;
        warnings.extend(ears.warnings);
        let lane = Lane::of(&task.execution, &analysis, ears.ears);
        let (listens_to, deaf) =
            Box::pin(self.arm(&lane, &ears.formats, &analysis, task.now)).await;
        warnings.extend(deaf);
        let spec = Spec {
            application: request.application.clone(),
            about: request.about(),
            started_at: task.now,
            goes_back: back,
            left_out,
            slowest_seconds: slowest_seconds.unwrap_or_default(),
            past,
            source_past,
            plan,
            traffic: splitter,
            idle_wait_seconds: again.idle_wait_seconds,
            analysis,
            preexisting_alarms: again.preexisting_alarms,
            hold: hold(&request),
            approval: approval(&request),
            blue_hours: request.retention.blue_hours,
            keep_versions: request.retention.keep_versions,
            hooks: request.hooks.clone(),
            listens_to,
        };
        let migration = request.migration.as_ref().map(Migration::from);
        let release = Release::new(
            spec,
            functions,
            migration,
            truncate_warnings(warnings),
            evidence,
        );
        self.ledger
            .launch(&task.execution, task.retries, &release)
            .await?;
        let begun = Notice::started(&task.execution, task.now, &release);
        self.notifier.mention(&begun).await;
        tracing::info!(
            event = "green_published",
            deployment.id = task.execution,
            application = %release.spec.application,
            functions = release.progress().functions.len(),
            steps = release.spec.plan.steps().len(),
            "Published green."
        );
        Ok(json!(Output::of(release, Next::deployed)))
    }

    /// Makes green of each function, in the request's order.
    async fn prepare_all(
        &self,
        request: &ReleaseRequest,
        serving: Vec<Serving>,
        known: &Known,
        splitter: &Splitter,
        now: Timestamp,
    ) -> Result<Vec<Prepared>, Error> {
        let description = request.about().of_version();
        let description = description.as_deref();
        let each = request.functions.iter().enumerate().zip(serving);
        let each = each.map(|((index, asked), serving)| {
            let found = known.functions.get(index).and_then(Read::seen);
            let found = found.and_then(Option::as_ref);
            let wanted = Wanted {
                index,
                asked,
                description,
                blue: known.blues.get(index).and_then(Read::seen),
                source_key: found.and_then(|found| found.source_key.as_deref()),
                capacity: known.capacity.get(index).and_then(Read::seen),
            };
            self.prepare(wanted, serving, splitter, now)
        });
        try_join_all(each).await
    }

    /// Asks whether the release may begin, before it touches anything: first by what the stack was deployed
    /// for, so that nothing is read that the stack may not read, and then by what the account has.
    async fn admit(
        &self,
        request: &ReleaseRequest,
        task: &Task<Value>,
        back: Option<&GoesBack>,
    ) -> Result<(Admission, Seen), Error> {
        let limits = match back {
            Some(_) => limits().at_any_time(),
            None => limits(),
        };
        let stack = Seen {
            place: Place::of(&task.execution),
            limits: Read::Seen(limits),
            // The state that wires asked the windows before it wrote, and only behind it is this here.
            wired: request.front_door.is_some(),
            ..Seen::default()
        };
        decide(request, &stack, task.now).admit()?;
        let world = observe::world(
            &self.functions,
            &self.artifacts,
            &self.metrics,
            Some(&self.ledger),
            request,
            task.now,
        );
        let seen = Seen {
            place: stack.place,
            limits: stack.limits,
            wired: stack.wired,
            ..Box::pin(world).await
        };
        let admission = decide(request, &seen, task.now);
        admission.admit()?;
        Ok((admission, seen))
    }

    /// Asks again under the locks, by what only now stays as it is read: what splits the traffic, and what
    /// may have changed while the locks were taken.
    async fn admit_locked(
        &self,
        request: &ReleaseRequest,
        task: &Task<Value>,
        seen: Seen,
    ) -> Result<Locked, Error> {
        let seen = Seen {
            // Asked of the beginning, and not of how long the locks took.
            limits: Read::NotAsked,
            artifacts: Vec::new(),
            callees: BTreeMap::new(),
            ..seen
        };
        let world = observe::world_again(&self.metrics, &self.ledger, request, task.now, seen);
        let (mut seen, splitter) = futures::join!(
            Box::pin(world),
            Box::pin(observe::splitter(
                &self.traffic,
                Some(&self.ledger),
                request
            )),
        );
        let SplitterFindings {
            problems,
            observed,
            ways,
            warnings,
        } = splitter;
        seen.splitter = problems;
        seen.ways = ways;
        if let Some(observed) = &observed {
            let serving = &observed.functions;
            seen.counted = observe::counted(&self.metrics, request, observed, task.now).await;
            seen.blues = observe::blues(&self.functions, request, serving).await;
            let capacity = observe::capacity(&self.functions, request, serving, &seen.blues);
            seen.capacity = capacity.await;
        }
        let mut admitted = decide(request, &seen, task.now);
        admitted.admit()?;
        admitted.warnings.extend(warnings);
        // What AWS did not let be read here is needed, and refuses the release.
        let unknown = admitted.unknown.first().map(ToString::to_string);
        match (unknown, observed) {
            (None, Some(observed)) => Ok(Locked {
                admitted,
                observed,
                known: Known {
                    blues: seen.blues,
                    functions: seen.functions,
                    capacity: seen.capacity,
                },
            }),
            (unknown, _) => Err(Error::Refused(unknown.unwrap_or_default().into())),
        }
    }

    /// What each function's blue showed so far, and the same of what else counts it, by the request's field; and that
    /// of the splitter's blue, which the splitter keeps.
    async fn past(
        &self,
        splitter: &mut Splitter,
        functions: &[Target],
        request: &ReleaseRequest,
        now: Timestamp,
    ) -> Result<(BTreeMap<FunctionName, BluePast>, BTreeMap<String, BluePast>), Error> {
        let counted = splitter.counted(functions);
        let sources = request.analysis.sources(functions);
        let first = |source: &Source| {
            Some((
                source.path.clone(),
                source.counted().first().copied()?.clone(),
            ))
        };
        let (paths, more): (Vec<_>, Vec<_>) = sources.iter().filter_map(first).unzip();
        let all: Vec<_> = counted.iter().chain(&more).collect();
        let slower_than_ms = request.analysis.slower_than_ms;
        let mut pasts = self
            .metrics
            .past(&all, slower_than_ms, now)
            .await?
            .into_iter();
        let names = functions.iter().map(|target| target.function_name.clone());
        let each = names.zip(pasts.by_ref()).collect::<Vec<_>>();
        if counted.len() > functions.len() {
            splitter.set_blue_past(pasts.next().flatten());
        }
        let each = each.into_iter();
        Ok((
            each.filter_map(|(name, past)| Some((name, past?)))
                .collect(),
            paths
                .into_iter()
                .zip(pasts)
                .filter_map(|(path, past)| Some((path, past?)))
                .collect(),
        ))
    }

    async fn nothing_to_release(
        &self,
        task: &Task<Value>,
        request: &ReleaseRequest,
        same: &[Prepared],
        warnings: Vec<String>,
    ) -> Result<Value, Error> {
        if let Some(record) = self.ledger.get(&task.execution).await? {
            self.ledger
                .end(&record, Status::Unchanged, task.now, None)
                .await?;
        }
        let outcome = Outcome {
            deployment_status: DeploymentStatus::NoChange,
            application: Some(request.application.clone()),
            about: request.about(),
            functions: same
                .iter()
                .map(|one| FunctionOutcome {
                    serving: Some(one.target.green_version.clone()),
                    ..FunctionOutcome::from(&one.target)
                })
                .collect(),
            reason: "green is the version that serves already".into(),
            evidence: Evidence::default(),
            steps: Vec::new(),
            answers: Vec::new(),
            warnings: truncate_warnings(warnings),
            sides: None,
            served_by: Vec::new(),
            retain_until: None,
            front_door: None,
            hook: None,
            help: None,
        };
        let ended = Notice::ended(&task.execution, task.now, &outcome);
        self.notifier.deliver(&ended).await?;
        Ok(json!(End::of(task, outcome, None)))
    }
}
