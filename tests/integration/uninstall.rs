//! Uninstalling by the documentation's own steps restores the cluster.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use acr_lab::controller::ControllerOptions;
use acr_lab::plane::{Options, Plane, free_port};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{DOMAIN, Lab, NAMESPACE, SECRET, root, spec};

const PATIENCE: Duration = Duration::from_secs(20);

/// All kinds with stated content. Leases and Events are excluded: they change by themselves.
const KINDS: &str = "namespaces,serviceaccounts,secrets,configmaps,services,deployments,customresourcedefinitions,\
                     clusterroles,clusterrolebindings,roles,rolebindings,validatingadmissionpolicies,\
                     validatingadmissionpolicybindings,mutatingwebhookconfigurations,validatingwebhookconfigurations,\
                     networkpolicies,poddisruptionbudgets,priorityclasses";

/// The mode of admission for new ServiceAccounts.
#[derive(Clone, Copy, PartialEq)]
pub enum Mode {
    Not,
    Policy,
    Webhook,
}

impl Mode {
    /// Starts a plane with existing workloads, and returns it with its content.
    pub async fn plane(self) -> (Plane, BTreeMap<String, Value>) {
        let options = match self {
            Self::Webhook => Options::default().without_mutating_policies(),
            Self::Not | Self::Policy => Options::default(),
        };
        let plane = Plane::start(options).await.unwrap();
        live_in(&plane, self).await;
        let before = dump(&plane, self).await;
        assert!(before.len() > 60 && before.contains_key("ServiceAccount home-a/own"), "{:?}", before.keys());
        (plane, before)
    }

    /// Returns whether a step of the documentation is for another mode.
    fn leaves_out(self, step: &[String]) -> bool {
        let names = |part: &str| step.iter().any(|word| word.contains(part));
        names("webhook") && self != Self::Webhook || names("admission") && self != Self::Policy
    }
}

/// Returns every object by kind, namespace and name, without the fields that change at every write.
async fn dump(plane: &Plane, mode: Mode) -> BTreeMap<String, Value> {
    let mutating = ",mutatingadmissionpolicies,mutatingadmissionpolicybindings";
    let kinds = format!("{KINDS}{}", if mode == Mode::Webhook { "" } else { mutating });
    let text = plane.kubectl_ok(&["get", &kinds, "-A", "-o", "json"]).await.unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let mask = |object: &Value| {
        let mut object = object.clone();
        let metadata = object["metadata"].as_object_mut().unwrap();
        for volatile in ["resourceVersion", "uid", "creationTimestamp", "generation", "managedFields"] {
            metadata.remove(volatile);
        }
        let part = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
        let kind = object["kind"].as_str().unwrap();
        let key = format!("{kind} {}/{}", part("namespace"), part("name"));
        (key, object)
    };
    all["items"].as_array().unwrap().iter().map(mask).collect()
}

/// Returns the names of objects that differ.
fn differing(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<String> {
    let names = before.keys().chain(after.keys());
    let mut all: Vec<String> = names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect();
    all.dedup();
    all
}

/// Returns the `kubectl` commands of a page under a heading, in words.
fn steps(page: &str, heading: &str) -> Vec<Vec<String>> {
    let commands = acr_lab::docs::commands(page, heading).unwrap().into_iter();
    let commands = commands.filter_map(|line| line.strip_prefix("kubectl ").map(str::to_owned));
    commands.map(|command| command.split(' ').map(str::to_owned).collect()).collect()
}

/// Creates the objects of a cluster in use.
async fn live_in(plane: &Plane, mode: Mode) {
    for name in ["home-a", "home-b", "home-c"] {
        plane.kubectl_ok(&["create", "namespace", name]).await.unwrap();
        let client = plane.client();
        let accounts: Api<ServiceAccount> = Api::namespaced(client, name);
        let own = json!({ "metadata": { "name": "own" }, "imagePullSecrets": [{ "name": "mine" }] });
        accounts.create(&PostParams::default(), &serde_json::from_value(own).unwrap()).await.unwrap();
        for _ in 0..1000 {
            if accounts.get_opt("default").await.unwrap().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let info = "- instanceId: cri-demo0001\n  regionId: cn-hangzhou\n";
    let webhook = format!("enable: {}\nfailure-policy: Fail\ntimeout-seconds: 5\n", mode != Mode::Not);
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "acr-configuration", "namespace": "kube-system" },
        "data": {
            "acr-registry-info": info,
            "watch-namespace": "home-c",
            "service-account": "*",
            "webhook-configuration": webhook,
        },
    });
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(plane.client(), "kube-system");
    maps.patch("acr-configuration", &PatchParams::apply("user").force(), &Patch::Apply(&map)).await.unwrap();
}

/// Installs everything, and starts the controller where the documentation applies its Deployment: the lab has
/// no node.
pub async fn install(plane: Plane, mode: Mode) -> Lab {
    install_with(plane, mode, |options| options).await
}

