//! The withdrawal guard: a binding that suddenly covers nothing keeps its objects for a grace period, and
//! reports it.

use std::time::Duration;

use acr_lab::plane::Mark;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{DOMAIN, Lab, SECRET, spec};

const PATIENCE: Duration = Duration::from_secs(20);
const CONFIRM: &str = "acrcredential.dev/confirm-withdrawal";

async fn relabel(lab: &Lab, namespace: &str, tier: Value) {
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let patch = json!({ "metadata": { "labels": { "tier": tier } } });
    namespaces.patch(namespace, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

fn selecting(tier: &str) -> Value {
    let mut selected = spec(&[]);
    selected["watchNamespaces"] = json!({ "selector": { "matchLabels": { "tier": tier } } });
    selected
}

/// Returns the message of the hold, once it is reported.
async fn until_held(lab: &Lab, binding: &str, words: &str) -> String {
    let mut message = String::new();
    lab.until(&format!("{binding} reports that its withdrawal of {words} is held"), async || {
        let held = lab.condition(binding, "WithdrawalHeld").await;
        message =
            held.filter(|(status, ..)| status == "True").map(|(.., message)| message).unwrap_or_default();
        message.contains(words)
    })
    .await;
    message
}

async fn until_clean(lab: &Lab, namespaces: &[&str]) {
    for namespace in namespaces {
        lab.until(&format!("{namespace} is clean"), async || {
            lab.secret(namespace).await.is_none()
                && !lab.pull_secrets(namespace, "default").await.contains(&SECRET.to_owned())
        })
        .await;
    }
}

/// Returns the writes to Secrets and ServiceAccounts of any namespace but the controller's.
fn tenant_writes(lab: &Lab, since: Mark) -> Vec<String> {
    let writes = lab.requests(since).writes().filter(|e| {
        (e.resource == "secrets" || e.resource == "serviceaccounts") && e.namespace != "acr-credential-system"
    });
    writes.iter().map(|e| format!("{} {}/{}", e.verb, e.namespace, e.target())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typo_in_the_spec_is_held_reported_and_undone_without_a_write() {
    let lab = Lab::start().await;
    for name in ["typo-a", "typo-b"] {
        lab.create_namespace_with(name, json!({ "tier": "app" })).await;
    }
    lab.bind("typo", selecting("app")).await;
    lab.until_ready_says("typo", "True", "Succeeded", "2 namespaces").await;
    lab.until_settled().await;
    let mark = lab.mark();
    lab.bind("typo", selecting("ap")).await;
    let message = until_held(&lab, "typo", "(typo-a, typo-b)").await;
    assert!(message.contains(&format!("{CONFIRM}: \"2\"")), "{message}");
    let ready = lab.until_ready_says("typo", "False", "CoverageLost", "2 of 2").await;
    assert!(ready.contains("typo-a"), "{ready}");
    assert!(lab.condition("typo", "Stalled").await.is_some(), "a human must look");
    lab.until("an Event reports it", async || {
        let events = lab.plane.kubectl_ok(&["get", "events", "-A", "-o", "json"]).await.unwrap();
        events.contains("WithdrawalHeld")
    })
    .await;
    // Other writers' changes there are repaired as usual, without a withdrawal.
    lab.create_account("typo-a", "late", &[]).await;
    lab.until_settled().await;
    assert_eq!(tenant_writes(&lab, mark), [] as [&str; 0]);
    let mark = lab.mark();
    lab.bind("typo", selecting("app")).await;
    lab.until_ready_says("typo", "True", "Succeeded", "2 namespaces").await;
    assert_eq!(lab.condition("typo", "WithdrawalHeld").await, None);
    lab.until_settled().await;
    let writes = tenant_writes(&lab, mark);
    assert!(writes.len() == 1 && writes[0].contains("typo-a"), "the new account alone: {writes:?}");
}

/// A grace period may be longer than a token's validity: pulls go on until it is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_typo_in_the_accounts_is_held_too() {
    let lab = Lab::start().await;
    lab.create_namespace("accounts").await;
    lab.create_account("accounts", "app", &["mine"]).await;
    let naming = |accounts: &[&str]| {
        let mut spec = spec(&["accounts"]);
        spec["serviceAccounts"] = json!({ "names": accounts });
        spec
    };
    lab.bind("accounts", naming(&["app", "default"])).await;
    lab.until_ready_says("accounts", "True", "Succeeded", "2 ServiceAccounts").await;
    lab.until_settled().await;
    let mark = lab.mark();
    lab.bind("accounts", naming(&["ap"])).await;
    let message = until_held(&lab, "accounts", "no longer covers a ServiceAccount").await;
    assert!(message.contains(&format!("{CONFIRM}: \"2\"")), "{message}");
    lab.until_ready_says("accounts", "False", "CoverageLost", "1 of 1").await;
    // A process that starts meanwhile continues the same grace period.
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until_settled().await;
    assert_eq!(until_held(&lab, "accounts", "no longer covers a ServiceAccount").await, message);
    lab.bind("accounts", naming(&["app", "default"])).await;
    lab.until_ready_says("accounts", "True", "Succeeded", "2 ServiceAccounts").await;
    lab.until_settled().await;
    assert_eq!(tenant_writes(&lab, mark), [] as [&str; 0]);
    // One of two is intended; all of them, once that is confirmed.
    lab.bind("accounts", naming(&["app"])).await;
    lab.until("the other is let go", async || lab.pull_secrets("accounts", "default").await.is_empty()).await;
    lab.bind("accounts", naming(&["ap"])).await;
    let message = until_held(&lab, "accounts", "no longer covers a ServiceAccount").await;
    let generation = lab.bindings().get("accounts").await.unwrap().metadata.generation.unwrap();
    assert!(message.contains(&format!("{CONFIRM}: \"{generation}\"")), "{message}");
    let confirm = json!({ "metadata": { "annotations": { CONFIRM: generation.to_string() } } });
    lab.bindings().patch("accounts", &PatchParams::default(), &Patch::Merge(&confirm)).await.unwrap();
    lab.until("the entry is withdrawn", async || lab.pull_secrets("accounts", "app").await == ["mine"]).await;
    lab.until_ready_is("accounts", "True", "NothingCovered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_secrets_are_refreshed_in_place() {
    let lab = Lab::start().await;
    for name in ["renew-a", "renew-b"] {
        lab.create_namespace(name).await;
    }
    lab.bind("renew", spec(&["renew-*"])).await;
    lab.until_ready_says("renew", "True", "Succeeded", "2 namespaces").await;
    lab.bind("renew", spec(&["renw-*"])).await;
    let expected = until_held(&lab, "renew", "(renew-a, renew-b)").await;
    assert!(expected.contains("are kept and refreshed"), "{expected}");
    // This Secret was deleted by another user: a held Secret is refreshed, not recreated.
    let mark = lab.mark();
    lab.delete_secret("renew-b").await;
    lab.until_settled().await;
    let (uid, old) = (lab.secret("renew-a").await.unwrap().metadata.uid, lab.token("renew-a", DOMAIN).await);
    lab.annotate("renew", "acrcredential.dev/refresh-at", "now").await;
    lab.until("the token has changed", async || lab.token("renew-a", DOMAIN).await != old).await;
    assert_eq!(lab.secret("renew-a").await.unwrap().metadata.uid, uid);
    lab.until_settled().await;
    assert_eq!(tenant_writes(&lab, mark), ["patch renew-a/secrets"]);
    assert_eq!(
        until_held(&lab, "renew", "covers 2 namespaces").await,
        expected,
        "the grace period is the same"
    );
}

/// The new registries were never intended for the namespaces of the old ones.
#[tokio::test(flavor = "multi_thread")]
async fn held_namespaces_get_no_credential_of_registries_from_the_same_edit() {
    let lab = Lab::start().await;
    for name in ["swap-a", "swap-other"] {
        lab.create_namespace(name).await;
    }
    let second = json!([{ "instanceId": "cri-demo0002", "regionId": "cn-beijing" }]);
    let mut other = spec(&["swap-other"]);
    other["registries"] = second.clone();
    lab.bind("other", other).await;
    lab.bind("swap", spec(&["swap-a"])).await;
    lab.until_ready_is("other", "True", "Succeeded").await;
    lab.until_ready_is("swap", "True", "Succeeded").await;
    lab.until_settled().await;
    let (token, mark) = (lab.token("swap-a", DOMAIN).await, lab.mark());
    let mut swapped = spec(&["nowhere"]);
    swapped["registries"] = second;
    lab.bind("swap", swapped).await;
    until_held(&lab, "swap", "(swap-a)").await;
    lab.refresh("swap", "now").await;
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until_settled().await;
    assert_eq!(lab.token("swap-a", DOMAIN).await, token);
    let writes = tenant_writes(&lab, mark);
    assert!(writes.iter().all(|write| write.contains("swap-other")), "{writes:?}");
}

/// A client that replaces the whole object, as `kubectl replace` does, removes our finalizer.
#[tokio::test(flavor = "multi_thread")]
async fn a_binding_that_loses_our_finalizer_gets_it_back_and_nothing_is_withdrawn() {
    let lab = Lab::start().await;
    lab.create_namespace("replaced").await;
    lab.bind("replaced", spec(&["replaced"])).await;
    lab.until_ready_is("replaced", "True", "Succeeded").await;
    lab.until_settled().await;
    let mark = lab.mark();
    let replace = async || {
        let mut object = lab.bindings().get("replaced").await.unwrap();
        object.metadata.finalizers = None;
        lab.bindings().replace("replaced", &PostParams::default(), &object).await.unwrap();
    };
    let until_held = async || {
        lab.until("the finalizer is back", async || {
            lab.bindings().get("replaced").await.unwrap().metadata.finalizers.is_some()
        })
        .await;
        lab.until_settled().await;
        assert_eq!(tenant_writes(&lab, mark), [] as [&str; 0]);
    };
    replace().await;
    until_held().await;
    lab.controller.kill();
    replace().await;
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    until_held().await;
    assert!(lab.token("replaced", DOMAIN).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_period_survives_restarts_and_covers_labels_removed_while_the_controller_was_down() {
    let lab = Lab::start().await;
    for name in ["label-a", "label-b", "label-c"] {
        lab.create_namespace_with(name, json!({ "tier": "app" })).await;
    }
    lab.bind("label", selecting("app")).await;
    lab.until_ready_says("label", "True", "Succeeded", "3 namespaces").await;
    lab.until_settled().await;
    let mark = lab.mark();
    for name in ["label-a", "label-b", "label-c"] {
        relabel(&lab, name, Value::Null).await;
    }
    let expected = until_held(&lab, "label", "covers 3 namespaces (label-a, label-b, label-c)").await;
    // A crash in the middle: the grace period continues.
    lab.controller.kill();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until_settled().await;
    assert_eq!(until_held(&lab, "label", "covers 3 namespaces").await, expected);
    for name in ["label-a", "label-b", "label-c"] {
        relabel(&lab, name, json!("app")).await;
    }
    lab.until_ready_says("label", "True", "Succeeded", "3 namespaces").await;
    // The controller is down meanwhile: the status shows that the binding covered them.
    lab.until_settled().await;
    lab.controller.kill();
    lab.bind("label", selecting("nothing")).await;
    lab.controller.restart().unwrap();
    until_held(&lab, "label", "covers 3 namespaces").await;
    lab.until_settled().await;
    lab.bind("label", selecting("app")).await;
    lab.until_ready_says("label", "True", "Succeeded", "3 namespaces").await;
    lab.until_settled().await;
    assert_eq!(tenant_writes(&lab, mark), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_grace_period_it_is_withdrawn_even_after_a_crash() {
    let lab = Lab::start_with(|options| options.arg("--withdrawal-grace=12s")).await;
    lab.create_namespace("end-a").await;
    lab.create_namespace("end-b").await;
    lab.bind("end", spec(&["end-*"])).await;
    lab.until_ready_says("end", "True", "Succeeded", "2 namespaces").await;
    lab.bind("end", spec(&["nothing"])).await;
    until_held(&lab, "end", "(end-a, end-b)").await;
    // No other event happens meanwhile: the end of the grace period alone withdraws.
    until_clean(&lab, &["end-a", "end-b"]).await;
    lab.until_ready_is("end", "True", "NothingCovered").await;
    assert_eq!(lab.condition("end", "WithdrawalHeld").await, None);

    lab.bind("end", spec(&["end-*"])).await;
    lab.until_ready_says("end", "True", "Succeeded", "2 namespaces").await;
    lab.bind("end", spec(&["nothing"])).await;
    until_held(&lab, "end", "(end-a, end-b)").await;
    assert!(lab.token("end-a", DOMAIN).await.is_some());
    lab.controller.kill();
    lab.controller.restart().unwrap();
    until_clean(&lab, &["end-a", "end-b"]).await;
    lab.until_ready_is("end", "True", "NothingCovered").await;
    assert_eq!(lab.condition("end", "WithdrawalHeld").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_or_a_deletion_withdraws_at_once_and_opting_out_is_not_held() {
    let lab = Lab::start().await;
    for name in ["yes-a", "yes-b", "yes-c", "yes-d"] {
        lab.create_namespace(name).await;
    }
    lab.bind("yes", spec(&["yes-a"])).await;
    lab.bind("del", spec(&["yes-b"])).await;
    lab.bind("out", spec(&["yes-c"])).await;
    let mut retaining = spec(&["yes-d"]);
    retaining["deletionPolicy"] = json!("Retain");
    lab.bind("keep", retaining.clone()).await;
    for binding in ["yes", "del", "out", "keep"] {
        lab.until_ready_is(binding, "True", "Succeeded").await;
    }
    lab.bind("yes", spec(&["nothing"])).await;
    lab.bind("del", spec(&["nothing"])).await;
    retaining["watchNamespaces"]["names"] = json!(["nothing"]);
    lab.bind("keep", retaining).await;
    until_held(&lab, "yes", "(yes-a)").await;
    until_held(&lab, "del", "(yes-b)").await;
    until_held(&lab, "keep", "(yes-d)").await;
    // A confirmation of another generation does not count.
    lab.annotate("yes", CONFIRM, "1").await;
    lab.until_settled().await;
    assert!(lab.secret("yes-a").await.is_some());
    lab.annotate("yes", CONFIRM, "2").await;
    until_clean(&lab, &["yes-a"]).await;
    lab.bindings().delete("del", &DeleteParams::default()).await.unwrap();
    lab.until("the binding is gone", async || lab.bindings().get_opt("del").await.unwrap().is_none()).await;
    // It stayed until the held objects were withdrawn.
    assert!(lab.secret("yes-b").await.is_none());
    assert_eq!(lab.pull_secrets("yes-b", "default").await, [] as [&str; 0]);
    lab.bindings().delete("keep", &DeleteParams::default()).await.unwrap();
    lab.until("the binding is gone", async || lab.bindings().get_opt("keep").await.unwrap().is_none()).await;
    let kept = lab.secret("yes-d").await.unwrap().metadata.annotations.unwrap();
    assert_eq!(kept["acrcredential.dev/retained"], "true");
    // A namespace that opts out by itself is not a typo, though it was the last one.
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let skip = json!({ "metadata": { "annotations": { "acrcredential.dev/skip": "true" } } });
    namespaces.patch("yes-c", &PatchParams::default(), &Patch::Merge(&skip)).await.unwrap();
    until_clean(&lab, &["yes-c"]).await;
}

/// Only this binding's part of a Secret counts when another binding fills the Secret too.
#[tokio::test(flavor = "multi_thread")]
async fn beside_another_binding_the_part_of_the_one_that_lost_its_coverage_stays() {
    let lab = Lab::start().await;
    lab.create_namespace("both").await;
    lab.create_account("both", "web", &[]).await;
    let of = |namespace: &str, domain: &str, account: &str| {
        json!({
            "registries": [{ "instanceId": "cri-demo0001", "domains": [domain] }],
            "watchNamespaces": { "names": [namespace] },
            "serviceAccounts": { "names": [account] },
        })
    };
    lab.bind("one", of("both", "one.example.com", "default")).await;
    lab.bind("two", of("both", "two.example.com", "web")).await;
    lab.until_served("both", "one.example.com").await;
    lab.until_served("both", "two.example.com").await;
    lab.until_attached("both", "web").await;
    lab.until_ready_is("two", "True", "Succeeded").await;
    lab.until_settled().await;
    let mark = lab.mark();
    lab.bind("two", of("nowhere", "two.example.com", "web")).await;
    until_held(&lab, "two", "covers 1 namespace (both)").await;
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until_settled().await;
    assert_eq!(tenant_writes(&lab, mark), [] as [&str; 0]);
    lab.annotate("two", CONFIRM, "2").await;
    lab.until("only the other's part is left", async || {
        lab.auths("both").await.unwrap().keys().eq(["one.example.com"])
            && lab.pull_secrets("both", "web").await.is_empty()
    })
    .await;
    lab.until_attached("both", "default").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_config_maps_binding_is_guarded_too() {
    let lab = Lab::start().await;
    lab.create_namespace("legacy-a").await;
    let map = |namespaces: &str| {
        json!({
            "watch-namespace": namespaces,
            "service-account": "*",
            "acr-registry-info": "- instanceId: cri-demo0001\n  regionId: cn-hangzhou\n",
        })
    };
    lab.put_config_map(map("legacy-a")).await;
    lab.until_ready_is("acr-configuration", "True", "Succeeded").await;
    lab.until_served("legacy-a", DOMAIN).await;
    lab.until_settled().await;
    let mark = lab.mark();
    lab.put_config_map(map("legacy-b")).await;
    until_held(&lab, "acr-configuration", "(legacy-a)").await;
    lab.put_config_map(map("legacy-a")).await;
    lab.until_ready_is("acr-configuration", "True", "Succeeded").await;
    lab.until_settled().await;
    assert_eq!(tenant_writes(&lab, mark), [] as [&str; 0]);
}
