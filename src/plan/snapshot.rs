//! All bindings at one moment, as the namespaces see them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use k8s_openapi::jiff::Timestamp;

use super::admission::{PolicyParameters, parameters};
use super::resolved_binding::ResolvedBinding;
use super::secret::{SecretContent, Template, render};
use super::view::NamespaceFacts;

/// All bindings, the ones with precedence first.
#[derive(Debug)]
pub struct Snapshot {
    /// Sorted by age, then name: the order of precedence.
    bindings: Vec<ResolvedBinding>,
    /// Whether some binding could not be read: then nobody can say what is not wanted.
    coverage_unknown: bool,
    /// The time it is made at, where what no binding asks for may belong to one that comes back.
    unclaimed_until: Option<Timestamp>,
    /// Whether the API server may still add entries that are not wanted any more.
    awaits_admission: bool,
    template: Arc<Template>,
    /// Contents by the set of bindings that they are made of, so that a thousand namespaces share one.
    contents: Mutex<HashMap<Vec<usize>, Arc<SecretContent>>>,
    /// What the API server should be told, once somebody asked.
    parameters: OnceLock<PolicyParameters>,
}

impl Snapshot {
    /// A snapshot of these bindings.
    pub fn new(template: Arc<Template>, mut bindings: Vec<ResolvedBinding>, coverage_unknown: bool) -> Self {
        bindings.sort_by(|a, b| {
            let age =
                |resolved: &ResolvedBinding| (resolved.binding.created_at, resolved.binding.name.clone());
            age(a).cmp(&age(b))
        });
        let contents = Mutex::default();
        Self {
            bindings,
            coverage_unknown,
            unclaimed_until: None,
            awaits_admission: false,
            template,
            contents,
            parameters: OnceLock::new(),
        }
    }

    /// The same at this time, where what no binding asks for and this process never served is left as it is.
    #[must_use]
    pub fn keeping_unclaimed_until(mut self, now: Option<Timestamp>) -> Self {
        self.unclaimed_until = now;
        self
    }

    /// The time it was made at, if what no binding asks for may belong to one that comes back.
    pub fn unclaimed_until(&self) -> Option<Timestamp> {
        self.unclaimed_until
    }

    /// The index of a binding.
    pub fn index_of(&self, binding: &str) -> Option<usize> {
        self.bindings.iter().position(|resolved| *resolved.binding.name == *binding)
    }

    /// The same, where the API server may still add entries that are not wanted any more. One that is detached before
    /// it knows better could come back by anybody's write, when nobody looks any more.
    #[must_use]
    pub fn awaiting_admission(self, awaiting: bool) -> Self {
        Self { awaits_admission: awaiting, ..self }
    }

    /// Whether the API server may still add entries that are not wanted any more.
    pub fn awaits_admission(&self) -> bool {
        self.awaits_admission
    }

    /// What the API server should be told of the bindings that ask for it.
    pub fn parameters(&self) -> &PolicyParameters {
        self.parameters.get_or_init(|| parameters(self))
    }

    /// Whether nothing may be taken back now.
    pub fn keeps_all(&self) -> bool {
        self.coverage_unknown || self.awaits_admission
    }

    /// Name of the Secret.
    pub fn secret_name(&self) -> &str {
        &self.template.name
    }

    /// Whether nobody can say what is not wanted.
    pub fn coverage_unknown(&self) -> bool {
        self.coverage_unknown
    }

    /// The bindings that cover a namespace, as indices in the order of precedence.
    pub fn covering(&self, name: &str, facts: &NamespaceFacts) -> Vec<usize> {
        if facts.skip {
            return Vec::new();
        }
        let covers = |resolved: &ResolvedBinding| resolved.binding.namespaces.covers(name, &facts.labels);
        (0..self.bindings.len()).filter(|&i| covers(&self.bindings[i])).collect()
    }

    /// The binding at an index that [`Self::covering`] gave.
    pub fn resolved(&self, index: usize) -> &ResolvedBinding {
        &self.bindings[index]
    }

    /// All bindings.
    pub fn bindings(&self) -> &[ResolvedBinding] {
        &self.bindings
    }

    /// What the Secret of a set of bindings holds.
    pub fn content(&self, set: &[usize]) -> Arc<SecretContent> {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(content) = contents.get(set) {
            return content.clone();
        }
        let bindings: Vec<&ResolvedBinding> = set.iter().map(|&i| &self.bindings[i]).collect();
        let content = Arc::new(render(&self.template, &bindings));
        contents.insert(set.to_vec(), content.clone());
        content
    }
}

#[cfg(test)]
mod tests;
