//! A watch that hears nothing and a leader that does nothing are noticed. The sockets of the process are few, and those
//! that the NetworkPolicy allows.

mod lease;
mod sockets;

use std::sync::Arc;
use std::time::Duration;

use acr_lab::plane::{FaultProxy, Target};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::harness::{Lab, SECRET, spec};

const PATIENCE: Duration = Duration::from_secs(30);

/// The time after which a silent watch is stale. The API server's bookmarks are rarer, so [`churn`] makes events.
const STALE: Duration = Duration::from_secs(6);

async fn verbose(lab: &Lab) -> String {
    let url = format!("http://{}/readyz?verbose", lab.controller.address());
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

/// Changes an object of each kind that is watched.
async fn churn(lab: &Lab, turn: usize) {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "turn": turn.to_string() } } }));
    let params = PatchParams::default();
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    namespaces.patch("churning", &params, &patch).await.unwrap();
    lab.namespaced::<ServiceAccount>("churning").patch("default", &params, &patch).await.unwrap();
    lab.put_secret("churning", SECRET, json!({ "turn": turn.to_string() })).await;
    lab.annotate("blind", "turn", &turn.to_string()).await;
}

/// Churns until a condition is true.
async fn churn_until(lab: &Lab, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut turn = 0;
    lab.until(what, async || {
        turn += 1;
        churn(lab, turn).await;
        holds().await
    })
    .await;
}

async fn is_ready(lab: &Lab, status: &str, reason: &str) -> bool {
    lab.condition("blind", "Ready").await.is_some_and(|(s, r, _)| s == status && r == reason)
}

/// Starts everything, with a limit on the silence of watches, a proxy, a served namespace and one whose events are heard.
async fn served() -> (Lab, Arc<FaultProxy>) {
    let stale = format!("--watch-stale-after={}s", STALE.as_secs());
    let (lab, proxy) = Lab::proxied_with(|options| options.arg(stale)).await;
    lab.create_namespace("blind").await;
    lab.create_namespace("churning").await;
    lab.bind("blind", spec(&["blind"])).await;
    lab.until_ready_is("blind", "True", "Succeeded").await;
    (lab, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_hears_nothing_is_reported_and_bindings_are_unknown_until_it_does() {
    let (lab, proxy) = served().await;
    // With events on each watch, none is stale for longer than that.
    let begun = std::time::Instant::now();
    churn_until(&lab, "the time is over", async || begun.elapsed() > STALE + Duration::from_secs(2)).await;
    assert!(is_ready(&lab, "True", "Succeeded").await);
    let checks = verbose(&lab).await;
    for check in ["[+]secrets ok\n", "[+]lease ok\n", "[+]watch-secrets ok: heard ", "[+]watch-namespaces ok"]
    {
        assert!(checks.contains(check), "{check} is not in\n{checks}");
    }
    assert!(lab.controller.metric("acr_watch_streams", &[]).await.unwrap() >= 6.0);

    // The watch on Secrets is open, and nothing comes any more.
    let mut held = proxy.hold(Target::new("watch", "secrets"));
    proxy.cut();
    tokio::time::timeout(PATIENCE, held.until_caught(1)).await.unwrap().unwrap();
    churn_until(&lab, "the binding is unknown", async || is_ready(&lab, "Unknown", "WatchStale").await).await;
    let (.., message) = lab.condition("blind", "Ready").await.unwrap();
    let begin = "The API server has sent nothing on the watch on secrets for 6s or longer";
    assert!(message.starts_with(begin), "{message}");
    assert!(message.contains("The last known state is Succeeded: 1 registry serves"), "{message}");
    let age =
        lab.controller.metric("acr_watch_last_event_age_seconds", &["watch=\"secrets\""]).await.unwrap();
    assert!(age >= STALE.as_secs_f64(), "{age}");
    let unknown =
        lab.controller.metric("acr_binding_ready_status", &["condition=\"Unknown\""]).await.unwrap();
    assert_eq!(unknown, 1.0);
    assert!(verbose(&lab).await.contains("[-]watch-secrets failed: heard nothing for "));
    // It still answers reviews, and serves what the other watches see.
    assert_eq!(lab.controller.ready().await.unwrap(), None);
    assert!(lab.controller.alive().await.unwrap());
    lab.create_account("blind", "late", &[]).await;
    lab.until_attached("blind", "late").await;
    assert!(lab.secret("blind").await.is_some());

    drop(held);
    churn_until(&lab, "the binding is ready again", async || is_ready(&lab, "True", "Succeeded").await).await;
    assert!(verbose(&lab).await.contains("[+]watch-secrets ok: heard "));
    assert!(lab.controller.log().contains("every watch is heard again"));
}

/// A connection that died on the way, while the API server answers: the words of the message are followed.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_opens_a_watch_that_is_heard_again_as_the_message_says() {
    let (lab, proxy) = served().await;
    let held = proxy.hold(Target::new("watch", "serviceaccounts"));
    proxy.cut();
    churn_until(&lab, "the binding is unknown", async || is_ready(&lab, "Unknown", "WatchStale").await).await;
    let (.., message) = lab.condition("blind", "Ready").await.unwrap();
    assert!(message.contains("Check the connection to the API server"), "{message}");
    assert!(message.contains("If it works, restart the controller's Pods"), "{message}");
    lab.controller.terminate(PATIENCE).await.unwrap();
    // The process that starts has another connection.
    drop(held);
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    churn_until(&lab, "the binding is ready again", async || is_ready(&lab, "True", "Succeeded").await).await;
    let begun = std::time::Instant::now();
    churn_until(&lab, "the time is over", async || begun.elapsed() > STALE + Duration::from_secs(2)).await;
    assert!(is_ready(&lab, "True", "Succeeded").await, "{:?}", lab.condition("blind", "Ready").await);
}
