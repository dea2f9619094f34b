//! Cures of a binding: what it covers, what it claims, and its own switches.

use acr_lab::message::{after, between};
use serde_json::{Value, json};

use super::annotate;
use crate::harness::{Lab, SECRET, spec};

fn with(namespace: &str, key: &str, value: Value) -> Value {
    let mut with = spec(&[namespace]);
    with[key] = value;
    with
}

async fn patch(lab: &Lab, binding: &str, patch: Value) {
    let patch = patch.to_string();
    lab.plane.kubectl_ok(&["patch", "acb", binding, "--type=merge", "-p", &patch]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_that_serves_nothing_serves_again_as_its_reason_says() {
    let lab = Lab::start().await;
    for namespace in ["rests", "typo", "unserved", "undomained"] {
        lab.create_namespace(namespace).await;
    }
    // `spec.suspend`, which the message names with its value.
    lab.bind("rests", with("rests", "suspend", json!(true))).await;
    let message = lab.until_ready_is("rests", "False", "Suspended").await;
    assert_eq!(between(&message, "spec.", " is "), "suspend");
    patch(&lab, "rests", json!({ "spec": { "suspend": false } })).await;
    lab.until_ready_is("rests", "True", "Succeeded").await;

    lab.bind("typo", spec(&["tpyo"])).await;
    let message = lab.until_ready_is("typo", "True", "NothingCovered").await;
    after(&message, "namespace");
    patch(&lab, "typo", json!({ "spec": { "watchNamespaces": { "names": ["typo"] } } })).await;
    lab.until_ready_is("typo", "True", "Succeeded").await;

    lab.bind("unserved", with("unserved", "serviceAccounts", json!({ "names": ["other"] }))).await;
    let message = lab.until_ready_is("unserved", "True", "NothingCovered").await;
    after(&message, "ServiceAccount");
    patch(&lab, "unserved", json!({ "spec": { "serviceAccounts": { "names": ["default"] } } })).await;
    lab.until_ready_is("unserved", "True", "Succeeded").await;

    // An instance without a domain: its entry lists one.
    lab.cloud.world(|world| {
        let endpoints = &mut world.instances.get_mut("cri-demo0002").unwrap().endpoints;
        endpoints.iter_mut().for_each(|endpoint| endpoint.enable = false);
    });
    let entry = |domains: Value| json!([{ "instanceId": "cri-demo0002", "regionId": "cn-beijing", "domains": domains }]);
    lab.bind("undomained", with("undomained", "registries", entry(json!([])))).await;
    let message = lab.until_ready_is("undomained", "False", "NoDomains").await;
    assert_eq!(after(&message, "or list "), "domains");
    patch(&lab, "undomained", json!({ "spec": { "registries": entry(json!(["img.example.com"])) } })).await;
    lab.until_ready_is("undomained", "True", "Succeeded").await;
    lab.until_served("undomained", "img.example.com").await;
}

/// A region that is misspelt, and one of another instance: the remark on it gives the right one.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_corrected_as_the_remark_on_it_says() {
    let lab = Lab::start().await;
    for (namespace, words, next, entry) in [
        (
            "misspelt",
            ": write ",
            " if that is meant",
            json!({ "instanceId": "cri-demo0001", "regionId": "cn-hangzou" }),
        ),
        (
            "elsewhere",
            ": write regionId ",
            " if the instance is there",
            json!({ "instanceId": "cri-demo0002", "regionId": "cn-hangzhou", "domains": ["x-registry.cn-beijing.cr.aliyuncs.com"] }),
        ),
    ] {
        lab.create_namespace(namespace).await;
        lab.bind(namespace, with(namespace, "registries", json!([entry]))).await;
        let message = lab.until_ready_says(namespace, "False", "InstanceNotFound", next).await;
        let mut cured = entry.clone();
        cured["regionId"] = json!(between(&message, words, next));
        patch(&lab, namespace, json!({ "spec": { "registries": [cured] } })).await;
        lab.until_ready_is(namespace, "True", "Succeeded").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contested_domain_is_served_once_it_is_removed_from_one_of_its_claims() {
    let lab = Lab::start().await;
    lab.create_namespace("claimed").await;
    let entry = |instance: &str, region: &str, domains: &[&str]| json!({ "instanceId": instance, "regionId": region, "domains": domains });
    let of = |entries: Value| with("claimed", "registries", entries);
    lab.bind("first", of(json!([entry("cri-demo0001", "cn-hangzhou", &["img.example.com"])]))).await;
    lab.until_ready_is("first", "True", "Succeeded").await;
    lab.until("a second has passed", async || {
        let created = lab.bindings().get("first").await.unwrap().metadata.creation_timestamp.unwrap().0;
        lab.cloud.now() / 1000 > created.as_second()
    })
    .await;
    let contesting =
        of(json!([entry("cri-demo0002", "cn-beijing", &["img.example.com", "two.example.com"])]));
    for younger in [true, false] {
        lab.bind("second", contesting.clone()).await;
        let message = lab.until_ready_is("second", "False", "DomainContested").await;
        let domain = between(&message, ": ", " is claimed first by binding ");
        let older = between(&message, " is claimed first by binding ", ",");
        assert_eq!((domain, older), ("img.example.com", "first"));
        let (binding, entries) = if younger {
            ("second", json!([entry("cri-demo0002", "cn-beijing", &["two.example.com"])]))
        } else {
            (older, json!([entry("cri-demo0001", "cn-hangzhou", &["other.example.com"])]))
        };
        patch(&lab, binding, json!({ "spec": { "registries": entries } })).await;
        lab.until_ready_is("second", "True", "Succeeded").await;
        lab.until_ready_is("first", "True", "Succeeded").await;
    }
}

/// Each of the ways that the report of a held withdrawal names.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_withdrawal_is_undone_or_confirmed_as_its_message_says() {
    let lab = Lab::start().await;
    let namespaces = ["held-correct", "held-confirm", "held-delete", "held-entries", "held-accounts"];
    for namespace in namespaces {
        lab.create_namespace(namespace).await;
        lab.bind(namespace, spec(&[namespace])).await;
    }
    for namespace in namespaces {
        lab.until_ready_is(namespace, "True", "Succeeded").await;
        let typo = match namespace {
            "held-entries" | "held-accounts" => {
                json!({ "spec": { "serviceAccounts": { "names": ["defualt"] } } })
            }
            _ => json!({ "spec": { "watchNamespaces": { "names": ["hled"] } } }),
        };
        patch(&lab, namespace, typo).await;
    }
    for namespace in namespaces {
        let mut message = String::new();
        lab.until(&format!("the withdrawal of {namespace} is held"), async || {
            let held = lab.condition(namespace, "WithdrawalHeld").await;
            message = held.map(|(.., message)| message).unwrap_or_default();
            !message.is_empty()
        })
        .await;
        let confirm = "To confirm it, annotate the binding with";
        after(&message, confirm);
        let gone = match namespace {
            "held-correct" => {
                after(&message, "correct spec.watchNamespaces or the labels");
                patch(&lab, namespace, json!({ "spec": { "watchNamespaces": { "names": [namespace] } } }))
                    .await;
                false
            }
            "held-accounts" => {
                after(&message, "correct spec.serviceAccounts");
                patch(&lab, namespace, json!({ "spec": { "serviceAccounts": { "names": ["default"] } } }))
                    .await;
                false
            }
            "held-delete" => {
                after(&message, "or delete the binding");
                lab.plane.kubectl_ok(&["delete", "acb", namespace]).await.unwrap();
                true
            }
            _ => {
                annotate(&lab, &["acb", namespace], &message, confirm).await;
                true
            }
        };
        if gone {
            lab.until(&format!("{namespace} is clean"), async || {
                !lab.pull_secrets(namespace, "default").await.contains(&SECRET.to_owned())
                    && lab.condition(namespace, "WithdrawalHeld").await.is_none()
            })
            .await;
        } else {
            lab.until_ready_is(namespace, "True", "Succeeded").await;
            assert_eq!(lab.condition(namespace, "WithdrawalHeld").await, None);
        }
    }
}
