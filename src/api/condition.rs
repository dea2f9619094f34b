//! Condition types and reasons of the status, as enums: a reason is an API that scripts match on.

use std::fmt;

/// One table, so that a condition type cannot lack its meaning or its place.
macro_rules! condition_types {
    ($($name:ident $place:literal $meaning:literal;)*) => {
        /// The type of a condition, after the conventions of the Kubernetes API and kstatus.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ConditionType {
            $(#[doc = $meaning] $name,)*
        }

        impl ConditionType {
            /// All condition types, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the type as written in the status.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Returns the part of the status that has this condition, and since when.
            pub const fn place(self) -> &'static str {
                match self { $(Self::$name => $place,)* }
            }

            /// Returns the meaning of the condition, as sentences with full stops.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

condition_types! {
    Ready "the binding, and each entry of `status.pairs`; always"
        "Every covered namespace has its pull Secret, and every covered ServiceAccount its entry.";
    Reconciling "the binding; only while `True`"
        "The controller is still working on the binding.";
    Stalled "the binding; only while `True`"
        "The binding, or a change of it, does not take effect until a person acts.";
    Issued "each entry of `status.registries`; always"
        "The controller holds a valid credential for the registry.";
    LegacyConfigValid "the binding made from the ConfigMap; always"
        "The ConfigMap is valid. `False` while it has errors or is missing.";
    PoliciesEnforced "the binding; only while `False`"
        "The API server enforces the controller's admission policies. `False` while one of them is missing.";
    WithdrawalHeld "the binding; only while `True`"
        "The binding no longer selects anything. What it wrote is kept and refreshed for a grace period.";
    AdmissionConfigured "a binding with `spec.webhook.enable`"
        "The API server adds the entry to ServiceAccounts during admission. `False` while it does not.";
    Contended "the binding; only while `True`"
        "Another writer reverts the Secret or the entry, or deletes the Secret, and the controller restores it each time.";
}

/// The party that resolves a reason.
enum Resolution {
    /// A person must act.
    Person,
    /// The controller retries, or nothing is wrong.
    Controller,
}

/// One table, so that a reason cannot lack its meaning, its cure or the party that resolves it.
macro_rules! reasons {
    ($($name:ident $resolution:ident $meaning:literal $cure:literal $chinese:literal;)*) => {
        /// The reason of a condition. `PascalCase` in the status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// All reasons, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the reason as written in the status.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Returns whether a person must act before the controller can go on.
            pub const fn needs_human(self) -> bool {
                matches!(match self { $(Self::$name => Resolution::$resolution,)* }, Resolution::Person)
            }

            /// Returns the meaning of the reason, as sentences with full stops.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// Returns what a reader of the status does about it, as sentences with full stops.
            pub const fn cure(self) -> &'static str {
                match self { $(Self::$name => $cure,)* }
            }

            /// Returns the cure in Chinese.
            pub const fn cure_in_chinese(self) -> &'static str {
                match self { $(Self::$name => $chinese,)* }
            }
        }
    };
}

