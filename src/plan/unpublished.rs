//! Bindings that changed, and when to publish them.
//!
//! A snapshot costs each namespace that its bindings cover a write. Bindings that are created or deleted together are
//! published together: as soon as no other follows, and after a while at most.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time for which no other binding must follow.
const QUIET: Duration = Duration::from_millis(30);

/// Time for which a binding is awaited that lacks our finalizer, or the effect of its deletion: each takes a request.
const PATIENCE: Duration = Duration::from_secs(1);

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
    /// Each binding, and since when more of its change is awaited.
    bindings: BTreeMap<Arc<str>, Option<Instant>>,
}

/// Bindings that changed and are not published yet.
#[derive(Clone, Debug, Default)]
pub struct Unpublished(BTreeMap<Churn, Burst>);

impl Unpublished {
    /// Adds a binding, and whether more of its change is awaited. A binding that changes again holds up no other.
    pub fn add(&mut self, binding: &Arc<str>, churn: Churn, awaits_more: bool, now: Instant) {
        let known = self.0.get_mut(&churn).filter(|burst| burst.bindings.contains_key(binding));
        if let Some(burst) = known {
            let awaited = burst.bindings.get_mut(binding).filter(|_| !awaits_more).and_then(Option::take);
            burst.last = awaited.map_or(burst.last, |_| now);
            return;
        }
        self.take(binding);
        let burst = self.0.entry(churn);
        let burst = burst.or_insert_with(|| Burst { first: now, last: now, bindings: BTreeMap::new() });
        burst.bindings.insert(binding.clone(), awaits_more.then_some(now));
        burst.last = now;
    }

    /// Returns whether a binding waits.
    pub fn contains(&self, binding: &str) -> bool {
        self.0.values().any(|burst| burst.bindings.contains_key(binding))
    }

    /// Takes one binding. Returns whether it waited.
    pub fn take(&mut self, binding: &str) -> bool {
        let taken =
            self.0.values_mut().fold(false, |taken, burst| burst.bindings.remove(binding).is_some() | taken);
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
        kinds
            .iter()
            .filter_map(|churn| self.0.remove(churn))
            .flat_map(|burst| burst.bindings.into_keys())
            .collect()
    }
}

impl Burst {
    fn due_at(&self, churn: Churn) -> Instant {
        let longest = match churn {
            Churn::Joins | Churn::Leaves => LONGEST,
            Churn::Edited => LONGEST_OF_EDIT,
        };
        let awaited = self.bindings.values().flatten().max().map(|since| *since + PATIENCE);
        let quiet = (self.last + QUIET).max(awaited.unwrap_or(self.last));
        quiet.min(self.first + longest)
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
            unpublished.add(&format!("b{i:02}").into(), Churn::Joins, false, now);
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
            unpublished.add(&format!("b{i}").into(), Churn::Leaves, false, start + 10 * MS * i);
        }
        assert_eq!(unpublished.due_at(), Some(start + 3000 * MS));
        for i in 0..20 {
            unpublished.add(&format!("e{i}").into(), Churn::Edited, false, start + 20 * MS * i);
        }
        assert_eq!(take(&mut unpublished, start + 100 * MS).len(), 20, "edits wait for a moment only");
        assert_eq!(take(&mut unpublished, start + 3000 * MS).len(), 300);
    }

    #[test]
    fn a_new_binding_does_not_wait_for_those_that_leave_nor_for_one_that_keeps_changing() {
        let (mut unpublished, start) = (Unpublished::default(), Instant::now());
        let (new, other): (Arc<str>, Arc<str>) = ("new".into(), "other".into());
        unpublished.add(&new, Churn::Joins, false, start);
        for i in 0..10 {
            unpublished.add(&format!("l{i}").into(), Churn::Leaves, false, start + 10 * MS * i);
            unpublished.add(&other, Churn::Joins, false, start + 10 * MS * i);
        }
        assert_eq!(take(&mut unpublished, start + 30 * MS), ["new", "other"]);
        unpublished.add(&other, Churn::Edited, false, start + 60 * MS);
        unpublished.add(&other, Churn::Edited, false, start + 85 * MS);
        assert_eq!(take(&mut unpublished, start + 90 * MS), ["other"]);
        assert_eq!(take(&mut unpublished, start + 120 * MS).len(), 10);
    }

    #[test]
    fn the_last_kind_of_change_counts_and_a_binding_is_taken_once() {
        let (mut unpublished, start) = (Unpublished::default(), Instant::now());
        let b: Arc<str> = "b".into();
        unpublished.add(&b, Churn::Joins, false, start);
        unpublished.add(&b, Churn::Leaves, false, start + 20 * MS);
        assert!(unpublished.contains("b"));
        assert_eq!(take(&mut unpublished, start + 30 * MS), [] as [String; 0], "it does not join any more");
        assert!(unpublished.take("b") && !unpublished.take("b") && !unpublished.contains("b"));
        assert_eq!(unpublished.due_at(), None);
    }

    /// All are there at once, and each needs a write before it is in force.
    #[test]
    fn bindings_that_need_a_write_first_are_awaited_for_a_while() {
        let (mut unpublished, start) = (Unpublished::default(), Instant::now());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        unpublished.add(&a, Churn::Joins, true, start);
        unpublished.add(&b, Churn::Joins, true, start + 10 * MS);
        unpublished.add(&a, Churn::Joins, false, start + 200 * MS);
        assert_eq!(unpublished.due_at(), Some(start + 1010 * MS), "b is not there yet");
        unpublished.add(&b, Churn::Joins, false, start + 400 * MS);
        unpublished.add(&b, Churn::Joins, false, start + 420 * MS);
        assert_eq!(unpublished.due_at(), Some(start + 430 * MS));
        assert_eq!(take(&mut unpublished, start + 430 * MS), ["a", "b"]);
    }
}
