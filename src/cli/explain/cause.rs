//! The causes of a failed pull: codes, titles and cures, in the order in which they are searched.

use std::fmt;

/// One table, so that a cause cannot lack its code, its title or its cure.
macro_rules! causes {
    ($($name:ident $code:literal $english:literal $chinese:literal $cure:literal $chinese_cure:literal;)*) => {
        /// The cause of a failed pull. A code never changes its meaning: scripts and pages refer to it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum PullCause {
            $(#[doc = $english] $name,)*
        }

        impl PullCause {
            /// All of them, by number, which is the order in which they are searched. The last one is searched where no
            /// binding serves the Pod.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// `ACR801`
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Returns the cause as a word, such as `HostOfNoBinding`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Returns a sentence without its full stop.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $english,)* }
            }

            /// Returns the same sentence in Chinese.
            pub const fn title_in_chinese(self) -> &'static str {
                match self { $(Self::$name => $chinese,)* }
            }

            /// Returns what to do, as sentences with full stops.
            pub const fn cure(self) -> &'static str {
                match self { $(Self::$name => $cure,)* }
            }

            /// Returns the cure in Chinese.
            pub const fn cure_in_chinese(self) -> &'static str {
                match self { $(Self::$name => $chinese_cure,)* }
            }
        }
    };
}

