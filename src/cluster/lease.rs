//! Reads, acquires, renews and releases the Lease, as [`crate::plan::lease`] decides.

mod thread;

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

pub use self::thread::{Candidate, LeaseThread, LeaseThreadError};
use super::claim::Claim;
use super::client;
use super::error::{CallError, classify};
use super::listed_names::ListedNames;
use super::owned::merging;
use super::watch::Sink;
use crate::api::names;
use crate::plan::lease::{Election, Holder, LeaseLost, LeaseRecord, LeaseStep, LeaseTimings, LeaseUpdate};
use crate::plan::refusal::{UNAUTHORIZED, is_unauthorized};

/// Duration of a released lease, so that other clients do not wait for its end.
const RELEASED_SECONDS: i32 = 1;

/// Check for a task that has stopped: its name, and for how long. `None` while all run.
pub type StoppedTask = Box<dyn Fn(Instant) -> Option<(&'static str, Duration)> + Send>;

/// Configuration of a replica's part in the election.
pub struct LeaseConfig {
    /// Connection to the API server. After an unanswered call, a new connection replaces it.
    pub config: kube::Config,
    /// The controller's namespace.
    pub namespace: Box<str>,
    /// Unique name of this replica.
    pub name: Box<str>,
    /// Durations of the election.
    pub timings: LeaseTimings,
    /// Reads the wall clock, for the times that users read in the Lease.
    pub clock: fn() -> Timestamp,
    /// Finds a task of this replica that has stopped.
    pub stopped: StoppedTask,
}

/// Holds the Lease for one replica.
struct LeaseHolder {
    config: LeaseConfig,
    leases: Api<Lease>,
    election: Election,
    claim: Claim,
    observed: watch::Receiver<ObservedLease>,
    logged_holder: Option<Box<str>>,
    /// Whether a task of this replica had stopped at the last check.
    is_stopped: bool,
}

/// Callbacks of the thread of the lease, which runs them.
pub struct Callbacks<L, A> {
    /// Called after each read of the Lease.
    pub read: L,
    /// Called when the Lease is acquired.
    pub acquired: A,
}

/// Last state that the watch observed; `None` before the first.
type ObservedLease = Option<Option<LeaseRecord>>;

impl LeaseHolder {
    /// Creates a holder that has not read the Lease yet. `claim` is the one that all writes check.
    ///
    /// # Errors
    /// The configuration of the client is invalid.
    fn new(
        config: LeaseConfig,
        election: Election,
        claim: Claim,
        watched: &LeaseWatch,
    ) -> Result<Self, client::ClientError> {
        let leases = Api::namespaced(client::connect(&config.config)?, &config.namespace);
        let observed = watched.0.subscribe();
        Ok(Self { config, leases, election, claim, observed, logged_holder: None, is_stopped: false })
    }

    /// Runs until the lease, once held, is lost. It reads the Lease from the start, and becomes a candidate after
    /// `ready`.
    async fn keep(
        &mut self,
        ready: impl Future<Output = ()>,
        callbacks: Callbacks<impl Fn(), impl Fn()>,
    ) -> LeaseLost {
        tokio::pin!(ready);
        let (mut is_candidate, mut held) = (false, false);
        loop {
            self.check_tasks();
            match self.election.next(Instant::now()) {
                LeaseStep::Wait(until) => tokio::select! {
                    () = self.sleep(until) => {}
                    () = &mut ready, if !is_candidate => {
                        is_candidate = true;
                        self.election.become_candidate();
                    }
                },
                LeaseStep::Read => {
                    if self.read().await {
                        (callbacks.read)();
                    }
                }
                LeaseStep::Create => self.make().await,
                LeaseStep::Write(update) => self.write(&update).await,
                LeaseStep::Lost(loss) => {
                    self.claim.set(None);
                    error!(%loss, "lease lost");
                    return loss;
                }
            }
            let end = self.election.claim_end();
            self.claim.set(end);
            if end.is_some() && !held {
                held = true;
                info!(replica = %self.config.name, "lease acquired");
                (callbacks.acquired)();
            }
            self.log_holder();
        }
    }

    /// Releases the lease if this replica holds it, so that another acquires it at once.
    async fn release(&mut self) {
        self.claim.set(None);
        // A renewal in flight may have changed the version when the work ended.
        for _ in 0..2 {
            let Some(record) = self.election.ours().cloned() else { return };
            let now = (self.config.clock)();
            let patch = json!({
                "metadata": { "resourceVersion": record.version },
                "spec": { "holderIdentity": "", "leaseDurationSeconds": RELEASED_SECONDS, "renewTime": MicroTime(now) },
            });
            match self.ask(self.patch(&Patch::Merge(patch))).await {
                Ok(_) => {
                    info!(lease = names::LEASE_NAME, "lease released");
                    return;
                }
                Err(CallError::Conflict) => drop(self.read().await),
                Err(error) => {
                    warn!(%error, "lease not released: another replica waits until it expires");
                    return;
                }
            }
        }
    }

    /// Checks whether a task has stopped. A lease that is not renewed any more is reported once.
    fn check_tasks(&mut self) {
        let stopped = (self.config.stopped)(Instant::now());
        self.election.set_stopped(stopped.is_some());
        if stopped.is_some() != self.is_stopped {
            match stopped {
                Some((task, age)) => {
                    error!(task, stopped_s = age.as_secs(), "task stopped: the lease is not renewed");
                }
                None => info!("all tasks run again: the lease is renewed"),
            }
        }
        self.is_stopped = stopped.is_some();
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
            Ok(()) = self.observed.changed() => {
                let lease = self.observed.borrow_and_update().clone();
                if let Some(record) = lease {
                    self.election.hint(record, Instant::now());
                }
            }
        }
    }

    /// Reads the Lease. Returns whether that succeeded.
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
            // The answer is the Lease as a read would have returned it, also if another replica claimed it.
            Ok(lease) => self.election.read(Some(record(&lease)), sent, Instant::now()),
            Err(error) => self.fail(error),
        }
    }

    async fn write(&mut self, update: &LeaseUpdate) {
        let now = (self.config.clock)();
        let seconds = self.config.timings.lease.as_millis().div_ceil(1000);
        let patch = json!({
            "metadata": { "resourceVersion": update.version },
            "spec": {
                "holderIdentity": self.config.name,
                "leaseDurationSeconds": seconds,
                "acquireTime": MicroTime(update.acquired.unwrap_or(now)),
                "renewTime": MicroTime(now),
                "leaseTransitions": update.transitions,
            },
        });
        let sent = Instant::now();
        match self.ask(self.patch(&Patch::Merge(patch))).await {
            Ok(lease) => self.election.written(record(&lease), sent, Instant::now()),
            Err(CallError::Conflict | CallError::NotFound) => self.election.lost_race(),
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: CallError) {
        match &error {
            CallError::Forbidden(message) if is_unauthorized(message) => {
                warn!(%error, "lease refused: {UNAUTHORIZED}");
            }
            CallError::Forbidden(_) => warn!(%error, "lease forbidden: apply the RBAC of this version"),
            _ => {
                warn!(%error, lease = names::LEASE_NAME, "lease request failed");
                // The connection alone may be dead, and a new one may reach another API server.
                if let Ok(client) = client::connect(&self.config.config) {
                    self.leases = Api::namespaced(client, &self.config.namespace);
                }
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

    /// Sends one request, with a deadline and never beyond the claim. It is not repeated.
    async fn ask<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        let deadline = self.config.timings.deadline();
        let left = self.election.claim_end().map(|end| end.saturating_duration_since(Instant::now()));
        // Releasing the lease may take time after the claim's end.
        let limit = left.filter(|left| !left.is_zero()).map_or(deadline, |left| left.min(deadline));
        match tokio::time::timeout(limit, request).await {
            Ok(answer) => answer.map_err(|error| classify(&error)),
            Err(_) => {
                let message = format!("the API server did not answer within {} ms", limit.as_millis());
                Err(CallError::Later(message, None))
            }
        }
    }

    fn log_holder(&mut self) {
        let other = self.election.other();
        if other != self.logged_holder.as_deref() {
            if let Some(holder) = other {
                info!(%holder, "lease held by another replica");
            }
            self.logged_holder = other.map(Into::into);
        }
    }
}

/// The last state of the Lease that a watch observed. The caller runs the watch.
#[derive(Debug)]
pub struct LeaseWatch(watch::Sender<ObservedLease>);

impl Default for LeaseWatch {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl LeaseWatch {
    /// Watches the Lease by its name.
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

    /// Logs the error for debugging only: the election relies on its own reads.
    fn interrupted(&mut self, kind: &str, error: &kube::runtime::watcher::Error) {
        debug!(kind, %error, "watch interrupted");
    }

    fn listed(&mut self, names: &ListedNames) {
        if names.is_empty() {
            self.0.send_replace(Some(None));
        }
    }
}

fn record(lease: &Lease) -> LeaseRecord {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    LeaseRecord {
        version: lease.resource_version().unwrap_or_default().into(),
        holder: match spec.holder_identity {
            None => Holder::NeverHeld,
            Some(name) if name.is_empty() => Holder::Released,
            Some(name) => Holder::HeldBy(name.into()),
        },
        acquired: spec.acquire_time.map(|MicroTime(at)| at),
        lease: seconds.map(Duration::from_secs),
        transitions: spec.lease_transitions.unwrap_or_default(),
    }
}
