//! The controller's report on its own policies and its own rights.

use acr_lab::plane::Options;

use crate::harness::{Lab, root, spec};

const POLICIES: [&str; 5] = ["secrets", "serviceaccounts", "bindings", "events", "objects"];

/// Returns the message of the condition `PoliciesEnforced` of a binding, if it is False.
async fn missing(lab: &Lab, binding: &str) -> Option<String> {
    let (status, reason, message) = lab.condition(binding, "PoliciesEnforced").await?;
    ((status.as_str(), reason.as_str()) == ("False", "PoliciesMissing")).then_some(message)
}

async fn grant_webhook(lab: &Lab) {
    lab.plane.grant_webhook(root().join("deploy/webhook.yaml")).await.unwrap();
}

async fn enforced(lab: &Lab) -> bool {
    lab.controller.metrics().await.unwrap().contains("acr_admission_policies_enforced 1")
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_policies_are_reported_and_new_ones_are_noticed() {
    let lab = Lab::start_without(&["deploy/policies.yaml"], Options::default()).await;
    // The policy of the Lease protects what is granted by name.
    lab.plane
        .apply(
            r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "lease",
              "namespace": "acr-credential-system"}, "rules": [{"apiGroups": ["coordination.k8s.io"],
              "resources": ["leases"], "resourceNames": ["acr-credential-controller"], "verbs": ["create", "patch"]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "lease",
              "namespace": "acr-credential-system"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role",
              "name": "lease"}, "subjects": [{"kind": "ServiceAccount", "name": "acr-credential-controller",
              "namespace": "acr-credential-system"}]}]}"#,
        )
        .await
        .unwrap();
    lab.create_namespace("unfenced").await;
    lab.bind("unfenced", spec(&["unfenced"])).await;
    lab.until_ready_is("unfenced", "True", "Succeeded").await;
    lab.until("the condition names every policy", async || {
        missing(&lab, "unfenced").await.is_some_and(|message| {
            POLICIES.iter().all(|policy| message.contains(&format!("acr-credential-{policy}")))
                && message.contains(" not enforced: apply deploy/policies.yaml")
        })
    })
    .await;
    assert!(!enforced(&lab).await);
    assert!(lab.controller.log().contains("The ValidatingAdmissionPolicies "));
    assert!(!lab.controller.log().contains("has rights that it does not need"), "the RBAC is what it needs");

    lab.plane.apply_file(root().join("deploy/policies.yaml")).await.unwrap();
    lab.until_policies_enforced().await;
    lab.until("the condition goes", async || lab.condition("unfenced", "PoliciesEnforced").await.is_none())
        .await;

    // A policy that is removed alone is named alone, the webhook's included, once there is a webhook to
    // protect.
    grant_webhook(&lab).await;
    for policy in POLICIES.into_iter().chain(["webhook"]) {
        let name = format!("acr-credential-{policy}");
        lab.plane.kubectl_ok(&["delete", "validatingadmissionpolicybinding", &name]).await.unwrap();
        lab.until("the policy that was taken away is named", async || {
            if enforced(&lab).await {
                lab.controller.restart().unwrap();
                lab.controller.until_ready(std::time::Duration::from_secs(30)).await.unwrap();
            }
            !enforced(&lab).await
        })
        .await;
        lab.until("it is the only one", async || {
            missing(&lab, "unfenced").await.is_some_and(|message| {
                POLICIES
                    .into_iter()
                    .chain(["webhook"])
                    .all(|other| message.contains(&format!("acr-credential-{other}")) == (other == policy))
            })
        })
        .await;
        grant_webhook(&lab).await;
        lab.plane.apply_file(root().join("deploy/policies.yaml")).await.unwrap();
        lab.until_policies_enforced().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn excessive_rights_are_reported_by_name() {
    let lab = Lab::start().await;
    lab.plane
        .apply(
            r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "wide"},
              "rules": [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]},
                {"apiGroups": [""], "resources": ["users", "groups"], "verbs": ["impersonate"]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "wide"},
              "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "wide"},
              "subjects": [{"kind": "ServiceAccount", "name": "acr-credential-controller",
                "namespace": "acr-credential-system"}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "wide",
              "namespace": "acr-credential-system"},
              "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
              "subjects": [{"kind": "ServiceAccount", "name": "acr-credential-controller",
                "namespace": "acr-credential-system"}]}]}"#,
        )
        .await
        .unwrap();
    lab.controller.restart().unwrap();
    lab.until("each is named with its place", async || {
        let log = lab.controller.log();
        [
            "create pods/exec of any name in every namespace",
            "impersonate users of any name in every namespace",
            "get, list, watch secrets of any name in the controller's own namespace",
        ]
        .iter()
        .all(|right| log.contains(right))
    })
    .await;
}

/// Kubernetes before 1.30, and clusters that have them switched off.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_without_policies_is_recognized_and_namespaces_are_served() {
    let without = Options {
        extra_api_server_args: vec![
            "--disable-admission-plugins=ValidatingAdmissionPolicy".to_owned(),
            "--runtime-config=admissionregistration.k8s.io/v1/validatingadmissionpolicies=false,\
             admissionregistration.k8s.io/v1/validatingadmissionpolicybindings=false"
                .to_owned(),
        ],
        ..Options::default()
    };
    let lab = Lab::start_without(&["deploy/policies.yaml"], without).await;
    let refused = lab.plane.apply_file(root().join("deploy/policies.yaml")).await.unwrap_err();
    assert!(format!("{refused:#}").contains("ValidatingAdmissionPolicy"), "{refused:#}");
    lab.create_namespace("old").await;
    lab.bind("old", spec(&["old"])).await;
    lab.until_ready_is("old", "True", "Succeeded").await;
    lab.until_attached("old", "default").await;
    lab.until("the condition reports that none can exist", async || {
        missing(&lab, "old").await.is_some_and(|message| {
            message.contains("serves no ValidatingAdmissionPolicy")
                && message.contains("upgrade to Kubernetes 1.30, then apply deploy/policies.yaml")
        })
    })
    .await;
    assert!(!enforced(&lab).await);
    assert!(lab.controller.log().contains("serves no ValidatingAdmissionPolicy"));
}
