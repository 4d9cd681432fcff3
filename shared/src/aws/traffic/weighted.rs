//! What all doors with two weights in one place share.

use std::collections::BTreeSet;

use super::{Late, Moved, PutBack, Router, TURNS};
use crate::{
    aws::ledger::Leave,
    domain::{
        names::FunctionName,
        release::{Footprint, InForce},
        shares::{Scale, Shares, all_of, reconcile},
        weight::Weight,
    },
    error::Error,
};

/// Two weights in one place, written in one call.
pub(super) trait Weighted {
    /// What was read, and what a write resends beside the weights.
    type Seen;

    /// What the weights are whole numbers of.
    const SCALE: Scale;

    /// Where it is, for messages.
    fn shown(&self) -> String;

    /// Reads the weights as they are.
    async fn read(&self) -> Result<(Shares, Self::Seen), Error>;

    /// Writes both weights and leaves everything else as it was.
    async fn write(&self, seen: Self::Seen, shares: Shares) -> Result<InForce, Error>;

    /// When a weight is in force that was found to be set already.
    fn already(&self) -> InForce;
}

/// Brings green to `want` percent, and proves it by reading.
async fn bring<W: Weighted>(door: &W, want: Weight, ours: &[Weight]) -> Result<InForce, Error> {
    let mut written = None;
    for _ in 0..TURNS {
        let (shares, seen) = door.read().await?;
        let decided = reconcile(shares, want, ours, W::SCALE)
            .map_err(|conflict| Error::ChangedOutside(format!("{} is {conflict}", door.shown())))?;
        match decided {
            None => return Ok(written.unwrap_or_else(|| door.already())),
            Some(shares) => written = Some(door.write(seen, shares).await?),
        }
    }
    Err(Error::Transient(format!(
        "{} changes faster than it can be read",
        door.shown()
    )))
}

impl<W: Weighted> Router for W {
    /// One write: there is no way on which leave could be lost.
    async fn shift(
        &self,
        _: Leave<'_>,
        of: &Footprint,
        from: Weight,
        to: Weight,
    ) -> Result<Moved, Error> {
        Ok(Moved {
            functions: of.functions.clone(),
            in_force: bring(self, to, &[from]).await?,
        })
    }

    /// Green has all of it after the last step: what is left to do is to see that it is so.
    async fn promote(
        &self,
        leave: Leave<'_>,
        of: &Footprint,
        from: Weight,
    ) -> Result<Moved, Error> {
        self.shift(leave, of, from, Weight::FULL).await
    }

    async fn restore(&self, of: &Footprint, _late: Late) -> Result<PutBack, Error> {
        let changed_outside = match bring(self, Weight::ZERO, &all_of(&of.plan)).await {
            Ok(_) => Vec::new(),
            Err(Error::ChangedOutside(what)) => vec![what],
            Err(error) => return Err(error),
        };
        Ok(PutBack {
            functions: of.functions.clone(),
            changed_outside,
        })
    }

    /// There are no revisions to rely on: it is read, written once, and read again.
    async fn restore_at_once(&self, of: &Footprint) -> BTreeSet<FunctionName> {
        match self.restore(of, Late::Impossible).await {
            Ok(back) if back.changed_outside.is_empty() => {
                let names = back.functions.into_iter();
                names.map(|target| target.function_name).collect()
            }
            Ok(_) | Err(_) => BTreeSet::new(),
        }
    }
}
