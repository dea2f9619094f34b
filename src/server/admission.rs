//! Answers to the API server's admission requests about ServiceAccounts, from memory.
//!
//! # Guarantees
//! - A patch changes only `imagePullSecrets`.
//! - Nothing is denied: an invalid request gets an error, and the failure policy decides.
//! - A request about a ServiceAccount that is patched already changes nothing.
//! - An answer has no side effects, so dry runs are answered like any other request.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Metrics;
use super::metrics::{AdmissionLabel, AdmissionOutcome};
use super::review::{InvalidReview, Review, ReviewedAccount, read};
use crate::api::names;
use crate::cluster::Index;
use crate::plan::admission::{attached, attached_unseen, enabling};
use crate::plan::{ServiceAccountView, Snapshot};

/// Bytes of the largest review, as the API server limits its own requests.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// Longest time to read and answer a request.
const DEADLINE: Duration = Duration::from_secs(5);

/// Bytes of a usual review.
const USUAL_BODY: usize = 64 * 1024;

/// Longest time to receive a usual review after its slot is free. An API server sends it with the headers, and others
/// wait for the slot.
const SMALL_DEADLINE: Duration = Duration::from_secs(1);

/// Longest wait for the first observation of a namespace that was just created.
const OBSERVE_TIMEOUT: Duration = Duration::from_millis(250);

/// Interval at which the index is checked for it.
const OBSERVE_INTERVAL: Duration = Duration::from_millis(5);

/// State from which requests are answered.
#[derive(Clone)]
pub struct AdmissionHandler {
    /// Returns the present snapshot of all bindings.
    pub snapshot: Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>,
    /// Observed namespaces.
    pub index: Arc<Index>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Slots of reviews that are being read.
    pub slots: Arc<ReadSlots>,
}

/// Returns the handler of the webhook's path.
pub fn router(handler: AdmissionHandler) -> Router {
    Router::new()
        .route(names::WEBHOOK_PATH, post(review))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(deadline))
        .with_state(handler)
}

async fn deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => late(),
    }
}

fn late() -> Response {
    (StatusCode::REQUEST_TIMEOUT, "the review did not arrive in time").into_response()
}

async fn review(State(handler): State<AdmissionHandler>, request: Request) -> Response {
    let started = Instant::now();
    match handler.read(request).await {
        Ok(review) => {
            let (outcome, answer) = handler.answer(review).await;
            handler.count(outcome, started);
            Json(answer).into_response()
        }
        Err(error_response) => {
            handler.count(AdmissionOutcome::Invalid, started);
            error_response
        }
    }
}

/// Bounds the reviews that are read at a time; others wait. So their bodies have bounded memory,
/// and large ones do not delay small ones.
pub struct ReadSlots {
    small: Semaphore,
    large: Semaphore,
}

impl Default for ReadSlots {
    fn default() -> Self {
        Self { small: Semaphore::new(256), large: Semaphore::new(4) }
    }
}

impl ReadSlots {
    /// Returns the slots for a body of this length, and its deadline. A body of unknown length counts as large.
    fn of(&self, length: Option<usize>) -> (&Semaphore, Duration) {
        if length.is_some_and(|length| length <= USUAL_BODY) {
            (&self.small, SMALL_DEADLINE)
        } else {
            (&self.large, DEADLINE)
        }
    }
}

impl AdmissionHandler {
    fn count(&self, outcome: AdmissionOutcome, started: Instant) {
        self.metrics.admissions.get_or_create(&AdmissionLabel { outcome }).inc();
        self.metrics.admission_duration.observe(started.elapsed().as_secs_f64());
    }

    /// Reads a review, and keeps only what the answer needs.
    async fn read(&self, request: Request) -> Result<Review, Response> {
        let length =
            request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let (slots, deadline) = self.slots.of(length);
        let _slot = slots.acquire().await;
        let body = tokio::time::timeout(deadline, Bytes::from_request(request, &())).await;
        let body = body.map_err(|_| late())?.map_err(IntoResponse::into_response)?;
        read(&body).map_err(|InvalidReview(reason)| (StatusCode::BAD_REQUEST, reason).into_response())
    }

    async fn answer(&self, review: Review) -> (AdmissionOutcome, Value) {
        let Some(ReviewedAccount { namespace, account, has_list }) = review.subject else {
            return (AdmissionOutcome::Unchanged, allowed(&review.uid, None));
        };
        let (observed, list) = self.attached(&namespace, &account).await;
        let outcome = match (&list, observed) {
            (Some(_), _) => AdmissionOutcome::Attached,
            (None, true) => AdmissionOutcome::Unchanged,
            (None, false) => AdmissionOutcome::UnknownNamespace,
        };
        let before = has_list.then_some(&*account.pull_secrets);
        (outcome, allowed(&review.uid, list.map(|list| patch(before, &list))))
    }

    /// Returns the new list of the ServiceAccount, if it changes, and whether its namespace was observed.
    async fn attached(&self, namespace: &str, account: &ServiceAccountView) -> (bool, Option<Vec<Box<str>>>) {
        let end = Instant::now() + OBSERVE_TIMEOUT;
        loop {
            let snapshot = (self.snapshot)();
            if enabling(snapshot.bindings()).next().is_none() {
                return (true, None);
            }
            let decide = |view: &crate::plan::NamespaceView| {
                let facts = view.facts.as_ref()?;
                Some(attached(&snapshot, namespace, facts, account))
            };
            if let Some(list) = self.index.read(namespace, decide).flatten() {
                return (true, list);
            }
            if Instant::now() >= end {
                return (false, attached_unseen(&snapshot, namespace, account));
            }
            tokio::time::sleep(OBSERVE_INTERVAL).await;
        }
    }
}

/// Returns a JSON patch that replaces the list, if it is still the one that was read.
fn patch(before: Option<&[Box<str>]>, list: &[Box<str>]) -> Value {
    let path = "/imagePullSecrets";
    // The API server writes an entry without a name as nothing.
    let entry = |name: &str| if name.is_empty() { json!({}) } else { json!({ "name": name }) };
    let entries = |list: &[Box<str>]| list.iter().map(|name| entry(name)).collect::<Value>();
    match before {
        None => json!([{ "op": "add", "path": path, "value": entries(list) }]),
        Some(before) => json!([
            { "op": "test", "path": path, "value": entries(before) },
            { "op": "replace", "path": path, "value": entries(list) },
        ]),
    }
}

fn allowed(uid: &str, patch: Option<Value>) -> Value {
    let mut response = json!({ "uid": uid, "allowed": true });
    if let Some(patch) = patch {
        response["patchType"] = "JSONPatch".into();
        response["patch"] = STANDARD.encode(patch.to_string()).into();
    }
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })
}

#[cfg(test)]
mod tests;
