//! The transition from one snapshot to the next: which namespaces to plan again, and what each binding expects of them.

use std::collections::HashSet;
use std::sync::Arc;

use super::snapshot::Snapshot;

/// The coverage of one binding that changed, before and after.
#[derive(Clone, Debug, Default)]
pub struct CoverageChange {
    /// The binding.
    pub binding: Arc<str>,
    /// Whether it asks something new of its namespaces.
    pub is_new: bool,
    /// Namespaces that it covered.
    pub before: HashSet<Arc<str>>,
    /// Namespaces that it covers.
    pub after: HashSet<Arc<str>>,
    /// Namespaces that it no longer covers, and in which its part stays.
    pub retained: HashSet<Arc<str>>,
    /// Namespaces in which its part does not stay any longer.
    pub released: HashSet<Arc<str>>,
}

/// The namespaces that a binding waits for before its status speaks of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The binding.
    pub binding: Arc<str>,
    /// The namespaces.
    pub namespaces: HashSet<Arc<str>>,
    /// Whether it asks something new of them.
    pub is_new: bool,
}

/// What follows from a new snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transition {
    /// Namespaces to plan again.
    pub dirty: HashSet<Arc<str>>,
    /// Namespaces that each changed binding waits for.
    pub expected: Vec<Expected>,
    /// Whether every namespace with our Secret is planned again too, since withdrawals were blocked.
    pub unblocks_ours: bool,
    /// Whether namespaces that waited for the API server are planned again too.
    pub unblocks_admission: bool,
}

impl Transition {
    /// Returns the transition between two snapshots. Each change is dropped before the next one is made: those of thousands
    /// of bindings would fill the memory.
    pub fn between(
        before: &Snapshot,
        next: &Snapshot,
        changes: impl IntoIterator<Item = CoverageChange>,
    ) -> Self {
        let knows_coverage = before.coverage_unknown() && !next.coverage_unknown();
        let gives_up_unclaimed = before.unclaimed_until().is_some() && next.unclaimed_until().is_none();
        let mut transition = Self {
            unblocks_ours: knows_coverage || gives_up_unclaimed,
            unblocks_admission: before.awaits_admission() && !next.awaits_admission(),
            ..Self::default()
        };
        for change in changes {
            let namespaces: HashSet<_> = change.after.into_iter().chain(change.retained).collect();
            transition.dirty.extend(change.before.into_iter().chain(change.released));
            transition.dirty.extend(namespaces.iter().cloned());
            let (binding, is_new) = (change.binding, change.is_new);
            transition.expected.push(Expected { binding, namespaces, is_new });
        }
        transition
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use super::{CoverageChange, Expected, Transition};
    use crate::plan::Snapshot;
    use crate::plan::fixture::{at, resolved, snapshot, snapshot_beside_unreadable};

    fn names(list: &[&str]) -> HashSet<Arc<str>> {
        list.iter().map(|name| (*name).into()).collect()
    }

    fn change() -> CoverageChange {
        CoverageChange {
            binding: "a".into(),
            is_new: true,
            before: names(&["lost", "both"]),
            after: names(&["both", "gained"]),
            retained: names(&["held"]),
            released: names(&["over"]),
        }
    }

    #[test]
    fn every_namespace_that_a_change_touches_is_planned_again_and_those_that_remain_are_expected() {
        let transition = Transition::between(&snapshot([]), &snapshot([resolved("a")]), vec![change()]);
        assert_eq!(transition.dirty, names(&["lost", "both", "gained", "held", "over"]));
        let namespaces = names(&["both", "gained", "held"]);
        assert_eq!(transition.expected, [Expected { binding: "a".into(), namespaces, is_new: true }]);
    }

    #[test]
    fn a_transition_unblocks_what_waited_and_nothing_else() {
        let plain = || snapshot([resolved("a")]);
        let unknown = || snapshot_beside_unreadable([resolved("a")]);
        let young = || plain().protecting_unclaimed_until(Some(at(60)));
        let awaiting = || plain().awaiting_admission(true);
        let unblocks = |before: &Snapshot, next: &Snapshot| {
            let transition = Transition::between(before, next, Vec::new());
            assert!(transition.dirty.is_empty());
            (transition.unblocks_ours, transition.unblocks_admission)
        };
        for (before, next, expected) in [
            (plain(), plain(), (false, false)),
            (unknown(), plain(), (true, false)),
            (unknown(), unknown(), (false, false)),
            (plain(), unknown(), (false, false)),
            (young(), plain(), (true, false)),
            (young(), young(), (false, false)),
            (plain(), young(), (false, false)),
            (awaiting(), plain(), (false, true)),
            (awaiting(), awaiting(), (false, false)),
            (plain(), awaiting(), (false, false)),
        ] {
            assert_eq!(unblocks(&before, &next), expected, "{before:?} {next:?}");
        }
    }
}
