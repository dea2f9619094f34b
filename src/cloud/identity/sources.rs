//! What an identity is made from that the cloud does not give: it lies in the cluster, in files, in the environment.

use std::fmt;

use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use super::AccessKey;
use crate::cloud::error::Failure;
use crate::model::identity::Arn;

/// An AccessKey as it is written down somewhere. The secret parts never show in `Debug`.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// The AccessKeyId, which is no secret.
    pub id: Box<str>,
    /// The AccessKeySecret.
    pub secret: SecretString,
    /// The token that goes with it, if it is a session's.
    pub token: Option<SecretString>,
}

impl KeyPair {
    /// The key as it signs. `holder`: whose it is, for messages.
    pub(super) fn signs_as(self, holder: &str) -> AccessKey {
        AccessKey {
            holder: holder.into(),
            id: self.id.into(),
            secret: self.secret,
            token: self.token,
            expires_at: Timestamp::MAX,
        }
    }
}

/// An OIDC token of the cluster.
#[derive(Clone, Debug)]
pub struct OidcToken {
    /// Whose it is, for messages: `the OIDC token of kube-system/aliyun-acr-credential-helper`.
    pub holder: Box<str>,
    /// The JWT.
    pub token: SecretString,
}

/// The standard `ALIBABA_CLOUD_*` environment of the official SDKs.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `ALIBABA_CLOUD_ACCESS_KEY_ID`, `…_SECRET` and `ALIBABA_CLOUD_SECURITY_TOKEN`.
    pub key_pair: Option<KeyPair>,
    /// `ALIBABA_CLOUD_ROLE_ARN` and `ALIBABA_CLOUD_OIDC_PROVIDER_ARN`, as the RRSA webhook sets them.
    pub rrsa: Option<(Arn, Arn)>,
    /// `ALIBABA_CLOUD_ECS_METADATA_DISABLED`: the node's metadata service is not asked for a role.
    pub metadata_disabled: bool,
}

/// Where identities begin. The controller answers from the cluster.
///
/// # Guarantees asked of an implementation
/// - What is there is told from what is not, and from what cannot be told: `Ok(None)` means that it is certainly
///   absent.
/// - An answer is fresh: a rotated key is seen at the next call.
pub trait IdentitySources: fmt::Debug + Send + Sync {
    /// The pair in a Secret of the controller's own namespace, by the Secret's name.
    fn key_pair<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<KeyPair, Failure>>;

    /// The pair that registered clusters keep in `kube-system/alibaba-addon-secret`.
    fn registered_cluster(&self) -> BoxFuture<'_, Result<Option<KeyPair>, Failure>>;

    /// The text under `addon.token.config`, by which ACK gives add-ons a role.
    fn addon_token(&self) -> BoxFuture<'_, Result<Option<SecretString>, Failure>>;

    /// A token for the audience `sts.aliyuncs.com` of the account that trust policies name.
    fn oidc_token(&self) -> BoxFuture<'_, Result<OidcToken, Failure>>;
}