reasons! {
    Succeeded Controller "Everything that the binding asks for is in place."
        "Nothing to do."
        "一切正常。";
    Issued Controller "The controller holds a valid credential."
        "Nothing to do."
        "一切正常。";
    Progressing Controller "The controller is still working on the binding."
        "Wait."
        "请等待。";
    DryRun Controller "The controller runs with `--dry-run`."
        "The message lists what the controller would write. Remove the flag to have it written."
        "消息说明控制器将写入什么。去掉该参数后才会写入。";
    Suspended Controller "`spec.suspend` is true."
        "Set `spec.suspend: false` to resume."
        "将 `spec.suspend` 设为 `false` 即可恢复。";
    Withdrawing Controller "The binding is being deleted, and its Secrets and entries are being removed."
        "Wait. The message reports the progress."
        "请等待。消息说明进度。";
    NothingCovered Controller "The binding covers no namespace, or no ServiceAccount in its namespaces."
        "The message names the rule. Correct `spec.watchNamespaces`, `spec.serviceAccounts` or the opt-out if something should be covered."
        "消息写明是哪条规则。如果应有对象被覆盖,请改正 `spec.watchNamespaces`、`spec.serviceAccounts` 或去掉 `acrcredential.dev/skip`。";
    CoverageLost Person "The binding selected namespaces or ServiceAccounts, and no longer selects any. What it wrote there is kept for a grace period."
        "Correct `spec.watchNamespaces`, `spec.serviceAccounts` or the labels, or confirm the withdrawal as in `docs/operations.md`."
        "改正 `spec.watchNamespaces`、`spec.serviceAccounts` 或标签,或按 `docs/zh-CN/operations.md` 确认撤回。";
    InvalidSpec Person "The spec is invalid. The last valid spec stays in force."
        "Correct the fields that the message names."
        "改正消息指出的字段。上一次有效的 spec 继续生效。";
    RefreshFailing Controller "The credential is still valid, but its refresh fails."
        "The message gives the cause. The controller retries."
        "凭证仍然有效。消息说明续期失败的原因,控制器会重试。";
    CredentialExpired Controller "The credential has expired, and no new one could be issued."
        "Follow the `Issued` condition of the registry: it gives the cause."
        "正在申请凭证。该镜像仓库的 `Issued` 条件说明受阻原因。";
    NotIssued Controller "No credential has been issued yet."
        "Follow the `Issued` condition of the registry: it gives the cause."
        "正在申请凭证。该镜像仓库的 `Issued` 条件说明受阻原因。";
    AccessDenied Person "The cloud denies the identity this action."
        "Allow the named action in a RAM policy of the named identity."
        "在所述身份的 RAM 策略中允许所述操作。";
    TrustPolicyDenies Person "The role's trust policy does not name the caller, or the role does not exist."
        "Name the caller in the role's trust policy (T1 and T2 in `docs/credentials.md`), or correct the ARN. If the identity is the managed role, use RRSA or `--token-mode workerRole`."
        "在角色信任策略中写明调用者(见 `docs/zh-CN/credentials.md` 的 T1、T2),或更正 ARN。若身份是托管角色,请改用 RRSA 或 `--token-mode workerRole`。";
    OIDCTokenRejected Person "STS rejects the cluster's OIDC token, or does not know its provider."
        "Correct what the message names: the token's expiry, audience, issuer or signature, or the provider."
        "消息说明是令牌过期、受众、签发者、签名还是提供商有误,请相应更正。";
    ServiceAccountNotFound Person "The ServiceAccount that the OIDC token is requested for does not exist."
        "Create the ServiceAccount `kube-system/aliyun-acr-credential-helper`."
        "创建 ServiceAccount `kube-system/aliyun-acr-credential-helper`。";
    SecretNotFound Person "The Secret that `accessKeySecretRef` names does not exist, or lacks a key."
        "Create this Secret in the controller's namespace, with the keys `accessKeyId` and `accessKeySecret`."
        "在控制器的命名空间创建该 Secret,含 `accessKeyId` 与 `accessKeySecret`。";
    InstanceNotFound Person "The cloud does not know the instance in this region."
        "Correct `instanceId` or `regionId`."
        "更正 `instanceId` 或 `regionId`。";
    UnsupportedEdition Person "The instance, or one of its domains, belongs to a Personal Edition instance made after 2024-09-08. The cloud issues no token for it."
        "Create a pull Secret by hand as in `docs/credentials.md`, or use an Enterprise Edition instance. Then remove the instance or the domain from the binding."
        "按 `docs/zh-CN/credentials.md` 手工创建拉取 Secret,或改用企业版实例,然后从绑定中删除该实例或域名。";
    NoDomains Person "The instance has no enabled endpoint with a domain."
        "Enable an endpoint of the instance, or set `domains`."
        "为实例开启访问入口,或填写 `domains`。";
    KeyInvalid Person "The AccessKey is unknown, or its secret is wrong."
        "Check the AccessKey of the identity."
        "检查该身份的 AccessKey。";
    KeyInactive Person "The AccessKey is disabled."
        "Enable the AccessKey of the identity, or use another one."
        "启用该身份的 AccessKey,或换用另一个。";
    ClockSkew Person "The clocks of this machine and of the cloud differ by more than 15 minutes."
        "Set the clock of this machine."
        "校正本机时钟。";
    Throttled Controller "The cloud limits the rate of calls."
        "Wait. The controller retries with back-off, and the last valid credential stays."
        "自动退避重试,上一次有效的凭证保留。";
    Unreachable Controller "The host does not answer."
        "Check the network if it persists. The controller retries with back-off, and the last valid credential stays."
        "若持续出现,请检查网络。自动退避重试,上一次有效的凭证保留。";
    SessionTooLong Person "`expireDuration` exceeds the role's maximum session."
        "Lower `expireDuration`, or raise the role's maximum session."
        "减小 `expireDuration`,或增大角色的最大会话时间。";
    NoIdentity Controller "The node has no RAM role, or its metadata service does not answer."
        "Use RRSA, grant the node a RAM role, or let the Pod reach the metadata service."
        "使用 RRSA,或为节点授予 RAM 角色,或允许 Pod 访问元数据服务。";
    AddonTokenInvalid Person "ACK's addon token cannot be used."
        "Authorise `AliyunCSManagedAcrRole` for ACK again, or use RRSA."
        "重新为 ACK 授权 `AliyunCSManagedAcrRole`,或使用 RRSA。";
    CredentialRejected Controller "The registry rejects the new credential."
        "Check that the domain belongs to the instance."
        "检查域名是否属于该实例。";
    UnexpectedReply Controller "The cloud's reply does not follow its contract."
        "Wait. The controller retries with back-off, and the last valid credential stays."
        "自动退避重试,上一次有效的凭证保留。";
    CloudFailing Controller "The cloud reports an internal error."
        "Wait. The controller retries with back-off, and the last valid credential stays."
        "自动退避重试,上一次有效的凭证保留。";
    SecretConflict Person "Another owner's Secret has the name of the pull Secret."
        "Delete or rename that Secret, or annotate the binding with `acrcredential.dev/adopt: \"true\"`. The message names what that removes."
        "删除或改名他人创建的 Secret,或在绑定上加 `acrcredential.dev/adopt: \"true\"`。消息写明后者会去掉什么。";
    Contended Person "Another writer reverts the Secret or the entry more than ten times a minute. The object is left alone for 10 s, then for longer, up to 5 minutes. A Secret that is deleted so often is created again after 30 s at most."
        "Stop the writer that the message names, such as the documented component, or what deletes the Secret. For GitOps tools see `docs/operations.md`."
        "停用消息写明的写入者(例如旧组件),或停用删除 Secret 的程序。GitOps 工具参见 `docs/zh-CN/operations.md`。";
    QuotaExceeded Person "The namespace's ResourceQuota leaves no room for the pull Secret."
        "Raise the ResourceQuota that the message names, or delete a Secret there. The controller retries after 5 s, then more slowly, up to every 5 minutes."
        "提高消息所指的 ResourceQuota,或删除其中的 Secret。控制器 5 秒后重试,之后越来越慢,最多 5 分钟一次。";
    Forbidden Person "RBAC or one of the controller's own policies denies the write."
        "Apply the RBAC or the policies of this version, add the exception for a key of `--secret-label`, or list the key pair's Secret in the Role `acr-credential-keys`. The message says which."
        "应用本版本的 RBAC 或策略,为 `--secret-label` 的键加例外,或把密钥 Secret 写进 Role `acr-credential-keys`。消息会写明是哪一种。";
    MetadataAddedByAdmission Person "Another admission controller of the cluster changes what the controller writes, and the controller's own policies deny the changed object."
        "Add the exception that the message names to the policy, or exempt the controller's user in that admission controller. The controller retries after 5 s, then more slowly, up to every 5 minutes."
        "将消息所写的例外加入策略,或在改动对象的准入控制器中豁免本控制器的用户。控制器 5 秒后重试,之后越来越慢,最多 5 分钟一次。";
    RefusedByAdmission Person "An admission policy or webhook of others refuses the write."
        "Give our Secret the label that it demands by `--secret-label` and an exception, have the ServiceAccount's owner set it, or exempt the controller's user. The message quotes the refusal. The controller retries after 5 s, then more slowly, up to every 5 minutes."
        "用 `--secret-label` 和例外为 Secret 加上所要求的标签,由 ServiceAccount 的所有者加上,或豁免本控制器的用户。消息引用了拒绝的原话。控制器 5 秒后重试,之后越来越慢,最多 5 分钟一次。";
    AdmissionUnreachable Controller "The API server cannot call an admission webhook of others, and refuses the write for it."
        "Start the webhook that the message names, delete its configuration if it was uninstalled, or exempt the controller's user. The controller retries."
        "启动消息所指的 webhook;若已卸载,删除其配置;或豁免本控制器的用户。控制器会重试。";
    SecretImmutable Person "A Secret of the pull Secret's name is immutable. The controller replaces its own, but not one that it did not write for this namespace. The last credential stays until it expires."
        "Delete the Secret by the command in the message. The controller writes it again at once."
        "用消息中的命令删除该 Secret,控制器会立即重新写入。";
    WriteFailing Controller "The API server rejects the write for another reason, or fails."
        "Follow the API server's reply in the message. The controller retries."
        "按消息中 API server 的原话处理。控制器会重试。";
    DomainContested Person "An older binding, or an earlier entry, already serves every domain of this registry."
        "Remove the domain from one of them."
        "更早的绑定或更靠前的条目已占用该域名:请只在其中一处保留它。";
    SecretTooLarge Person "The pull Secret would exceed the size that Kubernetes allows. Older bindings keep their entries as long as they fit. If none fits, the existing Secret is left unchanged."
        "Cover the namespace with fewer registries or domains. The message says how many fit. If annotations of others take the room, delete the Secret as the message says."
        "减少覆盖该命名空间的镜像仓库或域名:消息写明能放下多少个。若空间被他人的注解占用,按消息删除该 Secret。较早的、放得下的绑定照常服务。一个也放不下时,原有的 Secret 保留。";
    LegacyConfigInvalid Person "The ConfigMap has errors. The last valid configuration stays in force."
        "Correct the key and line that the message names."
        "按消息指出的键、行号和改法修改 ConfigMap。上一次有效的配置继续生效。";
    LegacyConfigMissing Controller "The ConfigMap is missing. Its binding is deleted after `--config-map-grace`."
        "Restore the ConfigMap within this time, or let its binding go."
        "ConfigMap 已被删除:请在 `--config-map-grace` 之内恢复,否则其绑定随之删除。";
    WatchStale Controller "A watch of the API server has sent nothing for `--watch-stale-after`, so the status may be out of date. `Ready` is `Unknown`, and Secrets and entries stay as they are."
        "Check the connection to the API server: `/readyz?verbose` of the controller has the age of each watch. If the connection works, restart the controller's Pods. The status follows by itself once the watch is heard."
        "请检查与 API server 的连接:控制器的 `/readyz?verbose` 列出每个 watch 的静默时间。若连接正常,请重启控制器的 Pod。watch 恢复后状态自动更新。";
    PoliciesMissing Controller "An admission policy is missing, or this API server does not support admission policies."
        "Apply `deploy/policies.yaml` or `deploy/webhook.yaml`, as the message says. Before Kubernetes 1.30, only an upgrade helps: protect the controller's token."
        "应用 `deploy/policies.yaml` 或 `deploy/webhook.yaml`,消息会写明缺少什么。Kubernetes 1.30 之前只能升级:请妥善保管控制器的令牌。";
    MutatingAdmissionPolicy Controller "The API server adds the entry to ServiceAccounts by the controller's `MutatingAdmissionPolicy`."
        "Nothing to do."
        "一切正常。";
    MutatingWebhook Controller "The API server sends each ServiceAccount to the controller's webhook."
        "Nothing to do."
        "一切正常。";
    AdmissionMissing Controller "ServiceAccounts get their entry right after their creation, not during it."
        "Apply `deploy/admission.yaml` (Kubernetes 1.36 or later) or `deploy/webhook.yaml`. The message says which, or what to shorten."
        "应用 `deploy/admission.yaml`(Kubernetes ≥ 1.36)或 `deploy/webhook.yaml`。消息说明是哪一个,或应缩短什么。";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
