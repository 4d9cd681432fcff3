//! What all splitters have in common that keep two weights in one place, or in several that move together,
//! and let a side of its own stand behind each weight.

mod blue_side;

use std::collections::BTreeMap;

use futures::future::{join_all, try_join_all};

use self::blue_side::{Correction, correct_blue_side, serving};
use super::{
    ledger::Lease,
    splitter::{MAX_ATTEMPTS, SplitterProtocol},
};
use crate::{
    domain::{
        moved::{AtOnce, Late, Moved, RestoreReport, Serves},
        names::{FunctionName, Version},
        propagation::Effective,
        restore_point::RestorePoint,
        routing::weighted::{Scale, Shares, all_of, reconcile},
        side::{Content, Idle, Side, Staging, Unstaging, staging, unstaging},
        target::Target,
        traffic::Colour,
        weight::Weight,
    },
    error::Error,
    ports::LedgerStore,
};

/// Two weights in one or several places, each written in one call, and the two sides behind them.
pub(super) trait Weighted {
    /// One place that keeps both weights.
    type Place;
    /// What was read there, and what a write resends beside the weights.
    type Seen;

    /// What the weights are whole numbers of.
    const SCALE: Scale;

    /// Lists the places that move together.
    fn places(&self) -> Vec<Self::Place>;

    /// Names a place, for messages.
    fn shown(&self, place: &Self::Place) -> String;

    /// Names what has a colour's traffic, for messages.
    fn named(&self, colour: Colour) -> String;

    /// Reads the weights as they are.
    async fn read(&self, place: &Self::Place) -> Result<(Shares, Self::Seen), Error>;

    /// Writes both weights and leaves everything else as it was.
    async fn write(
        &self,
        place: &Self::Place,
        seen: Self::Seen,
        shares: Shares,
    ) -> Result<Effective, Error>;

    /// Says when a weight is in force that was found to be set already.
    fn already(&self) -> Effective;

    /// Reads a colour's side of each target, in their order; without targets, the side as a whole.
    async fn sides(&self, colour: Colour, targets: &[Target]) -> Result<Vec<Side>, Error>;

    /// Returns what a version of a target is registered as.
    fn id(&self, target: &Target, version: &Version) -> String;

    /// Returns what green's side of a target held when the release began; none where that is not
    /// recorded.
    fn before(&self, target: &Target) -> Option<Content>;

    /// Replaces what was seen on a colour's side of a target. Whether it came to that is known by
    /// reading again.
    async fn put(
        &self,
        colour: Colour,
        target: &Target,
        seen: &Side,
        content: &[String],
    ) -> Result<(), Error>;

    /// Sees that green's side can serve, where green is not a function.
    async fn healthy(&self) -> Result<(), Error>;
}

/// Brings green to `want` percent, and proves it by reading.
async fn forth<W: Weighted, S: LedgerStore>(
    splitter: &W,
    lease: Lease<'_, S>,
    of: &RestorePoint,
    want: Weight,
    ours: &[Weight],
) -> Result<Moved, Error> {
    let places = splitter.places();
    let mut written = None;
    let mut serves = Serves::default();
    for _ in 0..MAX_ATTEMPTS {
        let reads = try_join_all(places.iter().map(|place| splitter.read(place)));
        let seen = if written.is_none() {
            let (seen, sides) =
                futures::try_join!(reads, splitter.sides(Colour::Green, &of.functions))?;
            validated(&of.functions, &sides)?;
            serves = serving(splitter, Colour::Green, &of.functions, &sides);
            seen
        } else {
            reads.await?
        };
        let mut writes = Vec::new();
        for (place, (shares, seen)) in places.iter().zip(seen) {
            let decided = reconcile(shares, want, ours, W::SCALE).map_err(|conflict| {
                Error::ChangedOutside(format!("{} is {conflict}", splitter.shown(place)).into())
            })?;
            if let Some(shares) = decided {
                writes.push(splitter.write(place, seen, shares));
            }
        }
        if writes.is_empty() {
            return Ok(Moved {
                functions: of.functions.clone(),
                in_force: written.unwrap_or_else(|| splitter.already()),
                serves: if want == Weight::FULL {
                    serves
                } else {
                    Serves::default()
                },
                notes: Vec::new(),
            });
        }
        // Checked after the weights were read: a rollback records itself first.
        if let Err(lost) = lease.check().await {
            if written.is_some() {
                back(splitter, of, false).await?;
            }
            return Err(lost);
        }
        // All are waited for: a write that is not looked at any more would come after a rollback.
        for done in join_all(writes).await {
            written = Some(done?);
        }
    }
    Err(busy(splitter))
}

