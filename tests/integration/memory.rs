//! Memory and watches: what tenants write and no binding selects is neither kept nor acted on.

use std::collections::BTreeMap;
use std::time::Duration;

use acr_lab::plane::{Mark, Target};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::Role;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{Lab, NAMESPACE, SECRET, spec};

const PATIENCE: Duration = Duration::from_secs(30);

/// Key pairs that are watched at most.
const WATCHED: usize = 64;

/// Watches on Secrets of one name that are not key pairs: our pull Secrets, and the sources of the controller's own
/// identity.
const OTHERS: usize = 3;

/// Labels of 635 KB in all: the API server bounds none but a key and a value.
fn many_labels() -> BTreeMap<String, String> {
    let label = |number: usize| (format!("noise-{number:0>56}"), format!("{number:0>63}"));
    (0..635_000 / 131).map(label).collect()
}

async fn label<K>(api: Api<K>, name: &str, key: &str, value: &str)
where
    K: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned + Clone + std::fmt::Debug,
{
    let patch = json!({ "metadata": { "labels": { key: value } } });
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

fn selecting(key: &str, value: &str) -> Value {
    let mut spec = spec(&[]);
    spec["watchNamespaces"] = json!({ "selector": { "matchLabels": { key: value } } });
    spec
}

/// Returns the controller's lists of all Namespaces or ServiceAccounts, and those by a label, since a mark.
fn lists(lab: &Lab, since: Mark) -> Vec<String> {
    let lists = lab.requests(since).filter(|event| {
        event.verb == "list"
            && ["namespaces", "serviceaccounts"].contains(&event.resource.as_str())
            && !event.request_uri.contains("fieldSelector")
    });
    let selector = |uri: &str| {
        let by = uri.split(['?', '&']).find_map(|part| part.strip_prefix("labelSelector="));
        by.unwrap_or("all").to_owned()
    };
    lists.0.iter().map(|event| format!("{} by {}", event.resource, selector(&event.request_uri))).collect()
}

/// A tenant may create ServiceAccounts. Without a bound on a page, a restart of the controller would hold all of them at
/// once, be killed for it, and restart.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_with_many_labels_cost_no_memory_at_the_start_and_at_a_restart() {
    const ALLOWED_KIB: u64 = 32 << 10;
    let lab = Lab::start().await;
    lab.create_namespace("served").await;
    lab.create_namespace("loud").await;
    lab.bind("served", spec(&["served"])).await;
    lab.until_ready_is("served", "True", "Succeeded").await;
    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    let without = lab.controller.peak_rss_kib().unwrap();

    let accounts = lab.namespaced::<ServiceAccount>("loud");
    let creations = (0..60).map(|number| {
        let object = json!({ "metadata": { "name": format!("loud-{number}"), "labels": many_labels() } });
        let object: ServiceAccount = serde_json::from_value(object).unwrap();
        let accounts = accounts.clone();
        async move { accounts.create(&PostParams::default(), &object).await.unwrap() }
    });
    futures::stream::iter(creations).buffer_unordered(4).collect::<Vec<_>>().await;
    // An event after theirs.
    lab.create_account("served", "after", &[]).await;
    lab.until_attached("served", "after").await;
    let as_events = lab.controller.peak_rss_kib().unwrap();

    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.create_account("served", "later", &[]).await;
    lab.until_attached("served", "later").await;
    let as_list = lab.controller.peak_rss_kib().unwrap();
    assert!(as_events < without + ALLOWED_KIB, "{without} → {as_events} KiB");
    assert!(as_list < without + ALLOWED_KIB, "{without} → {as_list} KiB");
}

