//! Every label, annotation, finalizer and field manager that this controller writes or reads, in one place.

/// API group of the custom resource.
pub const GROUP: &str = "acrcredential.dev";

/// Field manager of every write, and the value of [`LABEL_MANAGED_BY`] on what we make.
pub const MANAGER: &str = "acr-credential-controller";

/// The standard label that says which tool made an object.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Label on the binding that was made from the ConfigMap: `true`.
pub const LABEL_CONVERTED: &str = "acrcredential.dev/converted";

/// Keeps a deleted binding until what it made is withdrawn.
pub const FINALIZER: &str = "acrcredential.dev/withdraw";

/// On our Secret: which registry gave which domains, and until when. No secret in it.
pub const ANNOTATION_REGISTRIES: &str = "acrcredential.dev/registries";

/// `"true"` on a Namespace or ServiceAccount opts it out, whatever a binding says.
pub const ANNOTATION_SKIP: &str = "acrcredential.dev/skip";

/// On a binding: a new value asks for fresh credentials at once.
pub const ANNOTATION_REFRESH_AT: &str = "acrcredential.dev/refresh-at";

/// On a binding, its `metadata.generation`: that it covers no namespace any more is meant so.
pub const ANNOTATION_CONFIRM_WITHDRAWAL: &str = "acrcredential.dev/confirm-withdrawal";

/// `"true"` on a binding: a Secret of our name and type that others made is taken over in place.
pub const ANNOTATION_ADOPT: &str = "acrcredential.dev/adopt";

/// `"false"` on the ConfigMap: the converted binding becomes its user's own.
pub const ANNOTATION_AUTHORITATIVE: &str = "acrcredential.dev/authoritative";

/// On the converted binding: `namespace/name` of the ConfigMap.
pub const ANNOTATION_CONVERTED_FROM: &str = "acrcredential.dev/converted-from";

/// Name of the Secret in every covered namespace: the documented component's own, since manifests name it.
pub const DEFAULT_SECRET_NAME: &str = "acr-credential-secret-aggregation";

/// Type of the Secret.
pub const SECRET_TYPE: &str = "kubernetes.io/dockerconfigjson";

/// On our Secret: `"true"` where a binding with `deletionPolicy: Retain` left it behind.
pub const ANNOTATION_RETAINED: &str = "acrcredential.dev/retained";

/// The only key of the Secret's data.
pub const SECRET_KEY: &str = ".dockerconfigjson";

/// Namespace that the controller runs in.
pub const DEFAULT_NAMESPACE: &str = "acr-credential-system";

/// Secret in the controller's own namespace that keeps minted tokens across restarts.
pub const CACHE_SECRET_NAME: &str = "acr-credential-cache";

/// Lease in the controller's own namespace: only who holds it writes.
pub const LEASE_NAME: &str = "acr-credential-controller";

/// ConfigMap in the controller's own namespace that tells our `MutatingAdmissionPolicy` which ServiceAccounts to serve.
/// The policy and its binding have the same name.
pub const ADMISSION_NAME: &str = "acr-credential-admission";

/// Where registered clusters keep an AccessKey for add-ons: namespace and name.
pub const REGISTERED_CLUSTER_SECRET: (&str, &str) = ("kube-system", "alibaba-addon-secret");

/// Where ACK keeps the token by which an add-on takes the role `AliyunCSManagedAcrRole`, as `namespace/name`.
pub const ADDON_TOKEN_SECRET: &str = "kube-system/addon.aliyuncsmanagedacrrole.token";

/// The key of that Secret.
pub const ADDON_TOKEN_KEY: &str = "addon.token.config";

/// Where ACK mounts that token in its own add-ons.
pub const ADDON_TOKEN_FILE: &str = "/var/addon/token-config";

/// The ServiceAccount that documented trust policies name, as `namespace/name`.
pub const RRSA_SERVICE_ACCOUNT: &str = "kube-system/aliyun-acr-credential-helper";

/// Name of the legacy ConfigMap, and of the binding made from it.
pub const LEGACY_NAME: &str = "acr-configuration";

/// Namespace of the legacy ConfigMap.
pub const LEGACY_NAMESPACE: &str = "kube-system";

/// Name of the MutatingWebhookConfiguration, and of the Secret in the controller's own namespace that holds the
/// webhook's certificates.
pub const WEBHOOK_NAME: &str = "acr-credential-webhook";

/// Where the webhook is served.
pub const WEBHOOK_PATH: &str = "/mutate";

/// The label that every Namespace carries, with its name.
pub const LABEL_NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
