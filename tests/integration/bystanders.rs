//! Other users, tools and controllers work as without our policies. Each restriction applies only to those it
//! names.

use acr_lab::plane::{Options, Plane};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::caller::{Body, Call, Caller};
use crate::harness::{CONTROLLER, DOMAIN, Lab, NAMESPACE, SECRET, root, spec};

/// Returns a control plane whose controllers run as their own accounts, as in most clusters, which proves the
/// exemptions.
fn as_themselves() -> Options {
    Options { controllers_as_themselves: true, ..Options::default() }
}

/// Creates an account with the rules of a ClusterRole, in one namespace or in all, and returns it as a
/// caller.
async fn account(plane: &Plane, name: &str, role: &str, within: Option<&str>) -> Caller {
    let (namespace, name) = name.split_once('/').unwrap();
    let (kind, place) = match within {
        Some(within) => ("RoleBinding", format!("{name}\", \"namespace\": \"{within}")),
        None => ("ClusterRoleBinding", name.to_owned()),
    };
    let manifest = format!(
        r#"{{"apiVersion": "v1", "kind": "List", "items": [
            {{"apiVersion": "v1", "kind": "Namespace", "metadata": {{"name": "{namespace}"}}}},
            {{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {{"name": "{name}", "namespace": "{namespace}"}}}},
            {{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "{kind}", "metadata": {{"name": "{place}"}},
              "roleRef": {{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "{role}"}},
              "subjects": [{{"kind": "ServiceAccount", "name": "{name}", "namespace": "{namespace}"}}]}}]}}"#
    );
    plane.apply(&manifest).await.unwrap();
    Caller::new(&plane.service_account_kubeconfig(namespace, name).await.unwrap())
}

fn secrets(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets")
}

fn secret(name: &str, rest: Value) -> Value {
    let mut object = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name } });
    for (key, value) in rest.as_object().unwrap() {
        object[key] = value.clone();
    }
    object["metadata"]["name"] = json!(name);
    object
}

