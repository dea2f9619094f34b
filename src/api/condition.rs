//! Condition types and reasons of the status, as enums: a reason is an API that scripts match on.

use std::fmt;

/// The type of a condition, as kstatus and the Kubernetes API conventions know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// On the binding and on each pair: all that was asked for stands.
    Ready,
    /// On the binding, only while true: the controller is on its way.
    Reconciling,
    /// On the binding, only while true: a human must mend something.
    Stalled,
    /// On a registry: a live credential is held.
    Issued,
    /// On the binding made from the ConfigMap, `False` while the ConfigMap has errors.
    LegacyConfigValid,
    /// On the binding, `False` where the API server cannot hold our admission policies.
    PoliciesEnforced,
    /// On the binding, only while true: it covers nothing any more, and what it made stays for a while.
    WithdrawalHeld,
    /// On a binding that asks for it: whether ServiceAccounts get their entry while they are created.
    AdmissionConfigured,
    /// On the binding, only while true: somebody undoes what is written, and it is brought back each time.
    Contended,
}

impl ConditionType {
    /// The type as written in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Issued => "Issued",
            Self::LegacyConfigValid => "LegacyConfigValid",
            Self::PoliciesEnforced => "PoliciesEnforced",
            Self::WithdrawalHeld => "WithdrawalHeld",
            Self::AdmissionConfigured => "AdmissionConfigured",
            Self::Contended => "Contended",
        }
    }
}

/// Why a condition holds. `PascalCase` in the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Everything asked for stands.
    Succeeded,
    /// A live credential is held.
    Issued,
    /// Work is under way.
    Progressing,
    /// The controller runs with `--dry-run`; the message says what it would write.
    DryRun,
    /// The binding is suspended by its `spec.suspend`.
    Suspended,
    /// The binding is being deleted and withdrawn.
    Withdrawing,
    /// No namespace is covered.
    NothingCovered,
    /// The binding covered namespaces and covers none any more; what it made there stays for a while.
    CoverageLost,
    /// The spec says what cannot be.
    InvalidSpec,
    /// A refresh failed while the credential still lives.
    RefreshFailing,
    /// The credential has expired and could not be renewed.
    CredentialExpired,
    /// No credential has been issued yet.
    NotIssued,
    /// The cloud refuses this identity this action.
    AccessDenied,
    /// The role's trust policy does not name the caller, or the role does not exist.
    TrustPolicyDenies,
    /// STS does not accept the cluster's OIDC token, or does not know its provider.
    OIDCTokenRejected,
    /// The ServiceAccount whose OIDC token is asked for does not exist.
    ServiceAccountNotFound,
    /// The Secret that `accessKeySecretRef` names does not exist, or lacks a key.
    SecretNotFound,
    /// The cloud does not know the instance in this region.
    InstanceNotFound,
    /// The instance has no enabled endpoint with a domain.
    NoDomains,
    /// The AccessKey is unknown or its secret is wrong.
    KeyInvalid,
    /// The AccessKey is disabled.
    KeyInactive,
    /// This machine's clock and the cloud's are more than 15 minutes apart.
    ClockSkew,
    /// The cloud asks for fewer calls.
    Throttled,
    /// The host does not answer.
    Unreachable,
    /// `expireDuration` is over what the role allows.
    SessionTooLong,
    /// The node has no RAM role, or its metadata service does not answer.
    NoIdentity,
    /// ACK's addon token cannot be used.
    AddonTokenInvalid,
    /// The registry does not accept the new token.
    CredentialRejected,
    /// The cloud answered something that it never should.
    UnexpectedReply,
    /// The cloud failed on its own side.
    CloudFailing,
    /// A Secret of our name stands there which somebody else made.
    SecretConflict,
    /// Somebody else rewrites our Secret or our entry again and again.
    Contended,
    /// The namespace's quota has no room for our Secret.
    QuotaExceeded,
    /// RBAC or an admission policy refuses the write.
    Forbidden,
    /// The API server refused or failed the write for another reason.
    WriteFailing,
    /// Another binding, or an earlier entry, claims every domain of this registry.
    DomainContested,
    /// The Secret would be larger than Kubernetes allows.
    SecretTooLarge,
    /// The ConfigMap has errors; the last good binding stays.
    LegacyConfigInvalid,
    /// The ConfigMap is gone; its binding stays for a while.
    LegacyConfigMissing,
    /// Our admission policies refuse what they should.
    PoliciesEnforced,
    /// Our admission policies are missing, or cannot exist on this API server.
    PoliciesMissing,
    /// The API server adds our entry to ServiceAccounts itself, by our `MutatingAdmissionPolicy`.
    MutatingAdmissionPolicy,
    /// The API server asks our webhook for each ServiceAccount.
    MutatingWebhook,
    /// Nobody serves ServiceAccounts while they are created: they are served right afterwards.
    AdmissionMissing,
}

