//! A function at work, driven call by call.

use std::{
    cell::RefCell,
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Call, Client, Reply, Rules, World};

/// A call that was made.
#[derive(Debug)]
enum Slot {
    Pending(Call, Option<Waker>),
    Answered(Reply),
    Taken,
}

/// The calls of an actor, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Calls {
    slots: RefCell<Vec<Slot>>,
    slept: RefCell<Duration>,
}

impl Calls {
    /// Makes a call, and waits until it is answered.
    pub(super) async fn make(&self, call: Call) -> Reply {
        let mut call = Some(call);
        let mut nth = 0;
        std::future::poll_fn(move |context| {
            let mut slots = self.slots.borrow_mut();
            if let Some(call) = call.take() {
                nth = slots.len();
                slots.push(Slot::Pending(call, Some(context.waker().clone())));
                return Poll::Pending;
            }
            match &mut slots[nth] {
                Slot::Pending(_, waker) => {
                    *waker = Some(context.waker().clone());
                    Poll::Pending
                }
                slot => match std::mem::replace(slot, Slot::Taken) {
                    Slot::Answered(reply) => Poll::Ready(reply),
                    Slot::Pending(..) | Slot::Taken => unreachable!("it is polled once more"),
                },
            }
        })
        .await
    }

    /// Returns for how long the actor has slept.
    pub(super) fn slept(&self) -> Duration {
        *self.slept.borrow()
    }
}

/// A function at work. To drop it is to kill it.
pub struct Actor<'a, T> {
    future: Option<Pin<Box<dyn Future<Output = T> + 'a>>>,
    calls: Rc<Calls>,
    done: Option<T>,
}

impl<T> fmt::Debug for Actor<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.calls.slots.borrow();
        f.debug_list().entries(calls.iter()).finish()
    }
}

impl<'a, T> Actor<'a, T> {
    /// Begins what a function does, up to its first calls.
    pub fn new<F: Future<Output = T> + 'a>(work: impl FnOnce(Client) -> F) -> Self {
        let calls = Rc::new(Calls::default());
        let future = work(Client::new(Rc::clone(&calls)));
        let mut actor = Self {
            future: Some(Box::pin(future)),
            calls,
            done: None,
        };
        actor.poll();
        actor
    }

    fn poll(&mut self) {
        let Some(future) = &mut self.future else {
            return;
        };
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            self.done = Some(done);
            self.future = None;
        }
    }

    /// Returns what it came to, once it is done.
    #[must_use]
    pub fn done(&self) -> Option<&T> {
        self.done.as_ref()
    }

    /// Returns what it came to, once it is done.
    pub fn into_done(self) -> Option<T> {
        self.done
    }

    /// Returns the calls that wait for an answer, with their numbers.
    #[must_use]
    pub fn pending(&self) -> Vec<(usize, Call)> {
        let slots = self.calls.slots.borrow();
        let pending = slots.iter().enumerate();
        pending
            .filter_map(|(nth, slot)| match slot {
                Slot::Pending(call, _) => Some((nth, call.clone())),
                Slot::Answered(_) | Slot::Taken => None,
            })
            .collect()
    }

    /// Answers a call, and goes on to the next ones.
    ///
    /// # Panics
    /// Where no call of this number waits for an answer.
    pub fn answer(&mut self, nth: usize, reply: Reply) {
        let slot = std::mem::replace(
            &mut self.calls.slots.borrow_mut()[nth],
            Slot::Answered(reply),
        );
        let Slot::Pending(call, waker) = slot else {
            panic!("call {nth} does not wait for an answer");
        };
        if let Call::Sleep(time) = call {
            *self.calls.slept.borrow_mut() += time;
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        self.poll();
    }
}

/// Does what a function does, with every call answered at once and none lost. Returns what it came to, and the
/// calls that it made.
///
/// # Panics
/// Where it waits for something else.
pub fn drive<'a, T, F: Future<Output = T> + 'a>(
    world: &mut World,
    work: impl FnOnce(Client) -> F,
) -> (T, Vec<Call>) {
    let mut actor = Actor::new(work);
    let mut calls = Vec::new();
    while let Some((nth, call)) = actor.pending().into_iter().next() {
        let reply = world.apply(&call, &Rules::default());
        calls.push(call);
        actor.answer(nth, reply);
    }
    (actor.into_done().expect("it waits for its calls"), calls)
}
