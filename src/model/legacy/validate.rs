//! The validator of bindings, for the spec that a configuration becomes.

use crate::api::binding::{AcrCredentialBinding, AcrCredentialBindingSpec, RegistryEntry};
use crate::api::names::LEGACY_NAME;
use crate::model::{Binding, InvalidField};

/// A region to validate entries with that name none: which one the cluster has, the converter need not know.
pub(crate) const ANY_REGION: &str = "cn-hangzhou";

/// Validates a spec as the controller does.
pub(super) fn validate(spec: &AcrCredentialBindingSpec) -> Vec<InvalidField> {
    let object = AcrCredentialBinding::new(LEGACY_NAME, spec.clone());
    Binding::parse(&object, ANY_REGION).err().unwrap_or_default()
}

/// Validates an entry, alone in a binding with this threshold.
pub(super) fn validate_entry(entry: RegistryEntry, threshold: &str) -> Vec<InvalidField> {
    let (registries, expiring_threshold) = (vec![entry], threshold.to_owned());
    validate(&AcrCredentialBindingSpec {
        registries,
        expiring_threshold,
        ..AcrCredentialBindingSpec::default()
    })
}
