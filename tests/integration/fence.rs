//! Rights: what the controller may do, tried with its own token.

use acr_lab::plane::Options;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::harness::{CONTROLLER, Lab, NAMESPACE, SECRET, spec};

fn refused<T>(what: &str, result: kube::Result<T>) {
    match result {
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422) => {}
        Err(error) => panic!("{what}: {error}"),
        Ok(_) => panic!("{what} was let through"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_reads_and_makes_no_other_secret() {
    let lab = Lab::start().await;
    lab.create_namespace("victim").await;
    lab.bind("victim", spec(&["victim"])).await;
    lab.until_ready_is("victim", "True", "Succeeded").await;
    lab.until_fenced().await;
    lab.controller.terminate(std::time::Duration::from_secs(20)).await.unwrap();
    lab.create_namespace("elsewhere").await;
    let thief = lab.plane.service_account_client(NAMESPACE, CONTROLLER).await.unwrap();
    let all: Api<Secret> = Api::all(thief.clone());
    refused("a list of all Secrets", all.list(&ListParams::default()).await);
    let named = ListParams::default().fields(&format!("metadata.name={SECRET}"));
    assert_eq!(all.list(&named).await.unwrap().items.len(), 1);
    let own: Api<Secret> = Api::namespaced(thief.clone(), NAMESPACE);
    refused("another Secret of its own namespace", own.get("other").await);
    let there: Api<Secret> = Api::namespaced(thief.clone(), "elsewhere");
    let apply = PatchParams::apply("thief").force();
    let secret = |type_: &str, metadata: serde_json::Value, data: serde_json::Value| {
        let mut object = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SECRET,
            "labels": { "app.kubernetes.io/managed-by": CONTROLLER } }, "type": type_, "data": data });
        let target = object["metadata"].as_object_mut().unwrap();
        target.extend(metadata.as_object().unwrap().clone());
        object
    };
    let docker = json!({ ".dockerconfigjson": "e30=" });
    let kind = "kubernetes.io/dockerconfigjson";
    let token = secret(
        "kubernetes.io/service-account-token",
        json!({ "annotations": { "kubernetes.io/service-account.name": "default" } }),
        json!({}),
    );
    let attacks = [
        ("a token Secret", token),
        ("an opaque Secret", secret("Opaque", json!({}), docker.clone())),
        ("a Secret without our label", secret(kind, json!({ "labels": {} }), docker.clone())),
        ("a second key", secret(kind, json!({}), json!({ ".dockerconfigjson": "e30=", "more": "eA==" }))),
        ("a finalizer", secret(kind, json!({ "finalizers": ["a.example.com/b"] }), docker.clone())),
        (
            "an owner",
            secret(
                kind,
                json!({ "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x" }] }),
                docker.clone(),
            ),
        ),
    ];
    for (what, object) in attacks {
        refused(what, there.patch(SECRET, &apply, &Patch::Apply(&object)).await);
    }
    assert!(
        there.patch(SECRET, &apply, &Patch::Apply(&secret(kind, json!({}), docker))).await.is_ok(),
        "its job is let through"
    );
    refused("a delete of many", all.delete_collection(&DeleteParams::default(), &named).await);

    let accounts: Api<ServiceAccount> = Api::namespaced(thief, "victim");
    for (what, patch) in [
        ("another's entry", json!({ "imagePullSecrets": [{ "name": SECRET }, { "name": "evil" }] })),
        (
            "an annotation",
            json!({ "metadata": { "annotations": { "pod-identity.alibabacloud.com/role-name": "admin" } } }),
        ),
        ("a label", json!({ "metadata": { "labels": { "a": "b" } } })),
        ("a mounted secret", json!({ "secrets": [{ "name": "evil" }] })),
    ] {
        refused(what, accounts.patch("default", &PatchParams::default(), &Patch::Merge(&patch)).await);
    }
    let object = serde_json::from_value(json!({ "metadata": { "name": "evil" } })).unwrap();
    refused("a new ServiceAccount", accounts.create(&PostParams::default(), &object).await);

    // Everybody else still works.
    let mine: Api<Secret> = lab.namespaced("elsewhere");
    let object =
        serde_json::from_value(json!({ "metadata": { "name": "mine" }, "stringData": { "a": "b" } }))
            .unwrap();
    mine.create(&PostParams::default(), &object).await.unwrap();
    lab.plane.kubectl_ok(&["delete", "namespace", "elsewhere", "--timeout=20s"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_fence_is_told_and_a_new_one_is_noticed() {
    let lab = Lab::start_without(&["deploy/policies.yaml"], Options::default()).await;
    lab.create_namespace("unfenced").await;
    lab.bind("unfenced", spec(&["unfenced"])).await;
    lab.until_ready_is("unfenced", "True", "Succeeded").await;
    lab.until("the condition says so", async || {
        lab.condition("unfenced", "Fenced").await.is_some_and(|(status, reason, message)| {
            (status.as_str(), reason.as_str()) == ("False", "PoliciesMissing")
                && message.contains("deploy/policies.yaml")
        })
    })
    .await;
    assert!(lab.controller.metrics().await.unwrap().contains("acr_admission_policies_standing 0"));
    assert!(lab.controller.log().contains("no ValidatingAdmissionPolicy fences this controller"));
}
