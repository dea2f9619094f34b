//! Bad neighbours: regardless of what is done in one namespace, others get their entries meanwhile, and cost what
//! they cost without it.
//!
//! The tests assert the order and the number of requests. `cargo lab neighbours` measures times.

use std::sync::Arc;

use acr_lab::cgroup::MemoryCgroup;
use acr_lab::plane::{AuditEvent, AuditEvents, Mark};
use futures::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{DOMAIN, Lab, NAMESPACE, PATIENCE, SECRET, spec};

/// Requests that a neighbour sends at a time.
const AT_A_TIME: usize = 16;

/// The namespace of the tenant that must not notice anything.
const VICTIM: &str = "victim";

/// The memory limit of the controller's Deployment.
const LIMIT: u64 = 128 * 1024 * 1024;

/// Starts everything, with a victim that is served, and returns when it rests.
async fn with_victim() -> Lab {
    let lab = Lab::start().await;
    move_in(&lab).await;
    lab
}

async fn move_in(lab: &Lab) {
    lab.create_namespace(VICTIM).await;
    lab.bind(VICTIM, spec(&[VICTIM])).await;
    lab.until_ready_is(VICTIM, "True", "Succeeded").await;
    lab.until_settled().await;
}

/// Returns the spec of a binding of another registry, so that the victim's cloud calls can be counted.
fn neighbour(namespaces: &[&str]) -> Value {
    let mut neighbour = spec(namespaces);
    neighbour["registries"] = json!([{ "instanceId": "cri-demo0002", "regionId": "cn-beijing" }]);
    neighbour
}

/// Serves a neighbour's namespaces, and returns when everything rests.
async fn serve(lab: &Lab, name: &str, namespaces: &[&str]) {
    for namespace in namespaces {
        lab.create_namespace(namespace).await;
    }
    lab.bind(name, neighbour(namespaces)).await;
    lab.until_ready_is(name, "True", "Succeeded").await;
    lab.until_settled().await;
}

/// Returns the controller's writes of tenants' objects in namespaces with a prefix.
fn writes_in(lab: &Lab, since: Mark, prefix: &str) -> AuditEvents {
    lab.requests(since).writes().filter(|event| event.namespace.starts_with(prefix))
}

/// Asserts that the victim's accounts cost one write each since a mark, and that nothing else of it was
/// written or minted.
fn assert_victim_paid_for(lab: &Lab, since: Mark, accounts: usize) {
    let written = writes_in(lab, since, VICTIM);
    assert_eq!(written.of("serviceaccounts").len(), accounts, "{:?}", written.counts());
    assert_eq!(written.len(), accounts, "{:?}", written.counts());
    let calls = lab.cloud.calls();
    let calls = calls.iter().filter(|call| call.instance.as_deref() == Some("cri-demo0001"));
    assert_eq!(calls.count(), 0, "the victim's token is valid for an hour");
}

/// Creates an account of the victim, and waits for its entry.
async fn victim_is_served(lab: &Lab, account: &str) {
    lab.create_account(VICTIM, account, &[]).await;
    lab.until_attached(VICTIM, account).await;
}

