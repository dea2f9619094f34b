//! The result of a conversion.

use std::fmt;

use secrecy::SecretString;

use super::code::Severity;
use super::finding::Finding;
use crate::api::binding::AcrCredentialBindingSpec;
use crate::api::names::LEGACY_NAME;

/// The most bytes that a key's value may have: Kubernetes allows no larger ConfigMap.
pub(super) const MAX_VALUE_BYTES: usize = 1 << 20;

/// The result of a conversion.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// The binding's spec, known to be valid. `None`: keep the last good one.
    pub spec: Option<AcrCredentialBindingSpec>,
    /// Every fault and every guess.
    pub findings: Vec<Finding>,
    /// The key pairs that entries of the spec refer to. Empty without a spec.
    pub key_pairs: Vec<KeyPair>,
}

impl Conversion {
    pub(super) fn of(read: Option<(AcrCredentialBindingSpec, Vec<KeyPair>)>, findings: Vec<Finding>) -> Self {
        let (spec, key_pairs) = read.unzip();
        Self { spec, findings, key_pairs: key_pairs.unwrap_or_default() }
    }

    /// Returns whether a part of the configuration is not served.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Error)
    }
}

/// How many AccessKey pairs a ConfigMap may hold: RBAC and the admission policies name each Secret that they are moved
/// to.
pub const MAX_KEY_PAIRS: usize = 8;

/// Returns the name of the Secret that the pair with this ordinal is moved to.
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
