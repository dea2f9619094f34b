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
}
