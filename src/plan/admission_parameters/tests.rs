use std::collections::BTreeMap;

use proptest::prelude::*;
use regex::Regex;
use serde_json::{Value, json};

use super::{BUDGET, parameters};
use crate::model::Labels;
use crate::model::coverage::NamedLabels;
use crate::plan::admission::attached;
use crate::plan::fixture::{bound_with, template};
use crate::plan::view::{NamespaceFacts, ServiceAccountView};
use crate::plan::{Phase, ResolvedBinding, Snapshot};

fn snapshot(resolved_bindings: Vec<ResolvedBinding>) -> Snapshot {
    Snapshot::new(template(), resolved_bindings, false)
}

fn enabled(name: &str, mut spec: Value) -> ResolvedBinding {
    spec["webhook"] = json!({ "enable": true });
    bound_with(name, spec)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>().into()
}

/// Evaluates the expression `covered` of `deploy/admission.yaml`.
fn covered(
    data: &BTreeMap<String, String>,
    namespace: NamedLabels<'_>,
    service_account: NamedLabels<'_>,
) -> bool {
    let matches = |text: &str, expression: &str| Regex::new(expression).unwrap().is_match(text);
    let labelled = |field: &str, labels: &Labels| {
        let holds = |requirement: &str| {
            let part: Vec<&str> = requirement.split(' ').collect();
            part.len() == 3
                && labels.get(part[0]).is_some_and(|value| matches(value, part[2])) == (part[1] == "in")
        };
        field == "any" || field.split(", ").all(holds)
    };
    data.values().any(|text| {
        let field: BTreeMap<&str, &str> =
            text.split('\n').map(|line| line.split_once(": ").unwrap()).collect();
        assert_eq!((field.len(), field["format"]), (6, "2"), "{text}");
        !matches(namespace.name, field["excludedNamespaces"])
            && (matches(namespace.name, field["namespaces"])
                || labelled(field["namespaceLabels"], namespace.labels))
            && (matches(service_account.name, field["serviceAccounts"])
                || labelled(field["serviceAccountLabels"], service_account.labels))
    })
}

#[test]
fn the_text_names_its_fields() {
    let spec = json!({
        "watchNamespaces": {
            "names": ["team-a-*", "prod"],
            "exclude": ["kube-*"],
            "selector": {
                "matchLabels": { "tier": "app" },
                "matchExpressions": [
                    { "key": "example.com/env", "operator": "NotIn", "values": ["dev", "a.b"] },
                    { "key": "on", "operator": "Exists" },
                    { "key": "off", "operator": "DoesNotExist" },
                ],
            },
        },
    });
    let rendered = parameters(snapshot(vec![enabled("team-a", spec)]).bindings());
    let expected = "format: 2\nnamespaces: ^team\\-a\\-.*$|^prod$\nexcludedNamespaces: ^kube\\-.*$\n\
                    namespaceLabels: tier in ^app$, example.com/env notin ^dev$|^a\\.b$, on in .*, off notin .*\n\
                    serviceAccounts: ^default$\nserviceAccountLabels: none";
    assert_eq!(rendered.data, [("team-a".to_owned(), expected.to_owned())].into());
}

#[test]
fn only_active_bindings_with_admission_enabled_have_a_key() {
    let resolved_bindings = vec![
        bound_with("plain", json!({})),
        enabled("suspended", json!({})).phased(Phase::Suspended),
        enabled("leaving", json!({})).phased(Phase::Withdrawing),
        enabled("left", json!({})).phased(Phase::Retaining),
    ];
    assert_eq!(parameters(snapshot(resolved_bindings).bindings()), super::PolicyParameters::default());
}

#[test]
fn keys_and_values_that_no_label_can_have_are_not_written() {
    let expression = |operator: &str, key: &str, values: Value| {
        let selector =
            json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        let spec = json!({ "watchNamespaces": { "selector": selector } });
        let rendered = parameters(snapshot(vec![enabled("a", spec)]).bindings());
        rendered.data["a"].split('\n').nth(3).unwrap().trim_start_matches("namespaceLabels: ").to_owned()
    };
    let never = "acrcredential.dev/nothing in .*, acrcredential.dev/nothing notin .*";
    for impossible in ["a b", "a=b", "a\nb", "é", "a|b", "(", ""] {
        assert_eq!(expression("Exists", &format!("{impossible}="), Value::Null), never, "{impossible:?}");
        assert_eq!(
            expression("DoesNotExist", &format!("{impossible}="), Value::Null),
            "any",
            "{impossible:?}"
        );
        if !impossible.is_empty() {
            assert_eq!(expression("In", "k", json!([impossible])), never, "{impossible:?}");
            assert_eq!(expression("NotIn", "k", json!([impossible])), "any", "{impossible:?}");
            assert_eq!(expression("In", "k", json!([impossible, "v"])), "k in ^v$", "{impossible:?}");
        }
    }
    assert_eq!(expression("In", "k", json!([""])), "k in ^$");
}

