//! What keeps the promises: each can be taken away, to see that the checker then finds what it is for.
//!
//! Two things are not here, for no promise rests on them: that shift-traffic puts back itself what it wrote
//! without leave (whoever closes the deployment does so as well, a moment later), and that only what was
//! promoted last is opened again (an older one finds a state that is not its own).

/// One thing that the product does so that no order of writes does harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// `Ledger::begin`: a lock that another holds is not taken.
    Lock,
    /// `clear_away` in deploy-green: a holder that is alive is not disturbed.
    Alive,
    /// `clear_away`: a dead holder's traffic is made whole before its locks are taken over.
    TakeOver,
    /// `UpdateAlias` names the revision that it was decided on.
    Revision,
    /// `reconcile`: a state that is not ours is not written over.
    Ours,
    /// `Aliases::bring`: after a reading, it is asked whether there still is leave to move.
    Leave,
    /// `Ledger::shifted`: of a deployment that was told to go back no shift is recorded.
    Recorded,
    /// `Ledger::end`: a deployment that was told to go back is not promoted.
    Promotion,
    /// `Ledger::end`: what has been promoted is not promoted again.
    PromotedOnce,
    /// `Ledger::launch`: what an earlier try fixed, and says late, does not replace what a later one did.
    Attempt,
    /// `Ledger::end`: a lock that is another's by now is not deleted.
    Unlock,
    /// `Ledger::reopen`: taking back takes the locks.
    Reopen,
    /// `Aliases::restore`: blue is written over blue, so that no write that was decided on before
    /// applies any more.
    Fence,
    /// The event of an execution's end, and the schedule.
    Janitor,
    /// `ValidateGreen` comes before `ShiftTraffic`.
    Validate,
}
