//! What the API server asks about a ServiceAccount that is being created, answered from memory.
//!
//! # Guarantees
//! The only thing ever changed is `imagePullSecrets`, and nothing is ever refused: what cannot be understood is
//! answered with an error, about which the failure policy decides. Asked again about its own answer, it changes
//! nothing. It does nothing else, so that a dry run is answered like any other.

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
use super::review::{About, InvalidReview, Review, read};
use crate::api::names;
use crate::cluster::Index;
use crate::plan::admission::{asking, attached, attached_unseen};
use crate::plan::{ServiceAccountView, Snapshot};

/// Bytes of one review at most: what the API server itself takes.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// A request that is not read and answered within this time ends.
const DEADLINE: Duration = Duration::from_secs(5);

/// Bytes of a review that is like most.
const SMALL: usize = 64 * 1024;

/// Such a one that is not there within this time, once there is a place to read it, is given up: an API server sends it
/// with its headers, and others wait for the place.
const SMALL_WITHIN: Duration = Duration::from_secs(1);

/// How long a namespace that was created a moment ago may take to be seen.
const UNSEEN: Duration = Duration::from_millis(250);

/// How often to look for it.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What answers are made of.
#[derive(Clone)]
pub struct Answers {
    /// All bindings as they are now.
    pub snapshot: Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>,
    /// What is known of the namespaces.
    pub index: Arc<Index>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// For what is being read.
    pub room: Arc<Room>,
}

/// The handler of the webhook's path.
pub fn router(answers: Answers) -> Router {
    Router::new()
        .route(names::WEBHOOK_PATH, post(review))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(deadline))
        .with_state(answers)
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

async fn review(State(answers): State<Answers>, request: Request) -> Response {
    let started = Instant::now();
    match answers.read(request).await {
        Ok(review) => {
            let (outcome, answer) = answers.answer(review).await;
            answers.count(outcome, started);
            Json(answer).into_response()
        }
        Err(refusal) => {
            answers.count(AdmissionOutcome::Invalid, started);
            refusal
        }
    }
}

/// How many reviews are read at a time; others wait for a moment. So what all bodies take has a bound, whoever sends them,
/// and large ones do not keep small ones waiting.
pub struct Room {
    small: Semaphore,
    large: Semaphore,
}

impl Default for Room {
    fn default() -> Self {
        Self { small: Semaphore::new(256), large: Semaphore::new(4) }
    }
}

impl Room {
    /// The place for a body of this length, and how long it may be had; one that does not say how long it is may be as
    /// long as is taken.
    fn of(&self, length: Option<usize>) -> (&Semaphore, Duration) {
        if length.is_some_and(|length| length <= SMALL) {
            (&self.small, SMALL_WITHIN)
        } else {
            (&self.large, DEADLINE)
        }
    }
}

impl Answers {
    fn count(&self, outcome: AdmissionOutcome, started: Instant) {
        self.metrics.admissions.get_or_create(&AdmissionLabel { outcome }).inc();
        self.metrics.admission_duration.observe(started.elapsed().as_secs_f64());
    }

    /// Reads a review, and lets go of all that is not needed for the answer.
    async fn read(&self, request: Request) -> Result<Review, Response> {
        let length =
            request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let (place, within) = self.room.of(length);
        let _place = place.acquire().await;
        let body = tokio::time::timeout(within, Bytes::from_request(request, &())).await;
        let body = body.map_err(|_| late())?.map_err(IntoResponse::into_response)?;
        read(&body).map_err(|InvalidReview(why)| (StatusCode::BAD_REQUEST, why).into_response())
    }

    async fn answer(&self, review: Review) -> (AdmissionOutcome, Value) {
        let Some(About { namespace, account, has_list }) = review.about else {
            return (AdmissionOutcome::Unchanged, allowed(&review.uid, None));
        };
        let (seen, list) = self.attached(&namespace, &account).await;
        let outcome = match (&list, seen) {
            (Some(_), _) => AdmissionOutcome::Attached,
            (None, true) => AdmissionOutcome::Unchanged,
            (None, false) => AdmissionOutcome::UnknownNamespace,
        };
        let before = has_list.then_some(&*account.pull_secrets);
        (outcome, allowed(&review.uid, list.map(|list| patch(before, &list))))
    }

    /// The list that the ServiceAccount shall have, and whether its namespace was known.
    async fn attached(&self, namespace: &str, account: &ServiceAccountView) -> (bool, Option<Vec<Box<str>>>) {
        let end = Instant::now() + UNSEEN;
        loop {
            let snapshot = (self.snapshot)();
            if asking(&snapshot).next().is_none() {
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
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Replaces the list, if it is the one that was read.
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
