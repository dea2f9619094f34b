//! Cures of writes that are refused: by other admission controllers, by our own policies, and for want of room.

use std::time::Duration;

use acr_lab::controller::Controller;
use acr_lab::hook::{AdmissionHook, Verdict};
use acr_lab::message::{after, between};
use acr_lab::plane::Options;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{apply, apply_changed};
use crate::documentation::shell;
use crate::harness::{CONTROLLER, Lab, NAMESPACE, SECRET, options, spec};
use crate::refusal::{hooked, mutating, printed, validating};

const PATIENCE: Duration = Duration::from_secs(30);
const SILENT: &str = "ValidatingWebhookConfiguration";

fn user() -> String {
    format!("system:serviceaccount:{NAMESPACE}:{CONTROLLER}")
}

/// Gives objects that are named `platform` a name of their own.
fn named(mut objects: Vec<Value>, name: &str) -> Vec<Value> {
    for object in &mut objects {
        object["metadata"]["name"] = json!(name);
        if object["spec"]["policyName"].is_string() {
            object["spec"]["policyName"] = json!(name);
        }
    }
    objects
}

/// Exempts the controller's user in the policy or webhook that is the first of these objects.
fn exempting(mut objects: Vec<Value>) -> Vec<Value> {
    let condition =
        json!({ "name": "others", "expression": format!("request.userInfo.username != '{}'", user()) });
    let platform = &mut objects[0];
    let place = if platform["webhooks"].is_array() { "/webhooks/0" } else { "/spec" };
    let conditions = platform.pointer_mut(place).unwrap()["matchConditions"].as_array_mut().unwrap();
    conditions.push(condition);
    objects
}

async fn put(lab: &Lab, objects: &[Value]) {
    for object in objects {
        lab.plane.apply(&object.to_string()).await.unwrap();
    }
}

/// A webhook that is down, a broken policy, and one that refuses deletions; each in a namespace of its own.
#[tokio::test(flavor = "multi_thread")]
async fn another_admission_controller_is_corrected_started_deleted_or_exempts_the_user_as_the_message_says() {
    let lab = Lab::start().await;
    let dead = AdmissionHook::start(|_| Verdict::Admit).await.unwrap();
    let silent = |hook: &AdmissionHook, namespace: &str| {
        named(vec![hooked(SILENT, hook, namespace, json!([]))], namespace)
    };
    let broken = "Object{metadata: Object.metadata{labels: {'a': object.metadata.labels['absent']}}}";
    let policy =
        |namespace: &str, text| named(mutating("serviceaccounts", namespace, text).into(), namespace);
    let down = ["down-start", "down-delete", "down-exempt"];
    let failing = ["broken-correct", "broken-exempt"];
    let lost = down.map(|namespace| silent(&dead, namespace));
    drop(dead);
    for (namespace, silent) in down.into_iter().zip(&lost) {
        lab.create_namespace(namespace).await;
        put(&lab, silent).await;
        lab.until_created::<ServiceAccount>(namespace, |found| found.is_string()).await;
    }
    for namespace in failing {
        lab.create_namespace(namespace).await;
        put(&lab, &policy(namespace, broken)).await;
        lab.until_created::<ServiceAccount>(namespace, |found| found.is_string()).await;
    }
    for namespace in down.into_iter().chain(failing) {
        lab.bind(namespace, spec(&[namespace])).await;
    }
    let mut started = None;
    for namespace in down {
        let message = lab.until_ready_is(namespace, "False", "AdmissionUnreachable").await;
        after(&message, "the admission webhook accounts.platform.example.com");
        match namespace {
            "down-start" => {
                after(&message, ": start its Pods");
                let hook = AdmissionHook::start(|_| Verdict::Admit).await.unwrap();
                put(&lab, &silent(&hook, namespace)).await;
                started = Some(hook);
            }
            "down-delete" => {
                after(&message, "or delete its configuration if it was uninstalled");
                let listed = shell(&lab.plane, printed(&message, "kubectl get validating")).unwrap();
                assert!(listed.contains(namespace), "{listed}");
                lab.plane.kubectl_ok(&["delete", SILENT, namespace]).await.unwrap();
            }
            _ => {
                after(&message, &format!("or exempt the user {} there", user()));
                put(&lab, &exempting(lost[2].clone())).await;
            }
        }
    }
    for namespace in failing {
        let message = lab.until_ready_is(namespace, "False", "RefusedByAdmission").await;
        let user = user();
        after(&message, &format!("correct it, or exempt the user {user} in it"));
        after(&message, &format!("the MutatingAdmissionPolicy {namespace} refuses"));
        match namespace {
            "broken-correct" => {
                let correct = "Object{metadata: Object.metadata{}}";
                put(&lab, &policy(namespace, correct)).await;
            }
            _ => put(&lab, &exempting(policy(namespace, broken))).await,
        }
    }
    for namespace in down.into_iter().chain(failing) {
        lab.until_ready_is(namespace, "True", "Succeeded").await;
        lab.until_attached(namespace, "default").await;
    }
    drop(started);
    withdrawal(&lab).await;
}