/// Sees that green's side holds the version that was validated.
fn validated(targets: &[Target], sides: &[Side]) -> Result<(), Error> {
    for (target, side) in targets.iter().zip(sides) {
        if side.version.as_ref() != Some(&target.green_version) {
            return Err(Error::ChangedOutside(format!(
                "{} holds {} instead of version {} of {}, which was validated; traffic is not moved to it",
                side.place,
                side.shown(),
                target.green_version,
                target.function_name
            ).into()));
        }
    }
    Ok(())
}

/// Puts all traffic back on blue: first blue's side, and then the weights.
///
/// `served` says whether green has had weight. Where it had none, and has none now, traffic never left
/// blue's side: what that holds is read, and not written.
async fn back<W: Weighted>(
    splitter: &W,
    of: &RestorePoint,
    served: bool,
) -> Result<RestoreReport, Error> {
    let ours = all_of(&of.plan);
    let places = splitter.places();
    let mut back = RestoreReport::of(&of.functions);
    for _ in 0..MAX_ATTEMPTS {
        let reads = join_all(places.iter().map(|place| splitter.read(place)));
        let (seen, sides) = futures::join!(reads, splitter.sides(Colour::Blue, &of.functions));
        back.changed_outside.clear();
        let (mut failed, mut is_ours, mut writes) = (None, false, Vec::new());
        for (place, seen) in places.iter().zip(seen) {
            match seen {
                Ok((shares, seen)) => match reconcile(shares, Weight::ZERO, &ours, W::SCALE) {
                    Ok(decided) => {
                        is_ours = true;
                        writes.extend(decided.map(|shares| async move {
                            splitter.write(place, seen, shares).await
                        }));
                    }
                    Err(conflict) => back
                        .changed_outside
                        .push(format!("{} is {conflict}", splitter.shown(place))),
                },
                Err(Error::ChangedOutside(what)) => back.changed_outside.push(what.reason),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        back.moved |= !writes.is_empty();
        if is_ours && (served || back.moved) {
            match correct_blue_side(splitter, of, &sides).await {
                Ok(Correction::Already) => {}
                Ok(Correction::Written(what)) => {
                    back.notes.extend(what);
                    continue;
                }
                Err(error @ Error::Transient(_)) => return Err(error),
                Err(error) => {
                    let what = format!("traffic is not moved to blue: {error}");
                    if writes.is_empty() {
                        back.changed_outside.push(what);
                    } else {
                        back.not_moved = Some(what);
                    }
                    back.moved = false;
                    return Ok(back);
                }
            }
        }
        if writes.is_empty() {
            if let Some(error) = failed {
                return Err(error);
            }
            if let (Ok(sides), true) = (&sides, back.changed_outside.is_empty()) {
                back.serves = serving(splitter, Colour::Blue, &of.functions, sides);
            }
            return Ok(back);
        }
        for done in join_all(writes).await {
            done?;
        }
    }
    Err(busy(splitter))
}

fn busy<W: Weighted>(splitter: &W) -> Error {
    let places: Vec<_> = splitter
        .places()
        .iter()
        .map(|place| splitter.shown(place))
        .collect();
    Error::Transient(format!("{} changes faster than it can be read", places.join(", ")).into())
}

impl<W: Weighted> SplitterProtocol for W {
    async fn stage<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        of: &RestorePoint,
    ) -> Result<(), Error> {
        if of.functions.is_empty() {
            return Ok(());
        }
        let mut is_written = false;
        for _ in 0..MAX_ATTEMPTS {
            let sides = self.sides(Colour::Green, &of.functions).await?;
            let mut writes = Vec::new();
            for (target, side) in of.functions.iter().zip(&sides) {
                let green = self.id(target, &target.green_version);
                match staging(&side.holds, self.before(target).as_deref(), &green) {
                    Staging::Done => {}
                    Staging::Write => writes
                        .push(async move { self.put(Colour::Green, target, side, &[green]).await }),
                    Staging::Foreign => {
                        return Err(Error::ChangedOutside(
                            format!(
                                "{} holds {}, which was registered there since the release began; \
                             release again when nothing else uses it",
                                side.place,
                                side.shown()
                            )
                            .into(),
                        ));
                    }
                }
            }
            let is_staged = writes.is_empty();
            // Checked before the first write, and after the last: a rollback may have restored the idle
            // side before green was registered.
            if !is_staged || is_written {
                let still = lease.check().await;
                if still.is_err() && is_written {
                    self.unstage(of, false).await?;
                }
                still?;
            }
            if is_staged {
                return Ok(());
            }
            is_written = true;
            for done in join_all(writes).await {
                done?;
            }
        }
        Err(busy(self))
    }

    async fn ready(&self, of: &[Target]) -> Result<(), Error> {
        if of.is_empty() {
            self.healthy().await
        } else {
            Ok(())
        }
    }

    async fn unstage(&self, of: &RestorePoint, served: bool) -> Result<Vec<String>, Error> {
        if of.functions.is_empty() {
            return Ok(Vec::new());
        }
        // Why AWS refused what was to be restored first, by target.
        let mut refused: BTreeMap<&FunctionName, Vec<Error>> = BTreeMap::new();
        for _ in 0..MAX_ATTEMPTS {
            let sides = match self.sides(Colour::Green, &of.functions).await {
                Ok(sides) => sides,
                Err(error @ Error::Transient(_)) => return Err(error),
                Err(error) => {
                    return Ok(vec![format!(
                        "{} could not be read, and may still hold green: {error}",
                        self.named(Colour::Green)
                    )]);
                }
            };
            let (mut notes, mut writes) = (Vec::new(), Vec::new());
            for (target, side) in of.functions.iter().zip(&sides) {
                let (green, before) = (self.id(target, &target.green_version), self.before(target));
                let blue = target
                    .blue_version
                    .as_ref()
                    .map(|blue| self.id(target, blue));
                let idle = Idle {
                    before: before.as_deref(),
                    green: &green,
                    blue: blue.as_deref(),
                    served,
                };
                let errors = refused
                    .get(&target.function_name)
                    .map_or(&[][..], Vec::as_slice);
                match (unstaging(&side.holds, &idle), errors) {
                    (Unstaging::Done, []) => {}
                    (Unstaging::Done, [first, ..]) => notes.push(format!(
                        "{} holds {}: what it held before the release could not be restored: {first}",
                        side.place,
                        side.shown()
                    )),
                    (Unstaging::Foreign, _) => notes.push(format!(
                        "{} holds {}, which this release did not put there; it is left as it is",
                        side.place,
                        side.shown()
                    )),
                    (Unstaging::Write(wanted), errors) => match wanted.into_iter().nth(errors.len())
                    {
                        Some(content) => writes.push(async move {
                            let done = self.put(Colour::Green, target, side, &content).await;
                            (&target.function_name, done)
                        }),
                        None => notes.push(format!(
                            "{} still holds {}: {}",
                            side.place,
                            side.shown(),
                            errors.last().map(ToString::to_string).unwrap_or_default()
                        )),
                    },
                }
            }
            if writes.is_empty() {
                return Ok(notes);
            }
            for (function, done) in join_all(writes).await {
                match done {
                    Ok(()) => {}
                    Err(error @ Error::Transient(_)) => return Err(error),
                    Err(error) => refused.entry(function).or_default().push(error),
                }
            }
        }
        Err(busy(self))
    }

    async fn shift<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        of: &RestorePoint,
        from: Weight,
        to: Weight,
    ) -> Result<Moved, Error> {
        forth(self, lease, of, to, &[from]).await
    }

    /// Green has all of it after the last step, or all but the control group's, which is taken here.
    async fn promote<S: LedgerStore>(
        &self,
        lease: Lease<'_, S>,
        of: &RestorePoint,
        from: Weight,
    ) -> Result<Moved, Error> {
        forth(self, lease, of, Weight::FULL, &[from]).await
    }

    async fn restore(
        &self,
        of: &RestorePoint,
        _late: Late,
        served: bool,
    ) -> Result<RestoreReport, Error> {
        back(self, of, served).await
    }

    /// There are no revisions to rely on: it is read, written once, and read again.
    async fn restore_at_once(&self, of: &RestorePoint) -> AtOnce {
        match back(self, of, false).await {
            Ok(back) if back.changed_outside.is_empty() && back.not_moved.is_none() => AtOnce {
                functions: of
                    .functions
                    .iter()
                    .map(|target| target.function_name.clone())
                    .collect(),
                serves: back.serves,
                moved: back.moved,
                notes: back.notes,
            },
            Ok(_) | Err(_) => AtOnce::default(),
        }
    }

    async fn serves(&self, of: &RestorePoint) -> Serves {
        let places = self.places();
        let Ok(seen) = try_join_all(places.iter().map(|place| self.read(place))).await else {
            return Serves::default();
        };
        let all = |weight: Weight| seen.iter().all(|(shares, _)| shares.are(weight, W::SCALE));
        let colour = if all(Weight::ZERO) {
            Colour::Blue
        } else if all(Weight::FULL) {
            Colour::Green
        } else {
            return Serves::default();
        };
        match self.sides(colour, &of.functions).await {
            Ok(sides) => serving(self, colour, &of.functions, &sides),
            Err(_) => Serves::default(),
        }
    }
}
