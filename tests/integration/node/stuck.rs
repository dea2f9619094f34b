//! Pods that a real kubelet refused, in its words and containerd's.

use acr_lab::node::usable;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use serde_json::json;

use super::{Cluster, phase, pod_spec, waiting};
use crate::harness::{SECRET, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_the_kubelet_refused_is_replaced_by_one_that_runs() {
    if !usable("a_pod_that_the_kubelet_refused_is_replaced_by_one_that_runs").unwrap() {
        return;
    }
    let replace = |options: acr_lab::controller::ControllerOptions| options.arg("--replace-stuck-pods");
    let cluster = Cluster::start_with(&["deploy/stuck-pods.yaml"], replace).await;
    let lab = &cluster.lab;
    lab.until_policies_enforced().await;
    lab.create_namespace("early").await;
    let labels = json!({ "app": "app" });
    let object = json!({
        "metadata": { "name": "app" },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": pod_spec("IfNotPresent") },
        },
    });
    let sets = lab.namespaced::<ReplicaSet>("early");
    sets.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    let pods = lab.namespaced::<Pod>("early");
    let mut refused = None;
    lab.until("the Pod is refused", async || {
        let found = pods.list(&ListParams::default()).await.unwrap().items;
        refused = found.into_iter().find(|pod| {
            waiting(pod)
                .is_some_and(|w| matches!(w.reason.as_deref(), Some("ErrImagePull" | "ImagePullBackOff")))
        });
        refused.is_some()
    })
    .await;
    let refused = refused.unwrap();
    assert!(refused.spec.as_ref().unwrap().image_pull_secrets.as_deref().unwrap_or_default().is_empty());

    lab.bind("early", spec(&["early"])).await;
    lab.until("another Pod runs", async || {
        let found = pods.list(&ListParams::default()).await.unwrap().items;
        found.iter().any(|pod| pod.uid() != refused.uid() && phase(pod) == "Running")
    })
    .await;
    let found = pods.list(&ListParams::default()).await.unwrap().items;
    let next = found.iter().find(|pod| pod.uid() != refused.uid()).unwrap();
    let entries = next.spec.as_ref().unwrap().image_pull_secrets.clone().unwrap_or_default();
    assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), [SECRET]);
}
