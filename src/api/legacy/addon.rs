//! The keys of the managed add-on's JSON.

/// The list of registries, with the keys of [`super::entry`].
pub const INSTANCES: &str = "AcrInstanceInfo";
/// Turns RRSA on.
pub const ENABLE_RRSA: &str = "enableRRSA";
/// Comma list of namespaces.
pub const WATCH_NAMESPACE: &str = "watchNamespace";
/// Comma list of ServiceAccount names.
pub const SERVICE_ACCOUNT: &str = "serviceAccount";
/// Renew when less than this is left.
pub const EXPIRING_THRESHOLD: &str = "expiringThreshold";
/// Carried, never explained.
pub const NOTIFY_EMAIL: &str = "notifyEmail";
/// Which of the cluster's roles is used.
pub const TOKEN_MODE: &str = "tokenMode";
/// All of them.
pub const KEYS: [&str; 7] =
    [INSTANCES, ENABLE_RRSA, WATCH_NAMESPACE, SERVICE_ACCOUNT, EXPIRING_THRESHOLD, NOTIFY_EMAIL, TOKEN_MODE];

/// The name of the managed edition among other add-ons.
pub const NAME: &str = "managed-aliyun-acr-credential-helper";
/// The name of the edition that the ConfigMap configures.
pub const UNMANAGED: &str = "aliyun-acr-credential-helper";
/// Where Terraform, ROS and ACK's API keep the name of an add-on.
pub const NAMES: [&str; 3] = ["name", "addonName", "componentName"];
/// Where they keep its configuration, as a text or as a map.
pub const CONFIG: &str = "config";
/// All names of that.
pub const CONFIGS: [&str; 3] = [CONFIG, "configuration", "currentConfig"];
