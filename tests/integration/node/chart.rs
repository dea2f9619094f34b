//! The life of a Helm release on a node: installed, tested, upgraded, rolled back, removed, and installed again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use acr_lab::helm::Helm;
use acr_lab::plane::{Options, Output};
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::in_pod::runs_at_the_first_pull;
use super::installed::{AUTHORITY, Installed, LOGIN, OURS, usable};
use super::{create_pod, until_running};
use crate::harness::{SECRET, root, spec};

/// A release under names that are not the documented ones.
const RELEASE: &str = "pull-credentials";
const ELSEWHERE: &str = "platform-tools";

/// The name of that release's Deployment.
const DEPLOYMENT: &str = "pull-credentials-acr-credential-controller";

const CRD: &str = "acrcredentialbindings.acrcredential.dev";

/// A release in a cluster, and Helm.
struct Release {
    cluster: Installed,
    helm: Helm,
    name: &'static str,
}

impl Release {
    /// Starts a cluster in which nothing is installed, with the namespace of the release as the documentation has it.
    async fn prepare(name: &'static str, namespace: &'static str, options: Options) -> Self {
        let cluster = Installed::bare(namespace, options).await;
        cluster.plane.kubectl_ok(&["create", "namespace", namespace]).await.unwrap();
        let restricted = "pod-security.kubernetes.io/enforce=restricted";
        cluster.plane.kubectl_ok(&["label", "namespace", namespace, restricted]).await.unwrap();
        cluster.prepare_namespace().await;
        Self::of(cluster, name).await
    }

    async fn of(cluster: Installed, name: &'static str) -> Self {
        let helm = Helm::of(&cluster.plane).await.unwrap();
        Self { cluster, helm, name }
    }

    /// Writes the values of a user in this cluster, with changes.
    fn values(&self, further: &Value) -> PathBuf {
        let (repository, digest) = self.cluster.image.split_once('@').unwrap();
        let (registry, repository) = repository.split_once('/').unwrap();
        let mut values = json!({
            "image": { "registry": registry, "repository": repository, "digest": digest },
            "imagePullSecrets": [{ "name": LOGIN }],
            "caBundle": { "configMap": AUTHORITY },
        });
        for (key, value) in further.as_object().unwrap() {
            values[key] = value.clone();
        }
        let path = self.helm.folder().join("values.json");
        std::fs::write(&path, values.to_string()).unwrap();
        path
    }

    /// Runs `helm COMMAND NAME …` in the release's namespace.
    async fn run(&self, command: &str, args: &[&str]) -> Output {
        let all = [&[command, self.name, "--namespace", self.cluster.namespace][..], args].concat();
        self.helm.run(&all).await.unwrap()
    }

    /// Runs a command that succeeds; what the controller says is in the message otherwise.
    async fn ok(&self, command: &str, args: &[&str]) -> String {
        let output = self.run(command, args).await;
        if !output.status.success() {
            let described = self.cluster.described().await;
            panic!("helm {command} {args:?}: {}\n{}\n{described}", output.stderr, output.stdout);
        }
        output.stdout
    }

    /// Installs or upgrades to a chart, and waits until Helm finds everything ready.
    async fn apply(&self, command: &str, chart: &Path, values: &Value, args: &[&str]) -> String {
        let (chart, values) = (chart.to_str().unwrap(), self.values(values));
        let fixed = [chart, "--values", values.to_str().unwrap(), "--wait", "--timeout=3m"];
        self.ok(command, &[&fixed[..], args].concat()).await
    }

    /// Packages this chart as another version, with a text of one of its files replaced.
    async fn another(&self, version: &str, file: &str, from: &str, to: &str) -> PathBuf {
        let copy = self.helm.folder().join(version);
        let status = std::process::Command::new("cp").arg("-r").arg(chart()).arg(&copy).status().unwrap();
        assert!(status.success());
        let path = copy.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let args = ["package", copy.to_str().unwrap(), "--version", version, "--destination"];
        self.helm.ok(&[&args[..], &[self.helm.folder().to_str().unwrap()]].concat()).await.unwrap();
        self.helm.folder().join(format!("acr-credential-controller-{version}.tgz"))
    }

