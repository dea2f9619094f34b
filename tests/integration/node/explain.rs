//! Causes of failed pulls as a real kubelet and containerd report them, and the one that is named.

use acr_lab::node::usable;
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::{Cluster, HOST, image, waiting};
use crate::harness::spec;
use crate::rights::acr;

async fn create(cluster: &Cluster, name: &str, image: &str, more: Value) {
    let mut object = json!({
        "metadata": { "name": name },
        "spec": { "containers": [{ "name": "app", "image": image }], "terminationGracePeriodSeconds": 1 },
    });
    for (key, value) in more.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    let pods = cluster.lab.namespaced::<Pod>("team");
    pods.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

/// Waits until the kubelet reports a failed pull, and returns the code with the message.
async fn explained(cluster: &Cluster, name: &str) -> (Option<i32>, String) {
    let pods = cluster.lab.namespaced::<Pod>("team");
    cluster
        .lab
        .until(&format!("the pull of {name} fails"), async || {
            let reason = waiting(&pods.get(name).await.unwrap()).and_then(|waiting| waiting.reason);
            matches!(reason.as_deref(), Some("ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull"))
        })
        .await;
    let kubeconfig = cluster.lab.plane.kubeconfig();
    let (code, out, err) = acr(kubeconfig, &["explain", &format!("pod/{name}"), "-n", "team"]);
    assert_eq!(err, "");
    (code, out)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cause_of_each_failed_pull_on_the_node_is_named() {
    if !usable("the_cause_of_each_failed_pull_on_the_node_is_named").unwrap() {
        return;
    }
    let cluster = Cluster::start().await;
    let lab = &cluster.lab;
    lab.create_namespace("team").await;
    create(&cluster, "early", &image(), json!({})).await;
    let named = async |name: &str, expected: &str| {
        let (code, out) = explained(&cluster, name).await;
        assert_eq!(code, Some(1), "{name}: {out}");
        assert!(out.starts_with(&format!("cause     {expected} ")), "{name}: {out}");
    };
    named("early", "ACR802").await;
    lab.bind("team", spec(&["team"])).await;
    lab.until_ready_is("team", "True", "Succeeded").await;
    named("early", "ACR807").await;
    let own = json!({ "imagePullSecrets": [{ "name": "theirs" }] });
    let never =
        json!([{ "name": "app", "image": format!("{HOST}/team/app:never"), "imagePullPolicy": "Never" }]);
    create(&cluster, "own", &image(), own).await;
    create(&cluster, "tag", &format!("{HOST}/team/app:nosuch"), json!({})).await;
    create(&cluster, "host", "demo-registry-vpc.cn-beijing.cr.aliyuncs.com/team/app:latest", json!({})).await;
    create(&cluster, "nowhere", "registry.invalid/team/app:latest", json!({})).await;
    create(&cluster, "never", &image(), json!({ "containers": never })).await;
    named("own", "ACR808").await;
    named("tag", "ACR819").await;
    named("host", "ACR802").await;
    named("nowhere", "ACR820").await;
    named("never", "ACR824").await;
    // A credential that is valid, of an identity that may not pull.
    let right = "cr:PullRepository";
    let allow = |may: bool| {
        lab.cloud.world(|world| {
            let policy = &mut world.role_mut("1", "KubernetesWorkerRole-demo").unwrap().policy;
            if may { policy.allow.insert(right.to_owned()) } else { policy.allow.remove(right) }
        })
    };
    assert!(allow(false), "it may pull so far");
    let fresh = json!([{ "name": "app", "image": image(), "imagePullPolicy": "Always" }]);
    create(&cluster, "denied", &image(), json!({ "containers": fresh })).await;
    named("denied", "ACR818").await;
    assert!(allow(true));
    cluster.until_running("team", "denied").await;
    create(&cluster, "runs", &image(), json!({})).await;
    cluster.until_running("team", "runs").await;
    let (code, out, _) = acr(lab.plane.kubeconfig(), &["explain", "pod/runs", "-n", "team"]);
    assert_eq!((code, out.as_str()), (Some(0), "ok        pod/runs has its images\n"));
}
