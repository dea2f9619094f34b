//! Policies and webhooks of others that refuse our writes.

use std::sync::atomic::{AtomicUsize, Ordering};

use acr_lab::controller::Controller;
use acr_lab::hook::{AdmissionHook, Verdict};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{exceptions, hooked, mutating, printed, user, validating};
use crate::documentation::shell;
use crate::explain::explain;
use crate::harness::{Lab, PATIENCE, SECRET, spec};

const TEAM: &str = "'team' in object.metadata.?labels.orValue({})";

/// Restarts the controller with one more flag.
async fn restart_with(lab: &mut Lab, flag: &str) {
    let options = lab.controller.options().clone().arg(flag);
    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.controller = Controller::start_ready(options, PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_demands_a_label_of_secrets_is_quoted_and_the_flag_and_its_exception_satisfy_it() {
    let mut lab = Lab::start().await;
    lab.create_namespace("strict").await;
    lab.apply_all(&validating("secrets", "strict", TEAM, "each Secret needs the label team")).await;
    lab.until_created::<Secret>("strict", |found| found.is_string()).await;
    lab.bind("strict", spec(&["strict"])).await;
    let message = lab.until_ready_is("strict", "False", "RefusedByAdmission").await;
    for words in [
        "the ValidatingAdmissionPolicy platform refuses the Secret strict/",
        "it says \"each Secret needs the label team\"",
        "--secret-label KEY=VALUE",
    ] {
        assert!(message.contains(words), "{message} lacks {words:?}");
    }
    assert!(!message.contains("this version"), "{message}");
    let (found, verdict) = explain(lab.plane.kubeconfig(), "strict", &["sa/default"]);
    assert_eq!(found, "ACR815", "{verdict:#}");
    let shown = shell(&lab.plane, verdict["command"].as_str().unwrap()).unwrap();
    assert!(shown.contains("--secret-label KEY=VALUE"), "the binding has the cure: {shown}");
    lab.assert_policies_are_enforced("strict").await;
    // The first half of the cure: the controller's own policy knows nothing of the key yet, and says so.
    restart_with(&mut lab, "--secret-label=team=web").await;
    let message = lab.until_ready_is("strict", "False", "Forbidden").await;
    assert!(message.contains("lists what --secret-label sets, team"), "{message}");
    assert!(!message.contains("another admission controller"), "{message}");
    let line = printed(&message, "kubectl acr exceptions");
    assert_eq!(line, exceptions("--secret-label team=web"));
    lab.follow(&message, "kubectl acr exceptions");
    lab.until_ready_is("strict", "True", "Succeeded").await;
    assert_eq!(lab.secret("strict").await.unwrap().metadata.labels.unwrap()["team"], "web");
    lab.until("nothing is to be explained", async || {
        explain(lab.plane.kubeconfig(), "strict", &["sa/default"]).0 == "none"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_demands_a_label_of_accounts_is_quoted_once_and_the_owner_satisfies_it() {
    let lab = Lab::start().await;
    lab.create_namespace("strict").await;
    let asked = AtomicUsize::new(0);
    // It answers as some do, with a code that otherwise means another thing, and with a number of its own each time.
    let hook = AdmissionHook::start(move |request: &Value| {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        match request["object"]["metadata"]["labels"]["team"].is_string() {
            true => Verdict::Admit,
            false => {
                Verdict::Deny(409, format!("request {number}:\n\nrequire-labels:\n  set the label team\n"))
            }
        }
    })
    .await
    .unwrap();
    let kind = "ValidatingWebhookConfiguration";
    lab.apply_all(&[hooked(kind, &hook, "strict", json!([]))]).await;
    lab.until_created::<ServiceAccount>("strict", |found| {
        found.as_str().is_some_and(|message| message.contains("label team"))
    })
    .await;
    lab.bind("strict", spec(&["strict"])).await;
    let message = lab.until_ready_is("strict", "False", "RefusedByAdmission").await;
    for words in [
        "the admission webhook accounts.platform.example.com refuses the ServiceAccount strict/default",
        "have the ServiceAccount's owner set what it demands",
        ": require-labels: set the label team\"",
    ] {
        assert!(message.contains(words), "{message} lacks {words:?}");
    }
    user(&message);
    let refused = |lab: &Lab, mark| {
        lab.requests(mark).of("serviceaccounts").filter(|e| e.verb == "patch" && e.code == 409).len()
    };
    // Two more attempts are refused with other words, and the status is not written for them.
    let mark = lab.mark();
    lab.until("it is tried again", async || refused(&lab, mark) >= 2).await;
    let written = lab.requests(mark).of("acrcredentialbindings").writes();
    assert_eq!(written.len(), 0, "{:?}", written.counts());
    assert_eq!(lab.condition("strict", "Ready").await.unwrap().2, message);
    let label = json!({ "metadata": { "labels": { "team": "web" } } });
    let accounts = lab.namespaced::<ServiceAccount>("strict");
    accounts.patch("default", &PatchParams::default(), &Patch::Merge(&label)).await.unwrap();
    lab.until_ready_is("strict", "True", "Succeeded").await;
    assert_eq!(lab.pull_secrets("strict", "default").await, [SECRET]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_does_not_answer_is_named_and_its_deletion_lets_the_entry_in() {
    let lab = Lab::start().await;
    lab.create_namespace("silent").await;
    let hook = AdmissionHook::start(|_| Verdict::Admit).await.unwrap();
    let configuration = hooked("ValidatingWebhookConfiguration", &hook, "silent", json!([]));
    drop(hook);
    lab.apply_all(&[configuration]).await;
    lab.until_created::<ServiceAccount>("silent", |found| {
        found.as_str().is_some_and(|message| message.contains("failed calling"))
    })
    .await;
    lab.bind("silent", spec(&["silent"])).await;
    let message = lab.until_ready_is("silent", "False", "AdmissionUnreachable").await;
    let webhook = "cannot call the admission webhook accounts.platform.example.com";
    assert!(message.contains(webhook) && message.contains("silent/default"), "{message}");
    let listed = lab.follow(&message, "kubectl get");
    assert!(
        listed.contains("validatingwebhookconfiguration.admissionregistration.k8s.io/platform"),
        "{listed}"
    );
    lab.plane.kubectl_ok(&["delete", "validatingwebhookconfiguration", "platform"]).await.unwrap();
    lab.until_ready_is("silent", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutating_policy_that_cannot_be_evaluated_is_named() {
    let lab = Lab::start().await;
    lab.create_namespace("broken").await;
    let expression = "Object{metadata: Object.metadata{labels: {'a': object.metadata.labels['absent']}}}";
    lab.apply_all(&mutating("serviceaccounts", "broken", expression)).await;
    lab.until_created::<ServiceAccount>("broken", |found| found.is_string()).await;
    lab.bind("broken", spec(&["broken"])).await;
    let message = lab.until_ready_is("broken", "False", "RefusedByAdmission").await;
    assert!(message.contains("the MutatingAdmissionPolicy platform refuses the ServiceAccount"), "{message}");
    user(&message);
    lab.plane.kubectl_ok(&["delete", "mutatingadmissionpolicybinding", "platform"]).await.unwrap();
    lab.until_ready_is("broken", "True", "Succeeded").await;
}

/// One object that is refused delays no other of its namespace, and none of another namespace.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_secret_of_one_namespace_delays_no_other_namespace() {
    let lab = Lab::start().await;
    lab.create_namespace("strict").await;
    lab.create_namespace("free").await;
    lab.apply_all(&validating("secrets", "strict", TEAM, "each Secret needs the label team")).await;
    lab.until_created::<Secret>("strict", |found| found.is_string()).await;
    lab.bind("both", spec(&["strict", "free"])).await;
    lab.until_ready_says("both", "False", "RefusedByAdmission", "1 of 2 namespaces").await;
    lab.until_attached("free", "default").await;
    lab.create_account("free", "late", &[]).await;
    lab.until_attached("free", "late").await;
}
