//! Names of labels, annotations, finalizers, field managers and objects that this controller writes or reads.

/// API group of the custom resource.
pub const GROUP: &str = "acrcredential.dev";

/// Field manager of every write, and the value of [`LABEL_MANAGED_BY`] on objects of this controller.
pub const MANAGER: &str = "acr-credential-controller";

/// The standard label of the tool that created an object.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Label on the binding that is converted from the ConfigMap: `true`.
pub const LABEL_CONVERTED: &str = "acrcredential.dev/converted";

/// Finalizer of a binding, until its Secrets and entries are removed.
pub const FINALIZER: &str = "acrcredential.dev/withdraw";

/// Annotation on the pull Secret: the domains and the expiry of each registry. It holds no secret.
pub const ANNOTATION_REGISTRIES: &str = "acrcredential.dev/registries";

/// Annotation on the pull Secret: the namespace that it was written for. A copy elsewhere is not ours to delete.
pub const ANNOTATION_NAMESPACE: &str = "acrcredential.dev/namespace";

/// The labels of the pull Secret that this controller sets without a flag.
pub const OWN_LABELS: [&str; 1] = [LABEL_MANAGED_BY];

/// The annotations of the pull Secret that this controller sets and removes without a flag.
pub const OWN_ANNOTATIONS: [&str; 3] = [ANNOTATION_REGISTRIES, ANNOTATION_RETAINED, ANNOTATION_NAMESPACE];

/// The label of the image accelerator. It needs no exception where a flag sets it on the pull Secret.
pub const ACCELERATED: &str = "images.alibabacloud.com/accelerated";

/// Label or annotation on a Namespace or ServiceAccount: no binding covers it.
pub const SKIP: &str = "acrcredential.dev/skip";

/// Annotation on a binding: a new value requests new credentials at once.
pub const ANNOTATION_REFRESH_AT: &str = "acrcredential.dev/refresh-at";

/// Annotation on a binding, with its `metadata.generation`: confirms that it no longer selects anything.
pub const ANNOTATION_CONFIRM_WITHDRAWAL: &str = "acrcredential.dev/confirm-withdrawal";

/// Annotation `"true"` on a binding: a Secret of our name and type is taken over from another owner.
pub const ANNOTATION_ADOPT: &str = "acrcredential.dev/adopt";

/// Annotation `"false"` on the ConfigMap: the converted binding becomes the user's own.
pub const ANNOTATION_AUTHORITATIVE: &str = "acrcredential.dev/authoritative";

/// Annotation on the converted binding: `namespace/name` of the ConfigMap.
pub const ANNOTATION_CONVERTED_FROM: &str = "acrcredential.dev/converted-from";

/// Name of the pull Secret in every covered namespace. Manifests refer to it, so it is the documented component's own.
pub const DEFAULT_SECRET_NAME: &str = "acr-credential-secret-aggregation";

/// Type of the pull Secret.
pub const SECRET_TYPE: &str = "kubernetes.io/dockerconfigjson";

/// Annotation `"true"` on the pull Secret: a binding with `deletionPolicy: Retain` kept it at its deletion.
pub const ANNOTATION_RETAINED: &str = "acrcredential.dev/retained";

/// The only data key of the pull Secret.
pub const SECRET_KEY: &str = ".dockerconfigjson";

/// The controller's own namespace.
pub const DEFAULT_NAMESPACE: &str = "acr-credential-system";

/// Secret in the controller's own namespace that caches minted tokens across restarts.
pub const CACHE_SECRET_NAME: &str = "acr-credential-cache";

/// The Secrets that keep minted credentials: the first one, and more where they outgrow it.
pub const CACHE_SECRET_NAMES: [&str; 8] = [
    CACHE_SECRET_NAME,
    "acr-credential-cache-1",
    "acr-credential-cache-2",
    "acr-credential-cache-3",
    "acr-credential-cache-4",
    "acr-credential-cache-5",
    "acr-credential-cache-6",
    "acr-credential-cache-7",
];

/// Lease in the controller's own namespace: only its holder writes.
pub const LEASE_NAME: &str = "acr-credential-controller";

/// ConfigMap in the controller's own namespace with the parameters of our `MutatingAdmissionPolicy`. The policy and its
/// binding have the same name.
pub const ADMISSION_NAME: &str = "acr-credential-admission";

/// Namespace and name of the Secret with the AccessKey for add-ons of registered clusters.
pub const REGISTERED_CLUSTER_SECRET: (&str, &str) = ("kube-system", "alibaba-addon-secret");

/// Secret with ACK's token for the role `AliyunCSManagedAcrRole`, as `namespace/name`.
pub const ADDON_TOKEN_SECRET: &str = "kube-system/addon.aliyuncsmanagedacrrole.token";

/// The data key of that Secret.
pub const ADDON_TOKEN_KEY: &str = "addon.token.config";

/// Path of that token in ACK's own add-ons.
pub const ADDON_TOKEN_FILE: &str = "/var/addon/token-config";

/// The ServiceAccount that documented trust policies name, as `namespace/name`.
pub const RRSA_SERVICE_ACCOUNT: &str = "kube-system/aliyun-acr-credential-helper";

/// Name of the legacy ConfigMap, and of the binding that is converted from it.
pub const LEGACY_NAME: &str = "acr-configuration";

/// Namespace of the legacy ConfigMap.
pub const LEGACY_NAMESPACE: &str = "kube-system";

/// Name of the MutatingWebhookConfiguration, and of the Secret with the webhook's certificates in the controller's own
/// namespace.
pub const WEBHOOK_NAME: &str = "acr-credential-webhook";

/// HTTP path of the webhook.
pub const WEBHOOK_PATH: &str = "/mutate";

/// The label of every Namespace with its name.
pub const LABEL_NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The annotation of a ServiceAccount with the name of its RAM role, as Alibaba Cloud's own components read it.
pub const ANNOTATION_ROLE_NAME: &str = "pod-identity.alibabacloud.com/role-name";

/// The audience that the cloud's STS requires of a token. The admission policy allows no other.
pub const STS_AUDIENCE: &str = "sts.aliyuncs.com";
