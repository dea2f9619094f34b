//! Withdrawal: objects that are ours and no longer wanted are removed, and nothing else.

use acr_lab::plane::{AuditEvent, Target};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::{DOMAIN, Lab, SECRET, spec};

async fn is_clean(lab: &Lab, namespace: &str) -> bool {
    lab.secret(namespace).await.is_none()
        && !lab.pull_secrets(namespace, "default").await.contains(&SECRET.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_binding_withdraws_our_objects_detaching_before_deleting() {
    let lab = Lab::start().await;
    lab.create_namespace("gone").await;
    lab.create_namespace("bystander").await;
    lab.create_account("gone", "builder", &["mine", "other"]).await;
    // The same name, but never ours: no binding covers this namespace.
    lab.create_account("bystander", "old", &[SECRET]).await;
    lab.bind("gone", spec(&["gone"])).await;
    lab.until_ready_is("gone", "True", "Succeeded").await;
    let mark = lab.mark();
    lab.bindings().delete("gone", &DeleteParams::default()).await.unwrap();
    lab.until("the binding is gone", async || lab.bindings().get_opt("gone").await.unwrap().is_none()).await;
    assert!(is_clean(&lab, "gone").await);
    assert_eq!(lab.pull_secrets("gone", "builder").await, ["mine", "other"]);
    assert_eq!(lab.pull_secrets("bystander", "old").await, [SECRET]);
    let writes = lab.requests(mark).writes();
    let answered = |keep: &dyn Fn(&AuditEvent) -> bool| {
        writes.iter().filter(|e| keep(e)).map(|e| (e.timestamp, e.completed)).collect::<Vec<_>>()
    };
    let detached = answered(&|e| e.resource == "serviceaccounts");
    let deleted = answered(&|e| e.resource == "secrets" && e.verb == "delete");
    assert_eq!((detached.len(), deleted.len()), (2, 1));
    assert!(detached.iter().all(|(_, done)| *done <= deleted[0].0), "{detached:?} {deleted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uncovered_namespaces_and_accounts_are_withdrawn_for_every_cause() {
    let lab = Lab::start().await;
    for name in ["cover-a", "cover-b", "cover-c", "cover-d"] {
        lab.create_namespace_with(name, json!({ "tier": "app" })).await;
    }
    let mut selected = spec(&[]);
    selected["watchNamespaces"] = json!({ "selector": { "matchLabels": { "tier": "app" } } });
    lab.bind("cover", selected.clone()).await;
    lab.until_ready_is("cover", "True", "Succeeded").await;
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let patch = async |name: &str, patch: serde_json::Value| {
        namespaces.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    };
    patch("cover-a", json!({ "metadata": { "labels": { "tier": null } } })).await;
    lab.until("a namespace that lost its label is clean", async || is_clean(&lab, "cover-a").await).await;
    patch("cover-b", json!({ "metadata": { "annotations": { "acrcredential.dev/skip": "true" } } })).await;
    lab.until("a namespace that opts out is clean", async || is_clean(&lab, "cover-b").await).await;

    let accounts = lab.namespaced::<ServiceAccount>("cover-c");
    let skip = json!({ "metadata": { "annotations": { "acrcredential.dev/skip": "true" } } });
    accounts.patch("default", &PatchParams::default(), &Patch::Merge(&skip)).await.unwrap();
    lab.until("an account that opts out is detached", async || {
        lab.pull_secrets("cover-c", "default").await.is_empty()
    })
    .await;
    assert!(lab.secret("cover-c").await.is_some());

    selected["watchNamespaces"]["exclude"] = json!(["cover-d"]);
    lab.bind("cover", selected).await;
    lab.until("an excluded namespace is clean", async || is_clean(&lab, "cover-d").await).await;
    assert!(lab.token("cover-c", DOMAIN).await.is_some(), "what is still covered stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn coverage_that_shrank_while_the_controller_was_down_is_withdrawn_at_the_start() {
    // The definition is young in this lab: uncovered objects would wait for bindings to come back after a
    // start.
    let lab = Lab::start_with(|options| options.arg("--withdrawal-grace=0s")).await;
    lab.create_namespace("down-a").await;
    lab.create_namespace("down-b").await;
    lab.bind("down", spec(&["down-*"])).await;
    lab.until_ready_is("down", "True", "Succeeded").await;
    lab.controller.kill();
    lab.bind("down", spec(&["down-b"])).await;
    lab.controller.restart().unwrap();
    lab.until("the namespace is clean", async || is_clean(&lab, "down-a").await).await;
    assert!(lab.token("down-b", DOMAIN).await.is_some());
    // A deletion that was not observed is handled too.
    lab.controller.kill();
    lab.bindings().delete("down", &DeleteParams::default()).await.unwrap();
    lab.controller.restart().unwrap();
    lab.until("the other is clean too", async || is_clean(&lab, "down-b").await).await;
    lab.until("the binding is released", async || lab.bindings().get_opt("down").await.unwrap().is_none())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_secret_stays_across_restarts_until_it_is_covered_again() {
    let lab = Lab::start().await;
    lab.create_namespace("kept").await;
    let mut retain = spec(&["kept"]);
    retain["deletionPolicy"] = json!("Retain");
    lab.bind("kept", retain).await;
    lab.until_ready_is("kept", "True", "Succeeded").await;
    let (token, uid) = (lab.token("kept", DOMAIN).await, lab.secret("kept").await.unwrap().metadata.uid);
    lab.bindings().delete("kept", &DeleteParams::default()).await.unwrap();
    lab.until("the binding is gone", async || lab.bindings().get_opt("kept").await.unwrap().is_none()).await;
    lab.controller.restart().unwrap();
    lab.controller.until_ready(std::time::Duration::from_secs(20)).await.unwrap();
    lab.until_settled().await;
    assert_eq!(lab.token("kept", DOMAIN).await, token);
    assert_eq!(lab.pull_secrets("kept", "default").await, [SECRET]);
    lab.bind("again", spec(&["kept"])).await;
    lab.until_ready_is("again", "True", "Succeeded").await;
    lab.bindings().delete("again", &DeleteParams::default()).await.unwrap();
    lab.until("it is withdrawn at last", async || is_clean(&lab, "kept").await).await;
    assert!(uid.is_some());
}

/// A user who may edit a namespace's Secrets must not be able to keep a binding from being deleted.
#[tokio::test(flavor = "multi_thread")]
async fn other_writers_changes_to_our_secret_do_not_block_a_binding() {
    let lab = Lab::start().await;
    let namespaces = ["marked", "keyed", "unlabelled", "blocked"];
    for name in namespaces {
        lab.create_namespace(name).await;
        let mut spec = spec(&[name]);
        if matches!(name, "marked" | "keyed") {
            spec["deletionPolicy"] = json!("Retain");
        }
        lab.bind(name, spec).await;
    }
    for name in namespaces {
        lab.until_ready_is(name, "True", "Succeeded").await;
    }
    // It is not repaired meanwhile.
    lab.controller.kill();
    let owner = lab.namespaced::<ServiceAccount>("marked").get("default").await.unwrap();
    let owner =
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "name": "default", "uid": owner.metadata.uid });
    for (name, patch) in [
        ("marked", json!({ "metadata": { "finalizers": ["example.com/mine"], "ownerReferences": [owner] } })),
        ("keyed", json!({ "data": { "mine": "bWluZQ==" } })),
        ("unlabelled", json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": null } } })),
        ("blocked", json!({ "metadata": { "finalizers": ["example.com/mine"] } })),
    ] {
        let secrets = lab.namespaced::<Secret>(name);
        secrets.patch(SECRET, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }
    for name in namespaces {
        lab.bindings().delete(name, &DeleteParams::default()).await.unwrap();
    }
    lab.controller.restart().unwrap();
    for name in namespaces {
        lab.until(&format!("the binding {name} is gone"), async || {
            lab.bindings().get_opt(name).await.unwrap().is_none()
        })
        .await;
    }
    for name in ["marked", "keyed"] {
        let left = lab.secret(name).await.unwrap();
        assert_eq!(left.metadata.annotations.unwrap()["acrcredential.dev/retained"], "true");
        assert!(left.metadata.finalizers.is_none() && left.metadata.owner_references.is_none());
        assert_eq!(left.data.unwrap().into_keys().collect::<Vec<_>>(), [".dockerconfigjson"]);
        assert_eq!(lab.pull_secrets(name, "default").await, [SECRET]);
    }
    assert!(is_clean(&lab, "unlabelled").await);
    let blocked = lab.secret("blocked").await.unwrap();
    assert!(blocked.metadata.deletion_timestamp.is_some(), "the rest is up to the owner of the finalizer");
    assert!(lab.pull_secrets("blocked", "default").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_binding_changes_nothing() {
    let lab = Lab::start().await;
    lab.create_namespace("still").await;
    lab.bind("still", spec(&["still"])).await;
    lab.until_ready_is("still", "True", "Succeeded").await;
    let mut suspended = spec(&["elsewhere"]);
    suspended["suspend"] = json!(true);
    lab.create_account("still", "before", &[]).await;
    lab.until("it is attached", async || lab.pull_secrets("still", "before").await == [SECRET]).await;
    let mut same = spec(&["still"]);
    same["suspend"] = json!(true);
    lab.bind("still", same).await;
    lab.until_ready_is("still", "False", "Suspended").await;
    let mark = lab.mark();
    lab.create_account("still", "after", &[]).await;
    lab.delete_secret("still").await;
    lab.until_settled().await;
    let writes = lab.requests(mark).writes().filter(|e| e.resource != "acrcredentialbindings");
    assert_eq!(writes.counts(), Default::default());
    lab.bind("still", spec(&["still"])).await;
    lab.until_ready_is("still", "True", "Succeeded").await;
    assert_eq!(lab.pull_secrets("still", "after").await, [SECRET]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_stays_until_all_its_objects_are_gone() {
    let (lab, proxy) = Lab::proxied().await;
    lab.create_namespace("slow").await;
    lab.bind("slow", spec(&["slow"])).await;
    lab.until_ready_is("slow", "True", "Succeeded").await;
    let mut held = proxy.hold(Target::new("delete", "secrets"));
    lab.bindings().delete("slow", &DeleteParams::default()).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(20), held.until_caught(1)).await.unwrap().unwrap();
    lab.until("the status says what it waits for", async || {
        let status = lab.bindings().get("slow").await.unwrap().status.unwrap();
        status.conditions.iter().any(|c| c.type_ == "Ready" && c.reason == "Withdrawing")
    })
    .await;
    assert!(lab.secret("slow").await.is_some());
    drop(held);
    lab.until("the binding is gone", async || lab.bindings().get_opt("slow").await.unwrap().is_none()).await;
    assert!(is_clean(&lab, "slow").await);
}
