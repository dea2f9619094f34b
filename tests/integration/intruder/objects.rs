//! Attacks on ServiceAccounts, bindings, webhooks and the controller's own objects.

use serde_json::{Value, json};

use super::{ACCOUNTS, Attack, BINDINGS, Barrier, EVENTS, OBJECTS, WEBHOOK, attack, merge, rbac};
use crate::caller::Body;
use crate::harness::{CONTROLLER, NAMESPACE, SECRET, spec};

pub fn accounts() -> Vec<Attack> {
    const RICH: &str = "/api/v1/namespaces/victim/serviceaccounts/rich";
    const LIST: &str = "its own entry of imagePullSecrets only";
    const EVIL: &str = "pull secrets outside the policy's lists: evil";
    let deny = |what, words, body| attack(what, Barrier::Policy(ACCOUNTS, words), "PATCH", RICH, body);
    let list = |names: &[&str]| {
        let list: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
        Body::Merge(json!({ "imagePullSecrets": list }))
    };
    let annotate = |key: &str| Body::Merge(json!({ "metadata": { "annotations": { key: "admin" } } }));
    let account =
        |name: &str| json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
    let seize = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "rich" },
        "imagePullSecrets": [{ "name": SECRET }] });
    let owner = json!({ "metadata": { "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "x",
        "uid": "00000000-0000-0000-0000-000000000001" }] } });
    let path = "/api/v1/namespaces/victim/serviceaccounts";
    vec![
        rbac("make a ServiceAccount", "POST", path, Body::Json(account("evil"))),
        rbac(
            "make a ServiceAccount by apply",
            "PATCH",
            &format!("{path}/evil"),
            Body::Apply(account("evil")),
        ),
        rbac("replace a ServiceAccount", "PUT", RICH, Body::Json(account("rich"))),
        rbac("delete a ServiceAccount", "DELETE", RICH, Body::None),
        rbac("delete all ServiceAccounts", "DELETE", path, Body::None),
        deny("add another's entry", EVIL, list(&["a", "b", SECRET, "evil"])),
        deny("take another's entry", LIST, list(&["a", SECRET])),
        deny("take the whole list", LIST, Body::Merge(json!({ "imagePullSecrets": null }))),
        deny("turn others' entries round", LIST, list(&["b", "a", SECRET])),
        deny("rename another's entry", EVIL, list(&["a", "evil", SECRET])),
        deny(
            "put an entry before all others",
            EVIL,
            Body::JsonPatch(json!([
            { "op": "add", "path": "/imagePullSecrets/0", "value": { "name": "evil" } }])),
        ),
        deny("seize the list by a forced apply", LIST, Body::Apply(seize)),
        deny("add our entry twice", "imagePullSecrets once", list(&["a", "b", SECRET, SECRET])),
        deny(
            "label a ServiceAccount",
            "labels outside the policy's lists: a",
            Body::Merge(json!({ "metadata": { "labels": { "a": "b" } } })),
        ),
        deny(
            "take a ServiceAccount's label",
            "labels removed: team",
            Body::Merge(json!({ "metadata": { "labels": null } })),
        ),
        deny(
            "give a ServiceAccount a cloud role",
            "annotations that no exception allows: pod-identity.alibabacloud.com/role-name",
            annotate("pod-identity.alibabacloud.com/role-name"),
        ),
        deny(
            "give a ServiceAccount another cloud's role",
            "annotations that no exception allows: eks.amazonaws.com/role-arn",
            annotate("eks.amazonaws.com/role-arn"),
        ),
        deny(
            "opt a ServiceAccount out",
            "annotations that no exception allows: acrcredential.dev/skip",
            annotate("acrcredential.dev/skip"),
        ),
        deny(
            "block a ServiceAccount's namespace",
            "fields that no exception allows: finalizers",
            Body::Merge(json!({ "metadata": { "finalizers": ["a.example.com/b"] } })),
        ),
        deny(
            "have a ServiceAccount garbage-collected",
            "fields that no exception allows: ownerReferences",
            Body::Merge(owner),
        ),
        deny(
            "let a ServiceAccount mount a Secret",
            "fields that no exception allows: secrets",
            Body::Merge(json!({ "secrets": [{ "name": "other" }] })),
        ),
        deny(
            "mount the token of a ServiceAccount",
            "fields that no exception allows: automountServiceAccountToken",
            Body::Merge(json!({ "automountServiceAccountToken": true })),
        ),
    ]
}

