//! What the API server asks about a ServiceAccount that is being created, answered from memory.
//!
//! # Guarantees
//! The only thing ever changed is `imagePullSecrets`, and nothing is ever refused: what cannot be understood is
//! answered with an error, about which the failure policy decides. Asked again about its own answer, it changes
//! nothing. It does nothing else, so that a dry run is answered like any other.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use axum::{Router, extract::rejection::BytesRejection};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Metrics;
use super::metrics::{Admitted, AdmittedLabel};
use crate::api::names;
use crate::cluster::Index;
use crate::cluster::objects::WatchedServiceAccount;
use crate::plan::admission::{asking, attached, attached_unseen};
use crate::plan::{ServiceAccountView, Snapshot};

/// Bytes of one review at most: what the API server itself takes.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// A request that is not read and answered within this time ends.
const DEADLINE: Duration = Duration::from_secs(5);

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
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    request: Asked,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    uid: String,
    #[serde(default)]
    namespace: String,
    operation: String,
    resource: Resource,
    #[serde(default)]
    sub_resource: String,
    #[serde(default)]
    object: Value,
}

#[derive(Deserialize)]
struct Resource {
    group: String,
    resource: String,
}

/// A review that cannot be answered, in words.
#[derive(Debug, PartialEq, Eq)]
struct Misunderstood(String);

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
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the review did not arrive in time").into_response(),
    }
}

async fn review(State(answers): State<Answers>, body: Result<Bytes, BytesRejection>) -> Response {
    let started = Instant::now();
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            answers.count(Admitted::Misunderstood, started);
            return rejection.into_response();
        }
    };
    match answers.answer(&body).await {
        Ok((outcome, answer)) => {
            answers.count(outcome, started);
            Json(answer).into_response()
        }
        Err(Misunderstood(why)) => {
            answers.count(Admitted::Misunderstood, started);
            (StatusCode::BAD_REQUEST, why).into_response()
        }
    }
}

impl Answers {
    fn count(&self, outcome: Admitted, started: Instant) {
        self.metrics.admissions.get_or_create(&AdmittedLabel { outcome }).inc();
        self.metrics.admission_duration.observe(started.elapsed().as_secs_f64());
    }

    async fn answer(&self, body: &[u8]) -> Result<(Admitted, Value), Misunderstood> {
        let review: Review = serde_json::from_slice(body)
            .map_err(|error| Misunderstood(format!("this is no AdmissionReview: {error}")))?;
        let Review { api_version, request } = review;
        if api_version != "admission.k8s.io/v1" {
            return Err(Misunderstood(format!("{api_version:?} is not admission.k8s.io/v1")));
        }
        let about_accounts = request.resource.group.is_empty()
            && request.resource.resource == "serviceaccounts"
            && request.sub_resource.is_empty()
            && matches!(request.operation.as_str(), "CREATE" | "UPDATE");
        if !about_accounts {
            return Ok((Admitted::Unchanged, allowed(&request.uid, None)));
        }
        let account = account(&request.object)?;
        let (seen, list) = self.attached(&request.namespace, &account).await;
        let outcome = match (&list, seen) {
            (Some(_), _) => Admitted::Attached,
            (None, true) => Admitted::Unchanged,
            (None, false) => Admitted::Unseen,
        };
        let patch = list.map(|list| patch(&request.object, &list));
        Ok((outcome, allowed(&request.uid, patch)))
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

/// The ServiceAccount that a review is about. One that is yet to be named has a name of the kind that it will get.
fn account(object: &Value) -> Result<ServiceAccountView, Misunderstood> {
    let account: WatchedServiceAccount = serde_json::from_value(object.clone())
        .map_err(|error| Misunderstood(format!("request.object is no ServiceAccount: {error}")))?;
    let generated = account.metadata.generate_name.as_ref().map(|prefix| format!("{prefix}xxxxx"));
    let mut view = account.view();
    if view.name.is_empty() {
        view.name = generated.unwrap_or_default().into();
    }
    Ok(view)
}

/// Replaces the list, if it is the one that was read.
fn patch(object: &Value, list: &[Box<str>]) -> Value {
    let path = "/imagePullSecrets";
    let entries: Vec<Value> = list.iter().map(|name| json!({ "name": name })).collect();
    match object.get("imagePullSecrets") {
        None | Some(Value::Null) => json!([{ "op": "add", "path": path, "value": entries }]),
        Some(old) => json!([
            { "op": "test", "path": path, "value": old },
            { "op": "replace", "path": path, "value": entries },
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
#[path = "admission_tests.rs"]
mod tests;
