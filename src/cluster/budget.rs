//! The write budget: each write in a tenant's namespace begins with a permit, and its deadline begins with it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::clock::monotonic as now;
use super::error::DEADLINE;
use crate::plan::budget::{Budget, Overdue, PATIENCE, PermitId, READS, WriteEnd};
use crate::plan::priority::Priority;

/// Permits of writes in tenants' namespaces, as [`Budget`] decides.
#[derive(Debug)]
pub struct WriteBudget {
    state: Mutex<BudgetState>,
    reads: Semaphore,
}

#[derive(Debug, Default)]
struct BudgetState {
    budget: Budget,
    /// Wakes those that wait for a permit.
    wakers: HashMap<PermitId, Arc<Notify>>,
}

impl BudgetState {
    fn grant(&mut self) {
        for id in self.budget.grant(now()) {
            if let Some(waker) = self.wakers.remove(&id) {
                waker.notify_one();
            }
        }
    }
}

impl Default for WriteBudget {
    fn default() -> Self {
        Self { state: Mutex::default(), reads: Semaphore::new(READS) }
    }
}

impl WriteBudget {
    fn lock(&self) -> MutexGuard<'_, BudgetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a permit. It is given once [`Permit::granted`] returns.
    pub fn request(self: &Arc<Self>, namespace: &Arc<str>, priority: Priority) -> Permit {
        let waker = Arc::new(Notify::new());
        let mut state = self.lock();
        let id = state.budget.request(namespace, priority);
        state.wakers.insert(id, waker.clone());
        state.grant();
        drop(state);
        Permit { id, waker, budget: self.clone(), end: WriteEnd::Unanswered }
    }

    /// Awaits a read in a tenant's namespace. A few go at once, beside the writes.
    pub async fn read<T>(&self, call: impl Future<Output = T>) -> T {
        // The semaphore is never closed, so that an error cannot occur.
        let _place = self.reads.acquire().await;
        call.await
    }

    /// Forgets a namespace that is gone.
    pub fn forget(&self, namespace: &str) {
        self.lock().budget.forget(namespace);
    }

    /// Returns the number of writes in flight.
    pub fn in_flight(&self) -> usize {
        self.lock().budget.in_flight()
    }

    /// Returns how long the longest write in flight has lasted.
    pub fn longest(&self, now: Instant) -> Option<Duration> {
        self.lock().budget.longest(now)
    }
}

/// A permit, or the request for one, until this is dropped.
#[derive(Debug)]
pub struct Permit {
    id: PermitId,
    waker: Arc<Notify>,
    budget: Arc<WriteBudget>,
    end: WriteEnd,
}

/// A write that ended.
#[derive(Debug)]
pub struct Ended<T> {
    /// The answer; `None` where it was cut, and so its result is unknown.
    pub answer: Option<T>,
    /// How long it lasted.
    pub lasted: Duration,
}

impl<T> Ended<T> {
    /// Returns whether it was answered at once.
    pub fn is_quick(&self) -> bool {
        self.answer.is_some() && self.lasted < PATIENCE
    }
}

impl Permit {
    /// Waits until the permit is given.
    pub async fn granted(&self) {
        while !self.budget.lock().budget.is_held(self.id) {
            self.waker.notified().await;
        }
    }

    /// Awaits a write under this permit. `slow` is called once it is older than [`PATIENCE`]; it then goes on under a
    /// permit of those that may hang, or is cut. After [`DEADLINE`] it is cut in any case.
    pub async fn hold<T>(
        mut self,
        write: impl Future<Output = T>,
        succeeded: impl FnOnce(&T) -> bool,
        slow: impl FnOnce(),
    ) -> Ended<T> {
        let begun = now();
        let mut write = pin!(write);
        let mut answer = timeout(PATIENCE, &mut write).await.ok();
        if answer.is_none() {
            slow();
            if self.outlast() == Overdue::GoesOn {
                answer = timeout(DEADLINE.saturating_sub(PATIENCE), write).await.ok();
            }
        }
        self.end = match answer.as_ref().map(succeeded) {
            Some(true) => WriteEnd::Succeeded,
            Some(false) => WriteEnd::Refused,
            None => WriteEnd::Unanswered,
        };
        Ended { answer, lasted: now().saturating_duration_since(begun) }
    }

    fn outlast(&self) -> Overdue {
        let mut state = self.budget.lock();
        let overdue = state.budget.outlast(self.id);
        state.grant();
        overdue
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.wakers.remove(&self.id);
        state.budget.release(self.id, self.end, now());
        state.grant();
    }
}

#[cfg(test)]
mod tests;
