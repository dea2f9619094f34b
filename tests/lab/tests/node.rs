//! The real node, by the Pods that run on it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, in its helpers too")]

use std::{sync::Arc, time::Duration};

use acr_lab::{
    node::{Node, usable},
    plane::{Options, Plane},
    registry::{Registry, Verdict},
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, Client,
    api::{LogParams, PostParams},
};
use serde_json::json;

const HOST: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
const IMAGE: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com/team/app:latest";

/// How long a condition may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often to poll a condition.
const POLL_EVERY: Duration = Duration::from_millis(20);

async fn registry() -> Registry {
    let judge = |user: &str, password: &str| match (user, password) {
        ("puller", "right:one") => Verdict::MayPull,
        _ => Verdict::Rejected,
    };
    Registry::judged("cri-demo0001", Arc::new(judge)).await.unwrap().named(&[HOST])
}

async fn pod(client: &Client, name: &str, arguments: &[&str]) {
    let pod = json!({
        "metadata": { "name": name },
        "spec": {
            "containers": [{ "name": "app", "image": IMAGE, "args": arguments }],
            "restartPolicy": "Never",
            "imagePullSecrets": [{ "name": "pull" }],
        },
    });
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
}

async fn until_phase(client: &Client, node: &Node, name: &str, phase: &str) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let status = pods.get(name).await.unwrap().status.unwrap_or_default();
        if status.phase.as_deref() == Some(phase) {
            return;
        }
        assert!(
            std::time::Instant::now() < end,
            "{name} is not {phase}: {status:?}\n{}\n{}",
            node.kubelet().log_tail(30),
            node.containerd().log_tail(10)
        );
        tokio::time::sleep(POLL_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_pulls_by_the_real_name_and_reaches_services_by_theirs() {
    if !usable("a_pod_pulls_by_the_real_name_and_reaches_services_by_theirs").unwrap() {
        return;
    }
    let t = std::time::Instant::now();
    let plane = Plane::start(Options::default().with_node()).await.unwrap();
    eprintln!("plane {:?}", t.elapsed());
    let registry = registry().await;
    let node = Node::start(&plane, &registry).await.unwrap();
    eprintln!("node {:?}", t.elapsed());
    registry.push_program("team/app", &node.pod_program()).await.unwrap();
    let client = plane.client();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    let auths = json!({ "auths": { HOST: { "username": "puller", "password": "right:one" } } });
    let secret = json!({
        "metadata": { "name": "pull" },
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": auths.to_string() },
    });
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();

    pod(&client, "waits", &[]).await;
    eprintln!("pod {:?}", t.elapsed());
    until_phase(&client, &node, "waits", "Running").await;
    eprintln!("pod {:?}", t.elapsed());
    pod(&client, "reaches", &["kubernetes.default", "443"]).await;
    until_phase(&client, &node, "reaches", "Succeeded").await;
    eprintln!("pod {:?}", t.elapsed());
    let pods: Api<Pod> = Api::namespaced(client, "default");
    let said = pods.logs("reaches", &LogParams::default()).await.unwrap();
    assert_eq!(said, "kubernetes.default is reached at 10.0.0.1\n");
}
