//! A registry credential.

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

/// A temporary user name and token for one registry. `Debug` hides the token.
#[derive(Clone, Debug)]
pub struct Credential {
    /// User name from the cloud, such as `cr_temp_user`.
    pub username: String,
    /// Opaque token, used as the password. It contains a colon.
    pub token: SecretString,
    /// Time at which it was minted.
    pub minted_at: Timestamp,
    /// Time at which it expires, from the cloud.
    pub expires_at: Timestamp,
    /// Identity and host that minted it.
    pub origin: Origin,
}

/// Origin of a credential. It contains no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Chain of identities as the status shows it, such as `managed-role` or `worker-role → acr-pull`.
    pub identity: Box<str>,
    /// API host that issued it, such as `cr-vpc.cn-hangzhou.aliyuncs.com`.
    pub endpoint: Box<str>,
    /// AccessKeyId of the pair at the beginning of the chain, if it begins with one. After a rotation of that pair, the
    /// credential is replaced.
    pub key_id: Option<Box<str>>,
    /// Remark for the status, such as that a host does not resolve and another one is used.
    pub remark: Option<Box<str>>,
}
