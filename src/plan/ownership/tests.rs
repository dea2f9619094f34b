//! A process that starts finds Secrets of an earlier one.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;

use super::{AccountLoss, Claimant, Parts, Recovery};
use crate::plan::fixture::{bound_with, holding, outdated, resolved, snapshot, view};
use crate::plan::view::Provenance;
use crate::plan::{NamespaceView, ResolvedBinding, SecretView, Snapshot};

fn elsewhere(name: &str) -> ResolvedBinding {
    bound_with(name, json!({"watchNamespaces": {"names": ["elsewhere"]}}))
}

fn claimant(binding: &str, reported: &[&str], lost_all: bool) -> Claimant {
    let reported = reported.iter().map(|name| (*name).into()).collect();
    Claimant { binding: binding.into(), reported, lost_all }
}

fn with_secret(secret: SecretView) -> NamespaceView {
    NamespaceView { secret: Some(secret), ..view(&[]) }
}

/// Returns the part of a binding in the namespace `n`: verified, unverified, or none.
fn part(snapshot: &Snapshot, claimants: &[Claimant], view: &NamespaceView, binding: &str) -> Option<bool> {
    let mut recovery = Recovery::of(snapshot, claimants);
    recovery.observe(view);
    let Parts { verified, unverified } = recovery.found().remove(binding)?;
    let here: HashSet<Arc<str>> = ["n".into()].into();
    assert_eq!(&verified | &unverified, here);
    Some(verified == here)
}

#[test]
fn a_secret_shows_by_its_content_whose_it_is_as_long_as_nothing_was_renewed() {
    let both = || snapshot([elsewhere("a"), elsewhere("b")]);
    let all = [claimant("a", &[], true), claimant("b", &[], true)];
    let of = |set: &[usize]| with_secret(holding(&both().content(set)));
    for (what, view, a, b) in [
        ("of the first", of(&[0]), Some(true), None),
        ("of the second", of(&[1]), None, Some(true)),
        ("of both", of(&[0, 1]), Some(true), Some(true)),
        (
            "renewed since",
            with_secret(holding(&snapshot([resolved("c")]).content(&[0]))),
            Some(false),
            Some(false),
        ),
    ] {
        assert_eq!(part(&both(), &all, &view, "a"), a, "{what}");
        assert_eq!(part(&both(), &all, &view, "b"), b, "{what}");
    }
}

#[test]
fn only_a_status_or_a_loss_of_everything_makes_a_claimant() {
    let lone = || snapshot([elsewhere("a")]);
    let renewed = with_secret(holding(&snapshot([resolved("c")]).content(&[0])));
    for (claimants, expected) in [
        (vec![claimant("a", &["n"], false)], Some(false)),
        (vec![claimant("a", &["other"], false)], None),
        (vec![claimant("a", &["other"], true)], Some(false)),
        (vec![], None),
    ] {
        assert_eq!(part(&lone(), &claimants, &renewed, "a"), expected, "{claimants:?}");
    }
    // Where another binding covers the namespace, its Secret is claimed.
    let covered = snapshot([elsewhere("a"), resolved("b")]);
    assert_eq!(part(&covered, &[claimant("a", &[], true)], &renewed, "a"), None);
}

#[test]
fn a_copy_belongs_to_no_binding() {
    let lone = || snapshot([elsewhere("a")]);
    for (provenance, reported, lost_all, expected) in [
        (Provenance::Here, &["other"][..], true, Some(false)),
        (Provenance::Unknown, &["other"][..], true, None),
        (Provenance::Unknown, &["n"][..], false, Some(false)),
        (Provenance::Elsewhere, &["n"][..], true, None),
    ] {
        let renewed = holding(&snapshot([resolved("c")]).content(&[0]));
        let view = with_secret(SecretView { provenance, ..renewed });
        assert_eq!(
            part(&lone(), &[claimant("a", reported, lost_all)], &view, "a"),
            expected,
            "{provenance:?}"
        );
    }
}

#[test]
fn a_namespace_that_opts_out_or_is_being_deleted_has_no_owner() {
    for (skip, terminating) in [(true, false), (false, true)] {
        let mut view = with_secret(holding(&snapshot([resolved("c")]).content(&[0])));
        let facts = view.facts.as_mut().unwrap();
        (facts.skip, facts.terminating) = (skip, terminating);
        assert_eq!(part(&snapshot([elsewhere("a")]), &[claimant("a", &["n"], true)], &view, "a"), None);
    }
}

#[test]
fn accounts_are_lost_where_none_is_covered_and_entries_of_the_binding_alone_are_left() {
    let of =
        |name: &str, accounts: &[&str]| bound_with(name, json!({"serviceAccounts": {"names": accounts}}));
    for (what, accounts, beside, expected) in [
        ("a typo", vec![("app", "ours")], vec![], true),
        ("no entry is left", vec![("app", "")], vec![], false),
        ("one is still covered", vec![("app", "ours"), ("ap", "ours")], vec![], false),
        ("another binding gave it", vec![("app", "ours")], vec![of("b", &["app"])], false),
    ] {
        let all = [vec![of("a", &["ap"])], beside].concat();
        let all = snapshot(all);
        let mut loss = AccountLoss::of(all.resolved(0), &all);
        let view = NamespaceView { secret: Some(outdated()), ..view(&accounts) };
        loss.observe(&view);
        assert_eq!(loss.is_lost(), expected, "{what}");
    }
}

#[test]
fn statuses_name_namespaces_unless_their_binding_lost_all() {
    let snapshot = snapshot([elsewhere("a"), elsewhere("b")]);
    let claimants = [claimant("a", &["kept", "left"], false), claimant("b", &["lost"], true)];
    let recovery = Recovery::of(&snapshot, &claimants);
    assert_eq!(recovery.reported().map(|name| &**name).collect::<Vec<_>>(), ["kept", "left"]);
}