    /// Creates a Pod that runs by what the controller wrote.
    async fn runs(&self, namespace: &str, pod: &str) {
        let pods: Api<Pod> = self.cluster.namespaced(namespace);
        create_pod(&pods, pod, "Always").await;
        until_running(&pods, pod, &self.cluster.site.node).await;
    }

    async fn uid(&self, namespace: &str) -> Option<String> {
        self.cluster.namespaced::<Secret>(namespace).get_opt(SECRET).await.unwrap()?.metadata.uid
    }

    /// Applies a binding whose webhook must answer, and waits until it serves.
    async fn bind_by_webhook(&self, namespace: &str) {
        let mut asked = spec(&[namespace]);
        asked["webhook"] = json!({ "enable": true, "failurePolicy": "Fail" });
        self.cluster.bind(namespace, asked).await;
        self.cluster.until_condition(namespace, "AdmissionConfigured", "True", "MutatingWebhook").await;
    }

    /// Waits until the newest form of the controller runs, and returns the format of its log.
    async fn log_format(&self) -> String {
        self.cluster.until_available(DEPLOYMENT, 1).await;
        let args = [&format!("deployment/{DEPLOYMENT}"), "--namespace", self.cluster.namespace];
        let flags = "--output=jsonpath={.spec.template.spec.containers[0].args}";
        let flags = self.cluster.plane.kubectl_ok(&[&["get", flags], &args[..]].concat()).await.unwrap();
        flags.split("--log-format=").nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    /// Returns the field of the binding that only a later version knows.
    async fn later(&self) -> String {
        let args = ["get", "acrcredentialbinding", "team", "--output=jsonpath={.spec.later}"];
        self.cluster.plane.kubectl_ok(&args).await.unwrap()
    }

    /// Uninstalls when it is hardest: the documented component's ConfigMap is present, and a webhook does not answer that
    /// must answer.
    async fn end_with_the_controller_dead(&self) {
        let cluster = &self.cluster;
        cluster.create_namespace("converted").await;
        self.put_config_map().await;
        cluster.until("the ConfigMap is served", async || self.uid("converted").await.is_some()).await;
        let namespace = cluster.namespace;
        let args = ["scale", "deployment", "--all", "--replicas=0", "--namespace", namespace];
        cluster.plane.kubectl_ok(&args).await.unwrap();
        cluster.until("the controller is gone", async || cluster.pods().await.is_empty()).await;
        let refused = self.create_account("team", "during").await;
        assert!(refused.contains("failed calling webhook"), "nothing was in the way: {refused}");
        self.ok("uninstall", &["--wait"]).await;
    }

    /// Returns what is left of a release in its namespace; nothing of the whole cluster is.
    async fn left(&self) -> BTreeSet<String> {
        let kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,\
                     validatingadmissionpolicybindings,mutatingwebhookconfigurations";
        let all = self.cluster.plane.kubectl_ok(&["get", kinds, "--output=name"]).await.unwrap();
        let ours: Vec<_> = all.lines().filter(|name| name.contains("acr-credential")).collect();
        assert!(ours.is_empty(), "{ours:?}");
        let kinds = "deployments,replicasets,pods,services,serviceaccounts,roles,rolebindings,configmaps,secrets,\
                     poddisruptionbudgets,jobs,leases";
        let args = ["get", kinds, "--output=name", "--namespace", self.cluster.namespace];
        self.cluster.plane.kubectl_ok(&args).await.unwrap().lines().map(str::to_owned).collect()
    }

    /// Asserts that no Pod of a hook is taken for the controller, by the webhook's Service for one.
    async fn no_hook_is_taken_for_the_controller(&self) {
        let args = ["get", "hooks", self.name, "--namespace", self.cluster.namespace];
        let hooks: Vec<Value> = serde_saphyr::from_multiple(&self.helm.ok(&args).await.unwrap()).unwrap();
        let labels = |hook: &Value| match hook["kind"].as_str() {
            Some("Pod") => Some(hook["metadata"]["labels"].clone()),
            Some("Job") => Some(hook["spec"]["template"]["metadata"]["labels"].clone()),
            _ => None,
        };
        let pods: Vec<Value> = hooks.iter().filter_map(labels).collect();
        assert_eq!(pods.len(), 2, "the check and the uninstallation");
        assert!(pods.iter().all(|labels| labels[OURS.0] != OURS.1), "{pods:?}");
    }

    /// Creates a ServiceAccount, and returns why it was refused.
    async fn create_account(&self, namespace: &str, name: &str) -> String {
        let args = ["create", "serviceaccount", name, "--namespace", namespace];
        self.cluster.plane.kubectl(&args).await.unwrap().stderr
    }

    async fn account_is_created(&self, namespace: &str, name: &str) {
        assert_eq!(self.create_account(namespace, name).await, "");
    }

    /// Deletes a binding: nothing holds it.
    async fn deleted_at_once(&self, binding: &str) {
        let bindings = self.cluster.bindings();
        let answer = bindings.delete(binding, &DeleteParams::default()).await.unwrap();
        assert!(answer.is_right(), "{binding} is held by a finalizer");
    }

    /// Puts the documented component's ConfigMap, which the controller converts into a binding.
    async fn put_config_map(&self) {
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "acr-configuration", "namespace": "kube-system" },
            "data": {
                "acr-registry-info": "- instanceId: cri-demo0001\n",
                "watch-namespace": "converted",
                "service-account": "*",
            },
        });
        self.cluster.plane.apply(&map.to_string()).await.unwrap();
    }
}

