use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Answers, MAX_BODY, router};
use crate::plan::ResolvedBinding;
use crate::plan::fixture::{OURS, bound_with, resolved, snapshot};
use crate::plan::view::NamespaceFacts;
use crate::server::Metrics;

fn asks(spec: Value) -> ResolvedBinding {
    let mut spec = spec;
    spec["webhook"] = json!({ "enable": true });
    bound_with("a", spec)
}

fn answers(resolved: ResolvedBinding) -> Answers {
    let snapshot = Arc::new(snapshot([resolved]));
    let answers = Answers {
        snapshot: Arc::new(move || snapshot.clone()),
        index: Arc::default(),
        metrics: Arc::new(Metrics::default()),
        room: Arc::default(),
    };
    answers.index.put_namespace("n", NamespaceFacts::default());
    answers
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

async fn post(answers: &Answers, body: impl Into<Body>) -> (StatusCode, Vec<u8>) {
    let request =
        Request::post("/mutate").header("content-type", "application/json").body(body.into()).unwrap();
    let response = router(answers.clone()).oneshot(request).await.unwrap();
    let status = response.status();
    (status, axum::body::to_bytes(response.into_body(), MAX_BODY).await.unwrap().to_vec())
}

/// The patch that a review is answered with.
async fn patched(answers: &Answers, review: Value) -> Option<Value> {
    let (status, body) = post(answers, review.to_string()).await;
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
    let answers = answers(asks(json!({})));
    assert_eq!(
        patched(&answers, review("n", account("default"))).await,
        Some(json!([{ "op": "add", "path": "/imagePullSecrets", "value": [{ "name": OURS }] }]))
    );
    let mut with_list = account("default");
    with_list["imagePullSecrets"] = json!([{ "name": "b" }]);
    assert_eq!(
        patched(&answers, review("n", with_list)).await,
        Some(json!([
            { "op": "test", "path": "/imagePullSecrets", "value": [{ "name": "b" }] },
            { "op": "replace", "path": "/imagePullSecrets", "value": [{ "name": "b" }, { "name": OURS }] },
        ]))
    );
}

#[tokio::test]
async fn an_answer_that_was_taken_is_not_given_again() {
    let mut object = account("default");
    object["imagePullSecrets"] = json!([{ "name": "b" }, { "name": OURS }]);
    assert_eq!(patched(&answers(asks(json!({}))), review("n", object)).await, None);
}

#[tokio::test]
async fn what_nobody_asked_for_is_left_alone() {
    assert_eq!(patched(&answers(resolved("plain")), review("n", account("default"))).await, None);
    let answers = answers(asks(json!({})));
    assert_eq!(patched(&answers, review("n", account("other"))).await, None);
    let mut token = review("n", account("default"));
    token["request"]["subResource"] = "token".into();
    assert_eq!(patched(&answers, token).await, None);
    let mut delete = review("n", Value::Null);
    delete["request"]["operation"] = "DELETE".into();
    assert_eq!(patched(&answers, delete).await, None);
    let skipped =
        json!({ "metadata": { "name": "default", "annotations": { "acrcredential.dev/skip": "true" } } });
    assert_eq!(patched(&answers, review("n", skipped)).await, None);
    let facts = NamespaceFacts { skip: true, ..NamespaceFacts::default() };
    answers.index.put_namespace("n", facts);
    assert_eq!(patched(&answers, review("n", account("default"))).await, None);
}

#[tokio::test]
async fn an_account_that_is_yet_to_be_named_is_judged_by_the_names_it_may_get() {
    let answers = answers(asks(json!({ "serviceAccounts": { "names": ["job-*"] } })));
    let object = |prefix: &str| json!({ "metadata": { "generateName": prefix } });
    assert!(patched(&answers, review("n", object("job-"))).await.is_some());
    assert!(patched(&answers, review("n", object("other-"))).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_not_seen_yet_is_waited_for_a_moment_and_its_name_may_suffice() {
    let labelled = json!({ "names": ["known"], "selector": { "matchLabels": { "tier": "app" } } });
    let answers = answers(asks(json!({ "watchNamespaces": labelled })));
    assert!(patched(&answers, review("known", account("default"))).await.is_some());
    assert!(patched(&answers, review("labelled", account("default"))).await.is_none());
    let index = answers.index.clone();
    tokio::spawn(async move {
        tokio::time::sleep(super::UNSEEN / 2).await;
        let labels = std::collections::BTreeMap::from([("tier".to_owned(), "app".to_owned())]);
        index
            .put_namespace("labelled", NamespaceFacts { labels: labels.into(), ..NamespaceFacts::default() });
    });
    assert!(patched(&answers, review("labelled", account("default"))).await.is_some());
    let text = answers.metrics.render();
    assert!(text.contains("acr_admission_requests_total{outcome=\"unknown_namespace\"} 1"), "{text}");
    assert!(text.contains("acr_admission_requests_total{outcome=\"attached\"} 2"), "{text}");
}

#[tokio::test]
async fn what_is_no_review_is_told_so() {
    let answers = answers(asks(json!({})));
    let mut v1beta1 = review("n", account("default"));
    v1beta1["apiVersion"] = "admission.k8s.io/v1beta1".into();
    for (body, words) in [
        ("".to_owned(), "no AdmissionReview"),
        ("[[[[".to_owned(), "no AdmissionReview"),
        ("{}".to_owned(), "no AdmissionReview"),
        (v1beta1.to_string(), "is not admission.k8s.io/v1"),
        (review("n", json!("text")).to_string(), "no ServiceAccount"),
        (review("n", json!({ "metadata": { "name": 5 } })).to_string(), "no ServiceAccount"),
        (review("n", json!({ "metadata": {}, "imagePullSecrets": "x" })).to_string(), "no ServiceAccount"),
    ] {
        let (status, answer) = post(&answers, body.clone()).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(status == StatusCode::BAD_REQUEST && answer.contains(words), "{body}: {status} {answer}");
    }
    let (status, _) = post(&answers, vec![b' '; MAX_BODY + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}
