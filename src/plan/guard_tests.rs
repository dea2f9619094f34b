//! A binding that suddenly covers nothing.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Guards, Kept, Look, STRAY, Wish};
use crate::plan::Snapshot;
use crate::plan::fixture::{at, bound_with, snapshot};
use crate::plan::view::NamespaceFacts;

const GRACE: SignedDuration = SignedDuration::from_mins(10);

fn guards() -> Guards {
    Guards::new(GRACE)
}

fn binding() -> Arc<str> {
    "b".into()
}

fn names(list: &[&str]) -> HashSet<Arc<str>> {
    list.iter().map(|name| (*name).into()).collect()
}

/// What is held or strays, in order.
fn kept(guards: &Guards) -> Vec<String> {
    let mut all: Vec<String> = guards.namespaces("b").map(ToString::to_string).collect();
    all.sort();
    all
}

/// The binding `b`, which covers what is labelled `tier: app`.
fn selecting() -> Snapshot {
    snapshot([bound_with("b", json!({"watchNamespaces": {"selector": {"matchLabels": {"tier": "app"}}}}))])
}

fn facts(tier: &str) -> NamespaceFacts {
    let labels = [("tier".to_owned(), tier.to_owned())];
    NamespaceFacts { labels: std::collections::BTreeMap::from(labels).into(), ..NamespaceFacts::default() }
}

fn look(guards: &mut Guards, namespace: &str, facts: Option<&NamespaceFacts>, now: Timestamp) -> Look {
    guards.look(&namespace.into(), facts, &selecting(), now)
}

/// A guard of a binding that covers these.
fn covering(list: &[&str]) -> Guards {
    let mut guards = guards();
    guards.cover(&binding(), names(list), Wish::Guarded, at(0));
    guards
}

#[test]
fn a_spec_that_covers_nothing_any_more_holds_all_for_the_grace() {
    for list in [&["x"][..], &["x", "y", "z"]] {
        let mut guards = covering(list);
        assert_eq!(guards.cover(&binding(), names(&[]), Wish::Guarded, at(5)), [] as [Arc<str>; 0]);
        assert_eq!(kept(&guards), list);
        assert_eq!(guards.until("b"), Some(at(5) + GRACE));
        assert_eq!(guards.release_due("b", at(604)), None);
        assert_eq!(guards.release_due("b", at(605)).unwrap().len(), list.len());
        assert_eq!((kept(&guards).len(), guards.until("b")), (0, None));
    }
}

#[test]
fn what_is_narrowed_to_something_is_not_held() {
    let mut guards = covering(&["x", "y"]);
    guards.cover(&binding(), names(&["y"]), Wish::Guarded, at(5));
    assert_eq!(kept(&guards), [] as [&str; 0]);
}

#[test]
fn a_binding_that_never_covered_anything_holds_nothing() {
    let mut guards = covering(&[]);
    guards.cover(&binding(), names(&[]), Wish::Guarded, at(5));
    assert_eq!((kept(&guards).len(), guards.told("b", 1)), (0, None));
}

#[test]
fn coverage_that_comes_back_ends_the_hold_namespace_by_namespace() {
    let mut guards = covering(&["x", "y"]);
    guards.cover(&binding(), names(&[]), Wish::Guarded, at(5));
    assert_eq!(guards.cover(&binding(), names(&["x"]), Wish::Guarded, at(6)), [Arc::from("x")]);
    assert_eq!(kept(&guards), ["y"], "the other may be on its way back");
    assert_eq!(guards.until("b"), Some(at(5) + GRACE));
    assert_eq!(look(&mut guards, "y", Some(&facts("app")), at(7)).changed, [binding()]);
    assert_eq!(guards.told("b", 1), None);
}

#[test]
fn what_is_lost_in_a_second_step_has_its_grace_too() {
    let mut guards = covering(&["x", "y"]);
    guards.cover(&binding(), names(&[]), Wish::Guarded, at(5));
    guards.cover(&binding(), names(&["x"]), Wish::Guarded, at(300));
    guards.cover(&binding(), names(&[]), Wish::Guarded, at(500));
    assert_eq!((kept(&guards), guards.until("b")), (vec!["x".into(), "y".into()], Some(at(500) + GRACE)));
}

