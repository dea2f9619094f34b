//! The controller in a Pod, from the plain manifests.

use acr_lab::plane::Options;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::installed::{Installed, usable};
use super::{failed_pulls, phase, pod_spec};
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

/// Returns a binding that asks for admission.
fn binding(name: &str, namespace: &str) -> Value {
    let mut asked = spec(&[namespace]);
    asked["webhook"] = json!({ "enable": true, "failurePolicy": "Fail" });
    json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": name },
        "spec": asked,
    })
}

/// Applies an application by one command, and asserts that each of its Pods runs at its first pull.
pub async fn runs_at_the_first_pull(cluster: &Installed, namespace: &str) {
    cluster.plane.apply(&list(application(namespace))).await.unwrap();
    for pod in until_all_run(cluster, namespace).await {
        let entries = pod.spec.unwrap().image_pull_secrets.unwrap_or_default();
        assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), [SECRET]);
    }
    assert_eq!(failed_pulls(&cluster.namespaced(namespace)).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_in_pods_of_a_restricted_namespace_serves_what_is_applied_with_its_binding_and_after_it()
 {
    if !usable("the_controller_in_pods_of_a_restricted_namespace_serves_what_is_applied_with_its_binding_and_after_it")
        .await
    {
        return;
    }
    let files = ["deploy/admission.yaml", "deploy/stuck-pods.yaml"];
    let cluster = Installed::by_manifests(Options::default(), &files, &["--replace-stuck-pods"]).await;
    let plane = &cluster.plane;
    // The namespace's label is in force: a Pod that does not ask for less is refused.
    let refused = plane.kubectl(&["run", "shell", "--image=any", "--namespace", NAMESPACE]).await.unwrap();
    assert!(refused.stderr.contains("violates PodSecurity \"restricted"), "{}", refused.stderr);

    // The binding comes first in the file, and still Pods may be created before the API server knows whom to serve:
    // those are replaced.
    let all = [vec![binding("together", "together")], application("together")].concat();
    plane.apply(&list(all)).await.unwrap();
    until_all_run(&cluster, "together").await;

    plane.apply(&binding("first", "apart").to_string()).await.unwrap();
    let wait = ["wait", "--for=condition=AdmissionConfigured", "acrcredentialbinding/first", "--timeout=60s"];
    plane.kubectl_ok(&wait).await.unwrap();
    runs_at_the_first_pull(&cluster, "apart").await;
    cluster.assert_secrecy().await;
}
