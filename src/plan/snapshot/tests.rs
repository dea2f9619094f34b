//! Which bindings cover a namespace, and in which order.

use std::sync::Arc;

use serde_json::json;

use crate::model::Labels;
use crate::plan::fixture::{bound_with, resolved, snapshot, snapshot_beside_unreadable};
use crate::plan::view::NamespaceFacts;
use crate::plan::{Phase, RegistryCredential};

fn names(snapshot: &super::Snapshot, namespace: &str, facts: &NamespaceFacts) -> Vec<String> {
    snapshot
        .covering(namespace, facts)
        .iter()
        .map(|&i| snapshot.resolved(i).binding.name.to_string())
        .collect()
}

#[test]
fn precedence_is_by_age_and_then_by_name() {
    let snapshot =
        snapshot([resolved("c"), resolved("b").aged(60), resolved("a").aged(60), resolved("d").aged(-60)]);
    assert_eq!(names(&snapshot, "n", &NamespaceFacts::default()), ["d", "c", "a", "b"]);
}

#[test]
fn a_namespace_is_covered_by_name_or_label_unless_it_is_excluded_or_opts_out() {
    let prod = json!({"watchNamespaces": {"names": ["prod"]}});
    let app = json!({"watchNamespaces": {"selector": {"matchLabels": {"tier": "app"}}}});
    let snapshot = snapshot([resolved("all"), bound_with("app", app), bound_with("prod", prod)]);
    let labelled = |skip| NamespaceFacts {
        labels: Labels::from(
            [("tier".to_owned(), "app".to_owned())].into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        ),
        skip,
        ..NamespaceFacts::default()
    };
    for (namespace, facts, expected) in [
        ("prod", NamespaceFacts::default(), vec!["all", "prod"]),
        ("prod", labelled(false), vec!["all", "app", "prod"]),
        ("prod-2", NamespaceFacts::default(), vec!["all"]),
        ("kube-system", labelled(false), vec![]),
        ("prod", labelled(true), vec![]),
    ] {
        assert_eq!(names(&snapshot, namespace, &facts), expected, "{namespace} {facts:?}");
    }
}

/// What a phase asks is the plan's matter.
#[test]
fn every_phase_covers() {
    let phases = [Phase::Active, Phase::Suspended, Phase::Withdrawing, Phase::Retaining];
    let snapshot = snapshot(phases.map(|phase| resolved(&format!("{phase:?}").to_lowercase()).phased(phase)));
    assert_eq!(snapshot.covering("n", &NamespaceFacts::default()).len(), phases.len());
}

/// Rendered once, not once a namespace.
#[test]
fn a_thousand_namespaces_share_one_content() {
    let snapshot = snapshot([resolved("a"), resolved("b")]);
    assert!(Arc::ptr_eq(&snapshot.content(&[0, 1]), &snapshot.content(&[0, 1])));
    assert_ne!(snapshot.content(&[0, 1]).fingerprint, snapshot.content(&[0]).fingerprint);
    assert_ne!(snapshot.content(&[1]).fingerprint, snapshot.content(&[0]).fingerprint);
}

#[test]
fn one_registry_that_waits_makes_the_binding_wait() {
    for (credential, expected) in [(RegistryCredential::Pending, true), (RegistryCredential::Missing, false)]
    {
        let two = json!({"registries": [{"instanceId": "cri-1", "domains": ["d"]}, {"instanceId": "cri-2", "domains": ["e"]}]});
        let resolved = bound_with("a", two).with(|b| b.registries[1] = credential);
        assert_eq!(resolved.is_pending(), expected);
    }
    assert!(!resolved("a").is_pending());
}

#[test]
fn whether_all_could_be_read_is_passed_on() {
    assert!(!snapshot([resolved("a")]).coverage_unknown());
    assert!(snapshot_beside_unreadable([resolved("a")]).coverage_unknown());
}

fn all_names(snapshot: &super::Snapshot) -> Vec<String> {
    snapshot.bindings().iter().map(|resolved| resolved.binding.name.to_string()).collect()
}

/// A token that lands costs neither the index nor the contents of others.
#[test]
fn new_credentials_leave_what_follows_from_specs_and_the_contents_of_others() {
    let before = snapshot([resolved("a"), resolved("b")]);
    let (of_a, of_b) = (before.content(&[0]), before.content(&[1]));
    let after = before.replacing(vec![("a".into(), Some(resolved("a").pending()))]);
    assert!(Arc::ptr_eq(before.selections(), after.selections()));
    assert!(Arc::ptr_eq(&before.bindings()[1], &after.bindings()[1]));
    assert!(Arc::ptr_eq(&of_b, &after.content(&[1])));
    assert_ne!(of_a.fingerprint, after.content(&[0]).fingerprint);
    assert!(after.resolved(0).is_pending());
}

#[test]
fn bindings_are_replaced_added_and_removed_in_the_order_of_precedence() {
    let before = snapshot([resolved("b"), resolved("c").aged(60)]);
    let prod = || bound_with("c", json!({"watchNamespaces": {"names": ["prod"]}}));
    let after = before.replacing(vec![
        ("c".into(), Some(prod())),
        ("a".into(), Some(resolved("a").aged(30))),
        ("gone".into(), None),
        ("b".into(), None),
    ]);
    assert_eq!(all_names(&after), ["c", "a"]);
    assert_eq!(names(&after, "n", &NamespaceFacts::default()), ["a"]);
    assert_eq!(names(&after, "prod", &NamespaceFacts::default()), ["c", "a"]);
    assert_eq!((after.index_of("a"), after.index_of("b")), (Some(1), None));
    assert_eq!(all_names(&before), ["b", "c"]);
}

#[test]
fn rendered_contents_do_not_grow_without_bound() {
    let bindings = (0..40).map(|i| {
        let domains: Vec<String> =
            (0..32).map(|d| format!("{}{d}.b{i}.example.com", "x".repeat(40))).collect();
        let registries = json!([{"instanceId": format!("cri-{i}"), "domains": domains}]);
        bound_with(&format!("b{i}"), json!({ "registries": registries }))
    });
    let snapshot = snapshot(bindings);
    for i in 0..40 {
        for j in i + 1..40 {
            snapshot.content(&[i, j]);
        }
    }
    let bytes = snapshot.contents.lock().unwrap().bytes;
    assert!(bytes > 0 && bytes <= 2 * super::MAX_CONTENT_BYTES, "{bytes}");
}
