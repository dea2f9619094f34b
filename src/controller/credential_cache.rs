//! What is held for each registry, and what became of the last attempt.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::Reason;
use crate::cloud::{CloudError, Retry};
use crate::cluster::store::{Kept, Tokens};
use crate::model::identity::CredentialSource;
use crate::model::{Credential, Registry, RegistryKey};
use crate::plan::refresh::{Life, backoff};
use crate::plan::{Failure, RegistryCredential};

/// What the bindings want of one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// The longest of their thresholds.
    pub threshold: Duration,
    /// Whether the instance's own domains are asked for.
    pub list_domains: bool,
}

/// A registry that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintRequest {
    /// Which one.
    pub key: RegistryKey,
    /// Whether the instance's own domains are asked for.
    pub list_domains: bool,
    /// Domains that are known already: here the instance's own, as they were listed last.
    pub domains: Vec<String>,
    /// What is held is good for now: only the domains are asked for.
    pub is_good: bool,
}

/// What an attempt brought.
#[derive(Debug)]
pub struct MintResult {
    /// The credential. Nothing: none was asked for, and the one that is held is good.
    pub credential: Option<Result<Credential, CloudError>>,
    /// The instance's domains, where they were asked for.
    pub domains: Option<Result<Vec<String>, CloudError>>,
}

/// One registry.
#[derive(Clone, Debug, Default)]
pub struct CachedCredential {
    credential: Option<Arc<Credential>>,
    domains: Option<Arc<[String]>>,
    failed: Option<Failed>,
    in_flight: bool,
    /// A first attempt that takes long holds nobody up any more.
    slow: bool,
    /// Somebody asks for a fresh one.
    forced: bool,
    /// The attempt under way is the answer to that.
    answering: bool,
    /// The key pair that the identity begins with, since it changed.
    begins_with: Option<Box<str>>,
}

#[derive(Clone, Debug)]
struct Failed {
    failure: Failure,
    /// The cause without its RequestId, to tell a run of equal failures.
    cause: (Reason, String),
    attempts: u32,
    /// Whether only the domains could not be had.
    listing: bool,
    at: Timestamp,
    next_try: Timestamp,
    /// The cloud said when: not even somebody's request is a reason to ask sooner.
    asked_to_wait: bool,
}

/// All registries.
#[derive(Debug, Default)]
pub struct CredentialCache {
    held: HashMap<RegistryKey, CachedCredential>,
    /// What the cache held, until its key is first asked for.
    kept: Tokens,
}

impl CredentialCache {
    /// A ledger that starts with what was kept.
    pub fn new(kept: Tokens) -> Self {
        Self { held: HashMap::new(), kept }
    }

    /// Makes room for the registries that are wanted. What is held for others stays until it ends: a binding that
    /// a GitOps tool deletes and makes again mints nothing.
    pub fn want(&mut self, wants: &HashMap<RegistryKey, Demand>) {
        for key in wants.keys() {
            let kept = &mut self.kept;
            self.held.entry(key.clone()).or_insert_with(|| {
                let Kept { credential, domains } = kept.remove(&key.id()).unwrap_or_default();
                CachedCredential { credential, domains, ..CachedCredential::default() }
            });
        }
    }

    /// Asks for fresh credentials at once.
    pub fn force(&mut self, keys: impl IntoIterator<Item = RegistryKey>) {
        for key in keys {
            if let Some(held) = self.held.get_mut(&key) {
                held.forced = true;
            }
        }
    }

    /// An identity may begin differently now: what could not be minted is tried at once, and what another key pair
    /// gave is replaced. `key_id`: the pair that is there now, if it is one.
    pub fn beginning_changed(&mut self, begins: impl Fn(&CredentialSource) -> bool, key_id: Option<&str>) {
        for (_, held) in self.held.iter_mut().filter(|(key, _)| begins(&key.identity.source)) {
            let minted_by = held.credential.as_ref().map(|credential| credential.origin.key_id.as_deref());
            let replaced = key_id.is_some() && minted_by.is_some_and(|minted_by| minted_by != key_id);
            held.forced |= replaced || held.failed.is_some();
            // An attempt under way may have read the pair before.
            held.begins_with = key_id.map(Into::into);
        }
    }

    /// Whether a fresh credential was asked for and has not been tried yet.
    pub fn is_forced(&self, key: &RegistryKey) -> bool {
        self.held.get(key).is_some_and(|held| held.forced || held.answering)
    }

