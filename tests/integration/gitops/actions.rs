//! Argo CD's actions on real bindings: what its interpreter makes of them is sent to the API server as Argo CD does.

use acr_lab::health::{Judges, Question, Verdict};
use acr_lab::message::{after, between};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{customization, read};
use crate::harness::{DOMAIN, Lab, SECRET, spec};

const REFRESH_AT: &str = "acrcredential.dev/refresh-at";

async fn object(lab: &Lab, binding: &str) -> Value {
    let text = lab.plane.kubectl_ok(&["get", "acb", binding, "-o", "json"]).await.unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Returns the actions that Argo CD offers.
async fn offered(lab: &Lab, binding: &str) -> Vec<String> {
    let (script, object) = (read(customization("actions/discovery.lua")), object(lab, binding).await);
    let found = Judges::find()
        .unwrap()
        .ask(&[Question::Actions { script: &script, object: &object }])
        .unwrap()
        .remove(0);
    assert_eq!(found.error, "");
    found.actions.into_iter().filter(|(_, is_enabled)| *is_enabled).map(|(name, _)| name).collect()
}

async fn run(lab: &Lab, binding: &str, action: &str) -> Verdict {
    let script = read(customization(&format!("actions/{action}/action.lua")));
    let object = object(lab, binding).await;
    Judges::find().unwrap().ask(&[Question::Run { script: &script, object: &object }]).unwrap().remove(0)
}

/// Runs an action, and sends its patch.
async fn act(lab: &Lab, binding: &str, action: &str) {
    let verdict = run(lab, binding, action).await;
    assert_eq!(verdict.error, "", "{action}");
    let patch = Patch::Merge(&verdict.patch);
    lab.bindings().patch(binding, &PatchParams::default(), &patch).await.unwrap();
}

/// Runs `refresh`, and waits until its request is handled and the token has changed.
async fn assert_refreshes(lab: &Lab, binding: &str, namespace: &str) {
    let before = lab.token(namespace, DOMAIN).await;
    act(lab, binding, "refresh").await;
    lab.until("the refresh is handled", async || {
        let object = object(lab, binding).await;
        let asked = &object["metadata"]["annotations"][REFRESH_AT];
        asked.is_string() && object["status"]["lastHandledRefreshAt"] == *asked
    })
    .await;
    lab.until("the token has changed", async || lab.token(namespace, DOMAIN).await != before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_is_suspended_resumed_and_refreshed() {
    let lab = Lab::start().await;
    lab.create_namespace("acted").await;
    lab.bind("acted", spec(&["acted"])).await;
    lab.until_ready_is("acted", "True", "Succeeded").await;
    assert_eq!(offered(&lab, "acted").await, ["refresh", "suspend"]);
    act(&lab, "acted", "suspend").await;
    lab.until_ready_is("acted", "False", "Suspended").await;
    assert_eq!(offered(&lab, "acted").await, ["resume"]);
    lab.create_account("acted", "later", &[]).await;
    lab.until_settled().await;
    assert!(lab.pull_secrets("acted", "later").await.is_empty());
    act(&lab, "acted", "resume").await;
    lab.until_ready_is("acted", "True", "Succeeded").await;
    assert_eq!(lab.pull_secrets("acted", "later").await, [SECRET]);
    assert_refreshes(&lab, "acted", "acted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_of_the_config_map_is_refreshed_and_suspended_only_once_it_is_its_users_own() {
    const NAME: &str = "acr-configuration";
    let lab = Lab::start().await;
    lab.put_config_map(json!({ "acr-registry-info": "- instanceId: cri-demo0001\n" })).await;
    lab.until_ready_is(NAME, "True", "Succeeded").await;
    assert_eq!(offered(&lab, NAME).await, ["refresh"]);
    assert_refreshes(&lab, NAME, "default").await;

    // Argo CD runs an action that it does not offer, if its API is asked to.
    let refused = run(&lab, NAME, "suspend").await;
    assert_eq!(refused.patch, Value::Null);
    let by_hand = json!({ "spec": { "suspend": true } });
    let edited = lab.bindings().patch(NAME, &PatchParams::default(), &Patch::Merge(&by_hand)).await.unwrap();
    assert!(edited.spec.suspend);
    lab.until("the edit is reverted", async || !lab.bindings().get(NAME).await.unwrap().spec.suspend).await;

    // The cure of the message.
    let (namespace, name) = between(&refused.error, "since ", " is authoritative").split_once('/').unwrap();
    let annotation = after(&refused.error, "annotate the ConfigMap with ").split(' ').next().unwrap();
    lab.plane.kubectl_ok(&["-n", namespace, "annotate", "configmap", name, annotation]).await.unwrap();
    lab.until("it is offered", async || offered(&lab, NAME).await == ["refresh", "suspend"]).await;
    act(&lab, NAME, "suspend").await;
    lab.until_ready_is(NAME, "False", "Suspended").await;
}
