//! Other writers' Secrets and lists, full quotas, and terminating namespaces.

use std::time::Duration;

use acr_lab::plane::Mark;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota, Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::harness::{DOMAIN, Lab, SECRET, spec};

async fn foreign_secret(lab: &Lab, namespace: &str, type_: &str) -> Secret {
    let data = if type_ == "Opaque" {
        json!({ "key": "x" })
    } else {
        json!({ ".dockerconfigjson": "{\"auths\":{}}" })
    };
    let object = json!({ "metadata": { "name": SECRET, "labels": { "team": "theirs" } }, "type": type_, "stringData": data });
    let object = serde_json::from_value(object).unwrap();
    lab.namespaced::<Secret>(namespace).create(&PostParams::default(), &object).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_writers_secret_is_left_alone_until_a_user_asks_to_adopt_it() {
    let lab = Lab::start().await;
    lab.create_namespace("taken").await;
    lab.create_namespace("free").await;
    let theirs = foreign_secret(&lab, "taken", "kubernetes.io/dockerconfigjson").await;
    lab.create_account("taken", "old", &[SECRET]).await;
    lab.bind("taken", spec(&["taken", "free"])).await;
    let message = lab.until_ready_is("taken", "False", "SecretConflict").await;
    assert!(
        message.contains(
            "taken/acr-credential-secret-aggregation exists and was not created by this controller"
        ),
        "{message}"
    );
    assert!(message.contains("acrcredential.dev/adopt"), "{message}");
    assert_eq!(
        lab.secret("taken").await.unwrap().metadata.resource_version,
        theirs.metadata.resource_version
    );
    assert!(lab.pull_secrets("taken", "default").await.is_empty());
    assert_eq!(
        lab.pull_secrets("taken", "old").await,
        [SECRET],
        "an entry beside it belongs to the other writer too"
    );
    // One conflict hides no healthy namespace.
    lab.until_served("free", DOMAIN).await;
    let status = lab.bindings().get("taken").await.unwrap().status.unwrap();
    assert_eq!(
        (status.pairs[0].namespace.as_str(), status.pairs[0].conditions[0].status.as_str()),
        ("taken", "False")
    );
    assert!(status.conditions.iter().any(|c| c.type_ == "Stalled" && c.status == "True"));

    lab.annotate("taken", "acrcredential.dev/adopt", "true").await;
    lab.until_ready_is("taken", "True", "Succeeded").await;
    let ours = lab.secret("taken").await.unwrap();
    assert_eq!(ours.metadata.uid, theirs.metadata.uid, "taken over in place");
    assert_eq!(ours.metadata.labels.unwrap()["team"], "theirs");
    assert!(lab.token("taken", DOMAIN).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_another_type_is_never_taken_over() {
    let lab = Lab::start().await;
    lab.create_namespace("opaque").await;
    let theirs = foreign_secret(&lab, "opaque", "Opaque").await;
    lab.bind("opaque", spec(&["opaque"])).await;
    lab.annotate("opaque", "acrcredential.dev/adopt", "true").await;
    let message = lab.until_ready_is("opaque", "False", "SecretConflict").await;
    assert!(message.contains("has the type Opaque"), "{message}");
    assert_eq!(
        lab.secret("opaque").await.unwrap().metadata.resource_version,
        theirs.metadata.resource_version
    );
    // It recovers as soon as the name is free.
    lab.delete_secret("opaque").await;
    lab.until_ready_is("opaque", "True", "Succeeded").await;
}

/// The watch may deliver another writer's Secret after our first write.
#[tokio::test(flavor = "multi_thread")]
async fn a_create_never_overwrites_an_existing_secret() {
    let lab = Lab::start().await;
    lab.bind("late", spec(&["late-*"])).await;
    for i in 0..10 {
        let name = format!("late-{i}");
        let object = serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
        Api::<Namespace>::all(lab.client.clone()).create(&PostParams::default(), &object).await.unwrap();
        let object = json!({ "metadata": { "name": SECRET }, "type": "kubernetes.io/dockerconfigjson", "stringData": { ".dockerconfigjson": "{}" } });
        let object = serde_json::from_value(object).unwrap();
        let made = lab.namespaced::<Secret>(&name).create(&PostParams::default(), &object).await;
        if let Ok(theirs) = made {
            lab.until("the conflict is seen", async || {
                let status = lab.bindings().get("late").await.unwrap().status.unwrap_or_default();
                status.pairs.iter().any(|p| p.namespace == name && p.conditions[0].reason == "SecretConflict")
            })
            .await;
            assert_eq!(
                lab.secret(&name).await.unwrap().metadata.resource_version,
                theirs.metadata.resource_version
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_quota_is_reported_and_its_raise_recovers() {
    let lab = Lab::start().await;
    lab.create_namespace("full").await;
    lab.create_namespace("roomy").await;
    let quotas = lab.namespaced::<ResourceQuota>("full");
    let quota = serde_json::from_value(
        json!({ "metadata": { "name": "tight" }, "spec": { "hard": { "secrets": "0" } } }),
    )
    .unwrap();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    lab.until("the quota counts", async || {
        quotas.get("tight").await.unwrap().status.is_some_and(|s| s.used.is_some())
    })
    .await;
    lab.bind("full", spec(&["full", "roomy"])).await;
    let message = lab.until_ready_is("full", "False", "QuotaExceeded").await;
    assert!(message.contains("exceeded quota: tight") && message.contains("raise the quota"), "{message}");
    lab.until_served("roomy", DOMAIN).await;
    lab.create_account("full", "later", &[]).await;
    lab.until_settled().await;
    assert!(lab.pull_secrets("full", "later").await.is_empty(), "an entry without a Secret is not added");
    quotas.delete("tight", &DeleteParams::default()).await.unwrap();
    lab.until_ready_is("full", "True", "Succeeded").await;
    assert_eq!(lab.pull_secrets("full", "later").await, [SECRET]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminating_namespace_is_neither_delayed_nor_written_to() {
    let lab = Lab::start().await;
    lab.create_namespace("ending").await;
    lab.bind("ending", spec(&["ending"])).await;
    lab.until_ready_is("ending", "True", "Succeeded").await;
    lab.until_settled().await;
    let mark = lab.mark();
    lab.plane.kubectl_ok(&["delete", "namespace", "ending", "--timeout=20s"]).await.unwrap();
    lab.until_ready_is("ending", "True", "NothingCovered").await;
    let refused = lab.requests(mark).filter(|e| e.code >= 400 && e.namespace == "ending");
    assert!(refused.len() <= 2, "{:?}", refused.counts());
    // A namespace of the same name is another namespace.
    lab.create_namespace("ending").await;
    lab.until_ready_is("ending", "True", "Succeeded").await;
    assert!(lab.token("ending", DOMAIN).await.is_some());
    assert!(lab.mark() > Mark::default());
}

/// A GitOps tool that applies a list of its own reverts ours each time: the list is left alone, and the
/// Secret stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_empties_the_list_wins_without_affecting_other_namespaces() {
    let lab = Lab::start().await;
    for namespace in ["emptied", "calm"] {
        lab.create_namespace(namespace).await;
    }
    lab.create_account("emptied", "other", &[]).await;
    lab.bind("emptied", spec(&["emptied", "calm"])).await;
    lab.until_ready_is("emptied", "True", "Succeeded").await;
    let accounts = lab.namespaced::<ServiceAccount>("emptied");
    let theirs = json!({ "imagePullSecrets": null });
    let params = PatchParams { field_manager: Some("gitops".to_owned()), ..Default::default() };
    let mut emptied = 0;
    let message = loop {
        let ready = lab.condition("emptied", "Ready").await.unwrap();
        if ready.1 == "Contended" {
            break ready.2;
        }
        assert!(emptied < 2_000, "{ready:?}");
        accounts.patch("default", &params, &Patch::Merge(&theirs)).await.unwrap();
        emptied += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(
        message.contains("imagePullSecrets of the ServiceAccount emptied/default is written again"),
        "{message}"
    );
    let mark = lab.mark();
    // Each change is reconciled before the next comes, so that none is merged with another.
    let looks = || lab.reconciled().iter().filter(|namespace| *namespace == "emptied").count();
    for number in 0..5 {
        let before = looks();
        let theirs = json!({ "imagePullSecrets": [{ "name": format!("theirs-{number}") }] });
        accounts.patch("default", &params, &Patch::Merge(&theirs)).await.unwrap();
        lab.until("it is reconciled", async || looks() > before).await;
    }
    let asked = lab.requests(mark);
    let written = asked.writes().filter(|e| e.resource == "serviceaccounts" && e.name == "default");
    assert_eq!(written.len(), 0);
    // The last writer is read once, regardless of further writes.
    let asked = asked.filter(|e| e.verb == "get" && e.resource == "serviceaccounts");
    assert!(asked.len() <= 1, "{:?}", asked.counts());
    accounts.patch("default", &params, &Patch::Merge(&theirs)).await.unwrap();
    // Everything beside the contested list is reconciled as usual.
    lab.delete_secret("emptied").await;
    lab.until_served("emptied", DOMAIN).await;
    lab.create_account("emptied", "later", &[]).await;
    for account in ["other", "later"] {
        lab.until_attached("emptied", account).await;
    }
    lab.until_served("calm", DOMAIN).await;
    lab.until_ready_is("emptied", "True", "Succeeded").await;
    lab.until_attached("emptied", "default").await;
}
