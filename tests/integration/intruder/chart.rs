//! The same attacks on what Helm installs, under another name and in another namespace: rights and policies follow both.

use acr_lab::controller::Controller;
use acr_lab::helm::Helm;
use acr_lab::plane::{Options, Plane};

use super::{Place, Thief, admitted, attacks, misses, seed};
use crate::harness::{Lab, PATIENCE, cloud_of, options, root, spec};

const RELEASE: &str = "pulls";
const PLACE: Place = Place { namespace: "registry-access", account: "pulls-acr-credential-controller" };

/// Runs Helm on the release.
async fn release(helm: &Helm, command: &[&str], values: &[&str]) {
    let chart = root().join("deploy/helm").display().to_string();
    let release = [RELEASE, &chart, "--namespace", PLACE.namespace];
    helm.ok(&[command, &release, values].concat()).await.unwrap();
}

/// Installs the chart, and starts its controller as the Deployment would.
async fn installed(values: &[&str]) -> (Lab, Helm) {
    let plane = Plane::start(Options::default()).await.unwrap();
    let helm = Helm::of(&plane).await.unwrap();
    release(&helm, &["install", "--create-namespace"], values).await;
    let cloud = cloud_of(&plane).await;
    let kubeconfig = plane.service_account_kubeconfig(PLACE.namespace, PLACE.account).await.unwrap();
    let options = options(kubeconfig, &cloud).arg(format!("--namespace={}", PLACE.namespace));
    let controller = Controller::start_ready(options, PATIENCE).await.unwrap();
    (Lab { client: plane.client(), plane: plane.into(), cloud, controller }, helm)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attack_is_stopped_by_its_barrier_under_another_name_in_another_namespace() {
    let (lab, _helm) = installed(&["--set=admission.mode=webhook"]).await;
    seed(&lab, PLACE).await;
    let thief = Thief::new(&lab, PLACE).await;
    let attacks = attacks();
    let last = attacks.last().unwrap();
    lab.until("the policy of the webhook is in force", async || {
        !misses(last, &thief.send(&last.call, true).await)
    })
    .await;
    let failures = admitted(&thief, &attacks).await;
    assert!(failures.is_empty(), "of {} attacks: {failures:#?}", attacks.len());
}

/// Helm sorts the policies last, and without its hook they come after the controller.
#[tokio::test(flavor = "multi_thread")]
async fn policies_that_come_last_are_noticed_without_a_restart() {
    let (lab, helm) = installed(&["--set=policies.enabled=false"]).await;
    lab.create_namespace("open").await;
    lab.bind("open", spec(&["open"])).await;
    lab.until("the condition is there", async || lab.condition("open", "PoliciesEnforced").await.is_some())
        .await;
    let process = lab.controller.pid();
    release(&helm, &["upgrade"], &["--set=policies.enabled=true", "--set=policies.installHook=false"]).await;
    lab.until_policies_enforced().await;
    lab.until("the condition goes", async || lab.condition("open", "PoliciesEnforced").await.is_none()).await;
    assert_eq!(lab.controller.pid(), process);
}
