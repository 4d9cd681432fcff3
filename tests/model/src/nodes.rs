//! Functions at work, as nodes of a tree: a node is a job and the replies that it got so far.
//!
//! What a job does next follows from its replies alone, so a node is played once: the protocol's own future is
//! begun anew and given the replies, in their order. After that the node is looked up.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crossfade::{
    fake::{
        Actor, Call, Reply,
        jobs::{Id, Job, Outcome, Setting},
    },
    ports::RowWrite,
};

use crate::revisions;

/// A job that has got some replies.
#[derive(Debug)]
pub struct Node {
    /// The job.
    pub job: Job,
    /// The number of each call that was answered, and the reply.
    replies: Vec<(usize, Reply)>,
    /// The calls that wait for an answer.
    pub pending: Vec<(usize, Call)>,
    /// What it has come to.
    pub outcome: Option<Outcome>,
    /// The release whose row it has written to last: the one that it acts on.
    pub about: Option<Id>,
    /// The revisions that it may know, as bits.
    pub revisions: u64,
}

/// All nodes that were met, by number.
#[derive(Debug)]
pub struct Nodes {
    setting: Setting,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    all: Vec<Arc<Node>>,
    first: HashMap<Job, u32>,
    next: HashMap<(u32, usize, Reply), u32>,
}

impl Known {
    fn add(&mut self, node: Node) -> u32 {
        self.all.push(Arc::new(node));
        u32::try_from(self.all.len() - 1).expect("memory is smaller")
    }
}

impl Nodes {
    /// Returns no nodes yet, of jobs in this setting.
    #[must_use]
    pub fn new(setting: Setting) -> Self {
        Self {
            setting,
            known: Mutex::default(),
        }
    }

    /// Returns a node.
    #[must_use]
    pub fn node(&self, nth: u32) -> Arc<Node> {
        let known = self.known.lock().expect("no thread panics with it");
        Arc::clone(&known.all[nth as usize])
    }

    /// Returns the node of a job that begins.
    #[must_use]
    pub fn first(&self, job: Job) -> u32 {
        let known = self.known.lock().expect("no thread panics with it");
        if let Some(nth) = known.first.get(&job) {
            return *nth;
        }
        drop(known);
        let node = self.play(job.clone(), Vec::new(), None);
        let mut known = self.known.lock().expect("no thread panics with it");
        if let Some(nth) = known.first.get(&job) {
            return *nth;
        }
        let nth = known.add(node);
        known.first.insert(job, nth);
        nth
    }

    /// Returns the node after a call is answered.
    #[must_use]
    pub fn next(&self, nth: u32, call: usize, reply: Reply) -> u32 {
        let key = (nth, call, reply);
        let known = self.known.lock().expect("no thread panics with it");
        if let Some(next) = known.next.get(&key) {
            return *next;
        }
        let before = Arc::clone(&known.all[nth as usize]);
        drop(known);
        let mut replies = before.replies.clone();
        replies.push((key.1, key.2.clone()));
        let node = self.play(before.job.clone(), replies, before.about);
        let mut known = self.known.lock().expect("no thread panics with it");
        if let Some(next) = known.next.get(&key) {
            return *next;
        }
        let next = known.add(node);
        known.next.insert(key, next);
        next
    }

    fn play(&self, job: Job, replies: Vec<(usize, Reply)>, about: Option<Id>) -> Node {
        let mut actor = job.start(&self.setting);
        pass(&mut actor);
        for (call, reply) in &replies {
            actor.answer(*call, reply.clone());
            pass(&mut actor);
        }
        let pending = actor.pending();
        let about = pending.iter().find_map(|(_, call)| row_of(call)).or(about);
        let about = about.or_else(|| job.of());
        let outcome = actor.into_done();
        let is_read = |(_, call): &(usize, Call)| !call.is_write();
        assert!(
            outcome.is_none() || pending.iter().all(is_read),
            "no write is given up: {pending:?}"
        );
        Node {
            revisions: revisions::in_text(&format!("{job:?}{replies:?}{pending:?}")),
            pending: if outcome.is_some() {
                Vec::new()
            } else {
                pending
            },
            outcome,
            about,
            job,
            replies,
        }
    }
}

/// Answers what depends on nothing that changes here.
fn pass(actor: &mut Actor<'_, Outcome>) {
    let is_constant = |call: &Call| {
        matches!(
            call,
            Call::Provisioned(..) | Call::CheckVersion(..) | Call::Running(..) | Call::Sleep(_)
        )
    };
    while let Some((nth, _)) = actor.pending().into_iter().find(|(_, it)| is_constant(it)) {
        actor.answer(nth, Reply::Done);
    }
}

/// Returns the release whose row a call writes.
fn row_of(call: &Call) -> Option<Id> {
    let of = |write: &RowWrite| {
        let execution = write.key.pk.strip_prefix("DEPLOYMENT#")?;
        [Id(0), Id(1)]
            .into_iter()
            .find(|id| id.execution() == execution)
    };
    match call {
        Call::Write(write) => of(write),
        Call::Transact(writes) => writes.iter().find_map(of),
        _ => None,
    }
}
