//! The result of a conversion.

use super::code::Severity;
use super::finding::Finding;
use super::key_pair::KeyPair;
use crate::api::binding::AcrCredentialBindingSpec;

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
    /// Whether a part of the configuration is not served.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Error)
    }
}
