//! A binding that suddenly covers nothing.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{EntryLoss, RELABEL_WINDOW, Retained, WithdrawalGuard, WithdrawalIntent};
use crate::plan::Snapshot;
use crate::plan::fixture::{at, bound_with, snapshot};
use crate::plan::ownership::Parts;
use crate::plan::view::NamespaceFacts;

const GRACE: SignedDuration = SignedDuration::from_mins(10);

fn guard() -> WithdrawalGuard {
    WithdrawalGuard::new(GRACE)
}

fn binding() -> Arc<str> {
    "b".into()
}

fn names(list: &[&str]) -> HashSet<Arc<str>> {
    list.iter().map(|name| (*name).into()).collect()
}

/// Returns the namespaces that are held or were lost recently, in order.
fn retained(guard: &WithdrawalGuard) -> Vec<String> {
    let mut all: Vec<String> = guard.namespaces("b").map(ToString::to_string).collect();
    all.sort();
    all
}

/// Returns the binding `b`, which covers what is labelled `tier: app`.
fn selecting() -> Snapshot {
    snapshot([bound_with("b", json!({"watchNamespaces": {"selector": {"matchLabels": {"tier": "app"}}}}))])
}

fn facts(tier: &str) -> NamespaceFacts {
    let labels = [("tier".to_owned(), tier.to_owned())];
    NamespaceFacts { labels: std::collections::BTreeMap::from(labels).into(), ..NamespaceFacts::default() }
}

/// What an observation and the plan after it come to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Observed {
    retained: Vec<Retained>,
    changed: Vec<Arc<str>>,
}

fn observe(
    guard: &mut WithdrawalGuard,
    namespace: &str,
    facts: Option<&NamespaceFacts>,
    now: Timestamp,
) -> Observed {
    // Before it is observed, a plan must not take back more than afterwards.
    let early = guard.retained(namespace, facts, &selecting(), now);
    let changed = guard.observe(&namespace.into(), (facts, true), &selecting(), now);
    let retained = guard.retained(namespace, facts, &selecting(), now);
    assert!(retained.iter().all(|r| early.iter().any(|e| e.binding == r.binding)), "{early:?} {retained:?}");
    Observed { retained, changed }
}

/// Returns a guard of a binding that covers these.
fn covering(list: &[&str]) -> WithdrawalGuard {
    let mut guard = guard();
    guard.observe_coverage(&binding(), names(list), WithdrawalIntent::Guarded, at(0));
    guard
}

#[test]
fn a_spec_that_covers_nothing_any_longer_holds_all_for_the_grace_period() {
    for list in [&["x"][..], &["x", "y", "z"]] {
        let mut guard = covering(list);
        assert_eq!(
            guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(5)),
            [] as [Arc<str>; 0]
        );
        assert_eq!(retained(&guard), list);
        assert_eq!(guard.until("b"), Some(at(5) + GRACE));
        assert_eq!(guard.release_due("b", at(604)), None);
        assert_eq!(guard.release_due("b", at(605)).unwrap().len(), list.len());
        assert_eq!((retained(&guard).len(), guard.until("b")), (0, None));
    }
}

#[test]
fn a_narrowed_coverage_is_not_held() {
    let mut guard = covering(&["x", "y"]);
    guard.observe_coverage(&binding(), names(&["y"]), WithdrawalIntent::Guarded, at(5));
    assert_eq!(retained(&guard), [] as [&str; 0]);
}

#[test]
fn a_binding_that_never_covered_anything_holds_nothing() {
    let mut guard = covering(&[]);
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(5));
    assert_eq!((retained(&guard).len(), guard.report("b", 1)), (0, None));
    assert_eq!(observe(&mut guard, "x", Some(&facts("ap")), at(6)), Observed::default());
    assert_eq!((guard.until("b"), guard.report("b", 1)), (None, None));
}

