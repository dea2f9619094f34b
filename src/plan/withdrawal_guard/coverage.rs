//! The coverage of one binding, and the namespaces that it lost.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::intent::WithdrawalIntent;
use crate::model::Binding;

/// How long a namespace that lost its label is left alone, to see whether the others lose theirs too. While others are
/// still being lost, it is left alone as well, for the grace period at most: a tool that relabels a thousand of them
/// takes minutes.
pub const RELABEL_WINDOW: SignedDuration = SignedDuration::from_secs(5);

/// Namespaces in which the part of a binding stays, though it no longer covers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) namespaces: BTreeSet<Arc<str>>,
    pub(super) since: Timestamp,
}

/// The coverage of one binding.
#[derive(Debug, Default)]
pub(super) struct GuardedBinding {
    pub(super) covered: HashSet<Arc<str>>,
    /// Namespaces that were lost a moment ago, and when each was.
    pub(super) recently_lost: HashMap<Arc<str>, Timestamp>,
    /// When the last of them was lost.
    pub(super) last_lost: Option<Timestamp>,
    pub(super) held: Option<Hold>,
    /// Namespaces whose Secret may hold other credentials than it names now.
    pub(super) unverified: HashSet<Arc<str>>,
    pub(super) intent: WithdrawalIntent,
    pub(super) spec: Option<Arc<Binding>>,
    /// Whether its selection is the one before the last edit: a namespace that it loses then was relabelled.
    pub(super) same_selection: bool,
}

impl GuardedBinding {
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        let held = self.held.iter().flat_map(|hold| &hold.namespaces);
        held.chain(self.recently_lost.keys())
    }

    pub(super) fn holds(&self, namespace: &str) -> bool {
        self.held.as_ref().is_some_and(|hold| hold.namespaces.contains(namespace))
    }

    pub(super) fn keeps(&self, namespace: &str) -> bool {
        self.recently_lost.contains_key(namespace) || self.holds(namespace)
    }

    pub(super) fn is_guarded(&self, grace: SignedDuration) -> bool {
        grace.is_positive() && matches!(self.intent, WithdrawalIntent::Guarded | WithdrawalIntent::Suspended)
    }

    pub(super) fn lose(&mut self, namespace: &Arc<str>, now: Timestamp) {
        self.recently_lost.insert(namespace.clone(), now);
        self.last_lost = Some(now);
    }

    /// Returns whether a namespace was lost a moment ago. While others are still being lost, the moment lasts, for the grace
    /// period at most.
    pub(super) fn lost_recently(&self, namespace: &str, grace: SignedDuration, now: Timestamp) -> bool {
        self.recently_lost.get(namespace).is_some_and(|since| !self.is_expired(*since, grace, now))
    }

    fn is_expired(&self, since: Timestamp, grace: SignedDuration, now: Timestamp) -> bool {
        let goes_on = self.last_lost.is_some_and(|last| now.duration_since(last) < RELABEL_WINDOW);
        now.duration_since(since) >= if goes_on { grace } else { RELABEL_WINDOW }
    }

    pub(super) fn forget_expired(&mut self, grace: SignedDuration, now: Timestamp) {
        let mut lost = std::mem::take(&mut self.recently_lost);
        lost.retain(|_, since| !self.is_expired(*since, grace, now));
        self.recently_lost = lost;
    }

    pub(super) fn release(&mut self, namespace: &str) {
        self.recently_lost.remove(namespace);
        self.unverified.remove(namespace);
        if let Some(hold) = &mut self.held {
            hold.namespaces.remove(namespace);
        }
        self.held = self.held.take().filter(|hold| !hold.namespaces.is_empty());
    }

    /// Holds lost and recently lost namespaces. A grace period that runs already goes on where none is added.
    pub(super) fn hold(&mut self, lost: HashSet<Arc<str>>, now: Timestamp) {
        let recently = std::mem::take(&mut self.recently_lost).into_keys();
        let lost: Vec<Arc<str>> = lost.into_iter().chain(recently).filter(|name| !self.holds(name)).collect();
        if lost.is_empty() {
            return;
        }
        let since = whole_seconds(now);
        let hold = self.held.get_or_insert_with(|| Hold { namespaces: BTreeSet::new(), since });
        hold.since = since;
        hold.namespaces.extend(lost);
    }
}

/// Returns a time as the API server stores it, in whole seconds: it is the same after a restart.
pub(super) fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
