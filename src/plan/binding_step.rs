//! The next step of the binding loop for one binding.

use std::time::Duration;

use super::resolved_binding::Phase;
use super::rollup::Rollup;
use super::stored_binding::StoredBinding;
use crate::api::AcrCredentialBindingStatus;
use crate::api::binding::DeletionPolicy;

/// Time for which results of namespaces are collected before they are reported together.
pub const SETTLE: Duration = Duration::from_millis(200);

/// Time between two writes of one status, at least.
const WRITE_INTERVAL: Duration = Duration::from_secs(3);

/// The next step for a binding.
#[derive(Clone, Debug, PartialEq)]
pub enum BindingStep {
    /// Wait for a change, or until this much time has passed.
    Wait(Option<Duration>),
    /// Add our finalizer before anything is written for the binding.
    AddFinalizer,
    /// Find out whether the CRD itself is being deleted, then decide on the effect of the deletion.
    DecideDeletion(DeletionPolicy),
    /// Let the binding go.
    RemoveFinalizer,
    /// Write the status, then reconcile again after this time.
    WriteStatus(Box<AcrCredentialBindingStatus>, Option<Duration>),
}

/// State of a binding from which its next step follows.
#[derive(Clone, Copy, Debug)]
pub struct BindingObservation<'a> {
    /// The binding.
    pub binding: &'a StoredBinding,
    /// Results of its namespaces.
    pub rollup: &'a Rollup,
    /// Whether the mode of admission is known.
    pub admission_known: bool,
    /// Whether the ConfigMap that the binding is made from was not read yet.
    pub awaits_config_map: bool,
    /// Whether its namespaces are planned by what it asks now.
    pub is_published: bool,
}

/// A status to report.
#[derive(Clone, Debug)]
pub struct StatusReport {
    /// The status.
    pub status: AcrCredentialBindingStatus,
    /// When it changes by the passing of time alone.
    pub changes_after: Option<Duration>,
    /// Time since the last write.
    pub since_write: Option<Duration>,
}

/// Returns the next step in the life of a binding; `None` where its status is to be reported.
pub fn lifecycle_step(observed: &BindingObservation<'_>) -> Option<BindingStep> {
    let BindingObservation { binding, rollup, .. } = observed;
    match (binding.is_deleting(), binding.has_finalizer()) {
        (true, false) => return Some(BindingStep::Wait(None)),
        (false, false) => return Some(BindingStep::AddFinalizer),
        (true, true) => {
            let Some(good) = &binding.good else { return Some(BindingStep::RemoveFinalizer) };
            if binding.deletion.is_none() {
                return Some(BindingStep::DecideDeletion(good.deletion_policy));
            }
            if observed.is_published && rollup.is_as_wanted() {
                return Some(BindingStep::RemoveFinalizer);
            }
        }
        (false, true) => {}
    }
    // After a start or a refresh, the reported status holds until every namespace was reconciled.
    let unsettled = !rollup.is_settled() && !rollup.is_converging() && binding.is_observed();
    let awaits_admission = binding.requests_admission().is_some() && !observed.admission_known;
    let early = unsettled || awaits_admission || observed.awaits_config_map || !observed.is_published;
    early.then_some(BindingStep::Wait(Some(SETTLE)))
}

/// Returns whether to write a status: only where it changed, and not too often.
pub fn status_step(current: Option<&AcrCredentialBindingStatus>, report: StatusReport) -> BindingStep {
    if current == Some(&report.status) {
        return BindingStep::Wait(report.changes_after);
    }
    let rest = report.since_write.map(|since| WRITE_INTERVAL.saturating_sub(since));
    match rest.filter(|rest| !rest.is_zero()) {
        Some(rest) => BindingStep::Wait(Some(rest)),
        None => BindingStep::WriteStatus(Box::new(report.status), report.changes_after),
    }
}

