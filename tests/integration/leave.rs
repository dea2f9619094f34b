//! Leaving: one namespace, account or binding at a time, and the CustomResourceDefinition itself.

use std::time::Duration;

use acr_lab::plane::{Mark, Target};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{DOMAIN, Lab, SECRET, root, spec};

const CRD: &str = "crd/acrcredentialbindings.acrcredential.dev";
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the successful writes to Secrets and ServiceAccounts of any namespace but the controller's.
fn tenant_writes(lab: &Lab, since: Mark) -> Vec<String> {
    let writes = lab.requests(since).writes().filter(|e| e.code < 400).filter(|e| {
        (e.resource == "secrets" || e.resource == "serviceaccounts") && e.namespace != "acr-credential-system"
    });
    writes.iter().map(|e| format!("{} {}/{} {}", e.verb, e.namespace, e.target(), e.code)).collect()
}

async fn is_clean(lab: &Lab, namespace: &str) -> bool {
    lab.secret(namespace).await.is_none()
        && !lab.pull_secrets(namespace, "default").await.contains(&SECRET.to_owned())
}

fn retaining(namespaces: &[&str]) -> Value {
    let mut spec = spec(namespaces);
    spec["deletionPolicy"] = json!("Retain");
    spec
}

async fn until_gone(lab: &Lab, binding: &str) {
    lab.until(&format!("{binding} is gone"), async || {
        lab.bindings().get_opt(binding).await.unwrap().is_none()
    })
    .await;
}

async fn recreate_crd(lab: &Lab) {
    lab.plane.apply_file(root().join("crds/acrcredentialbindings.yaml")).await.unwrap();
    lab.plane.kubectl_ok(&["wait", "--for=condition=Established", CRD, "--timeout=20s"]).await.unwrap();
}

/// Deleting the definition deletes every binding, though no user intended any of these deletions.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_crd_releases_all_bindings_and_writes_nothing_to_tenants() {
    let lab = Lab::start().await;
    for name in ["crd-a", "crd-b"] {
        lab.create_namespace(name).await;
    }
    let bind = async || {
        lab.bind("crd-a", spec(&["crd-a"])).await;
        lab.bind("crd-b", retaining(&["crd-b"])).await;
    };
    bind().await;
    for binding in ["crd-a", "crd-b"] {
        lab.until_ready_is(binding, "True", "Succeeded").await;
    }
    let uid = async |namespace: &str| lab.secret(namespace).await.unwrap().metadata.uid;
    let before = (uid("crd-a").await, uid("crd-b").await);
    lab.until_settled().await;
    let mark = lab.mark();
    lab.plane.kubectl_ok(&["delete", CRD, "--timeout=20s"]).await.unwrap();
    assert!(lab.token("crd-a", DOMAIN).await.is_some(), "pulls go on");
    // One binding comes back before the other: the other's objects are unclaimed meanwhile, and stay.
    recreate_crd(&lab).await;
    lab.bind("crd-a", spec(&["crd-a"])).await;
    lab.until_ready_is("crd-a", "True", "Succeeded").await;
    lab.until_settled().await;
    lab.bind("crd-b", retaining(&["crd-b"])).await;
    lab.until_ready_is("crd-b", "True", "Succeeded").await;
    lab.until_settled().await;
    assert_eq!(tenant_writes(&lab, mark), [] as [&str; 0]);

    // The same while the controller is down, which finds a definition that waits for its bindings.
    lab.controller.kill();
    lab.plane.kubectl_ok(&["delete", CRD, "--wait=false"]).await.unwrap();
    lab.until("the bindings are being deleted", async || {
        let bindings = lab.bindings().list(&Default::default()).await.unwrap();
        bindings.items.len() == 2 && bindings.iter().all(|b| b.metadata.deletion_timestamp.is_some())
    })
    .await;
    lab.controller.restart().unwrap();
    lab.plane.kubectl_ok(&["wait", "--for=delete", CRD, "--timeout=30s"]).await.unwrap();
    recreate_crd(&lab).await;
    // Started again without any trace of the bindings that existed.
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until_settled().await;
    bind().await;
    for binding in ["crd-a", "crd-b"] {
        lab.until_ready_is(binding, "True", "Succeeded").await;
    }
    lab.until_settled().await;
    assert_eq!(tenant_writes(&lab, mark), [] as [&str; 0]);
    assert_eq!((uid("crd-a").await, uid("crd-b").await), before);
    assert_eq!(lab.pull_secrets("crd-a", "default").await, [SECRET]);
}

