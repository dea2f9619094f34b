//! The credential of each registry, and the decision which registries to ask the cloud for, and when.
//!
//! # Guarantees
//! - The last good credential stays until it expires; a failed attempt removes nothing.
//! - One attempt a registry at a time, and a bounded number in all. Registries that hang delay the others for a second at
//!   most.
//! - Registries that are due soon are refreshed together with those that are due now: one write a namespace.

mod attempt;
mod permits;
pub mod shards;
mod times;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use self::attempt::FailedAttempt;
pub use self::attempt::{MintFailure, RetryAdvice};
use self::permits::{AttemptUnderWay, Permits};
pub use self::times::CredentialTimes;
use super::failure::Failure;
use super::refresh::{Life, Round};
use super::resolved_binding::RegistryCredential;
use crate::model::identity::CredentialSource;
use crate::model::{Credential, Registry, RegistryKey};

/// Requirements of all active bindings on one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// The longest of their thresholds.
    pub threshold: Duration,
    /// Whether the instance's own domains are needed.
    pub list_domains: bool,
}

/// A registry that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintRequest {
    /// The registry.
    pub key: RegistryKey,
    /// Whether the instance's own domains are needed.
    pub list_domains: bool,
    /// Domains that are known already: here the instance's own, as they were listed last.
    pub domains: Vec<String>,
    /// The cached credential is still good: only the domains are needed.
    pub is_good: bool,
}

/// Result of an attempt.
#[derive(Debug)]
pub struct MintResult {
    /// The credential. `None`: none was requested, since the cached one is good.
    pub credential: Option<Result<Credential, MintFailure>>,
    /// The instance's domains, where they were requested.
    pub domains: Option<Result<Vec<String>, MintFailure>>,
}

/// Part of a registry's state that survives a restart.
#[derive(Clone, Debug, Default)]
pub struct SavedCredential {
    /// Its credential.
    pub credential: Option<Arc<Credential>>,
    /// The domains that the cloud listed.
    pub domains: Option<Arc<[String]>>,
}

/// Saved credentials by the registry key's id.
pub type SavedCredentials = BTreeMap<String, SavedCredential>;

/// State of one registry.
#[derive(Clone, Debug, Default)]
pub struct CachedCredential {
    credential: Option<Arc<Credential>>,
    domains: Option<Arc<[String]>>,
    failed: Option<FailedAttempt>,
    in_flight: Option<AttemptUnderWay>,
    /// It is due, and waits for a permit.
    waiting: bool,
    /// The first attempt takes long: nothing waits for it any more.
    slow: bool,
    /// A fresh credential was requested.
    forced: bool,
    /// The attempt under way answers that request.
    answering: bool,
    /// The AccessKey of the identity's source, since it changed.
    source_key_id: Option<Box<str>>,
    /// An attempt that answered a request has failed: the next success answers it.
    unanswered: bool,
}

/// All registries.
#[derive(Debug, Default)]
pub struct CredentialCache {
    cached: HashMap<RegistryKey, CachedCredential>,
    /// Credentials of an earlier process, until a binding first demands them.
    saved: SavedCredentials,
}

impl CredentialCache {
    /// Returns a cache that starts with the credentials of an earlier process.
    pub fn new(saved: SavedCredentials) -> Self {
        Self { cached: HashMap::new(), saved }
    }

    /// Adds the registries that are in demand. Others stay until their credential expires: a binding that a GitOps
    /// tool deletes and makes again mints nothing.
    pub fn track(&mut self, demands: &HashMap<RegistryKey, Demand>) {
        for key in demands.keys() {
            let saved = &mut self.saved;
            self.cached.entry(key.clone()).or_insert_with(|| {
                let SavedCredential { credential, domains } = saved.remove(&key.id()).unwrap_or_default();
                CachedCredential { credential, domains, ..CachedCredential::default() }
            });
        }
    }

    /// Requests fresh credentials at once.
    pub fn force(&mut self, keys: impl IntoIterator<Item = RegistryKey>) {
        for key in keys {
            if let Some(cached) = self.cached.get_mut(&key) {
                cached.forced = true;
            }
        }
    }

