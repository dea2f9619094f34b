//! Another version of the controller beside this one, and the oldest Kubernetes.

use std::path::PathBuf;

use acr_lab::plane::{Options, Release};
use acr_lab::trial::{Job, hand_over};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{assert_nothing_leaked, built, rig_of};
use crate::harness::{CONTROLLER, NAMESPACE, SECRET, spec};

/// `ACR_OTHER_CONTROLLER` names the other build: the one before an upgrade. Without it, it is this build again.
#[tokio::test(flavor = "multi_thread")]
async fn the_lease_goes_to_another_build_and_back_without_a_needless_write() {
    let other = std::env::var_os("ACR_OTHER_CONTROLLER").map(PathBuf::from);
    let other = other.as_deref().unwrap_or(built());
    let rig = rig_of(Options::default(), &[built(), other], &[]).await;
    let holders = hand_over(&rig, 4).await.unwrap_or_else(|error| panic!("{error:#}"));
    assert!(holders.contains(&0) && holders.contains(&1), "{holders:?}");
    assert_nothing_leaked(&rig);
}

/// The programs of the oldest release take minutes to build: the test is left out where they were never built.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_kubernetes_serves_refuses_and_withdraws_as_the_newest_does() {
    if !Release::Oldest.is_built().unwrap() {
        eprintln!("left out: cargo lab faults --kubernetes 1.34 --schedules 0 builds its programs");
        return;
    }
    let plane = Options { release: Release::Oldest, ..Options::default() };
    let rig = rig_of(plane, &[built(), built()], &[]).await;
    let version = rig.client().apiserver_version().await.unwrap();
    assert_eq!((&*version.major, &*version.minor), ("1", "34"));
    // The rules of the schema.
    let mut bad = spec(&["a"]);
    bad["registries"] = json!([{ "instanceId": "cri-demo0001", "rrsaRoleARN": "acs:ram::1:role/r" }]);
    rig.bind("bad", bad).await.unwrap_err();
    // The policies: enforced, and the controller's user cannot write another Secret.
    let user = rig.plane.service_account_client(NAMESPACE, CONTROLLER).await.unwrap();
    let secrets: Api<Secret> = Api::namespaced(user, "default");
    let token = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": { "name": SECRET, "annotations": { "kubernetes.io/service-account.name": "default" } },
    });
    let refused = secrets.patch(SECRET, &PatchParams::apply("intruder"), &Patch::Apply(&token)).await;
    let refusal = refused.unwrap_err().to_string();
    assert!(refusal.contains("ValidatingAdmissionPolicy"), "{refusal}");
    // A fill, a refresh and a withdrawal, each with a crash after each write.
    for job in [Job::Fill, Job::Refresh, Job::Withdrawal] {
        let crashes = job.crash_after_each_write(&rig).await.unwrap_or_else(|error| panic!("{error:#}"));
        assert!(crashes >= 3, "{job:?}: {crashes} crashes");
    }
    assert_nothing_leaked(&rig);
}
