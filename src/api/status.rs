//! The status of an `AcrCredentialBinding`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The observed state of a binding. It holds no credential.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AcrCredentialBindingStatus {
    /// Generation of the spec that this status is about; -1 before the first reconciliation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Value of the annotation `acrcredential.dev/refresh-at` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_refresh_at: Option<String>,

    /// The columns of `kubectl get`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,

    /// Counts of the covered namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceCounts>,

    /// Counts of the covered ServiceAccounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<ServiceAccountCounts>,

    /// The state of each entry of `spec.registries`, in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<RegistryStatus>,

    /// The state of each (registry, namespace) pair; pairs that are not ready come first. At most 200.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PairStatus>,

    /// Number of pairs that are not listed; ready ones are omitted first. The counts stay exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs_omitted: Option<i64>,

    /// The conditions of the binding: `Ready` always, others only where they apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Texts for the columns of `kubectl get`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Registries with a valid credential, of all: `2/2`.
    pub registries: String,
    /// Ready namespaces, of those covered: `11/12`.
    pub namespaces: String,
    /// ServiceAccounts with the entry, of those covered: `39/40`.
    pub service_accounts: String,
    /// The identities that request credentials, each chain once: `worker-role, rrsa:a → b`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub identities: String,
    /// Earliest expiry of the current credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// Counts of namespaces.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamespaceCounts {
    /// Covered by the binding.
    pub matched: i64,
    /// With a Secret that has every valid credential of the binding.
    pub ready: i64,
}

/// Counts of ServiceAccounts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceAccountCounts {
    /// Covered by the binding.
    pub matched: i64,
    /// With the controller's entry in `imagePullSecrets`.
    pub bound: i64,
}

/// The state of one entry of `spec.registries`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RegistryStatus {
    /// Instance id, or `personal`.
    pub registry: String,
    /// Region of the registry.
    pub region_id: String,
    /// Domains of the credential.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// The chain of identities that requests the credential, such as `worker-role → acr-pull`.
    pub identity: String,
    /// API host of the cloud that issued the credential: the VPC's in the cluster's own region, or the public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Expiry of the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Time of the last refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_at: Option<Time>,
    /// Time of the next refresh. Absent while attempts fail: these are repeated with growing pauses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_refresh_at: Option<Time>,
    /// `Issued`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The state of one registry in one namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PairStatus {
    /// Instance id, or `personal`.
    pub registry: String,
    /// The namespace.
    pub namespace: String,
    /// `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
