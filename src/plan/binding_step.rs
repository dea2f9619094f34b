//! The next step of the binding loop for one binding.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::resolved_binding::Phase;
use super::rollup::Rollup;
use super::stored_binding::StoredBinding;
use crate::api::binding::DeletionPolicy;
use crate::api::{AcrCredentialBindingStatus, ConditionType};

/// Time for which results of namespaces are collected before they are reported together.
pub const SETTLE: Duration = Duration::from_millis(200);

/// Time between two writes of one status, at least.
const WRITE_INTERVAL: Duration = Duration::from_secs(3);

/// The same time before a status that becomes ready: someone waits for it.
const INTERVAL_BEFORE_READY: Duration = Duration::from_millis(300);

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
    let becomes_ready = is_ready(&report.status) && !current.is_some_and(is_ready);
    let interval = if becomes_ready { INTERVAL_BEFORE_READY } else { WRITE_INTERVAL };
    let rest = report.since_write.map(|since| interval.saturating_sub(since));
    match rest.filter(|rest| !rest.is_zero()) {
        Some(rest) => BindingStep::Wait(Some(rest)),
        None => BindingStep::WriteStatus(Box::new(report.status), report.changes_after),
    }
}

/// Returns whether a status says that the spec which it describes is in force everywhere.
fn is_ready(status: &AcrCredentialBindingStatus) -> bool {
    let is_true = |condition: &Condition| {
        condition.type_ == ConditionType::Ready.as_str() && condition.status == "True"
    };
    status.conditions.iter().any(is_true)
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
mod tests;
