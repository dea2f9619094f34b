//! A registry credential.

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

/// A temporary user name and token for one registry. The token never shows in `Debug`.
#[derive(Clone, Debug)]
pub struct Credential {
    /// User name as the cloud gave it, such as `cr_temp_user`.
    pub username: String,
    /// The token; opaque, and it contains a colon.
    pub token: SecretString,
    /// When it was minted.
    pub minted_at: Timestamp,
    /// When it ends, as the cloud says.
    pub expires_at: Timestamp,
    /// Who asked for it and where.
    pub origin: Origin,
}

/// How a credential was come by. No secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The chain of identities as the status shows it, such as `managed-role` or `worker-role → acr-pull`.
    pub identity: Box<str>,
    /// The API host that answered, such as `cr-vpc.cn-hangzhou.aliyuncs.com`.
    pub endpoint: Box<str>,
    /// The AccessKeyId of the long-lived pair at the chain's beginning, if it begins with one. When the pair is
    /// rotated, what it gave is replaced.
    pub key_id: Option<Box<str>>,
    /// What the status should say besides, such as that a host had no address and another one was asked.
    pub remark: Option<Box<str>>,
}
