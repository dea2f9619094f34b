//! A whole application in one `kubectl apply`.

use acr_lab::node::usable;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::json;

use super::{Cluster, failed_pulls, phase, pod_spec};
use crate::harness::{SECRET, spec};

const REPLICAS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn with_admission_every_pod_of_one_apply_runs_at_its_first_pull() {
    if !usable("with_admission_every_pod_of_one_apply_runs_at_its_first_pull").unwrap() {
        return;
    }
    let cluster = Cluster::start_with(&["deploy/admission.yaml"], |options| options).await;
    let lab = &cluster.lab;
    let mut asked = spec(&["shop-*"]);
    asked["webhook"] = json!({ "enable": true });
    lab.bind("shop", asked).await;
    lab.until("the policy is in force", async || {
        let found = lab.condition("shop", "AdmissionConfigured").await;
        found.is_some_and(|(status, _, _)| status == "True")
    })
    .await;

    let mut template = pod_spec("Always");
    template["serviceAccountName"] = json!("shop");
    let labels = json!({ "app": "shop" });
    let metadata = json!({ "name": "shop", "namespace": "shop-1" });
    let application = json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop-1" } },
            { "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata },
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": metadata,
                "spec": {
                    "replicas": REPLICAS,
                    "selector": { "matchLabels": labels },
                    "template": { "metadata": { "labels": labels }, "spec": template },
                },
            },
        ],
    });
    lab.plane.apply(&application.to_string()).await.unwrap();
    let pods = lab.namespaced::<Pod>("shop-1");
    lab.until("all Pods run", async || {
        let found = pods.list(&ListParams::default()).await.unwrap().items;
        found.iter().filter(|pod| phase(pod) == "Running").count() == REPLICAS
    })
    .await;
    for pod in pods.list(&ListParams::default()).await.unwrap().items {
        let entries = pod.spec.unwrap().image_pull_secrets.unwrap_or_default();
        assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), [SECRET]);
    }
    assert_eq!(failed_pulls(&lab.namespaced("shop-1")).await, Vec::<String>::new());
}
