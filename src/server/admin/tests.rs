use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use tower::ServiceExt;

use super::{AdminServer, Readiness, StartupStep};
use crate::cluster::watch_health::{SECRETS, WatchHealth};
use crate::server::Metrics;
use crate::server::heartbeats::{Heartbeats, STOPPED, UNTAKEN, WaitingWork};

const STALE: Duration = Duration::from_secs(300);

fn server() -> AdminServer {
    AdminServer {
        readiness: Readiness::awaiting([StartupStep::Secrets, StartupStep::Lease]),
        metrics: Arc::new(Metrics::default()),
        watches: WatchHealth::default(),
        stale_after: STALE,
        heartbeats: Heartbeats::default(),
        refresh: Arc::new(|| {}),
    }
}

async fn ask(server: &AdminServer, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let reply = server.clone().router().oneshot(request).await.unwrap();
    let status = reply.status();
    let body = axum::body::to_bytes(reply.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_replica_is_ready_once_all_steps_are_done_and_verbose_lists_them() {
    let server = server();
    server.readiness.done(StartupStep::Secrets);
    assert_eq!(
        ask(&server, "/readyz").await,
        (StatusCode::SERVICE_UNAVAILABLE, "waiting for the lease".to_owned())
    );
    let (status, text) = ask(&server, "/readyz?verbose").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text, "[+]secrets ok\n[-]lease failed: waiting for the lease\nreadyz check failed\n");
    server.readiness.done(StartupStep::Lease);
    assert_eq!(ask(&server, "/readyz").await, (StatusCode::OK, "ok".to_owned()));
    let (_, text) = ask(&server, "/readyz?verbose=true").await;
    assert_eq!(text, "[+]secrets ok\n[+]lease ok\nreadyz check passed\n");
}

#[test]
fn readiness_does_not_depend_on_watches_and_liveness_only_on_heartbeats() {
    let server = server();
    server.watches.register(SECRETS);
    let _loop = server.heartbeats.start("the credential loop");
    let long_after = Instant::now() + STALE;
    let watch = server.readiness(long_after).into_iter().find(|check| check.name == "watch-secrets").unwrap();
    assert!(watch.result.is_err() && !watch.counts);
    let [task] = &server.liveness(long_after)[..] else { panic!("one task") };
    assert!(task.result.is_err() && task.counts && task.name == "credential-loop");
    let [task] = &server.liveness(Instant::now())[..] else { panic!("one task") };
    assert!(task.result.is_ok());
    assert!(STOPPED < STALE);
}

#[test]
fn liveness_depends_on_the_queues() {
    let server = server();
    let work = |age| Some(WaitingWork { keys: 1, age });
    server.heartbeats.follow(("the namespace loop", "namespace"), move || work(UNTAKEN));
    let [queue] = &server.liveness(Instant::now())[..] else { panic!("one queue") };
    assert!(queue.result.is_err() && queue.counts && queue.name == "namespace-queue");
    let shortly = UNTAKEN - Duration::from_secs(1);
    server.heartbeats.follow(("the namespace loop", "namespace"), move || work(shortly));
    assert!(server.liveness(Instant::now())[0].result.is_ok());
}

#[tokio::test]
async fn a_scrape_has_the_ages_of_watches_tasks_and_queues() {
    let server = server();
    server.heartbeats.follow(("the namespace loop", "namespace"), || None);
    server.watches.register(SECRETS);
    let _loop = server.heartbeats.start("the credential loop");
    let (_, text) = ask(&server, "/metrics").await;
    for series in [
        "acr_watch_last_event_age_seconds{watch=\"secrets\"} ",
        "acr_task_heartbeat_age_seconds{task=\"the credential loop\"} ",
        "acr_queue_untaken_work_age_seconds{name=\"namespace\"} 0",
    ] {
        assert!(text.contains(series), "{series} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_scraper_gets_the_format_that_it_asks_for() {
    let server = server();
    for (accept, content_type, end) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", false),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8", true),
    ] {
        let request = Request::get("/metrics").header("accept", accept).body(Body::empty()).unwrap();
        let reply = server.clone().router().oneshot(request).await.unwrap();
        assert_eq!(reply.headers()["content-type"], content_type);
        let body = axum::body::to_bytes(reply.into_body(), 1 << 20).await.unwrap();
        assert_eq!(body.ends_with(b"# EOF\n"), end);
    }
}
