//! What follows from the specs of the bindings alone. Snapshots share it until a spec changes.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use super::admission_parameters::{PolicyParameters, parameters};
use super::resolved_binding::ResolvedBinding;
use super::view::NamespaceFacts;
use crate::model::Labels;
use crate::model::coverage::SelectionIndex;

/// The bindings by name, and by what they select.
#[derive(Debug, Default)]
pub struct Selections {
    positions: HashMap<Arc<str>, usize>,
    index: SelectionIndex,
    /// The parameters of our admission policy, once they were asked for.
    parameters: OnceLock<PolicyParameters>,
}

impl Selections {
    /// Returns the selections of bindings in the order of precedence.
    pub fn new(bindings: &[Arc<ResolvedBinding>]) -> Self {
        let positions = bindings.iter().enumerate().map(|(i, resolved)| (resolved.binding.name.clone(), i));
        let selections = bindings.iter().enumerate().map(|(i, resolved)| (i, &resolved.binding.namespaces));
        Self {
            positions: positions.collect(),
            index: SelectionIndex::new(selections),
            parameters: OnceLock::new(),
        }
    }

    /// Returns the position of a binding.
    pub fn position(&self, binding: &str) -> Option<usize> {
        self.positions.get(binding).copied()
    }

    /// Returns the positions of the bindings that select a namespace, excluded or not.
    pub fn selecting(&self, name: &str, facts: &NamespaceFacts) -> Vec<usize> {
        self.index.selecting(name, &facts.labels)
    }

    /// Returns the parameters of our admission policy. `bindings`: those of [`Self::new`].
    pub fn parameters(&self, bindings: &[Arc<ResolvedBinding>]) -> &PolicyParameters {
        self.parameters.get_or_init(|| parameters(bindings))
    }
}

/// The bindings that cover one namespace, as they were last computed.
#[derive(Clone, Debug, Default)]
pub struct CachedCoverage(Option<Box<ComputedCoverage>>);

#[derive(Clone, Debug)]
struct ComputedCoverage {
    /// What it was computed by. A weak reference keeps its address from being used again.
    selections: Weak<Selections>,
    labels: Labels,
    skip: bool,
    covering: Box<[usize]>,
}

impl CachedCoverage {
    /// Returns what was computed by these selections for a namespace as it is, if anything was.
    pub fn get(&self, selections: &Arc<Selections>, facts: &NamespaceFacts) -> Option<&[usize]> {
        let computed = self.0.as_ref()?;
        let same = std::ptr::eq(computed.selections.as_ptr(), Arc::as_ptr(selections))
            && computed.skip == facts.skip
            && computed.labels == facts.labels;
        same.then_some(&computed.covering)
    }

    /// Records what was computed by these selections.
    pub fn put(&mut self, selections: &Arc<Selections>, facts: &NamespaceFacts, covering: &[usize]) {
        self.0 = Some(Box::new(ComputedCoverage {
            selections: Arc::downgrade(selections),
            labels: facts.labels.clone(),
            skip: facts.skip,
            covering: covering.into(),
        }));
    }
}
