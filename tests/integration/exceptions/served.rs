//! The controller where another admission controller adds to each Secret and ServiceAccount.

use acr_lab::docs::{block, commands};
use k8s_openapi::api::core::v1::ServiceAccount;
use serde_json::json;

use super::{ACCOUNTS, SECRETS, set_exceptions};
use crate::documentation::{shell, shell_in};
use crate::harness::{DOMAIN, Lab, SECRET, installed_without, spec};

/// A platform's policy that labels each Secret and ServiceAccount of some namespaces.
const LABELLED: &str = include_str!("cost-center.yaml");

/// The same by annotation, with a pull secret and without tokens on ServiceAccounts.
const HARDENED: &str = include_str!("hardened.yaml");

const LABEL: &str = "cost-center";

/// Waits until the platform's policy changes what is written.
async fn until_it_adds(lab: &Lab, namespace: &str) {
    let probe = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "probe", "namespace": namespace } });
    let probe = probe.to_string();
    let path = lab.plane.dir().join("probe.json");
    std::fs::write(&path, probe).unwrap();
    let create = ["create", "--dry-run=server", "-o", "json", "-f", path.to_str().unwrap()];
    lab.until("the platform's policy is in force", async || {
        lab.plane.kubectl_ok(&create).await.unwrap().contains("\"retail\"")
    })
    .await;
}

/// Adds exceptions as the documentation says.
fn add(lab: &Lab, flags: &str) {
    let line = format!("kubectl acr exceptions --live {flags} | kubectl apply --server-side -f -");
    shell(&lab.plane, &line).unwrap();
}

async fn until_listed(lab: &Lab, namespace: &str, account: &str, pull_secrets: &[&str]) {
    let what = format!("{namespace}/{account} has {pull_secrets:?}");
    lab.until(&what, async || lab.pull_secrets(namespace, account).await == pull_secrets).await;
}

