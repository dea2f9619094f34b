//! Cures in the log of the process, and of flags.

use std::time::Duration;

use acr_lab::controller::{Controller, ControllerOptions};
use acr_lab::message::after;

use super::{apply, apply_changed};
use crate::harness::{CONTROLLER, Lab, NAMESPACE, SECRET, options, root, spec};

const PATIENCE: Duration = Duration::from_secs(30);

/// Rights beyond those of the files: in the controller's own roles, and by a binding of another user.
#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_too_wide_are_narrowed_as_the_log_says() {
    let lab = Lab::start().await;
    let words = "apply the RBAC of this version, and delete other bindings of its account";
    let right = "- apiGroups: [\"\"]\n  resources: [namespaces]\n";
    apply_changed(&lab, "deploy/rbac.yaml", right, &right.replace("namespaces", "namespaces, pods/exec"))
        .await;
    let account = format!("--serviceaccount={NAMESPACE}:{CONTROLLER}");
    lab.plane
        .kubectl_ok(&["create", "clusterrolebinding", "too-wide", "--clusterrole=admin", &account])
        .await
        .unwrap();
    lab.controller.restart().unwrap();
    lab.until("the log has the cure", async || lab.controller.log().contains(words)).await;
    assert!(lab.controller.log().contains("pods/exec"));

    apply(&lab, "deploy/rbac.yaml").await;
    let seen = lab.controller.log().len();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until("the binding alone is left", async || lab.controller.log()[seen..].contains(words)).await;
    lab.plane.kubectl_ok(&["delete", "clusterrolebinding", "too-wide"]).await.unwrap();
    let seen = lab.controller.log().len();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until_policies_enforced().await;
    lab.until_settled().await;
    assert!(!lab.controller.log()[seen..].contains(words), "{}", lab.controller.log_tail(40));
}

/// A replica without the right to the Lease waits, and works once the files are applied.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_lease_is_allowed_by_the_files_of_this_version() {
    let lab = Lab::start().await;
    lab.controller.terminate(PATIENCE).await.unwrap();
    let right = "resourceNames: [acr-credential-controller]\n  verbs: [get, list, watch, create, patch]";
    apply_changed(&lab, "deploy/rbac.yaml", right, &right.replace(", create, patch", "")).await;
    let seen = lab.controller.log().len();
    lab.controller.restart().unwrap();
    lab.until("the log has the cure", async || {
        lab.controller.log()[seen..].contains("lease forbidden: apply the RBAC of this version")
    })
    .await;
    apply(&lab, "deploy/rbac.yaml").await;
    lab.controller.until_ready(PATIENCE).await.unwrap();
}

/// The files name the default Secret, and a flag names another; the CustomResourceDefinition was forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_listed_is_allowed_or_defined_as_the_log_says() {
    let mut lab = Lab::start().await;
    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.plane.kubectl_ok(&["delete", "crd", "acrcredentialbindings.acrcredential.dev"]).await.unwrap();
    let renamed = lab.controller.options().clone().arg("--secret-name=acr-renamed");
    lab.controller = Controller::start(renamed).unwrap();
    let cure = async |words: &str| {
        lab.until(&format!("the log says {words}"), async || lab.controller.log().contains(words)).await;
        words.to_owned()
    };
    let said = cure(": apply crds/acrcredentialbindings.yaml").await;
    lab.plane.apply_file(root().join(after(&said, "apply "))).await.unwrap();
    cure(": apply the RBAC of this version, with the name of --secret-name in it").await;
    for file in ["deploy/rbac.yaml", "deploy/policies.yaml"] {
        apply_changed(&lab, file, SECRET, "acr-renamed").await;
    }
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.create_namespace("renamed").await;
    lab.bind("renamed", spec(&["renamed"])).await;
    lab.until_ready_is("renamed", "True", "Succeeded").await;
    assert_eq!(lab.pull_secrets("renamed", "default").await, ["acr-renamed"]);
    // Rights of an older version, which lacks one of the others.
    let right = "resources: [namespaces]\n  verbs: [list, watch]";
    lab.controller.terminate(PATIENCE).await.unwrap();
    let manifests = std::fs::read_to_string(root().join("deploy/rbac.yaml")).unwrap();
    let manifests = manifests.replace(SECRET, "acr-renamed");
    lab.plane.apply(&manifests.replace(right, "resources: [namespaces]\n  verbs: [watch]")).await.unwrap();
    lab.controller.restart().unwrap();
    cure("watch interrupted: apply the RBAC of this version kind=\"Namespace\"").await;
    lab.plane.apply(&manifests).await.unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
}

/// A flag whose address another process has, and a dry run that is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_flag_is_changed_as_the_message_says() {
    let mut lab = Lab::start_with(|options| options.arg("--dry-run")).await;
    lab.create_namespace("dry").await;
    lab.bind("dry", spec(&["dry"])).await;
    lab.until_ready_says("dry", "False", "DryRun", "would create the Secret").await;
    lab.controller.terminate(PATIENCE).await.unwrap();

    let address = lab.controller.address().trim_start_matches("http://").to_owned();
    let taken = std::net::TcpListener::bind(&address).unwrap();
    lab.controller.restart().unwrap();
    let status = lab.controller.wait(PATIENCE).await.unwrap();
    assert!(!status.success());
    after(&lab.controller.log(), "cannot be served; choose another --listen-address");
    // With another address, and without the flag `--dry-run`.
    let kubeconfig = lab.plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await.unwrap();
    let options = options(kubeconfig, &lab.cloud);
    lab.controller = Controller::start_ready(options.clone(), PATIENCE).await.unwrap();
    assert_ne!(lab.controller.address(), format!("http://{address}"));
    lab.until_ready_is("dry", "True", "Succeeded").await;

    lab.controller.terminate(PATIENCE).await.unwrap();
    let with = |address: &str| ControllerOptions { webhook_address: address.to_owned(), ..options.clone() };
    lab.controller = Controller::start(with(&address)).unwrap();
    let words = "webhook cannot listen; choose another --webhook-address, or an empty one";
    lab.until("the log has the cure", async || lab.controller.log().contains(words)).await;
    lab.controller.kill();
    drop(taken);
    for other in ["127.0.0.1:0", ""] {
        let seen = lab.controller.log().len();
        lab.controller = Controller::start_ready(with(other), PATIENCE).await.unwrap();
        assert!(!lab.controller.log()[seen..].contains(words), "{other}");
        lab.controller.terminate(PATIENCE).await.unwrap();
    }
}