/// Returns the effect of a deletion. Where the CRD is deleted, every binding goes with it, and withdrawing everywhere
/// at once is the worst possible mistake.
pub fn deletion_effect(policy: DeletionPolicy, definition_exists: bool) -> Phase {
    match policy {
        _ if !definition_exists => Phase::Abandoning,
        DeletionPolicy::Retain => Phase::Retaining,
        DeletionPolicy::Delete => Phase::Withdrawing,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::time::Duration;

    use super::{
        BindingObservation, BindingStep, SETTLE, StatusReport, deletion_effect, lifecycle_step, status_step,
    };
    use crate::api::AcrCredentialBindingStatus;
    use crate::api::binding::DeletionPolicy;
    use crate::plan::Phase;
    use crate::plan::rollup::{Rollup, Rollups};
    use crate::plan::stored_binding::StoredBinding;
    use crate::plan::stored_binding::tests::{DELETING, FINALIZER, OBSERVED, stored};

    fn rollup(pending: bool, new: bool) -> Rollup {
        let mut rollups = Rollups::default();
        let names: HashSet<Arc<str>> = pending.then(|| "n".into()).into_iter().collect();
        rollups.expect(&"b".into(), names, new);
        rollups.of("b").unwrap().clone()
    }

    fn step(binding: &StoredBinding, rollup: &Rollup) -> Option<BindingStep> {
        let observed = BindingObservation {
            binding,
            rollup,
            admission_known: true,
            awaits_config_map: false,
            is_published: true,
        };
        lifecycle_step(&observed)
    }

    #[test]
    fn each_state_of_a_binding_has_one_next_step() {
        let decided = |marks: &[&str]| {
            let mut binding = stored(marks);
            binding.deletion = Some(Phase::Withdrawing);
            binding
        };
        let unreadable = |marks: &[&str]| {
            let mut binding = stored(marks);
            binding.good = None;
            binding
        };
        let (settled, converging, waiting) = (rollup(false, false), rollup(true, true), rollup(true, false));
        let decide = BindingStep::DecideDeletion(DeletionPolicy::Delete);
        for (case, binding, rollup, expected) in [
            ("no finalizer", stored(&[]), &settled, Some(BindingStep::AddFinalizer)),
            ("gone", stored(&[DELETING]), &settled, Some(BindingStep::Wait(None))),
            (
                "deleted, never valid",
                unreadable(&[DELETING, FINALIZER]),
                &settled,
                Some(BindingStep::RemoveFinalizer),
            ),
            ("deleted", stored(&[DELETING, FINALIZER]), &settled, Some(decide)),
            ("withdrawn", decided(&[DELETING, FINALIZER]), &settled, Some(BindingStep::RemoveFinalizer)),
            ("being withdrawn", decided(&[DELETING, FINALIZER]), &converging, None),
            ("new", stored(&[FINALIZER]), &converging, None),
            ("new, nothing selected", stored(&[FINALIZER]), &settled, None),
            (
                "after a start",
                stored(&[FINALIZER, OBSERVED]),
                &waiting,
                Some(BindingStep::Wait(Some(SETTLE))),
            ),
            ("settled", stored(&[FINALIZER, OBSERVED]), &settled, None),
        ] {
            assert_eq!(step(&binding, rollup), expected, "{case}");
        }
    }

    #[test]
    fn a_status_waits_for_the_config_map() {
        let (binding, rollup) = (stored(&[FINALIZER]), rollup(false, false));
        let observed = |awaits_config_map| BindingObservation {
            binding: &binding,
            rollup: &rollup,
            admission_known: false,
            awaits_config_map,
            is_published: true,
        };
        assert_eq!(lifecycle_step(&observed(true)), Some(BindingStep::Wait(Some(SETTLE))));
        assert_eq!(lifecycle_step(&observed(false)), None, "it does not request admission");
    }

    #[test]
    fn what_is_not_published_yet_is_neither_reported_nor_over() {
        let mut leaving = stored(&[DELETING, FINALIZER]);
        leaving.deletion = Some(Phase::Withdrawing);
        for binding in [stored(&[FINALIZER]), leaving] {
            let observed = BindingObservation {
                binding: &binding,
                rollup: &rollup(false, false),
                admission_known: true,
                awaits_config_map: false,
                is_published: false,
            };
            assert_eq!(lifecycle_step(&observed), Some(BindingStep::Wait(Some(SETTLE))));
        }
    }

    #[test]
    fn a_status_is_written_when_it_changed_and_not_too_often() {
        let status = AcrCredentialBindingStatus::default();
        let other = AcrCredentialBindingStatus { observed_generation: Some(7), ..status.clone() };
        let seconds = Duration::from_secs;
        let report = |since_write| StatusReport {
            status: status.clone(),
            changes_after: Some(seconds(60)),
            since_write,
        };
        let write = BindingStep::WriteStatus(Box::new(status.clone()), Some(seconds(60)));
        for (case, current, since_write, expected) in [
            ("equal", Some(&status), None, BindingStep::Wait(Some(seconds(60)))),
            ("first", None, None, write.clone()),
            ("changed", Some(&other), Some(seconds(3)), write),
            ("changed a moment ago", Some(&other), Some(seconds(1)), BindingStep::Wait(Some(seconds(2)))),
        ] {
            assert_eq!(status_step(current, report(since_write)), expected, "{case}");
        }
    }

    #[test]
    fn a_deletion_follows_its_policy_unless_the_definition_itself_is_deleted() {
        for (policy, definition_exists, expected) in [
            (DeletionPolicy::Delete, true, Phase::Withdrawing),
            (DeletionPolicy::Retain, true, Phase::Retaining),
            (DeletionPolicy::Delete, false, Phase::Abandoning),
            (DeletionPolicy::Retain, false, Phase::Abandoning),
        ] {
            assert_eq!(
                deletion_effect(policy, definition_exists),
                expected,
                "{policy:?} {definition_exists}"
            );
        }
    }
}
