//! The policies are in force before the rights that they confine, on a real API server, regardless of what fails.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use acr_lab::helm::Helm;
use acr_lab::plane::{Options, Output, Plane};
use serde_json::Value;

use crate::chart;

/// A release under names that nothing in the chart knows.
const RELEASE: &str = "pulls";
const NAMESPACE: &str = "registry-access";
const USER: &str = "system:serviceaccount:registry-access:pulls-acr-credential-controller";

/// The policies of the rights that every installation has. The other two are in force before their rights.
const POLICIES: [&str; 9] =
    ["bindings", "cache", "converted", "events", "objects", "pods", "secrets", "serviceaccounts", "webhook"];

/// An object that the API server refuses, after the rights in Helm's order and before the policies.
const LATE: &str = r#"--set-json=extraObjects=[{"apiVersion":"v1","kind":"Service","metadata":{"name":"late","namespace":"absent"},"spec":{"ports":[{"port":1}]}}]"#;

struct Cluster {
    plane: Plane,
    helm: Helm,
    chart: String,
}

impl Cluster {
    async fn start(options: Options) -> Cluster {
        let plane = Plane::start(options).await.unwrap();
        Cluster { helm: Helm::of(&plane).await.unwrap(), plane, chart: chart() }
    }

    /// Runs a command of Helm on the release.
    async fn run(&self, command: &[&str], values: &[&str]) -> Output {
        let release = [RELEASE, &self.chart, "--namespace", NAMESPACE];
        self.helm.run(&[command, &release, values].concat()).await.unwrap()
    }

    async fn install(&self, values: &[&str]) -> Output {
        self.run(&["install", "--create-namespace"], values).await
    }

    async fn uninstall(&self) {
        self.helm.ok(&["uninstall", RELEASE, "--namespace", NAMESPACE, "--no-hooks"]).await.unwrap();
    }

    /// Returns the UID of each of the chart's policies and their bindings.
    async fn policies(&self) -> BTreeMap<String, String> {
        let kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings";
        let listed = self.plane.kubectl_ok(&["get", kinds, "-o", "json"]).await.unwrap();
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let ours = listed["items"].as_array().unwrap().iter().map(|object| {
            let text = |pointer: &str| object.pointer(pointer).unwrap().as_str().unwrap().to_owned();
            // The release took them over from the hook.
            let annotations = &object["metadata"]["annotations"];
            assert_eq!(annotations["meta.helm.sh/release-name"], RELEASE, "{object}");
            (format!("{} {}", text("/kind"), text("/metadata/name")), text("/metadata/uid"))
        });
        ours.collect()
    }

    async fn has_rights(&self) -> bool {
        let binding = ["get", "clusterrolebinding", "acr-credential-controller"];
        self.plane.kubectl(&binding).await.unwrap().status.success()
    }

    /// Waits until the controller's user is refused a Secret that the cluster would fill with a token.
    async fn until_confined(&self) {
        let secret = r#"{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": {"name": "acr-credential-secret-aggregation", "namespace": "default",
            "annotations": {"kubernetes.io/service-account.name": "default"}}}"#;
        let file = self.helm.folder().join("secret.json");
        std::fs::write(&file, secret).unwrap();
        let file = file.to_str().unwrap();
        let apply = ["apply", "--server-side", "--dry-run=server", "--as", USER, "-f", file];
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let output = self.plane.kubectl(&apply).await.unwrap();
            if output.stderr.contains("ValidatingAdmissionPolicy 'acr-credential-secrets'") {
                return;
            }
            assert!(Instant::now() < end, "{output:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn all() -> Vec<String> {
    let of = |kind: &str| POLICIES.map(|name| format!("{kind} acr-credential-{name}"));
    [of("ValidatingAdmissionPolicy"), of("ValidatingAdmissionPolicyBinding")].concat()
}

