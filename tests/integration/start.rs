//! The start and the end of the process.

use std::time::Duration;

use acr_lab::plane::{Mark, Target};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::SignedDuration;
use kube::api::{ObjectMeta, PostParams};

use crate::harness::{CONTROLLER, DOMAIN, Lab, NAMESPACE, SECRET, spec};

const PATIENCE: Duration = Duration::from_secs(20);

/// An empty cache is not an empty cluster: no matter which list is late, nothing is done before it arrives.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_before_all_caches_are_full() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("cached").await;
    lab.bind("cached", spec(&["cached"])).await;
    lab.until_ready_is("cached", "True", "Succeeded").await;
    lab.until_settled().await;
    for (resource, kinds) in [
        // Which labels of the others to keep follows from the bindings.
        (
            "acrcredentialbindings",
            "Namespaces; waiting for the list of ServiceAccounts; waiting for the list of AcrCredentialBindings",
        ),
        ("namespaces", "Namespaces"),
        ("serviceaccounts", "ServiceAccounts"),
        ("secrets", "Secrets"),
    ] {
        lab.controller.terminate(PATIENCE).await.unwrap();
        let mark = lab.mark();
        let mut held = proxy.hold(Target::new("list", resource));
        lab.controller.restart().unwrap();
        tokio::time::timeout(PATIENCE, held.until_caught(1)).await.unwrap().unwrap();
        lab.until("only that list is missing", async || {
            matches!(lab.controller.ready().await, Ok(Some(missing)) if missing == format!("waiting for the list of {kinds}"))
        })
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            lab.requests(mark).writes().filter(|e| e.resource != "selfsubjectaccessreviews").counts(),
            Default::default()
        );
        drop(held);
        lab.controller.until_ready(PATIENCE).await.unwrap();
        lab.until_settled().await;
        assert!(lab.token("cached", DOMAIN).await.is_some(), "{resource}");
        assert_eq!(lab.pull_secrets("cached", "default").await, [SECRET]);
        let writes = lab.requests(mark).writes().filter(|e| e.resource != "selfsubjectaccessreviews");
        assert_eq!(writes.counts(), Default::default(), "{resource}");
    }
}

/// An API server that refuses, or is in trouble, must not get a request each second.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_list_is_retried_at_growing_intervals() {
    let lab = Lab::start_with(|options| options.arg("--replace-stuck-pods")).await;
    let refused = || lab.requests(Mark::default()).of("pods").filter(|e| e.verb == "list" && e.code == 403);
    lab.until("it was refused five times", async || refused().len() >= 5).await;
    let at: Vec<_> = refused().iter().map(|e| e.timestamp).collect();
    let pauses: Vec<_> = at.windows(2).map(|pair| pair[1].duration_since(pair[0])).collect();
    assert!(pauses[3] > pauses[0] + SignedDuration::from_secs(2), "{pauses:?}");
    // The cure, as the log says it.
    assert!(lab.controller.log().contains("watch interrupted: apply deploy/stuck-pods.yaml"));
    lab.plane.apply_file(crate::harness::root().join("deploy/stuck-pods.yaml")).await.unwrap();
    lab.until("the Pods are listed", async || lab.controller.log().contains("objects listed kind=\"Pod\""))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_alive_at_once_ends_cleanly_and_shows_its_metrics() {
    let lab = Lab::start_with(|mut options| {
        options.log_format = "json".to_owned();
        options
    })
    .await;
    assert!(lab.controller.alive().await.unwrap());
    lab.create_namespace("metrics").await;
    lab.bind("metrics", spec(&["metrics"])).await;
    lab.until_ready_is("metrics", "True", "Succeeded").await;
    lab.until_policies_enforced().await;
    let metrics = lab.controller.metrics().await.unwrap();
    for line in [
        "acr_credential_mints_total{result=\"success\"} 1",
        "acr_secret_writes_total{result=\"success\"} 1",
        "acr_serviceaccount_patches_total{result=\"success\"} 1",
        "acr_binding_ready_status{name=\"metrics\",condition=\"True\"} 1",
        "acr_serviceaccount_attach_duration_seconds_count 1",
        "acr_credential_expiration_timestamp_seconds{registry=\"cri-demo0001 in cn-hangzhou\",identity=\"worker-role\"}",
        "acr_admission_policies_enforced 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let status = lab.controller.terminate(PATIENCE).await.unwrap();
    assert!(status.success(), "{status}");
    let log = lab.controller.log();
    let first = log.lines().find(|l| l.starts_with('{')).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(first).unwrap()["level"].is_string(), "{first}");
}

/// The lab has no node to run it, but everything before a node has accepted it.
#[tokio::test(flavor = "multi_thread")]
async fn the_deployments_pod_is_admitted_under_restricted_pod_security() {
    let lab = Lab::start().await;
    lab.plane.apply_file(crate::harness::root().join("deploy/controller.yaml")).await.unwrap();
    let deployment = lab.namespaced::<Deployment>(NAMESPACE).get(CONTROLLER).await.unwrap();
    let template = deployment.spec.template;
    let pod = |name: &str| Pod {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..template.metadata.clone().unwrap_or_default() },
        spec: template.spec.clone(),
        ..Pod::default()
    };
    let pods = lab.namespaced::<Pod>(NAMESPACE);
    pods.create(&PostParams::default(), &pod("as-shipped")).await.unwrap();
    let mut loose = pod("loose");
    loose.spec.as_mut().unwrap().containers[0].security_context = None;
    let error = pods.create(&PostParams::default(), &loose).await.unwrap_err();
    assert!(error.to_string().contains("restricted"), "{error}");
}