/// Returns attacks that redirect the cloud identity, or keep bindings from being deleted.
pub fn bindings() -> Vec<Attack> {
    const ALL: &str = "/apis/acrcredential.dev/v1alpha1/acrcredentialbindings";
    const SPEC: &str = "changes only the spec of the binding";
    const METADATA: &str = "not change the labels and annotations of bindings";
    const HOLD: &str = "its own finalizer";
    let victim = format!("{ALL}/victim");
    let deny = |what, words, name: &str, body| {
        attack(what, Barrier::Policy(BINDINGS, words), "PATCH", &format!("{ALL}/{name}"), body)
    };
    let binding = |name: &str, metadata: Value| {
        let mut object = json!({ "apiVersion": "acrcredential.dev/v1alpha1", "kind": "AcrCredentialBinding",
            "metadata": { "name": name }, "spec": spec(&["*"]) });
        merge(&mut object["metadata"], metadata);
        object
    };
    let spec_of = |spec: Value| Body::Merge(json!({ "spec": spec }));
    let annotate = |key: &str| Body::Merge(json!({ "metadata": { "annotations": { key: "true" } } }));
    vec![
        rbac("make a binding", "POST", ALL, Body::Json(binding("evil", json!({})))),
        rbac(
            "make a binding by apply",
            "PATCH",
            &format!("{ALL}/evil"),
            Body::Apply(binding("evil", json!({}))),
        ),
        rbac("replace a binding", "PUT", &victim, Body::Json(binding("victim", json!({})))),
        rbac("delete a binding", "DELETE", &victim, Body::None),
        rbac("delete all bindings", "DELETE", ALL, Body::None),
        deny("widen a binding", SPEC, "victim", spec_of(json!({ "watchNamespaces": { "names": ["*"] } }))),
        deny(
            "have a binding take another role",
            SPEC,
            "victim",
            spec_of(json!({ "registries": [
            { "instanceId": "cri-demo0001", "assumeRoleARN": "acs:ram::2:role/acr-pull" }] })),
        ),
        deny(
            "send a binding's domains elsewhere",
            SPEC,
            "victim",
            spec_of(json!({ "registries": [
            { "instanceId": "cri-demo0001", "domains": ["evil.example.com"] }] })),
        ),
        deny("suspend a binding", SPEC, "victim", spec_of(json!({ "suspend": true }))),
        deny("seize a binding by a forced apply", SPEC, "victim", Body::Apply(binding("victim", json!({})))),
        deny(
            "edit a user's own binding of the converted one's name",
            SPEC,
            "acr-configuration",
            spec_of(json!({ "suspend": false })),
        ),
        attack(
            "delete a user's own binding of the converted one's name",
            Barrier::Policy(BINDINGS, "creates and deletes only the binding acr-configuration"),
            "DELETE",
            &format!("{ALL}/acr-configuration"),
            Body::None,
        ),
        deny(
            "pass a user's binding off as converted",
            METADATA,
            "acr-configuration",
            Body::Merge(json!({ "metadata": { "labels": { "acrcredential.dev/converted": "true" } } })),
        ),
        deny("have a binding adopt others' Secrets", METADATA, "victim", annotate("acrcredential.dev/adopt")),
        deny(
            "have credentials minted over and over",
            METADATA,
            "victim",
            annotate("acrcredential.dev/refresh-at"),
        ),
        deny(
            "label a binding",
            METADATA,
            "victim",
            Body::Merge(json!({ "metadata": { "labels": { "a": "b" } } })),
        ),
        deny(
            "block a binding",
            HOLD,
            "victim",
            Body::JsonPatch(json!([
            { "op": "add", "path": "/metadata/finalizers/-", "value": "a.example.com/b" }])),
        ),
        deny(
            "take another's finalizer",
            HOLD,
            "victim",
            Body::Merge(json!({ "metadata": { "finalizers": null } })),
        ),
        deny(
            "have a binding garbage-collected",
            HOLD,
            "victim",
            Body::Merge(json!({ "metadata": {
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "x",
                "uid": "00000000-0000-0000-0000-000000000001" }] } })),
        ),
    ]
}

/// Returns attacks on the other objects that may be written by name.
pub fn others() -> Vec<Attack> {
    let event = |change: Value| {
        let mut object = json!({ "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": { "name": "evil", "namespace": "victim" }, "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": CONTROLLER, "reportingInstance": CONTROLLER, "action": "A", "reason": "R",
            "type": "Normal", "regarding": { "kind": "Pod", "name": "p", "namespace": "victim" } });
        merge(&mut object, change);
        Body::Json(object)
    };
    let blocked = || json!({ "metadata": { "finalizers": ["a.example.com/b"] } });
    let events = "/apis/events.k8s.io/v1/namespaces/victim/events";
    let lease =
        "/apis/coordination.k8s.io/v1/namespaces/acr-credential-system/leases/acr-credential-controller";
    let map = |name: &str, change: Value| {
        let mut object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
        merge(&mut object, change);
        Body::Apply(object)
    };
    let maps = "/api/v1/namespaces/acr-credential-system/configmaps";
    let deny = |what, policy, words, method, path: &str, body| {
        attack(what, Barrier::Policy(policy, words), method, path, body)
    };
    vec![
        rbac("delete the traces in Events", "DELETE", events, Body::None),
        deny(
            "forge another's Event",
            EVENTS,
            "in its own name only",
            "POST",
            events,
            event(json!({ "reportingController": "kubelet" })),
        ),
        deny(
            "rewrite another's Event",
            EVENTS,
            "in its own name only",
            "PATCH",
            &format!("{events}/theirs"),
            Body::Merge(json!({ "metadata": { "annotations": { "a": "b" } } })),
        ),
        deny("block a namespace by an Event", EVENTS, "no finalizers", "POST", events, event(blocked())),
        deny(
            "block its namespace by its Lease",
            OBJECTS,
            "no finalizers",
            "PATCH",
            lease,
            Body::Merge(blocked()),
        ),
        deny(
            "block its namespace by its ConfigMap",
            OBJECTS,
            "no finalizers",
            "PATCH",
            &format!("{maps}/acr-credential-admission"),
            map("acr-credential-admission", blocked()),
        ),
        deny(
            "write another ConfigMap where RBAC lets it",
            OBJECTS,
            "of its own namespace only",
            "PATCH",
            &format!("{maps}/evil"),
            map("evil", json!({})),
        ),
    ]
}