    /// Takes the registries that are due, along with those that are due soon, and says when the next one is.
    pub fn start_due(
        &mut self,
        wants: &HashMap<RegistryKey, Demand>,
        now: Timestamp,
    ) -> (Vec<MintRequest>, Option<Timestamp>) {
        let alive = |held: &CachedCredential| held.life().is_some_and(|life| !life.is_over(now));
        self.held.retain(|key, held| wants.contains_key(key) || held.in_flight || alive(held));
        self.held.values_mut().filter_map(|held| held.failed.as_mut()).for_each(|failed| failed.follow(now));
        let due: Vec<RegistryKey> = wants
            .iter()
            .filter(|(key, want)| self.due_at(key, want).is_some_and(|at| at <= now))
            .map(|(key, _)| key.clone())
            .collect();
        let round = self.round(&due, wants);
        let joining = |(key, want): &(&RegistryKey, &Demand)| self.joins(key, want, now, round);
        let together: Vec<RegistryKey> = match due.is_empty() {
            true => Vec::new(),
            false => wants
                .iter()
                .filter(joining)
                .map(|(key, _)| key.clone())
                .filter(|key| !due.contains(key))
                .collect(),
        };
        let mut started = Vec::new();
        for (key, joins) in
            due.into_iter().map(|key| (key, false)).chain(together.into_iter().map(|key| (key, true)))
        {
            let (Some(held), Some(want)) = (self.held.get_mut(&key), wants.get(&key)) else { continue };
            let is_good = !joins && held.lists_only(&key, want, now);
            (held.in_flight, held.answering, held.forced) = (true, held.forced, false);
            let domains = held.domains.iter().flat_map(|domains| domains.to_vec()).collect();
            started.push(MintRequest { key, list_domains: want.list_domains, domains, is_good });
        }
        let next = wants.iter().filter_map(|(key, want)| self.due_at(key, want)).min();
        (started, next)
    }

    /// When a registry is due: at once, at a retry, or before the end of what is held. `None` while an attempt
    /// is under way.
    fn due_at(&self, key: &RegistryKey, want: &Demand) -> Option<Timestamp> {
        let held = self.held.get(key)?;
        if held.in_flight {
            return None;
        }
        match &held.failed {
            Some(failed) if !held.forced || failed.asked_to_wait => return Some(failed.next_try),
            _ if held.forced => return Some(Timestamp::MIN),
            _ => {}
        }
        if want.list_domains && held.domains.is_none() {
            return Some(Timestamp::MIN);
        }
        Some(held.life().map_or(Timestamp::MIN, |life| life.due_at(want.threshold, &key.id())))
    }

    /// How long it will be until the registries that are due now are due again. `None` if none of them is renewed
    /// because its time has come: a new binding is no reason to renew everything else.
    fn round(&self, due: &[RegistryKey], wants: &HashMap<RegistryKey, Demand>) -> Option<Duration> {
        let length = |key: &RegistryKey| {
            let held = self.held.get(key).filter(|held| held.failed.is_none() && !held.forced)?;
            Some(held.life()?.use_length(wants.get(key)?.threshold))
        };
        due.iter().filter_map(length).min()
    }

    fn joins(&self, key: &RegistryKey, want: &Demand, now: Timestamp, round: Option<Duration>) -> bool {
        let idle = self.held.get(key).filter(|held| !held.in_flight && held.failed.is_none());
        let life = idle.and_then(CachedCredential::life);
        life.is_some_and(|life| {
            let round = round.unwrap_or_else(|| life.short_round());
            life.joins((want.threshold, &key.id()), now, round)
        })
    }

    /// Records what an attempt brought. What was held stays where it failed.
    pub fn record(&mut self, key: &RegistryKey, minted: MintResult, now: Timestamp) {
        let Some(held) = self.held.get_mut(key) else { return };
        let answering = std::mem::take(&mut held.answering);
        held.in_flight = false;
        let mut failure = None;
        match minted.credential {
            Some(Ok(credential)) if !answering && held.gains_nothing(&credential, now) => {
                failure = Some(not_renewed(&credential));
            }
            Some(Ok(credential)) => {
                let pair = credential.origin.key_id.as_deref();
                held.forced |=
                    pair.is_some() && held.begins_with.is_some() && pair != held.begins_with.as_deref();
                held.credential = Some(Arc::new(credential));
            }
            Some(Err(error)) => failure = Some(error),
            None => {}
        }
        let mut listing = false;
        match minted.domains {
            Some(Ok(domains)) => held.domains = Some(domains.into()),
            // A list that cannot be read keeps the last one; without one there is nowhere to write the token.
            Some(Err(error)) if held.domains.is_none() && failure.is_none() => {
                (failure, listing) = (Some(error), true);
            }
            _ => {}
        }
        let left = held.life().map(|life| life.expires_at.duration_since(now));
        held.failed = failure.map(|error| {
            let failed = Failed::after(held.failed.as_ref(), error, &key.id(), now);
            Failed { listing, ..failed.within(left) }
        });
    }

    /// Marks first attempts that are still under way as slow.
    pub fn give_up_waiting(&mut self) {
        for held in self.held.values_mut().filter(|held| held.in_flight) {
            held.slow = true;
        }
    }

    /// What there is to write for a registry.
    pub fn credential(&self, registry: &Registry) -> RegistryCredential {
        let Some(held) = self.held.get(&registry.key) else { return RegistryCredential::Pending };
        let given = (!registry.domains.is_empty()).then(|| Arc::from(registry.domains.as_slice()));
        match (&held.credential, given.or_else(|| held.domains.clone())) {
            (Some(credential), Some(domains)) => {
                RegistryCredential::Held { credential: credential.clone(), domains }
            }
            _ if held.slow || held.failed.is_some() => RegistryCredential::Missing,
            _ => RegistryCredential::Pending,
        }
    }

