//! Health and metrics over HTTP.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::Notify;

use super::metrics::Metrics;

/// What this process still waits for before it works.
#[derive(Debug, Default)]
pub struct Readiness {
    missing: Mutex<BTreeSet<&'static str>>,
    changed: Notify,
}

impl Readiness {
    /// Waits for these.
    pub fn awaiting(parts: impl IntoIterator<Item = &'static str>) -> Arc<Self> {
        Arc::new(Self { missing: Mutex::new(parts.into_iter().collect()), changed: Notify::new() })
    }

    /// One of them is there.
    pub fn done(&self, part: &'static str) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if missing.remove(part) {
            self.changed.notify_waiters();
        }
    }

    /// Waits until nothing is missing.
    pub async fn complete(&self) {
        self.until(|missing| missing.is_empty()).await;
    }

    /// Waits until nothing is missing but this part.
    pub async fn complete_but(&self, part: &'static str) {
        self.until(|missing| missing.iter().all(|missing| *missing == part)).await;
    }

    async fn until(&self, holds: impl Fn(&[&'static str]) -> bool) {
        loop {
            // Made before the look, so that it hears of whatever happens after it.
            let changed = self.changed.notified();
            if holds(&self.missing()) {
                return;
            }
            changed.await;
        }
    }

    /// What is still missing.
    pub fn missing(&self) -> Vec<&'static str> {
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
    axum::serve(listener, router).await
}

/// Ignores whether the cloud answers, because a restart would not fix that.
async fn ready(State(served): State<AdminState>) -> impl IntoResponse {
    let missing = served.readiness.missing();
    match missing.as_slice() {
        [] => (StatusCode::OK, "ok".to_owned()),
        parts => (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}", parts.join(", "))),
    }
}

async fn scrape(State(served): State<AdminState>) -> impl IntoResponse {
    (served.refresh)();
    (
        [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
        served.metrics.render(),
    )
}