#[test]
fn bindings_beyond_the_budget_are_left_out_and_listed() {
    let names: Vec<String> = (0..256).map(|i| format!("service-account-number-{i:03}")).collect();
    let many = |name: &str| enabled(name, json!({ "serviceAccounts": { "names": names } }));
    let resolved_bindings: Vec<ResolvedBinding> = (0..64).map(|i| many(&format!("many-{i:02}"))).collect();
    let rendered = parameters(snapshot(resolved_bindings).bindings());
    assert_eq!(rendered.data.len() + rendered.left_out.len(), 64);
    assert!(
        !rendered.left_out.is_empty() && rendered.data.contains_key("many-00") && rendered.data.len() > 5,
        "{}",
        rendered.data.len()
    );
    assert!(rendered.left_out.contains("many-63"), "the bindings with precedence come first");
    let small = (0..64).map(|i| enabled(&format!("small-{i}"), json!({}))).collect();
    assert!(parameters(snapshot(small).bindings()).left_out.is_empty());
    const { assert!(BUDGET < 1_000_000) };
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "a-b", "ab", "b.a"]).prop_map(str::to_owned)
}

fn pattern() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "a*", "*b", "*", "?", "a-?", "a-b"]).prop_map(str::to_owned)
}

fn selector() -> impl Strategy<Value = Value> {
    let key = || prop::sample::select(vec!["k", "x.y/l", "odd key"]);
    let values = prop::collection::vec(prop::sample::select(vec!["v", "w", "", "o d"]), 1..3);
    let one = (key(), prop::sample::select(vec!["In", "NotIn", "Exists", "DoesNotExist"]), values);
    let expression = one.prop_map(|(key, operator, values)| match operator {
        "In" | "NotIn" => json!({ "key": key, "operator": operator, "values": values }),
        _ => json!({ "key": key, "operator": operator }),
    });
    prop::collection::vec(expression, 1..3).prop_map(|all| json!({ "matchExpressions": all }))
}

fn side() -> impl Strategy<Value = Value> {
    (prop::collection::vec(pattern(), 0..3), prop::option::of(selector())).prop_map(|(names, selector)| {
        let mut side = json!({ "names": names });
        if let Some(selector) = selector {
            side["selector"] = selector;
        }
        side
    })
}

fn some_labels() -> impl Strategy<Value = Labels> {
    let value = || prop::option::of(prop::sample::select(vec!["v", "w", ""]));
    (value(), value()).prop_map(|(k, l)| {
        let pairs: Vec<_> =
            [("k", k), ("x.y/l", l)].into_iter().filter_map(|(key, v)| Some((key, v?))).collect();
        labels(&pairs)
    })
}

proptest! {
    #[test]
    fn the_policy_adds_the_entry_where_the_loop_attaches_it(
        specs in prop::collection::vec((side(), prop::collection::vec(pattern(), 0..2), side()), 0..4),
        namespace in "(a|b|a-b|ab)", account in word(),
        namespace_labels in some_labels(), account_labels in some_labels(),
    ) {
        let resolved_bindings = specs.into_iter().enumerate().map(|(i, (mut namespaces, exclude, accounts))| {
            namespaces["exclude"] = json!(exclude);
            enabled(&format!("b{i}"), json!({ "watchNamespaces": namespaces, "serviceAccounts": accounts }))
        });
        let snapshot = snapshot(resolved_bindings.collect());
        let rendered = parameters(snapshot.bindings());
        let view = ServiceAccountView {
            name: account.as_str().into(),
            resource_version: "".into(),
            labels: account_labels.clone(),
            skip: false,
            unclear_skip: None,
            pull_secrets: [].into(),
        };
        let facts = NamespaceFacts { labels: namespace_labels.clone(), ..NamespaceFacts::default() };
        let expected = attached(&snapshot, &namespace, &facts, &view).is_some();
        let found = covered(
            &rendered.data,
            NamedLabels { name: &namespace, labels: &namespace_labels },
            NamedLabels { name: &account, labels: &account_labels },
        );
        prop_assert_eq!(found, expected, "{:?}", rendered.data);
    }
}