#[test]
fn a_confirmation_a_zero_grace_and_nothing_else_take_back_at_once() {
    for (wish, grace, held) in [
        (Wish::Guarded, GRACE, 1),
        (Wish::Suspended, GRACE, 1),
        (Wish::Leaving, GRACE, 0),
        (Wish::Confirmed, GRACE, 0),
        (Wish::Guarded, SignedDuration::ZERO, 0),
    ] {
        let mut guards = Guards::new(grace);
        guards.cover(&binding(), names(&["x"]), Wish::Guarded, at(0));
        guards.cover(&binding(), names(&[]), wish, at(1));
        assert_eq!(kept(&guards).len(), held, "{wish:?} {grace}");
    }
    let mut guards = covering(&["x"]);
    guards.cover(&binding(), names(&[]), Wish::Guarded, at(1));
    assert_eq!(guards.cover(&binding(), names(&[]), Wish::Confirmed, at(2)), [Arc::from("x")]);
}

/// The deletion takes back what is held along with the rest: until it is done the binding must know of it.
#[test]
fn a_deleted_binding_still_knows_what_was_held() {
    let mut guards = covering(&["x"]);
    guards.cover(&binding(), names(&[]), Wish::Guarded, at(1));
    guards.cover(&binding(), names(&[]), Wish::Leaving, at(2));
    assert_eq!(kept(&guards), ["x"]);
    assert_eq!((guards.until("b"), guards.told("b", 1)), (None, None));
}

#[test]
fn while_it_is_suspended_no_grace_runs_and_it_begins_anew_afterwards() {
    let mut guards = covering(&["x"]);
    guards.cover(&binding(), names(&[]), Wish::Suspended, at(1));
    assert_eq!(guards.release_due("b", at(1_000_000)), None);
    guards.cover(&binding(), names(&[]), Wish::Guarded, at(1_000_000));
    assert_eq!(guards.until("b"), Some(at(1_000_000) + GRACE));
}

#[test]
fn nothing_is_taken_back_while_it_is_suspended_in_part_neither() {
    let mut guards = covering(&["x", "y", "z"]);
    guards.cover(&binding(), names(&["x", "y"]), Wish::Suspended, at(1));
    assert_eq!(kept(&guards), ["z"]);
    assert!(look(&mut guards, "y", Some(&facts("ap")), at(2)).kept[0].held);
    assert!(look(&mut guards, "y", Some(&facts("ap")), at(100)).kept[0].held);
}

#[test]
fn labels_that_go_one_by_one_within_seconds_are_one_loss() {
    let mut guards = covering(&["x", "y", "z"]);
    for (namespace, second) in [("x", 0), ("y", 2)] {
        let seen = look(&mut guards, namespace, Some(&facts("ap")), at(second));
        assert_eq!(
            seen,
            Look { kept: vec![Kept { binding: binding(), held: false, certain: true }], changed: vec![] }
        );
    }
    let seen = look(&mut guards, "z", Some(&facts("ap")), at(4));
    assert_eq!(
        seen,
        Look { kept: vec![Kept { binding: binding(), held: true, certain: true }], changed: vec![binding()] }
    );
    assert_eq!((kept(&guards).len(), guards.until("b")), (3, Some(at(4) + GRACE)));
    assert!(look(&mut guards, "x", Some(&facts("ap")), at(500)).kept[0].held);
}

#[test]
fn a_single_namespace_that_lost_its_label_is_taken_back_after_a_moment() {
    let mut guards = covering(&["x", "y"]);
    look(&mut guards, "x", Some(&facts("")), at(0));
    assert_eq!(look(&mut guards, "x", Some(&facts("")), at(0) + STRAY).kept, []);
    assert_eq!(kept(&guards), [] as [&str; 0]);
}

/// At ten a second a thousand take minutes, and the first would be lost long before the last.
#[test]
fn as_long_as_others_go_on_to_lose_their_label_none_is_taken_back() {
    let list = ["x", "y", "z", "last"];
    let relabelled = |until: i64| {
        let mut guards = covering(&list);
        for (number, namespace) in (0..).zip(&list[..3]) {
            look(&mut guards, namespace, Some(&facts("")), at(number * 4));
        }
        look(&mut guards, "x", Some(&facts("")), at(until));
        guards
    };
    assert_eq!(kept(&relabelled(12)), ["x", "y", "z"]);
    assert_eq!(kept(&relabelled(13)), [] as [&str; 0], "no other did for a moment");
    let mut all = relabelled(12);
    look(&mut all, "last", Some(&facts("")), at(12));
    assert_eq!((kept(&all).len(), all.until("b")), (4, Some(at(12) + GRACE)));
    // For ever is for nobody: what goes on like that is no typo.
    let mut guards = covering(&list);
    look(&mut guards, "x", Some(&facts("")), at(0));
    for second in (4..=600).step_by(4) {
        guards.cover(&binding(), names(&["y", "z"]), Wish::Guarded, at(second));
        look(&mut guards, "y", Some(&facts("")), at(second));
    }
    assert_eq!(kept(&guards), ["y"]);
}

