//! Releases that could not be finished: an API server that hangs, and a user without all rights. What Helm says is in the
//! documentation, and its cure works.

use std::time::{Duration, Instant};

use acr_lab::docs::root;
use acr_lab::helm::Helm;
use acr_lab::hook::{AdmissionHook, Verdict};
use acr_lab::plane::{Options, Output, Plane};
use serde_json::json;

use crate::{NAMESPACE, RELEASE, chart};

/// How long to wait for Helm to come as far as the Deployment, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a command of Helm on the release.
async fn run(helm: &Helm, command: &[&str]) -> Output {
    helm.run(&[command, &["--namespace", NAMESPACE]].concat()).await.unwrap()
}

/// Returns the page on which a user finds a message.
fn page() -> String {
    std::fs::read_to_string(root().join("docs/install.md")).unwrap()
}

/// Has the API server give no answer to a change of the Deployment.
async fn silence(plane: &Plane) -> AdmissionHook {
    let hook = AdmissionHook::start(|request| match request["dryRun"].as_bool() {
        Some(true) => Verdict::Deny(403, "reached".to_owned()),
        _ => Verdict::NoAnswer,
    })
    .await
    .unwrap();
    let rule = json!({ "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"] });
    let configuration = hook.validating("silent", &rule);
    plane.apply(&configuration.to_string()).await.unwrap();
    // The API server takes a moment to call it.
    let probe = ["create", "deployment", "probe", "--image=none", "--dry-run=server"];
    let end = Instant::now() + PATIENCE;
    while !plane.kubectl(&probe).await.unwrap().stderr.contains("reached") {
        assert!(Instant::now() < end, "the webhook is not called");
    }
    hook
}

/// Helm waits for as long as the API server gives no answer. Who ends it leaves a release that is locked.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_was_ended_while_the_api_server_hung_is_rolled_back_and_repeated() {
    let plane = Plane::start(Options::default()).await.unwrap();
    let (helm, chart) = (Helm::of(&plane).await.unwrap(), chart());
    let output = run(&helm, &["install", RELEASE, &chart, "--create-namespace"]).await;
    assert!(output.status.success(), "{output:?}");

    let hook = silence(&plane).await;
    let upgrade = ["upgrade", RELEASE, &chart, "--set=logLevel=debug"];
    let until_it_hangs = async {
        let end = Instant::now() + PATIENCE;
        while hook.waiting().is_empty() {
            assert!(Instant::now() < end, "no write of the Deployment");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        output = run(&helm, &upgrade) => panic!("it did not wait: {output:?}"),
        () = until_it_hangs => {}
    }
    plane.kubectl_ok(&["delete", "validatingwebhookconfiguration", "silent"]).await.unwrap();
    let locked = "another operation (install/upgrade/rollback) is in progress";
    let output = run(&helm, &upgrade).await;
    assert!(!output.status.success() && output.stderr.contains(locked), "{output:?}");
    assert!(page().contains(locked));

    let output = run(&helm, &["rollback", RELEASE]).await;
    assert!(output.status.success(), "{output:?}");
    let output = run(&helm, &upgrade).await;
    assert!(output.status.success(), "{output:?}");
    let flags = ["get", "deployment", RELEASE, "--namespace", NAMESPACE, "--output=yaml"];
    let deployment = plane.kubectl_ok(&flags).await.unwrap();
    assert!(deployment.contains("debug"), "{deployment}");
}

/// The rights of one namespace do not suffice: the API server names the first that is missing, and nothing of the
/// controller is left beside the release's own record.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_rights_of_one_namespace_is_refused_and_leaves_nothing_that_runs() {
    let plane = Plane::start(Options::default()).await.unwrap();
    plane.kubectl_ok(&["create", "namespace", NAMESPACE]).await.unwrap();
    plane.kubectl_ok(&["create", "serviceaccount", "team", "--namespace", "default"]).await.unwrap();
    let binding = ["create", "rolebinding", "team", "--clusterrole=admin", "--serviceaccount=default:team"];
    plane.kubectl_ok(&[&binding[..], &["--namespace", NAMESPACE]].concat()).await.unwrap();
    let kubeconfig = plane.service_account_kubeconfig("default", "team").await.unwrap();
    let helm = Helm::with(&kubeconfig).await.unwrap();
    let chart = chart();
    let output = run(&helm, &["install", RELEASE, &chart]).await;
    assert!(!output.status.success() && output.stderr.contains("is forbidden"), "{output:?}");
    assert!(page().contains("is forbidden"));
    let left = "deployments,serviceaccounts,roles,rolebindings,leases";
    let left = ["get", left, "--namespace", NAMESPACE, "--selector=app.kubernetes.io/name", "--output=name"];
    assert_eq!(plane.kubectl_ok(&left).await.unwrap(), "");

    // A user with the rights goes on where the other had to stop.
    let admin = Helm::of(&plane).await.unwrap();
    let output = run(&admin, &["upgrade", "--install", RELEASE, &chart]).await;
    assert!(output.status.success(), "{output:?}");
}
