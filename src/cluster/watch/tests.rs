//! The deadlines and limits of a watch, against a service that answers as the API server does, in paused time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body as AnswerBody;
use futures::{StreamExt, stream};
use http::{Request, Response};
use kube::client::Body;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::source::{HEAD_DEADLINE, LONGEST_SILENCE, PAGE_DEADLINE};
use super::{Sink, config, watch};
use crate::cluster::listed_names::ListedNames;
use crate::cluster::objects::WatchedServiceAccount;

/// One answer of the service.
enum Answer {
    /// A complete body.
    Whole(String),
    /// A body that begins so, and never ends.
    Open(String),
    /// No response at all.
    Nothing,
}

/// What the sink received and the service was asked.
#[derive(Clone, Default)]
struct Record {
    lines: Arc<Mutex<Vec<String>>>,
    /// The version by which each account is known already.
    known: Option<u64>,
}

impl Record {
    fn add(&self, line: impl Into<String>) {
        self.lines.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

impl Sink<WatchedServiceAccount> for Record {
    fn put(&mut self, object: WatchedServiceAccount) {
        self.add(format!("put {}", object.name_any()));
    }

    fn remove(&mut self, object: WatchedServiceAccount) {
        self.add(format!("remove {}", object.name_any()));
    }

    fn interrupted(&mut self, _: &str, error: &kube::runtime::watcher::Error) {
        self.add(format!("interrupted: {}", super::sink::describe(error)));
    }

    fn known_version(&self, _: &WatchedServiceAccount) -> Option<u64> {
        self.known
    }

    fn forget_version(&mut self, object: &WatchedServiceAccount) {
        self.add(format!("forget {}", object.name_any()));
    }

    fn set_back(&mut self) {
        self.add("set back");
    }

    fn listed(&mut self, names: &ListedNames) {
        let lines = self.lines();
        let put = lines.iter().filter_map(|line| line.strip_prefix("put "));
        // One that is known by a newer version is not put.
        let all: BTreeSet<&str> = put.chain(self.known.map(|_| "a")).collect();
        let listed: Vec<&str> = all.into_iter().filter(|name| names.contains("n", name)).collect();
        self.add(format!("listed {}", listed.join(" ")));
    }
}

/// Watches a service with these answers until they are used up. Returns what happened in order, and the time it took.
async fn run(answers: Vec<Answer>) -> (Vec<String>, Duration) {
    run_knowing(None, answers).await
}

/// Does the same with a sink that knows each account by a version already.
async fn run_knowing(known: Option<u64>, answers: Vec<Answer>) -> (Vec<String>, Duration) {
    let record = Record { known, ..Record::default() };
    let used_up = Arc::new(tokio::sync::Notify::new());
    let (asked, last) = (record.clone(), used_up.clone());
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let service = tower::service_fn(move |request: Request<Body>| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let value = |key: &str| {
            query
                .split('&')
                .find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
                .unwrap_or("")
                .to_owned()
        };
        let answer = answers.lock().unwrap().next();
        match &answer {
            None => last.notify_one(),
            Some(_) if value("watch") == "true" => {
                asked.add(format!(
                    "watch from {} bookmarks {}",
                    value("resourceVersion"),
                    value("allowWatchBookmarks")
                ));
            }
            Some(_) => asked.add(format!(
                "list {} {}{}",
                value("limit"),
                value("continue"),
                value("resourceVersion")
            )),
        }
        async move {
            let body = match answer {
                Some(Answer::Whole(body)) => AnswerBody::from(body),
                Some(Answer::Open(beginning)) => {
                    let beginning = stream::iter([Ok::<_, std::io::Error>(beginning.into_bytes())]);
                    AnswerBody::from_stream(beginning.chain(stream::pending()))
                }
                Some(Answer::Nothing) | None => std::future::pending().await,
            };
            Ok::<_, tower::BoxError>(Response::new(body))
        }
    });
    let api: Api<WatchedServiceAccount> = Api::all(Client::new(service, "default"));
    let begun = Instant::now();
    tokio::select! {
        () = watch(api, config(), record.clone()) => unreachable!("a watch does not end"),
        () = used_up.notified() => {}
    }
    (record.lines(), begun.elapsed())
}

fn account(name: &str, labels: usize) -> Value {
    json!({"metadata": {"name": name, "namespace": "n", "resourceVersion": "5", "labels": {"x": "y".repeat(labels)}}})
}

fn list(names: &[&str], continue_token: &str, labels: usize) -> Answer {
    list_at("7", names, continue_token, labels)
}

fn list_at(version: &str, names: &[&str], continue_token: &str, labels: usize) -> Answer {
    let items: Vec<Value> = names.iter().map(|name| account(name, labels)).collect();
    // The API server writes the metadata first, and `json!` sorts keys.
    let head = json!({"resourceVersion": version, "continue": continue_token});
    Answer::Whole(format!(r#"{{"kind":"List","metadata":{head},"items":{}}}"#, json!(items)))
}

fn event(kind: &str, object: &Value) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")
}

fn bookmark(version: &str) -> String {
    event("BOOKMARK", &json!({"metadata": {"resourceVersion": version}}))
}

const MIB: usize = 1 << 20;

#[tokio::test(start_paused = true)]
async fn a_page_over_the_limit_is_asked_for_again_with_half_as_many() {
    let (lines, _) = run(vec![
        list(&["lost"], "x", 5 * MIB),
        list(&["a"], "next", 3 * MIB),
        list(&["lost"], "x", 5 * MIB),
        list(&["b"], "", 1),
        Answer::Whole(String::new()),
    ])
    .await;
    let expected = [
        "list 250 ",
        "list 125 ",
        "put a",
        "list 125 next",
        "list 63 next",
        "put b",
        "listed a b",
        "watch from 7 bookmarks true",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(start_paused = true)]
async fn a_single_object_over_the_limit_is_left_out() {
    let mut answers: Vec<_> = (0..9).map(|_| list(&["huge"], "next", 5 * MIB)).collect();
    answers.push(list(&["b"], "", 1));
    let (lines, _) = run(answers).await;
    assert_eq!(lines[8..], ["list 1 ", "list 1 next", "put b", "listed b"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_over_the_limit_removes_its_object_and_the_watch_goes_on() {
    let huge = r#"{"metadata":{"name":"a","namespace":"n","resourceVersion":"8","labels":{"x":""#;
    let huge = format!(r#"{{"type":"MODIFIED","object":{huge}{}"}}}}}}}}"#, "y".repeat(5 * MIB));
    let events = format!("{huge}\n{}", event("ADDED", &account("b", 1)));
    let (lines, _) =
        run(vec![list(&["a"], "", 1), Answer::Whole(events), Answer::Whole(bookmark("20"))]).await;
    let expected = [
        "list 250 ",
        "put a",
        "listed a",
        "watch from 7 bookmarks true",
        "remove a",
        "put b",
        "watch from 5 bookmarks true",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(start_paused = true)]
async fn a_watch_resumes_from_the_last_bookmark_and_lists_again_when_that_is_too_old() {
    let gone = event("ERROR", &json!({"code": 410, "reason": "Expired", "message": "too old"}));
    let (lines, _) = run(vec![
        list(&["a"], "", 1),
        Answer::Whole(bookmark("30")),
        Answer::Whole(format!("{}{gone}", bookmark("40"))),
        list_at("41", &["b"], "", 1),
    ])
    .await;
    let expected = [
        "list 250 ",
        "put a",
        "listed a",
        "watch from 7 bookmarks true",
        "watch from 30 bookmarks true",
        "interrupted: watch ended: 410 too old",
        "list 250 ",
        "put b",
        "listed b",
    ];
    assert_eq!(lines, expected);
}

/// A restored etcd begins again at an earlier version, and the API server is silent until it has caught up.
#[tokio::test(start_paused = true)]
async fn versions_that_are_set_back_end_the_watch_and_everything_is_listed_again() {
    let (lines, _) = run(vec![
        list_at("1000", &["a"], "", 1),
        Answer::Open(bookmark("800")),
        list_at("801", &["b"], "", 1),
        list_at("802", &["b"], "", 1),
        Answer::Whole(bookmark("803")),
    ])
    .await;
    let expected = [
        "list 250 ",
        "put a",
        "listed a",
        "watch from 1000 bookmarks true",
        "interrupted: watch ended: 410 the versions of the cluster were set back",
        "list 250 ",
        "put b",
        "listed b",
        "set back",
        "list 250 ",
        "put b",
        "listed b",
        "watch from 802 bookmarks true",
    ];
    assert_eq!(lines, expected);
}

/// The API server need not send a bookmark before it has caught up: a watch that failed, or that ended without a word, is
/// resumed only if its version is of the past.
#[tokio::test(start_paused = true)]
async fn versions_that_were_set_back_are_found_without_a_bookmark() {
    let failed = Answer::Whole(event("ERROR", &json!({"code": 500, "message": "etcd is restored"})));
    for (answer, said) in [
        (failed, Some("interrupted: watch ended: 500 etcd is restored")),
        (Answer::Whole(String::new()), None),
    ] {
        let (lines, _) = run(vec![
            list_at("1000", &[], "", 1),
            answer,
            list_at("1001", &[], "", 1),
            Answer::Whole(String::new()),
            list_at("800", &[], "", 1),
            list_at("801", &[], "", 1),
            list_at("802", &[], "", 1),
        ])
        .await;
        let expected =
            ["list 250 ", "listed ", "watch from 1000 bookmarks true"].into_iter().chain(said).chain([
                "list 1 ",
                "watch from 1000 bookmarks true",
                "list 1 ",
                "list 250 ",
                "listed ",
                "set back",
                "list 250 ",
                "listed ",
            ]);
        assert_eq!(lines, expected.collect::<Vec<_>>());
    }
}

/// A restored etcd has passed the version at which it was lost: nothing but the object itself shows it.
#[tokio::test(start_paused = true)]
async fn an_object_that_is_listed_older_than_it_was_before_the_list_is_believed() {
    let (lines, _) =
        run_knowing(Some(6), vec![list_at("6", &["a"], "", 1), Answer::Whole(bookmark("7"))]).await;
    assert_eq!(lines, ["list 250 ", "forget a", "put a", "listed a", "watch from 6 bookmarks true"]);
}

/// The answer to our own write came before a list that began earlier.
#[tokio::test(start_paused = true)]
async fn an_object_that_is_known_beyond_the_list_waits_for_its_event() {
    let mut newer = account("a", 1);
    newer["metadata"]["resourceVersion"] = json!("9");
    let events = format!("{}{}", event("MODIFIED", &newer), bookmark("20"));
    let (lines, _) =
        run_knowing(Some(9), vec![list(&["a"], "", 1), Answer::Whole(events), Answer::Whole(bookmark("21"))])
            .await;
    let expected =
        ["list 250 ", "listed a", "watch from 7 bookmarks true", "put a", "watch from 20 bookmarks true"];
    assert_eq!(lines, expected);
}

/// The event of that write never comes: it was undone by a restore of etcd.
#[tokio::test(start_paused = true)]
async fn an_object_whose_known_version_was_passed_without_an_event_is_as_it_was_last_heard_of() {
    for (kind, done) in [("MODIFIED", "put a"), ("DELETED", "remove a")] {
        let mut later = account("a", 1);
        later["metadata"]["resourceVersion"] = json!("9");
        let events = format!("{}{}{}", bookmark("8"), event(kind, &later), bookmark("12"));
        let (lines, _) = run_knowing(Some(12), vec![list(&["a"], "", 1), Answer::Whole(events)]).await;
        assert_eq!(lines, ["list 250 ", "listed a", "watch from 7 bookmarks true", "forget a", done]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_a_response_is_closed_and_tried_again() {
    let (lines, took) =
        run(vec![list(&[], "", 1), Answer::Nothing, list(&[], "", 1), Answer::Whole(bookmark("8"))]).await;
    let expected = [
        "list 250 ",
        "listed ",
        "watch from 7 bookmarks true",
        "interrupted: watch not started: the API server cannot be reached: no response within 10 s",
        "list 1 ",
        "watch from 7 bookmarks true",
    ];
    assert_eq!(lines, expected);
    assert!(took >= HEAD_DEADLINE && took < HEAD_DEADLINE * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_is_closed_and_resumed() {
    let (lines, took) = run(vec![
        list(&[], "", 1),
        Answer::Open(bookmark("8")),
        list_at("8", &[], "", 1),
        Answer::Whole(bookmark("9")),
    ])
    .await;
    let expected = [
        "list 250 ",
        "listed ",
        "watch from 7 bookmarks true",
        "interrupted: watch failed: the API server cannot be reached: the watch was silent for 130 s",
        "list 1 ",
        "watch from 8 bookmarks true",
    ];
    assert_eq!(lines, expected);
    assert!(took >= LONGEST_SILENCE && took < LONGEST_SILENCE + HEAD_DEADLINE, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_end_is_given_up() {
    for answer in [Answer::Nothing, Answer::Open("{".to_owned())] {
        let (lines, took) = run(vec![answer, list(&["a"], "", 1)]).await;
        let given_up =
            "interrupted: list failed: the API server cannot be reached: a list took longer than 30 s";
        assert_eq!(lines, ["list 250 ", given_up, "list 250 ", "put a", "listed a"]);
        assert!(took >= PAGE_DEADLINE && took < PAGE_DEADLINE * 2, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_decoded_does_not_end_the_watch() {
    let broken = event("ADDED", &json!({"metadata": 3}));
    let events = format!("{broken}{}", event("ADDED", &account("b", 1)));
    let (lines, _) = run(vec![list(&[], "", 1), Answer::Whole(events)]).await;
    assert!(lines[3].starts_with("interrupted: watch failed"), "{lines:?}");
    assert_eq!(lines[4], "put b");
}

/// Something that is not an API server answers each request at once.
#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_are_opened_at_growing_intervals() {
    let garbage = || Answer::Whole("<html>\n".to_owned());
    let latest = || list(&[], "", 1);
    let answers = vec![latest(), garbage(), latest(), garbage(), latest(), garbage()];
    let (lines, took) = run(answers).await;
    assert_eq!(lines.iter().filter(|line| line.starts_with("watch from 7")).count(), 3, "{lines:?}");
    assert!(took > Duration::from_secs(4), "{took:?}");
}
