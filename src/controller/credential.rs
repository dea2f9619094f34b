//! The credential loop: one attempt a registry at a time, a bounded number in all, and those that are due together in one
//! batch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::clock;
use super::sources::ClusterSources;
use super::state::SharedState;
#[cfg(debug_assertions)]
use super::tasks;
use super::tasks::panic_of;
use crate::cloud::{Alibaba, CloudError, Retry};
use crate::cluster::error::CallError;
use crate::cluster::store::{Saved, Store};
use crate::model::identity::CredentialSource;
use crate::model::{Credential, RegistryKey, count};
use crate::plan::credential_cache::{MintFailure, MintRequest, MintResult, RetryAdvice, SavedCredentials};
use crate::server::Metrics;
use crate::server::metrics::{ReconcileResult, Reconciler};

/// Time for which a result waits for the others of its batch.
const BATCH_WAIT: Duration = Duration::from_secs(1);

/// The longest sleep: a clock that was set is noticed after that.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The credential loop.
pub struct CredentialLoop {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// The cloud.
    pub cloud: Alibaba,
    /// Sources of its identities.
    pub sources: Arc<ClusterSources>,
    /// The token cache.
    pub store: Store,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Attempts under way.
type Attempts = JoinSet<EndedAttempt>;

/// An attempt that ended.
struct EndedAttempt {
    key: RegistryKey,
    result: MintResult,
    took: Duration,
}

/// Results of a batch that are not published yet.
#[derive(Default)]
struct Batch {
    ended: Vec<RegistryKey>,
    /// Whether there is something new to save.
    changed: bool,
    deadline: Option<Instant>,
}

impl Batch {
    fn start(&mut self) {
        self.deadline = self.deadline.or(Some(Instant::now() + BATCH_WAIT));
    }
}

impl CredentialLoop {
    /// Runs the loop.
    pub async fn run(self) {
        let (mut attempts, mut batch) = (Attempts::new(), Batch::default());
        loop {
            let sleep = self.start_due(&mut attempts, &mut batch);
            tokio::select! {
                () = self.shared.credentials.notified() => {}
                () = tokio::time::sleep(sleep) => {}
                () = tokio::time::sleep_until(batch.deadline.unwrap_or_else(Instant::now)),
                    if batch.deadline.is_some() => self.publish(&mut batch, true).await,
                Some(ended) = attempts.join_next(), if !attempts.is_empty() => match ended {
                    Ok(EndedAttempt { key, result, took }) => {
                        let failed = matches!(result.credential, Some(Err(_)) | None)
                            && matches!(result.domains, Some(Err(_)) | None);
                        batch.changed |= !failed;
                        self.record(&key, result, took);
                        batch.ended.push(key);
                        batch.start();
                    }
                    // Its registry would count as under way from then on.
                    Err(error) => if let Some(panic) = panic_of::<()>(Err(error)) {
                        std::panic::resume_unwind(panic);
                    },
                },
            }
            if attempts.is_empty() && !batch.ended.is_empty() {
                self.publish(&mut batch, false).await;
            }
        }
    }

    /// Starts the attempts that are due. Returns how long to sleep.
    fn start_due(&self, attempts: &mut Attempts, batch: &mut Batch) -> Duration {
        let now = clock::now();
        let mut state = self.shared.state();
        let totals = state.bindings.totals().clone();
        let (due, next) = state.credentials.start_due(&totals.demands, now);
        let awaits_permit = state.credentials.awaits_permit();
        let mut started = Vec::new();
        for mut request in due {
            let given = totals.given_domains.get(&request.key).into_iter().flatten();
            request.domains.splice(0..0, given.cloned());
            let current = state.credentials.current(&request.key).filter(|_| request.is_good);
            started.push((request, current));
        }
        drop(state);
        self.sources.watch_pairs(&key_secrets(totals.demands.keys()));
        if !started.is_empty() || awaits_permit {
            batch.start();
        }
        for (request, current) in started {
            let attempt = mint(self.cloud.clone(), request, current, now);
            #[cfg(debug_assertions)]
            let attempt = tasks::unless_ordered("an attempt to mint", attempt);
            attempts.spawn(attempt);
        }
        let next = next.map_or(LONGEST_SLEEP, |at| clock::until(at, now));
        next.clamp(Duration::from_millis(5), LONGEST_SLEEP)
    }