#[test]
fn coverage_that_comes_back_ends_the_hold_namespace_by_namespace() {
    let mut guard = covering(&["x", "y"]);
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(5));
    assert_eq!(
        guard.observe_coverage(&binding(), names(&["x"]), WithdrawalIntent::Guarded, at(6)),
        [Arc::from("x")]
    );
    assert_eq!(retained(&guard), ["y"], "the other may be on its way back");
    assert_eq!(guard.until("b"), Some(at(5) + GRACE));
    assert_eq!(observe(&mut guard, "y", Some(&facts("app")), at(7)).changed, [binding()]);
    assert_eq!(guard.report("b", 1), None);
}

#[test]
fn a_second_loss_has_its_own_grace_period() {
    let mut guard = covering(&["x", "y"]);
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(5));
    guard.observe_coverage(&binding(), names(&["x"]), WithdrawalIntent::Guarded, at(300));
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(500));
    assert_eq!((retained(&guard), guard.until("b")), (vec!["x".into(), "y".into()], Some(at(500) + GRACE)));
}

#[test]
fn only_a_confirmation_or_a_zero_grace_period_withdraws_at_once() {
    for (intent, grace, held) in [
        (WithdrawalIntent::Guarded, GRACE, 1),
        (WithdrawalIntent::Suspended, GRACE, 1),
        (WithdrawalIntent::Leaving, GRACE, 0),
        (WithdrawalIntent::Confirmed, GRACE, 0),
        (WithdrawalIntent::Guarded, SignedDuration::ZERO, 0),
    ] {
        let mut guard = WithdrawalGuard::new(grace);
        guard.observe_coverage(&binding(), names(&["x"]), WithdrawalIntent::Guarded, at(0));
        guard.observe_coverage(&binding(), names(&[]), intent, at(1));
        assert_eq!(retained(&guard).len(), held, "{intent:?} {grace}");
    }
    let mut guard = covering(&["x"]);
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(1));
    assert_eq!(
        guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Confirmed, at(2)),
        [Arc::from("x")]
    );
}

/// The deletion takes back what is held along with the rest: until it is done the binding must know of it.
#[test]
fn a_deleted_binding_still_knows_what_was_held() {
    let mut guard = covering(&["x"]);
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(1));
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Leaving, at(2));
    assert_eq!(retained(&guard), ["x"]);
    assert_eq!((guard.until("b"), guard.report("b", 1)), (None, None));
}

#[test]
fn while_it_is_suspended_no_grace_period_runs_and_it_begins_again_afterwards() {
    let mut guard = covering(&["x"]);
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Suspended, at(1));
    assert_eq!(guard.release_due("b", at(1_000_000)), None);
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(1_000_000));
    assert_eq!(guard.until("b"), Some(at(1_000_000) + GRACE));
}

#[test]
fn nothing_is_withdrawn_while_it_is_suspended_in_part() {
    let mut guard = covering(&["x", "y", "z"]);
    guard.observe_coverage(&binding(), names(&["x", "y"]), WithdrawalIntent::Suspended, at(1));
    assert_eq!(retained(&guard), ["z"]);
    assert!(observe(&mut guard, "y", Some(&facts("ap")), at(2)).retained[0].held);
    assert!(observe(&mut guard, "y", Some(&facts("ap")), at(100)).retained[0].held);
}

#[test]
fn labels_that_go_one_by_one_within_seconds_are_one_loss() {
    let mut guard = covering(&["x", "y", "z"]);
    for (namespace, second) in [("x", 0), ("y", 2)] {
        let seen = observe(&mut guard, namespace, Some(&facts("ap")), at(second));
        assert_eq!(
            seen,
            Observed {
                retained: vec![Retained { binding: binding(), held: false, verified: true }],
                changed: vec![]
            }
        );
    }
    let seen = observe(&mut guard, "z", Some(&facts("ap")), at(4));
    assert_eq!(
        seen,
        Observed {
            retained: vec![Retained { binding: binding(), held: true, verified: true }],
            changed: vec![binding()]
        }
    );
    assert_eq!((retained(&guard).len(), guard.until("b")), (3, Some(at(4) + GRACE)));
    assert!(observe(&mut guard, "x", Some(&facts("ap")), at(500)).retained[0].held);
}

