//! Bindings that changed, and when to publish them.
//!
//! A snapshot costs each namespace that its bindings cover a write. Bindings that are created or deleted together are
//! published together: as soon as no other follows, and after a while at most.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time for which no other binding must follow.
const QUIET: Duration = Duration::from_millis(30);

/// The longest wait while others follow, and the longest wait of an edit.
const LONGEST: Duration = Duration::from_secs(3);
const LONGEST_OF_EDIT: Duration = Duration::from_millis(100);

/// A kind of change. Bindings that leave do not hold up those that join, nor the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Churn {
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
    bindings: BTreeSet<Arc<str>>,
}

/// Bindings that changed and are not published yet.
#[derive(Clone, Debug, Default)]
pub struct Unpublished(BTreeMap<Churn, Burst>);

impl Unpublished {
    /// Adds a binding. A binding that changes again holds up no other.
    pub fn add(&mut self, binding: &Arc<str>, churn: Churn, now: Instant) {
        if self.0.get(&churn).is_some_and(|burst| burst.bindings.contains(binding)) {
            return;
        }
        self.take(binding);
        let burst = self.0.entry(churn);
        let burst = burst.or_insert_with(|| Burst { first: now, last: now, bindings: BTreeSet::new() });
        burst.bindings.insert(binding.clone());
        burst.last = now;
    }

    /// Returns whether a binding waits.
    pub fn contains(&self, binding: &str) -> bool {
        self.0.values().any(|burst| burst.bindings.contains(binding))
    }

    /// Takes one binding. Returns whether it waited.
    pub fn take(&mut self, binding: &str) -> bool {
        let taken = self.0.values_mut().fold(false, |taken, burst| burst.bindings.remove(binding) | taken);
        self.0.retain(|_, burst| !burst.bindings.is_empty());
        taken
    }

    /// Returns when the next bindings are due, if any wait.
    pub fn due_at(&self) -> Option<Instant> {
        self.0.iter().map(|(churn, burst)| burst.due_at(*churn)).min()
    }

    /// Returns when the last bindings are due, if any wait.
    pub fn last_due_at(&self) -> Option<Instant> {
        self.0.iter().map(|(churn, burst)| burst.due_at(*churn)).max()
    }

    /// Takes the bindings that are due.
    pub fn take_due(&mut self, now: Instant) -> Vec<Arc<str>> {
        let kinds = self.0.iter().filter(|(churn, burst)| burst.due_at(**churn) <= now);
        let kinds: Vec<Churn> = kinds.map(|(churn, _)| *churn).collect();
        kinds.iter().filter_map(|churn| self.0.remove(churn)).flat_map(|burst| burst.bindings).collect()
    }
}

impl Burst {
    fn due_at(&self, churn: Churn) -> Instant {
        let longest = match churn {
            Churn::Joins | Churn::Leaves => LONGEST,
            Churn::Edited => LONGEST_OF_EDIT,
        };
        (self.last + QUIET).min(self.first + longest)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{Churn, Unpublished};

    const MS: Duration = Duration::from_millis(1);

    fn take(unpublished: &mut Unpublished, at: Instant) -> Vec<String> {
        unpublished.take_due(at).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn bindings_that_follow_each_other_are_due_together_once_none_follows() {
        let (mut unpublished, start) = (Unpublished::default(), Instant::now());
        for i in 0..20 {
            let now = start + 20 * MS * i;
            assert_eq!(take(&mut unpublished, now), [] as [String; 0]);
            unpublished.add(&format!("b{i:02}").into(), Churn::Joins, now);
        }
        let last = start + 20 * MS * 19;
        assert_eq!(unpublished.due_at(), Some(last + 30 * MS));
        assert_eq!(take(&mut unpublished, last + 29 * MS), [] as [String; 0]);
        assert_eq!(take(&mut unpublished, last + 30 * MS).len(), 20);
        assert_eq!(unpublished.due_at(), None);
    }

    #[test]
    fn a_burst_without_end_is_published_in_parts() {
        let (mut unpublished, start) = (Unpublished::default(), Instant::now());
        for i in 0..300 {
            unpublished.add(&format!("b{i}").into(), Churn::Leaves, start + 10 * MS * i);
        }
        assert_eq!(unpublished.due_at(), Some(start + 3000 * MS));
        assert_eq!(take(&mut unpublished, start + 3000 * MS).len(), 300);
    }

    #[test]
    fn a_new_binding_does_not_wait_for_those_that_leave_nor_for_one_that_keeps_changing() {
        let (mut unpublished, start) = (Unpublished::default(), Instant::now());
        let (new, other): (Arc<str>, Arc<str>) = ("new".into(), "other".into());
        unpublished.add(&new, Churn::Joins, start);
        for i in 0..10 {
            unpublished.add(&format!("l{i}").into(), Churn::Leaves, start + 10 * MS * i);
            unpublished.add(&other, Churn::Joins, start + 10 * MS * i);
        }
        assert_eq!(take(&mut unpublished, start + 30 * MS), ["new", "other"]);
        unpublished.add(&other, Churn::Edited, start + 60 * MS);
        unpublished.add(&other, Churn::Edited, start + 85 * MS);
        assert_eq!(take(&mut unpublished, start + 90 * MS), ["other"]);
        assert_eq!(take(&mut unpublished, start + 120 * MS).len(), 10);
    }

    #[test]
    fn the_last_kind_of_change_counts_and_a_binding_is_taken_once() {
        let (mut unpublished, start) = (Unpublished::default(), Instant::now());
        let b: Arc<str> = "b".into();
        unpublished.add(&b, Churn::Joins, start);
        unpublished.add(&b, Churn::Leaves, start + 20 * MS);
        assert!(unpublished.contains("b"));
        assert!(unpublished.take("b") && !unpublished.take("b") && !unpublished.contains("b"));
        assert_eq!(unpublished.due_at(), None);
    }
}