    /// Records the result of an attempt.
    fn record(&self, key: &RegistryKey, result: MintResult, took: Duration) {
        let failed = matches!(result.credential, Some(Err(_))) || matches!(result.domains, Some(Err(_)));
        let outcome = if failed { ReconcileResult::Error } else { ReconcileResult::Success };
        self.metrics.observe_reconcile(Reconciler::Credential, outcome, took);
        if let Some(credential) = &result.credential {
            Metrics::count(&self.metrics.mints, credential.is_ok());
        }
        match &result.credential {
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
                "credential not issued"
            ),
        }
        self.shared.state().credentials.record(key, result, clock::now());
    }

    /// Saves the credentials. Without it, a restart mints again, and nothing else is lost.
    async fn save(&self, credentials: &SavedCredentials) {
        match self.store.save(credentials).await {
            Ok(Saved { left_out: 0 }) => {}
            Ok(Saved { left_out }) => {
                let credentials = count(left_out, "credential", "credentials");
                warn!("token cache full; a restart mints {credentials} again");
            }
            // Secrets of this namespace take no exceptions.
            Err(error @ CallError::Denied(_)) => warn!(
                %error,
                "token cache not written; a restart mints again; exempt the controller's user from what changes or \
                 refuses Secrets of its namespace"
            ),
            Err(error @ CallError::Forbidden(_)) => warn!(
                %error,
                "token cache not written; a restart mints again; apply deploy/rbac.yaml of this version"
            ),
            Err(error) => warn!(%error, "token cache not written; a restart mints again"),
        }
    }

    /// Saves new credentials, then publishes them: a replica that takes over after a crash finds the same ones, and
    /// writes nothing again. `give_up_waiting`: namespaces no longer wait for attempts under way.
    async fn publish(&self, batch: &mut Batch, give_up_waiting: bool) {
        let to_save = self.shared.state().credentials.to_save();
        if batch.changed {
            self.save(&to_save).await;
        }
        let mut state = self.shared.state();
        let mut concerned = std::mem::take(batch).ended;
        if give_up_waiting {
            concerned.extend(state.credentials.give_up_waiting());
        }
        let users = self.shared.publish_credentials(&mut state, &concerned);
        drop(state);
        for name in users {
            self.shared.schedule_status(name);
        }
    }
}

/// Returns the Secrets that registries' identities use.
fn key_secrets<'a>(keys: impl Iterator<Item = &'a RegistryKey>) -> BTreeSet<Box<str>> {
    let secret = |key: &'a RegistryKey| match &key.identity.source {
        CredentialSource::AccessKey { secret } => Some(secret.clone()),
        CredentialSource::ControllerIdentity | CredentialSource::Rrsa { .. } => None,
    };
    keys.filter_map(secret).collect()
}

/// Makes one attempt. `current`: a credential that is good for now, so that only the domains are needed.
async fn mint(
    cloud: Alibaba,
    request: MintRequest,
    current: Option<Arc<Credential>>,
    now: Timestamp,
) -> EndedAttempt {
    let started = Instant::now();
    let MintRequest { key, list_domains, mut domains, .. } = request;
    let list = async {
        match list_domains {
            true => Some(cloud.domains(&key, now).await),
            false => None,
        }
    };
    let minted = async {
        match &current {
            Some(_) => None,
            None => Some(cloud.mint(&key, now).await),
        }
    };
    let (mut credential, listed) = tokio::join!(minted, list);
    if let Some(Ok(listed)) = &listed {
        domains.clone_from(listed);
    }
    let rejected = match (&mut credential, current) {
        (Some(Ok(minted)), _) => cloud.verify(minted, &domains).await.err(),
        // It is used for domains now for which it was never checked.
        (None, Some(current)) if matches!(listed, Some(Ok(_))) => {
            cloud.verify(&mut (*current).clone(), &domains).await.err()
        }
        _ => None,
    };
    if let Some(rejected) = rejected {
        credential = Some(Err(rejected));
    }
    let result = MintResult {
        credential: credential.map(|result| result.map_err(MintFailure::from)),
        domains: listed.map(|result| result.map_err(MintFailure::from)),
    };
    EndedAttempt { key, result, took: started.elapsed() }
}

impl From<CloudError> for MintFailure {
    fn from(failure: CloudError) -> Self {
        let retry = match failure.retry {
            Retry::Soon => RetryAdvice::Soon,
            Retry::After(wait) => RetryAdvice::After(wait),
            Retry::Rarely => RetryAdvice::Rarely,
        };
        Self { reason: failure.reason, message: failure.message, retry, request_id: failure.request_id }
    }
}