/// Checks that each request is allowed, first as a dry run and then for real. Fails at the first that is not.
async fn all_pass(who: &str, caller: &Caller, calls: Vec<Call>) {
    let mut failures = Vec::new();
    for call in calls {
        for dry_run in [true, false] {
            let (code, said) = caller.send(&call, dry_run).await;
            if code >= 300 {
                failures.push(format!("{who}, dry run {dry_run}: {call:?} was answered {code} {said}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Checks that a policy refuses each request, in these words.
async fn all_refused(who: &str, caller: &Caller, words: &str, calls: Vec<Call>) {
    let mut failures = Vec::new();
    for call in calls {
        let (code, said) = caller.send(&call, false).await;
        if code < 400 || !said.contains("ValidatingAdmissionPolicy") || !said.contains(words) {
            failures.push(format!("{who}: {call:?} was answered {code} {said}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Returns requests of users for Secrets and ServiceAccounts that look like the controller's, but are not.
fn looks_like_ours(namespace: &str) -> Vec<Call> {
    let (all, ours) = (secrets(namespace), format!("{}/{SECRET}", secrets(namespace)));
    let account = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
    let odd = json!({ "type": "Opaque", "stringData": { "a": "b" }, "metadata": {
        "finalizers": ["example.com/mine"], "labels": { "app.kubernetes.io/managed-by": CONTROLLER },
        "annotations": { "replicator.v1.mittwald.de/replicate-from": "a/b" } } });
    let docker = json!({ "type": "kubernetes.io/dockerconfigjson", "data": { ".dockerconfigjson": "e30=" } });
    vec![
        Call::new("POST", &all, Body::Json(secret(SECRET, odd))),
        Call::new("PATCH", &ours, Body::Merge(json!({ "immutable": true }))),
        Call::new(
            "PATCH",
            &ours,
            Body::JsonPatch(json!([{ "op": "remove", "path": "/metadata/finalizers" }])),
        ),
        Call::new("DELETE", &ours, Body::None),
        Call::new("PATCH", &ours, Body::Apply(secret(SECRET, docker.clone()))),
        Call::new("PUT", &ours, Body::Json(secret(SECRET, docker.clone()))),
        Call::new("DELETE", format!("{all}?fieldSelector=metadata.name%3D{SECRET}"), Body::None),
        Call::new(
            "POST",
            &all,
            Body::Json(secret("acr-credential-cache", json!({ "stringData": { "a": "b" } }))),
        ),
        Call::new("POST", &all, Body::Json(secret("pulls", docker))),
        Call::new("DELETE", &all, Body::None),
        Call::new(
            "PATCH",
            &account,
            Body::Merge(json!({
            "metadata": { "labels": { "a": "b" }, "annotations": { "eks.amazonaws.com/role-arn": "r" } },
            "imagePullSecrets": [{ "name": "pulls" }, { "name": SECRET }, { "name": "more" }],
            "secrets": [{ "name": "pulls" }], "automountServiceAccountToken": false })),
        ),
        Call::new(
            "PATCH",
            &account,
            Body::Apply(json!({ "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": "default" }, "imagePullSecrets": [{ "name": "pulls" }] })),
        ),
        Call::new(
            "POST",
            format!("{account}/token"),
            Body::Json(json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": { "expirationSeconds": 7200 } })),
        ),
        Call::new(
            "POST",
            format!("/api/v1/namespaces/{namespace}/configmaps"),
            Body::Json(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "acr-credential-admission",
                "finalizers": [] } })),
        ),
        Call::new(
            "POST",
            format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"),
            Body::Json(json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": CONTROLLER } })),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn users_tools_and_the_clusters_own_controllers_work_as_without_our_policies() {
    let lab = Lab::start_without(&[], as_themselves()).await;
    for file in ["webhook", "stuck-pods", "admission"] {
        lab.plane.apply_file(root().join(format!("deploy/{file}.yaml"))).await.unwrap();
    }
    lab.until_policies_enforced().await;

    lab.create_namespace("team").await;
    let tenant = account(&lab.plane, "team/tenant", "admin", Some("team")).await;
    // Requests of a namespace's administrator in it; Leases are not among them.
    let calls = looks_like_ours("team").into_iter().filter(|call| !call.path.contains("leases")).collect();
    all_pass("a namespace's administrator", &tenant, calls).await;

    lab.create_namespace("site").await;
    let gitops = account(&lab.plane, "argocd/argocd-application-controller", "cluster-admin", None).await;
    let mut calls = looks_like_ours("site");
    let bindings = "/apis/acrcredential.dev/v1alpha1/acrcredentialbindings";
    let binding = json!({ "apiVersion": "acrcredential.dev/v1alpha1", "kind": "AcrCredentialBinding",
        "metadata": { "name": "theirs", "labels": { "argocd.argoproj.io/instance": "a" } }, "spec": spec(&["site"]) });
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "acr-configuration" },
        "data": { "acr-registry-info": "- instanceId: cri-demo0001\n", "watch-namespace": "nowhere" } });
    let hook = json!({ "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": "theirs" }, "webhooks": [] });
    calls.extend([
        Call::new("PATCH", format!("{bindings}/theirs"), Body::Apply(binding)),
        Call::new("PATCH", format!("{bindings}/theirs"), Body::Merge(json!({ "spec": { "suspend": true } }))),
        Call::new("DELETE", format!("{bindings}/theirs"), Body::None),
        Call::new("PATCH", "/api/v1/namespaces/kube-system/configmaps/acr-configuration", Body::Apply(map)),
        Call::new(
            "POST",
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
            Body::Json(hook),
        ),
        // cert-manager and others write Secrets into our namespace too.
        Call::new(
            "POST",
            secrets(NAMESPACE),
            Body::Json(secret(
                "acr-credential-webhook",
                json!({
            "type": "Opaque", "stringData": { "tls.key": "k" } }),
            )),
        ),
        Call::new("DELETE", format!("{}/acr-credential-webhook", secrets(NAMESPACE)), Body::None),
    ]);
    all_pass("a GitOps tool", &gitops, calls).await;

    // The documented component: one account in kube-system that may write every Secret and ServiceAccount.
    lab.create_namespace("legacy").await;
    let component =
        account(&lab.plane, "kube-system/aliyun-acr-credential-helper", "cluster-admin", None).await;
    all_pass("the documented component", &component, looks_like_ours("legacy")).await;

    the_clusters_controllers(&lab).await;
}

/// Checks that the token controller fills, the garbage collector deletes, and the namespace controller
/// empties, each as itself.
async fn the_clusters_controllers(lab: &Lab) {
    lab.create_namespace("owned").await;
    lab.bind("owned", spec(&["owned"])).await;
    lab.until_served("owned", DOMAIN).await;
    lab.plane
        .apply(
            r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": "owned"}},
            {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token", "metadata": {"name": "token",
              "namespace": "owned", "annotations": {"kubernetes.io/service-account.name": "default"}}}]}"#,
        )
        .await
        .unwrap();
    let owned: Api<Secret> = lab.namespaced("owned");
    lab.until("the token controller fills a Secret", async || {
        owned.get("token").await.unwrap().data.is_some_and(|data| data.contains_key("token"))
    })
    .await;
    let owner =
        lab.plane.kubectl_ok(&["get", "configmap", "owner", "-n", "owned", "-o", "jsonpath={.metadata.uid}"]);
    let reference =
        json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.await.unwrap() }]);
    let patch = json!({ "metadata": { "ownerReferences": reference } });
    owned.patch("token", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    lab.plane.kubectl_ok(&["delete", "configmap", "owner", "-n", "owned"]).await.unwrap();
    lab.until("the garbage collector takes it", async || owned.get_opt("token").await.unwrap().is_none())
        .await;
    lab.plane.kubectl_ok(&["delete", "namespace", "owned", "--timeout=30s"]).await.unwrap();
    let events = lab.plane.audit().since(acr_lab::plane::Mark::default()).unwrap();
    for (who, verb) in [("generic-garbage-collector", "delete"), ("namespace-controller", "deletecollection")]
    {
        let done = events.by_service_account("kube-system", who).of("secrets");
        assert!(done.iter().any(|event| event.verb == verb && event.code == 200), "{who} ran as itself");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_converted_binding_is_edited_through_its_config_map_and_no_user_is_locked_out() {
    let lab = Lab::start().await;
    let admin = account(&lab.plane, "ops/administrator", "cluster-admin", None).await;
    let map = "/api/v1/namespaces/kube-system/configmaps/acr-configuration";
    lab.put_config_map(json!({ "acr-registry-info": "- instanceId: cri-demo0001\n" })).await;
    lab.until_ready_is("acr-configuration", "True", "Succeeded").await;
    lab.until_policies_enforced().await;
    let path = "/apis/acrcredential.dev/v1alpha1/acrcredentialbindings/acr-configuration";
    let edit = || {
        Call::new("PATCH", path, Body::Merge(json!({ "spec": { "watchNamespaces": { "names": ["*"] } } })))
    };
    lab.until("the policy is in force", async || admin.send(&edit(), true).await.0 >= 400).await;
    let apply = json!({ "apiVersion": "acrcredential.dev/v1alpha1", "kind": "AcrCredentialBinding",
        "metadata": { "name": "acr-configuration" }, "spec": spec(&["*"]) });
    let calls = vec![
        edit(),
        Call::new("PATCH", path, Body::Apply(apply)),
        Call::new(
            "PATCH",
            path,
            Body::Merge(json!({ "metadata": { "labels": { "acrcredential.dev/converted": null } } })),
        ),
    ];
    all_refused("an administrator", &admin, "the ConfigMap kube-system/acr-configuration", calls).await;
    let metadata = vec![
        Call::new(
            "PATCH",
            path,
            Body::Merge(json!({ "metadata": {
            "annotations": { "acrcredential.dev/refresh-at": "2026-01-01T00:00:00Z" }, "labels": { "team": "a" } } })),
        ),
        Call::new("PATCH", path, Body::Merge(json!({ "metadata": { "finalizers": null } }))),
    ];
    all_pass("an administrator", &admin, metadata).await;

    let graduate = json!({ "metadata": { "annotations": { "acrcredential.dev/authoritative": "false" } } });
    all_pass("an administrator", &admin, vec![Call::new("PATCH", map, Body::Merge(graduate))]).await;
    lab.until("the binding is its user's own", async || admin.send(&edit(), true).await.0 < 300).await;
    all_pass("an administrator", &admin, vec![edit(), Call::new("DELETE", path, Body::None)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_controller_writes_the_token_cache_and_it_goes_with_its_namespace() {
    let lab = Lab::start_without(&[], as_themselves()).await;
    lab.create_namespace("served").await;
    lab.bind("served", spec(&["served"])).await;
    lab.until_served("served", DOMAIN).await;
    lab.until("the tokens are kept", async || {
        lab.namespaced::<Secret>(NAMESPACE).get_opt("acr-credential-cache").await.unwrap().is_some()
    })
    .await;
    // The administrator may write every Secret of the namespace, but not delete the namespace.
    let neighbour = account(&lab.plane, "ops/neighbour", "admin", Some(NAMESPACE)).await;
    let admin = account(&lab.plane, "ops/administrator", "cluster-admin", None).await;
    let (all, cache) = (secrets(NAMESPACE), format!("{}/acr-credential-cache", secrets(NAMESPACE)));
    let poison = || json!({ "stringData": { "tokens.json": "{}" } });
    let write = || Call::new("PATCH", &cache, Body::Merge(poison()));
    lab.until("the policy is in force", async || neighbour.send(&write(), true).await.0 >= 400).await;
    let writes = || {
        vec![
            write(),
            Call::new("PUT", &cache, Body::Json(secret("acr-credential-cache", poison()))),
            Call::new("PATCH", &cache, Body::Apply(secret("acr-credential-cache", poison()))),
            Call::new("POST", &all, Body::Json(secret("acr-credential-cache-1", poison()))),
            Call::new("PATCH", format!("{cache}-7"), Body::Apply(secret("acr-credential-cache-7", poison()))),
            Call::new(
                "PATCH",
                &cache,
                Body::Merge(json!({ "metadata": { "finalizers": ["a.example.com/b"] } })),
            ),
        ]
    };
    let deletes = vec![
        Call::new("DELETE", &cache, Body::None),
        Call::new("DELETE", format!("{all}?fieldSelector=metadata.name%3Dacr-credential-cache"), Body::None),
    ];
    let words = "only the controller writes it";
    all_refused("a neighbour", &neighbour, words, writes().into_iter().chain(deletes).collect()).await;
    all_refused("an administrator", &admin, words, writes()).await;
    let mine = vec![
        Call::new("POST", &all, Body::Json(secret("mine", poison()))),
        Call::new("PATCH", format!("{all}/mine"), Body::Merge(poison())),
        Call::new("DELETE", format!("{all}/mine"), Body::None),
    ];
    all_pass("a neighbour", &neighbour, mine).await;
    // A user who may delete the namespace may delete it, but not create another in its place.
    all_pass("an administrator", &admin, vec![Call::new("DELETE", &cache, Body::None)]).await;
    let fake = Call::new("POST", &all, Body::Json(secret("acr-credential-cache", poison())));
    all_refused("an administrator", &admin, words, vec![fake]).await;

    // The namespace goes before the policies, deleted by an administrator who is not exempt.
    let cache = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "acr-credential-cache",
        "namespace": NAMESPACE, "labels": { "app.kubernetes.io/managed-by": CONTROLLER } } });
    lab.plane.apply(&cache.to_string()).await.unwrap();
    let namespace = Call::new("DELETE", format!("/api/v1/namespaces/{NAMESPACE}"), Body::None);
    all_pass("an administrator", &admin, vec![namespace]).await;
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    lab.until("the namespace is gone", async || namespaces.get_opt(NAMESPACE).await.unwrap().is_none()).await;
    // The rest goes in the order of its installation: the policies after the rights that they confine.
    for file in ["deploy/rbac.yaml", "deploy/policies.yaml"] {
        let file = root().join(file);
        lab.plane
            .kubectl_ok(&["delete", "--ignore-not-found", "--timeout=20s", "-f", file.to_str().unwrap()])
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespaces_administrator_cannot_edit_bindings_or_have_credentials_minted() {
    let lab = Lab::start().await;
    for namespace in ["served", "mine"] {
        lab.create_namespace(namespace).await;
    }
    lab.bind("served", spec(&["served"])).await;
    lab.until_served("served", DOMAIN).await;
    lab.until_policies_enforced().await;
    lab.until_settled().await;
    let tenant = account(&lab.plane, "mine/tenant", "admin", Some("mine")).await;
    lab.until_settled().await;
    let before = lab.cloud.calls().len();
    let bindings = "/apis/acrcredential.dev/v1alpha1/acrcredentialbindings";
    let binding = json!({ "apiVersion": "acrcredential.dev/v1alpha1", "kind": "AcrCredentialBinding",
        "metadata": { "name": "evil" }, "spec": spec(&["mine"]) });
    let refused = [
        Call::new("POST", bindings, Body::Json(binding)),
        Call::new(
            "PATCH",
            format!("{bindings}/served"),
            Body::Merge(json!({ "spec": { "watchNamespaces": { "names": ["mine"] } } })),
        ),
        Call::new(
            "PATCH",
            format!("{bindings}/served"),
            Body::Merge(json!({ "metadata": { "annotations": { "acrcredential.dev/refresh-at": "x" } } })),
        ),
        Call::new("PATCH", format!("{bindings}/served/status"), Body::Merge(json!({ "status": {} }))),
        Call::new("DELETE", format!("{bindings}/served"), Body::None),
        Call::new(
            "PATCH",
            "/api/v1/namespaces/mine",
            Body::Merge(json!({ "metadata": { "labels": { "acr": "on" } } })),
        ),
        Call::new("GET", format!("{}/acr-credential-cache", secrets(NAMESPACE)), Body::None),
        Call::new("GET", format!("{}/{SECRET}", secrets("served")), Body::None),
        Call::new(
            "POST",
            "/api/v1/namespaces/kube-system/configmaps",
            Body::Json(json!({ "apiVersion": "v1",
            "kind": "ConfigMap", "metadata": { "name": "acr-configuration" } })),
        ),
    ];
    for call in refused {
        let (code, said) = tenant.send(&call, false).await;
        assert_eq!(code, 403, "{call:?}: {said}");
    }
    // Objects that look like the controller's own, in a namespace that no binding covers.
    let config = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "acr-configuration" },
        "data": { "acr-registry-info": "- instanceId: cri-demo0001\n", "watch-namespace": "all" } });
    let lure = json!({ "type": "kubernetes.io/dockerconfigjson", "data": { ".dockerconfigjson": "e30=" }, "metadata": {
        "labels": { "app.kubernetes.io/managed-by": CONTROLLER }, "annotations": { "acrcredential.dev/adopt": "true" } } });
    let harmless = vec![
        Call::new("PATCH", "/api/v1/namespaces/mine/configmaps/acr-configuration", Body::Apply(config)),
        Call::new("PATCH", format!("{}/other", secrets("mine")), Body::Apply(secret("other", lure))),
        Call::new(
            "PATCH",
            "/api/v1/namespaces/mine/serviceaccounts/default",
            Body::Merge(json!({ "metadata": {
            "annotations": { "acrcredential.dev/refresh-at": "x" } }, "imagePullSecrets": [{ "name": "other" }] })),
        ),
    ];
    all_pass("a namespace's administrator", &tenant, harmless).await;
    lab.until_settled().await;
    assert_eq!(lab.cloud.calls().len(), before, "no credential is minted for the namespace");
    assert!(lab.secret("mine").await.is_none());
    assert_eq!(lab.pull_secrets("mine", "default").await, ["other"]);
}
