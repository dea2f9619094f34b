//! The exceptions of the policies: what each permits, and nothing else; and the controller where another admission
//! controller adds to what it writes.

mod served;

use std::time::{Duration, Instant};

use acr_lab::plane::{Options, Plane, ReusedPlane};
use serde_json::{Value, json};

use crate::caller::{Body, Call, Caller};
use crate::harness::{CONTROLLER, NAMESPACE, SECRET, installed_without};

pub const SECRETS: &str = "acr-credential-secrets";
pub const ACCOUNTS: &str = "acr-credential-serviceaccounts";

const ACCOUNT: &str = "/api/v1/namespaces/shop/serviceaccounts/old";

/// Replaces lists of a policy's exceptions, by the names of their variables.
pub async fn set_exceptions(plane: &Plane, policy: &str, lists: &[(&str, &[&str])]) {
    let read = plane.kubectl_ok(&["get", "validatingadmissionpolicy", policy, "-o", "json"]).await.unwrap();
    let read: Value = serde_json::from_str(&read).unwrap();
    let variables = read["spec"]["variables"].as_array().unwrap();
    let replace = |(name, items): &(&str, &[&str])| {
        let index = variables.iter().position(|variable| variable["name"] == *name).unwrap();
        // JSON's quotes are CEL's, too.
        json!({ "op": "replace", "path": format!("/spec/variables/{index}/expression"), "value": json!(items).to_string() })
    };
    let patch = Value::from(lists.iter().map(replace).collect::<Vec<_>>()).to_string();
    let patch = ["patch", "validatingadmissionpolicy", policy, "--type=json", "-p", &patch];
    plane.kubectl_ok(&patch).await.unwrap();
}

/// A write with the controller's token, and the policy's words that refuse it; none if it is allowed.
type Case<'a> = (&'a str, Call, Option<&'a str>);

/// A cluster with the policies, what the controller serves in it, and the controller's token.
struct Installed {
    plane: ReusedPlane,
    controller: Caller,
}

fn ours(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets/{name}")
}

fn merge(path: &str, change: Value) -> Call {
    Call::new("PATCH", path, Body::Merge(change))
}

fn secret(metadata: Value) -> Call {
    merge(&ours("shop", SECRET), json!({ "metadata": metadata }))
}

fn account(metadata: Value) -> Call {
    merge(ACCOUNT, json!({ "metadata": metadata }))
}

fn pull_secrets(names: &[&str]) -> Call {
    let entries: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
    merge(ACCOUNT, json!({ "imagePullSecrets": entries }))
}

/// Returns the first write of our Secret in a namespace.
fn create(namespace: &str, labels: Value, annotations: Value) -> Call {
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": SECRET, "labels": labels, "annotations": annotations },
        "type": "kubernetes.io/dockerconfigjson",
        "data": { ".dockerconfigjson": "e30=" },
    });
    object["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!(CONTROLLER);
    Call::new("PATCH", ours(namespace, SECRET), Body::Apply(object))
}

