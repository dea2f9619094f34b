//! The custom resource `AcrCredentialBinding`: its spec, with every rule that a server-side dry run can check.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

mod values;

pub use super::status::AcrCredentialBindingStatus;
pub use values::{UNSUPPORTED_GLOB, UNSUPPORTED_HOST};

/// The typed form of the ConfigMap `kube-system/acr-configuration`: registries, namespaces and ServiceAccounts.
/// The controller mints the credentials, refreshes one pull Secret in each namespace, and adds it to the
/// ServiceAccounts.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[allow(clippy::duplicated_attributes, reason = "each printed column has a type of its own")]
#[kube(
    group = "acrcredential.dev",
    version = "v1alpha1",
    kind = "AcrCredentialBinding",
    plural = "acrcredentialbindings",
    shortname = "acb",
    category = "acr",
    status = "AcrCredentialBindingStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Binds Alibaba Cloud Container Registry (ACR) instances to namespaces and ServiceAccounts: their Pods pull private images with no credential in any manifest.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Registries", type_ = "string", json_path = ".status.summary.registries"),
    printcolumn(name = "Namespaces", type_ = "string", json_path = ".status.summary.namespaces"),
    printcolumn(name = "ServiceAccounts", type_ = "string", json_path = ".status.summary.serviceAccounts"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.summary.expiresAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Identities",
        type_ = "string",
        json_path = ".status.summary.identities",
        priority = 1
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct AcrCredentialBindingSpec {
    /// The registries to pull from, 1 to 64 (ConfigMap key `acr-registry-info`). If two claim one domain in a
    /// namespace, the older binding wins; within one binding, the earlier entry wins.
    #[schemars(length(min = 1, max = 64))]
    pub registries: Vec<RegistryEntry>,

    /// The namespaces to serve (ConfigMap key `watch-namespace`). Default: the namespace `default`.
    #[serde(default)]
    pub watch_namespaces: WatchNamespaces,

    /// The ServiceAccounts to serve in those namespaces (ConfigMap key `service-account`). Default: the
    /// ServiceAccount `default`.
    #[serde(default)]
    pub service_accounts: ServiceAccounts,

    /// A credential is refreshed when less than this is left (ConfigMap key `expiring-threshold`). A Go duration
    /// such as `15m` or `1h30m`, more than 0 and at most 12h. A credential with a short validity is refreshed in
    /// time with any value.
    #[serde(default = "default_expiring_threshold")]
    #[schemars(length(min = 2, max = 32), regex(pattern = r"^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$"))]
    #[x_kube(validation = Rule::new(
        "!self.matches('^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$') || (duration(self) > duration('0s') && duration(self) <= duration('12h'))"
    ).message("expiringThreshold must be a Go duration such as 15m, more than 0 and at most 12h"))]
    pub expiring_threshold: String,

    /// Settings to add the entry to ServiceAccounts during admission (ConfigMap key `webhook-configuration`).
    #[serde(default)]
    pub webhook: Webhook,

    /// What happens to Secrets and ServiceAccount entries when the binding is deleted: `Delete` removes them,
    /// `Retain` keeps them. No ConfigMap key sets it; the ConfigMap's own binding has `Retain`.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// While true, nothing is minted, written or removed for this binding. No ConfigMap key sets it.
    #[serde(default)]
    pub suspend: bool,

    /// Copied from the ConfigMap key `notify-email`, which is documented without a meaning. Unused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub notify_email: Option<String>,
}

/// One registry, with the field names of an entry of the ConfigMap's `acr-registry-info`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.rrsaRoleARN) == has(self.rrsaOIDCProviderRoleARN)")
        .message("rrsaRoleARN and rrsaOIDCProviderRoleARN go together: set both or neither"),
    validation = Rule::new("!(has(self.rrsaRoleARN) && has(self.accessKeySecretRef))")
        .message("rrsaRoleARN and accessKeySecretRef exclude each other: set one of them"),
    validation = Rule::new("!has(self.expireDuration) || has(self.assumeRoleARN) || has(self.rrsaRoleARN)")
        .message("expireDuration needs an assumed role: set assumeRoleARN or rrsaRoleARN with it")
)]
pub struct RegistryEntry {
    /// Enterprise Edition instance such as `cri-abc123` (ConfigMap: `instanceId`). Absent or empty: the Personal
    /// Edition of the region. A Personal Edition instance `crpi-…`, made after 2024-09-08, gets no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "values::instance_id")]
    pub instance_id: Option<String>,

    /// Region of the registry such as `cn-hangzhou` (ConfigMap: `regionId`). Default: the cluster's region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "values::region_id")]
    pub region_id: Option<String>,

    /// Registry addresses of the credential, `host[:port][/path]` as the kubelet matches them (ConfigMap: `domains`).
    /// In a host, `*` matches within one part between two dots. Default: every domain of the instance's enabled
    /// endpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "values::domains")]
    pub domains: Vec<String>,

    /// Role of the registry's owner to assume, `acs:ram::<account>:role/<name>` (ConfigMap: `assumeRoleARN`).
    #[serde(default, rename = "assumeRoleARN", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^acs:ram::[0-9]+:role/[A-Za-z0-9._-]+$"))]
    pub assume_role_arn: Option<String>,

    /// Duration of the assumed role's session in seconds, 3600 to 43200 and at most the role's own maximum
    /// (ConfigMap: `expireDuration`). Default: 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3600, max = 43200))]
    pub expire_duration: Option<i32>,

    /// Role of the cluster's owner, assumed with an OIDC token first (ConfigMap: `rrsaRoleARN`).
    #[serde(default, rename = "rrsaRoleARN", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = r"^acs:ram::[0-9]+:role/[A-Za-z0-9._-]+$"))]
    pub rrsa_role_arn: Option<String>,

