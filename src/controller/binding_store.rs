//! The bindings as they were last seen, and what they mean.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::credential_cache::{CredentialCache, Demand};
use crate::api::{AcrCredentialBinding, ConditionType, names};
use crate::cluster::is_older;
use crate::model::identity::CredentialSource;
use crate::model::{Binding, InvalidField, Registry, RegistryKey};
use crate::plan::guard::WithdrawalIntent;
use crate::plan::{Phase, RegistryCredential, ResolvedBinding};

/// How many registries of earlier specs are remembered of a binding.
const EARLIER: usize = 64;

/// One binding.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The object.
    pub object: Arc<AcrCredentialBinding>,
    /// What is wrong with its spec.
    pub invalid: Vec<InvalidField>,
    /// The last spec that was valid: it stays in force.
    pub good: Option<Arc<Binding>>,
    /// Registries of the specs before it that covered the same, the last ones first.
    earlier: Vec<Registry>,
    /// Whether our finalizer was seen on it.
    was_held: bool,
    /// What its deletion does, once that is known.
    pub leaving: Option<Phase>,
    /// The refresh request that is under way.
    pub refreshing: Option<String>,
    /// The last refresh request that was acted upon.
    pub handled_refresh: Option<String>,
}

impl Entry {
    fn phase(&self, binding: &Binding) -> Phase {
        match (self.object.metadata.deletion_timestamp.is_some(), self.leaving) {
            (true, Some(phase)) => phase,
            // Until it is known whether the CRD itself is going, nothing is touched.
            (true, None) => Phase::Suspended,
            (false, _) if binding.suspend => Phase::Suspended,
            (false, _) => Phase::Active,
        }
    }

    /// Whether our finalizer holds the binding. Without it nothing is written: what we made must not outlive a
    /// deletion that we do not see.
    pub fn is_held(&self) -> bool {
        self.object.finalizers().iter().any(|f| f == names::FINALIZER)
    }

    /// Whether it lost our finalizer: whoever replaces the whole object takes it off.
    fn lost_hold(&self) -> bool {
        let gone = !self.is_held() && self.object.metadata.deletion_timestamp.is_none();
        gone && (self.was_held || self.was_observed())
    }

    /// Whether what it covers is kept: it is held, or was and will be again.
    fn counts(&self) -> bool {
        self.is_held() || self.lost_hold()
    }

    fn was_observed(&self) -> bool {
        let status = self.object.status.as_ref();
        status.and_then(|status| status.observed_generation).is_some_and(|g| g >= 0)
    }

    /// The binding, where it is in force and asks to serve ServiceAccounts while they are created.
    pub fn asks_admission(&self) -> Option<Arc<Binding>> {
        let (binding, phase) = self.in_force()?;
        (phase == Phase::Active && binding.admission.is_some()).then_some(binding)
    }

    /// Whether its status speaks of its present spec.
    pub fn is_observed(&self) -> bool {
        let observed = self.object.status.as_ref().and_then(|status| status.observed_generation);
        observed.is_some() && observed == self.object.metadata.generation
    }

    fn asks(&self) -> Asks {
        Asks {
            in_force: self.in_force(),
            invalid: self.invalid.clone(),
            refreshing: self.refreshing.clone(),
            intent: self.intent(),
        }
    }

    /// What it says about what it covers no more.
    pub fn intent(&self) -> WithdrawalIntent {
        let metadata = &self.object.metadata;
        let confirmed = self.object.annotations().get(names::ANNOTATION_CONFIRM_WITHDRAWAL);
        let confirmed = confirmed.and_then(|value| value.trim().parse::<i64>().ok());
        match self.good.as_ref().is_some_and(|binding| binding.suspend) {
            _ if metadata.deletion_timestamp.is_some() => WithdrawalIntent::Leaving,
            _ if confirmed.is_some() && confirmed == metadata.generation => WithdrawalIntent::Confirmed,
            true => WithdrawalIntent::Suspended,
            false => WithdrawalIntent::Guarded,
        }
    }

    /// Whether it covered namespaces when its status was last written, or may have, since it was held and never was.
    pub fn may_have_covered(&self) -> bool {
        let status = self.object.status.as_ref();
        let matched = status.and_then(|status| status.namespaces.as_ref()).is_some_and(|n| n.matched > 0);
        self.counts() && (matched || !self.was_observed())
    }

    /// Since when its status says that a withdrawal is held.
    pub fn held_since(&self) -> Option<Timestamp> {
        let conditions = self.object.status.iter().flat_map(|status| &status.conditions);
        let held = ConditionType::WithdrawalHeld.as_str();
        conditions
            .into_iter()
            .find(|c| c.type_ == held && c.status == "True")
            .map(|c| c.last_transition_time.0)
    }

    /// Namespaces that its status names.
    pub fn told_namespaces(&self) -> BTreeSet<&str> {
        let pairs = self.object.status.iter().flat_map(|status| &status.pairs);
        pairs.map(|pair| pair.namespace.as_str()).collect()
    }

