//! The credential loop: one flight a registry, those that are due together in one go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::clock;
use super::credential_cache::{MintRequest, MintResult};
use super::sources::ClusterSources;
use super::state::{PublishReason, SharedState};
use crate::cloud::Alibaba;
use crate::cluster::store::Store;
use crate::model::identity::CredentialSource;
use crate::model::{Credential, RegistryKey};
use crate::server::Metrics;
use crate::server::metrics::RegistryLabel;

/// How long a result waits for the others of its batch, before it is written without them.
const SETTLE: Duration = Duration::from_secs(1);

/// The longest sleep: a clock that was set is noticed after that.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What the loop needs.
pub struct CredentialLoop {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// The cloud.
    pub cloud: Alibaba,
    /// Where its identities begin.
    pub sources: Arc<ClusterSources>,
    /// The cache.
    pub store: Store,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl CredentialLoop {
    /// Works for ever.
    pub async fn run(self) {
        let mut flights: JoinSet<(RegistryKey, MintResult)> = JoinSet::new();
        let mut landed: Vec<RegistryKey> = Vec::new();
        let mut deadline: Option<Instant> = None;
        loop {
            let (started, sleep) = self.start_due(&mut flights);
            if started {
                deadline = deadline.or(Some(Instant::now() + SETTLE));
            }
            tokio::select! {
                () = self.shared.credentials.notified() => {}
                () = tokio::time::sleep(sleep) => {}
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.land(&mut landed, true).await;
                    deadline = None;
                }
                Some(flight) = flights.join_next(), if !flights.is_empty() => match flight {
                    Ok((key, minted)) => {
                        self.record(key, minted, &mut landed);
                        deadline = deadline.or(Some(Instant::now() + SETTLE));
                    }
                    Err(error) => error!(%error, "a flight to the cloud broke off"),
                },
            }
            if flights.is_empty() && !landed.is_empty() {
                self.land(&mut landed, false).await;
                deadline = None;
            }
        }
    }

    /// Sends off what is due. Returns whether there was any, and how long to sleep.
    fn start_due(&self, flights: &mut JoinSet<(RegistryKey, MintResult)>) -> (bool, Duration) {
        let now = clock::now();
        let mut state = self.shared.state();
        let wants = state.bindings.wants();
        let (due, next) = state.credentials.start_due(&wants, now);
        let mut due_now = Vec::new();
        for mut due in due {
            due.domains.splice(0..0, state.bindings.given_domains(&due.key));
            let held = state.credentials.current(&due.key).filter(|_| due.is_good);
            due_now.push((due, held));
        }
        drop(state);
        self.sources.watch_pairs(&key_secrets(wants.keys()));
        let started = !due_now.is_empty();
        for (due, held) in due_now {
            flights.spawn(mint(self.cloud.clone(), due, held, now));
        }
        let sleep = next
            .map_or(LONGEST_SLEEP, |at| clock::until(at, now))
            .clamp(Duration::from_millis(5), LONGEST_SLEEP);
        (started, sleep)
    }

    fn record(&self, key: RegistryKey, minted: MintResult, landed: &mut Vec<RegistryKey>) {
        if let Some(credential) = &minted.credential {
            Metrics::count(&self.metrics.mints, credential.is_ok());
        }
        match &minted.credential {
            None => {}
            Some(Ok(credential)) => {
                if let Some(remark) = &credential.origin.remark {
                    warn!(registry = %key, %remark, "credential issued with a remark");
                }
                info!(registry = %key, identity = %credential.origin.identity, expires_at = %credential.expires_at, "credential issued")
            }
            Some(Err(failure)) => warn!(
                registry = %key,
                identity = %key.identity,
                reason = %failure.reason,
                request_id = failure.request_id.as_deref().unwrap_or("none"),
                message = %failure.message,
                "no credential"
            ),
        }
        self.shared.state().credentials.record(&key, minted, clock::now());
        landed.push(key);
    }

    /// Keeps what was minted, then shows it to the namespaces: whoever takes over after a crash finds the same
    /// tokens and writes nothing anew.
    async fn land(&self, landed: &mut Vec<RegistryKey>, give_up_waiting: bool) {
        let tokens = self.shared.state().credentials.tokens();
        if !landed.is_empty()
            && let Err(error) = self.store.save(&tokens).await
        {
            warn!(%error, "the token cache was not written; a restart would mint anew");
        }
        let mut state = self.shared.state();
        if give_up_waiting {
            state.credentials.give_up_waiting();
        }
        let users = match give_up_waiting {
            true => state.bindings.names(),
            false => state.bindings.users(landed),
        };
        self.metrics.expiration.clear();
        // Two accounts' Personal Editions bear one name here: the one that ends first is told.
        let mut ends: BTreeMap<RegistryLabel, i64> = BTreeMap::new();
        for (key, credential) in state.credentials.credentials() {
            let label =
                RegistryLabel { registry: key.to_string(), identity: credential.origin.identity.to_string() };
            let end = credential.expires_at.as_second();
            ends.entry(label).and_modify(|first| *first = end.min(*first)).or_insert(end);
        }
        for (label, end) in ends {
            self.metrics.expiration.get_or_create(&label).set(end);
        }
        self.shared.publish(&mut state, &users, PublishReason::CredentialsChanged);
        drop(state);
        landed.clear();
        for name in users {
            self.shared.bindings.add_after(name, super::binding::SETTLE);
        }
    }
}

/// The Secrets that registries' identities begin with.
fn key_secrets<'a>(keys: impl Iterator<Item = &'a RegistryKey>) -> BTreeSet<Box<str>> {
    let secret = |key: &'a RegistryKey| match &key.identity.source {
        CredentialSource::AccessKey { secret } => Some(secret.clone()),
        CredentialSource::ControllerIdentity | CredentialSource::Rrsa { .. } => None,
    };
    keys.filter_map(secret).collect()
}

/// `held`: a credential that is good for now.
async fn mint(
    cloud: Alibaba,
    due: MintRequest,
    held: Option<Arc<Credential>>,
    now: Timestamp,
) -> (RegistryKey, MintResult) {
    let MintRequest { key, list_domains, mut domains, .. } = due;
    let list = async {
        match list_domains {
            true => Some(cloud.domains(&key, now).await),
            false => None,
        }
    };
    let minted = async {
        match &held {
            Some(_) => None,
            None => Some(cloud.mint(&key, now).await),
        }
    };
    let (mut credential, listed) = tokio::join!(minted, list);
    if let Some(Ok(listed)) = &listed {
        domains.clone_from(listed);
    }
    let rejected = match (&mut credential, held) {
        (Some(Ok(minted)), _) => cloud.verify(minted, &domains).await.err(),
        // It opens domains now that it was never shown to.
        (None, Some(held)) if matches!(listed, Some(Ok(_))) => {
            cloud.verify(&mut (*held).clone(), &domains).await.err()
        }
        _ => None,
    };
    if let Some(rejected) = rejected {
        credential = Some(Err(rejected));
    }
    (key, MintResult { credential, domains: listed })
}
