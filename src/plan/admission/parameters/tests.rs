use std::collections::BTreeMap;

use proptest::prelude::*;
use regex::Regex;
use serde_json::{Value, json};

use super::{BUDGET, parameters};
use crate::model::Labels;
use crate::plan::admission::attached;
use crate::plan::fixture::{bound_with, template};
use crate::plan::view::{NamespaceFacts, ServiceAccountView};
use crate::plan::{Phase, ResolvedBinding, Snapshot};

fn snapshot(resolved_bindings: Vec<ResolvedBinding>) -> Snapshot {
    Snapshot::new(template(), resolved_bindings, false)
}

fn asks(name: &str, mut spec: Value) -> ResolvedBinding {
    spec["webhook"] = json!({ "enable": true });
    bound_with(name, spec)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>().into()
}

/// What the expression `covered` of `deploy/admission.yaml` says, in its own order.
fn covered(
    data: &BTreeMap<String, String>,
    (ns, ns_labels): (&str, &Labels),
    (sa, sa_labels): (&str, &Labels),
) -> bool {
    let matches = |text: &str, expression: &str| Regex::new(expression).unwrap().is_match(text);
    let all = |line: &str, labels: &Labels| {
        line.split(' ').all(|label| {
            let part: Vec<&str> = label.split('=').collect();
            assert_eq!(part.len(), 3, "{label}");
            labels.get(part[0]).is_some_and(|value| matches(value, part[1])) == (part[2] == "in")
        })
    };
    data.values().any(|value| {
        let line: Vec<&str> = value.split('\n').collect();
        assert_eq!(line.len(), 5, "{value}");
        !matches(ns, line[1])
            && (matches(ns, line[0]) || all(line[2], ns_labels))
            && (matches(sa, line[3]) || all(line[4], sa_labels))
    })
}

#[test]
fn a_binding_is_five_lines_that_a_human_can_read() {
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
    let told = parameters(&snapshot(vec![asks("team-a", spec)]));
    let expected = "^team\\-a\\-.*$|^prod$\n^kube\\-.*$\n\
                    tier=^app$=in example.com/env=^dev$|^a\\.b$=out on=.*=in off=.*=out\n^default$\n==in";
    assert_eq!(told.data, [("team-a".to_owned(), expected.to_owned())].into());
}

#[test]
fn only_active_bindings_that_ask_for_it_are_told() {
    let resolved_bindings = vec![
        bound_with("plain", json!({})),
        asks("suspended", json!({})).phased(Phase::Suspended),
        asks("leaving", json!({})).phased(Phase::Withdrawing),
        asks("left", json!({})).phased(Phase::Retaining),
    ];
    assert_eq!(parameters(&snapshot(resolved_bindings)), super::Parameters::default());
}

#[test]
fn keys_and_values_that_no_label_can_have_are_decided_and_not_written() {
    let expression = |operator: &str, key: &str, values: Value| {
        let selector =
            json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        let spec = json!({ "watchNamespaces": { "selector": selector } });
        let told = parameters(&snapshot(vec![asks("a", spec)]));
        told.data["a"].split('\n').nth(2).unwrap().to_owned()
    };
    let never = "acrcredential.dev/nothing=.*=in acrcredential.dev/nothing=.*=out";
    for odd in ["a b", "a=b", "a\nb", "é", "a|b", "(", ""] {
        assert_eq!(expression("Exists", &format!("{odd}="), Value::Null), never, "{odd:?}");
        assert_eq!(expression("DoesNotExist", &format!("{odd}="), Value::Null), "==out", "{odd:?}");
        if !odd.is_empty() {
            assert_eq!(expression("In", "k", json!([odd])), never, "{odd:?}");
            assert_eq!(expression("NotIn", "k", json!([odd])), "==out", "{odd:?}");
            assert_eq!(expression("In", "k", json!([odd, "v"])), "k=^v$=in", "{odd:?}");
        }
    }
    assert_eq!(expression("In", "k", json!([""])), "k=^$=in");
}

#[test]
fn what_is_too_much_for_the_api_server_is_left_out_and_said() {
    let names: Vec<String> = (0..256).map(|i| format!("service-account-number-{i:03}")).collect();
    let many = |name: &str| asks(name, json!({ "serviceAccounts": { "names": names } }));
    let resolved_bindings: Vec<ResolvedBinding> = (0..64).map(|i| many(&format!("many-{i:02}"))).collect();
    let told = parameters(&snapshot(resolved_bindings));
    assert_eq!(told.data.len() + told.left_out.len(), 64);
    assert!(
        !told.left_out.is_empty() && told.data.contains_key("many-00") && told.data.len() > 5,
        "{}",
        told.data.len()
    );
    assert!(told.left_out.contains("many-63"), "the bindings with precedence come first");
    let small = (0..64).map(|i| asks(&format!("small-{i}"), json!({}))).collect();
    assert!(parameters(&snapshot(small)).left_out.is_empty());
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
    /// The one who adds at creation and the loop that attaches afterwards cover the same.
    #[test]
    fn the_api_server_adds_what_the_loop_would_attach(
        specs in prop::collection::vec((side(), prop::collection::vec(pattern(), 0..2), side()), 0..4),
        namespace in "(a|b|a-b|ab)", account in word(),
        namespace_labels in some_labels(), account_labels in some_labels(),
    ) {
        let resolved_bindings = specs.into_iter().enumerate().map(|(i, (mut namespaces, exclude, accounts))| {
            namespaces["exclude"] = json!(exclude);
            asks(&format!("b{i}"), json!({ "watchNamespaces": namespaces, "serviceAccounts": accounts }))
        });
        let snapshot = snapshot(resolved_bindings.collect());
        let told = parameters(&snapshot);
        let view = ServiceAccountView {
            name: account.as_str().into(),
            resource_version: "".into(),
            labels: account_labels.clone(),
            skip: false,
            pull_secrets: [].into(),
        };
        let facts = NamespaceFacts { labels: namespace_labels.clone(), ..NamespaceFacts::default() };
        let expected = attached(&snapshot, &namespace, &facts, &view).is_some();
        let found = covered(&told.data, (&namespace, &namespace_labels), (&account, &account_labels));
        prop_assert_eq!(found, expected, "{:?}", told.data);
    }
}