    /// Records that the source of some identities changed. Failed attempts are repeated at once, and credentials of
    /// another AccessKey are replaced. `key_id`: the AccessKey that the source holds now, if it is one.
    pub fn source_changed(&mut self, is_source: impl Fn(&CredentialSource) -> bool, key_id: Option<&str>) {
        for (_, cached) in self.cached.iter_mut().filter(|(key, _)| is_source(&key.identity.source)) {
            let minted_by = cached.credential.as_ref().map(|credential| credential.origin.key_id.as_deref());
            let replaced = key_id.is_some() && minted_by.is_some_and(|minted_by| minted_by != key_id);
            cached.forced |= replaced || cached.failed.is_some();
            // An attempt under way may have read the source before.
            cached.source_key_id = key_id.map(Into::into);
        }
    }

    /// Returns whether a fresh credential was requested and no attempt has ended since.
    pub fn is_forced(&self, key: &RegistryKey) -> bool {
        self.cached.get(key).is_some_and(|cached| cached.forced || cached.answering)
    }

    /// Starts attempts for the registries that are due, and for those that are due soon. Returns them, and the time
    /// at which the next registry is due.
    pub fn start_due(
        &mut self,
        demands: &HashMap<RegistryKey, Demand>,
        now: Timestamp,
    ) -> (Vec<MintRequest>, Option<Timestamp>) {
        let valid = |cached: &CachedCredential| cached.life().is_some_and(|life| !life.is_over(now));
        self.cached
            .retain(|key, cached| demands.contains_key(key) || cached.in_flight.is_some() || valid(cached));
        self.cached
            .values_mut()
            .filter_map(|cached| cached.failed.as_mut())
            .for_each(|failed| failed.follow_clock(now));
        let due: Vec<RegistryKey> = demands
            .iter()
            .filter(|(key, demand)| self.due_at(key, demand).is_some_and(|at| at <= now))
            .map(|(key, _)| key.clone())
            .collect();
        let round = self.round(&due, demands);
        let joining = |(key, demand): &(&RegistryKey, &Demand)| self.joins(key, demand, now, round);
        let together: Vec<RegistryKey> = match due.is_empty() {
            true => Vec::new(),
            false => demands
                .iter()
                .filter(joining)
                .map(|(key, _)| key.clone())
                .filter(|key| !due.contains(key))
                .collect(),
        };
        let mut wanted: Vec<(RegistryKey, bool)> = Vec::with_capacity(due.len() + together.len());
        wanted.extend(due.into_iter().map(|key| (key, false)));
        wanted.extend(together.into_iter().map(|key| (key, true)));
        wanted.sort_by_cached_key(|(key, _)| self.cached.get(key).map(|cached| cached.urgency(key)));
        let under_way = self.cached.iter().filter_map(|(key, cached)| Some((key, cached.in_flight?)));
        let mut permits = Permits::of(under_way, now);
        let mut started = Vec::new();
        for (key, joins) in wanted {
            let (Some(cached), Some(demand)) = (self.cached.get_mut(&key), demands.get(&key)) else {
                continue;
            };
            let permit = permits.take(&key, cached.failed.is_some());
            cached.waiting = permit.is_none();
            if permit.is_none() {
                continue;
            }
            let is_good = !joins && cached.needs_domains_only(&key, demand, now);
            (cached.in_flight, cached.answering, cached.forced) = (permit, cached.forced, false);
            let domains = cached.domains.iter().flat_map(|domains| domains.to_vec()).collect();
            started.push(MintRequest { key, list_domains: demand.list_domains, domains, is_good });
        }
        let waits = |key: &RegistryKey| self.cached.get(key).is_some_and(|cached| cached.waiting);
        let times = demands.iter().filter(|(key, _)| !waits(key));
        let next = times.filter_map(|(key, demand)| self.due_at(key, demand)).min();
        let any_waits = self.cached.values().any(|cached| cached.waiting);
        let passes_at = permits.passes_at().filter(|_| any_waits);
        (started, next.into_iter().chain(passes_at).min())
    }