#[test]
fn a_single_namespace_that_lost_its_label_is_withdrawn_after_a_moment() {
    let mut guard = covering(&["x", "y"]);
    observe(&mut guard, "x", Some(&facts("")), at(0));
    assert_eq!(observe(&mut guard, "x", Some(&facts("")), at(0) + RELABEL_WINDOW).retained, []);
    assert_eq!(retained(&guard), [] as [&str; 0]);
}

/// At ten a second a thousand take minutes, and the first would be lost long before the last.
#[test]
fn while_others_are_still_losing_their_label_none_is_withdrawn() {
    let list = ["x", "y", "z", "last"];
    let relabelled = |until: i64| {
        let mut guard = covering(&list);
        for (number, namespace) in (0..).zip(&list[..3]) {
            observe(&mut guard, namespace, Some(&facts("")), at(number * 4));
        }
        observe(&mut guard, "x", Some(&facts("")), at(until));
        guard
    };
    assert_eq!(retained(&relabelled(12)), ["x", "y", "z"]);
    assert_eq!(retained(&relabelled(13)), [] as [&str; 0], "no other did for a moment");
    let mut all = relabelled(12);
    observe(&mut all, "last", Some(&facts("")), at(12));
    assert_eq!((retained(&all).len(), all.until("b")), (4, Some(at(12) + GRACE)));
    // Not without end: a loss that goes on for longer than the grace period is not a typo.
    let mut guard = covering(&list);
    observe(&mut guard, "x", Some(&facts("")), at(0));
    for second in (4..=600).step_by(4) {
        guard.observe_coverage(&binding(), names(&["y", "z"]), WithdrawalIntent::Guarded, at(second));
        observe(&mut guard, "y", Some(&facts("")), at(second));
    }
    assert_eq!(retained(&guard), ["y"]);
}

#[test]
fn entries_that_are_no_longer_covered_stay_for_the_grace_period_and_once() {
    let of = |names: &[&str]| bound_with("b", json!({"serviceAccounts": {"names": names}})).binding;
    let (good, typo) = (of(&["app"]), of(&["ap"]));
    let asked = |guard: &mut WithdrawalGuard, binding: &Arc<crate::model::Binding>, lost, intent, now| {
        guard.observe_accounts(binding, EntryLoss { is_lost: lost, intent, reported_since: None, now });
        guard.keeps_entries("b")
    };
    let mut guard = covering(&["x"]);
    assert!(!asked(&mut guard, &good, false, WithdrawalIntent::Guarded, at(0)));
    assert!(asked(&mut guard, &typo, true, WithdrawalIntent::Guarded, at(5)));
    assert_eq!(guard.until("b"), Some(at(5) + GRACE));
    let (since, why) = guard.report("b", 7).unwrap();
    assert_eq!(since, at(5));
    assert!(
        why.message.contains("no longer covers a ServiceAccount") && why.message.contains(r#""7""#),
        "{}",
        why.message
    );
    // Asked again meanwhile, the grace goes on; once it is over, it does not begin again for the same mistake.
    assert!(asked(&mut guard, &typo, true, WithdrawalIntent::Guarded, at(300)));
    assert_eq!((guard.release_due("b", at(604)), guard.release_due("b", at(605))), (None, Some(vec![])));
    assert!(!asked(&mut guard, &typo, true, WithdrawalIntent::Guarded, at(606)));
    assert!(asked(&mut guard, &of(&["a"]), true, WithdrawalIntent::Guarded, at(700)), "another edit");
    assert!(!asked(&mut guard, &of(&["a"]), true, WithdrawalIntent::Confirmed, at(701)));
    assert!(!asked(&mut guard, &good, false, WithdrawalIntent::Guarded, at(702)));
    // Meanwhile its status reports on its namespaces.
    guard.observe_accounts(
        &typo,
        EntryLoss {
            is_lost: true,
            intent: WithdrawalIntent::Guarded,
            reported_since: Some(at(300)),
            now: at(800),
        },
    );
    assert_eq!(guard.until("b"), Some(at(800) + GRACE));
    // A process that starts goes on by what the status says.
    let mut guard = WithdrawalGuard::new(GRACE);
    guard.observe_accounts(
        &typo,
        EntryLoss {
            is_lost: true,
            intent: WithdrawalIntent::Guarded,
            reported_since: Some(at(0)),
            now: at(400),
        },
    );
    assert!(!guard.knows("b"), "what it covered is still to be found");
    guard.observe_coverage(&binding(), names(&["x"]), WithdrawalIntent::Guarded, at(400));
    assert_eq!(guard.until("b"), Some(at(0) + GRACE));
    let mut off = WithdrawalGuard::new(SignedDuration::ZERO);
    assert!(!asked(&mut off, &typo, true, WithdrawalIntent::Guarded, at(0)));
}

/// The last covered one is deleted while the others have just lost their label: that is a loss all the same.
#[test]
fn recently_lost_namespaces_are_held_when_the_last_covered_one_is_deleted() {
    let mut guard = covering(&["x", "y"]);
    observe(&mut guard, "x", Some(&facts("")), at(0));
    observe(&mut guard, "y", None, at(1));
    assert_eq!((retained(&guard), guard.until("b").is_some()), (vec!["x".to_owned()], true));
}

#[test]
fn a_namespace_that_is_deleted_or_opts_out_is_not_held() {
    let skip = NamespaceFacts { skip: true, ..facts("app") };
    let terminating = NamespaceFacts { terminating: true, ..facts("app") };
    for gone in [None, Some(&skip), Some(&terminating)] {
        let mut guard = covering(&["x"]);
        assert_eq!(observe(&mut guard, "x", gone, at(1)), Observed::default());
        let mut guard = covering(&["x"]);
        guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(1));
        assert_eq!(observe(&mut guard, "x", gone, at(2)).changed, [binding()]);
        assert_eq!(retained(&guard), [] as [&str; 0]);
    }
}