    /// The binding in force, with what it asks.
    fn in_force(&self) -> Option<(Arc<Binding>, Phase)> {
        let binding = self.good.clone()?;
        let phase = match self.is_held() {
            true => self.phase(&binding),
            // Nothing is written until it is back, and nothing is taken back either.
            false if self.lost_hold() => Phase::Suspended,
            false => return None,
        };
        Some((binding, phase))
    }

    /// What there is to write for a registry. One that was edited, and for which nothing could be had yet, is opened
    /// with what was held for it before, for as long as that lives.
    fn credential(
        &self,
        registry: &Registry,
        credentials: &CredentialCache,
        now: Timestamp,
    ) -> RegistryCredential {
        let credential = credentials.credential(registry);
        if !matches!(credential, RegistryCredential::Missing) {
            return credential;
        }
        let same =
            |key: &RegistryKey| (&key.edition, &key.region) == (&registry.key.edition, &registry.key.region);
        let before = self.earlier.iter().filter(|earlier| same(&earlier.key));
        let credentials = before.map(|earlier| {
            credentials.credential(&Registry { key: earlier.key.clone(), ..registry.clone() })
        });
        let lives = |credential: &RegistryCredential| matches!(credential, RegistryCredential::Held { credential, .. } if credential.expires_at > now);
        credentials.into_iter().find(lives).unwrap_or(credential)
    }
}

/// All that a binding asks of the cluster or the cloud.
#[derive(PartialEq)]
struct Asks {
    in_force: Option<(Arc<Binding>, Phase)>,
    invalid: Vec<InvalidField>,
    refreshing: Option<String>,
    intent: WithdrawalIntent,
}

/// The refresh request that a binding's status says was acted upon.
fn reported_refresh(object: &AcrCredentialBinding) -> Option<String> {
    object.status.as_ref()?.last_handled_refresh_at.clone()
}

/// The refresh request that is still to be acted upon.
fn refresh_to_make(object: &AcrCredentialBinding, handled: Option<&String>) -> Option<String> {
    object.annotations().get(names::ANNOTATION_REFRESH_AT).filter(|asked| handled != Some(*asked)).cloned()
}

/// What a look at an object brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// What it asks of the cluster or the cloud changed.
    pub changed: bool,
    /// Fresh credentials are asked for.
    pub refresh: bool,
}

/// All bindings by name.
#[derive(Debug, Default)]
pub struct BindingStore {
    entries: BTreeMap<Arc<str>, Entry>,
    /// Names of bindings that are there and cannot be read at all.
    unreadable: BTreeSet<Arc<str>>,
}

impl BindingStore {
    /// Takes in an object.
    pub fn put(&mut self, object: AcrCredentialBinding, cluster_region: &str) -> News {
        let name: Arc<str> = object.name_any().into();
        // What was read or written since is ahead of a watch that lags behind.
        let version = |object: &AcrCredentialBinding| object.resource_version().unwrap_or_default();
        let newer = |held: &Entry| {
            held.object.metadata.uid == object.metadata.uid
                && is_older(&version(&object), &version(&held.object))
        };
        if self.entries.get(&name).is_some_and(newer) {
            return News { changed: false, refresh: false };
        }
        let readable_again = self.unreadable.remove(&name);
        let before = self.entries.get(&name).map(Entry::asks);
        let same_object = |e: &&Entry| e.object.metadata.uid == object.metadata.uid;
        let earlier = self.entries.remove(&name).filter(|e| same_object(&e));
        let (good, invalid) = match Binding::parse(&object, cluster_region) {
            Ok(binding) => (Some(Arc::new(binding)), Vec::new()),
            Err(invalid) => (earlier.as_ref().and_then(|e| e.good.clone()), invalid),
        };
        let handled_refresh =
            earlier.as_ref().and_then(|e| e.handled_refresh.clone()).or_else(|| reported_refresh(&object));
        let was_held = earlier.as_ref().is_some_and(|e| e.was_held || e.is_held());
        let mut replaced: Vec<Registry> = Vec::new();
        if let Some(earlier) = &earlier {
            let (before, now) = (earlier.good.as_ref(), good.as_ref());
            // Elsewhere nobody asked for them.
            if before.map(|binding| &binding.namespaces) == now.map(|binding| &binding.namespaces) {
                let changed = before.filter(|_| before != now);
                replaced.extend(changed.iter().flat_map(|binding| binding.registries.clone()));
                replaced.extend(earlier.earlier.clone());
                replaced.truncate(EARLIER);
            }
        }
        let entry = Entry {
            earlier: replaced,
            was_held,
            refreshing: refresh_to_make(&object, handled_refresh.as_ref()),
            leaving: earlier.and_then(|e| e.leaving),
            object: Arc::new(object),
            invalid,
            good,
            handled_refresh,
        };
        let after = Some(entry.asks());
        let refresh = entry.refreshing.is_some()
            && before.as_ref().map(|asked| &asked.refreshing) != Some(&entry.refreshing);
        self.entries.insert(name, entry);
        News { changed: readable_again || before != after, refresh }
    }

