//! The controller in a Pod, from the plain manifests.

use acr_lab::plane::Options;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::installed::{Installed, usable};
use super::{create_pod, failed_pulls, phase, pod_spec, until_running};
use crate::harness::{NAMESPACE, SECRET, spec};

const REPLICAS: usize = 5;

/// Returns a namespace, a ServiceAccount and a Deployment, as one application has them.
fn application(namespace: &str) -> Vec<Value> {
    let mut template = pod_spec("Always");
    template["serviceAccountName"] = json!("shop");
    let labels = json!({ "app": "shop" });
    let metadata = json!({ "name": "shop", "namespace": namespace });
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }),
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": REPLICAS,
                "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": template },
            },
        }),
    ]
}

fn list(items: Vec<Value>) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

async fn until_all_run(cluster: &Installed, namespace: &str) -> Vec<Pod> {
    let pods = cluster.namespaced::<Pod>(namespace);
    cluster
        .until("all Pods run", async || {
            let found = pods.list(&ListParams::default()).await.unwrap().items;
            found.iter().filter(|pod| phase(pod) == "Running").count() == REPLICAS
        })
        .await;
    pods.list(&ListParams::default()).await.unwrap().items
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_in_pods_of_a_restricted_namespace_lets_pods_of_a_binding_run() {
    if !usable("the_controller_in_pods_of_a_restricted_namespace_lets_pods_of_a_binding_run").await {
        return;
    }
    let cluster = Installed::by_manifests(Options::default(), &[], &[]).await;
    // The namespace's label is in force: a Pod that does not ask for less is refused.
    let refused = cluster.plane.kubectl(&["run", "shell", "--image=any", "--namespace", NAMESPACE]).await;
    let said = refused.unwrap().stderr;
    assert!(said.contains("violates PodSecurity \"restricted"), "{said}");

    cluster.create_namespace("team").await;
    cluster.bind("team", spec(&["team"])).await;
    cluster.until_condition("team", "Ready", "True", "Succeeded").await;
    create_pod(&cluster.namespaced("team"), "app", "Always").await;
    until_running(&cluster.namespaced("team"), "app", &cluster.site.node).await;
    cluster.assert_secrecy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_calls_the_webhook_in_pods_by_its_service_and_every_pod_of_one_apply_runs() {
    if !usable("the_api_server_calls_the_webhook_in_pods_by_its_service_and_every_pod_of_one_apply_runs")
        .await
    {
        return;
    }
    let options = Options::default().without_mutating_policies();
    let cluster = Installed::by_manifests(options, &["deploy/webhook.yaml"], &[]).await;
    let mut asked = spec(&["shop-*"]);
    asked["webhook"] = json!({ "enable": true, "failurePolicy": "Fail" });
    cluster.bind("shop", asked).await;
    cluster.until_condition("shop", "AdmissionConfigured", "True", "MutatingWebhook").await;

    cluster.plane.apply(&list(application("shop-1"))).await.unwrap();
    for pod in until_all_run(&cluster, "shop-1").await {
        let entries = pod.spec.unwrap().image_pull_secrets.unwrap_or_default();
        assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), [SECRET]);
    }
    assert_eq!(failed_pulls(&cluster.namespaced("shop-1")).await, Vec::<String>::new());
    cluster.assert_secrecy().await;
}

/// Returns a binding that asks for admission.
fn binding(name: &str, namespace: &str) -> Value {
    let mut asked = spec(&[namespace]);
    asked["webhook"] = json!({ "enable": true });
    json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": name },
        "spec": asked,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_in_the_same_apply_needs_replaced_pods_and_one_that_was_waited_for_does_not() {
    if !usable("a_binding_in_the_same_apply_needs_replaced_pods_and_one_that_was_waited_for_does_not").await {
        return;
    }
    let files = ["deploy/admission.yaml", "deploy/stuck-pods.yaml"];
    let cluster = Installed::by_manifests(Options::default(), &files, &["--replace-stuck-pods"]).await;
    let plane = &cluster.plane;

    // The binding comes first in the file, and still the API server creates Pods before it knows whom to serve.
    let all = [vec![binding("together", "together")], application("together")].concat();
    plane.apply(&list(all)).await.unwrap();
    until_all_run(&cluster, "together").await;
    plane.apply(&binding("first", "apart").to_string()).await.unwrap();
    let wait = ["wait", "--for=condition=AdmissionConfigured", "acrcredentialbinding/first", "--timeout=60s"];
    plane.kubectl_ok(&wait).await.unwrap();
    plane.apply(&list(application("apart"))).await.unwrap();
    until_all_run(&cluster, "apart").await;
    assert_eq!(failed_pulls(&cluster.namespaced("apart")).await, Vec::<String>::new());
    cluster.assert_secrecy().await;
}
