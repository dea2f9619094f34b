//! A snapshot: all bindings at one moment, by which namespaces are planned.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use k8s_openapi::jiff::Timestamp;

use super::admission_parameters::{PolicyParameters, parameters};
use super::resolved_binding::ResolvedBinding;
use super::secret::{SecretContent, Template, render};
use super::view::NamespaceFacts;

/// All bindings, the ones with precedence first.
#[derive(Debug)]
pub struct Snapshot {
    /// Sorted by age, then name: the order of precedence.
    bindings: Vec<ResolvedBinding>,
    /// Whether some binding could not be read: then it is unknown what is not wanted.
    coverage_unknown: bool,
    /// Until when Secrets that no binding asks for are left alone.
    unclaimed_until: Option<Timestamp>,
    /// Whether the API server may still add entries that are no longer wanted.
    awaits_admission: bool,
    template: Arc<Template>,
    /// Contents by the set of bindings that they are made of, so that a thousand namespaces share one.
    contents: Mutex<HashMap<Vec<usize>, Arc<SecretContent>>>,
    /// The parameters of our admission policy, once they were asked for.
    parameters: OnceLock<PolicyParameters>,
}

impl Snapshot {
    /// Returns a snapshot of these bindings.
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

    /// Returns the same snapshot, which leaves unclaimed Secrets alone until then.
    #[must_use]
    pub fn protecting_unclaimed_until(mut self, until: Option<Timestamp>) -> Self {
        self.unclaimed_until = until;
        self
    }

    /// Returns until when Secrets are left alone that no binding asks for and this process never served. Their bindings
    /// may come back.
    pub fn unclaimed_until(&self) -> Option<Timestamp> {
        self.unclaimed_until
    }

    /// Returns whether Secrets are left alone now that no binding asks for and this process never served.
    pub fn protects_unclaimed(&self, now: Timestamp) -> bool {
        self.unclaimed_until.is_some_and(|until| now < until)
    }

    /// Returns the index of a binding.
    pub fn index_of(&self, binding: &str) -> Option<usize> {
        self.bindings.iter().position(|resolved| *resolved.binding.name == *binding)
    }

    /// Returns the same snapshot, during which the API server may still add entries that are no longer wanted. An entry
    /// that is detached too early could come back with any write, unnoticed.
    #[must_use]
    pub fn awaiting_admission(self, awaiting: bool) -> Self {
        Self { awaits_admission: awaiting, ..self }
    }

    /// Returns whether the API server may still add entries that are no longer wanted.
    pub fn awaits_admission(&self) -> bool {
        self.awaits_admission
    }

    /// Returns the parameters of our admission policy.
    pub fn parameters(&self) -> &PolicyParameters {
        self.parameters.get_or_init(|| parameters(&self.bindings))
    }

    /// Returns whether nothing may be withdrawn now.
    pub fn keeps_all(&self) -> bool {
        self.coverage_unknown || self.awaits_admission
    }

    /// Returns the name of our Secret.
    pub fn secret_name(&self) -> &str {
        &self.template.name
    }

    /// Returns whether it is unknown what is not wanted.
    pub fn coverage_unknown(&self) -> bool {
        self.coverage_unknown
    }

    /// Returns the bindings that cover a namespace, as indices in the order of precedence.
    pub fn covering(&self, name: &str, facts: &NamespaceFacts) -> Vec<usize> {
        if facts.skip {
            return Vec::new();
        }
        let covers = |resolved: &ResolvedBinding| resolved.binding.namespaces.covers(name, &facts.labels);
        (0..self.bindings.len()).filter(|&i| covers(&self.bindings[i])).collect()
    }

    /// Returns the binding at an index that [`Self::covering`] gave.
    pub fn resolved(&self, index: usize) -> &ResolvedBinding {
        &self.bindings[index]
    }

    /// Returns all bindings.
    pub fn bindings(&self) -> &[ResolvedBinding] {
        &self.bindings
    }

    /// Returns the content of the Secret of a set of bindings.
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
