use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::{BindingReport, BindingsReport, NamespaceFilter, TreeStyle};

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

fn pair(registry: &str, namespace: &str, reason: &str) -> Value {
    let status = if reason == "Succeeded" { "True" } else { "False" };
    json!({
        "registry": registry, "namespace": namespace,
        "conditions": [condition("Ready", status, reason, "see there")],
    })
}

/// Returns a binding of generation 3 with this status.
fn binding(status: Value) -> Value {
    let mut status = status;
    status["observedGeneration"] = json!(3);
    json!({
        "apiVersion": "acrcredential.dev/v1alpha1", "kind": "AcrCredentialBinding",
        "metadata": { "name": "team-a", "generation": 3 },
        "spec": { "registries": [{ "instanceId": "cri-abc123" }] },
        "status": status,
    })
}

fn report_on(binding: Value, filter: &NamespaceFilter) -> BindingReport {
    BindingReport::new(&serde_json::from_value(binding).unwrap(), filter)
}

fn report(status: Value) -> BindingReport {
    report_on(binding(status), &NamespaceFilter::Every)
}

const PLAIN: TreeStyle = TreeStyle { width: None, colour: false, wide: false, now: Timestamp::UNIX_EPOCH };

fn drawn(report: BindingReport, style: TreeStyle) -> String {
    let mut out = Vec::new();
    BindingsReport { bindings: vec![report] }.write_tree(&style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Returns the status of a binding with as many failing namespaces, of which it lists 200.
fn failing(number: usize) -> Value {
    let pairs = (0..number.min(200)).map(|n| pair("cri-abc123", &format!("ns-{n:03}"), "SecretConflict"));
    json!({
        "conditions": [condition("Ready", "False", "SecretConflict", "many namespaces fail")],
        "namespaces": { "matched": number + 1, "ready": 1 },
        "serviceAccounts": { "matched": 2, "bound": 1 },
        "pairs": pairs.collect::<Vec<_>>(),
    })
}

#[test]
fn a_thousand_failing_namespaces_are_counted_and_few_are_listed() {
    let tree = drawn(report(failing(1_000)), PLAIN);
    let expected = "\
team-a: not ready, SecretConflict
├─ many namespaces fail
├─ 1/1001 namespaces ready
│  ├─ ns-000, cri-abc123: SecretConflict: see there
";
    assert!(tree.starts_with(expected), "{tree}");
    assert!(tree.contains("│  ├─ ns-009, ") && !tree.contains("ns-010"), "{tree}");
    assert!(
        tree.ends_with("│  └─ 990 more are not ready\n└─ 1/2 ServiceAccounts have the entry\n"),
        "{tree}"
    );
    let wide = drawn(report(failing(1_000)), TreeStyle { wide: true, ..PLAIN });
    assert!(wide.contains("ns-199") && wide.contains("│  └─ 800 more are not ready\n"), "{wide}");
    let one = drawn(report(failing(11)), PLAIN);
    assert!(one.contains("│  └─ 1 more is not ready\n"), "{one}");
    let all = drawn(report(failing(10)), PLAIN);
    assert!(!all.contains("more"), "{all}");
}

#[test]
fn one_namespace_is_listed_on_request_and_the_others_are_counted() {
    let filter = NamespaceFilter::One("ns-123".into());
    let tree = drawn(report_on(binding(failing(1_000)), &filter), PLAIN);
    assert!(tree.contains("│  ├─ ns-123, cri-abc123: SecretConflict"), "{tree}");
    assert!(tree.contains("│  └─ 999 more are not ready\n"), "{tree}");
    let filter = NamespaceFilter::One("elsewhere".into());
    let tree = drawn(report_on(binding(failing(1_000)), &filter), PLAIN);
    assert!(tree.contains("│  └─ 1000 namespaces are not ready\n"), "{tree}");
}

#[test]
fn registries_that_fail_for_one_reason_in_a_namespace_are_one_line() {
    let status = json!({
        "conditions": [condition("Ready", "False", "SecretConflict", "m")],
        "namespaces": { "matched": 3, "ready": 1 },
        "pairs": [
            pair("cri-b", "two", "SecretConflict"), pair("cri-a", "one", "SecretConflict"),
            pair("cri-b", "one", "SecretConflict"), pair("cri-c", "one", "QuotaExceeded"),
            pair("cri-a", "three", "Succeeded"),
        ],
    });
    let found = report(status);
    let listed: Vec<_> =
        found.failing.iter().map(|item| (item.namespace.as_str(), item.registries.join("+"))).collect();
    let expected = [("one", "cri-c"), ("one", "cri-a+cri-b"), ("two", "cri-b")];
    assert_eq!(listed, expected.map(|(namespace, registries)| (namespace, registries.to_owned())));
    assert_eq!(found.failing_omitted, 0);
}

#[test]
fn a_registry_shows_its_time_left_and_why_there_is_no_new_credential() {
    let second = |text: &str| text.parse::<Timestamp>().unwrap();
    let registry = |expires: Option<&str>, issued: Value| {
        let mut registry = json!({
            "registry": "cri-abc123", "regionId": "cn-hangzhou", "identity": "worker-role → b", "conditions": [issued],
            "domains": ["a.example.com", "b.example.com"], "refreshedAt": "2026-01-01T11:15:00Z",
        });
        if let Some(expires) = expires {
            registry["expiresAt"] = json!(expires);
        }
        let ready = condition("Ready", "True", "Succeeded", "");
        report(json!({ "conditions": [ready], "registries": [registry] }))
    };
    let good = || condition("Issued", "True", "Succeeded", "");
    let bad = || condition("Issued", "False", "AccessDenied", "allow it");
    let style = TreeStyle { now: second("2026-01-01T12:00:00Z"), ..PLAIN };
    let place = "cri-abc123 in cn-hangzhou as worker-role → b";
    for (expires, issued, words) in [
        (Some("2026-01-01T12:42:59Z"), good(), "valid for 42m\n"),
        (Some("2026-01-01T12:01:59Z"), good(), "valid for 1m59s\n"),
        (Some("2026-01-01T13:05:59Z"), good(), "valid for 1h5m\n"),
        (Some("2026-01-01T12:00:00Z"), good(), "expired\n"),
        (None, bad(), "no credential\n│  └─ AccessDenied: allow it\n"),
        (Some("2026-01-01T12:42:59Z"), bad(), "valid for 42m\n│  └─ AccessDenied: allow it\n"),
    ] {
        let tree = drawn(registry(expires, issued), style);
        assert!(tree.contains(&format!("├─ {place}: {words}")), "{words:?} in {tree}");
    }
    let tree = drawn(registry(None, good()), TreeStyle { wide: true, ..style });
    let expected = "│  ├─ for a.example.com, b.example.com\n│  └─ refreshed 2026-01-01T11:15:00Z\n";
    assert!(tree.contains(expected), "{tree}");
}

#[test]
fn what_needs_attention_is_said_of_the_binding() {
    let ready = || condition("Ready", "True", "Succeeded", "");
    assert!(
        drawn(report(json!({ "conditions": [ready()] })), PLAIN).starts_with("team-a: ready\n├─ 0/0 names")
    );
    let failing = condition("Ready", "True", "RefreshFailing", "denied");
    let kept = report(json!({ "conditions": [failing] }));
    assert!(kept.is_ready() && !kept.is_refreshed());
    assert!(drawn(kept, PLAIN).starts_with("team-a: ready, RefreshFailing\n├─ denied\n"));
    for (kind, status, is_shown) in [
        ("PoliciesEnforced", "False", true),
        ("AdmissionConfigured", "False", true),
        ("AdmissionConfigured", "True", false),
        ("LegacyConfigValid", "False", true),
        ("WithdrawalHeld", "True", true),
        ("Contended", "True", true),
        ("Contended", "False", false),
    ] {
        let tree =
            drawn(report(json!({ "conditions": [ready(), condition(kind, status, "R", "m")] })), PLAIN);
        assert_eq!(tree.contains(&format!("├─ {kind}, R: m\n")), is_shown, "{tree}");
    }
    let mut changed = binding(json!({ "conditions": [ready()] }));
    changed["metadata"]["generation"] = json!(4);
    changed["metadata"]["labels"] = json!({ "acrcredential.dev/converted": "true" });
    let changed = report_on(changed, &NamespaceFilter::Every);
    assert!(changed.from_config_map && !changed.is_ready());
    let tree = drawn(changed, PLAIN);
    assert!(
        tree.contains("has not handled the latest change") && tree.contains("made from the ConfigMap"),
        "{tree}"
    );
    let mut fresh = binding(json!({}));
    fresh["status"] = json!({ "observedGeneration": -1 });
    let fresh = report_on(fresh, &NamespaceFilter::Every);
    assert!(!fresh.is_ready());
    let tree = drawn(fresh, PLAIN);
    assert_eq!(tree.lines().count(), 1, "{tree}");
    assert!(tree.contains("has not reported on it yet; kubectl acr check says whether it works"), "{tree}");
}

#[test]
fn no_line_is_longer_than_the_terminal_is_wide_and_no_word_is_lost() {
    let long = "x".repeat(90);
    let message =
        format!("the Secret shop/acr-credential-secret-aggregation is of another tool: {long} delete it");
    let status = || {
        json!({
            "conditions": [condition("Ready", "False", "SecretConflict", &message)],
            "namespaces": { "matched": 1, "ready": 0 },
            "pairs": [{
                "registry": "cri-abc123", "namespace": "shop",
                "conditions": [condition("Ready", "False", "SecretConflict", &message)],
            }],
        })
    };
    let letters = |text: &str| text.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>();
    let whole = letters(&drawn(report(status()), PLAIN));
    for width in [40, 80, 120] {
        let tree = drawn(report(status()), TreeStyle { width: Some(width), ..PLAIN });
        let longest = tree.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= width && longest > width - 20, "{longest} of {width}: {tree}");
        assert_eq!(letters(&tree), whole, "{tree}");
        assert!(!tree.lines().any(|line| line.ends_with(' ')), "{tree}");
    }
    // Without room, it still ends.
    assert!(!drawn(report(status()), TreeStyle { width: Some(0), ..PLAIN }).is_empty());
}

#[test]
fn text_of_others_cannot_command_the_terminal() {
    let hostile = condition("Ready", "False", "X", "a\n\u{1b}[2Jb\u{7}\t c");
    let tree = drawn(report(json!({ "conditions": [hostile] })), TreeStyle { colour: true, ..PLAIN });
    assert!(tree.contains("├─ a \u{fffd}[2Jb\u{fffd} c\n"), "{tree:?}");
    assert!(tree.contains("\u{1b}[31mteam-a: not ready, X\u{1b}[0m\n"), "{tree:?}");
}

#[test]
fn a_status_of_the_largest_size_is_drawn_whole() {
    let bindings = vec![report(failing(10_000)); 100];
    let mut out = Vec::new();
    BindingsReport { bindings }.write_tree(&PLAIN, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap().matches("9990 more are not ready").count(), 100);
}

/// The last namespace that is listed fails for two reasons, of which one is listed.
#[test]
fn a_namespace_that_is_listed_is_not_counted_among_the_others() {
    let mut status = failing(12);
    let second = pair("cri-def456", "ns-009", "WriteFailing");
    status["pairs"].as_array_mut().unwrap().push(second);
    let tree = drawn(report(status), PLAIN);
    assert!(tree.contains("ns-009, cri-abc123") && !tree.contains("ns-009, cri-def456"), "{tree}");
    assert!(tree.contains("2 more are not ready"), "{tree}");
}