    /// Begins anew with what the objects say: a refresh that was asked for meanwhile may have been another's to make.
    /// Returns the bindings for which one is still to be made.
    pub fn begin(&mut self) -> Vec<Arc<Binding>> {
        let mut asking = Vec::new();
        for entry in self.entries.values_mut() {
            entry.handled_refresh = reported_refresh(&entry.object);
            entry.refreshing = refresh_to_make(&entry.object, entry.handled_refresh.as_ref());
            asking.extend(entry.good.clone().filter(|_| entry.refreshing.is_some()));
        }
        asking
    }

    /// Forgets a binding. Returns whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.unreadable.remove(name) | self.entries.remove(name).is_some()
    }

    /// A binding is there that cannot be read.
    pub fn add_unreadable(&mut self, name: &str) {
        self.unreadable.insert(name.into());
    }

    /// Names of all bindings.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.entries.keys().chain(&self.unreadable).cloned().collect()
    }

    /// One binding.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// One binding, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.get_mut(name)
    }

    /// All bindings in force, with what is held for them.
    pub fn resolved_bindings(&self, credentials: &CredentialCache, now: Timestamp) -> Vec<ResolvedBinding> {
        let resolved = |entry: &Entry| {
            let (binding, phase) = entry.in_force()?;
            let registries =
                binding.registries.iter().map(|r| entry.credential(r, credentials, now)).collect();
            Some(ResolvedBinding { binding, phase, registries, keeps_entries: false })
        };
        self.entries.values().filter_map(resolved).collect()
    }

    /// Whether some binding's coverage cannot be told: then nobody knows what is not wanted.
    pub fn coverage_unknown(&self) -> bool {
        !self.unreadable.is_empty()
            || self.entries.values().any(|entry| entry.counts() && entry.good.is_none())
    }

    fn active(&self) -> impl Iterator<Item = Arc<Binding>> {
        let in_force = self.entries.values().filter_map(Entry::in_force);
        in_force.filter(|(_, phase)| *phase == Phase::Active).map(|(binding, _)| binding)
    }

    /// What the active bindings want of each registry.
    pub fn wants(&self) -> HashMap<RegistryKey, Demand> {
        let mut wants: HashMap<RegistryKey, Demand> = HashMap::new();
        for binding in self.active() {
            for registry in &binding.registries {
                let want = wants
                    .entry(registry.key.clone())
                    .or_insert(Demand { threshold: binding.threshold, ..Demand::default() });
                want.threshold = want.threshold.max(binding.threshold);
                want.list_domains |= registry.domains.is_empty();
            }
        }
        wants
    }

    /// The domains that entries of active bindings give for a registry, each once.
    pub fn given_domains(&self, key: &RegistryKey) -> BTreeSet<String> {
        let of = |binding: Arc<Binding>| {
            let entries = binding.registries.iter().filter(|registry| registry.key == *key);
            entries.flat_map(|registry| registry.domains.clone()).collect::<Vec<_>>()
        };
        self.active().flat_map(of).collect()
    }

    /// Registries of the bindings in force, whatever they ask: what is held for them is kept.
    pub fn keys(&self) -> impl Iterator<Item = RegistryKey> {
        let in_force = self.entries.values().filter_map(|entry| entry.good.clone());
        in_force.flat_map(|binding| binding.registries.iter().map(|r| r.key.clone()).collect::<Vec<_>>())
    }

    /// Names of the Secrets with key pairs that any binding names, as it is and as it was last valid.
    pub fn key_secrets(&self) -> BTreeSet<String> {
        let written = |entry: &Entry| {
            let entries = entry.object.spec.registries.iter();
            entries.filter_map(|r| Some(r.access_key_secret_ref.as_ref()?.name.clone())).collect::<Vec<_>>()
        };
        let in_force = |entry: &Entry| {
            let registries = entry.good.iter().flat_map(|binding| &binding.registries);
            let names = registries.filter_map(|registry| match &registry.key.identity.source {
                CredentialSource::AccessKey { secret } => Some(secret.to_string()),
                CredentialSource::ControllerIdentity | CredentialSource::Rrsa { .. } => None,
            });
            names.collect::<Vec<_>>()
        };
        self.entries.values().flat_map(|entry| written(entry).into_iter().chain(in_force(entry))).collect()
    }

    /// Bindings that use some of these registries.
    pub fn users(&self, keys: &[RegistryKey]) -> Vec<Arc<str>> {
        let uses =
            |entry: &Entry| entry.good.iter().flat_map(|b| &b.registries).any(|r| keys.contains(&r.key));
        self.entries.iter().filter(|(_, entry)| uses(entry)).map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