/// Follows the cure of a Secret whose deletion another policy refuses.
async fn withdrawal(lab: &Lab) {
    lab.create_namespace("kept").await;
    lab.bind("kept", spec(&["kept"])).await;
    lab.until_ready_is("kept", "True", "Succeeded").await;
    let mut keeps = named(validating("secrets", "kept", "false", "Secrets stay").into(), "kept");
    keeps[0]["spec"]["matchConstraints"]["resourceRules"][0]["operations"] = json!(["DELETE"]);
    put(lab, &keeps).await;
    lab.until("the policy is in force", async || {
        let delete = ["-n", "kept", "delete", "secret", SECRET, "--dry-run=server"];
        lab.plane.kubectl(&delete).await.unwrap().stderr.contains("Secrets stay")
    })
    .await;
    lab.plane.kubectl_ok(&["delete", "acb", "kept", "--wait=false"]).await.unwrap();
    let mut message = String::new();
    lab.until("the withdrawal is refused", async || {
        message = lab.condition("kept", "Ready").await.map(|(.., message)| message).unwrap_or_default();
        message.contains("RefusedByAdmission")
    })
    .await;
    let user = user();
    after(&message, &format!("exempt the user {user} in it"));
    put(lab, &exempting(keeps)).await;
    lab.until("the Secret is gone", async || lab.secret("kept").await.is_none()).await;
    lab.until("so is the binding", async || lab.bindings().get_opt("kept").await.unwrap().is_none()).await;
}

