//! The status of an `AcrCredentialBinding`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the controller found and did. Never a credential.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AcrCredentialBindingStatus {
    /// Generation of the spec that this status speaks of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Echo of the annotation `acrcredential.dev/refresh-at` that was last acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_refresh_at: Option<String>,

    /// The figures that `kubectl get` prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,

    /// How many namespaces are covered, and how many have their Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceCounts>,

    /// How many ServiceAccounts are covered, and how many carry the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<ServiceAccountCounts>,

    /// One an entry of `spec.registries`, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<RegistryStatus>,

    /// One an (instance, namespace) pair; those that are not ready come first. At most 200.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PairStatus>,

    /// Pairs that are not listed above; ready ones are left out first. The counts stay exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs_omitted: Option<i64>,

    /// `Ready` always; `Reconciling` and `Stalled` only while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Figures made for the columns of `kubectl get`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Registries with a live credential, of all: `2/2`.
    pub registries: String,
    /// Namespaces with their Secret, of those covered: `11/12`.
    pub namespaces: String,
    /// ServiceAccounts with the entry, of those covered: `39/40`.
    pub service_accounts: String,
    /// Who asks, each chain of identities once: `worker-role, rrsa:a → b`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub identities: String,
    /// When the first credential ends that is held now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// Counts of namespaces.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamespaceCounts {
    /// Covered by the binding.
    pub matched: i64,
    /// With a Secret that holds every live credential of the binding.
    pub ready: i64,
}

/// Counts of ServiceAccounts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceAccountCounts {
    /// Covered by the binding.
    pub matched: i64,
    /// Carrying our entry.
    pub bound: i64,
}

/// The state of one entry of `spec.registries`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RegistryStatus {
    /// Instance id, or `personal`.
    pub registry: String,
    /// Region that the credential was asked of.
    pub region_id: String,
    /// Domains that the credential is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Who asks: the chain of identities, such as `worker-role → acr-pull`.
    pub identity: String,
    /// The cloud's API host that gave the credential: the VPC's in the cluster's own region, or the public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// When the credential ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When it was minted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshed_at: Option<Time>,
    /// When it will be renewed.
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
