//! The bindings by name, as they were last seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::api::AcrCredentialBinding;
use crate::cluster::is_older;
use crate::model::{Binding, RegistryKey};
use crate::plan::credential_cache::{CredentialCache, Demand};
use crate::plan::stored_binding::{BindingChange, StoredBinding};
use crate::plan::{Phase, ResolvedBinding};

/// All bindings by name.
#[derive(Debug, Default)]
pub struct BindingStore {
    bindings: BTreeMap<Arc<str>, StoredBinding>,
    /// Names of bindings that exist and cannot be read at all.
    unreadable: BTreeSet<Arc<str>>,
}

impl BindingStore {
    /// Records an object. Returns what it changed.
    pub fn put(&mut self, object: AcrCredentialBinding, cluster_region: &str) -> BindingChange {
        let name: Arc<str> = object.name_any().into();
        let version = |object: &AcrCredentialBinding| object.resource_version().unwrap_or_default();
        let same_object = |stored: &StoredBinding| stored.object.metadata.uid == object.metadata.uid;
        let newer = |stored: &StoredBinding| {
            same_object(stored) && is_older(&version(&object), &version(&stored.object))
        };
        // What was read or written since is ahead of a watch that lags behind.
        if self.bindings.get(&name).is_some_and(newer) {
            return BindingChange::default();
        }
        let readable_again = self.unreadable.remove(&name);
        let before = self.bindings.remove(&name);
        let earlier = before.clone().filter(same_object);
        let stored = StoredBinding::observe(object, earlier, cluster_region);
        let change = stored.change_since(before.as_ref());
        self.bindings.insert(name, stored);
        BindingChange { changed: readable_again || change.changed, ..change }
    }

    /// Starts again from what the objects say. Returns the bindings with a refresh still to be made.
    pub fn begin(&mut self) -> Vec<Arc<Binding>> {
        self.bindings.values_mut().for_each(StoredBinding::restart);
        let refreshing = self.bindings.values().filter(|stored| stored.refreshing.is_some());
        refreshing.filter_map(|stored| stored.good.clone()).collect()
    }

    /// Forgets the versions of all bindings, since they were set back: those that exist may be older.
    pub fn forget_versions(&mut self) {
        for stored in self.bindings.values_mut() {
            Arc::make_mut(&mut stored.object).metadata.resource_version = None;
        }
    }

    /// Removes a binding. Returns whether it existed.
    pub fn remove(&mut self, name: &str) -> bool {
        self.unreadable.remove(name) | self.bindings.remove(name).is_some()
    }

    /// Records that a binding exists and cannot be read.
    pub fn add_unreadable(&mut self, name: &str) {
        self.unreadable.insert(name.into());
    }

    /// Returns the names of all bindings.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.bindings.keys().chain(&self.unreadable).cloned().collect()
    }

    /// Returns one binding.
    pub fn get(&self, name: &str) -> Option<&StoredBinding> {
        self.bindings.get(name)
    }

    /// Returns one binding, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut StoredBinding> {
        self.bindings.get_mut(name)
    }

    /// Returns all bindings in force, with their credentials.
    pub fn resolved_bindings(&self, credentials: &CredentialCache, now: Timestamp) -> Vec<ResolvedBinding> {
        let resolved = |stored: &StoredBinding| {
            let (binding, phase) = stored.in_force()?;
            let registries =
                binding.registries.iter().map(|r| stored.credential(r, credentials, now)).collect();
            Some(ResolvedBinding { binding, phase, registries, keeps_entries: false })
        };
        self.bindings.values().filter_map(resolved).collect()
    }

    /// Returns whether the coverage of some binding is unknown: then it is unknown which Secrets are unclaimed.
    pub fn coverage_unknown(&self) -> bool {
        !self.unreadable.is_empty()
            || self.bindings.values().any(|stored| stored.counts() && stored.good.is_none())
    }

    fn active(&self) -> impl Iterator<Item = Arc<Binding>> {
        let in_force = self.bindings.values().filter_map(StoredBinding::in_force);
        in_force.filter(|(_, phase)| *phase == Phase::Active).map(|(binding, _)| binding)
    }

    /// Returns the demand of the active bindings on each registry.
    pub fn demands(&self) -> HashMap<RegistryKey, Demand> {
        let mut demands: HashMap<RegistryKey, Demand> = HashMap::new();
        for binding in self.active() {
            for registry in binding.registries.iter().filter(|registry| registry.is_served()) {
                let demand = demands
                    .entry(registry.key.clone())
                    .or_insert(Demand { threshold: binding.threshold, ..Demand::default() });
                demand.threshold = demand.threshold.max(binding.threshold);
                demand.list_domains |= registry.domains.is_empty();
            }
        }
        demands
    }

    /// Returns the domains that active bindings give for a registry, each once.
    pub fn given_domains(&self, key: &RegistryKey) -> BTreeSet<String> {
        let of = |binding: Arc<Binding>| {
            let registries = binding.registries.iter().filter(|registry| registry.key == *key);
            registries.flat_map(|registry| registry.domains.clone()).collect::<Vec<_>>()
        };
        self.active().flat_map(of).collect()
    }

    /// Returns the registries of all valid specs, active or not: their credentials are kept.
    pub fn keys(&self) -> impl Iterator<Item = RegistryKey> {
        let in_force = self.bindings.values().filter_map(|stored| stored.good.clone());
        in_force.flat_map(|binding| binding.registries.iter().map(|r| r.key.clone()).collect::<Vec<_>>())
    }

    /// Returns the names of the Secrets with key pairs that any binding names.
    pub fn key_secrets(&self) -> BTreeSet<String> {
        self.bindings.values().flat_map(StoredBinding::key_secrets).collect()
    }

    /// Returns the bindings that use some of these registries.
    pub fn users(&self, keys: &[RegistryKey]) -> Vec<Arc<str>> {
        let users = self.bindings.iter().filter(|(_, stored)| stored.uses_any(keys));
        users.map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