#[test]
fn entries_that_nobody_covers_any_more_stay_for_the_grace_and_once() {
    let of = |names: &[&str]| bound_with("b", json!({"serviceAccounts": {"names": names}})).binding;
    let (good, typo) = (of(&["app"]), of(&["ap"]));
    let asked = |guards: &mut Guards, binding: &Arc<crate::model::Binding>, lost, wish, now| {
        guards.entitle(binding, lost, wish, (None, now));
        guards.keeps_entries("b")
    };
    let mut guards = covering(&["x"]);
    assert!(!asked(&mut guards, &good, false, Wish::Guarded, at(0)));
    assert!(asked(&mut guards, &typo, true, Wish::Guarded, at(5)));
    assert_eq!(guards.until("b"), Some(at(5) + GRACE));
    let (since, why) = guards.told("b", 7).unwrap();
    assert_eq!(since, at(5));
    assert!(
        why.message.contains("covers no ServiceAccount") && why.message.contains(r#""7""#),
        "{}",
        why.message
    );
    // Asked again meanwhile, the grace goes on; once it is over, it does not begin anew for the same mistake.
    assert!(asked(&mut guards, &typo, true, Wish::Guarded, at(300)));
    assert_eq!((guards.release_due("b", at(604)), guards.release_due("b", at(605))), (None, Some(vec![])));
    assert!(!asked(&mut guards, &typo, true, Wish::Guarded, at(606)));
    assert!(asked(&mut guards, &of(&["a"]), true, Wish::Guarded, at(700)), "another edit");
    assert!(!asked(&mut guards, &of(&["a"]), true, Wish::Confirmed, at(701)));
    assert!(!asked(&mut guards, &good, false, Wish::Guarded, at(702)));
    // What its status tells meanwhile is of its namespaces.
    guards.entitle(&typo, true, Wish::Guarded, (Some(at(300)), at(800)));
    assert_eq!(guards.until("b"), Some(at(800) + GRACE));
    // A process that starts goes on by what the status says.
    let mut guards = Guards::new(GRACE);
    guards.entitle(&typo, true, Wish::Guarded, (Some(at(0)), at(400)));
    assert!(!guards.knows("b"), "what it covered is still to be found");
    guards.cover(&binding(), names(&["x"]), Wish::Guarded, at(400));
    assert_eq!(guards.until("b"), Some(at(0) + GRACE));
    let mut off = Guards::new(SignedDuration::ZERO);
    assert!(!asked(&mut off, &typo, true, Wish::Guarded, at(0)));
}

/// The last covered one is deleted while the others have just lost their label: that is a loss all the same.
#[test]
fn strays_are_held_when_the_last_one_that_was_covered_is_deleted() {
    let mut guards = covering(&["x", "y"]);
    look(&mut guards, "x", Some(&facts("")), at(0));
    look(&mut guards, "y", None, at(1));
    assert_eq!((kept(&guards), guards.until("b").is_some()), (vec!["x".to_owned()], true));
}

#[test]
fn a_namespace_that_goes_or_opts_out_says_itself_what_is_wanted() {
    let skip = NamespaceFacts { skip: true, ..facts("app") };
    let terminating = NamespaceFacts { terminating: true, ..facts("app") };
    for gone in [None, Some(&skip), Some(&terminating)] {
        let mut guards = covering(&["x"]);
        assert_eq!(look(&mut guards, "x", gone, at(1)), Look::default());
        let mut guards = covering(&["x"]);
        guards.cover(&binding(), names(&[]), Wish::Guarded, at(1));
        assert_eq!(look(&mut guards, "x", gone, at(2)).changed, [binding()]);
        assert_eq!(kept(&guards), [] as [&str; 0]);
    }
}

#[test]
fn a_grace_goes_on_after_a_restart_and_begins_anew_where_nobody_told_of_it() {
    for (told, until) in [(Some(at(-300)), at(-300) + GRACE), (None, at(0) + GRACE)] {
        let mut guards = Guards::new(GRACE);
        guards.remember(&binding(), names(&["x"]), names(&["x", "y"]), told);
        guards.cover(&binding(), names(&[]), Wish::Guarded, at(0));
        assert_eq!((kept(&guards).len(), guards.until("b")), (2, Some(until)));
    }
    let looked = |guards: &mut Guards, namespace| look(guards, namespace, Some(&facts("ap")), at(1)).kept;
    let mut guards = guards();
    guards.remember(&binding(), names(&["x"]), names(&["x", "y"]), None);
    guards.cover(&binding(), names(&[]), Wish::Guarded, at(0));
    let certain = |guards: &mut Guards| ["x", "y"].map(|name| looked(guards, name)[0].certain);
    assert_eq!(certain(&mut guards), [true, false], "what no status tells may have been another's");
    // From when it was covered on, it is known: by a label, or by the spec.
    let mut labelled = Guards::new(GRACE);
    labelled.remember(&binding(), names(&[]), names(&["x", "y"]), None);
    labelled.cover(&binding(), names(&[]), Wish::Guarded, at(0));
    look(&mut labelled, "x", Some(&facts("app")), at(1));
    look(&mut labelled, "x", Some(&facts("ap")), at(2));
    assert_eq!(certain(&mut labelled), [true, false]);
    guards.cover(&binding(), names(&["y"]), Wish::Guarded, at(2));
    guards.cover(&binding(), names(&[]), Wish::Guarded, at(3));
    assert_eq!(certain(&mut guards), [true, true]);
    // Some came back while nobody looked.
    let mut guards = Guards::new(GRACE);
    guards.remember(&binding(), names(&["x", "y"]), names(&[]), Some(at(-300)));
    guards.cover(&binding(), names(&["x"]), Wish::Guarded, at(0));
    assert_eq!(kept(&guards), ["y"]);
}

#[test]
fn what_is_told_names_the_namespaces_the_end_and_the_cure_and_no_more_of_them_than_can_be_read() {
    let mut guards = covering(&["a", "b", "c", "d", "e"]);
    guards.cover(&binding(), names(&[]), Wish::Guarded, at(5));
    let (since, why) = guards.told("b", 7).unwrap();
    assert_eq!(since, at(5));
    for words in [
        "(5: a, b, c and 2 more)",
        "acrcredential.dev/confirm-withdrawal: \"7\"",
        "until 2027-01-15T08:10:05Z",
    ] {
        assert!(why.message.contains(words), "{words} in {}", why.message);
    }
}

/// Bindings that went with their definition may be on their way back while it is young.
#[test]
fn what_nobody_covers_is_left_alone_until_the_definition_has_stood_for_the_grace() {
    let mut guards = guards();
    assert_eq!((guards.strangers_until(), guards.is_undefined()), (Timestamp::MAX, true));
    guards.define(Some(at(0)));
    assert_eq!((guards.strangers_until(), guards.is_undefined()), (at(0) + GRACE, false));
    guards.define(None);
    assert_eq!(guards.strangers_until(), Timestamp::MAX);
}

/// A binding of `b` that names an instance and selects a tier.
fn asking(instance: &str, tier: &str) -> Arc<crate::model::Binding> {
    let namespaces = json!({"selector": {"matchLabels": {"tier": tier}}});
    bound_with("b", json!({"registries": [{"instanceId": instance}], "watchNamespaces": namespaces})).binding
}

/// What stands there holds other credentials than the binding names now.
#[test]
fn what_was_covered_under_other_registries_is_kept_as_it_is() {
    for (instance, certain) in [("cri-1", true), ("cri-2", false)] {
        let mut guards = guards();
        guards.ask(&asking("cri-1", "app"));
        guards.cover(&binding(), names(&["x"]), Wish::Guarded, at(0));
        guards.ask(&asking(instance, "ap"));
        guards.cover(&binding(), names(&[]), Wish::Guarded, at(1));
        let kept = look(&mut guards, "x", Some(&facts("other")), at(2)).kept;
        assert_eq!((kept[0].held, kept[0].certain), (true, certain), "{instance}");
    }
    // So it is where they are edited while it is held.
    let mut guards = covering(&["x"]);
    guards.ask(&asking("cri-1", "ap"));
    guards.cover(&binding(), names(&[]), Wish::Guarded, at(1));
    guards.ask(&asking("cri-2", "ap"));
    guards.cover(&binding(), names(&[]), Wish::Guarded, at(2));
    assert!(!look(&mut guards, "x", Some(&facts("other")), at(3)).kept[0].certain);
}

/// A token may land while a tool relabels one namespace after the other, before the first of them was looked at.
#[test]
fn what_is_lost_by_labels_alone_strays_though_it_was_not_looked_at_yet() {
    for (selects, strays) in [("app", vec!["x"]), ("ap", vec![])] {
        let mut guards = guards();
        guards.ask(&asking("cri-1", "app"));
        guards.cover(&binding(), names(&["x", "y"]), Wish::Guarded, at(0));
        guards.ask(&asking("cri-1", selects));
        guards.cover(&binding(), names(&["y"]), Wish::Guarded, at(1));
        assert_eq!(kept(&guards), strays, "{selects}");
    }
}