    /// Returns whether a first attempt waits for a permit, and namespaces for it.
    pub fn awaits_permit(&self) -> bool {
        self.cached.values().any(|cached| cached.waiting && !cached.slow)
    }

    /// Returns the registries whose last attempt failed.
    pub fn failing(&self) -> impl Iterator<Item = &RegistryKey> {
        self.cached.iter().filter(|(_, cached)| cached.failed.is_some()).map(|(key, _)| key)
    }

    /// Returns when a registry is due: at once, at a retry, or before its credential expires. `None` while an attempt
    /// is under way.
    fn due_at(&self, key: &RegistryKey, demand: &Demand) -> Option<Timestamp> {
        let cached = self.cached.get(key)?;
        if cached.in_flight.is_some() {
            return None;
        }
        match &cached.failed {
            Some(failed) if !cached.forced || failed.asked_to_wait => return Some(failed.next_try),
            _ if cached.forced || cached.waiting => return Some(Timestamp::MIN),
            _ => {}
        }
        if demand.list_domains && cached.domains.is_none() {
            return Some(Timestamp::MIN);
        }
        Some(cached.life().map_or(Timestamp::MIN, |life| life.due_at(demand.threshold, &key.id())))
    }

    /// Returns how long it will be until the registries that are due now are due again. `None` if none of them is due
    /// by its expiry: a new binding does not refresh everything else.
    fn round(&self, due: &[RegistryKey], demands: &HashMap<RegistryKey, Demand>) -> Option<Duration> {
        let length = |key: &RegistryKey| {
            let cached = self.cached.get(key).filter(|cached| cached.failed.is_none() && !cached.forced)?;
            Some(cached.life()?.use_length(demands.get(key)?.threshold))
        };
        due.iter().filter_map(length).min()
    }

    fn joins(&self, key: &RegistryKey, demand: &Demand, now: Timestamp, round: Option<Duration>) -> bool {
        let idle =
            self.cached.get(key).filter(|cached| cached.in_flight.is_none() && cached.failed.is_none());
        let life = idle.and_then(CachedCredential::life);
        life.is_some_and(|life| {
            let length = round.unwrap_or_else(|| life.short_round());
            life.joins(demand.threshold, &key.id(), &Round { now, length })
        })
    }

    /// Records the result of an attempt. A failed one leaves the cached credential as it is.
    pub fn record(&mut self, key: &RegistryKey, minted: MintResult, now: Timestamp) {
        let Some(cached) = self.cached.get_mut(key) else { return };
        let answering = std::mem::take(&mut cached.answering);
        cached.in_flight = None;
        let mut failure = None;
        match minted.credential {
            Some(Ok(credential))
                if !(answering || cached.unanswered) && cached.gains_nothing(&credential, now) =>
            {
                failure = Some(MintFailure::source_not_renewed(&credential));
            }
            Some(Ok(credential)) => {
                let key_id = credential.origin.key_id.as_deref();
                cached.forced |= key_id.is_some()
                    && cached.source_key_id.is_some()
                    && key_id != cached.source_key_id.as_deref();
                cached.credential = Some(Arc::new(credential));
                cached.unanswered = false;
            }
            Some(Err(error)) => {
                cached.unanswered |= answering;
                failure = Some(error);
            }
            None => {}
        }
        let mut only_domains = false;
        match minted.domains {
            Some(Ok(domains)) => cached.domains = Some(domains.into()),
            // A list that cannot be read keeps the last one; without one there is nowhere to write the token.
            Some(Err(error)) if cached.domains.is_none() && failure.is_none() => {
                (failure, only_domains) = (Some(error), true);
            }
            _ => {}
        }
        let left = cached.life().map(|life| life.expires_at.duration_since(now));
        cached.failed = failure.map(|error| {
            FailedAttempt::after(cached.failed.as_ref(), error, &key.id(), now)
                .within(left)
                .of_domains_only(only_domains)
        });
    }

