//! Each state of a binding, made on a real API server by the real controller, and what the tools say of it.

use std::time::{Duration, Instant};

use acr_credential_binding::api::AcrCredentialBinding;
use acr_lab::cloud::{Fault, FaultKind};
use acr_lab::health::{Judges, Question};
use acr_lab::plane::Target;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use regex::Regex;
use serde_json::{Value, json};

use super::{Checks, STATES, assert_kept, customization, dump, is_update, read, verdicts};
use crate::harness::{Lab, PATIENCE, SECRET, spec};
use crate::invalid::loosen;

const BINDING: &str = "team-a";
const NAMESPACE: &str = "team-a-dev";

/// Returns a binding as a client reads it that knows no type of ours.
async fn raw(lab: &Lab, binding: &str) -> Value {
    let resource = ApiResource::erase::<AcrCredentialBinding>(&());
    let api: Api<DynamicObject> = Api::all_with(lab.client.clone(), &resource);
    let mut object = api.get(binding).await.unwrap();
    object.metadata.managed_fields = None;
    serde_json::to_value(object).unwrap()
}

/// Replaces what differs from run to run: times, UIDs, ids of requests and versions.
fn normalised(value: Value) -> Value {
    let time = Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").unwrap();
    let uid = Regex::new(r"(?i)\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b").unwrap();
    let mut text = value.to_string();
    if let Some(version) = value["metadata"]["resourceVersion"].as_str() {
        text = text.replace(&format!("\"resourceVersion\":\"{version}\""), "\"resourceVersion\":\"1\"");
    }
    let text = time.replace_all(&text, "2026-01-01T00:00:00Z");
    let text = uid.replace_all(&text, "00000000-0000-0000-0000-000000000000");
    serde_json::from_str(&text).unwrap()
}

