//! The order in which keys are processed: each is in the queue once, and is processed once at a time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Instant;

use super::priority::{PlaceLimits, Places, Priority, Share};

/// Places of the namespaces that are processed at the same time. There are at least as many permits of each kind.
///
/// A refresh needs some more namespaces at once than the API server works on: each of them is planned, and has its write
/// begun and recorded, between two writes.
pub const NAMESPACES: PlaceLimits = PlaceLimits {
    quick: 80,
    hanging: 16,
    shares: [
        Share { reserved: 8, most: 80 },
        Share { reserved: 4, most: 80 },
        Share { reserved: 4, most: 16 },
        Share { reserved: 4, most: 16 },
        Share { reserved: 4, most: 32 },
    ],
};

/// How often in a row a key's writes are late before it waits with those that hang. Once may be the API server's own
/// pause, after which a healthy key must not wait for the others' deadlines.
const LATE_IN_A_ROW: u8 = 2;

/// The keys that wait, those that are processed, and those that are due later.
///
/// # Guarantees
/// - A key added while it is processed is processed again afterwards, unless its worker takes the news: no event is lost.
/// - One key is never processed twice at the same time.
/// - A key whose writes hang keeps no place of the others.
#[derive(Debug)]
pub struct Scheduler<K> {
    places: Places,
    /// The priority of keys that fall due.
    due_as: Priority,
    queues: [VecDeque<K>; Priority::ALL.len()],
    entries: HashMap<K, QueuedKey>,
    delayed: BTreeMap<(Instant, u64), K>,
    due: HashMap<K, (Instant, u64)>,
    late: HashMap<K, Lateness>,
    sequence: u64,
}

/// How late the writes of a key are.
#[derive(Clone, Copy, Debug, Default)]
struct Lateness {
    /// One of the writes under way is late.
    now: bool,
    /// How often in a row its processing had a late write, up to [`LATE_IN_A_ROW`].
    in_a_row: u8,
}

impl Lateness {
    fn is_slow(self) -> bool {
        self.now || self.in_a_row >= LATE_IN_A_ROW
    }
}

#[derive(Debug)]
struct QueuedKey {
    asked: Option<Priority>,
    since: Instant,
    /// The kind of the place in which it is processed.
    active: Option<Priority>,
}

/// A key to process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken<K> {
    /// The key.
    pub key: K,
    /// When it was added.
    pub since: Instant,
    /// The priority that it was added with.
    pub asked: Priority,
}

impl<K: Clone + Eq + Hash> Scheduler<K> {
    /// Returns a scheduler without keys. Keys that fall due get the priority `due_as`.
    pub fn new(limits: PlaceLimits, due_as: Priority) -> Self {
        Self {
            places: Places::new(limits),
            due_as,
            queues: Priority::map(|_| VecDeque::new()),
            entries: HashMap::new(),
            delayed: BTreeMap::new(),
            due: HashMap::new(),
            late: HashMap::new(),
            sequence: 0,
        }
    }

    /// Adds a key. One that waits already moves up, where this is more urgent. Returns whether it is being processed.
    pub fn add(&mut self, key: K, priority: Priority, now: Instant) -> bool {
        self.enqueue(key, priority, now, VecDeque::push_back)
    }

    /// Adds a key as [`Self::add`] does, ahead of those that wait with the same priority: one of a few that must not wait
    /// for thousands.
    pub fn add_ahead(&mut self, key: K, priority: Priority, now: Instant) -> bool {
        self.enqueue(key, priority, now, VecDeque::push_front)
    }

    fn enqueue(
        &mut self,
        key: K,
        priority: Priority,
        now: Instant,
        push: impl FnOnce(&mut VecDeque<K>, K),
    ) -> bool {
        let new = || QueuedKey { asked: None, since: now, active: None };
        let entry = self.entries.entry(key.clone()).or_insert_with(new);
        let is_active = entry.active.is_some();
        if entry.asked.is_some_and(|asked| asked <= priority) {
            return is_active;
        }
        if entry.asked.is_none() {
            entry.since = now;
        }
        entry.asked = Some(priority);
        if !is_active {
            let kind = self.kind(&key, priority);
            push(self.queue(kind), key);
        }
        is_active
    }

    /// Adds a key at a later time, unless it is due earlier already.
    pub fn add_at(&mut self, key: K, at: Instant) {
        if self.due.get(&key).is_some_and(|(due, _)| *due <= at) {
            return;
        }
        self.sequence += 1;
        let slot = (at, self.sequence);
        if let Some(later) = self.due.insert(key.clone(), slot) {
            self.delayed.remove(&later);
        }
        self.delayed.insert(slot, key);
    }

