//! The steps of a binding, one for each state.

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
        ("after a start", stored(&[FINALIZER, OBSERVED]), &waiting, Some(BindingStep::Wait(Some(SETTLE)))),
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
    let report =
        |since_write| StatusReport { status: status.clone(), changes_after: Some(seconds(60)), since_write };
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
        assert_eq!(deletion_effect(policy, definition_exists), expected, "{policy:?} {definition_exists}");
    }
}

#[test]
fn a_status_that_becomes_ready_waits_for_a_moment_only() {
    let ready = |status: &str| -> AcrCredentialBindingStatus {
        let condition = serde_json::json!({
            "type": "Ready", "status": status, "reason": "r", "message": "m",
            "lastTransitionTime": "2026-11-30T10:00:00Z",
        });
        serde_json::from_value(serde_json::json!({ "conditions": [condition] })).unwrap()
    };
    let step = |current: Option<&str>, next: &str| {
        let report = StatusReport {
            status: AcrCredentialBindingStatus { observed_generation: Some(2), ..ready(next) },
            changes_after: None,
            since_write: Some(Duration::from_millis(100)),
        };
        status_step(current.map(ready).as_ref(), report)
    };
    let wait = |millis| BindingStep::Wait(Some(Duration::from_millis(millis)));
    assert_eq!(step(Some("False"), "True"), wait(200));
    assert_eq!(step(None, "True"), wait(200));
    assert_eq!(step(Some("True"), "True"), wait(2900));
    assert_eq!(step(Some("True"), "False"), wait(2900));
}
