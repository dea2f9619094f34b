//! The webhook's rights, and the report when they are missing.

use std::time::{Duration, Instant};

use acr_lab::controller::ControllerOptions;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::replicas::Replicas;
use super::{
    NAME, PATIENCE, asking, configuration, created, grant, plane, until_asked, until_served_by_webhook,
};
use crate::harness::{CONTROLLER, NAMESPACE, root};

#[tokio::test(flavor = "multi_thread")]
async fn without_the_grant_the_condition_says_the_cure_and_the_loop_serves_and_a_grant_is_noticed() {
    let short = |_, options: ControllerOptions| options.arg("--webhook-lifetimes=10h,5h,12s");
    let Replicas { lab, .. } = &Replicas::start_on(plane().await, short).await;
    lab.create_namespace("waits").await;
    let mark = lab.mark();
    lab.bind("waits", asking(&["waits"], "Fail", 15)).await;
    lab.until("the condition says the cure", async || {
        lab.condition("waits", "AdmissionConfigured").await.is_some_and(|(status, _, message)| {
            let first = "apply deploy/webhook.yaml instead";
            let second =
                "this controller may not write the webhook's configuration: apply deploy/webhook.yaml";
            status == "False" && message.contains(first) && message.contains(second)
        })
    })
    .await;
    assert!(configuration(lab).await.is_none());
    created(&lab.client, "waits", "new").await.unwrap();
    lab.until_attached("waits", "new").await;
    // Each replica requests the certificate at growing intervals; the API server calls none before it has it.
    lab.until("each was refused some times", async || {
        let refused = lab.requests(mark).of("secrets").filter(|e| e.code == 403 && e.namespace == NAMESPACE);
        refused.len() >= 8
    })
    .await;
    grant(&lab.plane).await;
    lab.until("the others are waited for", async || {
        let said = lab.condition("waits", "AdmissionConfigured").await;
        said.is_some_and(|(.., message)| message.contains("every replica reads the certificate first"))
    })
    .await;
    assert!(configuration(lab).await.is_none());
    lab.until("the API server asks", async || configuration(lab).await.is_some()).await;
    for number in 0..200 {
        created(&lab.client, "waits", &format!("under-fail-{number}")).await.unwrap();
    }
    until_served_by_webhook(lab, "waits").await;
    until_asked(lab, "waits").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhooks_rights_allow_no_other_webhook() {
    let plane = plane().await;
    let text = root().join("deploy/webhook.yaml");
    plane.apply_file(text).await.unwrap();
    let thief = plane.service_account_client(NAMESPACE, CONTROLLER).await.unwrap();
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(thief);
    let webhook = |change: Value| {
        let mut webhook = json!({
            "name": "a.acrcredential.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": { "service": { "namespace": NAMESPACE, "name": NAME } },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["serviceaccounts"], "operations": ["CREATE"] }],
            "namespaceSelector": { "matchExpressions": [{
                "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", NAMESPACE],
            }] },
        });
        for (key, value) in change.as_object().unwrap() {
            webhook[key] = value.clone();
        }
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": NAME },
            "webhooks": [webhook],
        })
    };
    let dry = PatchParams { dry_run: true, ..PatchParams::apply("thief") };
    let apply = async |object: Value| configurations.patch(NAME, &dry, &Patch::Apply(&object)).await;
    let rule = |resources: Value, operations: Value| json!({ "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": resources, "operations": operations }] });
    let evil = [
        json!({ "clientConfig": { "url": "https://127.0.0.1:1/" } }),
        json!({ "clientConfig": { "service": { "namespace": "default", "name": NAME } } }),
        json!({ "clientConfig": { "service": { "namespace": NAMESPACE, "name": "other" } } }),
        rule(json!(["secrets"]), json!(["CREATE"])),
        rule(json!(["*"]), json!(["CREATE"])),
        rule(json!(["serviceaccounts", "pods"]), json!(["CREATE"])),
        rule(json!(["serviceaccounts"]), json!(["*"])),
        rule(json!(["serviceaccounts"]), json!(["DELETE"])),
        json!({ "namespaceSelector": {} }),
    ];
    // The policies take a moment to be enforced.
    let end = Instant::now() + PATIENCE;
    while apply(webhook(evil[0].clone())).await.is_ok() {
        assert!(Instant::now() < end, "the policy was never enforced");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    apply(webhook(json!({}))).await.unwrap();
    for change in evil {
        let refused = apply(webhook(change.clone())).await.unwrap_err().to_string();
        assert!(refused.contains("ValidatingAdmissionPolicy"), "{change}: {refused}");
    }
    let mut object = webhook(json!({}));
    object["metadata"]["name"] = "other".into();
    let refused = configurations.patch("other", &dry, &Patch::Apply(&object)).await.unwrap_err().to_string();
    assert!(refused.contains("forbidden"), "{refused}");
}