#[test]
fn a_grace_period_goes_on_after_a_restart_and_begins_again_where_no_status_reports_it() {
    for (reported, until) in [(Some(at(-300)), at(-300) + GRACE), (None, at(0) + GRACE)] {
        let mut guard = WithdrawalGuard::new(GRACE);
        guard.remember(
            &binding(),
            Parts { verified: names(&["x"]), unverified: names(&["x", "y"]) },
            reported,
        );
        guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(0));
        assert_eq!((retained(&guard).len(), guard.until("b")), (2, Some(until)));
    }
    let looked = |guard: &mut WithdrawalGuard, namespace| {
        observe(guard, namespace, Some(&facts("ap")), at(1)).retained
    };
    let mut guard = guard();
    guard.remember(&binding(), Parts { verified: names(&["x"]), unverified: names(&["x", "y"]) }, None);
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(0));
    let verified = |guard: &mut WithdrawalGuard| ["x", "y"].map(|name| looked(guard, name)[0].verified);
    assert_eq!(verified(&mut guard), [true, false], "a part that no status reports may have been another's");
    // From when it was covered on, it is known: by a label, or by the spec.
    let mut labelled = WithdrawalGuard::new(GRACE);
    labelled.remember(&binding(), Parts { verified: names(&[]), unverified: names(&["x", "y"]) }, None);
    labelled.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(0));
    observe(&mut labelled, "x", Some(&facts("app")), at(1));
    observe(&mut labelled, "x", Some(&facts("ap")), at(2));
    assert_eq!(verified(&mut labelled), [true, false]);
    guard.observe_coverage(&binding(), names(&["y"]), WithdrawalIntent::Guarded, at(2));
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(3));
    assert_eq!(verified(&mut guard), [true, true]);
    // Some came back while no process ran.
    let mut guard = WithdrawalGuard::new(GRACE);
    guard.remember(
        &binding(),
        Parts { verified: names(&["x", "y"]), unverified: names(&[]) },
        Some(at(-300)),
    );
    guard.observe_coverage(&binding(), names(&["x"]), WithdrawalIntent::Guarded, at(0));
    assert_eq!(retained(&guard), ["y"]);
}