impl Installed {
    async fn start() -> Self {
        let plane = installed_without(&[], Options::default()).await;
        let ours = |namespace: &str, name: &str, kind: &str| {
            json!({ "apiVersion": "v1", "kind": "Secret", "type": kind,
                "metadata": { "name": name, "namespace": namespace,
                    "labels": { "app.kubernetes.io/managed-by": CONTROLLER, "theirs": "a" },
                    "annotations": { "theirs": "a", "acrcredential.dev/registries": "{}" } } })
        };
        let with = |mut object: Value, key: &str| {
            object["data"] = json!({ key: "e30=" });
            object
        };
        let pull = "kubernetes.io/dockerconfigjson";
        let mut copied = with(ours("other", SECRET, pull), ".dockerconfigjson");
        copied["metadata"]["annotations"]["acrcredential.dev/namespace"] = json!("shop");
        let items = json!([
            { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } },
            { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "other" } },
            with(ours("shop", SECRET, pull), ".dockerconfigjson"),
            with(ours(NAMESPACE, SECRET, pull), ".dockerconfigjson"),
            with(ours(NAMESPACE, "acr-credential-cache", "Opaque"), "tokens.json"),
            copied,
            { "apiVersion": "v1", "kind": "ServiceAccount", "imagePullSecrets": [{ "name": "a" }, { "name": "b" }],
              "metadata": { "name": "old", "namespace": "shop", "labels": { "theirs": "a" }, "annotations": { "theirs": "a" } } },
            { "apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": false,
              "metadata": { "name": "quiet", "namespace": "shop" } },
        ]);
        plane
            .apply(&json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string())
            .await
            .unwrap();
        let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await.unwrap();
        let installed = Self { plane, controller: Caller::new(&kubeconfig) };
        let refused =
            (account(json!({ "labels": { "new": "a" } })), "labels outside the policy's lists: new");
        installed.until(&refused.0, Some(refused.1)).await;
        let refused = (secret(json!({ "labels": { "new": "a" } })), "labels outside the policy's lists: new");
        installed.until(&refused.0, Some(refused.1)).await;
        installed
    }

    /// Waits until a version of a policy is in force.
    async fn until(&self, call: &Call, words: Option<&str>) {
        let end = Instant::now() + Duration::from_secs(30);
        while let Some(fault) = self.fault(call, words).await {
            assert!(Instant::now() < end, "{fault}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns what is wrong with the answer to a dry run, if anything is.
    async fn fault(&self, call: &Call, words: Option<&str>) -> Option<String> {
        let (code, said) = self.controller.send(call, true).await;
        let right = match words {
            None => code < 300,
            Some(words) => {
                matches!(code, 403 | 422)
                    && said.contains("ValidatingAdmissionPolicy 'acr-credential-")
                    && said.ends_with(&format!(" denied request: {words}"))
            }
        };
        let expected = words.unwrap_or("allowed");
        (!right).then(|| format!("should be: {expected}\n     but: {code} {said}"))
    }

    async fn check(&self, cases: &[Case<'_>]) {
        let mut faults = Vec::new();
        for (what, call, words) in cases {
            faults.extend(self.fault(call, *words).await.map(|fault| format!("{what}: {fault}")));
        }
        assert!(faults.is_empty(), "of {} cases:\n{}", cases.len(), faults.join("\n"));
    }
}

/// What the policies refuse while every list is empty, and the names in their messages.
#[tokio::test(flavor = "multi_thread")]
async fn without_exceptions_a_refusal_names_the_keys_and_never_a_value() {
    let installed = Installed::start().await;
    let long = format!("{}.example.com/{}", "a".repeat(60), "k".repeat(50));
    let cut = format!("labels outside the policy's lists: {}", &long[..100]);
    let many: Value = (0..12)
        .rev()
        .map(|i| (format!("k{i:02}"), json!("hidden")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let ten =
        "annotations outside the policy's lists: k00, k01, k02, k03, k04, k05, k06, k07, k08, k09 and 2 more";
    let crowd: Value =
        (0..300).map(|i| (format!("k{i}"), json!("hidden"))).collect::<serde_json::Map<_, _>>().into();
    let cases: Vec<Case<'_>> = vec![
        ("no change", secret(json!({})), None),
        (
            "an own annotation",
            secret(json!({ "annotations": { "acrcredential.dev/registries": "x" } })),
            None,
        ),
        (
            "an own annotation goes",
            secret(json!({ "annotations": { "acrcredential.dev/registries": null } })),
            None,
        ),
        (
            "an own label",
            secret(json!({ "labels": { "images.alibabacloud.com/accelerated": "true" } })),
            None,
        ),
        (
            "two labels, in their order",
            secret(json!({ "labels": { "b": "hidden", "a": "hidden" } })),
            Some("labels outside the policy's lists: a, b"),
        ),
        (
            "a label that others set",
            secret(json!({ "labels": { "theirs": "b" } })),
            Some("labels outside the policy's lists: theirs"),
        ),
        ("a long key", secret(json!({ "labels": { &long: "a" } })), Some(&cut)),
        ("twelve annotations", secret(json!({ "annotations": &many })), Some(ten)),
        ("a label goes", secret(json!({ "labels": { "theirs": null } })), Some("labels removed: theirs")),
        (
            "an annotation goes",
            secret(json!({ "annotations": { "theirs": null } })),
            Some("annotations removed: theirs"),
        ),
        (
            "a created Secret's label",
            create("other", json!({ "a": "b" }), json!({})),
            Some("labels outside the policy's lists: a"),
        ),
        (
            "a key of the fixed list before one outside the lists",
            secret(json!({ "labels": { "a": "b", "helm.sh/chart": "x" } })),
            Some("labels that no exception allows: helm.sh/chart"),
        ),
        ("a ServiceAccount's twelve annotations", account(json!({ "annotations": &many })), Some(ten)),
        (
            "a ServiceAccount's label goes",
            account(json!({ "labels": { "theirs": null } })),
            Some("labels removed: theirs"),
        ),
        (
            "a ServiceAccount's annotation goes",
            account(json!({ "annotations": null })),
            Some("annotations removed: theirs"),
        ),
        ("our entry", pull_secrets(&["a", "b", SECRET]), None),
        (
            "others' pull secrets",
            pull_secrets(&["y", "a", "x", "b", SECRET]),
            Some("pull secrets outside the policy's lists: x, y"),
        ),
        (
            "an automount",
            merge(ACCOUNT, json!({ "automountServiceAccountToken": false })),
            Some("fields outside the policy's lists: automountServiceAccountToken"),
        ),
        (
            "fields that others own",
            merge(
                ACCOUNT,
                json!({ "secrets": [{ "name": "x" }], "metadata": { "finalizers": ["a.example.com/b"] } }),
            ),
            Some("fields that no exception allows: finalizers, secrets"),
        ),
        // The mark of the namespace.
        ("the own mark", secret(json!({ "annotations": { "acrcredential.dev/namespace": "shop" } })), None),
        (
            "another namespace's mark",
            secret(json!({ "annotations": { "acrcredential.dev/namespace": "other" } })),
            Some("the annotation acrcredential.dev/namespace names the Secret's own namespace"),
        ),
        (
            "a copy is refreshed and gets its own mark",
            merge(
                &ours("other", SECRET),
                json!({ "metadata": { "annotations": { "acrcredential.dev/namespace": "other" } } }),
            ),
            None,
        ),
        (
            "a copy is refreshed with its mark",
            merge(&ours("other", SECRET), json!({ "data": { ".dockerconfigjson": "e30K" } })),
            None,
        ),
        (
            "a copy is deleted",
            Call::new("DELETE", ours("other", SECRET), Body::None),
            Some(
                "the controller deletes only the Secret that it created, in the namespace for which it created it",
            ),
        ),
        ("our Secret is deleted", Call::new("DELETE", ours("shop", SECRET), Body::None), None),
    ];
    installed.check(&cases).await;
    // Of very many keys, any ten are named.
    let (_, said) = installed.controller.send(&secret(json!({ "labels": crowd })), true).await;
    assert!(said.ends_with(" and 290 more") && said.len() < 1500 && !said.contains("hidden"), "{said}");
}

/// Exceptions of each form, and beside them those that must have no effect.
#[tokio::test(flavor = "multi_thread")]
async fn an_exception_permits_exactly_what_it_names() {
    let installed = Installed::start().await;
    // What the fixed list refuses, and wildcards beyond one domain, have no effect.
    let keys = [
        "cost-center=retail",
        "team",
        "example.com/*",
        "note=a=b",
        "theirs",
        "*",
        "*/*",
        "/*",
        "*=*",
        "x*",
        "=",
        "",
        "helm.sh/*",
        "helm.sh/chart",
        "argocd.argoproj.io/instance=x",
        "x.argocd.argoproj.io/*",
        "app.kubernetes.io/*",
        "app.kubernetes.io/instance",
        "eks.amazonaws.com/role-arn",
        "acrcredential.dev/*",
        "acrcredential.dev/skip=true",
        "app.kubernetes.io/managed-by",
        "acrcredential.dev/namespace",
        "EKS.amazonaws.com/*",
        "kubernetes.io/*",
    ];
    let fields = [
        "automountServiceAccountToken=false",
        "automountServiceAccountToken=true",
        "automountServiceAccountToken",
        "secrets",
        "finalizers",
    ];
    set_exceptions(&installed.plane, SECRETS, &[("allowedLabels", &keys), ("allowedAnnotations", &keys)])
        .await;
    let accounts: [(&str, &[&str]); 4] = [
        ("allowedLabels", &keys),
        ("allowedAnnotations", &keys),
        ("allowedFields", &fields),
        ("allowedPullSecrets", &["harbor", "quay", "*", ""]),
    ];
    set_exceptions(&installed.plane, ACCOUNTS, &accounts).await;
    installed.until(&secret(json!({ "labels": { "team": "a" } })), None).await;
    installed.until(&account(json!({ "labels": { "team": "a" } })), None).await;

    let mut cases: Vec<Case<'_>> = Vec::new();
    for (kind, write) in [("Secret", secret as fn(Value) -> Call), ("ServiceAccount", account)] {
        for (key, value, words) in [
            ("cost-center", "retail", None),
            ("cost-center", "wholesale", Some("labels outside the policy's lists: cost-center")),
            ("cost-center", "", Some("labels outside the policy's lists: cost-center")),
            ("Cost-Center", "retail", Some("labels outside the policy's lists: Cost-Center")),
            ("cost-center2", "retail", Some("labels outside the policy's lists: cost-center2")),
            ("team", "anything", None),
            ("team2", "anything", Some("labels outside the policy's lists: team2")),
            ("theirs", "b", None),
            ("example.com/any", "b", None),
            ("example.com", "b", Some("labels outside the policy's lists: example.com")),
            ("x.example.com/any", "b", Some("labels outside the policy's lists: x.example.com/any")),
            ("xexample.com/any", "b", Some("labels outside the policy's lists: xexample.com/any")),
            ("example.com.x/any", "b", Some("labels outside the policy's lists: example.com.x/any")),
            ("x", "b", Some("labels outside the policy's lists: x")),
            ("xy", "b", Some("labels outside the policy's lists: xy")),
            ("app.kubernetes.io/part-of", "b", None),
            (
                "app.kubernetes.io/instance",
                "b",
                Some("labels that no exception allows: app.kubernetes.io/instance"),
            ),
            ("helm.sh/chart", "b", Some("labels that no exception allows: helm.sh/chart")),
            ("x.helm.sh/chart", "b", Some("labels that no exception allows: x.helm.sh/chart")),
            ("xhelm.sh/chart", "b", Some("labels outside the policy's lists: xhelm.sh/chart")),
            (
                "argocd.argoproj.io/instance",
                "x",
                Some("labels that no exception allows: argocd.argoproj.io/instance"),
            ),
            ("x.argocd.argoproj.io/a", "x", Some("labels that no exception allows: x.argocd.argoproj.io/a")),
            (
                "acrcredential.dev/skip",
                "true",
                Some("labels that no exception allows: acrcredential.dev/skip"),
            ),
            ("x.acrcredential.dev/a", "x", Some("labels that no exception allows: x.acrcredential.dev/a")),
            (
                "kubernetes.io/cluster-service",
                "true",
                Some("labels that no exception allows: kubernetes.io/cluster-service"),
            ),
            ("kubernetes.io/other", "true", None),
        ] {
            cases.push((kind, write(json!({ "labels": { key: value } })), words));
        }
        for (key, value, words) in [
            ("note", "a=b", None),
            ("note", "a", Some("annotations outside the policy's lists: note")),
            ("note", "a=b=c", Some("annotations outside the policy's lists: note")),
            ("cost-center", "retail", None),
            (
                "eks.amazonaws.com/role-arn",
                "x",
                Some("annotations that no exception allows: eks.amazonaws.com/role-arn"),
            ),
            // The API server compares the keys of annotations without regard to case.
            (
                "EKS.amazonaws.com/role-arn",
                "x",
                Some("annotations that no exception allows: EKS.amazonaws.com/role-arn"),
            ),
            ("Example.com/any", "x", Some("annotations outside the policy's lists: Example.com/any")),
            (
                "kubernetes.io/service-account.name",
                "x",
                Some("annotations that no exception allows: kubernetes.io/service-account.name"),
            ),
        ] {
            cases.push((kind, write(json!({ "annotations": { key: value } })), words));
        }
        cases.extend([
            (kind, write(json!({ "labels": { "theirs": null } })), Some("labels removed: theirs")),
            (kind, write(json!({ "annotations": { "theirs": null } })), Some("annotations removed: theirs")),
            (
                kind,
                write(json!({ "finalizers": ["a.example.com/b"] })),
                Some(if kind == "Secret" {
                    "the controller's Secrets have no owners and no finalizers"
                } else {
                    "fields that no exception allows: finalizers"
                }),
            ),
        ]);
    }
    let other_mark = secret(json!({ "annotations": { "acrcredential.dev/namespace": "other" } }));
    let managed = secret(json!({ "labels": { "app.kubernetes.io/managed-by": "Helm" } }));
    let account_managed = account(json!({ "labels": { "app.kubernetes.io/managed-by": "Helm" } }));
    let quiet = "/api/v1/namespaces/shop/serviceaccounts/quiet";
    let home = |name: &str, metadata: Value| merge(&ours(NAMESPACE, name), json!({ "metadata": metadata }));
    let label = json!({ "labels": { "cost-center": "retail" } });
    let annotation = json!({ "annotations": { "cost-center": "retail" } });
    let automount = |path: &str, value: Value| merge(path, json!({ "automountServiceAccountToken": value }));
    let own_entry = Some("the controller adds and removes its own entry of imagePullSecrets only");
    cases.extend([
        (
            "created",
            create("shop", json!({ "cost-center": "retail", "team": "a" }), json!({ "example.com/a": "b" })),
            None,
        ),
        (
            "mark",
            other_mark,
            Some("the annotation acrcredential.dev/namespace names the Secret's own namespace"),
        ),
        ("own label", managed, Some("the controller's Secrets carry its label")),
        (
            "another tool's label",
            account_managed,
            Some("labels that no exception allows: app.kubernetes.io/managed-by"),
        ),
        // The controller's own namespace.
        (
            "cache",
            home("acr-credential-cache", label.clone()),
            Some("labels that no exception allows: cost-center"),
        ),
        (
            "cache",
            home("acr-credential-cache", annotation.clone()),
            Some("annotations that no exception allows: cost-center"),
        ),
        ("home", home(SECRET, label), Some("labels that no exception allows: cost-center")),
        ("home", home(SECRET, annotation), Some("annotations that no exception allows: cost-center")),
        ("home, unchanged", home(SECRET, json!({ "labels": { "theirs": "a" } })), None),
        // Fields and pull secrets.
        ("automount false", automount(ACCOUNT, json!(false)), None),
        ("automount true, as before by default", automount(ACCOUNT, json!(true)), None),
        (
            "automount true",
            automount(quiet, json!(true)),
            Some("fields that no exception allows: automountServiceAccountToken"),
        ),
        (
            "automount gone",
            automount(quiet, json!(null)),
            Some("fields that no exception allows: automountServiceAccountToken"),
        ),
        (
            "secrets",
            merge(ACCOUNT, json!({ "secrets": [{ "name": "x" }] })),
            Some("fields that no exception allows: secrets"),
        ),
        ("theirs and ours", pull_secrets(&["harbor", "a", "quay", "b", SECRET]), None),
        (
            "another's",
            pull_secrets(&["a", "b", "harbor", "ghcr"]),
            Some("pull secrets outside the policy's lists: ghcr"),
        ),
        ("one goes", pull_secrets(&["a", "harbor", SECRET]), own_entry),
        ("another order", pull_secrets(&["b", "harbor", "a", SECRET]), own_entry),
        ("twice", pull_secrets(&["a", "b", "harbor", "harbor"]), own_entry),
        (
            "ours twice",
            pull_secrets(&["a", "b", SECRET, SECRET]),
            Some("the controller adds its entry of imagePullSecrets once"),
        ),
    ]);
    installed.check(&cases).await;
}
