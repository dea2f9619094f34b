//! Namespaces and ServiceAccounts.

use serde_json::{Value, json};

use super::{Field, list, long};

const GOOD_NAMES: [&str; 7] = ["default", "*", "team-a-*", "?", "*-prod", "a", "0"];
const BAD_NAMES: [&str; 8] = ["Default", "a_b", "-a", "a-", ".a", "a b", "a,b", "é"];

pub fn namespaces() -> Vec<Field> {
    const EMPTY: &str = "watchNamespaces cel an empty selector would select every namespace";
    vec![
        Field::at("/watchNamespaces/names")
            .passes("watchNamespaces.names[] pattern", GOOD_NAMES.map(|n| json!([n])))
            .breaks(
                ("watchNamespaces.names[] pattern", "spec.watchNamespaces.names[0] in body should match"),
                BAD_NAMES.into_iter().chain(["a.b"]).map(|n| json!([n])),
            )
            .passes("watchNamespaces.names[] minLength", [json!(["a"])])
            .breaks(
                (
                    "watchNamespaces.names[] minLength",
                    "spec.watchNamespaces.names[0] in body should be at least 1 chars",
                ),
                [json!([""])],
            )
            .passes("watchNamespaces.names[] maxLength", [json!([long("", 63)])])
            .breaks(
                ("watchNamespaces.names[] maxLength", "spec.watchNamespaces.names[0]: Too long"),
                [json!([long("", 64)])],
            )
            .passes("watchNamespaces.names maxItems", [json!([]), list(256)])
            .breaks(
                ("watchNamespaces.names maxItems", "spec.watchNamespaces.names: Too many: 257"),
                [list(257)],
            ),
        Field::at("/watchNamespaces/exclude")
            .passes("watchNamespaces.exclude[] pattern", GOOD_NAMES.map(|n| json!([n])))
            .breaks(
                ("watchNamespaces.exclude[] pattern", "spec.watchNamespaces.exclude[0] in body should match"),
                BAD_NAMES.into_iter().chain(["a.b"]).map(|n| json!([n])),
            )
            .passes("watchNamespaces.exclude[] minLength", [json!(["a"])])
            .breaks(
                (
                    "watchNamespaces.exclude[] minLength",
                    "spec.watchNamespaces.exclude[0] in body should be at least 1 chars",
                ),
                [json!([""])],
            )
            .passes("watchNamespaces.exclude[] maxLength", [json!([long("", 63)])])
            .breaks(
                ("watchNamespaces.exclude[] maxLength", "spec.watchNamespaces.exclude[0]: Too long"),
                [json!([long("", 64)])],
            )
            .passes("watchNamespaces.exclude maxItems", [json!([]), list(256)])
            .breaks(
                ("watchNamespaces.exclude maxItems", "spec.watchNamespaces.exclude: Too many: 257"),
                [list(257)],
            ),
        Field::at("/watchNamespaces/selector").passes(EMPTY, selectors()).breaks(
            (EMPTY, "an empty selector would select every namespace: use names: [\"*\"]"),
            empty_selectors(),
        ),
    ]
}

pub fn service_accounts() -> Vec<Field> {
    const EMPTY: &str = "serviceAccounts cel an empty selector would select every ServiceAccount";
    vec![
        Field::at("/serviceAccounts/names")
            .passes(
                "serviceAccounts.names[] pattern",
                GOOD_NAMES.into_iter().chain(["a.b", "a.*"]).map(|n| json!([n])),
            )
            .breaks(
                ("serviceAccounts.names[] pattern", "spec.serviceAccounts.names[0] in body should match"),
                BAD_NAMES.into_iter().chain(["a."]).map(|n| json!([n])),
            )
            .passes("serviceAccounts.names[] minLength", [json!(["a"])])
            .breaks(
                (
                    "serviceAccounts.names[] minLength",
                    "spec.serviceAccounts.names[0] in body should be at least 1 chars",
                ),
                [json!([""])],
            )
            .passes("serviceAccounts.names[] maxLength", [json!([long("", 253)])])
            .breaks(
                ("serviceAccounts.names[] maxLength", "spec.serviceAccounts.names[0]: Too long"),
                [json!([long("", 254)])],
            )
            .passes("serviceAccounts.names maxItems", [json!([]), list(256)])
            .breaks(
                ("serviceAccounts.names maxItems", "spec.serviceAccounts.names: Too many: 257"),
                [list(257)],
            ),
        Field::at("/serviceAccounts/selector").passes(EMPTY, selectors()).breaks(
            (EMPTY, "an empty selector would select every ServiceAccount: use names: [\"*\"]"),
            empty_selectors(),
        ),
    ]
}