#[test]
fn the_report_names_some_namespaces_the_end_and_the_cure() {
    let mut guard = covering(&["a", "b", "c", "d", "e"]);
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(5));
    let (since, why) = guard.report("b", 7).unwrap();
    assert_eq!(since, at(5));
    for words in [
        "covers 5 namespaces (a, b, c and 2 more)",
        "acrcredential.dev/confirm-withdrawal: \"7\"",
        "until 2027-01-15T08:10:05Z",
    ] {
        assert!(why.message.contains(words), "{words} in {}", why.message);
    }
}

/// Bindings that went with their definition may be on their way back while it is young.
#[test]
fn an_unclaimed_namespace_is_left_alone_until_the_definition_is_older_than_the_grace_period() {
    let mut guard = guard();
    assert_eq!((guard.unclaimed_until(), guard.is_undefined()), (Timestamp::MAX, true));
    guard.define(Some(at(0)));
    assert_eq!((guard.unclaimed_until(), guard.is_undefined()), (at(0) + GRACE, false));
    guard.define(None);
    assert_eq!(guard.unclaimed_until(), Timestamp::MAX);
}

/// Returns a binding of `b` that names an instance and selects a tier.
fn asking(instance: &str, tier: &str) -> Arc<crate::model::Binding> {
    let namespaces = json!({"selector": {"matchLabels": {"tier": tier}}});
    bound_with("b", json!({"registries": [{"instanceId": instance}], "watchNamespaces": namespaces})).binding
}

/// The Secret holds other credentials than the binding names now.
#[test]
fn a_part_that_was_covered_under_other_registries_is_not_refreshed() {
    for (instance, verified) in [("cri-1", true), ("cri-2", false)] {
        let mut guard = guard();
        guard.observe_spec(&asking("cri-1", "app"));
        guard.observe_coverage(&binding(), names(&["x"]), WithdrawalIntent::Guarded, at(0));
        guard.observe_spec(&asking(instance, "ap"));
        guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(1));
        let retained = observe(&mut guard, "x", Some(&facts("other")), at(2)).retained;
        assert_eq!((retained[0].held, retained[0].verified), (true, verified), "{instance}");
    }
    // So it is where they are edited while it is held.
    let mut guard = covering(&["x"]);
    guard.observe_spec(&asking("cri-1", "ap"));
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(1));
    guard.observe_spec(&asking("cri-2", "ap"));
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(2));
    assert!(!observe(&mut guard, "x", Some(&facts("other")), at(3)).retained[0].verified);
}

/// A token may land while a tool relabels one namespace after the other, before the event of the first one came.
#[test]
fn a_namespace_that_was_relabelled_is_recently_lost_before_its_event_came() {
    for (selects, lost) in [("app", vec!["x"]), ("ap", vec![])] {
        let mut guard = guard();
        guard.observe_spec(&asking("cri-1", "app"));
        guard.observe_coverage(&binding(), names(&["x", "y"]), WithdrawalIntent::Guarded, at(0));
        guard.observe_spec(&asking("cri-1", selects));
        guard.observe_coverage(&binding(), names(&["y"]), WithdrawalIntent::Guarded, at(1));
        assert_eq!(retained(&guard), lost, "{selects}");
    }
}

#[test]
fn a_namespace_in_which_nothing_is_served_is_not_held() {
    let mut guard = covering(&["x", "y"]);
    guard.forget_unserved("b", &names(&[]), |namespace| namespace == "y");
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(5));
    assert_eq!(retained(&guard), ["y"]);
    // One that stays covered is known, served or not.
    let mut guard = covering(&["x"]);
    guard.forget_unserved("b", &names(&["x"]), |_| false);
    assert_eq!(guard.covered("b"), Some(&names(&["x"])));
    guard.observe_coverage(&binding(), names(&[]), WithdrawalIntent::Guarded, at(5));
    assert_eq!(retained(&guard), ["x"]);
    // By the labels of the namespace in the same way.
    for (is_served, expected) in [(false, 0), (true, 1)] {
        let mut guard = covering(&["x"]);
        guard.observe(&"x".into(), (Some(&facts("none")), is_served), &selecting(), at(5));
        assert_eq!(retained(&guard).len(), expected, "{is_served}");
        assert_eq!(guard.report("b", 1).is_some(), is_served);
    }
}
