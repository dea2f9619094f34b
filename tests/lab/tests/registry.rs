//! The real registry, by the outcome of pulls.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, in its helpers too")]

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use acr_lab::registry::{PullError, Pulled, Registry, Verdict, usable};
use reqwest::{Certificate, Client};
use serde_json::{Value, json};

const SERVICE: &str = "cri-demo0001";
const REPOSITORY: &str = "team/app";

/// How long a condition may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often to poll a condition.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// Starts a registry that knows three users, all by the password `right:one`.
async fn registry() -> Registry {
    let judge = |user: &str, password: &str| match (user, password) {
        ("puller", "right:one") => Verdict::MayPull,
        ("stranger", "right:one") => Verdict::Authenticated,
        _ => Verdict::Rejected,
    };
    Registry::judged(SERVICE, Arc::new(judge)).await.unwrap()
}

#[track_caller]
fn refused(result: Result<Pulled, PullError>) -> String {
    match result {
        Err(PullError::Refused(said)) => said,
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
fn failed(result: Result<Pulled, PullError>) -> String {
    match result {
        Err(PullError::Failed(error)) => format!("{error:#}"),
        other => panic!("not failed: {other:?}"),
    }
}

/// Requests a token: returns the service's status, and what its token opens.
async fn ask(registry: &Registry, login: Option<(&str, &str)>, query: &str) -> (u16, Value) {
    let client = Client::builder()
        .no_proxy()
        .tls_certs_only([Certificate::from_pem(registry.ca_pem().as_bytes()).unwrap()])
        .build()
        .unwrap();
    let mut request = client.get(format!("https://{}/auth?{query}", registry.realm_host()));
    if let Some((user, password)) = login {
        request = request.basic_auth(user, Some(password));
    }
    let response = request.send().await.unwrap();
    let (status, body) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
    let Some(token) = body["token"].as_str() else { return (status, Value::Null) };
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let mut claims: Value = serde_json::from_slice(&claims).unwrap();
    (status, claims["access"].take())
}

#[tokio::test]
async fn a_pushed_image_is_pulled_with_a_valid_password_only() {
    if !usable().unwrap() {
        return;
    }
    let registry = registry().await;
    let images = [registry.push(REPOSITORY).await.unwrap(), registry.push("other").await.unwrap()];
    assert_ne!(images[0], images[1]);
    let login = registry.docker_config("puller", "right:one");
    for (repository, image) in [REPOSITORY, "other"].into_iter().zip(images) {
        let pulled = registry.pull(&login, repository).await.unwrap();
        assert_eq!((pulled.config, pulled.layers.len()), (image, 1));
    }

    refused(registry.pull(r#"{"auths":{}}"#, REPOSITORY).await);
    refused(registry.pull(registry.docker_config("puller", "wrong"), REPOSITORY).await);
    refused(registry.pull(registry.docker_config("unknown", "right:one"), REPOSITORY).await);
    // A known user gets another message than an unknown one.
    let said = refused(registry.pull(registry.docker_config("stranger", "right:one"), REPOSITORY).await);
    assert!(said.contains("denied: ") && !said.contains("invalid username/password"), "{said}");
    // A login for another registry does not count for this one.
    let elsewhere = login.replace(&registry.domain(), "127.0.0.1:1");
    refused(registry.pull(elsewhere, REPOSITORY).await);
}

#[tokio::test]
async fn a_password_is_judged_at_each_pull() {
    if !usable().unwrap() {
        return;
    }
    let good = Arc::new(AtomicBool::new(true));
    let judge = {
        let good = Arc::clone(&good);
        move |_: &str, _: &str| if good.load(Ordering::SeqCst) { Verdict::MayPull } else { Verdict::Rejected }
    };
    let registry = Registry::judged(SERVICE, Arc::new(judge)).await.unwrap();
    registry.push(REPOSITORY).await.unwrap();
    let login = registry.docker_config("any", "any");
    registry.pull(&login, REPOSITORY).await.unwrap();
    good.store(false, Ordering::SeqCst);
    let said = refused(registry.pull(&login, REPOSITORY).await);
    assert!(said.contains("invalid username/password"), "{said}");
}

#[tokio::test]
async fn another_failure_is_not_a_refusal() {
    if !usable().unwrap() {
        return;
    }
    let registry = registry().await;
    registry.push(REPOSITORY).await.unwrap();
    let login = registry.docker_config("puller", "right:one");
    let said = failed(registry.pull(&login, "nothing/here").await);
    assert!(said.contains("manifest unknown") || said.contains("name unknown"), "{said}");
    failed(registry.pull("no JSON", REPOSITORY).await);
    registry.process().kill();
    let said = failed(registry.pull(&login, REPOSITORY).await);
    assert!(said.contains("connection refused"), "{said}");
}

#[tokio::test]
async fn the_judge_gets_the_password_exactly_as_in_the_auth_file() {
    if !usable().unwrap() {
        return;
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let judge = {
        let seen = Arc::clone(&seen);
        move |user: &str, password: &str| {
            seen.lock().unwrap().push((user.to_owned(), password.to_owned()));
            Verdict::MayPull
        }
    };
    let registry = Registry::judged(SERVICE, Arc::new(judge)).await.unwrap();
    registry.push(REPOSITORY).await.unwrap();
    assert!(seen.lock().unwrap().is_empty(), "the lab's own login is never judged");
    registry.pull(registry.docker_config("cr_temp_user", "eyJ0+/==:1a:2b"), REPOSITORY).await.unwrap();
    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty());
    assert!(seen.iter().all(|login| *login == ("cr_temp_user".to_owned(), "eyJ0+/==:1a:2b".to_owned())));
}

#[tokio::test]
async fn a_token_opens_what_the_verdict_allows_and_never_a_push() {
    if !usable().unwrap() {
        return;
    }
    let registry = registry().await;
    let all = format!("service={SERVICE}&account=x&scope=repository:team/app:pull,push");
    let pull = json!([{ "type": "repository", "name": "team/app", "actions": ["pull"] }]);
    let table = [
        (Some(("puller", "right:one")), 200, pull),
        (Some(("stranger", "right:one")), 200, json!([])),
        (None, 200, json!([])),
        (Some(("puller", "wrong")), 401, Value::Null),
    ];
    for (login, status, access) in table {
        assert_eq!(ask(&registry, login, &all).await, (status, access), "{login:?}");
    }
    let puller = Some(("puller", "right:one"));
    assert_eq!(ask(&registry, puller, &format!("service={SERVICE}")).await, (200, json!([])));
    for other in ["service=cri-demo0002&scope=repository:team/app:pull", "scope=repository:team/app:pull"] {
        assert_eq!(ask(&registry, puller, other).await, (400, Value::Null), "{other}");
    }
}

#[tokio::test]
async fn nothing_of_a_registry_is_left_when_it_is_dropped() {
    if !usable().unwrap() {
        return;
    }
    let registry = registry().await;
    let (pid, log) = (registry.process().pid(), registry.process().log());
    let realm = registry.realm_host();
    assert!(log.is_file() && fs::exists(format!("/proc/{pid}")).unwrap());
    drop(registry);
    assert!(!fs::exists(log.parent().unwrap()).unwrap());
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap());
    // The task that listens ends at its next turn. A child that another test is starting just then holds a
    // copy of the socket until its program runs. So the port may still accept a connection that is never
    // answered.
    let gone = async {
        while tokio::net::TcpStream::connect(&realm).await.is_ok() {
            tokio::time::sleep(POLL_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}