fn chart() -> PathBuf {
    root().join("deploy/helm")
}

/// What a user may find in the release's namespace after an uninstallation. The first four are of this cluster.
const LEFT: [&str; 8] = [
    "configmap/cloud-authority",
    "configmap/kube-root-ca.crt",
    "secret/platform-registry",
    "serviceaccount/default",
    "configmap/acr-credential-admission",
    "lease.coordination.k8s.io/acr-credential-controller",
    "secret/acr-credential-cache",
    "secret/acr-credential-webhook",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_release_under_other_names_serves_through_upgrade_and_rollback_and_its_end_refuses_no_request() {
    if !usable(
        "a_release_under_other_names_serves_through_upgrade_and_rollback_and_its_end_refuses_no_request",
    )
    .await
    {
        return;
    }
    let options = Options::default().without_mutating_policies();
    let release = Release::prepare(RELEASE, ELSEWHERE, options).await;
    let cluster = &release.cluster;
    let webhook = json!({ "admission": { "mode": "webhook" }, "replicaCount": 1 });
    let previous = release.another("0.0.9", "values.yaml", "logFormat: json", "logFormat: text").await;
    release.apply("install", &previous, &webhook, &[]).await;
    assert_eq!(release.log_format().await, "text");
    cluster.create_namespace("team").await;
    release.bind_by_webhook("team").await;
    cluster.until_condition("team", "Ready", "True", "Succeeded").await;
    let before = release.uid("team").await;
    release.runs("team", "installed").await;
    release.no_hook_is_taken_for_the_controller().await;
    release.ok("test", &[]).await;

    // One controller runs in a cluster.
    let folder = chart();
    let second = ["install", "second", folder.to_str().unwrap(), "--namespace", "default"];
    let refused = release.helm.run(&second).await.unwrap().stderr;
    assert!(refused.contains(RELEASE), "the release that is there is named: {refused}");

    // The next version has a field more in its CRD.
    let specification = "            properties:\n              deletionPolicy:\n";
    let grown = specification.replacen('\n', "\n              later:\n                type: string\n", 1);
    let next = release.another("99.0.0", "files/acrcredentialbindings.yaml", specification, &grown).await;
    release.apply("upgrade", &next, &webhook, &[]).await;
    assert_eq!(release.log_format().await, "json");
    cluster
        .until("the new field is stored", async || {
            let patch = r#"{"spec":{"later":"kept"}}"#;
            let args = ["patch", "acrcredentialbinding", "team", "--type=merge", "--patch", patch];
            cluster.plane.kubectl_ok(&args).await.unwrap();
            release.later().await == "kept"
        })
        .await;
    release.runs("team", "upgraded").await;

    release.ok("rollback", &["1", "--wait"]).await;
    assert_eq!(release.log_format().await, "text");
    cluster.until("the field is gone", async || release.later().await.is_empty()).await;
    cluster.until_condition("team", "Ready", "True", "Succeeded").await;
    release.runs("team", "rolled-back").await;
    assert_eq!(release.uid("team").await, before, "the same Secret served all along");
    cluster.assert_secrecy().await;

    release.end_with_the_controller_dead().await;
    assert_eq!(release.left().await, LEFT.map(str::to_owned).into());
    let names = cluster.plane.kubectl_ok(&["get", "acrcredentialbindings", "--output=name"]).await.unwrap();
    assert_eq!(names.lines().count(), 2, "both bindings are kept: {names}");
    assert_eq!(release.uid("team").await, before, "what was served stays, as with Retain");
    release.account_is_created("team", "after").await;
    release.deleted_at_once("acr-configuration").await;

    // Under another name, the kept definition belongs to a release that is gone.
    let release = Release { name: "credentials", ..release };
    let values = release.values(&webhook);
    let chart = chart();
    let refused =
        release.run("install", &[chart.to_str().unwrap(), "--values", values.to_str().unwrap()]).await;
    assert!(refused.stderr.contains("cannot be imported into the current release"), "{}", refused.stderr);
    release.apply("install", &chart, &webhook, &["--take-ownership"]).await;
    let cluster = &release.cluster;
    cluster.until_condition("team", "AdmissionConfigured", "True", "MutatingWebhook").await;
    cluster.until_condition("team", "Ready", "True", "Succeeded").await;
    release.runs("team", "installed-again").await;
    assert_eq!(release.uid("team").await, before);
    release.ok("uninstall", &["--wait"]).await;
    release.account_is_created("team", "after-all").await;
    release.deleted_at_once("team").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_takes_over_what_plain_manifests_installed_with_its_webhook_and_its_end_takes_the_definition_too()
 {
    if !usable("a_release_takes_over_what_plain_manifests_installed_with_its_webhook_and_its_end_takes_the_definition_too").await {
        return;
    }
    let options = Options::default().without_mutating_policies();
    let cluster = Installed::by_manifests(options, &["deploy/webhook.yaml"], &[]).await;
    let release = Release::of(cluster, "acr-credential-controller").await;
    let cluster = &release.cluster;
    cluster.create_namespace("team").await;
    release.bind_by_webhook("team").await;
    cluster.until_condition("team", "Ready", "True", "Succeeded").await;
    let before = release.uid("team").await;
    release.bind_by_webhook("shop").await;
    runs_at_the_first_pull(cluster, "shop").await;

    let values = json!({
        "admission": { "mode": "webhook" },
        "crds": { "keep": false },
        // As the manifests have it.
        "accessKeySecrets": ["acr-access-key"],
    });
    let (chart, file) = (chart(), release.values(&values));
    let refused =
        release.run("install", &[chart.to_str().unwrap(), "--values", file.to_str().unwrap()]).await;
    assert!(refused.stderr.contains("cannot be imported into the current release"), "{}", refused.stderr);
    // Fields that a user set with another tool are not overwritten in silence, and the release can be tried again.
    let args = [chart.to_str().unwrap(), "--values", file.to_str().unwrap(), "--take-ownership"];
    let refused = release.run("install", &args).await;
    assert!(refused.stderr.contains("conflicts with \"kubectl\""), "{}", refused.stderr);
    let taken = ["--install", "--take-ownership", "--force-conflicts"];
    release.apply("upgrade", &chart, &values, &taken).await;
    cluster.until_available("acr-credential-controller", 2).await;
    cluster.until_condition("team", "Ready", "True", "Succeeded").await;
    assert_eq!(release.uid("team").await, before, "the same Secret");
    release.runs("team", "app").await;
    cluster.assert_secrecy().await;

    release.end_with_the_controller_dead().await;
    assert_eq!(release.left().await, LEFT.map(str::to_owned).into());
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    assert!(crds.get_opt(CRD).await.unwrap().is_none(), "the definition goes, and every binding with it");
    assert_eq!(release.uid("team").await, before, "what was served stays, as with Retain");
    release.account_is_created("team", "after").await;
}
