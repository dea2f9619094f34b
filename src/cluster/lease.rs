//! Keeps the Lease: reads, takes, renews and releases it, as [`crate::plan::lease`] decides.

use std::collections::HashSet;
use std::future::Future;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use super::claim::Claim;
use super::client;
use super::error::{CallError, classify};
use super::owned::merging;
use super::watch::Sink;
use crate::api::names;
use crate::plan::lease::{Draft, Election, Holder, LeaseLost, LeaseTimings, Record, Step};

/// How long the lease that is given back lasts, in the words of other clients: nobody need wait for it.
const RELEASED_SECONDS: i32 = 1;

/// Where the Lease is and who asks for it.
pub struct LeaseConfig {
    /// How to reach the API server. A call that is not answered leaves its connection behind.
    pub config: kube::Config,
    /// The controller's namespace.
    pub namespace: Box<str>,
    /// This replica's name, no other's.
    pub name: Box<str>,
    /// How long things take.
    pub timings: LeaseTimings,
    /// Reads the wall clock, for the times that people read in the Lease.
    pub clock: fn() -> Timestamp,
}

/// Keeps the Lease for one replica.
pub struct LeaseHolder {
    config: LeaseConfig,
    leases: Api<Lease>,
    election: Election,
    claim: Claim,
    hints: watch::Receiver<ObservedLease>,
    logged_holder: Option<Box<str>>,
}

/// Told of what one side of the lease comes to.
pub struct Callbacks<L, A> {
    /// The lease could be looked at.
    pub read: L,
    /// It is ours, for now.
    pub acquired: A,
}

/// What the watch showed last; `None`: nothing yet.
type ObservedLease = Option<Option<Record>>;

impl LeaseHolder {
    /// Nothing is read yet. `claim` is the one that all writes ask.
    ///
    /// # Errors
    /// What of the configuration cannot be used.
    pub fn new(
        config: LeaseConfig,
        election: Election,
        claim: Claim,
        watched: &LeaseWatch,
    ) -> Result<Self, client::ClientError> {
        let leases = Api::namespaced(client::connect(&config.config)?, &config.namespace);
        Ok(Self { config, leases, election, claim, hints: watched.0.subscribe(), logged_holder: None })
    }

    /// Works until the lease, once held, is lost. It is looked at from the start, and taken once `ready` has come.
    pub async fn keep(
        &mut self,
        ready: impl Future<Output = ()>,
        callbacks: Callbacks<impl Fn(), impl Fn()>,
    ) -> LeaseLost {
        tokio::pin!(ready);
        let (mut stands, mut held) = (false, false);
        loop {
            match self.election.next(Instant::now()) {
                Step::Sleep(until) => tokio::select! {
                    () = self.sleep(until) => {}
                    () = &mut ready, if !stands => {
                        stands = true;
                        self.election.become_candidate();
                    }
                },
                Step::Read => {
                    if self.read().await {
                        (callbacks.read)();
                    }
                }
                Step::Make => self.make().await,
                Step::Write(draft) => self.write(&draft).await,
                Step::Lost(loss) => {
                    self.claim.set(None);
                    error!(%loss, "lost the lease: nothing is written any more");
                    return loss;
                }
            }
            let end = self.election.claim_end();
            self.claim.set(end);
            if end.is_some() && !held {
                held = true;
                info!(replica = %self.config.name, "acquired the lease");
                (callbacks.acquired)();
            }
            self.say_who();
        }
    }

    /// Gives the lease back, where it is ours, so that another takes it at once.
    pub async fn release(&mut self) {
        self.claim.set(None);
        // A renewal may have been under way when the work ended: then the version is another one.
        for _ in 0..2 {
            let Some(record) = self.election.ours().cloned() else { return };
            let now = (self.config.clock)();
            let patch = json!({
                "metadata": { "resourceVersion": record.version },
                "spec": { "holderIdentity": "", "leaseDurationSeconds": RELEASED_SECONDS, "renewTime": MicroTime(now) },
            });
            match self.ask(self.patch(&Patch::Merge(patch))).await {
                Ok(_) => {
                    info!(lease = names::LEASE_NAME, "released the lease");
                    return;
                }
                Err(CallError::Conflict) => drop(self.read().await),
                Err(error) => {
                    warn!(%error, "the lease was not released: another replica waits until it has run out");
                    return;
                }
            }
        }
    }

