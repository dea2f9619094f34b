//! The classification, row by row.

use serde_json::json;

use super::{Duty, NamespaceCoverage};
use crate::plan::fixture::{at, bound_with, resolved, snapshot, snapshot_beside_unreadable, view};
use crate::plan::{Phase, ResolvedBinding, Retained, Snapshot};

fn elsewhere(phase: Phase) -> ResolvedBinding {
    bound_with("b", json!({"watchNamespaces": {"names": ["elsewhere"]}})).phased(phase)
}

fn retained(verified: bool) -> Vec<Retained> {
    vec![Retained { binding: "b".into(), held: true, verified }]
}

#[test]
fn each_state_of_the_bindings_gives_one_duty() {
    let here = |phase| resolved("a").phased(phase);
    let young = |snapshot: Snapshot| snapshot.protecting_unclaimed_until(Some(at(60)));
    let none = Vec::new;
    for (what, snapshot, retained, served, expected) in [
        ("active", snapshot([here(Phase::Active)]), none(), false, Duty::Serve),
        ("unreadable beside", snapshot_beside_unreadable([here(Phase::Active)]), none(), false, Duty::Serve),
        ("suspended", snapshot([here(Phase::Suspended)]), none(), true, Duty::Leave),
        ("withdrawing", snapshot([here(Phase::Withdrawing)]), none(), true, Duty::Withdraw),
        ("withdrawing, young", young(snapshot([here(Phase::Withdrawing)])), none(), false, Duty::Withdraw),
        ("retaining", snapshot([here(Phase::Retaining)]), none(), true, Duty::Retain),
        ("abandoning", snapshot([here(Phase::Abandoning)]), none(), true, Duty::Abandon),
        ("held", snapshot([elsewhere(Phase::Active)]), retained(true), true, Duty::RenewOnly),
        ("held by a guess", snapshot([elsewhere(Phase::Active)]), retained(false), true, Duty::Leave),
        ("held, suspended", snapshot([elsewhere(Phase::Suspended)]), retained(true), true, Duty::Leave),
        ("held, deleted", snapshot([elsewhere(Phase::Withdrawing)]), retained(true), true, Duty::Withdraw),
        ("none", snapshot([]), none(), true, Duty::Withdraw),
        ("none, unreadable", snapshot_beside_unreadable([]), none(), true, Duty::Leave),
        ("none, admission", snapshot([]).awaiting_admission(true), none(), true, Duty::Leave),
        ("none, young, unserved", young(snapshot([])), none(), false, Duty::Leave),
        ("none, young, served", young(snapshot([])), none(), true, Duty::Withdraw),
    ] {
        let view = view(&[]);
        let coverage = NamespaceCoverage::of(&view, &snapshot, &retained).unwrap();
        assert_eq!(Duty::of(&coverage, &snapshot, served, at(0)), expected, "{what}");
    }
}

#[test]
fn a_namespace_that_is_being_deleted_has_no_duty_and_one_that_opts_out_is_left() {
    let mut view = view(&[]);
    view.facts.as_mut().unwrap().skip = true;
    let snapshot =
        snapshot([resolved("a"), elsewhere(Phase::Active)]).protecting_unclaimed_until(Some(at(60)));
    let retained = retained(true);
    let coverage = NamespaceCoverage::of(&view, &snapshot, &retained).unwrap();
    assert_eq!(Duty::of(&coverage, &snapshot, false, at(0)), Duty::Withdraw);
    view.facts.as_mut().unwrap().terminating = true;
    assert!(NamespaceCoverage::of(&view, &snapshot, &retained).is_none());
}