/// The API server writes a control character as six bytes, and stores one.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_over_the_limit_is_ignored_until_what_makes_it_large_is_removed() {
    let lab = Lab::start().await;
    lab.create_namespace("large").await;
    lab.bind("large", spec(&["large"])).await;
    lab.until_ready_is("large", "True", "Succeeded").await;
    let accounts = lab.namespaced::<ServiceAccount>("large");
    let patch = async |patch: Value| {
        accounts.patch("huge", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    };
    let name = "\u{1}".repeat(400_000);
    lab.create_account("large", "huge", &[]).await;
    lab.until_attached("large", "huge").await;
    patch(json!({ "secrets": [{ "name": name }] })).await;
    patch(json!({ "imagePullSecrets": [{ "name": name }] })).await;
    let ignored = || {
        let log = lab.controller.log();
        let lines = log.lines().filter(|line| line.contains("larger than 4 MiB; remove what makes it large"));
        lines.filter(|line| line.contains("namespace=\"large\" name=\"huge\"")).count()
    };
    lab.until("it is ignored", async || ignored() == 1).await;
    // The others of its namespace are served.
    lab.create_account("large", "beside", &[]).await;
    lab.until_attached("large", "beside").await;
    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    assert_eq!(ignored(), 2);
    lab.create_account("large", "later", &[]).await;
    lab.until_attached("large", "later").await;

    patch(json!({ "secrets": null, "imagePullSecrets": null })).await;
    lab.until_attached("large", "huge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_no_binding_selects_wakes_nothing() {
    let lab = Lab::start().await;
    lab.create_namespace("flapping").await;
    lab.create_namespace_with("selected", json!({ "tier": "app" })).await;
    lab.bind("flapping", spec(&["flapping"])).await;
    lab.bind("selected", selecting("tier", "app")).await;
    lab.until_ready_is("flapping", "True", "Succeeded").await;
    lab.until_ready_is("selected", "True", "Succeeded").await;
    lab.until_settled().await;
    let looks = || lab.reconciled().iter().filter(|namespace| *namespace == "flapping").count();
    let before = looks();
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    for round in 0..10 {
        label(lab.namespaced::<ServiceAccount>("flapping"), "default", "team", &round.to_string()).await;
        label(namespaces.clone(), "flapping", "team", &round.to_string()).await;
    }
    // Events after theirs, on both watches.
    lab.create_namespace_with("after", json!({ "tier": "app" })).await;
    lab.until_attached("after", "default").await;
    assert_eq!(looks(), before);
    // A label that is selected counts.
    label(namespaces, "flapping", "tier", "app").await;
    lab.until("the namespace is reconciled", async || looks() > before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_label_key_is_listed_once_and_its_binding_is_not_ready_before() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace_with("labelled", json!({ "tier": "app", "team": "a" })).await;
    lab.create_namespace("named").await;
    lab.bind("named", spec(&["named"])).await;
    lab.until_ready_is("named", "True", "Succeeded").await;

    let mark = lab.mark();
    let mut held = proxy.hold(Target::new("list", "namespaces"));
    lab.bind("labelled", selecting("tier", "app")).await;
    tokio::time::timeout(PATIENCE, held.until_caught(1)).await.unwrap().unwrap();
    // Others are served meanwhile.
    lab.create_account("named", "meanwhile", &[]).await;
    lab.until_attached("named", "meanwhile").await;
    assert_eq!(lab.condition("labelled", "Ready").await, None);
    assert!(lab.pull_secrets("labelled", "default").await.is_empty());
    drop(held);
    lab.until_ready_is("labelled", "True", "Succeeded").await;
    lab.until_attached("labelled", "default").await;
    assert_eq!(lists(&lab, mark), ["namespaces by tier"]);

    // A key that is known needs no list.
    lab.bind("known", selecting("tier", "db")).await;
    lab.until("it is observed", async || lab.condition("known", "Ready").await.is_some()).await;
    assert_eq!(lists(&lab, mark), ["namespaces by tier"]);

    // The earlier selector stays in force until the new key is listed: nothing is withdrawn on a guess.
    let mut held = proxy.hold(Target::new("list", "namespaces"));
    lab.bind("labelled", selecting("team", "a")).await;
    tokio::time::timeout(PATIENCE, held.until_caught(1)).await.unwrap().unwrap();
    lab.create_account("labelled", "meanwhile", &[]).await;
    lab.until_attached("labelled", "meanwhile").await;
    assert_eq!(lab.condition("labelled", "Ready").await, None);
    drop(held);
    lab.until_ready_is("labelled", "True", "Succeeded").await;
    assert_eq!(lists(&lab, mark), ["namespaces by tier", "namespaces by team"]);
    lab.until_attached("labelled", "default").await;

    // All keys are known before the first list of a start.
    lab.until_settled().await;
    let mark = lab.mark();
    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until_settled().await;
    let mut lists = lists(&lab, mark);
    lists.sort();
    assert_eq!(lists, ["namespaces by all", "serviceaccounts by all"]);
    let writes = lab.requests(mark).writes().filter(|e| e.resource != "selfsubjectaccessreviews");
    assert_eq!(writes.counts(), Default::default());
}

/// Returns the open watches on single Secrets of the controller's namespace, as the API server counts them.
async fn watched_secrets(lab: &Lab) -> usize {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let metrics = lab.client.request_text(request).await.unwrap();
    let open = metrics.lines().filter(|line| {
        line.starts_with("apiserver_longrunning_requests{")
            && ["resource=\"secrets\"", "verb=\"WATCH\"", "scope=\"resource\""]
                .iter()
                .all(|part| line.contains(part))
    });
    open.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as usize
}

/// RBAC grants a Secret by its name, so that each key pair takes a watch of its own, and an API server accepts a hundred
/// on a connection.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_key_pairs_a_bounded_number_is_watched_and_the_others_work_too() {
    let (lab, proxy) = Lab::proxied().await;
    let names: Vec<String> = (0..128).map(|number| format!("pair-{number:03}")).collect();
    let (id, secret) = lab.key_of("2", "partner-puller");
    let pair = json!({ "accessKeyId": id, "accessKeySecret": secret });
    let roles: Api<Role> = Api::namespaced(lab.client.clone(), NAMESPACE);
    let rules = json!({ "rules": [{
        "apiGroups": [""], "resources": ["secrets"], "resourceNames": names, "verbs": ["get", "list", "watch"],
    }] });
    roles.patch("acr-credential-keys", &PatchParams::default(), &Patch::Merge(&rules)).await.unwrap();
    // The last one is missing at first: it is not among those that are watched.
    for name in &names[..127] {
        lab.put_secret(NAMESPACE, name, pair.clone()).await;
    }
    for (namespace, names) in [("first", &names[..64]), ("second", &names[64..])] {
        lab.create_namespace(namespace).await;
        let registry = |name: &String| {
            json!({
                "instanceId": "cri-demo0003", "domains": [format!("{name}.example.com")],
                "accessKeySecretRef": { "name": name },
            })
        };
        let mut spec = spec(&[namespace]);
        spec["registries"] = names.iter().map(registry).collect();
        lab.bind(namespace, spec).await;
    }
    let watched = async || {
        let watched = watched_secrets(&lab).await;
        assert!(watched <= WATCHED + OTHERS, "{watched} watches");
        watched >= WATCHED
    };
    lab.until("the first pairs are watched", watched).await;
    lab.until_served("first", "pair-000.example.com").await;
    lab.until_served("second", "pair-126.example.com").await;

    // Each watch is renewed at once.
    proxy.cut();
    lab.create_account("first", "new", &[]).await;
    lab.until_attached("first", "new").await;
    lab.until("the first pairs are watched again", watched).await;

    // No watch reports this one.
    lab.put_secret(NAMESPACE, &names[127], pair).await;
    lab.until_served("second", "pair-127.example.com").await;
    assert!(watched_secrets(&lab).await <= WATCHED + OTHERS);
    assert_eq!(lab.pull_secrets("first", "new").await, [SECRET]);
}
