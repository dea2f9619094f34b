//! Attacks on Secrets.

use serde_json::json;

use super::{Attack, Barrier, SECRETS, attack, ours, rbac, secret};
use crate::caller::Body;
use crate::harness::SECRET;

/// Returns attacks that write Secrets that RBAC does not name.
pub fn other_secrets() -> Vec<Attack> {
    let all = "/api/v1/namespaces/victim/secrets";
    let by_name = format!("{all}?fieldSelector=metadata.name%3D{SECRET}");
    let generated = json!({ "metadata": { "name": null, "generateName": SECRET } });
    vec![
        rbac(
            "post a Secret of our name",
            "POST",
            "/api/v1/namespaces/elsewhere/secrets",
            Body::Json(secret(SECRET, json!({}))),
        ),
        rbac("post a Secret with a generated name", "POST", all, Body::Json(secret(SECRET, generated))),
        rbac(
            "apply a Secret of another name",
            "PATCH",
            &format!("{all}/evil"),
            Body::Apply(secret("evil", json!({}))),
        ),
        rbac("replace our Secret", "PUT", &ours("victim"), Body::Json(secret(SECRET, json!({})))),
        rbac(
            "patch a tenant's Secret",
            "PATCH",
            &format!("{all}/other"),
            Body::Merge(json!({ "data": null })),
        ),
        rbac("delete a tenant's Secret", "DELETE", &format!("{all}/other"), Body::None),
        rbac("delete all Secrets of a namespace", "DELETE", all, Body::None),
        rbac("delete all Secrets of our name", "DELETE", &by_name, Body::None),
        rbac(
            "delete the token cache, to recreate it with another type",
            "DELETE",
            "/api/v1/namespaces/acr-credential-system/secrets/acr-credential-cache",
            Body::None,
        ),
        rbac(
            "delete a shard of the token cache",
            "DELETE",
            "/api/v1/namespaces/acr-credential-system/secrets/acr-credential-cache-7",
            Body::None,
        ),
        rbac(
            "make a ninth shard of the token cache",
            "PATCH",
            "/api/v1/namespaces/acr-credential-system/secrets/acr-credential-cache-8",
            Body::Apply(secret("acr-credential-cache-8", json!({ "type": "Opaque" }))),
        ),
        rbac(
            "make a key pair in a tenant's namespace",
            "PATCH",
            &format!("{all}/acr-configuration-0"),
            Body::Apply(secret("acr-configuration-0", json!({}))),
        ),
        rbac(
            "make a cache in a tenant's namespace",
            "PATCH",
            &format!("{all}/acr-credential-cache"),
            Body::Apply(secret("acr-credential-cache", json!({}))),
        ),
    ]
}

/// Returns attacks that create a Secret of our name that is not ours.
pub fn made_secrets() -> Vec<Attack> {
    let make = |what, words, change| {
        let barrier = Barrier::Policy(SECRETS, words);
        attack(what, barrier, "PATCH", &ours("elsewhere"), Body::Apply(secret(SECRET, change)))
    };
    let owner = |blocks: bool| {
        json!({ "metadata": { "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "x",
            "uid": "00000000-0000-0000-0000-000000000001", "blockOwnerDeletion": blocks }] } })
    };
    let token = json!({ "type": "kubernetes.io/service-account-token", "data": { ".dockerconfigjson": null },
        "metadata": { "annotations": { "kubernetes.io/service-account.name": "default" } } });
    let mut made = vec![
        make("have the cluster fill a Secret with a token", "have the type", token.clone()),
        make("make an opaque Secret", "have the type", json!({ "type": "Opaque" })),
        make(
            "make a bootstrap token",
            "have the type",
            json!({ "type": "bootstrap.kubernetes.io/token",
            "data": { "token-id": "YWJjZGVm", "token-secret": "MDEyMzQ1Njc4OWFiY2RlZg==" } }),
        ),
        make("make a Secret without our label", "carry its label", json!({ "metadata": { "labels": null } })),
        make(
            "make a Secret with another's label",
            "carry its label",
            json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": "Helm" } } }),
        ),
        make("add a key", "and nothing else", json!({ "data": { "more": "eA==" } })),
        make("add a key as text", "and nothing else", json!({ "stringData": { "more": "x" } })),
        make(
            "add a finalizer",
            "no finalizers",
            json!({ "metadata": { "finalizers": ["a.example.com/b"] } }),
        ),
        make("add an owner", "no owners", owner(false)),
        make("add an owner that it would block", "no owners", owner(true)),
        make("make a Secret that cannot be refreshed", "are not immutable", json!({ "immutable": true })),
        make(
            "have a replicator copy another Secret into ours",
            "annotations that no exception allows: replicator.v1.mittwald.de/replicate-from",
            json!({ "metadata": { "annotations": { "replicator.v1.mittwald.de/replicate-from": "kube-system/bound" } } }),
        ),
        make(
            "have a reflector copy another Secret into ours",
            "annotations that no exception allows: reflector.v1.k8s.emberstack.com/reflects",
            json!({ "metadata": { "annotations": { "reflector.v1.k8s.emberstack.com/reflects": "kube-system/bound" } } }),
        ),
        make(
            "have ours copied elsewhere by label",
            "labels that no exception allows: kubed.appscode.com/sync",
            json!({ "metadata": { "labels": { "kubed.appscode.com/sync": "" } } }),
        ),
        make(
            "pass for another tool's Secret",
            "labels that no exception allows: argocd.argoproj.io/secret-type",
            json!({ "metadata": { "labels": { "argocd.argoproj.io/secret-type": "repository" } } }),
        ),
    ];
    let barrier = Barrier::Policy(SECRETS, "have the type");
    let key_pair = "/api/v1/namespaces/acr-credential-system/secrets/acr-configuration-7";
    made.push(attack(
        "have the cluster fill a key pair with a token",
        barrier,
        "PATCH",
        key_pair,
        Body::Apply(secret("acr-configuration-7", token)),
    ));
    made
}

