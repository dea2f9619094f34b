//! Looks whether the admission policies that fence this controller are in force.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::error::{CallError, call};
use super::objects::WatchedSecret;
use crate::api::names;

/// The word that every denial of ours carries.
const MARK: &str = "acr-credential-";

/// What stands between this controller and every Secret of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// A dry run that must be refused was refused by our policy.
    Standing,
    /// It was let through: RBAC alone lets the controller make a Secret of its name and another type, which the
    /// cluster would fill with a token.
    Missing,
    /// Nobody could tell.
    Unknown,
}

/// Asks for what the policies must refuse, as a dry run: a Secret of our name and another type.
pub async fn probe(client: &Client, namespace: &str, secret_name: &str) -> Fence {
    let secrets: Api<WatchedSecret> = Api::namespaced(client.clone(), namespace);
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": secret_name, "namespace": namespace },
        "type": "Opaque",
        "data": { "probe": "" },
    });
    let params = PatchParams { dry_run: true, ..PatchParams::apply(names::MANAGER) };
    match call(secrets.patch(secret_name, &params, &Patch::Apply(&object))).await {
        Ok(_) => Fence::Missing,
        Err(CallError::Forbidden(message) | CallError::Invalid(message)) if is_ours(&message) => {
            Fence::Standing
        }
        Err(_) => Fence::Unknown,
    }
}

/// Whether these words of the API server are a refusal by one of our policies.
pub fn is_ours(message: &str) -> bool {
    message.contains(MARK) && message.contains("ValidatingAdmissionPolicy")
}

/// Rights that this controller has and does not need, as sentences.
///
/// # Errors
/// [`CallError`].
pub async fn excess_rights(client: &Client) -> Result<Vec<String>, CallError> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let mut excess = Vec::new();
    for (verb, resource) in
        [("list", "secrets"), ("get", "secrets"), ("create", "pods"), ("delete", "serviceaccounts")]
    {
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            resource: Some(resource.to_owned()),
            version: Some("v1".to_owned()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                non_resource_attributes: None,
            },
            ..SelfSubjectAccessReview::default()
        };
        let answer = call(reviews.create(&PostParams::default(), &review)).await?;
        if answer.status.is_some_and(|status| status.allowed) {
            excess.push(format!("{verb} {resource} in every namespace, of any name"));
        }
    }
    Ok(excess)
}