fn failed_late(output: &Output) {
    assert!(
        !output.status.success() && output.stderr.contains("namespaces \"absent\" not found"),
        "{output:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_fails_half_way_leaves_no_right_without_its_policy() {
    let cluster = Cluster::start(Options::default()).await;
    failed_late(&cluster.install(&[LATE]).await);
    assert!(cluster.has_rights().await, "it did not come as far as the rights");
    let policies = cluster.policies().await;
    assert_eq!(policies.keys().cloned().collect::<Vec<_>>(), all());
    cluster.until_confined().await;

    // The next attempt takes the same objects over, and later ones keep them.
    for values in [
        &[][..],
        &["--set=admission.mode=webhook", "--set=secretLabels.team=a"],
        &["--set=region=cn-hangzhou"],
    ] {
        let output = cluster.run(&["upgrade", "--reset-values"], values).await;
        assert!(output.status.success(), "{output:?}");
        assert_eq!(cluster.policies().await, policies);
    }
    // One that fails half-way has updated the policies before its rights.
    failed_late(&cluster.run(&["upgrade", "--reset-values"], &[LATE, "--set=secretLabels.team=b"]).await);
    let policy = ["get", "validatingadmissionpolicy", "acr-credential-secrets", "-o", "json"];
    let policy = cluster.plane.kubectl_ok(&policy).await.unwrap();
    assert!(policy.contains("['team=b']"), "{policy}");
    assert_eq!(cluster.policies().await, policies);
    cluster.uninstall().await;
    assert_eq!(cluster.policies().await, BTreeMap::new());

    // Without the hook, the same failure leaves rights alone: Helm creates the policies last.
    failed_late(&cluster.install(&[LATE, "--set=policies.installHook=false"]).await);
    assert!(cluster.has_rights().await && cluster.policies().await.is_empty());
    // An upgrade creates first what is missing.
    failed_late(&cluster.run(&["upgrade"], &[LATE]).await);
    assert_eq!(cluster.policies().await.into_keys().collect::<Vec<_>>(), all());
    cluster.until_confined().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_release_is_refused_with_the_name_of_the_first() {
    let cluster = Cluster::start(Options::default()).await;
    let output = cluster.install(&[]).await;
    assert!(output.status.success(), "{output:?}");
    let before = cluster.policies().await;
    for (name, namespace) in [("other", NAMESPACE), (RELEASE, "elsewhere")] {
        let install = ["install", name, &cluster.chart, "--namespace", namespace, "--create-namespace"];
        let second = cluster.helm.run(&install).await.unwrap();
        let words = format!(
            "this cluster has the controller already, as the release {RELEASE} in the namespace {NAMESPACE}"
        );
        assert!(!second.status.success() && second.stderr.contains(&words), "{second:?}");
        let cure = format!("`helm uninstall {RELEASE} --namespace {NAMESPACE}`");
        assert!(second.stderr.contains(&cure), "{second:?}");
    }
    assert_eq!(cluster.policies().await, before);
    // Plain manifests of the same cluster are not taken over in silence either.
    cluster.uninstall().await;
    cluster.plane.apply_file(acr_lab::docs::root().join("deploy/install.yaml")).await.unwrap();
    let output = cluster.install(&[]).await;
    assert!(!output.status.success() && output.stderr.contains("invalid ownership metadata"), "{output:?}");
}

/// Once its rights are gone, the controller cannot delete the configuration, which may refuse ServiceAccounts.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_switches_the_webhook_off_says_what_is_left() {
    let cluster = Cluster::start(Options::default()).await;
    let output = cluster.install(&["--set=admission.mode=webhook"]).await;
    assert!(output.status.success() && !output.stdout.contains("kubectl delete"), "{output:?}");
    let left = r#"{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "acr-credential-webhook"}}"#;
    cluster.plane.apply(left).await.unwrap();
    let output = cluster.run(&["upgrade"], &["--set=admission.mode=none"]).await;
    let command = output.stdout.lines().find_map(|line| line.trim().strip_prefix("kubectl ")).unwrap();
    cluster.plane.kubectl_ok(&command.split(' ').collect::<Vec<_>>()).await.unwrap();
    let output = cluster.run(&["upgrade"], &["--set=admission.mode=none"]).await;
    assert!(output.status.success() && !output.stdout.contains("kubectl"), "{output:?}");
}

/// Clusters of any version may have the API switched off.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_without_policies_is_named_and_the_switch_is() {
    let without = Options {
        extra_api_server_args: vec![
            "--disable-admission-plugins=ValidatingAdmissionPolicy".to_owned(),
            "--runtime-config=admissionregistration.k8s.io/v1/validatingadmissionpolicies=false,\
             admissionregistration.k8s.io/v1/validatingadmissionpolicybindings=false"
                .to_owned(),
        ],
        ..Options::default()
    };
    let cluster = Cluster::start(without).await;
    let output = cluster.install(&[]).await;
    let words = "this API server serves no ValidatingAdmissionPolicy";
    assert!(!output.status.success() && output.stderr.contains(words), "{output:?}");
    assert!(!cluster.has_rights().await);
    assert!(output.stderr.contains("set policies.enabled to false"), "{output:?}");
    let output = cluster.install(&["--set=policies.enabled=false"]).await;
    assert!(
        output.status.success() && output.stdout.contains("Skipped: the admission policies"),
        "{output:?}"
    );
}
