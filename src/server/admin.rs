//! Health and metrics over HTTP.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::connections::{self, ConnectionLimits};
use super::metrics::Metrics;

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
}

/// The steps of the start that are still to be done.
#[derive(Debug, Default)]
pub struct Readiness {
    missing: Mutex<BTreeSet<StartupStep>>,
    changed: Notify,
}

impl Readiness {
    /// Returns a readiness that waits for these steps.
    pub fn awaiting(steps: impl IntoIterator<Item = StartupStep>) -> Arc<Self> {
        Arc::new(Self { missing: Mutex::new(steps.into_iter().collect()), changed: Notify::new() })
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

/// State of the handlers.
#[derive(Clone)]
struct AdminState {
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    refresh: Arc<dyn Fn() + Send + Sync>,
}

/// Serves `/livez`, `/readyz` and `/metrics`. `refresh` updates gauges before each scrape.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    refresh: impl Fn() + Send + Sync + 'static,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let router = Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(AdminState { readiness, metrics, refresh: Arc::new(refresh) });
    connections::serve(listener, None, router, LIMITS, CancellationToken::new()).await;
    Ok(())
}

/// Ignores whether the cloud answers, because a restart would not fix that.
async fn ready(State(served): State<AdminState>) -> impl IntoResponse {
    let missing = served.readiness.missing();
    match missing.as_slice() {
        [] => (StatusCode::OK, "ok".to_owned()),
        steps => {
            let steps: Vec<_> = steps.iter().map(|step| step.describe()).collect();
            (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}", steps.join(", ")))
        }
    }
}

async fn scrape(State(served): State<AdminState>) -> impl IntoResponse {
    (served.refresh)();
    (
        [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
        served.metrics.render(),
    )
}
