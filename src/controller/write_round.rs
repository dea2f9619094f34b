//! The writes of one namespace that are wanted or under way, each under a permit of the write budget.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::tasks::panic_of;
use super::work_queue::WorkItem;
use crate::cluster::budget::{Permit, WriteBudget};
use crate::plan::Change;
use crate::plan::change::ObjectKey;
use crate::plan::priority::Priority;

/// Writes of one object in a row. What changes faster than that waits for its back-off.
const ROUNDS: usize = 6;

/// A write that ended.
#[derive(Debug)]
pub struct Written<T> {
    /// The write.
    pub change: Change,
    /// Its result.
    pub result: T,
}

/// The writes of one namespace. One object has one of them at a time.
///
/// # Guarantees
/// - A write begins once it has a permit. The namespace asks for one permit at a time, so that it takes turns with the
///   others.
/// - The writes go on by themselves while this namespace's worker awaits something else.
pub struct WriteRound<T> {
    budget: Arc<WriteBudget>,
    /// With the number of attempts that failed before.
    wanted: VecDeque<(u32, Change)>,
    permit: Option<(Permit, Priority)>,
    running: JoinSet<Written<T>>,
    /// How often each object was written, and whether it is wanted or under way.
    objects: HashMap<ObjectKey, (usize, bool)>,
    has_left_out: bool,
}

impl<T: Send + 'static> WriteRound<T> {
    /// Returns a round without writes.
    pub fn new(budget: Arc<WriteBudget>) -> Self {
        Self {
            budget,
            wanted: VecDeque::new(),
            permit: None,
            running: JoinSet::new(),
            objects: HashMap::new(),
            has_left_out: false,
        }
    }

    /// Returns whether nothing is wanted or under way.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.running.is_empty()
    }

    /// Returns whether an object was left out, because it changes faster than it is written.
    pub fn has_left_out(&self) -> bool {
        self.has_left_out
    }

    /// Returns whether a write of this object is wanted or under way.
    pub fn has(&self, object: &ObjectKey) -> bool {
        self.objects.get(object).is_some_and(|(_, busy)| *busy)
    }

    /// Adds writes, apart from those of objects that have one already. Those that failed least go first: where the writes
    /// of some objects hang, the others are tried.
    pub fn add(&mut self, changes: impl IntoIterator<Item = Change>, attempts: impl Fn(&ObjectKey) -> u32) {
        for change in changes {
            let (count, busy) = self.objects.entry(change.object()).or_default();
            if *busy {
                continue;
            }
            if *count >= ROUNDS {
                self.has_left_out = true;
                continue;
            }
            (*count, *busy) = (*count + 1, true);
            let attempts = attempts(&change.object());
            let at = self.wanted.partition_point(|(others, _)| *others <= attempts);
            self.wanted.insert(at, (attempts, change));
        }
    }

    /// Gives back a permit that is not used yet. While this round is not polled, the namespace may need it otherwise.
    pub fn pause(&mut self) {
        self.permit = None;
    }

    /// Gives up the writes that did not begin, and returns them.
    pub fn give_up(&mut self) -> Vec<Change> {
        self.permit = None;
        let given_up: Vec<Change> = self.wanted.drain(..).map(|(_, change)| change).collect();
        for change in &given_up {
            if let Some((count, busy)) = self.objects.get_mut(&change.object()) {
                (*count, *busy) = (count.saturating_sub(1), false);
            }
        }
        given_up
    }

    /// Begins the writes for which there is a permit, and returns the next one that ended; `None` where all have. It may be
    /// dropped and called again.
    pub async fn next<F>(
        &mut self,
        item: &WorkItem<Arc<str>>,
        asked: Priority,
        begin: impl Fn(Permit, Change) -> F,
    ) -> Option<Written<T>>
    where
        F: Future<Output = Written<T>> + Send + 'static,
    {
        while !self.is_empty() {
            let priority = item.priority(asked);
            if self.wanted.is_empty() {
                self.permit = None;
            } else if self.permit.as_ref().is_none_or(|(_, with)| *with != priority) {
                self.permit = Some((self.budget.request(&item.key, priority), priority));
            }
            tokio::select! {
                biased;
                Some(ended) = self.running.join_next() => {
                    let written = match ended {
                        Ok(written) => written,
                        Err(error) => match panic_of::<()>(Err(error)) {
                            Some(panic) => std::panic::resume_unwind(panic),
                            None => continue,
                        },
                    };
                    if let Some((_, busy)) = self.objects.get_mut(&written.change.object()) {
                        *busy = false;
                    }
                    return Some(written);
                }
                () = granted(self.permit.as_ref()) => {
                    if let (Some((permit, _)), Some((_, change))) = (self.permit.take(), self.wanted.pop_front()) {
                        self.running.spawn(begin(permit, change));
                    }
                }
            }
        }
        None
    }
}

/// Waits until a permit is given.
async fn granted(permit: Option<&(Permit, Priority)>) {
    match permit {
        Some((permit, _)) => permit.granted().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