/// Returns attacks that abuse the right to write one webhook configuration.
pub fn webhooks() -> Vec<Attack> {
    const RULES: &str = "creation and update of ServiceAccounts only";
    const SERVICE: &str = "served by its Service";
    let base = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    let hook = |change: Value| {
        let mut hook = json!({ "name": "a.acrcredential.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": { "service": { "namespace": NAMESPACE, "name": "acr-credential-webhook" } },
            "namespaceSelector": { "matchExpressions": [{ "key": "kubernetes.io/metadata.name",
                "operator": "NotIn", "values": ["kube-system", NAMESPACE] }] },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["serviceaccounts"],
                "operations": ["CREATE", "UPDATE"] }] });
        merge(&mut hook, change);
        hook
    };
    let whole = |name: &str, metadata: Value, hooks: Vec<Value>| {
        let mut object = json!({ "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration", "metadata": { "name": name }, "webhooks": hooks });
        merge(&mut object["metadata"], metadata);
        Body::Apply(object)
    };
    let deny = |what, words, body| {
        attack(
            what,
            Barrier::Policy(WEBHOOK, words),
            "PATCH",
            &format!("{base}/acr-credential-webhook"),
            body,
        )
    };
    let with = |change: Value| whole("acr-credential-webhook", json!({}), vec![hook(change)]);
    let rules = |group: &str, resource: &str, operation: &str| {
        with(json!({ "rules": [{ "apiGroups": [group], "apiVersions": ["v1"], "resources": [resource],
            "operations": [operation] }] }))
    };
    let service = |namespace: &str, name: &str| {
        with(json!({ "clientConfig": { "service": { "namespace": namespace, "name": name } } }))
    };
    let second =
        hook(json!({ "name": "b.acrcredential.dev", "rules": [{ "apiGroups": [""], "apiVersions": ["v1"],
        "resources": ["secrets"], "operations": ["CREATE"] }] }));
    vec![
        deny("see every Secret by the webhook", RULES, rules("", "secrets", "CREATE")),
        deny("see everything by the webhook", RULES, rules("*", "*", "*")),
        deny("see the ServiceAccounts of another group", RULES, rules("*", "serviceaccounts", "CREATE")),
        deny("see the tokens of ServiceAccounts", RULES, rules("", "serviceaccounts/token", "CREATE")),
        deny("see deletions", RULES, rules("", "serviceaccounts", "DELETE")),
        deny(
            "hide a second webhook behind the first",
            RULES,
            whole("acr-credential-webhook", json!({}), vec![hook(json!({})), second]),
        ),
        deny(
            "send it to a URL",
            SERVICE,
            with(json!({ "clientConfig": {
            "service": null, "url": "https://evil.example.com/" } })),
        ),
        deny(
            "be asked about kube-system",
            "never called for kube-system",
            with(json!({ "namespaceSelector": null })),
        ),
        deny("send it to another Service", SERVICE, service(NAMESPACE, "evil")),
        deny("send it to another namespace", SERVICE, service("victim", "acr-credential-webhook")),
        deny(
            "give it a finalizer",
            "no finalizers",
            whole(
                "acr-credential-webhook",
                json!({ "finalizers": ["a.example.com/b"] }),
                vec![hook(json!({}))],
            ),
        ),
        attack(
            "make another configuration where RBAC lets it",
            Barrier::Policy(WEBHOOK, "MutatingWebhookConfiguration acr-credential-webhook only"),
            "PATCH",
            &format!("{base}/evil"),
            whole("evil", json!({}), vec![hook(json!({}))]),
        ),
        attack(
            "delete another's configuration where RBAC lets it",
            Barrier::Policy(WEBHOOK, "MutatingWebhookConfiguration acr-credential-webhook only"),
            "DELETE",
            &format!("{base}/theirs"),
            Body::None,
        ),
    ]
}