async fn label(lab: &Lab, namespace: &str, account: &str) -> Option<String> {
    let account = lab.namespaced::<ServiceAccount>(namespace).get(account).await.unwrap();
    account.metadata.labels.and_then(|labels| labels.get(LABEL).cloned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_a_platform_adds_to_everything_is_no_obstacle_with_an_exception() {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    lab.create_account("shop", "old", &["theirs"]).await;
    lab.plane.apply(LABELLED).await.unwrap();
    until_it_adds(&lab, "shop").await;
    let seen = commands("docs/admission.md", "Other admission controllers").unwrap();
    let seen: Vec<String> = seen.iter().map(|line| shell(&lab.plane, line).unwrap()).collect();
    assert!(seen[1].contains("add-cost-center"), "{seen:?}");
    let folder = tempfile::tempdir().unwrap();
    for line in commands("docs/admission.md", "Set exceptions").unwrap() {
        shell_in(&lab.plane, folder.path(), &[], &line).unwrap();
    }
    lab.bind("shop", spec(&["shop*"])).await;
    lab.until_served("shop", DOMAIN).await;
    lab.until_attached("shop", "default").await;
    until_listed(&lab, "shop", "old", &["theirs", SECRET]).await;
    lab.until_ready_is("shop", "True", "Succeeded").await;
    assert_eq!(label(&lab, "shop", "old").await.as_deref(), Some("retail"));
    let labels = lab.secret("shop").await.unwrap().metadata.labels.unwrap();
    assert_eq!(labels.get(LABEL).map(String::as_str), Some("retail"));

    lab.create_namespace("shop-2").await;
    lab.create_account("shop-2", "new", &[]).await;
    lab.until_served("shop-2", DOMAIN).await;
    lab.until_attached("shop-2", "new").await;
    lab.controller.restart().unwrap();
    lab.controller.until_ready(std::time::Duration::from_secs(30)).await.unwrap();
    lab.until_policies_enforced().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_begins_later_is_no_obstacle_to_a_refresh_with_exceptions() {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    lab.bind("shop", spec(&["shop*"])).await;
    lab.until_served("shop", DOMAIN).await;
    let before = lab.secret("shop").await.unwrap();
    lab.plane.apply(HARDENED).await.unwrap();
    until_it_adds(&lab, "shop").await;
    add(&lab, "--secret-annotation platform.example.com/*");
    add(
        &lab,
        "--service-account-annotation platform.example.com/owner --automount-false --pull-secret harbor",
    );
    lab.refresh("shop", "2026-01-01T00:00:00Z").await;
    lab.until("the Secret is refreshed, with the platform's annotation", async || {
        let now = lab.secret("shop").await.unwrap();
        let annotations = now.metadata.annotations.unwrap_or_default();
        now.data != before.data && annotations.contains_key("platform.example.com/owner")
    })
    .await;
    lab.create_account("shop", "plain", &[]).await;
    until_listed(&lab, "shop", "plain", &["harbor", SECRET]).await;
    let account = lab.namespaced::<ServiceAccount>("shop").get("plain").await.unwrap();
    assert_eq!(account.automount_service_account_token, Some(false));
    lab.until_ready_is("shop", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controllers_own_labels_and_annotations_need_the_same_exceptions() {
    let plane = installed_without(&[], acr_lab::plane::Options::default()).await;
    let (labels, annotations) = (["cost-center=retail"], ["example.com/*"]);
    let lists: [(&str, &[&str]); 2] = [("allowedLabels", &labels), ("allowedAnnotations", &annotations)];
    set_exceptions(&plane, SECRETS, &lists).await;
    // The probe at the start writes a key that no exception allows.
    let probed = ["acrcredential.dev/*", "acrcredential.dev/probe", "acrcredential.dev/probe="];
    set_exceptions(&plane, ACCOUNTS, &[("allowedAnnotations", &probed)]).await;
    let lab = Lab::start_on(plane, |_, options| {
        options.arg("--secret-label=cost-center=retail").arg("--secret-annotation=example.com/team=a")
    })
    .await;
    lab.until_policies_enforced().await;
    lab.create_namespace("shop").await;
    lab.bind("shop", spec(&["shop"])).await;
    lab.until_served("shop", DOMAIN).await;
    lab.until_ready_is("shop", "True", "Succeeded").await;
    let metadata = lab.secret("shop").await.unwrap().metadata;
    assert_eq!(metadata.labels.unwrap()[LABEL], "retail");
    assert_eq!(metadata.annotations.unwrap()["example.com/team"], "a");
}

/// The other cure of the documentation: nothing is added to the controller's writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_exempts_the_controllers_user_needs_no_exceptions() {
    const HEADING: &str = "Exempt the controller's user";
    let page = acr_lab::docs::page("docs/admission.md").unwrap();
    let condition = page
        .blocks
        .iter()
        .find(|block| block.heading == HEADING && block.text.starts_with("matchConditions:"));
    let condition = condition.unwrap().text.trim_end().replace('\n', "\n  ");
    assert!(block("docs/admission.md", HEADING, "yaml").unwrap().contains("name: acr-credential-controller"));
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    lab.plane.apply(&LABELLED.replacen("matchConditions:", &condition, 1)).await.unwrap();
    until_it_adds(&lab, "shop").await;
    lab.bind("shop", spec(&["shop"])).await;
    lab.until_served("shop", DOMAIN).await;
    lab.until_attached("shop", "default").await;
    let labels = lab.secret("shop").await.unwrap().metadata.labels.unwrap();
    assert!(!labels.contains_key(LABEL), "{labels:?}");
    lab.until_ready_is("shop", "True", "Succeeded").await;
}

/// The forms that the plugin prints: a file for Git, a kustomization, and commands.
#[tokio::test(flavor = "multi_thread")]
async fn each_form_that_the_plugin_prints_sets_the_exceptions() {
    let plane = installed_without(&[], acr_lab::plane::Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    set_exceptions(&plane, SECRETS, &[("allowedLabels", &["before"])]).await;
    for line in commands("docs/kubectl-acr.md", "Exceptions").unwrap() {
        shell_in(&plane, folder.path(), &[], &line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    for item in ["cost-center=retail", "harbor", "example.com/*", "automountServiceAccountToken=false"] {
        assert!(file("more.yaml").contains(&format!("['{item}']")), "{item}");
    }
    plane.apply_file(folder.path().join("more.yaml")).await.unwrap();

    let list = async |index: usize| {
        let path = format!("jsonpath={{.spec.variables[{index}].expression}}");
        plane.kubectl_ok(&["get", "validatingadmissionpolicy", SECRETS, "-o", &path]).await.unwrap()
    };
    assert_eq!(list(0).await, "['cost-center=retail']");
    shell_in(&plane, folder.path(), &[], "sh patch.sh").unwrap();
    assert_eq!(list(0).await, "[\"before\", \"team=a\"]", "as they were when the patch was printed");
    let live = shell(&plane, "kubectl acr exceptions --live").unwrap();
    assert!(live.contains("['before', 'team=a']") && live.contains("['harbor']"), "{live}");

    let patches = file("kustomization-patches.yaml");
    let kustomization = format!("resources:\n- policies.yaml\n{patches}");
    std::fs::write(folder.path().join("kustomization.yaml"), kustomization).unwrap();
    std::fs::copy(crate::harness::root().join("deploy/policies.yaml"), folder.path().join("policies.yaml"))
        .unwrap();
    let built = shell_in(&plane, folder.path(), &[], "kubectl kustomize .").unwrap();
    plane.apply(&built).await.unwrap();
    assert_eq!(list(0).await, "[\"cost-center=retail\"]");
}