async fn set_list(lab: &Lab, namespace: &str, names: &[&str]) {
    let names: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
    let patch = Patch::Merge(json!({ "imagePullSecrets": names }));
    let params = PatchParams { field_manager: Some("neighbour".to_owned()), ..PatchParams::default() };
    lab.namespaced::<ServiceAccount>(namespace).patch("default", &params, &patch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_flips_its_list_costs_a_dozen_writes_and_delays_no_other() {
    let lab = with_victim().await;
    serve(&lab, "flips", &["flips"]).await;
    let mark = lab.mark();
    lab.cloud.clear_calls();
    for round in 0..8 {
        for flip in 0..50 {
            set_list(&lab, "flips", &[&format!("theirs-{flip}")]).await;
        }
        // The next round begins when the entry is there.
        victim_is_served(&lab, &format!("app-{round}")).await;
    }
    let asked = writes_in(&lab, mark, "flips");
    // A write that meets a flip is refused by its precondition, and changes nothing.
    let written = asked.filter(|event| event.code < 300).len();
    assert!((1..=12).contains(&written), "400 flips were answered by {written} of {:?}", asked.counts());
    assert!(asked.len() <= 400, "at most one attempt a flip: {:?}", asked.counts());
    lab.until_settled().await;
    assert_victim_paid_for(&lab, mark, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_rewrites_the_list_keeps_its_entry_and_delays_no_other() {
    let lab = with_victim().await;
    serve(&lab, "peer", &["peer"]).await;
    let mark = lab.mark();
    lab.cloud.clear_calls();
    let (mut rewritten, mut served) = (0, 0);
    while lab.condition("peer", "Ready").await.is_none_or(|(_, reason, _)| reason != "Contended") {
        assert!(rewritten < 200, "it is never reported");
        lab.until("our entry or the report is there", async || {
            lab.pull_secrets("peer", "default").await.contains(&SECRET.to_owned())
                || lab.condition("peer", "Ready").await.is_some_and(|(_, reason, _)| reason == "Contended")
        })
        .await;
        set_list(&lab, "peer", &["theirs"]).await;
        rewritten += 1;
        if rewritten % 4 == 0 {
            victim_is_served(&lab, &format!("app-{served}")).await;
            served += 1;
        }
    }
    victim_is_served(&lab, "last").await;
    assert_eq!(lab.pull_secrets("peer", "default").await[0], "theirs");
    let written = writes_in(&lab, mark, "peer").of("serviceaccounts");
    assert!(written.len() <= 12, "{:?}", written.counts());
    lab.until_settled().await;
    assert_victim_paid_for(&lab, mark, served + 1);
}

/// All of the crowd is due at once, and takes hundreds of times as long as one account.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_does_not_wait_for_a_crowd_in_another_namespace() {
    const CROWD: usize = 1_500;
    let lab = with_victim().await;
    lab.create_namespace("crowd").await;
    let accounts = lab.namespaced::<ServiceAccount>("crowd");
    let create = |number: usize| {
        let accounts = accounts.clone();
        async move {
            let account = json!({ "metadata": { "name": format!("app-{number:04}") } });
            let account = serde_json::from_value(account).unwrap();
            accounts.create(&PostParams::default(), &account).await.unwrap();
        }
    };
    stream::iter(0..CROWD).map(create).buffer_unordered(AT_A_TIME).collect::<Vec<()>>().await;
    let mark = lab.mark();
    lab.cloud.clear_calls();
    lab.bind("crowd", neighbour(&["crowd"])).await;
    let of_crowd = |event: &AuditEvent| event.namespace == "crowd" && event.resource == "serviceaccounts";
    lab.until("the crowd is being served", async || !lab.requests(mark).filter(of_crowd).is_empty()).await;
    for number in 0..3 {
        victim_is_served(&lab, &format!("app-{number}")).await;
    }
    let by_then = lab.requests(mark).filter(of_crowd).len();
    assert!(by_then < CROWD, "the victim waited for all {by_then} of the crowd");
    lab.until("the crowd is served", async || lab.requests(mark).filter(of_crowd).len() > CROWD).await;
    lab.until_settled().await;
    let written = writes_in(&lab, mark, "crowd");
    assert_eq!(
        written.len(),
        CROWD + 2,
        "one write each, one for `default`, one Secret: {:?}",
        written.counts()
    );
    assert_victim_paid_for(&lab, mark, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_that_are_deleted_and_made_cost_what_new_ones_cost() {
    const ROUNDS: usize = 3;
    let lab = with_victim().await;
    let names = ["churn-a", "churn-b", "churn-c", "churn-d"];
    lab.bind("churn", neighbour(&["churn-*"])).await;
    lab.until_settled().await;
    let (mark, namespaces) = (lab.mark(), Api::<Namespace>::all(lab.client.clone()));
    lab.cloud.clear_calls();
    for round in 0..ROUNDS {
        for name in names {
            lab.create_namespace(name).await;
        }
        for name in names {
            lab.until_attached(name, "default").await;
            lab.until("it has its Secret", async || lab.secret(name).await.is_some()).await;
        }
        for name in names {
            namespaces.delete(name, &DeleteParams::default()).await.unwrap();
        }
        victim_is_served(&lab, &format!("app-{round}")).await;
        for name in names {
            lab.until("it is gone", async || namespaces.get_opt(name).await.unwrap().is_none()).await;
        }
    }
    lab.until_ready_is("churn", "True", "NothingCovered").await;
    lab.until_settled().await;
    let written = writes_in(&lab, mark, "churn").filter(|event| event.code < 300);
    let each = |target: &str| written.of(target).len();
    let all = ROUNDS * names.len();
    assert_eq!((each("secrets"), each("serviceaccounts")), (all, all), "{:?}", written.counts());
    // A write that meets the deletion is refused once, and not tried again.
    let refused = writes_in(&lab, mark, "churn").filter(|event| event.code >= 300);
    assert!(refused.len() <= 2 * all, "{:?}", refused.counts());
    assert_victim_paid_for(&lab, mark, ROUNDS);
    let minted = lab.cloud.count("GetAuthorizationToken");
    assert!(minted <= 1, "one token serves all rounds, not {minted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_flap_cost_their_namespace_alone() {
    const FLIPS: usize = 40;
    let lab = with_victim().await;
    let steady = json!({ "flapping": "on" });
    lab.create_namespace_with("flapping-steady", steady).await;
    lab.create_namespace("flapping").await;
    let mut selecting = neighbour(&[]);
    selecting["watchNamespaces"] = json!({ "selector": { "matchLabels": { "flapping": "on" } } });
    lab.bind("flapping", selecting).await;
    lab.until_ready_is("flapping", "True", "Succeeded").await;
    lab.until_settled().await;
    let (mark, namespaces) = (lab.mark(), Api::<Namespace>::all(lab.client.clone()));
    lab.cloud.clear_calls();
    let label = async |value: &str| {
        let patch = json!({ "metadata": { "labels": { "flapping": value } } });
        namespaces.patch("flapping", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    };
    for flip in 0..FLIPS {
        label(if flip % 2 == 0 { "on" } else { "off" }).await;
        if flip % 8 == 0 {
            victim_is_served(&lab, &format!("app-{flip}")).await;
        }
    }
    label("on").await;
    lab.until_attached("flapping", "default").await;
    lab.until_served("flapping", "demo-north-registry.cn-beijing.cr.aliyuncs.com").await;
    lab.until_settled().await;
    let written = writes_in(&lab, mark, "flapping").filter(|event| event.namespace == "flapping");
    assert!(written.len() <= 2 * (FLIPS + 1), "two writes a flip at most: {:?}", written.counts());
    let steady = writes_in(&lab, mark, "flapping-steady");
    assert_eq!(steady.counts(), Default::default());
    assert_victim_paid_for(&lab, mark, FLIPS / 8);
    assert_eq!(lab.cloud.calls().len(), 0, "coverage that comes and goes mints nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_never_ends_terminating_is_left_alone() {
    let lab = with_victim().await;
    lab.create_namespace("ending").await;
    // A change of a label that some binding selects is looked into.
    let mut selecting = neighbour(&["ending"]);
    selecting["watchNamespaces"]["selector"] = json!({ "matchLabels": { "number": "none" } });
    lab.bind("ending", selecting).await;
    lab.until_ready_is("ending", "True", "Succeeded").await;
    lab.until_settled().await;
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let kept = json!({ "metadata": { "name": "kept", "finalizers": ["example.com/kept"] } });
    let kept = serde_json::from_value(kept).unwrap();
    lab.namespaced::<ConfigMap>("ending").create(&PostParams::default(), &kept).await.unwrap();
    lab.cloud.clear_calls();
    let deleted = lab.mark();
    namespaces.delete("ending", &DeleteParams::default()).await.unwrap();
    lab.until("only what has a finalizer is left", async || {
        lab.secret("ending").await.is_none()
            && lab.namespaced::<ServiceAccount>("ending").get_opt("default").await.unwrap().is_none()
    })
    .await;
    lab.until_ready_is("ending", "True", "NothingCovered").await;
    lab.until_settled().await;
    let mark = lab.mark();
    let looks = || lab.reconciled().iter().filter(|namespace| *namespace == "ending").count();
    for number in 0..10 {
        let before = looks();
        let patch = json!({ "metadata": { "labels": { "number": number.to_string() } } });
        namespaces.patch("ending", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        lab.until("it is reconciled", async || looks() > before).await;
        if number % 5 == 0 {
            victim_is_served(&lab, &format!("app-{number}")).await;
        }
    }
    lab.until_settled().await;
    let written = writes_in(&lab, mark, "ending");
    assert_eq!(written.counts(), Default::default());
    assert_victim_paid_for(&lab, deleted, 2);

    let free = json!({ "metadata": { "finalizers": null } });
    let maps = lab.namespaced::<ConfigMap>("ending");
    maps.patch("kept", &PatchParams::default(), &Patch::Merge(&free)).await.unwrap();
    lab.until("it is gone", async || namespaces.get_opt("ending").await.unwrap().is_none()).await;
    lab.create_namespace("ending").await;
    lab.until_attached("ending", "default").await;
}

/// Returns a group, or `None` with a note where this machine allows none. CI must allow it.
fn memory_limit() -> Option<Arc<MemoryCgroup>> {
    match MemoryCgroup::create(LIMIT) {
        Ok(group) => Some(Arc::new(group)),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error:#}");
            eprintln!("skipped: {error:#}");
            None
        }
    }
}

/// The limit is the Deployment's. It holds at a start, a fill, and a restart beside objects that no binding
/// covers.
#[tokio::test(flavor = "multi_thread")]
async fn the_controller_serves_and_restarts_within_the_memory_of_its_deployment() {
    let Some(group) = memory_limit() else { return };
    let deployment = std::fs::read_to_string(crate::harness::root().join("deploy/controller.yaml")).unwrap();
    assert!(deployment.contains("memory: 128Mi"), "the limit is that of the Deployment");
    let within = Arc::clone(&group);
    let lab = Lab::start_with(|options| options.within(within)).await;
    let inside = std::fs::read_to_string(group.procs()).unwrap();
    assert!(inside.lines().any(|line| line == lab.controller.pid().to_string()), "{inside:?}");
    let names: Vec<String> = (0..40).map(|number| format!("bounded-{number}")).collect();
    for name in &names {
        lab.create_namespace(name).await;
    }
    lab.bind("bounded", spec(&["bounded-*"])).await;
    for name in &names {
        lab.until_served(name, DOMAIN).await;
    }
    lab.until_settled().await;
    let mark = lab.mark();
    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until_settled().await;
    let inside = std::fs::read_to_string(group.procs()).unwrap();
    assert!(inside.lines().any(|line| line == lab.controller.pid().to_string()), "a restart is inside too");
    let written = lab.requests(mark).writes().filter(|event| event.namespace != NAMESPACE);
    assert_eq!(written.counts(), Default::default());
    assert_eq!(group.oom_kills().unwrap(), 0);
    assert!(group.peak().unwrap() <= LIMIT);
}