fn selectors() -> Vec<Value> {
    vec![
        json!(null),
        json!({ "matchLabels": { "a": "b" } }),
        json!({ "matchLabels": {}, "matchExpressions": [{ "key": "a", "operator": "Exists" }] }),
        json!({ "matchExpressions": [{ "key": "a", "operator": "In", "values": ["b"] }] }),
        json!({ "matchExpressions": [{ "key": "a", "operator": "NotIn", "values": ["b", "c"] }] }),
        json!({ "matchExpressions": [{ "key": "a", "operator": "DoesNotExist", "values": [] }] }),
    ]
}

fn empty_selectors() -> Vec<Value> {
    vec![
        json!({}),
        json!({ "matchLabels": {} }),
        json!({ "matchExpressions": [] }),
        json!({ "matchLabels": {}, "matchExpressions": [] }),
    ]
}

/// Returns the fields of selectors; both selectors have the same rules.
pub fn expressions() -> Vec<Field> {
    const VALUES: &str = "operators In and NotIn need values, Exists and DoesNotExist take none";
    let one = |expression: Value| json!([expression]);
    let without_values = |operator: &str| json!([{ "key": "a", "operator": operator }]);
    let with_values = |operator: &str| json!([{ "key": "a", "operator": operator, "values": ["b"] }]);
    let rules = [
        [
            "watchNamespaces.selector.matchExpressions[].key required",
            "watchNamespaces.selector.matchExpressions[].key minLength",
            "watchNamespaces.selector.matchExpressions[].operator required",
            "watchNamespaces.selector.matchExpressions[].operator enum",
            "watchNamespaces.selector.matchExpressions[] cel operators In and NotIn",
        ],
        [
            "serviceAccounts.selector.matchExpressions[].key required",
            "serviceAccounts.selector.matchExpressions[].key minLength",
            "serviceAccounts.selector.matchExpressions[].operator required",
            "serviceAccounts.selector.matchExpressions[].operator enum",
            "serviceAccounts.selector.matchExpressions[] cel operators In and NotIn",
        ],
    ];
    let field = |(at, [key, empty, operator, operators, values]): (&'static str, [&'static str; 5])| {
        Field::at(at)
            .passes(key, [without_values("Exists")])
            .breaks((key, "matchExpressions[0].key: Required value"), [one(json!({ "operator": "Exists" }))])
            .passes(empty, [one(json!({ "key": "a", "operator": "Exists" }))])
            .breaks(
                (empty, "matchExpressions[0].key in body should be at least 1 chars"),
                [one(json!({ "key": "", "operator": "Exists" }))],
            )
            .passes(operator, [without_values("Exists")])
            .breaks((operator, "matchExpressions[0].operator: Required value"), [one(json!({ "key": "a" }))])
            .passes(operators, ["Exists", "DoesNotExist"].map(without_values))
            .passes(operators, ["In", "NotIn"].map(with_values))
            .breaks(
                (operators, "matchExpressions[0].operator: Unsupported value"),
                ["", "in", "Gt", "Equals"].map(with_values),
            )
            .passes(values, ["Exists", "DoesNotExist"].map(without_values))
            .passes(values, ["In", "NotIn"].map(with_values))
            .passes(values, [one(json!({ "key": "a", "operator": "Exists", "values": [] }))])
            .breaks((values, VALUES), ["In", "NotIn"].map(without_values))
            .breaks((values, VALUES), [one(json!({ "key": "a", "operator": "In", "values": [] }))])
            .breaks((values, VALUES), ["Exists", "DoesNotExist"].map(with_values))
    };
    ["/watchNamespaces/selector/matchExpressions", "/serviceAccounts/selector/matchExpressions"]
        .into_iter()
        .zip(rules)
        .map(field)
        .collect()
}