    /// Marks first attempts that are still under way, or wait for a permit, as slow. Returns the registries that were not
    /// before.
    pub fn give_up_waiting(&mut self) -> Vec<RegistryKey> {
        let is_awaited = |cached: &CachedCredential| cached.in_flight.is_some() || cached.waiting;
        let waiting = self.cached.iter_mut().filter(|(_, cached)| is_awaited(cached) && !cached.slow);
        let slow = waiting.map(|(key, cached)| {
            cached.slow = true;
            key.clone()
        });
        slow.collect()
    }

    /// Returns what there is to write for a registry.
    pub fn credential(&self, registry: &Registry) -> RegistryCredential {
        let Some(cached) = self.cached.get(&registry.key) else { return RegistryCredential::Pending };
        let given = (!registry.domains.is_empty()).then(|| Arc::from(registry.domains.as_slice()));
        match (&cached.credential, given.or_else(|| cached.domains.clone())) {
            (Some(credential), Some(domains)) => {
                RegistryCredential::Held { credential: credential.clone(), domains }
            }
            _ if cached.slow || cached.failed.is_some() => RegistryCredential::Missing,
            _ => RegistryCredential::Pending,
        }
    }

    /// Returns why the last attempt failed. A list of domains that failed does not matter where they are given.
    pub fn failure(&self, registry: &Registry) -> Option<Failure> {
        let failed = self.cached.get(&registry.key)?.failed.as_ref()?;
        (!failed.only_domains || registry.domains.is_empty()).then(|| failed.failure.clone())
    }

    /// Returns when the next attempt is made.
    pub fn next_refresh_at(&self, key: &RegistryKey, demand: &Demand) -> Option<Timestamp> {
        self.due_at(key, demand).filter(|at| *at != Timestamp::MIN)
    }

    /// Returns everything worth keeping across a restart.
    pub fn to_save(&self) -> SavedCredentials {
        let save = |cached: &CachedCredential| SavedCredential {
            credential: cached.credential.clone(),
            domains: cached.domains.clone(),
        };
        let cached = self.cached.iter().filter(|(_, cached)| cached.credential.is_some());
        cached.map(|(key, cached)| (key.id(), save(cached))).collect()
    }

    /// Returns the cached credential of a registry.
    pub fn current(&self, key: &RegistryKey) -> Option<Arc<Credential>> {
        self.cached.get(key)?.credential.clone()
    }
}

impl CachedCredential {
    /// Returns the order in which permits are given: failed ones last, then those without a credential first, then those
    /// that expire first.
    fn urgency(&self, key: &RegistryKey) -> (bool, Option<Timestamp>, String) {
        (self.failed.is_some(), self.credential.as_ref().map(|credential| credential.expires_at), key.id())
    }

    fn life(&self) -> Option<Life> {
        self.credential.as_deref().map(Life::of)
    }

    /// Returns whether only the domains are due.
    fn needs_domains_only(&self, key: &RegistryKey, demand: &Demand, now: Timestamp) -> bool {
        let lacks_domains = match &self.failed {
            Some(failed) => failed.only_domains,
            None => demand.list_domains && self.domains.is_none(),
        };
        let good = || self.life().is_some_and(|life| life.due_at(demand.threshold, &key.id()) > now);
        lacks_domains && !self.forced && good()
    }

    /// Returns whether a new credential expires with the cached one: the key that minted it expires then, and was not
    /// renewed. Each such token would be valid for half as long as the one before, and cost every namespace a write.
    fn gains_nothing(&self, new: &Credential, now: Timestamp) -> bool {
        self.credential.as_ref().is_some_and(|cached| {
            let (end, new_end) = (Life::of(cached).trusted_until(), Life::of(new).trusted_until());
            let (left, gain) = (end.duration_since(now), new_end.duration_since(end));
            new.origin.key_id == cached.origin.key_id && left.is_positive() && gain.saturating_mul(10) < left
        })
    }
}

#[cfg(test)]
mod tests;