    /// Adds the keys that fell due. Returns those of them that are being processed.
    pub fn release_due(&mut self, now: Instant) -> Vec<K> {
        let mut active = Vec::new();
        while let Some(first) = self.delayed.first_entry().filter(|first| first.key().0 <= now) {
            let key = first.remove();
            self.due.remove(&key);
            if self.add(key.clone(), self.due_as, now) {
                active.push(key);
            }
        }
        active
    }

    /// Returns when the next key falls due.
    pub fn next_due(&self) -> Option<Instant> {
        self.delayed.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the most urgent key for which a place is free.
    pub fn take(&mut self) -> Option<Taken<K>> {
        for kind in Priority::ALL {
            while self.places.admits(kind) {
                let Some(key) = self.queue(kind).pop_front() else { break };
                if let Some(taken) = self.start(key, kind) {
                    return Some(taken);
                }
            }
        }
        None
    }

    /// Returns whether [`Self::take`] may return a key.
    pub fn has_work(&self) -> bool {
        let kinds = Priority::ALL.into_iter().zip(&self.queues);
        kinds.into_iter().any(|(kind, queue)| !queue.is_empty() && self.places.admits(kind))
    }

    /// Takes the news of a key that is being processed: it is not processed again for them.
    pub fn take_news(&mut self, key: &K) -> Option<Taken<K>> {
        let entry = self.entries.get_mut(key).filter(|entry| entry.active.is_some())?;
        let asked = entry.asked.take()?;
        Some(Taken { key: key.clone(), since: entry.since, asked })
    }

    /// Records that a write of a key that is being processed takes long. Its place is free from now on.
    pub fn slow_down(&mut self, key: &K) {
        let late = self.late.entry(key.clone()).or_default();
        if !late.now {
            (late.now, late.in_a_row) = (true, late.in_a_row.saturating_add(1).min(LATE_IN_A_ROW));
        }
        let Some(active) = self.entries.get_mut(key).and_then(|entry| entry.active.as_mut()) else { return };
        let before = std::mem::replace(active, Priority::Slow);
        self.places.give_back(before);
        self.places.take(Priority::Slow);
    }

    /// Records that a write of a key was quick.
    pub fn speed_up(&mut self, key: &K) {
        self.late.remove(key);
    }

    /// Returns whether the writes of a key take long: one under way does, or the last ones did, twice in a row.
    pub fn is_slow(&self, key: &K) -> bool {
        self.late.get(key).is_some_and(|late| late.is_slow())
    }

    /// Ends the processing of a key. It waits again if it was added meanwhile.
    pub fn finish(&mut self, key: &K) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let Some(active) = entry.active.take() else { return };
        let again = entry.asked;
        self.places.give_back(active);
        if let Some(late) = self.late.get_mut(key) {
            late.now = false;
        }
        match again {
            Some(asked) => {
                let kind = self.kind(key, asked);
                self.queue(kind).push_back(key.clone());
            }
            None => drop(self.entries.remove(key)),
        }
    }

    /// Forgets the keys that wait. For a queue without workers.
    pub fn clear(&mut self) {
        self.queues.iter_mut().for_each(VecDeque::clear);
        self.entries.clear();
    }

    /// Returns the number of keys that wait.
    pub fn depth(&self) -> usize {
        self.entries.values().filter(|entry| entry.asked.is_some()).count()
    }

    /// Returns the number of keys that are due later.
    pub fn delayed(&self) -> usize {
        self.delayed.len()
    }

    /// Returns the kind of place that a key needs.
    fn kind(&self, key: &K, asked: Priority) -> Priority {
        if self.is_slow(key) { Priority::Slow } else { asked }
    }

    fn queue(&mut self, kind: Priority) -> &mut VecDeque<K> {
        &mut self.queues[kind.place()]
    }

    /// Marks a key as being processed, unless it moved up and left the popped position.
    fn start(&mut self, key: K, kind: Priority) -> Option<Taken<K>> {
        let asked = self.entries.get(&key).filter(|entry| entry.active.is_none())?.asked?;
        if kind != self.kind(&key, asked) {
            return None;
        }
        let entry = self.entries.get_mut(&key)?;
        (entry.asked, entry.active) = (None, Some(kind));
        self.places.take(kind);
        Some(Taken { key, since: entry.since, asked })
    }
}

#[cfg(test)]
mod tests;