/// Bindings that share a namespace come back one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_returning_binding_removes_nothing_of_the_others() {
    const OTHERS: &str = "partner-registry.cn-hangzhou.cr.aliyuncs.com";
    let lab = Lab::start().await;
    lab.create_namespace("shared").await;
    let mut other = spec(&["shared"]);
    other["registries"] =
        json!([{ "instanceId": "cri-demo0003", "assumeRoleARN": "acs:ram::2:role/acr-pull" }]);
    let both = async || {
        lab.bind("mine", spec(&["shared"])).await;
        lab.bind("other", other.clone()).await;
        for binding in ["mine", "other"] {
            lab.until_ready_is(binding, "True", "Succeeded").await;
        }
        lab.until_settled().await;
    };
    both().await;
    let mark = lab.mark();
    for restarts in [false, true] {
        lab.plane.kubectl_ok(&["delete", CRD, "--timeout=20s"]).await.unwrap();
        recreate_crd(&lab).await;
        if restarts {
            lab.controller.restart().unwrap();
            lab.controller.until_ready(PATIENCE).await.unwrap();
        }
        lab.bind("mine", spec(&["shared"])).await;
        lab.until("it says what it waits for", async || {
            let status = lab.bindings().get("mine").await.unwrap().status.unwrap_or_default();
            status.pairs.iter().any(|pair| pair.conditions[0].message.contains("waiting for the bindings"))
        })
        .await;
        lab.until_settled().await;
        assert!(lab.token("shared", DOMAIN).await.is_some() && lab.token("shared", OTHERS).await.is_some());
        both().await;
        assert_eq!(tenant_writes(&lab, mark), [] as [&str; 0]);
    }
    // A part that is given up after that is removed as usual.
    lab.bindings().delete("other", &DeleteParams::default()).await.unwrap();
    lab.until("the rest is gone", async || lab.token("shared", OTHERS).await.is_none()).await;
    assert!(lab.token("shared", DOMAIN).await.is_some());
}

