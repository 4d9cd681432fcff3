//! What keeps the promises: each can be taken away, to see that the checker then finds what it is for.
//!
//! The code that runs is the product's; a guard is taken away where its write or its reading meets the world: a
//! condition is not heeded, or a reading is answered as if nothing had happened.

use crossfade::{
    fake::{Call, jobs::Job},
    ports::{Act, Item, RowWrite, Value},
};

/// One thing that the product does so that no order of writes does harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// `Ledger::begin`: a lock that another holds is not taken.
    Lock,
    /// `take_locks`: a holder that is alive is not disturbed.
    Alive,
    /// `take_locks`: a dead holder's traffic is restored before its locks are taken over.
    TakeOver,
    /// `UpdateAlias` names the revision that it was decided on.
    Revision,
    /// `reconcile`: a state that is not ours is not written over.
    Ours,
    /// `Lease::check`: after a reading, whether traffic may still be moved.
    Lease,
    /// `Ledger::shifted`: of a release that is rolled back no shift is recorded.
    Recorded,
    /// `Ledger::end`: a release that is rolled back is not promoted.
    Promotion,
    /// `Ledger::end`: what has been promoted is not promoted again.
    PromotedOnce,
    /// `Ledger::launch`: what an earlier try fixed, and writes late, does not replace what a later one did.
    Attempt,
    /// `Ledger::end`: a lock that is another's by now is not deleted.
    Unlock,
    /// `Ledger::reopen`: taking back takes the locks.
    Reopen,
    /// `Aliases::restore`: blue is written over blue, so that no write that was decided before applies any more.
    Fence,
    /// The event of an execution's end, and the schedule.
    Sweep,
    /// `ValidateGreen` comes before `ShiftTraffic`.
    Validate,
}

impl Guard {
    /// Whether the condition of a write is heeded without this guard.
    #[must_use]
    pub fn heeds(
        self,
        job: &Job,
        write: &RowWrite,
        row: Option<&Item>,
        holder_is_over: bool,
    ) -> bool {
        let is_lock = write.key.pk.starts_with("LOCK#");
        let takes = is_lock && matches!(write.act, Act::Put(_));
        let begins = matches!(job, Job::Deploy(..));
        let status = match row.and_then(|row| row.get("status")) {
            Some(Value::S(status)) => status.as_str(),
            _ => "",
        };
        let has = |value: &str| write.values.contains_key(value);
        let in_flight_or_held = write.condition.as_deref() == Some("#status IN (:inFlight, :held)");
        let promotes = in_flight_or_held && has(":retain");
        let is_guarded = match self {
            Self::Lock => takes && begins && !holder_is_over,
            Self::TakeOver => takes && begins && holder_is_over,
            Self::Reopen => takes && !begins,
            Self::Unlock => is_lock && write.act == Act::Delete,
            Self::Recorded => in_flight_or_held && has(":steps") && !promotes,
            Self::Promotion => promotes && status != "PROMOTED",
            Self::PromotedOnce => promotes && status == "PROMOTED",
            Self::Attempt => has(":attempt") && status == "IN_FLIGHT",
            Self::Alive
            | Self::Revision
            | Self::Ours
            | Self::Lease
            | Self::Fence
            | Self::Sweep
            | Self::Validate => false,
        };
        !is_guarded
    }

    /// Whether a call is the reading that this guard is about.
    #[must_use]
    pub fn is_read_by(self, job: &Job, call: &Call) -> bool {
        let moves = matches!(job, Job::Shift(..) | Job::Finalize(..));
        match (self, call) {
            (Self::Alive, Call::IsOver(_)) => matches!(job, Job::Deploy(..)),
            (Self::Lease, Call::Row(key)) => moves && key.pk.starts_with("DEPLOYMENT#"),
            (Self::Ours, Call::Alias(..)) => !matches!(job, Job::Deploy(..)),
            _ => false,
        }
    }
}
