//! Permits for the writes in tenants' namespaces, so that no namespace's writes keep another's waiting.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::priority::{PlaceLimits, Places, Priority, Share};
use super::scheduler::NAMESPACES;

/// Permits of all namespaces. Two connections carry them and the [`READS`] beside them, at most 64 streams each.
pub const PERMITS: PlaceLimits = PlaceLimits {
    quick: 96,
    hanging: 16,
    shares: [
        Share { reserved: 16, most: 96 },
        Share { reserved: 4, most: 96 },
        Share { reserved: 4, most: 16 },
        Share { reserved: 4, most: 16 },
        Share { reserved: 4, most: 96 },
    ],
};

const _: () = assert!(NAMESPACES.fit_into(&PERMITS), "a namespace that is processed may find no permit");

/// Reads in tenants' namespaces that go beside the writes.
pub const READS: usize = 16;

/// Writes of one namespace in flight.
pub const PER_NAMESPACE: usize = 16;

/// Those among them that may hang, so that a few namespaces do not hold all permits of that kind.
const HANGING_PER_NAMESPACE: usize = 4;

/// Writes in flight of a namespace whose last one was not answered in time.
const AFTER_SILENCE: usize = 1;

/// A write that is older gives its place up.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Identifies a permit, or a request for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermitId(u64);

/// What becomes of a write that is older than [`PATIENCE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// It goes on, with a permit of those that may hang.
    GoesOn,
    /// None of these is free: it is cut.
    IsCut,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteEnd {
    /// It succeeded.
    Succeeded,
    /// The API server refused it.
    Refused,
    /// It was not answered in time, or was given up.
    Unanswered,
}

/// The permits, and who waits for one. Who asks first gets the next one of its priority; a namespace that asks for one
/// at a time thus takes turns with the others.
///
/// # Guarantees
/// - A namespace has at most [`PER_NAMESPACE`] permits, and one while its last write was not answered in time.
/// - A permit is held by a write without an answer for at most [`PATIENCE`], apart from those that may hang.
#[derive(Debug)]
pub struct Budget {
    places: Places,
    next: u64,
    waiting: Vec<Request>,
    held: BTreeMap<PermitId, HeldPermit>,
    namespaces: HashMap<Arc<str>, PermitHolder>,
}

#[derive(Debug)]
struct Request {
    id: PermitId,
    namespace: Arc<str>,
    priority: Priority,
}

#[derive(Debug)]
struct HeldPermit {
    namespace: Arc<str>,
    priority: Priority,
    since: Instant,
}

/// A namespace with permits, or with a silence to remember.
#[derive(Debug, Default)]
struct PermitHolder {
    held: usize,
    hanging: usize,
    is_silent: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            places: Places::new(PERMITS),
            next: 0,
            waiting: Vec::new(),
            held: BTreeMap::new(),
            namespaces: HashMap::new(),
        }
    }
}

impl Budget {
    /// Asks for a permit. [`Self::grant`] gives it.
    pub fn request(&mut self, namespace: &Arc<str>, priority: Priority) -> PermitId {
        self.next += 1;
        let id = PermitId(self.next);
        self.waiting.push(Request { id, namespace: namespace.clone(), priority });
        id
    }

    /// Gives all permits that are free, to the most urgent and longest waiting first. Returns those that were given.
    pub fn grant(&mut self, now: Instant) -> Vec<PermitId> {
        let mut granted = Vec::new();
        for priority in Priority::ALL {
            let mut at = 0;
            while at < self.waiting.len() && self.places.admits(priority) {
                let request = &self.waiting[at];
                if request.priority != priority || !self.may_have_another(&request.namespace, priority) {
                    at += 1;
                    continue;
                }
                let Request { id, namespace, priority } = self.waiting.remove(at);
                self.places.take(priority);
                let holder = self.namespaces.entry(namespace.clone()).or_default();
                holder.held += 1;
                holder.hanging += usize::from(priority.may_hang());
                self.held.insert(id, HeldPermit { namespace, priority, since: now });
                granted.push(id);
            }
        }
        granted
    }

    fn may_have_another(&self, namespace: &str, priority: Priority) -> bool {
        let Some(holder) = self.namespaces.get(namespace) else { return true };
        let most = if holder.is_silent { AFTER_SILENCE } else { PER_NAMESPACE };
        holder.held < most && (!priority.may_hang() || holder.hanging < HANGING_PER_NAMESPACE)
    }

    /// Returns whether a permit was given and not released yet.
    pub fn is_held(&self, id: PermitId) -> bool {
        self.held.contains_key(&id)
    }

    /// Decides on a write that is older than [`PATIENCE`]. One that is cut is still to be released. What its namespace
    /// waits for may hang as well.
    pub fn outlast(&mut self, id: PermitId) -> Overdue {
        let Some(permit) = self.held.get_mut(&id) else { return Overdue::IsCut };
        let beside = self.waiting.iter_mut().filter(|request| request.namespace == permit.namespace);
        beside.for_each(|request| request.priority = Priority::Slow);
        if permit.priority == Priority::Slow {
            return Overdue::GoesOn;
        }
        let holder = self.namespaces.entry(permit.namespace.clone()).or_default();
        let was_hanging = permit.priority.may_hang();
        if !self.places.admits(Priority::Slow) || (!was_hanging && holder.hanging >= HANGING_PER_NAMESPACE) {
            return Overdue::IsCut;
        }
        self.places.give_back(permit.priority);
        self.places.take(Priority::Slow);
        holder.hanging += usize::from(!was_hanging);
        permit.priority = Priority::Slow;
        Overdue::GoesOn
    }

    /// Takes a permit back, or a request for one.
    pub fn release(&mut self, id: PermitId, end: WriteEnd, now: Instant) {
        self.waiting.retain(|request| request.id != id);
        let Some(permit) = self.held.remove(&id) else { return };
        self.places.give_back(permit.priority);
        let quick = now.saturating_duration_since(permit.since) < PATIENCE && end != WriteEnd::Unanswered;
        if let Some(holder) = self.namespaces.get_mut(&permit.namespace) {
            holder.held = holder.held.saturating_sub(1);
            holder.hanging = holder.hanging.saturating_sub(usize::from(permit.priority.may_hang()));
            holder.is_silent = !quick && end != WriteEnd::Succeeded;
            if holder.held == 0 && !holder.is_silent {
                self.namespaces.remove(&permit.namespace);
            }
        }
    }

    /// Forgets that a namespace was silent: it is gone.
    pub fn forget(&mut self, namespace: &str) {
        if let Some(holder) = self.namespaces.get_mut(namespace) {
            holder.is_silent = false;
            if holder.held == 0 {
                self.namespaces.remove(namespace);
            }
        }
    }

    /// Returns the number of writes in flight.
    pub fn in_flight(&self) -> usize {
        self.held.len()
    }

    /// Returns how long the longest write in flight has lasted.
    pub fn longest(&self, now: Instant) -> Option<Duration> {
        self.held.values().map(|permit| now.saturating_duration_since(permit.since)).max()
    }
}

#[cfg(test)]
mod tests;
