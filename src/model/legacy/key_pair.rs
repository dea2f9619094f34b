//! The AccessKey pairs of the ConfigMap.

use std::fmt;

use secrecy::SecretString;

use crate::api::names::LEGACY_NAME;

/// How many AccessKey pairs a ConfigMap may hold: RBAC and the admission policies name each Secret that they are moved
/// to.
pub const MAX_KEY_PAIRS: usize = 8;

/// Name of the Secret that the pair with this ordinal is moved to.
pub fn key_secret_name(ordinal: usize) -> String {
    format!("{}-{ordinal}", LEGACY_NAME)
}

/// An AccessKey pair from the ConfigMap.
#[derive(Clone)]
pub struct KeyPair {
    /// The Secret that `accessKeySecretRef` of the entry names.
    pub secret_name: String,
    /// Its key `accessKeyId`.
    pub access_key_id: SecretString,
    /// Its key `accessKeySecret`.
    pub access_key_secret: SecretString,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("secret_name", &self.secret_name).finish_non_exhaustive()
    }
}
