//! A queue of keys: each is in it once, is processed by one worker at a time, and those of high priority go first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The priority of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// One of thousands, such as a refresh: a few workers stay free of these.
    Low,
    /// It answers to an event.
    High,
}

/// The queue.
///
/// # Guarantees
/// - A key added while it is processed is processed again afterwards: no event is lost.
/// - One key is never processed by two workers.
/// - At most `low_limit` workers process keys of low priority, so that one of high priority always finds a free worker.
#[derive(Debug)]
pub struct WorkQueue<K> {
    inner: Mutex<Queues<K>>,
    wake: Notify,
    low_limit: usize,
}

#[derive(Debug)]
struct Queues<K> {
    high: VecDeque<K>,
    low: VecDeque<K>,
    entries: HashMap<K, QueuedKey>,
    delayed: BTreeMap<(Instant, u64), K>,
    due: HashMap<K, (Instant, u64)>,
    sequence: u64,
    low_active: usize,
}

#[derive(Debug)]
struct QueuedKey {
    queued: Option<Priority>,
    since: Instant,
    active: bool,
}

/// A key that is being processed, until this is dropped.
#[derive(Debug)]
pub struct WorkItem<K: Eq + Hash + Clone> {
    /// The key.
    pub key: K,
    /// When it was added.
    pub since: Instant,
    priority: Priority,
    queue: Arc<WorkQueue<K>>,
}

impl<K: Eq + Hash + Clone> WorkQueue<K> {
    /// Returns a queue in which at most `low_limit` workers process keys of low priority.
    pub fn new(low_limit: usize) -> Arc<Self> {
        let inner = Queues {
            high: VecDeque::new(),
            low: VecDeque::new(),
            entries: HashMap::new(),
            delayed: BTreeMap::new(),
            due: HashMap::new(),
            sequence: 0,
            low_active: 0,
        };
        Arc::new(Self { inner: Mutex::new(inner), wake: Notify::new(), low_limit })
    }

    fn lock(&self) -> MutexGuard<'_, Queues<K>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a key. One that waits with low priority moves up.
    pub fn add(&self, key: K, priority: Priority) {
        self.lock().add(key, priority, Instant::now());
        self.wake.notify_one();
    }

    /// Adds a key after a delay, unless it is due earlier already.
    pub fn add_after(&self, key: K, delay: Duration) {
        let mut inner = self.lock();
        let at = Instant::now() + delay;
        if inner.due.get(&key).is_some_and(|(due, _)| *due <= at) {
            return;
        }
        inner.sequence += 1;
        let slot = (at, inner.sequence);
        if let Some(later) = inner.due.insert(key.clone(), slot) {
            inner.delayed.remove(&later);
        }
        inner.delayed.insert(slot, key);
        drop(inner);
        self.wake.notify_one();
    }

    /// Forgets the keys that wait. For a queue without workers.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.high.clear();
        inner.low.clear();
        inner.entries.clear();
    }

    /// Returns the number of keys that wait.
    pub fn depth(&self) -> usize {
        self.lock().entries.values().filter(|entry| entry.queued.is_some()).count()
    }

    /// Waits for the next key.
    pub async fn next(self: &Arc<Self>) -> WorkItem<K> {
        loop {
            let later = {
                let mut inner = self.lock();
                inner.release_due(Instant::now());
                if let Some((key, since, priority)) = inner.take(self.low_limit) {
                    if inner.has_work(self.low_limit) {
                        self.wake.notify_one();
                    }
                    return WorkItem { key, since, priority, queue: self.clone() };
                }
                inner.delayed.first_key_value().map(|((at, _), _)| *at)
            };
            match later {
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, self.wake.notified()).await;
                }
                None => self.wake.notified().await,
            }
        }
    }
}

impl<K: Eq + Hash + Clone> Queues<K> {
    fn add(&mut self, key: K, priority: Priority, now: Instant) {
        let entry =
            self.entries.entry(key.clone()).or_insert(QueuedKey { queued: None, since: now, active: false });
        if entry.queued.is_some_and(|queued| queued >= priority) {
            return;
        }
        if entry.queued.is_none() {
            entry.since = now;
        }
        entry.queued = Some(priority);
        if !entry.active {
            self.push(key, priority);
        }
    }

    fn push(&mut self, key: K, priority: Priority) {
        match priority {
            Priority::High => self.high.push_back(key),
            Priority::Low => self.low.push_back(key),
        }
    }