/// A key that no exception allows, and one that an exception or the removal of its flag allows.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_flag_is_excepted_or_removed_as_the_message_says() {
    let mut lab = Lab::start().await;
    lab.create_namespace("flags").await;
    let without = lab.controller.options().clone();
    let with = |flag: &str| without.clone().arg(flag);
    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.controller = Controller::start_ready(with("--secret-label=argocd.argoproj.io/instance=x"), PATIENCE)
        .await
        .unwrap();
    lab.bind("flags", spec(&["flags"])).await;
    let message = lab.until_ready_is("flags", "False", "Forbidden").await;
    let flag = between(&message, ": remove ", " from the controller's flags");
    assert_eq!(flag, "--secret-label argocd.argoproj.io/instance");
    lab.controller.terminate(PATIENCE).await.unwrap();
    for cure in ["or remove the flag", "add the exception ("] {
        if lab.secret("flags").await.is_some() {
            lab.delete_secret("flags").await;
        }
        lab.controller = Controller::start_ready(with("--secret-label=team=web"), PATIENCE).await.unwrap();
        let message = lab.until_ready_says("flags", "False", "Forbidden", cure).await;
        if cure == "or remove the flag" {
            lab.controller.terminate(PATIENCE).await.unwrap();
            lab.controller = Controller::start_ready(without.clone(), PATIENCE).await.unwrap();
        } else {
            shell(&lab.plane, printed(&message, "kubectl acr exceptions")).unwrap();
        }
        lab.until_ready_is("flags", "True", "Succeeded").await;
        lab.controller.terminate(PATIENCE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_of_another_version_are_replaced_as_the_message_says() {
    let lab = Lab::start().await;
    lab.bind("versions", spec(&["versions-*"])).await;
    apply_changed(&lab, "deploy/policies.yaml", SECRET, "acr-renamed").await;
    let (mut number, mut message) = (0, String::new());
    // A Secret that is created before the policy is in force is not refused.
    lab.until("the policy is in force", async || {
        number += 1;
        lab.create_namespace(&format!("versions-{number}")).await;
        let ready = lab.condition("versions", "Ready").await;
        message =
            ready.filter(|(_, reason, _)| reason == "Forbidden").map(|(.., said)| said).unwrap_or_default();
        !message.is_empty()
    })
    .await;
    after(&message, "apply deploy/policies.yaml of this version");
    apply(&lab, &message).await;
    lab.until_ready_is("versions", "True", "Succeeded").await;
}

/// Waits until a policy refuses what the controller does, by a dry run as its user.
async fn until_refused(lab: &Lab, arguments: &[&str], words: &str) {
    let user = user();
    let arguments = [arguments, &["--as", &user, "--dry-run=server"]].concat();
    lab.until("the policy is in force", async || {
        lab.plane.kubectl(&arguments).await.unwrap().stderr.contains(words)
    })
    .await;
}

async fn until_admission_is(lab: &Lab, status: &str, words: &str) -> String {
    let mut message = String::new();
    lab.until(&format!("AdmissionConfigured is {status}: {words}"), async || {
        let found = lab.condition("asking", "AdmissionConfigured").await;
        message = found.filter(|(found, ..)| found == status).map(|(.., said)| said).unwrap_or_default();
        message.contains(words) && !message.is_empty()
    })
    .await;
    message
}

/// First another policy refuses the ConfigMap; then our own policy is that of another version.
#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_written_once_the_user_is_exempt_as_the_message_says() {
    let lab = Lab::start().await;
    apply(&lab, "deploy/admission.yaml").await;
    let refuses: Vec<Value> = validating("configmaps", NAMESPACE, "false", "no ConfigMaps here").into();
    put(&lab, &refuses).await;
    lab.until_created::<ConfigMap>(NAMESPACE, |found| found.is_string()).await;
    lab.create_namespace("asking").await;
    let mut asking = spec(&["asking"]);
    asking["webhook"] = json!({ "enable": true });
    lab.bind("asking", asking).await;
    until_admission_is(&lab, "False", ": exempt the controller's user there").await;
    put(&lab, &exempting(refuses)).await;
    until_admission_is(&lab, "True", "").await;

    let name = "'acr-credential-controller' : 'acr-credential-admission'";
    apply_changed(&lab, "deploy/policies.yaml", name, &name.replace("admission", "other")).await;
    let annotate = ["-n", NAMESPACE, "annotate", "configmap", "acr-credential-admission", "a=b"];
    until_refused(&lab, &annotate, "namespace only").await;
    lab.plane
        .kubectl_ok(&["-n", NAMESPACE, "delete", "configmap", "acr-credential-admission"])
        .await
        .unwrap();
    let message = until_admission_is(&lab, "False", "or apply deploy/policies.yaml of this version").await;
    apply(&lab, &message).await;
    until_admission_is(&lab, "True", "").await;
}

/// Another admission controller labels each Secret of the controller's namespace, which our policies deny.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_cache_is_written_once_the_user_is_exempt_as_the_log_says() {
    let lab = Lab::start().await;
    lab.create_namespace("cached").await;
    let labels = "Object{metadata: Object.metadata{labels: {'cost-center': 'retail'}}}";
    let labelled: Vec<Value> = mutating("secrets", NAMESPACE, labels).into();
    put(&lab, &labelled).await;
    lab.until_created::<Secret>(NAMESPACE, |found| found["metadata"]["labels"].is_object()).await;
    lab.bind("cached", spec(&["cached"])).await;
    lab.until_ready_is("cached", "True", "Succeeded").await;
    let words = "exempt the controller's user from what changes or refuses Secrets of its namespace";
    lab.until("the log has the cure", async || lab.controller.log().contains(words)).await;
    let cache = lab.namespaced::<Secret>(NAMESPACE);
    let saved = async || cache.get_opt("acr-credential-cache").await.unwrap();
    let before = saved().await.and_then(|secret| secret.data);
    put(&lab, &exempting(labelled)).await;
    let mut request = 0;
    lab.until("the cache is written", async || {
        request += 1;
        lab.refresh("cached", &request.to_string()).await;
        let now = saved().await.and_then(|secret| secret.data);
        now.is_some() && now != before
    })
    .await;
}

