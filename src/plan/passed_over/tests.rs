//! Which rule a status names.

use serde_json::{Value, json};

use super::{PassedOver, excluded_names};
use crate::plan::fixture::{bound_with, snapshot};
use crate::plan::view::NamespaceFacts;

fn facts(skip: bool, tier: &str) -> NamespaceFacts {
    let labels = std::collections::BTreeMap::from([("tier".to_owned(), tier.to_owned())]);
    NamespaceFacts { skip, labels: labels.into(), ..NamespaceFacts::default() }
}

/// Returns why a binding with this selection covers nothing in a cluster of three namespaces.
fn why(selection: &Value) -> Option<String> {
    let snapshot = snapshot([bound_with("a", json!({ "watchNamespaces": selection }))]);
    let mut passed_over = PassedOver::default();
    passed_over.reset(&"a".into());
    for (name, facts) in
        [("kube-system", facts(false, "x")), ("asleep", facts(true, "app")), ("open", facts(false, "x"))]
    {
        passed_over.observe_all(&name.into(), Some(&facts), &snapshot);
    }
    passed_over.why_nothing("a", &snapshot.resolved(0).binding.namespaces)
}

#[test]
fn each_rule_is_named_with_what_it_passed_over() {
    for (selection, expected) in [
        (json!({ "names": ["shop", "shop-*"] }), "no namespace matches shop, shop-*"),
        (
            json!({ "names": ["kube-system"] }),
            "spec.watchNamespaces.names has kube-system, but spec.watchNamespaces.exclude has kube-*, which has \
             precedence: take it out of exclude to cover them",
        ),
        (json!({ "names": ["k*"] }), "spec.watchNamespaces.exclude has kube-*, which excludes kube-system"),
        (json!({ "names": ["asleep"] }), "asleep opts out by acrcredential.dev/skip"),
        (
            json!({ "names": ["asleep", "gone"] }),
            "asleep opts out by acrcredential.dev/skip; no namespace matches gone",
        ),
        (
            json!({ "selector": { "matchLabels": { "tier": "none" } } }),
            "no namespace has the labels of spec.watchNamespaces.selector",
        ),
        (
            json!({ "selector": { "matchLabels": { "tier": "app" } } }),
            "asleep opts out by acrcredential.dev/skip",
        ),
    ] {
        assert_eq!(why(&selection).as_deref(), Some(expected), "{selection}");
    }
}

#[test]
fn a_name_that_is_written_and_excluded_is_said_and_a_pattern_that_is_narrowed_is_not() {
    let said = |selection: Value| {
        let binding = bound_with("a", json!({ "watchNamespaces": selection })).binding;
        excluded_names(&binding.namespaces)
    };
    for selection in [json!({ "names": ["*"] }), json!({ "names": ["kube-system"], "exclude": [] })] {
        assert_eq!(said(selection.clone()), None, "{selection}");
    }
    for (selection, words) in [
        (json!({ "names": ["kube-system", "shop"] }), "names has kube-system, but"),
        (json!({ "names": ["kube-a", "kube-b", "kube-*"] }), "names has kube-a, kube-b, kube-*, but"),
        (json!({ "names": ["kube-a", "b"], "exclude": ["kube-*", "b"] }), "(1 more by other patterns)"),
    ] {
        let message = said(selection.clone()).unwrap_or_default();
        assert!(message.contains(words), "{selection}: {message}");
    }
}

#[test]
fn what_changes_is_reported_once_and_a_namespace_that_is_gone_is_forgotten() {
    let snapshot = snapshot([bound_with("a", json!({ "watchNamespaces": { "names": ["n"] } }))]);
    let mut passed_over = PassedOver::default();
    passed_over.reset(&"a".into());
    let mut observe =
        |facts: Option<NamespaceFacts>| passed_over.observe_all(&"n".into(), facts.as_ref(), &snapshot).len();
    let changes: Vec<usize> = [
        Some(facts(true, "x")),
        Some(facts(true, "y")),
        Some(facts(false, "x")),
        Some(facts(true, "x")),
        None,
    ]
    .map(&mut observe)
    .into();
    assert_eq!(changes, [1, 0, 1, 1, 1]);
}