/// Until the definition's state is known, its bindings may be disappearing one by one.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_before_the_definition_is_observed() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("early").await;
    lab.bind("early", spec(&["early"])).await;
    lab.until_ready_is("early", "True", "Succeeded").await;
    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.delete_secret("early").await;
    let mark = lab.mark();
    let mut held = proxy.hold(Target::new("get", "customresourcedefinitions"));
    lab.controller.restart().unwrap();
    tokio::time::timeout(PATIENCE, held.until_caught(1)).await.unwrap().unwrap();
    lab.until("only that is missing", async || {
        matches!(lab.controller.ready().await, Ok(Some(missing)) if missing == "waiting for the CustomResourceDefinition")
    })
    .await;
    lab.until_settled().await;
    assert_eq!(tenant_writes(&lab, mark), [] as [&str; 0]);
    drop(held);
    lab.until_served("early", DOMAIN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminating_namespace_is_not_delayed_and_its_successor_is_served_at_once() {
    let lab = Lab::start().await;
    lab.create_namespace("term-a").await;
    lab.create_namespace("term-b").await;
    lab.bind("term", spec(&["term-*"])).await;
    lab.until_ready_says("term", "True", "Succeeded", "2 namespaces").await;
    lab.until_settled().await;
    // Another writer's object keeps it terminating for a while.
    let maps = lab.namespaced::<ConfigMap>("term-a");
    let stuck = json!({ "metadata": { "name": "stuck", "finalizers": ["example.com/stuck"] } });
    maps.create(&PostParams::default(), &serde_json::from_value(stuck).unwrap()).await.unwrap();
    let mark = lab.mark();
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    namespaces.delete("term-a", &DeleteParams::default()).await.unwrap();
    lab.until("our Secret goes with it", async || lab.secret("term-a").await.is_none()).await;
    lab.until_ready_says("term", "True", "Succeeded", "1 namespace").await;
    lab.until_settled().await;
    assert_eq!(tenant_writes(&lab, mark), [] as [&str; 0]);
    let status = lab.bindings().get("term").await.unwrap().status.unwrap();
    assert_eq!(status.namespaces.map(|n| (n.matched, n.ready)), Some((1, 1)));
    // A binding's end does not wait for it either.
    lab.bind("other", spec(&["term-a"])).await;
    lab.until_ready_is("other", "True", "NothingCovered").await;
    lab.bindings().delete("other", &DeleteParams::default()).await.unwrap();
    until_gone(&lab, "other").await;
    let free = json!({ "metadata": { "finalizers": null } });
    maps.patch("stuck", &PatchParams::default(), &Patch::Merge(&free)).await.unwrap();
    lab.until("it is gone", async || namespaces.get_opt("term-a").await.unwrap().is_none()).await;
    lab.create_namespace("term-a").await;
    lab.until_served("term-a", DOMAIN).await;
    lab.until_attached("term-a", "default").await;
    lab.until_ready_says("term", "True", "Succeeded", "2 namespaces").await;
    // An account of the same name with another UID.
    let accounts = lab.namespaced::<ServiceAccount>("term-a");
    let old = accounts.get("default").await.unwrap().metadata.uid;
    accounts.delete("default", &DeleteParams::default()).await.unwrap();
    lab.until("another account is there with our entry", async || {
        let account = accounts.get_opt("default").await.unwrap();
        account.is_some_and(|account| {
            account.metadata.uid != old
                && account.image_pull_secrets.iter().flatten().map(|s| &*s.name).eq([SECRET])
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opting_out_is_followed_and_so_is_opting_in_again() {
    let lab = Lab::start().await;
    for name in ["skip-a", "skip-b"] {
        lab.create_namespace(name).await;
    }
    lab.create_account("skip-b", "web", &["mine"]).await;
    lab.bind("skip", spec(&["skip-*"])).await;
    lab.until_ready_says("skip", "True", "Succeeded", "2 namespaces").await;
    lab.until_settled().await;
    let skip = |value: Value| json!({ "metadata": { "annotations": { "acrcredential.dev/skip": value } } });
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let accounts = lab.namespaced::<ServiceAccount>("skip-b");
    for value in [json!("true"), Value::Null, json!("true"), json!("false")] {
        let out = value == json!("true");
        namespaces
            .patch("skip-a", &PatchParams::default(), &Patch::Merge(&skip(value.clone())))
            .await
            .unwrap();
        lab.until("the namespace is opted out", async || match out {
            true => is_clean(&lab, "skip-a").await,
            false => {
                lab.token("skip-a", DOMAIN).await.is_some()
                    && lab.pull_secrets("skip-a", "default").await == [SECRET]
            }
        })
        .await;
        accounts.patch("web", &PatchParams::default(), &Patch::Merge(&skip(value))).await.unwrap();
        lab.until("the account is opted out", async || {
            let all = lab.pull_secrets("skip-b", "web").await;
            if out { all == ["mine"] } else { all == ["mine", SECRET] }
        })
        .await;
    }
    lab.until_ready_says("skip", "True", "Succeeded", "2 namespaces").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bindings_leave_by_their_own_policy_and_remove_no_part_of_another() {
    let lab = Lab::start().await;
    for name in ["left-a", "left-b", "left-c"] {
        lab.create_namespace(name).await;
    }
    // Retained, covered by another binding, retained again, and withdrawn at last. It is one Secret all
    // along.
    lab.bind("first", retaining(&["left-a"])).await;
    lab.until_ready_is("first", "True", "Succeeded").await;
    let uid = lab.secret("left-a").await.unwrap().metadata.uid;
    lab.bindings().delete("first", &DeleteParams::default()).await.unwrap();
    until_gone(&lab, "first").await;
    let retained = async || {
        let annotations = lab.secret("left-a").await.unwrap().metadata.annotations.unwrap_or_default();
        annotations.contains_key("acrcredential.dev/retained")
    };
    assert!(retained().await);
    lab.bind("second", retaining(&["left-a"])).await;
    lab.until_ready_is("second", "True", "Succeeded").await;
    assert!(!retained().await, "it is served");
    lab.bindings().delete("second", &DeleteParams::default()).await.unwrap();
    until_gone(&lab, "second").await;
    assert!(retained().await);
    lab.bind("third", spec(&["left-a"])).await;
    lab.until_ready_is("third", "True", "Succeeded").await;
    assert_eq!(lab.secret("left-a").await.unwrap().metadata.uid, uid);
    lab.bindings().delete("third", &DeleteParams::default()).await.unwrap();
    until_gone(&lab, "third").await;
    assert!(is_clean(&lab, "left-a").await);

    // A user requests a deletion by hand, and a suspension must not hang it.
    lab.bind("asleep", spec(&["left-b"])).await;
    lab.until_ready_is("asleep", "True", "Succeeded").await;
    let mut suspended = spec(&["left-b"]);
    suspended["suspend"] = json!(true);
    lab.bind("asleep", suspended).await;
    lab.until_ready_is("asleep", "False", "Suspended").await;
    lab.bindings().delete("asleep", &DeleteParams::default()).await.unwrap();
    until_gone(&lab, "asleep").await;
    assert!(is_clean(&lab, "left-b").await);

    // Two bindings in one namespace: the part of the other stays, and its Secret keeps its UID.
    let of = |domain: &str, account: &str| {
        json!({
            "registries": [{ "instanceId": "cri-demo0001", "domains": [domain] }],
            "watchNamespaces": { "names": ["left-c"] },
            "serviceAccounts": { "names": [account] },
        })
    };
    lab.create_account("left-c", "web", &[]).await;
    lab.bind("one", of("one.example.com", "default")).await;
    lab.bind("two", of("two.example.com", "web")).await;
    lab.until_served("left-c", "one.example.com").await;
    lab.until_served("left-c", "two.example.com").await;
    lab.until_attached("left-c", "web").await;
    let uid = lab.secret("left-c").await.unwrap().metadata.uid;
    lab.bindings().delete("one", &DeleteParams::default()).await.unwrap();
    until_gone(&lab, "one").await;
    assert!(lab.auths("left-c").await.unwrap().keys().eq(["two.example.com"]));
    assert_eq!(lab.secret("left-c").await.unwrap().metadata.uid, uid);
    assert_eq!(lab.pull_secrets("left-c", "default").await, [] as [&str; 0]);
    assert_eq!(lab.pull_secrets("left-c", "web").await, [SECRET]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_withdrawal_names_who_refused_it_and_continues_once_it_is_allowed() {
    let lab = Lab::start().await;
    lab.create_namespace("block-a").await;
    lab.create_namespace("block-b").await;
    lab.bind("block", spec(&["block-*"])).await;
    lab.until_ready_says("block", "True", "Succeeded", "2 namespaces").await;
    let role = "clusterrole/acr-credential-controller";
    let old = lab.plane.kubectl_ok(&["get", role, "-o", "json"]).await.unwrap();
    let old: Value = serde_json::from_str(&old).unwrap();
    let rules: Vec<Value> = old["rules"].as_array().unwrap().clone();
    let without: Vec<Value> = rules
        .iter()
        .map(|rule| match rule["resources"] == json!(["serviceaccounts"]) {
            true => {
                let mut rule = rule.clone();
                rule["verbs"] = json!(["get", "list", "watch"]);
                rule
            }
            false => rule.clone(),
        })
        .collect();
    let patch = json!({ "rules": without }).to_string();
    lab.plane.kubectl_ok(&["patch", role, "--type=merge", "-p", &patch]).await.unwrap();
    let user = format!("system:serviceaccount:{}", "acr-credential-system:acr-credential-controller");
    lab.until("the right is gone", async || {
        let args = ["auth", "can-i", "patch", "serviceaccounts", "-n", "block-a", "--as", user.as_str()];
        lab.plane.kubectl(&args).await.unwrap().stdout.starts_with("no")
    })
    .await;
    lab.bindings().delete("block", &DeleteParams::default()).await.unwrap();
    let said = async |kind: &str| {
        let status =
            lab.bindings().get_opt("block").await.unwrap().and_then(|b| b.status).unwrap_or_default();
        let found = status.conditions.into_iter().find(|c| c.type_ == kind);
        found.map(|c| format!("{} {}", c.reason, c.message)).unwrap_or_default()
    };
    lab.until("the status says what blocks it", async || {
        let ready = said("Ready").await;
        ready.starts_with("Withdrawing") && ready.contains("0 of 2 namespaces cleaned up; Forbidden:")
    })
    .await;
    assert!(said("Stalled").await.contains("serviceaccounts"), "{}", said("Stalled").await);
    assert!(lab.secret("block-a").await.is_some(), "the entries go first");
    let patch = json!({ "rules": rules }).to_string();
    lab.plane.kubectl_ok(&["patch", role, "--type=merge", "-p", &patch]).await.unwrap();
    until_gone(&lab, "block").await;
    assert!(is_clean(&lab, "block-a").await && is_clean(&lab, "block-b").await);
}
