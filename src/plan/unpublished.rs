//! Bindings that changed, and when to publish them.
//!
//! A snapshot costs each namespace that its bindings cover a write. Bindings that are created or deleted together are
//! published together: as soon as no other follows, and after a while at most. A new binding that covers few namespaces
//! is published at once if none was new just before: it may have come with the workload that needs it. Of many that follow
//! each other, this costs one more write in those few namespaces.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time for which no other binding must follow. What applies many, one after the other, needs tens of milliseconds for
/// each. Where they follow more slowly, it is twice the longest time between two of them, up to a limit.
const QUIET: Duration = Duration::from_millis(100);
const LONGEST_QUIET: Duration = Duration::from_millis(500);

/// Time for which no other edit must follow.
const QUIET_OF_EDIT: Duration = Duration::from_millis(30);

/// Time for which a binding is awaited that lacks our finalizer, or the effect of its deletion: each takes a request.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest wait while others follow, and the longest wait of an edit.
const LONGEST: Duration = Duration::from_secs(3);
const LONGEST_OF_EDIT: Duration = Duration::from_millis(100);

/// A kind of change. Bindings that leave do not hold up those that join, nor the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Churn {
    /// The binding is new, and covers few namespaces.
    JoinsFew,
    /// The binding is new.
    Joins,
    /// The binding asks for something else.
    Edited,
    /// The binding is being deleted, or is gone.
    Leaves,
}

/// The bindings of one kind that wait together.
#[derive(Clone, Debug)]
struct Burst {
    first: Instant,
    last: Instant,
    /// The longest time between two changes.
    gap: Duration,
    /// Each binding, and since when more of its change is awaited.
    bindings: BTreeMap<Arc<str>, Option<Instant>>,
}

/// Bindings that changed and are not published yet.
#[derive(Clone, Debug, Default)]
pub struct Unpublished {
    bursts: BTreeMap<Churn, Burst>,
    /// When the last binding was new.
    last_join: Option<Instant>,
}

impl Unpublished {
    /// Adds a binding, and whether more of its change is awaited. A binding that changes again holds up no other.
    pub fn add(&mut self, binding: &Arc<str>, churn: Churn, awaits_more: bool, now: Instant) {
        let churn = self.company(binding, churn, now);
        let known = self.bursts.get_mut(&churn).filter(|burst| burst.bindings.contains_key(binding));
        if let Some(burst) = known {
            let awaited = burst.bindings.get_mut(binding).filter(|_| !awaits_more).and_then(Option::take);
            if awaited.is_some() {
                burst.advance(now);
            }
            return;
        }
        self.take(binding);
        if matches!(churn, Churn::Joins | Churn::JoinsFew) {
            self.last_join = Some(now);
        }
        let burst = self.bursts.entry(churn);
        let burst = burst.or_insert_with(|| Burst {
            first: now,
            last: now,
            gap: Duration::ZERO,
            bindings: BTreeMap::new(),
        });
        burst.bindings.insert(binding.clone(), awaits_more.then_some(now));
        burst.advance(now);
    }

    /// Returns the kind of change that a binding waits with.
    fn company(&self, binding: &Arc<str>, churn: Churn, now: Instant) -> Churn {
        let waits_with =
            |churn| self.bursts.get(churn).is_some_and(|burst| burst.bindings.contains_key(binding));
        let alone = self.last_join.is_none_or(|last| now.saturating_duration_since(last) >= QUIET);
        match churn {
            Churn::Joins | Churn::JoinsFew if waits_with(&Churn::JoinsFew) => Churn::JoinsFew,
            Churn::JoinsFew if waits_with(&Churn::Joins) || !alone => Churn::Joins,
            churn => churn,
        }
    }

    /// Returns whether a binding waits.
    pub fn contains(&self, binding: &str) -> bool {
        self.bursts.values().any(|burst| burst.bindings.contains_key(binding))
    }

    /// Takes one binding. Returns whether it waited.
    pub fn take(&mut self, binding: &str) -> bool {
        let taken = self
            .bursts
            .values_mut()
            .fold(false, |taken, burst| burst.bindings.remove(binding).is_some() | taken);
        self.bursts.retain(|_, burst| !burst.bindings.is_empty());
        taken
    }

    /// Returns when the next bindings are due, if any wait.
    pub fn due_at(&self) -> Option<Instant> {
        self.bursts.iter().map(|(churn, burst)| burst.due_at(*churn)).min()
    }

    /// Returns when the last bindings are due, if any wait.
    pub fn last_due_at(&self) -> Option<Instant> {
        self.bursts.iter().map(|(churn, burst)| burst.due_at(*churn)).max()
    }

    /// Takes the bindings that are due.
    pub fn take_due(&mut self, now: Instant) -> Vec<Arc<str>> {
        let kinds = self.bursts.iter().filter(|(churn, burst)| burst.due_at(**churn) <= now);
        let kinds: Vec<Churn> = kinds.map(|(churn, _)| *churn).collect();
        kinds
            .iter()
            .filter_map(|churn| self.bursts.remove(churn))
            .flat_map(|burst| burst.bindings.into_keys())
            .collect()
    }
}

impl Burst {
    fn advance(&mut self, now: Instant) {
        self.gap = self.gap.max(now.saturating_duration_since(self.last));
        self.last = now;
    }

    fn due_at(&self, churn: Churn) -> Instant {
        let (quiet, longest) = match churn {
            Churn::Joins | Churn::Leaves => ((2 * self.gap).clamp(QUIET, LONGEST_QUIET), LONGEST),
            Churn::JoinsFew => (Duration::ZERO, PATIENCE),
            Churn::Edited => (QUIET_OF_EDIT, LONGEST_OF_EDIT),
        };
        let awaited = self.bindings.values().flatten().max().map(|since| *since + PATIENCE);
        let quiet = (self.last + quiet).max(awaited.unwrap_or(self.last));
        quiet.min(self.first + longest)
    }
}

#[cfg(test)]
mod tests;