impl Reason {
    /// The reason as written in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Issued => "Issued",
            Self::Progressing => "Progressing",
            Self::DryRun => "DryRun",
            Self::Suspended => "Suspended",
            Self::Withdrawing => "Withdrawing",
            Self::NothingCovered => "NothingCovered",
            Self::CoverageLost => "CoverageLost",
            Self::InvalidSpec => "InvalidSpec",
            Self::RefreshFailing => "RefreshFailing",
            Self::CredentialExpired => "CredentialExpired",
            Self::NotIssued => "NotIssued",
            Self::AccessDenied => "AccessDenied",
            Self::TrustPolicyDenies => "TrustPolicyDenies",
            Self::OIDCTokenRejected => "OIDCTokenRejected",
            Self::ServiceAccountNotFound => "ServiceAccountNotFound",
            Self::SecretNotFound => "SecretNotFound",
            Self::InstanceNotFound => "InstanceNotFound",
            Self::NoDomains => "NoDomains",
            Self::KeyInvalid => "KeyInvalid",
            Self::KeyInactive => "KeyInactive",
            Self::ClockSkew => "ClockSkew",
            Self::Throttled => "Throttled",
            Self::Unreachable => "Unreachable",
            Self::SessionTooLong => "SessionTooLong",
            Self::NoIdentity => "NoIdentity",
            Self::AddonTokenInvalid => "AddonTokenInvalid",
            Self::CredentialRejected => "CredentialRejected",
            Self::UnexpectedReply => "UnexpectedReply",
            Self::CloudFailing => "CloudFailing",
            Self::SecretConflict => "SecretConflict",
            Self::Contended => "Contended",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::Forbidden => "Forbidden",
            Self::WriteFailing => "WriteFailing",
            Self::DomainContested => "DomainContested",
            Self::SecretTooLarge => "SecretTooLarge",
            Self::LegacyConfigInvalid => "LegacyConfigInvalid",
            Self::LegacyConfigMissing => "LegacyConfigMissing",
            Self::PoliciesEnforced => "PoliciesEnforced",
            Self::PoliciesMissing => "PoliciesMissing",
            Self::MutatingAdmissionPolicy => "MutatingAdmissionPolicy",
            Self::MutatingWebhook => "MutatingWebhook",
            Self::AdmissionMissing => "AdmissionMissing",
        }
    }

    /// Whether only a human can mend what this reason names.
    pub const fn needs_human(self) -> bool {
        matches!(
            self,
            Self::CoverageLost
                | Self::InvalidSpec
                | Self::AccessDenied
                | Self::TrustPolicyDenies
                | Self::OIDCTokenRejected
                | Self::ServiceAccountNotFound
                | Self::SecretNotFound
                | Self::InstanceNotFound
                | Self::NoDomains
                | Self::KeyInvalid
                | Self::KeyInactive
                | Self::ClockSkew
                | Self::SessionTooLong
                | Self::AddonTokenInvalid
                | Self::SecretConflict
                | Self::Contended
                | Self::QuotaExceeded
                | Self::Forbidden
                | Self::DomainContested
                | Self::SecretTooLarge
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