    fn release_due(&mut self, now: Instant) {
        while let Some(first) = self.delayed.first_entry().filter(|first| first.key().0 <= now) {
            let key = first.remove();
            self.due.remove(&key);
            self.add(key, Priority::High, now);
        }
    }

    fn has_work(&self, low_limit: usize) -> bool {
        !self.high.is_empty() || (!self.low.is_empty() && self.low_active < low_limit)
    }

    fn take(&mut self, low_limit: usize) -> Option<(K, Instant, Priority)> {
        while let Some(key) = self.high.pop_front() {
            if let Some(since) = self.start(&key, Priority::High) {
                return Some((key, since, Priority::High));
            }
        }
        while self.low_active < low_limit {
            let key = self.low.pop_front()?;
            if let Some(since) = self.start(&key, Priority::Low) {
                self.low_active += 1;
                return Some((key, since, Priority::Low));
            }
        }
        None
    }

    /// Marks a key as being processed, unless it moved up and left the popped place.
    fn start(&mut self, key: &K, priority: Priority) -> Option<Instant> {
        let entry = self.entries.get_mut(key)?;
        if entry.active || entry.queued != Some(priority) {
            return None;
        }
        entry.active = true;
        entry.queued = None;
        Some(entry.since)
    }

    fn finish(&mut self, key: &K, priority: Priority) {
        if priority == Priority::Low {
            self.low_active -= 1;
        }
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.active = false;
        match entry.queued {
            Some(again) => self.push(key.clone(), again),
            None => {
                self.entries.remove(key);
            }
        }
    }
}

impl<K: Eq + Hash + Clone> WorkItem<K> {
    /// Returns whether it answers to an event, rather than to a round over many keys.
    pub fn answers_event(&self) -> bool {
        self.priority == Priority::High
    }
}

impl<K: Eq + Hash + Clone> Drop for WorkItem<K> {
    fn drop(&mut self) {
        self.queue.lock().finish(&self.key, self.priority);
        self.queue.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::{Priority, WorkQueue};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_in_it_once_and_those_of_high_priority_go_first() {
        let queue = WorkQueue::new(8);
        for (key, priority) in
            [("a", Priority::Low), ("b", Priority::Low), ("a", Priority::Low), ("b", Priority::High)]
        {
            queue.add(key, priority);
        }
        assert_eq!(queue.depth(), 2);
        let (first, second) = (queue.next().await, queue.next().await);
        assert_eq!((first.key, second.key), ("b", "a"));
        drop((first, second));
        assert!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_while_it_is_processed_is_processed_again_and_not_twice_at_once() {
        let queue = WorkQueue::new(8);
        queue.add("a", Priority::High);
        let item = queue.next().await;
        queue.add("a", Priority::Low);
        assert!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.is_err());
        drop(item);
        assert_eq!(queue.next().await.key, "a");
    }

    #[tokio::test(start_paused = true)]
    async fn low_priority_leaves_a_worker_free() {
        let queue = WorkQueue::new(1);
        queue.add("a", Priority::Low);
        queue.add("b", Priority::Low);
        let low = queue.next().await;
        assert!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.is_err());
        queue.add("c", Priority::High);
        assert_eq!(queue.next().await.key, "c");
        drop(low);
        assert_eq!(queue.next().await.key, "b");
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_delays_the_shorter_counts() {
        let queue = WorkQueue::new(8);
        queue.add_after("a", Duration::from_secs(60));
        queue.add_after("a", Duration::from_secs(5));
        queue.add_after("a", Duration::from_secs(30));
        let start = tokio::time::Instant::now();
        let item = queue.next().await;
        assert_eq!((item.key, start.elapsed().as_secs()), ("a", 5));
        drop(item);
        assert!(tokio::time::timeout(Duration::from_secs(120), queue.next()).await.is_err());
    }

    #[tokio::test]
    async fn every_added_key_is_processed_by_many_workers() {
        let queue = WorkQueue::new(3);
        let (sender, mut done) = tokio::sync::mpsc::unbounded_channel();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let (queue, sender) = (queue.clone(), sender.clone());
                tokio::spawn(async move {
                    loop {
                        let item = queue.next().await;
                        tokio::task::yield_now().await;
                        let _ = sender.send(item.key);
                    }
                })
            })
            .collect();
        for key in 0..1000 {
            queue.add(key, if key % 10 == 0 { Priority::High } else { Priority::Low });
        }
        let mut seen = std::collections::HashSet::new();
        while seen.len() < 1000 {
            let key =
                tokio::time::timeout(Duration::from_secs(10), done.recv()).await.expect("a key was lost");
            seen.insert(key);
        }
        workers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
