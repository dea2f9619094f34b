//! Health and metrics over HTTP.

mod checks;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::checks::{Check, answer};
use super::connections::{self, ConnectionLimits};
use super::heartbeats::{self, Heartbeats};
use super::metrics::{Metrics, TextFormat};
use crate::cluster::watch_health::WatchHealth;

/// Bounds of the connections: the probes of one kubelet and a few scrapers.
const LIMITS: ConnectionLimits = ConnectionLimits {
    connections: 32,
    first_request: Duration::from_secs(10),
    idle: Duration::from_secs(120),
};

/// A step of the start that must be done before this replica works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StartupStep {
    /// All namespaces are listed.
    Namespaces,
    /// All ServiceAccounts are listed.
    ServiceAccounts,
    /// All our pull Secrets are listed.
    Secrets,
    /// All bindings are listed.
    Bindings,
    /// The admission policies are probed: their state is a part of every status.
    Policies,
    /// The CustomResourceDefinition is read: without it, the absence of a binding means nothing.
    Definition,
    /// The ConfigMap of the admission policy is read.
    AdmissionParameters,
    /// The lease is read. An upgrade without its RBAC stops here.
    Lease,
    /// The webhook has its certificate.
    Webhook,
}

impl StartupStep {
    /// The steps of every replica.
    pub const ALWAYS: [Self; 8] = [
        Self::Namespaces,
        Self::ServiceAccounts,
        Self::Secrets,
        Self::Bindings,
        Self::Policies,
        Self::Definition,
        Self::AdmissionParameters,
        Self::Lease,
    ];

    /// Returns what `/readyz` says that this replica is waiting for.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Namespaces => "the list of Namespaces",
            Self::ServiceAccounts => "the list of ServiceAccounts",
            Self::Secrets => "the list of Secrets",
            Self::Bindings => "the list of AcrCredentialBindings",
            Self::Policies => "the probe of the admission policies",
            Self::Definition => "the CustomResourceDefinition",
            Self::AdmissionParameters => "the admission parameters",
            Self::Lease => "the lease",
            Self::Webhook => "the webhook's certificate",
        }
    }

    /// Returns the name of its check in `/readyz?verbose`.
    pub const fn check(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::ServiceAccounts => "serviceaccounts",
            Self::Secrets => "secrets",
            Self::Bindings => "bindings",
            Self::Policies => "policies",
            Self::Definition => "definition",
            Self::AdmissionParameters => "admission-parameters",
            Self::Lease => "lease",
            Self::Webhook => "webhook",
        }
    }
}

/// The steps of the start that are still to be done.
#[derive(Debug, Default)]
pub struct Readiness {
    steps: BTreeSet<StartupStep>,
    missing: Mutex<BTreeSet<StartupStep>>,
    changed: Notify,
}

impl Readiness {
    /// Returns a readiness that waits for these steps.
    pub fn awaiting(steps: impl IntoIterator<Item = StartupStep>) -> Arc<Self> {
        let steps: BTreeSet<_> = steps.into_iter().collect();
        Arc::new(Self { missing: Mutex::new(steps.clone()), steps, changed: Notify::new() })
    }

    /// Records that a step is done.
    pub fn done(&self, step: StartupStep) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if missing.remove(&step) {
            self.changed.notify_waiters();
        }
    }

    /// Waits until every step is done.
    pub async fn complete(&self) {
        self.until(|missing| missing.is_empty()).await;
    }

    /// Waits until every step but this one is done.
    pub async fn complete_but(&self, step: StartupStep) {
        self.until(|missing| missing.iter().all(|missing| *missing == step)).await;
    }

    async fn until(&self, holds: impl Fn(&[StartupStep]) -> bool) {
        loop {
            // Created before the check, so that no later change is missed.
            let changed = self.changed.notified();
            if holds(&self.missing()) {
                return;
            }
            changed.await;
        }
    }

    /// Returns the steps that are still to be done.
    pub fn missing(&self) -> Vec<StartupStep> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// The server of health and metrics.
#[derive(Clone)]
pub struct AdminServer {
    /// The steps of the start.
    pub readiness: Arc<Readiness>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// When each watch was last heard.
    pub watches: WatchHealth,
    /// How long a watch may hear nothing.
    pub stale_after: Duration,
    /// The heartbeats of the tasks.
    pub heartbeats: Heartbeats,
    /// Updates gauges before each scrape.
    pub refresh: Arc<dyn Fn() + Send + Sync>,
}

impl AdminServer {
    /// Serves `/livez`, `/readyz` and `/metrics`.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn serve(self, address: SocketAddr) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::bind(address).await?;
        connections::serve(listener, None, self.router(), LIMITS, CancellationToken::new()).await;
        Ok(())
    }

    fn router(self) -> Router {
        Router::new()
            .route("/livez", get(live))
            .route("/readyz", get(ready))
            .route("/metrics", get(scrape))
            .with_state(self)
    }

    /// Returns the checks of the heartbeats and of the queues: a restart repairs a task that has stopped, and a loop that
    /// takes no work.
    fn liveness(&self, now: Instant) -> Vec<Check> {
        let ages = self.heartbeats.ages(now).into_iter();
        let tasks = ages.map(|(task, age)| Check::heartbeat(task, age, heartbeats::STOPPED));
        let queues = self.heartbeats.waiting().into_iter();
        tasks.chain(queues.map(|(queue, work)| Check::queue(queue, work, heartbeats::UNTAKEN))).collect()
    }

    /// Returns the checks of the start and of the watches. Whether the cloud answers is left out, because a restart
    /// would not fix that.
    fn readiness(&self, now: Instant) -> Vec<Check> {
        let missing = self.readiness.missing();
        let step = |step: &StartupStep| Check {
            name: step.check().to_owned(),
            result: match missing.contains(step) {
                true => Err(format!("waiting for {}", step.describe())),
                false => Ok(String::new()),
            },
            counts: true,
        };
        let steps = self.readiness.steps.iter().map(step);
        let ages = self.watches.ages(now).into_iter();
        let watches = ages.map(|(watch, age)| Check::watch(watch, age, self.stale_after));
        steps.chain(watches).collect()
    }
}

async fn live(State(server): State<AdminServer>, query: RawQuery) -> impl IntoResponse {
    answer("livez", &server.liveness(Instant::now()), is_verbose(&query))
}

async fn ready(State(server): State<AdminServer>, query: RawQuery) -> impl IntoResponse {
    answer("readyz", &server.readiness(Instant::now()), is_verbose(&query))
}

/// Returns whether a probe asks for every check, as `?verbose` or `?verbose=true`.
fn is_verbose(RawQuery(query): &RawQuery) -> bool {
    let mut pairs = query.iter().flat_map(|query| query.split('&'));
    pairs.any(|pair| pair.split('=').next() == Some("verbose"))
}

async fn scrape(State(server): State<AdminServer>, headers: HeaderMap) -> impl IntoResponse {
    (server.refresh)();
    let now = Instant::now();
    server.metrics.set_waiting(&server.heartbeats.waiting());
    server.metrics.set_ages(&server.watches.ages(now), &server.heartbeats.ages(now));
    let format = TextFormat::requested(&headers);
    ([(header::CONTENT_TYPE, format.content_type())], server.metrics.render_as(format))
}

#[cfg(test)]
mod tests;
