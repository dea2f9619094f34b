//! Which Pods may run: with a binding, without one, and after one.

use std::path::{Path, PathBuf};

use acr_lab::node::usable;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use super::{Cluster, HOST, phase, pod_spec};
use crate::harness::{root, spec};

/// A repository with an image for another processor.
const FOREIGN: &str = "team/foreign";

/// Returns a copy of a program that says that it is for another processor.
fn for_another_processor(program: &Path, folder: &Path) -> PathBuf {
    let mut bytes = std::fs::read(program).unwrap();
    // The field `e_machine` of an ELF file. No emulator of this machine takes this number.
    bytes[18..20].copy_from_slice(&[0xff, 0xff]);
    let path = folder.join("program");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_lets_new_pods_run_and_its_deletion_refuses_them_and_spares_those_that_run() {
    if !usable("a_binding_lets_new_pods_run_and_its_deletion_refuses_them_and_spares_those_that_run").unwrap()
    {
        return;
    }
    let cluster = Cluster::start().await;
    let lab = &cluster.lab;
    lab.create_namespace("team").await;
    cluster.create_pod("team", "early").await;
    let message = cluster.until_refused("team", "early").await;
    assert!(message.contains("insufficient_scope: authorization failed"), "{message}");

    lab.bind("team", spec(&["team"])).await;
    lab.until_ready_is("team", "True", "Succeeded").await;
    cluster.create_pod("team", "next").await;
    cluster.until_running("team", "next").await;

    // The page on failed installations has the runtime's words.
    let folder = tempfile::tempdir().unwrap();
    let program = for_another_processor(&cluster.site.node.pod_program(), folder.path());
    cluster.site.registry.push_program(FOREIGN, &program).await.unwrap();
    let mut foreign = json!({ "metadata": { "name": "foreign" }, "spec": pod_spec("Always") });
    foreign["spec"]["containers"][0]["image"] = format!("{HOST}/{FOREIGN}:latest").into();
    let pods = lab.namespaced::<Pod>("team");
    pods.create(&PostParams::default(), &serde_json::from_value(foreign).unwrap()).await.unwrap();
    let words = "exec format error";
    lab.until("its log says that it cannot start", async || {
        lab.plane.kubectl(&["logs", "foreign", "--namespace=team"]).await.unwrap().stdout.contains(words)
    })
    .await;
    assert!(std::fs::read_to_string(root().join("docs/install.md")).unwrap().contains(words));

    lab.bindings().delete("team", &DeleteParams::default()).await.unwrap();
    lab.until("the binding is gone", async || lab.bindings().get_opt("team").await.unwrap().is_none()).await;
    assert!(lab.secret("team").await.is_none());
    // The image is on the node by now, and this Pod may not use it all the same.
    cluster.create_pod("team", "late").await;
    cluster.until_refused("team", "late").await;
    let running = lab.namespaced::<Pod>("team").get("next").await.unwrap();
    assert_eq!(phase(&running), "Running", "what runs goes on");
}