    async fn sleep(&mut self, until: Option<Instant>) {
        let rest = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = rest => {}
            Ok(()) = self.hints.changed() => {
                let hint = self.hints.borrow_and_update().clone();
                if let Some(record) = hint {
                    self.election.hint(record, Instant::now());
                }
            }
        }
    }

    /// Returns whether the lease could be looked at.
    async fn read(&mut self) -> bool {
        let sent = Instant::now();
        match self.ask(self.leases.get_opt(names::LEASE_NAME)).await {
            Ok(lease) => {
                self.election.read(lease.as_ref().map(record), sent, Instant::now());
                true
            }
            Err(error) => {
                self.fail(error);
                false
            }
        }
    }

    async fn make(&mut self) {
        let object = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": names::LEASE_NAME, "labels": { names::LABEL_MANAGED_BY: names::MANAGER } },
        });
        let sent = Instant::now();
        match self.ask(self.patch(&Patch::Apply(object))).await {
            // Whatever stands there now, another's claim included, is what a read would have brought.
            Ok(lease) => self.election.read(Some(record(&lease)), sent, Instant::now()),
            Err(error) => self.fail(error),
        }
    }

    async fn write(&mut self, draft: &Draft) {
        let now = (self.config.clock)();
        let seconds = self.config.timings.lease.as_millis().div_ceil(1000);
        let patch = json!({
            "metadata": { "resourceVersion": draft.version },
            "spec": {
                "holderIdentity": self.config.name,
                "leaseDurationSeconds": seconds,
                "acquireTime": MicroTime(draft.acquired.unwrap_or(now)),
                "renewTime": MicroTime(now),
                "leaseTransitions": draft.transitions,
            },
        });
        let sent = Instant::now();
        match self.ask(self.patch(&Patch::Merge(patch))).await {
            Ok(lease) => self.election.written(record(&lease), sent, Instant::now()),
            Err(CallError::Conflict | CallError::NotFound) => self.election.outrun(),
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: CallError) {
        if let CallError::Forbidden(_) = error {
            warn!(%error, "the lease may not be used: apply the RBAC of this version");
        } else {
            warn!(%error, lease = names::LEASE_NAME, "a call for the lease failed");
            // What does not answer may be the connection alone, and another API server may be at the end of a new one.
            if let Ok(client) = client::connect(&self.config.config) {
                self.leases = Api::namespaced(client, &self.config.namespace);
            }
        }
        self.election.failed(Instant::now());
    }

    async fn patch(&self, patch: &Patch<serde_json::Value>) -> kube::Result<Lease> {
        let params = match patch {
            Patch::Apply(_) => PatchParams::apply(names::MANAGER),
            _ => merging(),
        };
        self.leases.patch(names::LEASE_NAME, &params, patch).await
    }

    /// One call, for as long as it may take and never beyond the claim. Nothing is sent twice.
    async fn ask<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        let deadline = self.config.timings.deadline();
        let left = self.election.claim_end().map(|end| end.saturating_duration_since(Instant::now()));
        // To give the lease back there is time even after the claim.
        let limit = left.filter(|left| !left.is_zero()).map_or(deadline, |left| left.min(deadline));
        match tokio::time::timeout(limit, request).await {
            Ok(answer) => answer.map_err(|error| classify(&error)),
            Err(_) => {
                let message = format!("the API server did not answer within {} ms", limit.as_millis());
                Err(CallError::Later(message, None))
            }
        }
    }

    fn say_who(&mut self) {
        let other = self.election.other();
        if other != self.logged_holder.as_deref() {
            if let Some(holder) = other {
                info!(%holder, "standing by: another replica holds the lease");
            }
            self.logged_holder = other.map(Into::into);
        }
    }
}

/// What a watch on the Lease shows, for those who keep it. The watch itself belongs to the caller.
#[derive(Debug)]
pub struct LeaseWatch(watch::Sender<ObservedLease>);

impl Default for LeaseWatch {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl LeaseWatch {
    /// Watches for ever, by name.
    pub fn watch(&self, client: Client, namespace: &str) -> impl Future<Output = ()> + Send + 'static {
        let fields = super::watch::config().fields(&format!("metadata.name={}", names::LEASE_NAME));
        super::watch::watch(Api::<Lease>::namespaced(client, namespace), fields, LeaseSink(self.0.clone()))
    }
}

struct LeaseSink(watch::Sender<ObservedLease>);

impl Sink<Lease> for LeaseSink {
    fn put(&mut self, lease: Lease) {
        self.0.send_replace(Some(Some(record(&lease))));
    }

    fn remove(&mut self, _: Lease) {
        self.0.send_replace(Some(None));
    }

    /// Who keeps the lease does without: it goes by the calls of its own.
    fn interrupted(&mut self, kind: &str, error: &kube::runtime::watcher::Error) {
        debug!(kind, %error, "watch interrupted");
    }

    fn listed(&mut self, seen: &HashSet<(Box<str>, Box<str>)>) {
        if seen.is_empty() {
            self.0.send_replace(Some(None));
        }
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        version: lease.resource_version().unwrap_or_default().into(),
        holder: match spec.holder_identity {
            None => Holder::Never,
            Some(name) if name.is_empty() => Holder::Nobody,
            Some(name) => Holder::Is(name.into()),
        },
        acquired: spec.acquire_time.map(|MicroTime(at)| at),
        lease: seconds.map(Duration::from_secs),
        transitions: spec.lease_transitions.unwrap_or_default(),
    }
}
