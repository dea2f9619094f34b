use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{AdmissionHandler, MAX_BODY, router};
use crate::plan::ResolvedBinding;
use crate::plan::fixture::{OURS, bound_with, resolved, snapshot};
use crate::plan::view::NamespaceFacts;
use crate::server::Metrics;

fn with_webhook(spec: Value) -> ResolvedBinding {
    let mut spec = spec;
    spec["webhook"] = json!({ "enable": true });
    bound_with("a", spec)
}

fn handler(resolved: ResolvedBinding) -> AdmissionHandler {
    let snapshot = Arc::new(snapshot([resolved]));
    let handler = AdmissionHandler {
        snapshot: Arc::new(move || snapshot.clone()),
        index: Arc::default(),
        metrics: Arc::new(Metrics::default()),
        slots: Arc::default(),
    };
    handler.index.put_namespace("n", NamespaceFacts::default());
    handler
}

fn review(namespace: &str, object: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "namespace": namespace,
            "operation": "CREATE",
            "resource": { "group": "", "version": "v1", "resource": "serviceaccounts" },
            "object": object,
        },
    })
}

async fn post(handler: &AdmissionHandler, body: impl Into<Body>) -> (StatusCode, Vec<u8>) {
    let request =
        Request::post("/mutate").header("content-type", "application/json").body(body.into()).unwrap();
    let response = router(handler.clone()).oneshot(request).await.unwrap();
    let status = response.status();
    (status, axum::body::to_bytes(response.into_body(), MAX_BODY).await.unwrap().to_vec())
}

/// Returns the patch that answers a review.
async fn patched(handler: &AdmissionHandler, review: Value) -> Option<Value> {
    let (status, body) = post(handler, review.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&json!("u-1"), &json!(true)));
    let patch = answer["response"]["patch"].as_str()?;
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
    Some(serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap())
}

fn account(name: &str) -> Value {
    json!({ "metadata": { "name": name } })
}

#[tokio::test]
async fn the_entry_is_added_last_and_only_to_the_list_that_was_read() {
    let handler = handler(with_webhook(json!({})));
    assert_eq!(
        patched(&handler, review("n", account("default"))).await,
        Some(json!([{ "op": "add", "path": "/imagePullSecrets", "value": [{ "name": OURS }] }]))
    );
    let mut with_list = account("default");
    with_list["imagePullSecrets"] = json!([{ "name": "b" }]);
    assert_eq!(
        patched(&handler, review("n", with_list)).await,
        Some(json!([
            { "op": "test", "path": "/imagePullSecrets", "value": [{ "name": "b" }] },
            { "op": "replace", "path": "/imagePullSecrets", "value": [{ "name": "b" }, { "name": OURS }] },
        ]))
    );
}

#[tokio::test]
async fn a_patched_account_is_not_patched_again() {
    let mut object = account("default");
    object["imagePullSecrets"] = json!([{ "name": "b" }, { "name": OURS }]);
    assert_eq!(patched(&handler(with_webhook(json!({}))), review("n", object)).await, None);
}

#[tokio::test]
async fn an_account_without_a_binding_is_unchanged() {
    assert_eq!(patched(&handler(resolved("plain")), review("n", account("default"))).await, None);
    let handler = handler(with_webhook(json!({})));
    assert_eq!(patched(&handler, review("n", account("other"))).await, None);
    let mut token = review("n", account("default"));
    token["request"]["subResource"] = "token".into();
    assert_eq!(patched(&handler, token).await, None);
    let mut delete = review("n", Value::Null);
    delete["request"]["operation"] = "DELETE".into();
    assert_eq!(patched(&handler, delete).await, None);
    for (kind, value, skips) in [
        ("annotations", "true", true),
        ("annotations", "Yes", true),
        ("labels", "on", true),
        ("labels", "false", false),
        ("annotations", "1", false),
    ] {
        let mut object = json!({ "metadata": { "name": "default" } });
        object["metadata"][kind] = json!({ "acrcredential.dev/skip": value });
        assert_eq!(patched(&handler, review("n", object)).await.is_none(), skips, "{kind} {value}");
    }
    let facts = NamespaceFacts { skip: true, ..NamespaceFacts::default() };
    handler.index.put_namespace("n", facts);
    assert_eq!(patched(&handler, review("n", account("default"))).await, None);
}

#[tokio::test]
async fn a_generated_name_is_matched_by_its_prefix() {
    let handler = handler(with_webhook(json!({ "serviceAccounts": { "names": ["job-*"] } })));
    let object = |prefix: &str| json!({ "metadata": { "generateName": prefix } });
    assert!(patched(&handler, review("n", object("job-"))).await.is_some());
    assert!(patched(&handler, review("n", object("other-"))).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_awaited_until_it_is_observed_unless_its_name_suffices() {
    let labelled = json!({ "names": ["known"], "selector": { "matchLabels": { "tier": "app" } } });
    let handler = handler(with_webhook(json!({ "watchNamespaces": labelled })));
    assert!(patched(&handler, review("known", account("default"))).await.is_some());
    assert!(patched(&handler, review("labelled", account("default"))).await.is_none());
    let index = handler.index.clone();
    tokio::spawn(async move {
        tokio::time::sleep(super::OBSERVE_TIMEOUT / 2).await;
        let labels = std::collections::BTreeMap::from([("tier".to_owned(), "app".to_owned())]);
        index
            .put_namespace("labelled", NamespaceFacts { labels: labels.into(), ..NamespaceFacts::default() });
    });
    assert!(patched(&handler, review("labelled", account("default"))).await.is_some());
    let text = handler.metrics.render();
    assert!(text.contains("acr_admission_requests_total{outcome=\"unknown_namespace\"} 1"), "{text}");
    assert!(text.contains("acr_admission_requests_total{outcome=\"attached\"} 2"), "{text}");
}

#[tokio::test]
async fn an_invalid_review_is_answered_with_the_reason() {
    let handler = handler(with_webhook(json!({})));
    let mut v1beta1 = review("n", account("default"));
    v1beta1["apiVersion"] = "admission.k8s.io/v1beta1".into();
    for (body, words) in [
        ("".to_owned(), "not an AdmissionReview"),
        ("[[[[".to_owned(), "not an AdmissionReview"),
        ("{}".to_owned(), "not an AdmissionReview"),
        (v1beta1.to_string(), "is not admission.k8s.io/v1"),
        (review("n", json!("text")).to_string(), "not a ServiceAccount"),
        (review("n", json!({ "metadata": { "name": 5 } })).to_string(), "not a ServiceAccount"),
        (review("n", json!({ "metadata": {}, "imagePullSecrets": "x" })).to_string(), "not a ServiceAccount"),
    ] {
        let (status, answer) = post(&handler, body.clone()).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(status == StatusCode::BAD_REQUEST && answer.contains(words), "{body}: {status} {answer}");
    }
    let (status, _) = post(&handler, vec![b' '; MAX_BODY + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}
