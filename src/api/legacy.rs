//! The keys of the legacy ConfigMap, and the YAML, JSON or HCL around and inside its values, as written.
//!
//! `model::legacy` decides what a field means.

/// Comma list of ServiceAccount names.
pub const SERVICE_ACCOUNT: &str = "service-account";
/// Comma list of namespaces.
pub const WATCH_NAMESPACE: &str = "watch-namespace";
/// YAML list of registries.
pub const ACR_REGISTRY_INFO: &str = "acr-registry-info";
/// Renew when less than this is left.
pub const EXPIRING_THRESHOLD: &str = "expiring-threshold";
/// Carried, never explained.
pub const NOTIFY_EMAIL: &str = "notify-email";
/// YAML map that turns RRSA on.
pub const RRSA: &str = "rrsa";
/// YAML map of the webhook.
pub const WEBHOOK_CONFIGURATION: &str = "webhook-configuration";
/// "Keep the default", says the documentation.
pub const ACR_API_VERSION: &str = "acr-api-version";
/// The spelling of 2019: comma list of host globs.
pub const ACR_REGISTRY: &str = "acr-registry";

/// Every key of `data` that has a meaning.
pub const KEYS: [&str; 9] = [
    SERVICE_ACCOUNT,
    WATCH_NAMESPACE,
    ACR_REGISTRY_INFO,
    EXPIRING_THRESHOLD,
    NOTIFY_EMAIL,
    RRSA,
    WEBHOOK_CONFIGURATION,
    ACR_API_VERSION,
    ACR_REGISTRY,
];

/// Returns a key of `data` as documented.
pub fn data_key(name: &str) -> Option<&'static str> {
    documented(&KEYS, name)
}

/// Returns one of some keys as documented, for a name in any case.
pub fn documented(keys: &[&'static str], name: &str) -> Option<&'static str> {
    keys.iter().copied().find(|key| key.eq_ignore_ascii_case(name))
}

pub mod addon;
mod hcl;
mod json;
mod node;
mod yaml;

pub use hcl::parse_hcl;
pub use json::parse_json;
pub use node::{Fault, FaultKind, Node, Pair, Style, Value};
pub use yaml::{parse_entry, parse_manifest, parse_yaml};

/// The keys of one entry of `acr-registry-info`.
pub mod entry {
    /// Enterprise instance.
    pub const INSTANCE_ID: &str = "instanceId";
    /// Region of the registry.
    pub const REGION_ID: &str = "regionId";
    /// Comma list of host names.
    pub const DOMAINS: &str = "domains";
    /// Role of the registry's owner.
    pub const ASSUME_ROLE_ARN: &str = "assumeRoleARN";
    /// Seconds of its session.
    pub const EXPIRE_DURATION: &str = "expireDuration";
    /// Role of the cluster's owner, by OIDC.
    pub const RRSA_ROLE_ARN: &str = "rrsaRoleARN";
    /// OIDC provider of the cluster.
    pub const RRSA_OIDC_PROVIDER_ROLE_ARN: &str = "rrsaOIDCProviderRoleARN";
    /// AccessKey id, in the clear.
    pub const CUSTOM_ACCESS_KEY: &str = "customAccessKey";
    /// AccessKey secret, in the clear.
    pub const CUSTOM_ACCESS_KEY_SECRET: &str = "customAccessKeySecret";

    /// All of them.
    pub const KEYS: [&str; 9] = [
        INSTANCE_ID,
        REGION_ID,
        DOMAINS,
        ASSUME_ROLE_ARN,
        EXPIRE_DURATION,
        RRSA_ROLE_ARN,
        RRSA_OIDC_PROVIDER_ROLE_ARN,
        CUSTOM_ACCESS_KEY,
        CUSTOM_ACCESS_KEY_SECRET,
    ];
}

/// The keys of `webhook-configuration`.
pub mod webhook {
    /// Whether it is on.
    pub const ENABLE: &str = "enable";
    /// `Ignore` or `Fail`.
    pub const FAILURE_POLICY: &str = "failure-policy";
    /// Whole seconds.
    pub const TIMEOUT_SECONDS: &str = "timeout-seconds";

    /// All of them.
    pub const KEYS: [&str; 3] = [ENABLE, FAILURE_POLICY, TIMEOUT_SECONDS];
}

#[cfg(test)]
mod tests;
