//! What another admission controller adds to our objects, so that our own policies deny them.

use acr_lab::hook::{AdmissionHook, Verdict};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use serde_json::json;

use super::{MUTATORS, exceptions, hooked, mutating, printed, user};
use crate::harness::{DOMAIN, Lab, SECRET, root, spec};

const FIELD_CASE: &str = "tests/integration/refusal/add-cost-center.yaml";

/// Starts everything, with a namespace of two ServiceAccounts, then the platform's policy, then the binding. Returns
/// what the binding says.
async fn labelled() -> (Lab, String) {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    lab.create_account("shop", "old", &[]).await;
    lab.plane.apply_file(root().join(FIELD_CASE)).await.unwrap();
    lab.until_created::<ServiceAccount>("shop", |found| {
        found["metadata"]["labels"]["cost-center"] == "retail"
    })
    .await;
    lab.bind("shop", spec(&["shop*"])).await;
    let message = lab.until_ready_is("shop", "False", "MetadataAddedByAdmission").await;
    (lab, message)
}

fn assert_accuses_the_platform(message: &str, deed: &str) {
    for words in ["another admission controller", "mutating webhook or policy", deed, MUTATORS] {
        assert!(message.contains(words), "{message} lacks {words:?}");
    }
    for words in ["this version", "flag"] {
        assert!(!message.contains(words), "{message} has {words:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_on_everything_is_named_and_the_exceptions_let_secret_and_entries_in() {
    let (lab, message) = labelled().await;
    assert_accuses_the_platform(&message, "sets the label cost-center of the Secret shop/");
    user(&message);
    assert!(message.contains("add the exception to the policy acr-credential-secrets ("), "{message}");
    lab.assert_policies_are_enforced("shop").await;
    assert!(lab.secret("shop").await.is_none());
    let line = printed(&message, "kubectl acr exceptions");
    assert_eq!(line, exceptions("--secret-label cost-center"));
    lab.follow(&message, "kubectl acr exceptions");
    lab.until_served("shop", DOMAIN).await;
    let message = lab.until_ready_says("shop", "False", "MetadataAddedByAdmission", "ServiceAccount").await;
    assert_accuses_the_platform(&message, "sets the label cost-center of the ServiceAccount shop/");
    let line = printed(&message, "kubectl acr exceptions");
    assert_eq!(line, exceptions("--service-account-label cost-center"));
    lab.follow(&message, "kubectl acr exceptions");
    lab.until_ready_is("shop", "True", "Succeeded").await;
    for account in ["default", "old"] {
        lab.until_attached("shop", account).await;
    }
    lab.create_namespace("shop-2").await;
    lab.create_account("shop-2", "new", &[]).await;
    lab.until_attached("shop-2", "new").await;
    lab.until_served("shop-2", DOMAIN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exemption_of_the_named_user_lets_secret_and_entries_in() {
    let (lab, message) = labelled().await;
    let user = user(&message);
    // The policies that the message's command lists include the one to change.
    let listed = lab.follow(&message, "kubectl get mutating");
    assert!(listed.contains("add-cost-center"), "{listed}");
    let exempt = json!([{
        "op": "add",
        "path": "/spec/matchConditions/-",
        "value": { "name": "others", "expression": format!("request.userInfo.username != '{user}'") },
    }])
    .to_string();
    let policy = ["patch", "mutatingadmissionpolicy", "add-cost-center", "--type=json", "-p", &exempt];
    lab.plane.kubectl_ok(&policy).await.unwrap();
    lab.until_ready_is("shop", "True", "Succeeded").await;
    for account in ["default", "old"] {
        lab.until_attached("shop", account).await;
    }
    assert!(!lab.secret("shop").await.unwrap().metadata.labels.unwrap().contains_key("cost-center"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_arrives_later_leaves_the_last_credential_and_is_reported_at_the_refresh() {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    lab.bind("shop", spec(&["shop"])).await;
    lab.until_ready_is("shop", "True", "Succeeded").await;
    let before = lab.secret("shop").await.unwrap();
    lab.plane.apply_file(root().join(FIELD_CASE)).await.unwrap();
    lab.until_created::<ServiceAccount>("shop", |found| {
        found["metadata"]["labels"]["cost-center"] == "retail"
    })
    .await;
    lab.refresh("shop", "1").await;
    let message = lab.until_ready_is("shop", "False", "MetadataAddedByAdmission").await;
    assert_accuses_the_platform(&message, "sets the label cost-center of the Secret shop/");
    assert_eq!(lab.secret("shop").await.unwrap().data, before.data, "the last good credential stays");
    lab.until_attached("shop", "default").await;
    lab.assert_policies_are_enforced("shop").await;
    lab.follow(&message, "kubectl acr exceptions");
    lab.until_ready_is("shop", "True", "Succeeded").await;
    let after = lab.secret("shop").await.unwrap();
    assert_ne!(after.data, before.data);
    assert_eq!(after.metadata.uid, before.metadata.uid);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_on_each_secret_is_named_with_its_exception() {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    let annotated =
        "Object{metadata: Object.metadata{annotations: {'platform.example.com/owner': 'retail'}}}";
    lab.apply_all(&mutating("*", "shop", annotated)).await;
    lab.until_created::<ServiceAccount>("shop", |found| found["metadata"]["annotations"].is_object()).await;
    let mut covered = spec(&["shop"]);
    covered["serviceAccounts"]["names"] = json!(["none-*"]);
    lab.bind("shop", covered).await;
    let message = lab.until_ready_is("shop", "False", "MetadataAddedByAdmission").await;
    assert_accuses_the_platform(
        &message,
        "sets the annotation platform.example.com/owner of the Secret shop/",
    );
    let line = printed(&message, "kubectl acr exceptions");
    assert_eq!(line, exceptions("--secret-annotation platform.example.com/owner"));
    lab.follow(&message, "kubectl acr exceptions");
    lab.until_served("shop", DOMAIN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_no_exception_allows_has_the_exemption_alone() {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    let owned = "Object{metadata: Object.metadata{labels: {'helm.sh/chart': 'platform'}}}";
    lab.apply_all(&mutating("secrets", "shop", owned)).await;
    lab.until_created::<Secret>("shop", |found| found["metadata"]["labels"].is_object()).await;
    lab.bind("shop", spec(&["shop"])).await;
    let message = lab.until_ready_is("shop", "False", "MetadataAddedByAdmission").await;
    assert_accuses_the_platform(&message, "sets the label helm.sh/chart of the Secret shop/");
    assert!(!message.contains("kubectl acr exceptions"), "{message}");
    let condition = format!("request.userInfo.username != '{}'", user(&message));
    let add = json!([{
        "op": "add",
        "path": "/spec/matchConditions/-",
        "value": { "name": "others", "expression": condition },
    }])
    .to_string();
    let policy = ["patch", "mutatingadmissionpolicy", "platform", "--type=json", "-p", &add];
    lab.plane.kubectl_ok(&policy).await.unwrap();
    lab.until_ready_is("shop", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_turns_off_token_mounting_is_named_with_its_exception() {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    lab.apply_all(&mutating("serviceaccounts", "shop", "Object{automountServiceAccountToken: false}")).await;
    lab.until_created::<ServiceAccount>("shop", |found| found["automountServiceAccountToken"] == false).await;
    lab.bind("shop", spec(&["shop"])).await;
    let message = lab.until_ready_is("shop", "False", "MetadataAddedByAdmission").await;
    let deed = "sets the field automountServiceAccountToken of the ServiceAccount shop/default";
    assert_accuses_the_platform(&message, deed);
    assert_eq!(printed(&message, "kubectl acr exceptions"), exceptions("--automount-false"));
    lab.follow(&message, "kubectl acr exceptions");
    lab.until_attached("shop", "default").await;
    lab.until_ready_is("shop", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_turns_off_token_mounting_is_reported_and_can_exempt_the_user() {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    let patch = json!([{ "op": "add", "path": "/automountServiceAccountToken", "value": false }]);
    let hook = AdmissionHook::start(move |_| Verdict::Patch(patch.clone())).await.unwrap();
    let kind = "MutatingWebhookConfiguration";
    lab.apply_all(&[hooked(kind, &hook, "shop", json!([]))]).await;
    lab.until_created::<ServiceAccount>("shop", |found| found["automountServiceAccountToken"] == false).await;
    lab.bind("shop", spec(&["shop"])).await;
    let message = lab.until_ready_is("shop", "False", "MetadataAddedByAdmission").await;
    let deed = "sets the field automountServiceAccountToken of the ServiceAccount shop/default";
    assert_accuses_the_platform(&message, deed);
    assert_eq!(lab.pull_secrets("shop", "default").await, [] as [&str; 0]);
    let listed = lab.follow(&message, "kubectl get mutating");
    assert!(listed.contains("platform"), "{listed}");
    let others = format!("request.userInfo.username != '{}'", user(&message));
    lab.apply_all(&[hooked(kind, &hook, "shop", json!([{ "name": "others", "expression": others }]))]).await;
    lab.until_ready_is("shop", "True", "Succeeded").await;
    assert_eq!(lab.pull_secrets("shop", "default").await, [SECRET]);
}
