//! Credentials that do not come from the cloud: from the cluster, from files, from the environment.

use std::fmt;

use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use crate::cloud::access_key::AccessKey;
use crate::cloud::error::CloudError;
use crate::model::identity::Arn;

/// An AccessKey pair as a Secret, a file or the environment contains it. `Debug` hides its secrets.
#[derive(Clone, Debug)]
pub struct AccessKeyPair {
    /// AccessKeyId, which is not secret.
    pub id: Box<str>,
    /// AccessKeySecret.
    pub secret: SecretString,
    /// SecurityToken, if the pair belongs to a session.
    pub token: Option<SecretString>,
}

impl AccessKeyPair {
    /// Converts the pair to a key without an expiry. `holder` names its owner in messages.
    pub(super) fn into_key(self, holder: &str) -> AccessKey {
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
    /// Owner of the token, for messages: `the OIDC token of kube-system/aliyun-acr-credential-helper`.
    pub holder: Box<str>,
    /// JWT with the audience `sts.aliyuncs.com`.
    pub token: SecretString,
}

/// A RAM role to assume with an OIDC token of the cluster (RRSA).
#[derive(Clone, Debug)]
pub struct RrsaRole {
    /// ARN of the role.
    pub role: Arn,
    /// ARN of the OIDC provider that the role trusts.
    pub provider: Arn,
}

/// The standard `ALIBABA_CLOUD_*` environment of the official SDKs.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `ALIBABA_CLOUD_ACCESS_KEY_ID`, `…_SECRET` and `ALIBABA_CLOUD_SECURITY_TOKEN`.
    pub key_pair: Option<AccessKeyPair>,
    /// Owner of that pair for messages, if it is not of these variables: `the AccessKey of the profile "work" in …`.
    pub key_pair_holder: Option<Box<str>>,
    /// `ALIBABA_CLOUD_ROLE_ARN` and `ALIBABA_CLOUD_OIDC_PROVIDER_ARN`, which the RRSA webhook sets.
    pub rrsa: Option<RrsaRole>,
    /// `ALIBABA_CLOUD_ECS_METADATA_DISABLED`: the node's metadata service is not used for an identity.
    pub metadata_disabled: bool,
}

/// Access to the cluster's credentials. The controller implements it.
///
/// # Guarantees asked of an implementation
/// - `Ok(None)` means that the credential certainly does not exist. A read that fails is an error.
/// - Every call reads the current value, so a rotated key is used at the next call.
pub trait IdentitySources: fmt::Debug + Send + Sync {
    /// Reads the pair from the Secret `secret` of the controller's own namespace.
    fn key_pair<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<AccessKeyPair, CloudError>>;

    /// Reads the pair that a registered cluster keeps in `kube-system/alibaba-addon-secret`.
    fn registered_cluster(&self) -> BoxFuture<'_, Result<Option<AccessKeyPair>, CloudError>>;

    /// Reads the text under `addon.token.config`, with which ACK gives add-ons a role.
    fn addon_token(&self) -> BoxFuture<'_, Result<Option<SecretString>, CloudError>>;

    /// Requests a token with the audience `sts.aliyuncs.com` for the ServiceAccount that trust policies name.
    fn oidc_token(&self) -> BoxFuture<'_, Result<OidcToken, CloudError>>;
}
