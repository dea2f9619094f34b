//! Refresh: in time, together, in place, and without loss of a valid credential.

use std::time::Duration;

use acr_lab::cloud::{Fault, FaultKind};
use acr_lab::plane::Mark;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::{DOMAIN, Lab, NAMESPACE, SECRET, spec};

fn denied(action: &str) -> Fault {
    let kind =
        FaultKind::Status { status: 403, code: "NoPrivilege".to_owned(), message: "denied".to_owned() };
    Fault { action: action.to_owned(), instance: None, kind, times: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_refreshed_before_it_expires_and_the_secret_is_changed_in_place() {
    let lab = Lab::start().await;
    lab.cloud.world(|w| w.lifetimes.registry_token_cap = Some(Duration::from_secs(6)));
    lab.create_namespace("short").await;
    lab.bind("short", spec(&["short"])).await;
    lab.until("the Secret exists", async || lab.token("short", DOMAIN).await.is_some()).await;
    let (first, before) = (lab.token("short", DOMAIN).await.unwrap(), lab.secret("short").await.unwrap());
    let mut seen_invalid = false;
    lab.until("the token was renewed twice", async || {
        let auths = lab.auths("short").await.unwrap();
        let (user, token) = &auths[DOMAIN];
        seen_invalid |= !lab.cloud.token_valid(user, token, "cri-demo0001");
        *token != first && lab.cloud.count("GetAuthorizationToken") >= 3
    })
    .await;
    assert!(!seen_invalid, "the Secret held an expired token");
    assert_eq!(lab.secret("short").await.unwrap().metadata.uid, before.metadata.uid);
    let patches = lab.requests(Mark::default()).writes().of("serviceaccounts").len();
    assert_eq!(patches, 1, "a refresh writes no ServiceAccount");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_refresh_removes_nothing_and_is_reported_before_and_after_the_expiry() {
    let lab = Lab::start().await;
    lab.cloud.world(|w| w.lifetimes.registry_token_cap = Some(Duration::from_secs(14)));
    lab.create_namespace("failing").await;
    lab.bind("failing", spec(&["failing"])).await;
    lab.until_ready_is("failing", "True", "Succeeded").await;
    let token = lab.token("failing", DOMAIN).await.unwrap();
    lab.cloud.fault(denied("GetAuthorizationToken"));
    lab.annotate("failing", "acrcredential.dev/refresh-at", "now").await;
    let message = lab.until_ready_is("failing", "True", "RefreshFailing").await;
    assert!(message.contains("AccessDenied") && message.contains("RequestId"), "{message}");
    assert_eq!(lab.token("failing", DOMAIN).await.unwrap(), token);
    lab.until_ready_is("failing", "False", "AccessDenied").await;
    assert_eq!(lab.token("failing", DOMAIN).await.unwrap(), token, "the last valid credential stays");
    assert_eq!(lab.pull_secrets("failing", "default").await, [SECRET]);
    lab.cloud.clear_faults();
    lab.annotate("failing", "acrcredential.dev/refresh-at", "again").await;
    lab.until_ready_is("failing", "True", "Succeeded").await;
    assert_ne!(lab.token("failing", DOMAIN).await.unwrap(), token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_refresh_runs_once_and_costs_each_namespace_one_write() {
    let lab = Lab::start().await;
    for name in ["r-one", "r-two", "r-three"] {
        lab.create_namespace(name).await;
    }
    let mut two = spec(&["r-*"]);
    two["registries"] =
        json!([{ "instanceId": "cri-demo0001" }, { "instanceId": "cri-demo0002", "regionId": "cn-beijing" }]);
    lab.bind("refresh", two).await;
    lab.until_ready_is("refresh", "True", "Succeeded").await;
    lab.until_settled().await;
    let (token, mark) = (lab.token("r-one", DOMAIN).await.unwrap(), lab.mark());
    lab.cloud.clear_calls();
    lab.refresh("refresh", "2026-01-01T00:00:00Z").await;
    lab.until_settled().await;
    assert_ne!(lab.token("r-one", DOMAIN).await.unwrap(), token);
    assert_eq!(lab.cloud.count("GetAuthorizationToken"), 2, "one call a registry");
    let written = lab.requests(mark).writes().filter(|e| e.resource == "secrets" && e.name == SECRET);
    assert_eq!(written.len(), 3, "one write a namespace, regardless of the number of registries");
    assert_eq!(lab.condition("refresh", "Ready").await.unwrap().0, "True");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_serves_all_bindings_and_namespaces_of_a_registry_and_identity() {
    let lab = Lab::start().await;
    for name in ["a", "b", "c", "d"] {
        lab.create_namespace(&format!("many-{name}")).await;
    }
    for name in ["one", "two", "three"] {
        lab.bind(name, spec(&["many-*"])).await;
    }
    for name in ["one", "two", "three"] {
        lab.until_ready_is(name, "True", "Succeeded").await;
    }
    assert_eq!(lab.cloud.count("GetAuthorizationToken"), 1);
    assert_eq!(lab.cloud.count("ListInstanceEndpoint"), 1);
    let tokens = [lab.token("many-a", DOMAIN).await, lab.token("many-d", DOMAIN).await];
    assert!(tokens[0].is_some() && tokens[0] == tokens[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_call_waits_as_long_as_the_cloud_asks_and_delays_no_other_registry() {
    let lab = Lab::start().await;
    let throttle = Fault {
        action: "GetAuthorizationToken".to_owned(),
        instance: Some("cri-demo0002".to_owned()),
        kind: FaultKind::Throttle { retry_after_ms: Some(5_000) },
        times: Some(1),
    };
    lab.cloud.fault(throttle);
    lab.create_namespace("busy").await;
    let mut two = spec(&["busy"]);
    two["registries"] =
        json!([{ "instanceId": "cri-demo0001" }, { "instanceId": "cri-demo0002", "regionId": "cn-beijing" }]);
    lab.bind("busy", two).await;
    lab.until_ready_says("busy", "False", "Throttled", "issued for 1 of 2 registries").await;
    lab.until_served("busy", DOMAIN).await;
    lab.until_ready_is("busy", "True", "Succeeded").await;
    let times: Vec<i64> = lab
        .cloud
        .calls()
        .into_iter()
        .filter(|c| c.action == "GetAuthorizationToken" && c.instance.as_deref() == Some("cri-demo0002"))
        .map(|c| c.at)
        .collect();
    assert_eq!(times.len(), 2, "{times:?}");
    assert!(times[1] - times[0] >= 5_000, "{times:?}");
}

/// A refresh that is sent together with a new account's entry replaces the controller's own write.
#[tokio::test(flavor = "multi_thread")]
async fn refreshes_beside_new_accounts_and_a_deleted_secret_are_not_conflicts() {
    let lab = Lab::start().await;
    lab.create_namespace("busy").await;
    lab.bind("busy", spec(&["busy"])).await;
    lab.until_ready_is("busy", "True", "Succeeded").await;
    for round in 0..8 {
        let token = lab.token("busy", DOMAIN).await.unwrap();
        lab.annotate("busy", "acrcredential.dev/refresh-at", &round.to_string()).await;
        let mut number = 0;
        lab.until("the token has changed", async || {
            number += 1;
            lab.create_account("busy", &format!("new-{round}-{number}"), &[]).await;
            lab.token("busy", DOMAIN).await.is_some_and(|now| now != token)
        })
        .await;
    }
    lab.delete_secret("busy").await;
    lab.until_served("busy", DOMAIN).await;
    lab.until_settled().await;
    assert_eq!(lab.condition("busy", "Contended").await, None);
    assert!(!lab.controller.log().contains("contended"), "{}", lab.controller.log_tail(20));
}

/// A delayed write during a takeover would bring back older tokens, so each write carries the version.
#[tokio::test(flavor = "multi_thread")]
async fn the_token_cache_never_overwrites_unobserved_changes_and_is_repaired() {
    const CACHE: &str = "acr-credential-cache";
    let lab = Lab::start().await;
    lab.create_namespace("cached").await;
    lab.bind("cached", spec(&["cached"])).await;
    lab.until_ready_is("cached", "True", "Succeeded").await;
    lab.until_settled().await;
    let caches: Api<Secret> = lab.namespaced(NAMESPACE);
    let kept = caches.get(CACHE).await.unwrap().data;
    let refreshed = async |request: &str| {
        let mark = lab.mark();
        lab.refresh("cached", request).await;
        lab.until_settled().await;
        let asked = lab.requests(mark).filter(|e| e.resource == "secrets" && e.name == CACHE);
        asked.iter().map(|e| format!("{} {}", e.verb, e.code)).collect::<Vec<_>>()
    };
    assert_eq!(refreshed("as it was").await, ["patch 200"]);

    let note = json!({ "metadata": { "annotations": { "by": "another" } } });
    caches.patch(CACHE, &PatchParams::default(), &Patch::Merge(&note)).await.unwrap();
    assert_eq!(refreshed("touched").await, ["patch 409", "get 200", "patch 200"]);

    caches.delete(CACHE, &DeleteParams::default()).await.unwrap();
    assert_eq!(refreshed("taken away").await, ["patch 201"]);
    assert_ne!(caches.get(CACHE).await.unwrap().data, kept);
    lab.cloud.clear_calls();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(Duration::from_secs(20)).await.unwrap();
    lab.until_settled().await;
    assert_eq!(lab.cloud.count("GetAuthorizationToken"), 0, "the cached token is used");
}

/// An identity that was edited and cannot mint keeps the previous identity's credential.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_was_edited_keeps_its_last_credential_until_there_is_another() {
    const SECOND: &str = "partner-registry.cn-hangzhou.cr.aliyuncs.com";
    let lab = Lab::start().await;
    lab.create_namespace("edited").await;
    let entries = |role: &str| {
        let mut edited = spec(&["edited"]);
        edited["registries"] = json!([
            { "instanceId": "cri-demo0001" },
            { "instanceId": "cri-demo0003", "assumeRoleARN": format!("acs:ram::2:role/{role}") },
        ]);
        edited
    };
    lab.bind("edited", entries("acr-pull")).await;
    lab.until_ready_is("edited", "True", "Succeeded").await;
    let token = lab.token("edited", SECOND).await.unwrap();
    lab.bind("edited", entries("nosuch")).await;
    lab.until_ready_is("edited", "False", "TrustPolicyDenies").await;
    lab.until_settled().await;
    assert_eq!(lab.token("edited", SECOND).await.as_ref(), Some(&token));
    assert!(lab.token("edited", DOMAIN).await.is_some());
    // In a namespace that never had this identity's credential, it is not written.
    lab.create_namespace("elsewhere").await;
    let mut elsewhere = entries("nosuch");
    elsewhere["watchNamespaces"]["names"] = json!(["edited", "elsewhere"]);
    lab.bind("edited", elsewhere).await;
    lab.until_served("elsewhere", DOMAIN).await;
    assert_eq!(lab.token("elsewhere", SECOND).await, None);
    lab.bind("edited", entries("acr-pull")).await;
    lab.until_ready_is("edited", "True", "Succeeded").await;
    assert!(lab.token("edited", SECOND).await.is_some());
}

/// The cloud notices a wrong clock of the controller's machine by the time of each signed request.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_off_is_named_and_once_it_is_set_a_refresh_succeeds() {
    let lab = Lab::start().await;
    lab.cloud.set_clock_skew(3600);
    lab.create_namespace("clock").await;
    lab.bind("clock", spec(&["clock"])).await;
    let message = lab.until_ready_is("clock", "False", "ClockSkew").await;
    assert!(message.contains("synchronise the node's clock"), "{message}");
    assert_eq!(lab.pull_secrets("clock", "default").await, [SECRET], "its Pods wait for the Secret");
    lab.cloud.set_clock_skew(0);
    lab.annotate("clock", "acrcredential.dev/refresh-at", "first").await;
    lab.until_ready_is("clock", "True", "Succeeded").await;
    // The other way round, while a credential is valid: it stays.
    let token = lab.token("clock", DOMAIN).await;
    lab.cloud.set_clock_skew(-3600);
    lab.annotate("clock", "acrcredential.dev/refresh-at", "second").await;
    let message = lab.until_ready_is("clock", "True", "RefreshFailing").await;
    assert!(message.contains("synchronise the node's clock"), "{message}");
    assert_eq!(lab.token("clock", DOMAIN).await, token);
    lab.cloud.set_clock_skew(0);
    lab.annotate("clock", "acrcredential.dev/refresh-at", "third").await;
    lab.until_ready_is("clock", "True", "Succeeded").await;
}
