//! The data of the ConfigMap by which our `MutatingAdmissionPolicy` in `deploy/admission.yaml` adds the entry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::resolved_binding::{Phase, ResolvedBinding};
use crate::model::Binding;

/// The most that all bindings together may cost for one ServiceAccount, by the API server's measure of CEL expressions.
/// The API server gives up at 1,000,000, which takes it about 0.1 s.
const BUDGET: usize = 500_000;

/// Bytes of keys and values: a ConfigMap holds 1 MiB with its metadata.
const MAX_BYTES: usize = 900_000;

/// The ConfigMap's data, and the bindings that do not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyParameters {
    /// One key a binding, in the form that `deploy/admission.yaml` explains.
    pub data: BTreeMap<String, String>,
    /// Bindings whose ServiceAccounts get their entry right after the creation instead.
    pub left_out: BTreeSet<Arc<str>>,
}

/// Returns whether a binding is active and enables admission.
pub fn enables(resolved: &ResolvedBinding) -> bool {
    resolved.phase == Phase::Active && resolved.binding.admission.is_some()
}

/// Returns the active bindings that enable admission, in their order.
pub fn enabling(bindings: &[Arc<ResolvedBinding>]) -> impl Iterator<Item = &Binding> {
    bindings.iter().filter(|resolved| enables(resolved)).map(|resolved| &*resolved.binding)
}

/// Returns the parameters for bindings in the order of precedence. Those that come first are the last to be left out.
pub fn parameters(bindings: &[Arc<ResolvedBinding>]) -> PolicyParameters {
    let mut parameters = PolicyParameters::default();
    let (mut cost, mut bytes) = (0, 0);
    for binding in enabling(bindings) {
        let parameter = binding.coverage().parameter();
        let next = (cost + parameter.cost, bytes + binding.name.len() + parameter.text.len());
        if next.0 > BUDGET || next.1 > MAX_BYTES {
            parameters.left_out.insert(binding.name.clone());
            continue;
        }
        (cost, bytes) = next;
        parameters.data.insert(binding.name.to_string(), parameter.text);
    }
    parameters
}

#[cfg(test)]
mod tests;
