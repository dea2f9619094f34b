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