    /// Why the last attempt failed. Whoever gives the domains misses no list of them.
    pub fn failure(&self, registry: &Registry) -> Option<Failure> {
        let failed = self.held.get(&registry.key)?.failed.as_ref()?;
        (!failed.listing || registry.domains.is_empty()).then(|| failed.failure.clone())
    }

    /// When the next attempt is made.
    pub fn next_refresh_at(&self, key: &RegistryKey, want: &Demand) -> Option<Timestamp> {
        self.due_at(key, want).filter(|at| *at != Timestamp::MIN)
    }

    /// Everything worth keeping across a restart.
    pub fn tokens(&self) -> Tokens {
        let keep = |held: &CachedCredential| Kept {
            credential: held.credential.clone(),
            domains: held.domains.clone(),
        };
        let kept = self.held.iter().filter(|(_, held)| held.credential.is_some());
        kept.map(|(key, held)| (key.id(), keep(held))).collect()
    }

    /// What is held for a registry.
    pub fn current(&self, key: &RegistryKey) -> Option<Arc<Credential>> {
        self.held.get(key)?.credential.clone()
    }

    /// Every credential that is held, by registry.
    pub fn credentials(&self) -> impl Iterator<Item = (&RegistryKey, &Arc<Credential>)> {
        self.held.iter().filter_map(|(key, held)| Some((key, held.credential.as_ref()?)))
    }
}

impl CachedCredential {
    fn life(&self) -> Option<Life> {
        self.credential.as_ref().map(|c| Life { minted_at: c.minted_at, expires_at: c.expires_at })
    }

    /// Whether it is due for the sake of its domains alone.
    fn lists_only(&self, key: &RegistryKey, want: &Demand, now: Timestamp) -> bool {
        let lists = match &self.failed {
            Some(failed) => failed.listing,
            None => want.list_domains && self.domains.is_none(),
        };
        let good = || self.life().is_some_and(|life| life.due_at(want.threshold, &key.id()) > now);
        lists && !self.forced && good()
    }

    /// Whether a new credential ends with the one that is held: what it was minted with ends then, and was not renewed.
    /// Each such token would live half as long as the one before, and cost every namespace a write.
    fn gains_nothing(&self, new: &Credential, now: Timestamp) -> bool {
        self.credential.as_ref().is_some_and(|held| {
            let left = held.expires_at.duration_since(now);
            let gain = new.expires_at.duration_since(held.expires_at);
            new.origin.key_id == held.origin.key_id && left.is_positive() && gain.saturating_mul(10) < left
        })
    }
}

/// That a token was minted with a key that ends as soon as the token that is held.
fn not_renewed(new: &Credential) -> CloudError {
    let message = format!(
        "a new token would end at {}, no later than the one that is held: the session it is minted with ends then, and \
         was not renewed at its source, which is ACK's addon token or the node's metadata service",
        new.expires_at
    );
    CloudError::new(Reason::CloudFailing, Retry::Soon, message)
}

impl Failed {
    /// The first of a run of equal failures keeps its RequestId: a new one each time would rewrite the status.
    fn after(before: Option<&Self>, error: CloudError, seed: &str, now: Timestamp) -> Self {
        let attempts = before.map_or(0, |b| b.attempts).saturating_add(1);
        let cause = (error.reason, error.message);
        let failure = match before.filter(|b| b.cause == cause) {
            Some(before) => before.failure.clone(),
            None => {
                let request = error.request_id.map(|id| format!(" (RequestId {id})")).unwrap_or_default();
                Failure::new(cause.0, format!("{}{request}", cause.1))
            }
        };
        let asked_to_wait = matches!(error.retry, Retry::After(_));
        let wait = match error.retry {
            Retry::Soon => backoff(attempts, Duration::from_secs(2), Duration::from_secs(300), seed),
            Retry::After(wait) => {
                wait.max(backoff(attempts, Duration::from_secs(1), Duration::from_secs(60), seed))
            }
            Retry::Rarely => backoff(attempts, Duration::from_secs(15), Duration::from_secs(300), seed),
        };
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_mins(5));
        let next_try = now.checked_add(wait).unwrap_or(now);
        Self { failure, cause, attempts, listing: false, at: now, next_try, asked_to_wait }
    }

    /// The same, tried again while there is time: the less is left of what is held, the sooner.
    fn within(self, left: Option<SignedDuration>) -> Self {
        let soon = left.filter(|left| left.is_positive() && !self.asked_to_wait);
        let wait = soon.map(|left| (left / 2).max(SignedDuration::from_secs(2)));
        let at_most = wait.and_then(|wait| self.at.checked_add(wait).ok()).unwrap_or(self.next_try);
        Self { next_try: self.next_try.min(at_most), ..self }
    }

    /// Goes along with a clock that was set back, or it would wait for as long as the step was.
    fn follow(&mut self, now: Timestamp) {
        let ahead = self.at.duration_since(now);
        if ahead.is_positive() {
            self.next_try = self.next_try.saturating_sub(ahead).unwrap_or(now);
            self.at = now;
        }
    }
}

#[cfg(test)]
mod tests;