    /// OIDC provider of the cluster, `acs:ram::<account>:oidc-provider/<name>` (ConfigMap:
    /// `rrsaOIDCProviderRoleARN`).
    #[serde(default, rename = "rrsaOIDCProviderRoleARN", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 192), regex(pattern = r"^acs:ram::[0-9]+:oidc-provider/[A-Za-z0-9._-]+$"))]
    pub rrsa_oidc_provider_role_arn: Option<String>,

    /// Secret in the controller's own namespace with the keys `accessKeyId` and `accessKeySecret` (ConfigMap:
    /// `customAccessKey`, `customAccessKeySecret`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_secret_ref: Option<AccessKeySecretRef>,
}

/// A Secret in the controller's own namespace.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
pub struct AccessKeySecretRef {
    /// Name of the Secret. It replaces the ConfigMap's `customAccessKey` and `customAccessKeySecret`, which hold
    /// the pair in clear text.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// The selected namespaces: those that match `names` or `selector`, and do not match `exclude`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.selector) || (has(self.selector.matchLabels) && size(self.selector.matchLabels) > 0) || (has(self.selector.matchExpressions) && size(self.selector.matchExpressions) > 0)"
).message("an empty selector would select every namespace: use names: [\"*\"] if that is intended"))]
pub struct WatchNamespaces {
    /// Exact names, or globs with `*` and `?`; `"*"` is every namespace (ConfigMap key `watch-namespace`, which
    /// writes `all` for it). Default without a selector: `default`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9*?]([-a-z0-9*?]*[a-z0-9*?])?$"))
    )]
    pub names: Vec<String>,

    /// Labels of the namespaces, in addition to `names` or instead of them; not empty. The ConfigMap key
    /// `watch-namespace` has only names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "selector_schema")]
    pub selector: Option<LabelSelector>,

    /// Names or globs of namespaces that are never selected. Default: `kube-*`; `[]` matches the meaning of `all`
    /// in the ConfigMap key `watch-namespace`.
    #[serde(default = "default_exclude")]
    #[schemars(
        length(max = 256),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9*?]([-a-z0-9*?]*[a-z0-9*?])?$"))
    )]
    pub exclude: Vec<String>,
}

impl Default for WatchNamespaces {
    fn default() -> Self {
        Self { names: Vec::new(), selector: None, exclude: default_exclude() }
    }
}

/// The selected ServiceAccounts in these namespaces: those that match `names` or `selector`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.selector) || (has(self.selector.matchLabels) && size(self.selector.matchLabels) > 0) || (has(self.selector.matchExpressions) && size(self.selector.matchExpressions) > 0)"
).message("an empty selector would select every ServiceAccount: use names: [\"*\"] if that is intended"))]
pub struct ServiceAccounts {
    /// Exact names, or globs with `*` and `?`; `"*"` is every ServiceAccount (ConfigMap key `service-account`).
    /// Default without a selector: `default`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        inner(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9*?]([-a-z0-9.*?]*[a-z0-9*?])?$"))
    )]
    pub names: Vec<String>,

    /// Labels of the ServiceAccounts, in addition to `names` or instead of them; not empty. The ConfigMap key
    /// `service-account` has only names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "selector_schema")]
    pub selector: Option<LabelSelector>,
}

/// Settings to add the entry to ServiceAccounts during admission.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Whether to add the entry during admission (ConfigMap: `enable`).
    #[serde(default)]
    pub enable: bool,

    /// What the API server does when the webhook does not answer (ConfigMap: `failure-policy`).
    #[serde(default)]
    pub failure_policy: FailurePolicy,

    /// Timeout of a call in seconds, 1 to 30 (ConfigMap: `timeout-seconds`).
    #[serde(default = "default_timeout_seconds")]
    #[schemars(range(min = 1, max = 30))]
    pub timeout_seconds: i32,
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            enable: false,
            failure_policy: FailurePolicy::Ignore,
            timeout_seconds: default_timeout_seconds(),
        }
    }
}

/// The failure policy of a webhook, as in Kubernetes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// The ServiceAccount is created, and gets its entry right afterwards.
    #[default]
    Ignore,
    /// The request is refused.
    Fail,
}

/// What happens to Secrets and entries when a binding is deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// Entries and Secrets are removed.
    #[default]
    Delete,
    /// Entries and Secrets stay; their credentials expire.
    Retain,
}

fn default_expiring_threshold() -> String {
    "15m".to_owned()
}

fn default_exclude() -> Vec<String> {
    vec!["kube-*".to_owned()]
}

const fn default_timeout_seconds() -> i32 {
    10
}

/// Returns the schema of a label selector. Kubernetes' own schema does not check keys, operators and values.
fn selector_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = <Option<LabelSelector>>::json_schema(generator);
    if let Some(expression) = schema.pointer_mut("/properties/matchExpressions/items") {
        expression["properties"]["key"]["minLength"] = json!(1);
        expression["properties"]["operator"]["enum"] = json!(["In", "NotIn", "Exists", "DoesNotExist"]);
        expression["x-kubernetes-validations"] = json!([{
            "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "message": "operators In and NotIn need values, Exists and DoesNotExist take none",
        }]);
    }
    schema
}

/// Returns the CustomResourceDefinition as shipped in `crds/`.
///
/// The derive macro has no default for the status. It is `{observedGeneration: -1}`: otherwise, tools that take a
/// status without conditions for "current" would call a new binding ready before it is reconciled.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = AcrCredentialBinding::crd();
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut());
        if let Some(status) = schema.and_then(|s| s.properties.as_mut()).and_then(|p| p.get_mut("status")) {
            status.default = Some(k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSON(
                json!({ "observedGeneration": -1 }),
            ));
        }
    }
    crd
}
