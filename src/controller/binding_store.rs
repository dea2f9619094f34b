//! The bindings by name, as they were last seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::api::AcrCredentialBinding;
use crate::cluster::is_older;
use crate::model::RegistryKey;
use crate::plan::credential_cache::{CredentialCache, Demand};
use crate::plan::stored_binding::{BindingChange, StoredBinding};
use crate::plan::{Phase, ResolvedBinding};

/// All bindings by name.
#[derive(Debug, Default)]
pub struct BindingStore {
    bindings: BTreeMap<Arc<str>, StoredBinding>,
    /// Names of bindings that exist and cannot be read at all.
    unreadable: BTreeSet<Arc<str>>,
    /// Names of bindings whose coverage is unknown: none of their specs was ever valid.
    without_spec: BTreeSet<Arc<str>>,
    /// Bindings that request fresh credentials which are not requested from the cache yet.
    refreshing: BTreeSet<Arc<str>>,
    /// What follows from all of them, until one changes.
    totals: OnceLock<Arc<Totals>>,
}

/// What follows from all bindings together.
#[derive(Debug, Default)]
pub struct Totals {
    /// The demand of the active bindings on each registry.
    pub demands: HashMap<RegistryKey, Demand>,
    /// The domains that active bindings give for a registry, each once.
    pub given_domains: HashMap<RegistryKey, BTreeSet<String>>,
    /// The bindings that use a registry, active or not: its credential is kept.
    users: HashMap<RegistryKey, Vec<Arc<str>>>,
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
        let found_or_lost = match stored.counts() && stored.good.is_none() {
            true => self.without_spec.insert(name.clone()),
            false => self.without_spec.remove(&name),
        };
        self.bindings.insert(name.clone(), stored);
        let changed = readable_again || found_or_lost || change.changed;
        if changed {
            self.totals.take();
        }
        if change.refresh {
            self.refreshing.insert(name);
        }
        BindingChange { changed, ..change }
    }

    /// Starts again from what the objects say. Bindings with a refresh still to be made request it again.
    pub fn begin(&mut self) {
        self.totals.take();
        self.bindings.values_mut().for_each(StoredBinding::restart);
        let asking = self.bindings.iter().filter(|(_, stored)| stored.refreshing.is_some());
        self.refreshing = asking.map(|(name, _)| name.clone()).collect();
    }

    /// Takes the request of a binding for fresh credentials: the registries, if it made one.
    pub fn take_refresh(&mut self, name: &str) -> Option<Vec<RegistryKey>> {
        let good = self.bindings.get(name)?.good.as_ref().filter(|_| self.refreshing.remove(name))?;
        Some(good.registries.iter().map(|registry| registry.key.clone()).collect())
    }

    /// Returns the version by which an object is known, where it is a number and the object was not made again.
    pub fn known_version(&self, object: &ObjectMeta) -> Option<u64> {
        let stored = &self.bindings.get(object.name.as_deref()?)?.object;
        let same_object = stored.metadata.uid == object.uid;
        stored.metadata.resource_version.as_deref().filter(|_| same_object)?.parse().ok()
    }

    /// Forgets the version of a binding, since it was set back.
    pub fn forget_version(&mut self, name: &str) {
        if let Some(stored) = self.bindings.get_mut(name) {
            Arc::make_mut(&mut stored.object).metadata.resource_version = None;
        }
    }

    /// Forgets the versions of all bindings, since they were set back: those that exist may be older.
    pub fn forget_versions(&mut self) {
        for stored in self.bindings.values_mut() {
            Arc::make_mut(&mut stored.object).metadata.resource_version = None;
        }
    }

    /// Removes a binding. Returns whether it existed.
    pub fn remove(&mut self, name: &str) -> bool {
        self.totals.take();
        self.without_spec.remove(name);
        self.refreshing.remove(name);
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

    /// Records the effect of a deletion.
    pub fn decide_deletion(&mut self, name: &str, effect: Phase) {
        self.totals.take();
        if let Some(stored) = self.bindings.get_mut(name) {
            stored.deletion = Some(effect);
        }
    }

    /// Records that the refresh which a binding requests was handled.
    pub fn handle_refresh(&mut self, name: &str) {
        if let Some(stored) = self.bindings.get_mut(name) {
            stored.handled_refresh = stored.refreshing.take();
        }
    }

    /// Returns a binding with its credentials, if it is in force.
    pub fn resolved(
        &self,
        name: &str,
        credentials: &CredentialCache,
        now: Timestamp,
    ) -> Option<ResolvedBinding> {
        let stored = self.bindings.get(name)?;
        let (binding, phase) = stored.in_force()?;
        let registries = binding.registries.iter().map(|r| stored.credential(r, credentials, now)).collect();
        Some(ResolvedBinding { binding, phase, registries, keeps_entries: false })
    }

    /// Returns whether the coverage of some binding is unknown: then it is unknown which Secrets are unclaimed.
    pub fn coverage_unknown(&self) -> bool {
        !self.unreadable.is_empty() || !self.without_spec.is_empty()
    }

    /// Returns what follows from all bindings. It is added up once, however many ask, until one of them changes.
    pub fn totals(&self) -> &Arc<Totals> {
        self.totals.get_or_init(|| Arc::new(self.add_up()))
    }

    fn add_up(&self) -> Totals {
        let mut totals = Totals::default();
        for (name, stored) in &self.bindings {
            for registry in stored.good.iter().flat_map(|binding| &binding.registries) {
                let users = totals.users.entry(registry.key.clone()).or_default();
                if users.last() != Some(name) {
                    users.push(name.clone());
                }
            }
            let Some((binding, Phase::Active)) = stored.in_force() else { continue };
            for registry in &binding.registries {
                let given = totals.given_domains.entry(registry.key.clone()).or_default();
                given.extend(registry.domains.iter().cloned());
                if !registry.is_served() {
                    continue;
                }
                let demand = totals
                    .demands
                    .entry(registry.key.clone())
                    .or_insert(Demand { threshold: binding.threshold, ..Demand::default() });
                demand.threshold = demand.threshold.max(binding.threshold);
                demand.list_domains |= registry.domains.is_empty();
            }
        }
        totals
    }

    /// Returns the registries to track: those in demand, and those of any valid spec.
    pub fn tracked(&self) -> HashMap<RegistryKey, Demand> {
        let totals = self.totals();
        let mut tracked = totals.demands.clone();
        for key in totals.users.keys() {
            tracked.entry(key.clone()).or_default();
        }
        tracked
    }

    /// Returns the names of the Secrets with key pairs that any binding names.
    pub fn key_secrets(&self) -> BTreeSet<String> {
        self.bindings.values().flat_map(StoredBinding::key_secrets).collect()
    }

    /// Returns the bindings that use some of these registries, each once.
    pub fn users(&self, keys: &[RegistryKey]) -> Vec<Arc<str>> {
        let users = keys.iter().filter_map(|key| self.totals().users.get(key));
        users.flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
