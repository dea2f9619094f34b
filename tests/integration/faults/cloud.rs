//! A cloud that answers most registries wrongly, and all tokens that end at once.

use std::time::Duration;

use acr_lab::cloud::{Fault as CloudFault, FaultKind};
use acr_lab::plane::Mark;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::harness::{DOMAIN, Lab, SECRET, auths, spec};

/// Returns how many writes of a namespace's Secret took effect.
fn secret_writes(lab: &Lab, namespace: &str, since: Mark) -> usize {
    let writes = lab.requests(since).writes();
    writes
        .filter(|event| event.resource == "secrets" && event.namespace == namespace && event.code < 300)
        .len()
}

/// One registry works, the other 63 do not: the one is refreshed on time, and nothing is written for the others.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_three_failing_registries_delay_no_refresh_and_cost_no_writes() {
    let lab = Lab::start().await;
    lab.cloud.world(|world| world.lifetimes.registry_token_cap = Some(Duration::from_secs(8)));
    for name in ["mixed", "beside"] {
        lab.create_namespace(name).await;
    }
    let mut entries: Vec<Value> =
        (1..64).map(|n| json!({ "instanceId": format!("cri-nosuch{n:02}") })).collect();
    entries.push(json!({ "instanceId": "cri-demo0001" }));
    let mut mixed = spec(&["mixed"]);
    mixed["registries"] = json!(entries);
    let mut beside = spec(&["beside"]);
    beside["registries"] = json!([{ "instanceId": "cri-demo0002", "regionId": "cn-beijing" }]);
    lab.bind("beside", beside).await;
    lab.until_ready_is("beside", "True", "Succeeded").await;
    let mark = lab.mark();
    lab.cloud.clear_calls();
    lab.bind("mixed", mixed).await;
    lab.until_served("mixed", DOMAIN).await;
    lab.until_attached("mixed", "default").await;
    let mints = |instance: &str| {
        let calls = lab.cloud.calls();
        let of = |call: &&acr_lab::cloud::Call| {
            call.action == "GetAuthorizationToken" && call.instance.as_deref() == Some(instance)
        };
        calls.iter().filter(of).count()
    };
    let mut expired = 0;
    lab.until("the good registry's token is renewed twice", async || {
        let (user, token) = lab.auths("mixed").await.unwrap().remove(DOMAIN).unwrap();
        expired += usize::from(!lab.cloud.token_valid(&user, &token, "cri-demo0001"));
        mints("cri-demo0001") >= 3
    })
    .await;
    assert_eq!(expired, 0, "the Secret held an expired token");
    lab.until_ready_says("mixed", "False", "InstanceNotFound", "issued for 1 of 64 registries").await;
    let (mixed, good) = (secret_writes(&lab, "mixed", mark), mints("cri-demo0001"));
    // One more: the first Secret does not wait for the registries that fail.
    assert!(mixed <= good + 1, "{mixed} writes for {good} tokens");
    let (beside, other) = (secret_writes(&lab, "beside", mark), mints("cri-demo0002"));
    assert!(beside <= other + 1, "{beside} writes beside it for {other} tokens");
}

/// The cloud claims an end that no token has: it is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_claims_ten_years_is_renewed_within_a_day() {
    let lab = Lab::start().await;
    lab.cloud.fault(CloudFault {
        action: "GetAuthorizationToken".to_owned(),
        instance: None,
        kind: FaultKind::ExpireTimeFar,
        times: None,
    });
    lab.create_namespace("far").await;
    lab.bind("far", spec(&["far"])).await;
    let mut next = None;
    lab.until("the next refresh is known", async || {
        let status = lab.bindings().get("far").await.unwrap().status.unwrap_or_default();
        next = status.registries.first().and_then(|registry| registry.next_refresh_at.clone());
        next.is_some()
    })
    .await;
    let now = Timestamp::from_millisecond(lab.cloud.now()).unwrap();
    let wait = next.unwrap().0.duration_since(now);
    assert!(wait <= SignedDuration::from_hours(24), "the next refresh is in {wait:?}");
    lab.until_served("far", DOMAIN).await;
}

/// All tokens end together, across a restart: each namespace is rewritten once a token, before the end.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_end_together_are_renewed_in_time_in_every_namespace() {
    const COUNT: usize = 60;
    let lab = Lab::start().await;
    lab.cloud.world(|world| world.lifetimes.registry_token_cap = Some(Duration::from_secs(30)));
    for number in 0..COUNT {
        lab.create_namespace(&format!("all-{number}")).await;
    }
    lab.bind("all", spec(&["all-*"])).await;
    lab.until_ready_says("all", "True", "Succeeded", &format!("{COUNT} namespaces")).await;
    let mark = lab.mark();
    lab.cloud.clear_calls();
    lab.controller.kill();
    lab.controller.restart().unwrap();
    let (secrets, mut expired): (Api<Secret>, _) = (Api::all(lab.client.clone()), Vec::new());
    let ours = ListParams::default().fields(&format!("metadata.name={SECRET}"));
    lab.until("all have the second new token", async || {
        let listed = secrets.list(&ours).await.unwrap().items;
        for secret in &listed {
            let (user, token) = auths(secret).remove(DOMAIN).unwrap();
            if !lab.cloud.token_valid(&user, &token, "cri-demo0001") {
                expired.push(secret.metadata.namespace.clone().unwrap());
            }
        }
        assert_eq!(listed.len(), COUNT);
        lab.cloud.count("GetAuthorizationToken") >= 2
            && (0..COUNT).all(|number| secret_writes(&lab, &format!("all-{number}"), mark) >= 2)
    })
    .await;
    assert!(expired.is_empty(), "expired tokens in {expired:?}");
    let mints = lab.cloud.count("GetAuthorizationToken");
    assert!(mints <= 3, "{mints} tokens");
    let asked = lab.requests(mark);
    let writes = asked.of("secrets").filter(|event| event.name == SECRET).writes().len();
    assert!(writes <= mints * COUNT, "{writes} writes for {mints} tokens in {COUNT} namespaces");
    assert_eq!(asked.filter(|event| event.code == 429 || event.code >= 500).len(), 0);
    let peak = lab.controller.peak_rss_kib().unwrap();
    println!("{mints} tokens, {writes} writes, {peak} KiB at the most");
    assert!(peak < 128 * 1024, "{peak} KiB");
}
