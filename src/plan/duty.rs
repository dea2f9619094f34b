//! The duty of this process in one namespace, and the bindings that it follows from.

use k8s_openapi::jiff::Timestamp;

use super::record::NamespaceRecord;
use super::resolved_binding::Phase;
use super::snapshot::Snapshot;
use super::view::{NamespaceFacts, NamespaceView};
use super::withdrawal_guard::Retained;

/// The bindings that matter in one namespace, as indices into the snapshot in the order of precedence.
#[derive(Debug)]
pub struct NamespaceCoverage<'a> {
    /// Whether the namespace opts out.
    pub skip: bool,
    /// Bindings to serve.
    pub active: Vec<usize>,
    /// Suspended bindings.
    pub suspended: Vec<usize>,
    /// Active bindings that no longer cover the namespace, and whose part stays for now.
    pub retained: Vec<(usize, &'a Retained)>,
    /// Bindings that go with their CustomResourceDefinition.
    pub abandoning: Vec<usize>,
    /// Deleted bindings that leave their Secrets behind.
    pub retaining: Vec<usize>,
    /// Deleted bindings that take their part back.
    pub withdrawing: Vec<usize>,
    /// Bindings whose credentials the Secret holds.
    pub filling: Vec<usize>,
    /// Whether a binding lost the namespace a moment ago, and may lose more.
    pub awaits_relabelling: bool,
    /// Whether the existing Secret may hold credentials of a binding that stays here by a guess.
    unverified: bool,
}

impl<'a> NamespaceCoverage<'a> {
    /// Returns the bindings that matter in a namespace; `None` where it does not exist or is being deleted.
    pub fn of(view: &NamespaceView, snapshot: &Snapshot, retained: &'a [Retained]) -> Option<Self> {
        let facts = view.facts.as_ref().filter(|facts| !facts.terminating)?;
        Some(Self::beside(facts, &snapshot.covering(&view.name, facts), snapshot, retained))
    }

    /// Returns the same, where the bindings that cover it may be known already. They are recorded.
    pub fn of_record(
        record: &mut NamespaceRecord,
        snapshot: &Snapshot,
        retained: &'a [Retained],
    ) -> Option<Self> {
        let facts = record.view.facts.as_ref().filter(|facts| !facts.terminating)?;
        if let Some(covering) = record.coverage.get(snapshot.selections(), facts) {
            return Some(Self::beside(facts, covering, snapshot, retained));
        }
        let covering = snapshot.covering(&record.view.name, facts);
        record.coverage.put(snapshot.selections(), facts, &covering);
        Some(Self::beside(facts, &covering, snapshot, retained))
    }

    /// Returns the bindings that matter: those that cover the namespace, and those whose part stays.
    fn beside(
        facts: &NamespaceFacts,
        covering: &[usize],
        snapshot: &Snapshot,
        retained: &'a [Retained],
    ) -> Self {
        let awaits_relabelling = retained.iter().any(|retained| !retained.held);
        let retained = retained.iter().filter(|_| !facts.skip);
        let retained =
            retained.filter_map(|retained| Some((snapshot.index_of(&retained.binding)?, retained)));
        let beside: Vec<_> = retained.filter(|(index, _)| covering.binary_search(index).is_err()).collect();
        let phase = |index: usize| snapshot.resolved(index).phase;
        let of_phase = |wanted: Phase| {
            let beside = beside.iter().map(|(index, _)| *index).filter(|_| wanted != Phase::Active);
            covering.iter().copied().chain(beside).filter(|&i| phase(i) == wanted).collect::<Vec<_>>()
        };
        // A guess keeps the existing content, and adds nothing to it.
        let verified = beside.iter().filter(|(_, retained)| retained.verified).map(|(index, _)| *index);
        let fills = |i: &usize| matches!(phase(*i), Phase::Active | Phase::Suspended | Phase::Abandoning);
        let mut filling: Vec<usize> = covering.iter().copied().chain(verified).filter(fills).collect();
        filling.sort_unstable();
        let unverified = beside.iter().any(|(index, retained)| !retained.verified && fills(index));
        Self {
            skip: facts.skip,
            active: of_phase(Phase::Active),
            suspended: of_phase(Phase::Suspended),
            abandoning: of_phase(Phase::Abandoning),
            retaining: of_phase(Phase::Retaining),
            withdrawing: of_phase(Phase::Withdrawing),
            retained: beside.iter().copied().filter(|(index, _)| phase(*index) == Phase::Active).collect(),
            filling,
            awaits_relabelling,
            unverified,
        }
    }

    /// Returns the bindings whose part stays as it is.
    pub fn kept(&self) -> Vec<usize> {
        let retained = self.retained.iter().map(|(index, _)| index);
        self.suspended.iter().chain(retained).chain(&self.abandoning).copied().collect()
    }

    /// Returns the bindings that are being deleted and leave the namespace.
    pub fn leaving(&self) -> Vec<usize> {
        [&self.withdrawing[..], &self.retaining].concat()
    }
}

/// The duty of this process in one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Serve the bindings that cover it.
    Serve,
    /// Keep the credentials of its Secret fresh, and change nothing else.
    RenewOnly,
    /// Change nothing.
    Leave,
    /// Forget it, and change nothing: its bindings go with their CustomResourceDefinition.
    Abandon,
    /// Mark its Secret as left behind on purpose.
    Retain,
    /// Take our entries and our Secret out of it.
    Withdraw,
}

impl Duty {
    /// Returns the duty in a namespace that this process, or the one before it, is known to have `served`.
    pub fn of(coverage: &NamespaceCoverage<'_>, snapshot: &Snapshot, served: bool, now: Timestamp) -> Self {
        let keeps_more_than_abandoned = !coverage.suspended.is_empty() || !coverage.retained.is_empty();
        if !coverage.active.is_empty() {
            Self::Serve
        } else if !coverage.retained.is_empty() && !coverage.unverified {
            Self::RenewOnly
        } else if keeps_more_than_abandoned || snapshot.keeps_all() {
            Self::Leave
        } else if !coverage.abandoning.is_empty() {
            Self::Abandon
        } else if !coverage.retaining.is_empty() {
            Self::Retain
        } else if coverage.withdrawing.is_empty()
            && !served
            && !coverage.skip
            && snapshot.protects_unclaimed(now)
        {
            Self::Leave
        } else {
            Self::Withdraw
        }
    }
}

/// Returns the bindings whose credentials our Secret holds; `None` where the namespace does not exist or is being
/// deleted.
pub fn filled_by(view: &NamespaceView, snapshot: &Snapshot, retained: &[Retained]) -> Option<Vec<usize>> {
    Some(NamespaceCoverage::of(view, snapshot, retained)?.filling)
}

#[cfg(test)]
mod tests;
