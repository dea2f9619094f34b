//! A queue of keys for several workers: a [`Scheduler`], with waiting.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::cluster::clock::monotonic as now;
use crate::plan::priority::{PlaceLimits, Priority};
use crate::plan::scheduler::{Scheduler, Taken};
use crate::server::heartbeats::WaitingWork;

/// The queue.
#[derive(Debug)]
pub struct WorkQueue<K> {
    state: Mutex<QueueState<K>>,
    wake: Notify,
}

#[derive(Debug)]
struct QueueState<K> {
    scheduler: Scheduler<K>,
    /// Wakes the workers of keys that are added while they are processed.
    workers: HashMap<K, Arc<Notify>>,
    /// Since when a key waits that could be taken. It begins again with each key that is taken.
    ready_since: Option<std::time::Instant>,
}

/// A key that is being processed, until this is dropped.
#[derive(Debug)]
pub struct WorkItem<K: Eq + Hash + Clone> {
    /// The key.
    pub key: K,
    /// When it was added.
    pub since: Instant,
    /// The priority that it was added with.
    pub asked: Priority,
    news: Arc<Notify>,
    queue: Arc<WorkQueue<K>>,
}

impl<K: Eq + Hash + Clone> WorkQueue<K> {
    /// Returns a queue in which places are limited, and in which keys that fall due have this priority.
    pub fn new(limits: PlaceLimits, due_as: Priority) -> Arc<Self> {
        let scheduler = Scheduler::new(limits, due_as);
        let state = QueueState { scheduler, workers: HashMap::new(), ready_since: None };
        Arc::new(Self { state: Mutex::new(state), wake: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a key. One that waits moves up, where this is more urgent.
    pub fn add(&self, key: K, priority: Priority) {
        let mut state = self.lock();
        if state.scheduler.add(key.clone(), priority, now()) {
            state.notify(&key);
        }
        state.note_work();
        drop(state);
        self.wake.notify_one();
    }

    /// Adds a key ahead of those that wait with the same priority.
    pub fn add_ahead(&self, key: K, priority: Priority) {
        let mut state = self.lock();
        if state.scheduler.add_ahead(key.clone(), priority, now()) {
            state.notify(&key);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Adds a key after a delay, unless it is due earlier already.
    pub fn add_after(&self, key: K, delay: Duration) {
        self.lock().scheduler.add_at(key, now() + delay);
        self.wake.notify_one();
    }

    /// Forgets that the writes of a key took long: it is gone.
    pub fn forget(&self, key: &K) {
        self.lock().scheduler.speed_up(key);
    }

    /// Forgets the keys that wait. For a queue without workers.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.scheduler.clear();
        state.note_work();
    }

    /// Returns the number of keys that wait.
    pub fn depth(&self) -> usize {
        self.lock().scheduler.depth()
    }

    /// Returns the number of keys that are due later.
    pub fn delayed(&self) -> usize {
        self.lock().scheduler.delayed()
    }

    /// Returns how long keys wait that could be taken, while none is. `None`: there are none. Keys whose places are all
    /// taken do not count.
    pub fn waiting(&self) -> Option<WaitingWork> {
        let state = self.lock();
        let due = state.scheduler.next_due().filter(|due| *due <= now());
        let since = state.ready_since.into_iter().chain(due).min()?;
        // A key that is due is not yet among those that wait.
        let keys = state.scheduler.depth() + usize::from(due.is_some());
        Some(WaitingWork { keys, age: now().saturating_duration_since(since) })
    }

    /// Waits for the next key.
    pub async fn next(self: &Arc<Self>) -> WorkItem<K> {
        loop {
            let later = {
                let mut state = self.lock();
                state.release_due();
                let taken = state.scheduler.take();
                state.ready_since = None;
                state.note_work();
                if let Some(taken) = taken {
                    if state.scheduler.has_work() {
                        self.wake.notify_one();
                    }
                    return self.item(&mut state, taken);
                }
                state.scheduler.next_due()
            };
            match later {
                Some(at) => {
                    let _ = timeout_at(at.into(), self.wake.notified()).await;
                }
                None => self.wake.notified().await,
            }
        }
    }

    fn item(self: &Arc<Self>, state: &mut QueueState<K>, taken: Taken<K>) -> WorkItem<K> {
        let news = Arc::new(Notify::new());
        state.workers.insert(taken.key.clone(), news.clone());
        let Taken { key, since, asked } = taken;
        WorkItem { key, since: since.into(), asked, news, queue: self.clone() }
    }
}

impl<K: Eq + Hash + Clone> QueueState<K> {
    fn notify(&self, key: &K) {
        if let Some(worker) = self.workers.get(key) {
            worker.notify_one();
        }
    }

    /// Records whether a key waits that could be taken.
    fn note_work(&mut self) {
        match self.scheduler.has_work() {
            true => drop(self.ready_since.get_or_insert_with(now)),
            false => self.ready_since = None,
        }
    }

    fn release_due(&mut self) {
        for key in self.scheduler.release_due(now()) {
            self.notify(&key);
        }
    }
}

impl<K: Eq + Hash + Clone> WorkItem<K> {
    /// Returns the priority of its writes, for what was asked with this one.
    pub fn priority(&self, asked: Priority) -> Priority {
        if self.queue.lock().scheduler.is_slow(&self.key) { Priority::Slow } else { asked }
    }

    /// Waits until the key is added again while it is processed, and takes the news.
    pub async fn news(&self) -> Taken<K> {
        loop {
            let news = self.queue.lock().scheduler.take_news(&self.key);
            if let Some(news) = news {
                return news;
            }
            self.news.notified().await;
        }
    }

    /// Returns where the pace of its writes is recorded.
    pub fn pace(&self) -> Pace<K> {
        Pace { key: self.key.clone(), queue: self.queue.clone() }
    }
}

/// The pace of a key's writes.
#[derive(Clone, Debug)]
pub struct Pace<K> {
    key: K,
    queue: Arc<WorkQueue<K>>,
}

impl<K: Eq + Hash + Clone> Pace<K> {
    /// Returns the key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Records that a write takes long. Its place among the others is free from now on.
    pub fn slow_down(&self) {
        let mut state = self.queue.lock();
        state.scheduler.slow_down(&self.key);
        state.note_work();
        drop(state);
        self.queue.wake.notify_one();
    }

    /// Records that a write was quick.
    pub fn speed_up(&self) {
        self.queue.lock().scheduler.speed_up(&self.key);
    }
}

impl<K: Eq + Hash + Clone> Drop for WorkItem<K> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.workers.remove(&self.key);
        state.scheduler.finish(&self.key);
        state.note_work();
        drop(state);
        self.queue.wake.notify_one();
    }
}

#[cfg(test)]
mod tests;