/// Asserts that a binding is as the kept dump of a state says, and that each judge says of it what the table says.
async fn assert_state(lab: &Lab, binding: &str, name: &str) {
    let state = STATES.iter().find(|state| state.name == name).unwrap();
    let path = customization(&format!("testdata/{name}.yaml"));
    let (end, mut last, mut equal) = (Instant::now() + PATIENCE, String::new(), 0);
    // Counts of the status follow its reason. What is written is the same for a second.
    let object = loop {
        let object = raw(lab, binding).await;
        let actual = serde_saphyr::to_string(&normalised(object.clone())).unwrap();
        equal = if actual == last { equal + 1 } else { 0 };
        let is_kept = std::fs::read_to_string(&path).is_ok_and(|kept| kept == actual);
        if (is_kept && !is_update()) || (equal >= 20 && is_update()) || Instant::now() > end {
            assert_kept(path, &actual);
            break object;
        }
        last = actual;
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let (checks, kept) = (Checks::read(), dump(name));
    let script = &checks.health;
    let mut questions = checks.questions(&object).to_vec();
    questions.push(Question::Health { script, object: &kept });
    let answers = Judges::find().unwrap().ask(&questions).unwrap();
    assert_eq!(verdicts(name, &answers), [state.argo, state.kstatus, state.cel], "{name}");
    // The file says what the object says.
    assert_eq!(normalised(json!(answers[0].message)), json!(answers[3].message), "{name}");
}

fn fault(kind: FaultKind) -> Fault {
    Fault { action: "GetAuthorizationToken".to_owned(), instance: None, kind, times: None }
}

fn refused(status: u16, code: &str) -> Fault {
    fault(FaultKind::Status { status, code: code.to_owned(), message: "why".to_owned() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_is_judged_from_its_creation_to_its_withdrawal() {
    let (lab, proxy) = Lab::proxied().await;
    lab.until_policies_enforced().await;
    lab.create_namespace(NAMESPACE).await;
    lab.controller.kill();
    lab.bind(BINDING, spec(&[NAMESPACE])).await;
    assert_state(&lab, BINDING, "just-created").await;

    // The call is answered while the dump is compared, or after it.
    lab.cloud.fault(fault(FaultKind::Slow(Duration::from_secs(8))));
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until_ready_is(BINDING, "False", "Progressing").await;
    assert_state(&lab, BINDING, "minting").await;
    lab.cloud.clear_faults();
    lab.until_ready_is(BINDING, "True", "Succeeded").await;
    assert_state(&lab, BINDING, "ready").await;

    let mut suspended = spec(&[NAMESPACE]);
    suspended["suspend"] = json!(true);
    lab.bind(BINDING, suspended).await;
    lab.until_ready_is(BINDING, "False", "Suspended").await;
    assert_state(&lab, BINDING, "suspended").await;
    lab.bind(BINDING, spec(&[NAMESPACE])).await;
    lab.until_ready_is(BINDING, "True", "Succeeded").await;

    lab.bind(BINDING, spec(&["taem-a-dev"])).await;
    lab.until_ready_is(BINDING, "False", "CoverageLost").await;
    assert_state(&lab, BINDING, "coverage-lost").await;
    lab.bind(BINDING, spec(&[NAMESPACE])).await;
    lab.until_ready_is(BINDING, "True", "Succeeded").await;

    let mut held = proxy.hold(Target::new("delete", "secrets"));
    lab.bindings().delete(BINDING, &DeleteParams::default()).await.unwrap();
    tokio::time::timeout(PATIENCE, held.until_caught(1)).await.unwrap().unwrap();
    lab.until_ready_is(BINDING, "False", "Withdrawing").await;
    assert_state(&lab, BINDING, "withdrawing").await;
    drop(held);
    lab.until("the binding is gone", async || lab.bindings().get_opt(BINDING).await.unwrap().is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_refresh_is_judged_before_and_after_the_expiry() {
    let lab = Lab::start().await;
    lab.until_policies_enforced().await;
    lab.cloud.world(|world| world.lifetimes.registry_token_cap = Some(Duration::from_secs(20)));
    lab.create_namespace(NAMESPACE).await;
    lab.bind(BINDING, spec(&[NAMESPACE])).await;
    lab.until_ready_is(BINDING, "True", "Succeeded").await;
    lab.cloud.fault(refused(403, "NoPrivilege"));
    lab.annotate(BINDING, "acrcredential.dev/refresh-at", "first").await;
    lab.until_ready_is(BINDING, "True", "RefreshFailing").await;
    // Its cause is one that a person has to correct, and no pull is refused yet.
    assert_state(&lab, BINDING, "refresh-failing").await;
    lab.until_ready_is(BINDING, "False", "AccessDenied").await;
    assert_state(&lab, BINDING, "expired-and-denied").await;
    lab.cloud.clear_faults();
    lab.cloud.fault(refused(500, "InternalError"));
    lab.annotate(BINDING, "acrcredential.dev/refresh-at", "second").await;
    lab.until_ready_is(BINDING, "False", "CloudFailing").await;
    assert_state(&lab, BINDING, "expired").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_that_needs_a_person_is_judged_as_failed() {
    let lab = Lab::start().await;
    lab.until_policies_enforced().await;
    let allow = |is_allowed: bool| {
        let action = "cr:GetAuthorizationToken";
        lab.cloud.world(|world| {
            let allowed = &mut world.role_mut("1", "KubernetesWorkerRole-demo").unwrap().policy.allow;
            if is_allowed {
                allowed.insert(action.to_owned())
            } else {
                allowed.remove(action)
            };
        });
    };
    allow(false);
    lab.create_namespace(NAMESPACE).await;
    lab.bind(BINDING, spec(&[NAMESPACE])).await;
    lab.until_ready_is(BINDING, "False", "AccessDenied").await;
    assert_state(&lab, BINDING, "access-denied").await;
    allow(true);
    lab.until_ready_is(BINDING, "True", "Succeeded").await;

    // Another tool states the list without our entry, again and again.
    let accounts = lab.namespaced::<ServiceAccount>(NAMESPACE);
    let params = PatchParams { field_manager: Some("gitops".to_owned()), ..PatchParams::default() };
    let is_contended =
        async || lab.condition(BINDING, "Ready").await.is_some_and(|(_, reason, _)| reason == "Contended");
    for undone in 0.. {
        assert!(undone < 200, "it is never reported");
        lab.until("our entry or the report is there", async || {
            is_contended().await || lab.pull_secrets(NAMESPACE, "default").await.contains(&SECRET.to_owned())
        })
        .await;
        if is_contended().await {
            break;
        }
        let theirs = Patch::Merge(json!({ "imagePullSecrets": null }));
        accounts.patch("default", &params, &theirs).await.unwrap();
    }
    assert_state(&lab, BINDING, "contended").await;
    lab.until_ready_is(BINDING, "True", "Succeeded").await;

    loosen(&lab).await;
    let mut invalid = spec(&[NAMESPACE]);
    invalid["expiringThreshold"] = json!("0s");
    lab.until("the loose schema is in force", async || lab.try_bind(BINDING, invalid.clone()).await.is_ok())
        .await;
    lab.until_ready_is(BINDING, "False", "InvalidSpec").await;
    assert_state(&lab, BINDING, "invalid-spec").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_is_judged_as_suspended() {
    let lab = Lab::start_with(|options| options.arg("--dry-run")).await;
    lab.until_policies_enforced().await;
    lab.create_namespace(NAMESPACE).await;
    lab.bind(BINDING, spec(&[NAMESPACE])).await;
    lab.until_ready_says(BINDING, "False", "DryRun", "1 of 1 namespace").await;
    assert_state(&lab, BINDING, "dry-run").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_with_errors_is_judged_as_failed_although_its_binding_serves() {
    const NAME: &str = "acr-configuration";
    let lab = Lab::start().await;
    lab.until_policies_enforced().await;
    lab.put_config_map(json!({ "acr-registry-info": "- instanceId: cri-demo0001\n" })).await;
    lab.until_ready_is(NAME, "True", "Succeeded").await;
    lab.put_config_map(json!({ "acr-registry-info": "- instanceId: cri-demo 0001\n" })).await;
    lab.until("the mistake is reported", async || {
        lab.condition(NAME, "LegacyConfigValid").await.is_some_and(|(status, ..)| status == "False")
    })
    .await;
    assert_state(&lab, NAME, "config-map-invalid").await;
    lab.put_config_map(json!({ "acr-registry-info": "- instanceId: cri-demo0001\n" })).await;
    lab.until("it is not stalled any more", async || lab.condition(NAME, "Stalled").await.is_none()).await;
    let (checks, object) = (Checks::read(), raw(&lab, NAME).await);
    let answers = Judges::find().unwrap().ask(&checks.questions(&object)).unwrap();
    assert_eq!(verdicts(NAME, &answers), ["Healthy", "Current", "Current"]);
    assert!(
        read(customization("testdata/config-map-invalid.yaml")).contains("kube-system/acr-configuration")
    );
}