/// Installs everything, with changed options of the controller.
pub async fn install_with(
    plane: Plane,
    mode: Mode,
    further: impl FnOnce(ControllerOptions) -> ControllerOptions,
) -> Lab {
    for step in steps("docs/migrate.md", "Move").iter().filter(|step| step[0] == "apply") {
        plane.kubectl_ok(&step.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap();
    }
    let crd = "crd/acrcredentialbindings.acrcredential.dev";
    plane.kubectl_ok(&["wait", "--for=condition=Established", crd, "--timeout=20s"]).await.unwrap();
    let mut options = |options: ControllerOptions| options;
    let mut webhook =
        |options: ControllerOptions| options.webhook(free_port().unwrap(), None).arg("--webhook-on-update");
    let change: &mut dyn FnMut(ControllerOptions) -> ControllerOptions = match mode {
        Mode::Not => &mut options,
        Mode::Policy => {
            plane.apply_file(root().join("deploy/admission.yaml")).await.unwrap();
            &mut options
        }
        Mode::Webhook => {
            plane.grant_webhook(root().join("deploy/webhook.yaml")).await.unwrap();
            &mut webhook
        }
    };
    let lab = Lab::start_on(plane, |_, options| further(change(options))).await;
    lab.bind("goes", spec(&["home-a"])).await;
    let mut retain = spec(&["home-b"]);
    retain["deletionPolicy"] = json!("Retain");
    lab.bind("stays", retain).await;
    for binding in ["goes", "stays", "acr-configuration"] {
        lab.until_ready_is(binding, "True", "Succeeded").await;
    }
    for namespace in ["home-a", "home-b", "home-c"] {
        lab.until_served(namespace, DOMAIN).await;
        assert_eq!(lab.pull_secrets(namespace, "own").await, ["mine", SECRET]);
    }
    if mode != Mode::Not {
        lab.until("what is created is served", async || {
            created(&lab).await.is_ok_and(|entries| entries == [SECRET])
        })
        .await;
    }
    lab
}

/// Creates a ServiceAccount in a covered namespace, and returns its entries in the API server's answer.
pub async fn created(lab: &Lab) -> kube::Result<Vec<String>> {
    let accounts: Api<ServiceAccount> = lab.namespaced("home-c");
    let object = serde_json::from_value(json!({ "metadata": { "name": "probe" } })).unwrap();
    let made = accounts.create(&PostParams::default(), &object).await?;
    accounts.delete("probe", &Default::default()).await?;
    Ok(made.image_pull_secrets.unwrap_or_default().into_iter().map(|entry| entry.name).collect())
}

/// Runs the plugin as kubectl would.
pub fn acr(lab: &Lab, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-acr"));
    command.args(args).env("KUBECONFIG", lab.plane.kubeconfig()).env_remove("KUBERNETES_SERVICE_HOST");
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

async fn until_equal(lab: &Lab, before: &BTreeMap<String, Value>, mode: Mode) {
    let mut differing_now = Vec::new();
    for _ in 0..200 {
        differing_now = differing(before, &dump(&lab.plane, mode).await);
        if differing_now.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not as before: {differing_now:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_documented_steps_the_cluster_is_restored() {
    after_the_steps(Mode::Not).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_uninstalling_with_admission_policies_the_cluster_is_restored() {
    after_the_steps(Mode::Policy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_uninstalling_with_the_webhook_the_cluster_is_restored_without_a_refusal() {
    after_the_steps(Mode::Webhook).await;
}

async fn after_the_steps(mode: Mode) {
    let (plane, before) = mode.plane().await;
    let lab = install(plane, mode).await;
    let installed = differing(&before, &dump(&lab.plane, mode).await);
    assert!(
        installed.iter().any(|name| name.starts_with("Deployment acr-credential-system/")),
        "{installed:?}"
    );
    for step in steps("docs/operations.md", "Uninstall") {
        if mode.leaves_out(&step) {
            continue;
        }
        let args: Vec<&str> = step.iter().map(String::as_str).collect();
        if args[0] == "acr" {
            let (code, out, err) = acr(&lab, &args[1..]);
            assert_eq!(code, Some(0), "{out}{err}");
            if args[1] == "uninstall" {
                created(&lab).await.unwrap();
                continue;
            }
            assert!(out.contains("home-b") && !out.contains("home-a"), "{out}");
            continue;
        }
        lab.plane.kubectl_ok(&args).await.unwrap();
        if args.contains(&"deploy/controller.yaml") {
            lab.controller.terminate(PATIENCE).await.unwrap();
        }
        created(&lab).await.unwrap();
    }
    until_equal(&lab, &before, mode).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_withdraws_everything_that_a_killed_controller_left() {
    let (plane, before) = Mode::Not.plane().await;
    let lab = install(plane, Mode::Not).await;
    // An entry of our name that was never ours.
    lab.create_namespace("foreign").await;
    lab.create_account("foreign", "old", &[SECRET]).await;
    lab.controller.kill();

    let mark = lab.mark();
    let (code, out, _) = acr(&lab, &["withdraw"]);
    assert_eq!(code, Some(0));
    for line in [
        "home-a: would take our entry out of imagePullSecrets of default, own and delete the Secret",
        "home-b: would mark the Secret as left behind",
        "binding goes: would remove the finalizer",
        "Secret acr-credential-system/acr-credential-cache: would delete",
        "nothing was written; --yes applies it",
    ] {
        assert!(out.contains(line), "{line} in {out}");
    }
    let writes = lab.plane.audit().since(mark).unwrap().writes();
    let writes = writes.filter(|e| e.user_agent.is_empty() || !e.user_agent.starts_with("kube-"));
    assert_eq!(writes.filter(|e| e.resource == "secrets" || e.resource == "serviceaccounts").len(), 0);

    // A controller that renews its Lease is running, and two must not write.
    let renewed = |second: u8| {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": "acr-credential-controller", "namespace": "acr-credential-system" },
            "spec": {
                "holderIdentity": "pod-a",
                "leaseDurationSeconds": 3,
                "renewTime": format!("2026-01-01T00:00:{second:02}.000000Z"),
            },
        })
    };
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
        Api::namespaced(lab.client.clone(), "acr-credential-system");
    let renewing = {
        let leases = leases.clone();
        tokio::spawn(async move {
            for second in 0..=59 {
                let params = PatchParams::apply("test").force();
                let lease = renewed(second);
                leases.patch("acr-credential-controller", &params, &Patch::Apply(&lease)).await.unwrap();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
    };
    lab.until("the Lease is held", async || {
        leases.get_opt("acr-credential-controller").await.unwrap().is_some()
    })
    .await;
    let (code, out, err) = acr(&lab, &["withdraw", "--yes", "--retained"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("the controller pod-a runs"), "{err}");
    assert!(lab.secret("home-a").await.is_some());
    renewing.abort();

    // The controller was killed: the Lease is not renewed. First the bindings' policies apply, then
    // everything is withdrawn.
    let (code, out, err) = acr(&lab, &["withdraw", "--yes"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("Secrets kept by deletionPolicy Retain") && out.contains("home-b"), "{out}");
    assert!(lab.secret("home-a").await.is_none() && lab.secret("home-b").await.is_some());
    assert_eq!(lab.pull_secrets("home-a", "own").await, ["mine"]);
    let cache = lab.namespaced::<k8s_openapi::api::core::v1::Secret>(NAMESPACE);
    assert!(cache.get_opt("acr-credential-cache").await.unwrap().is_none(), "no token outlives it");
    let (code, out, err) = acr(&lab, &["withdraw", "--yes", "--retained"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(lab.pull_secrets("foreign", "old").await, [SECRET], "it was never ours");
    lab.plane.kubectl_ok(&["delete", "namespace", "foreign"]).await.unwrap();
    // Nothing holds a binding back any more.
    lab.plane.kubectl_ok(&["delete", "acrcredentialbindings", "--all", "--timeout=20s"]).await.unwrap();
    let deletions = steps("docs/operations.md", "Uninstall").into_iter();
    let deletions = deletions.filter(|step| step[0] == "delete" && !Mode::Not.leaves_out(step));
    for step in deletions {
        lab.plane.kubectl_ok(&step.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap();
    }
    until_equal(&lab, &before, Mode::Not).await;
    let (code, out, err) = acr(&lab, &["withdraw", "--yes"]);
    assert_eq!(code, Some(0), "without the API there is nothing to do: {err}");
    assert!(out.starts_with("0 namespaces, 0 bindings; done"), "{out}");
}

/// The API server keeps using the controller's last configuration.
#[tokio::test(flavor = "multi_thread")]
async fn admission_is_removed_before_everything_else() {
    for mode in [Mode::Policy, Mode::Webhook] {
        let (plane, _) = mode.plane().await;
        let lab = install(plane, mode).await;
        lab.controller.kill();
        let own = match mode {
            Mode::Webhook => "MutatingWebhookConfiguration acr-credential-webhook",
            Mode::Not | Mode::Policy => "ConfigMap acr-credential-system/acr-credential-admission",
        };
        let (code, out, err) = acr(&lab, &["withdraw", "--retained"]);
        assert!(code == Some(0) && out.contains(&format!("{own}: would delete")), "{out}{err}");
        assert_eq!(created(&lab).await.is_err(), mode == Mode::Webhook, "nothing was written");
        let (code, out, err) = acr(&lab, &["withdraw", "--retained", "--yes"]);
        assert_eq!(code, Some(0), "{out}{err}");
        assert!(out.contains(&format!("{own}: delete")), "{out}");
        let taken = "home-c: take our entry out of imagePullSecrets of default, own and delete the Secret";
        assert!(out.contains(taken), "{out}");
        assert_eq!(created(&lab).await.unwrap(), [""; 0], "no ServiceAccount is refused, and no entry added");
        for namespace in ["home-a", "home-b", "home-c"] {
            assert!(lab.secret(namespace).await.is_none(), "{namespace}");
            assert_eq!(lab.pull_secrets(namespace, "own").await, ["mine"], "{namespace}");
        }
    }
}