/// The ServiceAccount of the controller was deleted, and with it its tokens.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_accepted_is_replaced_as_the_log_says() {
    let mut lab = Lab::start().await;
    lab.create_namespace("tokens").await;
    lab.bind("tokens", spec(&["tokens"])).await;
    lab.until_ready_is("tokens", "True", "Succeeded").await;
    lab.plane.kubectl_ok(&["-n", NAMESPACE, "delete", "serviceaccount", CONTROLLER]).await.unwrap();
    let words = "restart the controller's Pods, and check that its ServiceAccount exists";
    // The API server knows the token for some seconds more.
    lab.until("the token is not accepted", async || lab.controller.log().contains("error=Unauthorized"))
        .await;
    lab.delete_secret("tokens").await;
    lab.until("the log has the cure", async || lab.controller.log().contains(words)).await;
    assert!(lab.secret("tokens").await.is_none());
    let refused = format!("lease refused: the API server does not accept the controller's token: {words}");
    lab.until("the lease says the same", async || lab.controller.log().contains(&refused)).await;
    assert!(!lab.controller.log().contains("lease forbidden"), "no right that is granted helps");
    apply(&lab, "deploy/rbac.yaml").await;
    lab.controller.kill();
    let kubeconfig = lab.plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await.unwrap();
    lab.controller = Controller::start_ready(options(kubeconfig, &lab.cloud), PATIENCE).await.unwrap();
    lab.until("the Secret returns", async || lab.secret("tokens").await.is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_without_room_gets_some_as_the_message_says() {
    let small =
        Options { extra_etcd_args: vec!["--max-request-bytes=200000".to_owned()], ..Options::default() };
    let lab = Lab::start_without(&[], small).await;
    lab.create_namespace("full").await;
    let accounts = lab.namespaced::<ServiceAccount>("full");
    let note = async |length: usize| {
        let note = (length > 0).then(|| "n".repeat(length));
        let note = json!({ "metadata": { "annotations": { "example.com/note": note } } });
        accounts.patch("default", &PatchParams::default(), &Patch::Merge(&note)).await
    };
    // The largest that is accepted leaves no room for an entry.
    let mut length = 200_000;
    while let Err(error) = note(length).await {
        assert!(error.to_string().contains("too large"), "{error}");
        length -= 40;
    }
    lab.bind("full", spec(&["full"])).await;
    let words = "remove annotations or entries of imagePullSecrets from it";
    let message = lab.until_ready_is("full", "False", "WriteFailing").await;
    after(&message, words);
    assert_eq!(between(&message, "the ServiceAccount ", " is too large"), "full/default");
    note(0).await.unwrap();
    lab.until_ready_is("full", "True", "Succeeded").await;
    lab.until_attached("full", "default").await;
}