causes! {
    NotAPullFailure "ACR801" "the Pod does not wait for an image" "Pod 并非在等待镜像"
        "Read its Events: something else stops it." "查看其 Event:受阻另有原因。";
    HostOfNoBinding "ACR802" "no binding has the host of the image" "没有绑定包含镜像的域名"
        "Use the host that the binding has, or list this one in `domains` of the entry of its instance." "使用绑定已有的域名,或将该域名写入对应实例条目的 `domains`。";
    NamespaceNotCovered "ACR803" "the binding does not cover the namespace" "绑定未覆盖该命名空间"
        "Add the namespace to `spec.watchNamespaces.names`, or remove the exclusion." "将命名空间加入 `spec.watchNamespaces.names`,或去掉排除规则。";
    NamespaceSkipped "ACR804" "the namespace opts out" "命名空间选择了不接入"
        "Remove `acrcredential.dev/skip` from the namespace." "去掉命名空间上的 `acrcredential.dev/skip`。";
    BindingHeld "ACR805" "the binding is not in force" "绑定未生效"
        "Resume it, or follow its condition `Ready`." "恢复该绑定,或按其 `Ready` 条件处理。";
    ServiceAccountNotCovered "ACR806" "the binding does not cover the ServiceAccount" "绑定未覆盖该 ServiceAccount"
        "Add the ServiceAccount to `spec.serviceAccounts.names`, remove its opt-out, or create it." "将其加入 `spec.serviceAccounts.names`,去掉其 `acrcredential.dev/skip`,或创建该 ServiceAccount。";
    PodOlderThanEntry "ACR807" "the Pod is older than the entry of its ServiceAccount" "Pod 早于其 ServiceAccount 的条目"
        "Create the Pod again: it copies the list once, at its creation." "重建 Pod:列表只在创建时复制一次。";
    OwnPullSecrets "ACR808" "the Pod or its template has imagePullSecrets of its own" "Pod 或其模板写有自己的 imagePullSecrets"
        "Remove the list, or add the pull Secret to it." "去掉该列表,或将拉取 Secret 加入其中。";
    EntryMissing "ACR809" "the ServiceAccount lacks the entry" "ServiceAccount 缺少条目"
        "Stop the writer that removes it, or start the controller, which adds it." "停用去掉条目的写入者,或启动控制器以加入条目。";
    SecretMissing "ACR810" "the namespace lacks the pull Secret" "命名空间缺少拉取 Secret"
        "Start the controller, which writes it." "启动控制器,由它写入。";
    SecretForeign "ACR811" "another owner's Secret has the name of the pull Secret" "拉取 Secret 的名称被他人的 Secret 占用"
        "Delete that Secret, or annotate the binding with `acrcredential.dev/adopt: \"true\"`." "删除该 Secret,或在绑定上加 `acrcredential.dev/adopt: \"true\"`。";
    SecretTooLarge "ACR812" "the pull Secret would be too large" "拉取 Secret 过大"
        "Cover the namespace with fewer registries or domains." "减少覆盖该命名空间的镜像仓库或域名。";
    QuotaExceeded "ACR813" "a ResourceQuota leaves no room for the pull Secret" "ResourceQuota 已满,放不下拉取 Secret"
        "Raise the ResourceQuota, or delete a Secret." "提高 ResourceQuota,或删除一个 Secret。";
    SecretWithoutHost "ACR814" "the pull Secret does not have the host" "拉取 Secret 中没有该域名"
        "Remove the domain from the binding that also claims it, or request a refresh." "从另一个占用该域名的绑定中去掉它,或触发一次续期。";
    SecretNotWritten "ACR815" "the pull Secret cannot be written" "拉取 Secret 无法写入"
        "Follow the condition of the binding." "按绑定的条件处理。";
    NotIssued "ACR816" "the cloud issues no credential for the registry" "云端未签发该镜像仓库的凭证"
        "Follow the condition `Issued` of the registry." "按该镜像仓库的 `Issued` 条件处理。";
    CredentialExpired "ACR817" "the credential has expired" "凭证已过期"
        "Follow the condition `Issued` of the registry, or start the controller." "按该镜像仓库的 `Issued` 条件处理,或启动控制器。";
    PullDenied "ACR818" "the registry refuses a valid credential" "镜像仓库拒绝了有效的凭证"
        "Correct the name of the repository, or allow the identity `cr:PullRepository` on it." "更正镜像名称,或授予该身份对此镜像的 `cr:PullRepository`。";
    NoSuchTag "ACR819" "the registry does not have the image or its tag" "镜像仓库中没有该镜像或标签"
        "Correct the tag, or push the image." "更正标签,或推送该镜像。";
    HostUnreachable "ACR820" "the node does not reach the host of the image" "节点无法连接镜像的域名"
        "Correct the host, or enable its endpoint and the network to it." "更正域名,或开启其访问入口并打通网络。";
    CertificateInvalid "ACR821" "the node does not trust the certificate of the host" "节点不信任该域名的证书"
        "Correct the certificate of the host, or trust its authority on the node." "更正该域名的证书,或让节点信任其签发者。";
    WrongArchitecture "ACR822" "the image does not exist for the architecture of the node" "镜像不支持节点的架构"
        "Build the image for it, or select other nodes by `kubernetes.io/arch`." "构建该架构的镜像,或用 `kubernetes.io/arch` 选择其他节点。";
    RateLimited "ACR823" "the rate of pulls is limited" "拉取频率受限"
        "Wait: the kubelet tries again. Start fewer Pods at once if it persists." "请等待,kubelet 会重试。若持续出现,请减少同时启动的 Pod。";
    CachedImageNotAllowed "ACR824" "the Pod may not use an image by `imagePullPolicy: Never`" "在 `imagePullPolicy: Never` 下 Pod 不能使用该镜像"
        "Set `imagePullPolicy: IfNotPresent`: since Kubernetes 1.35, an image on the node needs a credential too." "设为 `imagePullPolicy: IfNotPresent`:自 Kubernetes 1.35 起,节点上已有的镜像也需要凭证。";
    KubeletMayNotRequestToken "ACR825" "the kubelet may not request a token of the ServiceAccount for its credential provider" "kubelet 无权为其凭证插件申请该 ServiceAccount 的令牌"
        "Apply `deploy/kubelet/rbac.yaml`." "应用 `deploy/kubelet/rbac.yaml`。";
}

impl fmt::Display for PullCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
