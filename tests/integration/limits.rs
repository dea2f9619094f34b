//! Limits: bounded answers to other writers and full quotas, and objects of the largest sizes.

use std::time::{Duration, Instant};

use acr_lab::plane::Mark;
use k8s_openapi::api::core::v1::{ResourceQuota, Secret, ServiceAccount};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::explain::explain;
use crate::harness::{DOMAIN, Lab, SECRET, spec};

/// Applies a ServiceAccount's list as a GitOps tool does: server-side apply, by force.
async fn state_list(lab: &Lab, namespace: &str, manager: &str, list: &[&str]) {
    let list: Vec<Value> = list.iter().map(|name| json!({ "name": name })).collect();
    let object = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" }, "imagePullSecrets": list,
    });
    let accounts = lab.namespaced::<ServiceAccount>(namespace);
    accounts.patch("default", &PatchParams::apply(manager).force(), &Patch::Apply(&object)).await.unwrap();
}

async fn until_has(lab: &Lab, namespace: &str, list: &[&str]) {
    lab.until(&format!("default in {namespace} has {list:?}"), async || {
        lab.pull_secrets(namespace, "default").await == list
    })
    .await;
}

async fn until_contended(lab: &Lab, binding: &str) -> String {
    let mut message = String::new();
    lab.until("the condition Contended is there", async || match lab.condition(binding, "Contended").await {
        Some((status, reason, words)) => {
            assert_eq!((status.as_str(), reason.as_str()), ("True", "Contended"));
            message = words;
            true
        }
        None => false,
    })
    .await;
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_sometimes_applies_the_list_is_reported_and_reverted_each_time() {
    let lab = Lab::start().await;
    lab.create_namespace("flux").await;
    lab.create_namespace("calm").await;
    lab.bind("flux", spec(&["flux"])).await;
    lab.bind("calm", spec(&["calm"])).await;
    until_has(&lab, "flux", &[SECRET]).await;
    // Conflicts before all namespaces are served for the first time do not count.
    lab.until_settled().await;
    for _ in 0..4 {
        state_list(&lab, "flux", "kustomize-controller", &["theirs"]).await;
        until_has(&lab, "flux", &["theirs", SECRET]).await;
    }
    let message = until_contended(&lab, "flux").await;
    for words in [
        "is written again and again by",
        "the ServiceAccount flux/default",
        "the field manager kustomize-controller",
        "state our entry in its manifest",
        "set spec.webhook.enable so that admission adds it to each write",
        "--webhook-on-update",
        "have it ignore the field (Argo CD: ignoreDifferences for /imagePullSecrets with RespectIgnoreDifferences=true)",
    ] {
        assert!(message.contains(words), "{message} lacks {words}");
    }
    // It is restored each time, so the served namespaces are healthy.
    let ready = lab.until_ready_is("flux", "True", "Succeeded").await;
    assert!(ready.contains("1 ServiceAccount."), "{ready}");
    assert_eq!(lab.condition("calm", "Contended").await, None);
    // The message is computed once, and no status is written for each repair.
    lab.until_settled().await;
    let mark = lab.mark();
    state_list(&lab, "flux", "kustomize-controller", &["theirs"]).await;
    until_has(&lab, "flux", &["theirs", SECRET]).await;
    lab.until_settled().await;
    assert_eq!(lab.requests(mark).writes().counts(), [("patch serviceaccounts".to_owned(), 1)].into());
    assert_eq!(lab.requests(mark).filter(|e| e.verb == "get").len(), 0);
    // The first cure: our entry in the manifest.
    state_list(&lab, "flux", "kustomize-controller", &["theirs", SECRET]).await;
    lab.until_settled().await;
    let mark = lab.mark();
    state_list(&lab, "flux", "kustomize-controller", &["theirs", SECRET]).await;
    lab.until_settled().await;
    // A tool that ignores the field applies the list that it finds.
    let found = lab.pull_secrets("flux", "default").await;
    state_list(&lab, "flux", "kustomize-controller", &found.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    lab.until_settled().await;
    assert_eq!(lab.requests(mark).writes().len(), 0);
}

/// The other direction: a manifest states our entry where no binding wants it.
#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_states_our_entry_in_an_uncovered_namespace_is_reported_with_the_cure() {
    let lab = Lab::start().await;
    lab.create_namespace("stated").await;
    lab.create_account("stated", "covered", &[]).await;
    let mut only = spec(&["stated"]);
    only["serviceAccounts"]["names"] = json!(["covered"]);
    lab.bind("stated", only).await;
    lab.until_attached("stated", "covered").await;
    lab.until_settled().await;
    for _ in 0..4 {
        state_list(&lab, "stated", "argocd-controller", &["theirs", SECRET]).await;
        until_has(&lab, "stated", &["theirs"]).await;
    }
    let message = until_contended(&lab, "stated").await;
    assert!(message.contains("argocd-controller"), "{message}");
    assert!(message.contains("take our entry out of its manifest, or cover the ServiceAccount"), "{message}");
    let writes_after = async |list: &[&str]| {
        lab.until_settled().await;
        let mark = lab.mark();
        state_list(&lab, "stated", "argocd-controller", list).await;
        lab.until_settled().await;
        lab.requests(mark).of("serviceaccounts").writes().len()
    };
    assert_eq!(writes_after(&["theirs"]).await, 0, "the first cure: the entry is out of the manifest");
    lab.bind("covering", spec(&["stated"])).await;
    lab.until_ready_is("covering", "True", "Succeeded").await;
    assert_eq!(writes_after(&["theirs", SECRET]).await, 0, "the second: a binding covers the account");
}

/// A ServiceAccount of a pipeline that is deleted and recreated is not a conflict.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_that_is_recreated_repeatedly_is_not_a_conflict() {
    let lab = Lab::start().await;
    lab.create_namespace("ci").await;
    lab.bind("ci", spec(&["ci"])).await;
    until_has(&lab, "ci", &[SECRET]).await;
    let accounts = lab.namespaced::<ServiceAccount>("ci");
    for _ in 0..6 {
        let old = accounts.get("default").await.unwrap().metadata.uid;
        accounts.delete("default", &DeleteParams::default()).await.unwrap();
        lab.until("default is recreated and served", async || {
            let now = accounts.get_opt("default").await.unwrap();
            now.is_some_and(|now| {
                now.metadata.uid != old && now.image_pull_secrets.is_some_and(|l| !l.is_empty())
            })
        })
        .await;
        // Creation times are whole seconds.
        let made = Instant::now();
        lab.until("a second has passed", async || made.elapsed() > Duration::from_secs(1)).await;
    }
    lab.until_settled().await;
    assert_eq!(lab.condition("ci", "Contended").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returning_documented_component_is_named() {
    let lab = Lab::start().await;
    lab.create_namespace("old").await;
    lab.bind("old", spec(&["old"])).await;
    lab.until_ready_is("old", "True", "Succeeded").await;
    let secrets = lab.namespaced::<Secret>("old");
    let theirs = json!({ "data": { ".dockerconfigjson": "eyJhdXRocyI6e319" } });
    let params =
        PatchParams { field_manager: Some("aliyun-acr-credential-helper".to_owned()), ..Default::default() };
    for _ in 0..4 {
        secrets.patch(SECRET, &params, &Patch::Merge(&theirs)).await.unwrap();
        lab.until_served("old", DOMAIN).await;
    }
    let message = until_contended(&lab, "old").await;
    assert!(message.contains("the Secret old/acr-credential-secret-aggregation"), "{message}");
    assert!(message.contains("aliyun-acr-credential-helper"), "{message}");
    let cure =
        "have it leave this Secret alone, as the documented component does once its add-on is uninstalled";
    assert!(message.contains(cure), "{message}");
    // It writes no more: neither do we, and the Secret is served.
    lab.until_settled().await;
    lab.until_served("old", DOMAIN).await;
    lab.until_ready_is("old", "True", "Succeeded").await;
}

/// Another writer at twenty writes a second: others' entries are never lost, ours returns, and the API
/// server's load stays bounded.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_at_twenty_writes_a_second_gets_a_bounded_answer() {
    let lab = Lab::start().await;
    lab.create_namespace("fight").await;
    lab.bind("fight", spec(&["fight"])).await;
    until_has(&lab, "fight", &[SECRET]).await;
    lab.until_settled().await;
    let mark = lab.mark();
    let accounts = lab.namespaced::<ServiceAccount>("fight");
    let (mut tick, begun) = (tokio::time::interval(Duration::from_millis(50)), Instant::now());
    let mut written = 0_u32;
    while begun.elapsed() < Duration::from_secs(20) {
        tick.tick().await;
        // Each write adds an entry, and removes ours.
        let list: Vec<Value> = (0..=written % 50).map(|n| json!({ "name": format!("theirs-{n}") })).collect();
        let patch = json!({ "imagePullSecrets": list });
        accounts.patch("default", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        written += 1;
    }
    let last = (written - 1) % 50;
    let seconds = begun.elapsed().as_secs_f64();
    let asked = lab.requests(mark);
    let per_minute = asked.len() as f64 / seconds * 60.0;
    println!(
        "{written} writes in {seconds:.0} s; answered by {:?}: {per_minute:.0} a minute",
        asked.counts()
    );
    assert!(written >= 100, "the machine is too slow for this writer");
    assert!(asked.of("serviceaccounts").writes().len() <= 20, "{:?}", asked.counts());
    assert!(asked.len() <= 60, "{:?}", asked.counts());
    let message = lab.until_ready_is("fight", "False", "Contended").await;
    assert!(message.contains("left alone for a while"), "{message}");
    // Once the other writer rests, ours returns beside all of its entries.
    let expected: Vec<String> =
        (0..=last).map(|n| format!("theirs-{n}")).chain([SECRET.to_owned()]).collect();
    for _ in 0..3 {
        if lab.pull_secrets("fight", "default").await == expected {
            break;
        }
        let until = Instant::now() + Duration::from_secs(25);
        lab.until("it is back, or the condition is read again", async || {
            Instant::now() > until || lab.pull_secrets("fight", "default").await == expected
        })
        .await;
    }
    assert_eq!(lab.pull_secrets("fight", "default").await, expected);
    lab.until_ready_is("fight", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_keep_their_order_and_lose_nothing() {
    let lab = Lab::start().await;
    lab.create_namespace("long").await;
    let names = |count: usize| (0..count).map(|n| format!("pull-secret-{n:04}")).collect::<Vec<_>>();
    for count in [50, 3_000] {
        let list = names(count);
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        lab.create_account("long", &format!("of-{count}"), &list).await;
    }
    lab.bind("long", spec(&["long"])).await;
    for count in [50, 3_000] {
        let expected: Vec<String> = names(count).into_iter().chain([SECRET.to_owned()]).collect();
        let account = format!("of-{count}");
        lab.until(&format!("{account} is attached"), async || {
            lab.pull_secrets("long", &account).await == expected
        })
        .await;
    }
    lab.bindings().delete("long", &DeleteParams::default()).await.unwrap();
    for count in [50, 3_000] {
        let account = format!("of-{count}");
        lab.until(&format!("{account} is as before"), async || {
            lab.pull_secrets("long", &account).await == names(count)
        })
        .await;
    }
}

/// Names of the greatest length that Kubernetes allows.
#[tokio::test(flavor = "multi_thread")]
async fn names_of_the_greatest_length_are_served_and_reported() {
    let lab = Lab::start().await;
    let namespace = "n".repeat(63);
    let long = |c: &str| [c.repeat(63), c.repeat(63), c.repeat(63), c.repeat(61)].join(".");
    let (binding, account) = (long("b"), long("s"));
    assert_eq!((binding.len(), account.len()), (253, 253));
    lab.create_namespace(&namespace).await;
    lab.create_account(&namespace, &account, &[]).await;
    lab.bind(&binding, spec(&[&namespace])).await;
    lab.until_ready_is(&binding, "True", "Succeeded").await;
    lab.until_attached(&namespace, &account).await;
    lab.until_served(&namespace, DOMAIN).await;
    lab.bindings().delete(&binding, &DeleteParams::default()).await.unwrap();
    lab.until("it is gone", async || lab.secret(&namespace).await.is_none()).await;
    assert!(lab.pull_secrets(&namespace, &account).await.is_empty());
}

/// The largest binding that the schema allows: 64 registries of 32 domains of 253 characters.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_would_be_too_large_is_refused_and_the_fitting_domains_are_reported() {
    let lab = Lab::start().await;
    lab.create_namespace("large").await;
    lab.create_namespace("beside").await;
    let small = |domain: &str| {
        let mut small = spec(&["beside"]);
        small["registries"] = json!([{ "instanceId": "cri-demo0001", "domains": [domain] }]);
        small
    };
    lab.bind("small", small("first.example.com")).await;
    lab.until_ready_is("small", "True", "Succeeded").await;
    let domain = |registry: usize, n: usize| {
        let tail = format!("r{registry:02}-d{n:02}.example.com");
        let label = "x".repeat(60);
        let head = format!("{label}.{label}.{label}.");
        let fill = "y".repeat(253 - head.len() - tail.len() - 1);
        format!("{head}{fill}.{tail}")
    };
    let entries = |registries: usize| {
        let entry = |registry: usize| {
            let domains: Vec<String> = (0..32).map(|n| domain(registry, n)).collect();
            json!({ "instanceId": "cri-demo0001", "domains": domains })
        };
        (0..registries).map(entry).collect::<Vec<_>>()
    };
    let mut all = spec(&["large"]);
    all["registries"] = json!(entries(64));
    lab.bind("large", all.clone()).await;
    let mark = lab.mark();
    let message = lab.until_ready_is("large", "False", "SecretTooLarge").await;
    println!("{message}");
    assert!(message.contains(" of its 2048 domains fit"), "{message}");
    assert!(
        message.ends_with("have the bindings of this namespace name fewer registries or domains"),
        "{message}"
    );
    assert!(lab.secret("large").await.is_none());
    let (found, verdict) = explain(lab.plane.kubeconfig(), "large", &["sa/default"]);
    assert_eq!(found, "ACR812", "{verdict:#}");
    assert_eq!(verdict["command"], "kubectl edit acrcredentialbinding large");
    lab.until_settled().await;
    let refused = lab.requests(mark).of("secrets").filter(|e| e.code >= 400 && e.namespace == "large");
    assert_eq!(refused.len(), 0, "{:?}", refused.counts());
    // The stated number of registries does fit.
    let fit: usize = message.split(" of its ").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((32..2048).contains(&fit), "{fit}");
    all["registries"] = json!(entries(fit / 32));
    lab.bind("large", all.clone()).await;
    lab.until_ready_is("large", "True", "Succeeded").await;
    assert_eq!(lab.auths("large").await.unwrap().len(), fit / 32 * 32);
    lab.until("nothing is to be explained", async || {
        explain(lab.plane.kubeconfig(), "large", &["sa/default"]).0 == "none"
    })
    .await;
    // One more does not: the existing Secret is kept.
    all["registries"] = json!(entries(fit / 32 + 1));
    all["watchNamespaces"]["names"] = json!(["large", "beside"]);
    lab.bind("large", all).await;
    lab.until_ready_says("large", "False", "SecretTooLarge", "2 of 2").await;
    assert_eq!(lab.auths("large").await.unwrap().len(), fit / 32 * 32);
    // An older binding that fits stays served, regardless of a younger one's registries.
    lab.bind("small", small("second.example.com")).await;
    lab.until("the older one is served", async || {
        lab.auths("beside").await.unwrap().keys().eq(["second.example.com"])
    })
    .await;
    lab.until_ready_is("small", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_quota_is_retried_slowly_regardless_of_other_events_and_recovers() {
    let lab = Lab::start().await;
    lab.create_namespace("full").await;
    let quotas = lab.namespaced::<ResourceQuota>("full");
    let quota = json!({ "metadata": { "name": "tenant-limits" }, "spec": { "hard": { "secrets": "0" } } });
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    lab.until("the quota counts", async || {
        quotas.get("tenant-limits").await.unwrap().status.is_some_and(|s| s.used.is_some())
    })
    .await;
    let mark = lab.mark();
    lab.bind("full", spec(&["full"])).await;
    let message = lab.until_ready_is("full", "False", "QuotaExceeded").await;
    assert!(message.contains("tenant-limits"), "{message}");
    // Other events happen in the namespace; none of them frees quota.
    for n in 0..40 {
        lab.create_account("full", &format!("sa-{n}"), &[]).await;
    }
    lab.until_settled().await;
    let tries = lab.requests(mark).of("secrets").filter(|e| e.namespace == "full").writes();
    let seconds = tries.last().unwrap().timestamp.duration_since(tries[0].timestamp).as_secs_f64();
    println!("{} tries in {seconds:.1} s", tries.len());
    assert!(tries.len() as f64 <= 1.0 + (seconds / 3.0).ceil() + 1.0, "{} tries in {seconds} s", tries.len());
    // The next attempt finds the raised quota.
    let more = json!({ "spec": { "hard": { "secrets": "1" } } });
    quotas.patch("tenant-limits", &PatchParams::default(), &Patch::Merge(&more)).await.unwrap();
    lab.until_ready_is("full", "True", "Succeeded").await;
    lab.until_attached("full", "sa-39").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_service_accounts_in_one_namespace_are_served() {
    const COUNT: usize = 5_000;
    let lab = Lab::start().await;
    lab.create_namespace("crowd").await;
    let made = Instant::now();
    let accounts = lab.namespaced::<ServiceAccount>("crowd");
    let names: Vec<String> = (0..COUNT).map(|n| format!("sa-{n:04}")).collect();
    for some in names.chunks(100) {
        let create = some.iter().map(|name| {
            let object = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
            let accounts = accounts.clone();
            async move { accounts.create(&PostParams::default(), &object).await.map(drop) }
        });
        futures::future::try_join_all(create).await.unwrap();
    }
    let made = made.elapsed();
    let mark = lab.mark();
    let begun = Instant::now();
    lab.bind("crowd", spec(&["crowd"])).await;
    // On a busy machine this takes longer than any other test here: the wait is for progress.
    let served =
        || lab.requests(mark).of("serviceaccounts").filter(|e| e.verb == "patch" && e.code == 200).len();
    for part in 1..=10 {
        lab.until(&format!("{part} tenths are served"), async || served() >= COUNT * part / 10).await;
    }
    println!("{COUNT} made in {made:.1?}, served in {:.1?}", begun.elapsed());
    let message = lab.until_ready_says("crowd", "True", "Succeeded", "5001 ServiceAccounts").await;
    assert!(message.contains("1 namespace "), "{message}");
    let writes = lab.requests(mark).of("serviceaccounts").writes();
    assert_eq!(writes.len(), COUNT + 1, "one write each: {:?}", writes.counts());
    assert_eq!(lab.requests(Mark::default()).filter(|e| e.code >= 500 || e.code == 429).len(), 0);
    // An event in it costs one write, and no reconciliation of the others.
    let mark = lab.mark();
    lab.create_account("crowd", "one-more", &[]).await;
    lab.until_attached("crowd", "one-more").await;
    lab.until_settled().await;
    assert_eq!(lab.requests(mark).of("serviceaccounts").writes().len(), 1);
}