/// Returns attacks that change existing Secrets.
pub fn existing_secrets() -> Vec<Attack> {
    let patch =
        |what, words, body| attack(what, Barrier::Policy(SECRETS, words), "PATCH", &ours("victim"), body);
    let home = |what, words, name: &str, body| {
        let path = format!("/api/v1/namespaces/acr-credential-system/secrets/{name}");
        attack(what, Barrier::Policy(SECRETS, words), "PATCH", &path, body)
    };
    let blocked = || json!({ "metadata": { "finalizers": ["a.example.com/b"] } });
    vec![
        patch("patch a finalizer in", "no finalizers", Body::Merge(blocked())),
        patch("patch a finalizer in, strategically", "no finalizers", Body::Strategic(blocked())),
        patch(
            "patch a key in",
            "and nothing else",
            Body::JsonPatch(json!([
            { "op": "add", "path": "/data/more", "value": "eA==" }])),
        ),
        patch("freeze ours", "are not immutable", Body::Merge(json!({ "immutable": true }))),
        patch(
            "take our label off",
            "carry its label",
            Body::Merge(json!({ "metadata": { "labels": null } })),
        ),
        patch(
            "take a user's label off",
            "labels removed: team",
            Body::Merge(json!({ "metadata": { "labels": { "team": null } } })),
        ),
        patch(
            "change a user's annotation",
            "annotations outside the policy's lists: note",
            Body::Merge(json!({ "metadata": { "annotations": { "note": "x" } } })),
        ),
        patch(
            "patch a copy order in",
            "annotations that no exception allows: replicator.v1.mittwald.de/replicate-from",
            Body::Merge(
                json!({ "metadata": { "annotations": { "replicator.v1.mittwald.de/replicate-from": "a/b" } } }),
            ),
        ),
        attack(
            "delete a user's own Secret of our name",
            Barrier::Policy(SECRETS, "only the Secret that it created"),
            "DELETE",
            &ours("owner"),
            Body::None,
        ),
        home(
            "block its namespace by the cache",
            "no finalizers",
            "acr-credential-cache",
            Body::Merge(blocked()),
        ),
        home(
            "keep more in the cache",
            "and nothing else",
            "acr-credential-cache",
            Body::Merge(json!({ "data": { "more": "eA==" } })),
        ),
        home(
            "keep more in a shard of the cache",
            "and nothing else",
            "acr-credential-cache-7",
            Body::Apply(secret("acr-credential-cache-7", json!({ "type": "Opaque" }))),
        ),
        home(
            "keep more in a key pair",
            "and nothing else",
            "acr-configuration-0",
            Body::Apply(secret("acr-configuration-0", json!({ "type": "Opaque" }))),
        ),
    ]
}

/// Returns attacks that more RBAC than ours would open, if an administrator granted it: all Secrets of one
/// namespace.
pub fn if_rbac_were_wide() -> Vec<Attack> {
    let all = "/api/v1/namespaces/wide/secrets";
    let deny = |what, words, method, path: &str, body| {
        attack(what, Barrier::Policy(SECRETS, words), method, path, body)
    };
    vec![
        deny(
            "post another Secret where RBAC lets it",
            "one Secret name",
            "POST",
            all,
            Body::Json(secret("evil", json!({}))),
        ),
        deny(
            "post a Secret with a generated name where RBAC lets it",
            "one Secret name",
            "POST",
            all,
            Body::Json(secret("", json!({ "metadata": { "name": null, "generateName": SECRET } }))),
        ),
        deny(
            "replace another Secret where RBAC lets it",
            "one Secret name",
            "PUT",
            &format!("{all}/other"),
            Body::Json(secret("other", json!({ "type": "Opaque" }))),
        ),
        deny("delete all Secrets where RBAC lets it", "one Secret name", "DELETE", all, Body::None),
        deny(
            "delete all Secrets of one name where RBAC lets it",
            "one Secret name",
            "DELETE",
            &format!("{all}?fieldSelector=metadata.name%3Dother"),
            Body::None,
        ),
    ]
}
