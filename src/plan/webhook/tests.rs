use k8s_openapi::api::admissionregistration::v1::MutatingWebhook;
use serde_json::{Value, json};

use super::{Address, MAX_EXPRESSIONS, Target, webhooks};
use crate::plan::ResolvedBinding;
use crate::plan::fixture::bound_with;

fn asks(name: &str, spec: Value) -> ResolvedBinding {
    let mut spec = spec;
    if spec.get("webhook").is_none() {
        spec["webhook"] = json!({ "enable": true });
    }
    bound_with(name, spec)
}

fn rendered(resolved_bindings: &[ResolvedBinding]) -> Vec<MutatingWebhook> {
    let address = Address::Service("hook".into());
    let target = Target { namespace: "own", address: &address, ca_bundle: b"pem", on_update: false };
    webhooks(resolved_bindings.iter().map(|resolved| &*resolved.binding), &target)
}

fn condition(webhook: &MutatingWebhook, name: &str) -> Option<String> {
    let conditions = webhook.match_conditions.iter().flatten();
    conditions.filter(|c| c.name == name).map(|c| c.expression.clone()).next()
}

#[test]
fn one_binding_by_names_is_one_webhook_with_one_regular_expression() {
    let spec = json!({
        "watchNamespaces": { "names": ["team-*", "prod"], "exclude": ["team-x"] },
        "serviceAccounts": { "names": ["default"] },
    });
    let rendered = rendered(&[asks("a", spec)]);
    assert_eq!(rendered.len(), 1);
    let expected = r"(request.namespace.matches(r'^team\-.*$|^prod$') && !request.namespace.matches(r'^team\-x$') && (!has(object.metadata.name) || object.metadata.name == '' || object.metadata.name.matches(r'^default$')))";
    assert_eq!(condition(&rendered[0], "covered").as_deref(), Some(expected));
    let whole = serde_json::to_value(&rendered[0]).unwrap();
    assert!(!whole.to_string().contains("namespaceObject"));
    assert_eq!(
        whole["namespaceSelector"]["matchExpressions"],
        json!([
            { "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "own"] },
            { "key": "acrcredential.dev/skip", "operator": "NotIn", "values": crate::model::skip::TRUE },
        ])
    );
    assert_eq!(
        whole["clientConfig"]["service"],
        json!({ "name": "hook", "namespace": "own", "path": "/mutate", "port": 443 })
    );
    assert_eq!(
        (&whole["sideEffects"], &whole["failurePolicy"], &whole["timeoutSeconds"]),
        (&json!("None"), &json!("Ignore"), &json!(10))
    );
    assert_eq!(whole["rules"][0]["operations"], json!(["CREATE"]));
}

#[test]
fn full_coverage_has_no_name_condition() {
    let spec = json!({ "watchNamespaces": { "names": ["*"], "exclude": [] }, "serviceAccounts": { "names": ["*", "a"] } });
    let rendered = rendered(&[asks("a", spec)]);
    assert_eq!(condition(&rendered[0], "covered"), None);
    assert!(condition(&rendered[0], "not-skipped").is_some());
}

#[test]
fn a_binding_that_excludes_everything_matches_nothing() {
    let spec = json!({ "watchNamespaces": { "names": ["*"], "exclude": ["*"] }, "serviceAccounts": { "names": ["*"] } });
    assert_eq!(condition(&rendered(&[asks("a", spec)])[0], "covered").as_deref(), Some("(false)"));
}

#[test]
fn bindings_share_a_webhook_by_policy_and_time_and_keep_their_pairs_apart() {
    let named = |name: &str, namespace: &str, account: &str| {
        asks(
            name,
            json!({ "watchNamespaces": { "names": [namespace], "exclude": [] }, "serviceAccounts": { "names": [account] } }),
        )
    };
    let fail = asks(
        "f",
        json!({
            "webhook": { "enable": true, "failurePolicy": "Fail", "timeoutSeconds": 15 },
            "watchNamespaces": { "names": ["c"], "exclude": [] },
        }),
    );
    let rendered = rendered(&[named("a", "a", "x"), named("b", "b", "y"), fail, named("a2", "a", "x")]);
    assert_eq!(rendered.len(), 2);
    let covered = condition(&rendered[0], "covered").unwrap();
    assert_eq!(covered.matches(" || (request.namespace").count(), 1, "{covered}");
    let (a, b) = covered.split_once(" || (request.namespace").unwrap();
    assert!(a.contains("'^a$'") && a.contains("'^x$'") && !a.contains("'^y$'"), "{covered}");
    assert!(b.contains("'^b$'") && b.contains("'^y$'"), "{covered}");
    assert_eq!(
        (rendered[1].failure_policy.as_deref(), rendered[1].timeout_seconds),
        (Some("Fail"), Some(15))
    );
    assert_ne!(rendered[0].name, rendered[1].name);
}

#[test]
fn labels_are_selectors_and_names_beside_them_a_webhook_of_their_own() {
    let spec = json!({
        "watchNamespaces": { "names": ["a"], "selector": { "matchLabels": { "tier": "app" } }, "exclude": [] },
        "serviceAccounts": { "selector": { "matchExpressions": [{ "key": "pull", "operator": "Exists" }] } },
    });
    let rendered = rendered(&[asks("a", spec)]);
    assert_eq!(rendered.len(), 2);
    let value = |i: usize| serde_json::to_value(&rendered[i]).unwrap();
    for i in 0..2 {
        assert_eq!(
            value(i)["objectSelector"]["matchExpressions"],
            json!([{ "key": "pull", "operator": "Exists" }])
        );
    }
    assert_eq!(condition(&rendered[0], "covered").as_deref(), Some("(request.namespace.matches(r'^a$'))"));
    assert_eq!(condition(&rendered[1], "covered"), None);
    let expressions = value(1)["namespaceSelector"]["matchExpressions"].clone();
    assert_eq!(expressions[0]["operator"], "NotIn");
    assert_eq!(expressions[1]["key"], "acrcredential.dev/skip");
    assert_eq!(expressions[2], json!({ "key": "tier", "operator": "In", "values": ["app"] }));
}

#[test]
fn expressions_that_would_cost_too_much_are_spread() {
    let names = |i: usize| (0..200).map(|n| format!("{}-{i}-{n:03}", "n".repeat(40))).collect::<Vec<_>>();
    let resolved_bindings: Vec<ResolvedBinding> = (0..12)
        .map(|i| asks(&format!("b{i}"), json!({ "watchNamespaces": { "names": names(i) } })))
        .collect();
    let rendered = rendered(&resolved_bindings);
    assert!(rendered.len() > 1);
    for webhook in &rendered {
        assert!(condition(webhook, "covered").unwrap().len() < MAX_EXPRESSIONS + 1000);
    }
}

#[test]
fn a_url_and_updates_are_configured_where_they_are_set() {
    let address = Address::Url("https://127.0.0.1:1/mutate".into());
    let target = Target { namespace: "kube-system", address: &address, ca_bundle: b"pem", on_update: true };
    let resolved = asks("a", json!({}));
    let rendered = webhooks([&*resolved.binding], &target);
    let whole = serde_json::to_value(&rendered[0]).unwrap();
    assert_eq!(whole["clientConfig"]["url"], "https://127.0.0.1:1/mutate");
    assert!(whole["clientConfig"].get("service").is_none());
    assert_eq!(whole["rules"][0]["operations"], json!(["CREATE", "UPDATE"]));
    assert_eq!(whole["namespaceSelector"]["matchExpressions"][0]["values"], json!(["kube-system"]));
}
