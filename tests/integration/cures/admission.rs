//! Cures of the admission policy that adds the entry.

use acr_lab::message::{after, files};
use serde_json::json;

use super::{apply, apply_changed};
use crate::harness::{Lab, spec};

async fn until_admission_is(lab: &Lab, status: &str, words: &str) -> String {
    let mut message = String::new();
    lab.until(&format!("AdmissionConfigured is {status}: {words}"), async || {
        match lab.condition("asking", "AdmissionConfigured").await {
            Some((found, _, said)) if found == status && said.contains(words) => {
                message = said;
                true
            }
            _ => false,
        }
    })
    .await;
    message
}

/// First the rights are those of another version; then a file is missing.
#[tokio::test(flavor = "multi_thread")]
async fn the_admission_policy_works_once_the_files_of_its_message_are_applied() {
    let lab = Lab::start().await;
    let right = "resourceNames: [acr-credential-admission]\n  verbs: [get, list, watch, create, patch]";
    apply_changed(&lab, "deploy/rbac.yaml", right, &right.replace(", create, patch", "")).await;
    lab.create_namespace("asking").await;
    let mut asking = spec(&["asking"]);
    asking["webhook"] = json!({ "enable": true });
    lab.bind("asking", asking).await;
    let message = until_admission_is(&lab, "False", ": apply deploy/rbac.yaml of this version").await;
    assert_eq!(files(&message)[0], "deploy/rbac.yaml", "{message}");
    apply(&lab, "deploy/rbac.yaml").await;
    let message = until_admission_is(&lab, "False", "is not in force: apply deploy/admission.yaml").await;
    apply(&lab, after(&message, "is not in force:").split(';').next().unwrap()).await;
    until_admission_is(&lab, "True", "MutatingAdmissionPolicy").await;
}
