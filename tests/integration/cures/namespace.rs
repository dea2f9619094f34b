//! Cures of one namespace: quotas, Secrets of other owners, and missing rights.

use acr_lab::message::{after, between};
use k8s_openapi::api::core::v1::{ResourceQuota, Secret};
use kube::api::PostParams;
use serde_json::{Value, json};

use super::{annotate, apply, apply_changed};
use crate::harness::{Lab, SECRET, spec};

async fn fill_quota(lab: &Lab, namespace: &str, hard: &str) {
    let quotas = lab.namespaced::<ResourceQuota>(namespace);
    let quota = json!({ "metadata": { "name": "tenant" }, "spec": { "hard": { "secrets": hard } } });
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    lab.until("the quota counts", async || {
        quotas.get("tenant").await.unwrap().status.is_some_and(|status| status.used.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_quota_is_raised_or_its_namespace_excluded_as_the_message_says() {
    let lab = Lab::start().await;
    lab.create_namespace("quota-other").await;
    let namespaces = ["quota-raise", "quota-exclude", "quota-delete"];
    for namespace in namespaces {
        lab.create_namespace(namespace).await;
        let hard = if namespace == "quota-delete" { "1" } else { "0" };
        if hard == "1" {
            lab.put_secret(namespace, "theirs", json!({ "a": "b" })).await;
        }
        fill_quota(&lab, namespace, hard).await;
        lab.bind(namespace, spec(&[namespace, "quota-other"])).await;
    }
    for namespace in namespaces {
        let message = lab.until_ready_is(namespace, "False", "QuotaExceeded").await;
        match namespace {
            "quota-raise" => {
                after(&message, "raise the quota for secrets");
                let (in_namespace, quota) =
                    between(&message, "(kubectl ", ")").split_once(" edit resourcequota ").unwrap();
                let more = json!({ "spec": { "hard": { "secrets": "1" } } }).to_string();
                // An edit without an editor.
                let mut patch: Vec<&str> = in_namespace.split(' ').collect();
                patch.extend(["patch", "resourcequota", quota, "--type=merge", "-p", &more]);
                lab.plane.kubectl_ok(&patch).await.unwrap();
            }
            "quota-delete" => {
                after(&message, "delete a Secret there");
                lab.plane.kubectl_ok(&["-n", namespace, "delete", "secret", "theirs"]).await.unwrap();
            }
            _ => {
                after(&message, "or exclude the namespace from the binding");
                let mut excluding = spec(&[namespace, "quota-other"]);
                excluding["watchNamespaces"]["exclude"] = json!([namespace]);
                lab.bind(namespace, excluding).await;
            }
        }
    }
    for namespace in namespaces {
        lab.until_ready_is(namespace, "True", "Succeeded").await;
    }
}

async fn put_foreign(lab: &Lab, namespace: &str, type_: &str) {
    let data = match type_ {
        "Opaque" => json!({ "key": "x" }),
        _ => json!({ ".dockerconfigjson": "{\"auths\":{}}" }),
    };
    let object = json!({ "metadata": { "name": SECRET }, "type": type_, "stringData": data });
    let object = serde_json::from_value(object).unwrap();
    lab.namespaced::<Secret>(namespace).create(&PostParams::default(), &object).await.unwrap();
}

/// Returns namespace and name of the Secret that a message names.
fn secret_of(message: &str) -> (&str, &str) {
    between(message, ": Secret ", " ").split_once('/').unwrap()
}

async fn delete(lab: &Lab, message: &str) {
    let (namespace, name) = secret_of(message);
    lab.plane.kubectl_ok(&["-n", namespace, "delete", "secret", name]).await.unwrap();
}

/// Renames as Kubernetes allows it: a copy under another name, and the deletion of the first.
async fn rename(lab: &Lab, message: &str) {
    let (namespace, name) = secret_of(message);
    let text = lab.plane.kubectl_ok(&["-n", namespace, "get", "secret", name, "-o", "json"]).await.unwrap();
    let mut copy: Value = serde_json::from_str(&text).unwrap();
    copy["metadata"] = json!({ "name": "renamed", "namespace": namespace });
    lab.plane.apply(&copy.to_string()).await.unwrap();
    delete(lab, message).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_another_owner_makes_room_as_the_message_says() {
    const OURS: &str = "kubernetes.io/dockerconfigjson";
    let lab = Lab::start().await;
    let cases = [
        ("taken-delete", OURS, "was not created by this controller: delete or rename it"),
        ("taken-rename", OURS, "was not created by this controller: delete or rename it"),
        ("taken-adopt", OURS, "or annotate the binding with"),
        ("type-command", "Opaque", "which cannot be changed: delete it ("),
    ];
    for (namespace, type_, _) in cases {
        lab.create_namespace(namespace).await;
        put_foreign(&lab, namespace, type_).await;
        lab.bind(namespace, spec(&[namespace])).await;
    }
    for (namespace, _, words) in cases {
        let message = lab.until_ready_is(namespace, "False", "SecretConflict").await;
        after(&message, words);
        match namespace.split_once('-').unwrap().1 {
            "delete" => delete(&lab, &message).await,
            "rename" => rename(&lab, &message).await,
            "command" => {
                let command: Vec<&str> = between(&message, "(kubectl ", ")").split(' ').collect();
                lab.plane.kubectl_ok(&command).await.unwrap();
            }
            _ => annotate(&lab, &["acb", namespace], &message, words).await,
        }
        lab.until_ready_is(namespace, "True", "Succeeded").await;
        lab.until_attached(namespace, "default").await;
    }
}

/// RBAC of another version refuses what this version writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_is_allowed_by_the_files_of_this_version() {
    let lab = Lab::start().await;
    lab.create_namespace("refused").await;
    let words = "apply deploy/rbac.yaml of this version";
    let verbs = "verbs: [get, list, watch, create, patch, delete]\n# RBAC cannot";
    apply_changed(&lab, "deploy/rbac.yaml", verbs, &verbs.replace("create, ", "")).await;
    lab.bind("refused", spec(&["refused"])).await;
    let message = lab.until_ready_is("refused", "False", "Forbidden").await;
    assert!(message.contains("is forbidden") && message.ends_with(words), "{message}");
    apply(&lab, &message).await;
    lab.until_ready_is("refused", "True", "Succeeded").await;
}
