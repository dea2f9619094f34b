//! The index finds what the plain rule finds.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::SelectionIndex;
use crate::model::coverage::ObjectSelection;
use crate::model::labels::{Labels, Selector};
use crate::model::pattern::Pattern;

fn selection(names: &[&str], selector: Option<Value>) -> ObjectSelection {
    let selector = selector.map(|value| {
        let selector: LabelSelector = serde_json::from_value(value).unwrap();
        Selector::parse(&selector).unwrap()
    });
    ObjectSelection { names: names.iter().map(|n| Pattern::new(*n)).collect(), selector, exclude: Vec::new() }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    pairs.collect::<BTreeMap<_, _>>().into()
}

fn index(selections: &[ObjectSelection]) -> SelectionIndex {
    SelectionIndex::new(selections.iter().enumerate())
}

#[test]
fn each_kind_of_selection_is_found_once_and_in_order() {
    let selections = [
        selection(&["prod", "prod", "pr*"], Some(json!({"matchLabels": {"tier": "app"}}))),
        selection(&["*-prod", "p?od", "*"], None),
        selection(&[], Some(json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}))),
        selection(&[], Some(json!({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}))),
        selection(&["other"], None),
    ];
    let index = index(&selections);
    assert_eq!(index.selecting("prod", &labels(&[("tier", "app")])), [0, 1, 2, 3]);
    assert_eq!(index.selecting("prod", &labels(&[("env", "x")])), [0, 1]);
    assert_eq!(index.selecting("x", &labels(&[("tier", "db"), ("env", "x")])), [1, 2]);
    assert_eq!(index.selecting("other", &labels(&[("env", "x")])), [1, 4]);
}

#[test]
fn only_exact_names_are_listed() {
    let listed = |selections: &[ObjectSelection]| {
        let index = index(selections);
        index.only_names().map(|names| {
            let mut names: Vec<String> = names.map(str::to_owned).collect();
            names.sort();
            names
        })
    };
    assert_eq!(listed(&[selection(&["a"], None), selection(&["b"], None)]).unwrap(), ["a", "b"]);
    for open in ["a*", "*a", "*", "?"] {
        assert_eq!(listed(&[selection(&["a", open], None)]), None, "{open}");
    }
    for operator in ["Exists", "DoesNotExist"] {
        let selector = json!({"matchExpressions": [{"key": "a", "operator": operator}]});
        assert_eq!(listed(&[selection(&["a"], Some(selector))]), None, "{operator}");
    }
    assert_eq!(listed(&[selection(&["a"], Some(json!({"matchLabels": {"a": "b"}})))]), None);
}

/// A namespace asks those that may match, not the two thousand others.
#[test]
fn a_look_up_does_not_try_every_selection() {
    let mut selections: Vec<ObjectSelection> = (0..2000)
        .map(|i| selection(&[&format!("team-{i}"), &format!("x{i}-*"), &format!("*-y{i}")], None))
        .collect();
    selections
        .extend((0..2000).map(|i| selection(&[], Some(json!({"matchLabels": {"team": format!("t{i}")}})))));
    let index = index(&selections);
    assert!(index.open.is_empty() && index.by_absence.is_empty());
    let most = |affixes: &super::Affixes| affixes.globs.values().map(Vec::len).max();
    assert_eq!((most(&index.by_start), most(&index.by_end)), (Some(1), Some(1)));
    let values = &index.by_value["team"];
    assert_eq!((values.len(), values.values().map(Vec::len).max()), (2000, Some(1)));
    assert_eq!(index.selecting("x7-a", &labels(&[("team", "t9")])), [7, 2009]);
}

fn any_requirement() -> impl Strategy<Value = Value> {
    let values = || prop::collection::vec("[xy]", 1..3);
    prop_oneof![
        ("[ab]", values()).prop_map(|(k, v)| json!({"key": k, "operator": "In", "values": v})),
        ("[ab]", values()).prop_map(|(k, v)| json!({"key": k, "operator": "NotIn", "values": v})),
        "[ab]".prop_map(|k| json!({"key": k, "operator": "Exists"})),
        "[ab]".prop_map(|k| json!({"key": k, "operator": "DoesNotExist"})),
    ]
}

fn any_selection() -> impl Strategy<Value = ObjectSelection> {
    let patterns = || prop::collection::vec("[ab*?é]{1,4}", 0..3);
    let selector = prop::option::of(prop::collection::vec(any_requirement(), 1..3));
    (patterns(), patterns(), selector).prop_map(|(names, exclude, requirements)| {
        let pattern = |names: Vec<String>| names.into_iter().map(Pattern::new).collect();
        let selector = requirements.map(|list| json!({ "matchExpressions": list }));
        ObjectSelection {
            names: pattern(names),
            exclude: pattern(exclude),
            selector: selection(&[], selector).selector,
        }
    })
}

proptest! {
    #[test]
    fn the_index_agrees_with_the_plain_rule(
        selections in prop::collection::vec(any_selection(), 0..8),
        name in "[abé]{0,5}",
        pairs in prop::collection::btree_map("[ab]", "[xyz]", 0..3),
    ) {
        let labels = Labels::from(pairs);
        let index = index(&selections);
        let plain = |rule: fn(&ObjectSelection, &str, &Labels) -> bool| -> Vec<usize> {
            (0..selections.len()).filter(|&i| rule(&selections[i], &name, &labels)).collect()
        };
        let found = index.selecting(&name, &labels);
        prop_assert_eq!(&found, &plain(ObjectSelection::selects));
        let covering: Vec<usize> =
            found.into_iter().filter(|&i| selections[i].excluded_by(&name).is_none()).collect();
        prop_assert_eq!(covering, plain(ObjectSelection::covers));
    }
}
