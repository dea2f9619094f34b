//! The demonstration's view of the cluster, read as any client would read it.

use std::time::Duration;

use anyhow::{Context, anyhow};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    runtime::wait,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Debug;

use super::STEP_TIMEOUT;

/// The name that the product's Secret has in every namespace.
pub(super) const SECRET: &str = "acr-credential-secret-aggregation";

/// Returns the API of bindings, untyped: the lab shares no code with the product.
pub(super) fn bindings(client: Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("acrcredential.dev", "v1alpha1", "AcrCredentialBinding");
    Api::all_with(client, &ApiResource::from_gvk_with_plural(&kind, "acrcredentialbindings"))
}

/// Waits until an object exists and satisfies a condition.
pub(super) async fn until<K>(
    api: Api<K>,
    name: &str,
    what: &str,
    holds: impl Fn(&K) -> bool + Send,
) -> anyhow::Result<K>
where
    K: Resource + Clone + Debug + Send + DeserializeOwned + 'static,
{
    let condition = |object: Option<&K>| object.is_some_and(&holds);
    let found = wait::await_condition(api, name, condition);
    tokio::time::timeout(STEP_TIMEOUT, found)
        .await
        .map_err(|_| anyhow!("not in {STEP_TIMEOUT:?}: {what}"))??
        .with_context(|| format!("gone meanwhile: {name}"))
}

/// Returns whether a binding reports `Ready=True` for its current spec.
pub(super) fn is_ready(binding: &DynamicObject) -> bool {
    let status = &binding.data["status"];
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    status["observedGeneration"].as_i64() == binding.metadata.generation
        && conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Returns a binding's registries, with their status.
pub(super) fn registries(binding: &DynamicObject) -> Vec<RegistryStatus> {
    let entries = binding.data["status"]["registries"].as_array().cloned().unwrap_or_default();
    entries.into_iter().filter_map(|entry: Value| serde_json::from_value(entry).ok()).collect()
}

/// One registry of a binding's status.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RegistryStatus {
    pub(super) registry: String,
    #[serde(default)]
    pub(super) identity: String,
    #[serde(default)]
    pub(super) expires_at: String,
}

/// Returns whether a ServiceAccount has the product's entry exactly once.
pub(super) fn is_bound(account: &ServiceAccount) -> bool {
    account.image_pull_secrets.iter().flatten().filter(|entry| entry.name == SECRET).count() == 1
}

/// The content of a pull Secret for a kubelet.
#[derive(Deserialize)]
pub(super) struct PullSecret {
    pub(super) auths: BTreeMap<String, Login>,
}

/// A user and its token. Never printed.
#[derive(Deserialize)]
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password: String,
}

/// Reads a pull Secret; `None` if it is incomplete.
pub(super) fn pull_secret(secret: &Secret) -> Option<PullSecret> {
    serde_json::from_slice(&secret.data.as_ref()?.get(".dockerconfigjson")?.0).ok()
}

/// Formats a duration in words that a reader can compare.
pub(super) fn milliseconds(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1000.0)
}
