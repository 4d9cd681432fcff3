//! How much of the concurrency a release may take from the function's users.

use crossfade::{aws::functions::Functions, domain::names::FunctionName, error::Error};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

/// How many invocations that warm green are on their way at the same time, over all functions: as many as
/// one function may be pre-warmed with.
const AT_ONCE: u32 = 100;

/// Where a function's executions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pool {
    /// The function's own reservation.
    Reserved(u32),
    /// What the account's functions without a reservation share.
    Unreserved(u32),
}

impl Pool {
    /// Returns how many invocations a release may send at the same time: half, because users are at work.
    pub(crate) fn share(self) -> u32 {
        let (Self::Reserved(all) | Self::Unreserved(all)) = self;
        all / 2
    }

    /// Names the pool.
    pub(crate) fn shown(self) -> String {
        match self {
            Self::Reserved(all) => format!("the function's reserved concurrency of {all}"),
            Self::Unreserved(all) => format!("the account's unreserved concurrency of {all}"),
        }
    }
}

/// The pools of a release's functions, read when they are needed.
#[derive(Debug)]
pub(crate) struct Rooms<'a> {
    functions: &'a Functions,
    unreserved: OnceCell<(u32, Semaphore)>,
    at_once: Semaphore,
}

/// Some of the invocations that may be on their way.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _at_once: Option<SemaphorePermit<'a>>,
    _unreserved: Option<SemaphorePermit<'a>>,
}

impl<'a> Rooms<'a> {
    pub(crate) fn new(functions: &'a Functions) -> Self {
        Self {
            functions,
            unreserved: OnceCell::new(),
            at_once: Semaphore::new(AT_ONCE as usize),
        }
    }

    /// Reads where the function's executions are counted.
    pub(crate) async fn pool(&self, function: &FunctionName) -> Result<Pool, Error> {
        if let Some(reserved) = self.functions.reserved_concurrency(function).await? {
            return Ok(Pool::Reserved(reserved));
        }
        let (unreserved, _) = self
            .unreserved
            .get_or_try_init(|| async {
                let all = self.functions.unreserved_concurrency().await?;
                let share = Pool::Unreserved(all).share() as usize;
                Ok::<_, Error>((all, Semaphore::new(share)))
            })
            .await?;
        Ok(Pool::Unreserved(*unreserved))
    }

    /// Waits until so many more invocations, at most the pool's share, may be on their way: functions without
    /// a reservation have one share together.
    pub(crate) async fn turn(&self, pool: Pool, count: u32) -> Turn<'_> {
        // Semaphores that are never closed, and never requested more than there is.
        let at_once = self.at_once.acquire_many(count.min(AT_ONCE)).await.ok();
        let unreserved = match (pool, self.unreserved.get()) {
            (Pool::Unreserved(_), Some((_, room))) => room.acquire_many(count).await.ok(),
            _ => None,
        };
        Turn {
            _at_once: at_once,
            _unreserved: unreserved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_half_of_a_pool_to_users() {
        for (all, share) in [(0, 0), (1, 0), (2, 1), (10, 5), (11, 5), (1000, 500)] {
            assert_eq!(Pool::Reserved(all).share(), share);
            assert_eq!(Pool::Unreserved(all).share(), share);
        }
    }
}
