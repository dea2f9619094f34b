//! Cures of the legacy ConfigMap and of the binding that is made from it.

use acr_lab::message::{after, between};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::annotate;
use crate::harness::{Lab, spec};

const NAME: &str = "acr-configuration";

fn valid() -> Value {
    json!({ "watch-namespace": "default", "acr-registry-info": "- instanceId: cri-demo0001\n" })
}

/// Returns the note of the newest Event with this reason, once there is one that holds the words.
async fn note(lab: &Lab, reason: &str, words: &str) -> String {
    let mut found = None;
    lab.until(&format!("an Event {reason} says {words}"), async || {
        let selector = format!("--field-selector=reason={reason}");
        let text = lab.plane.kubectl_ok(&["get", "events", "-A", "-o", "json", &selector]).await.unwrap();
        let events: Value = serde_json::from_str(&text).unwrap();
        let notes = events["items"].as_array().unwrap().iter().filter_map(|event| event["message"].as_str());
        found = notes.filter(|note| note.contains(words)).last().map(str::to_owned);
        found.is_some()
    })
    .await;
    found.unwrap()
}

async fn until_config_is(lab: &Lab, status: &str, reason: &str) -> String {
    let mut message = String::new();
    lab.until(&format!("LegacyConfigValid is {status} {reason}"), async || {
        match lab.condition(NAME, "LegacyConfigValid").await {
            Some((s, r, words)) if s == status && r == reason => {
                message = words;
                true
            }
            _ => false,
        }
    })
    .await;
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_is_corrected_restored_or_edited_as_the_message_says() {
    let lab = Lab::start_with(|options| options.arg("--config-map-grace=60s")).await;
    lab.put_config_map(valid()).await;
    lab.until_ready_is(NAME, "True", "Succeeded").await;

    // The message has the key, the line and the words of the correction.
    let mut wrong = valid();
    wrong["acr-registry-info"] =
        json!("- instanceId: cri-demo0001\n  regionId: cn-hangzhou domains: a.example.com\n");
    lab.put_config_map(wrong.clone()).await;
    let message = until_config_is(&lab, "False", "LegacyConfigInvalid").await;
    after(&message, "align its other keys with instanceId, each with a colon and a space");
    let (key, line) = between(&message, " ", ":").split_once(" line ").unwrap();
    let line: usize = line.parse().unwrap();
    let mut lines: Vec<String> = wrong[key].as_str().unwrap().lines().map(str::to_owned).collect();
    lines[line - 1] = lines[line - 1].replace(" domains:", "\n  domains:");
    wrong[key] = json!(lines.join("\n"));
    lab.put_config_map(wrong).await;
    until_config_is(&lab, "True", "Succeeded").await;
    lab.until_ready_is(NAME, "True", "Succeeded").await;

    // The edit that was reverted is made in the ConfigMap instead.
    lab.create_namespace("apps").await;
    let edit = json!({ "spec": { "watchNamespaces": { "names": ["apps"] } } }).to_string();
    lab.plane.kubectl_ok(&["patch", "acb", NAME, "--type=merge", "-p", &edit]).await.unwrap();
    let note = note(&lab, "HandEditReverted", "Edit the ConfigMap instead").await;
    let (namespace, name) = between(&note, "made from the ConfigMap ", ",").split_once('/').unwrap();
    let edit = json!({ "data": { "watch-namespace": "apps" } }).to_string();
    let patch = ["-n", namespace, "patch", "configmap", name, "--type=merge", "-p", &edit];
    lab.plane.kubectl_ok(&patch).await.unwrap();
    lab.until("the edit is in force", async || {
        lab.bindings().get(NAME).await.unwrap().spec.watch_namespaces.names == ["apps"]
    })
    .await;

    // A ConfigMap that is gone comes back within the time of the message.
    let maps = lab.namespaced::<ConfigMap>("kube-system");
    let saved = maps.get(NAME).await.unwrap().data.unwrap();
    maps.delete(NAME, &DeleteParams::default()).await.unwrap();
    let message = until_config_is(&lab, "False", "LegacyConfigMissing").await;
    assert_eq!(between(&message, "Unless it comes back within ", " s of its deletion"), "60");
    lab.put_config_map(json!(saved)).await;
    until_config_is(&lab, "True", "Succeeded").await;
}

/// Deleting the binding, deleting the ConfigMap, and the annotation: each ends the confusion.
#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_beside_a_binding_of_its_name_is_resolved_as_the_event_says() {
    let lab = Lab::start().await;
    let theirs = spec(&["default"]);
    let words = "delete one of them, or annotate the ConfigMap with";
    lab.bind(NAME, theirs.clone()).await;
    lab.put_config_map(valid()).await;
    let first = note(&lab, "BindingNotConverted", words).await;
    let binding = between(&first, "The AcrCredentialBinding ", " is not made");
    lab.plane.kubectl_ok(&["delete", "acb", binding]).await.unwrap();
    until_config_is(&lab, "True", "Succeeded").await;

    // The user's own binding again, and a ConfigMap that is given up.
    let maps = lab.namespaced::<ConfigMap>("kube-system");
    annotate(&lab, &["-n", "kube-system", "configmap", NAME], &first, words).await;
    lab.until("the binding is the user's", async || {
        let labels = lab.bindings().get(NAME).await.unwrap().metadata.labels.unwrap_or_default();
        !labels.contains_key("acrcredential.dev/converted")
    })
    .await;
    lab.until("the condition is gone", async || lab.condition(NAME, "LegacyConfigValid").await.is_none())
        .await;
    let edit = json!({ "spec": { "watchNamespaces": { "names": ["default", "apps"] } } }).to_string();
    lab.plane.kubectl_ok(&["patch", "acb", NAME, "--type=merge", "-p", &edit]).await.unwrap();
    after(&first, words);
    maps.delete(NAME, &DeleteParams::default()).await.unwrap();
    lab.until_settled().await;
    assert_eq!(lab.bindings().get(NAME).await.unwrap().spec.watch_namespaces.names, ["default", "apps"]);
}
