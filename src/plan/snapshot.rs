//! A snapshot: all bindings at one moment, by which namespaces are planned.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::jiff::Timestamp;

use super::admission_parameters::PolicyParameters;
use super::resolved_binding::{Phase, ResolvedBinding};
use super::secret::{SecretContent, Template, render};
use super::selections::Selections;
use super::view::NamespaceFacts;

/// Bytes of rendered contents that a snapshot keeps at most: those of thousands of bindings would fill the memory.
const MAX_CONTENT_BYTES: usize = 4 * 1024 * 1024;

/// All bindings, the ones with precedence first.
#[derive(Debug)]
pub struct Snapshot {
    /// Sorted by age, then name: the order of precedence.
    bindings: Vec<Arc<ResolvedBinding>>,
    selections: Arc<Selections>,
    /// Whether some binding could not be read: then it is unknown what is not wanted.
    coverage_unknown: bool,
    /// Until when Secrets that no binding asks for are left alone.
    unclaimed_until: Option<Timestamp>,
    /// Whether the API server may still add entries that are no longer wanted.
    awaits_admission: bool,
    template: Arc<Template>,
    /// Contents by the set of bindings that they are made of, so that a thousand namespaces share one.
    contents: Mutex<Contents>,
}

/// Rendered contents, of bounded size.
#[derive(Debug, Default)]
struct Contents {
    by_set: HashMap<Box<[usize]>, Arc<SecretContent>>,
    bytes: usize,
}

impl Contents {
    fn add(&mut self, set: &[usize], content: &Arc<SecretContent>) {
        if self.bytes > MAX_CONTENT_BYTES {
            *self = Self::default();
        }
        self.bytes += content.size;
        self.by_set.insert(set.into(), content.clone());
    }
}

impl Snapshot {
    /// Returns a snapshot of these bindings.
    pub fn new(template: Arc<Template>, bindings: Vec<ResolvedBinding>, coverage_unknown: bool) -> Self {
        let mut bindings: Vec<_> = bindings.into_iter().map(Arc::new).collect();
        bindings.sort_by(|a, b| a.precedence().cmp(&b.precedence()));
        Self {
            selections: Arc::new(Selections::new(&bindings)),
            bindings,
            coverage_unknown,
            unclaimed_until: None,
            awaits_admission: false,
            template,
            contents: Mutex::default(),
        }
    }

    /// Returns the same snapshot with some bindings replaced, added or, where there is nothing in force, removed. It
    /// shares with this one what they do not change.
    #[must_use]
    pub fn replacing(&self, changed: Vec<(Arc<str>, Option<ResolvedBinding>)>) -> Self {
        let mut next = Self {
            bindings: self.bindings.clone(),
            selections: self.selections.clone(),
            coverage_unknown: self.coverage_unknown,
            unclaimed_until: self.unclaimed_until,
            awaits_admission: self.awaits_admission,
            template: self.template.clone(),
            contents: Mutex::default(),
        };
        let same = |name: &str, resolved: &ResolvedBinding| {
            self.index_of(name).is_some_and(|i| self.bindings[i].asks_the_same(resolved))
        };
        let only_credentials = changed.iter().all(|(name, resolved)| match resolved {
            Some(resolved) => same(name, resolved),
            None => self.index_of(name).is_none(),
        });
        if only_credentials {
            let mut replaced = Vec::new();
            for (name, resolved) in changed {
                if let (Some(resolved), Some(i)) = (resolved, self.index_of(&name)) {
                    next.bindings[i] = Arc::new(resolved);
                    replaced.push(i);
                }
            }
            replaced.sort_unstable();
            next.contents = Mutex::new(self.contents_without(&replaced));
            return next;
        }
        let mut by_name: HashMap<Arc<str>, Option<ResolvedBinding>> = changed.into_iter().collect();
        next.bindings.retain(|resolved| !by_name.contains_key(&resolved.binding.name));
        next.bindings.extend(by_name.drain().filter_map(|(_, resolved)| resolved).map(Arc::new));
        next.bindings.sort_by(|a, b| a.precedence().cmp(&b.precedence()));
        next.selections = Arc::new(Selections::new(&next.bindings));
        next
    }

    /// Returns the rendered contents in which none of the bindings at these sorted positions has a part.
    fn contents_without(&self, replaced: &[usize]) -> Contents {
        let mut kept = Contents::default();
        let contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let untouched = |set: &[usize]| !set.iter().any(|i| replaced.binary_search(i).is_ok());
        for (set, content) in contents.by_set.iter().filter(|(set, _)| untouched(set)) {
            kept.add(set, content);
        }
        kept
    }

    /// Returns the same snapshot, in which the entries of a binding stay, or not.
    #[must_use]
    pub fn keeping_entries(mut self, position: usize, keeps: bool) -> Self {
        if self.bindings[position].keeps_entries != keeps {
            Arc::make_mut(&mut self.bindings[position]).keeps_entries = keeps;
        }
        self
    }

    /// Returns the same snapshot, with whether some binding could not be read.
    #[must_use]
    pub fn knowing_coverage(self, unknown: bool) -> Self {
        Self { coverage_unknown: unknown, ..self }
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
        self.selections.position(binding)
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
        self.selections.parameters(&self.bindings)
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

    /// Returns what follows from the specs of the bindings alone.
    pub fn selections(&self) -> &Arc<Selections> {
        &self.selections
    }

    /// Returns the bindings that select a namespace, excluded or not, as indices in the order of precedence.
    pub fn selecting(&self, name: &str, facts: &NamespaceFacts) -> Vec<usize> {
        self.selections.selecting(name, facts)
    }

    /// Returns the bindings that cover a namespace, as indices in the order of precedence. It costs those that select
    /// the namespace, not all of them.
    pub fn covering(&self, name: &str, facts: &NamespaceFacts) -> Vec<usize> {
        if facts.skip {
            return Vec::new();
        }
        let mut covering = self.selecting(name, facts);
        covering.retain(|&i| self.bindings[i].binding.namespaces.excluded_by(name).is_none());
        covering
    }

    /// Returns the binding at an index that [`Self::covering`] gave.
    pub fn resolved(&self, index: usize) -> &ResolvedBinding {
        &self.bindings[index]
    }

    /// Returns the phase of a binding.
    pub fn phase_of(&self, binding: &str) -> Option<Phase> {
        Some(self.bindings[self.index_of(binding)?].phase)
    }

    /// Returns all bindings.
    pub fn bindings(&self) -> &[Arc<ResolvedBinding>] {
        &self.bindings
    }

    /// Returns the content of the Secret of a set of bindings.
    pub fn content(&self, set: &[usize]) -> Arc<SecretContent> {
        let known = |contents: &Contents| contents.by_set.get(set).cloned();
        if let Some(content) = known(&self.contents.lock().unwrap_or_else(PoisonError::into_inner)) {
            return content;
        }
        let bindings: Vec<&ResolvedBinding> = set.iter().map(|&i| &*self.bindings[i]).collect();
        let content = Arc::new(render(&self.template, &bindings));
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        // Another worker may have rendered it meanwhile.
        if let Some(content) = known(&contents) {
            return content;
        }
        contents.add(set, &content);
        content
    }
}

#[cfg(test)]
mod tests;
