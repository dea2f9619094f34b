//! A real Prometheus scrapes the controller: each alert fires when its fault is made and goes when it is undone, and each
//! panel of the dashboard has data.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acr_lab::cloud::{Fault, FaultKind};
use acr_lab::prometheus::{Prometheus, usable};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use regex::Regex;
use serde_json::{Value, json};

use crate::harness::{Lab, PATIENCE, SECRET, root, spec};
use crate::panels;

/// The alerts that fire while the controller runs.
const WHILE_IT_RUNS: [&str; 7] = [
    "AcrApiFailing",
    "AcrBindingNotReady",
    "AcrCredentialExpired",
    "AcrCredentialNotRenewed",
    "AcrLegacyConfigInvalid",
    "AcrPoliciesMissing",
    "AcrServiceAccountsPending",
];

/// The life of a token: half of it is the lead of its renewal.
const TOKEN: Duration = Duration::from_secs(14);

/// Returns the rules of `deploy/prometheus/alerts.yaml`, with each minute of a wait or a window shortened to a second.
fn sixty_times_faster() -> String {
    let rules = std::fs::read_to_string(root().join("deploy/prometheus/alerts.yaml")).unwrap();
    let minutes = Regex::new(r"(for: |\[)(\d+)m\b").unwrap();
    assert!(minutes.find_iter(&rules).count() >= 10, "{rules}");
    minutes.replace_all(&rules, "${1}${2}s").into_owned()
}

/// Returns the alerts in a state.
async fn alerts(prometheus: &Prometheus, state: &str) -> BTreeSet<String> {
    let active = prometheus.alerts().await.unwrap().into_iter();
    active.filter(|(_, of)| of == state).map(|(name, _)| name).collect()
}

/// Waits until each of these alerts has fired, and no other has. Retries become rarer than the shortened windows, so that
/// some alerts end before others begin.
async fn until_each_has_fired(lab: &Lab, prometheus: &Prometheus, expected: &[&str]) {
    let (expected, mut fired) = (names(expected), BTreeSet::new());
    let end = Instant::now() + PATIENCE * 2;
    while fired != expected {
        fired.extend(alerts(prometheus, "firing").await);
        let unexpected: Vec<_> = fired.difference(&expected).collect();
        assert!(unexpected.is_empty(), "{unexpected:?} fired");
        if Instant::now() > end {
            let missing: Vec<_> = expected.difference(&fired).collect();
            panic!("{missing:?} have not fired\n{}", lab.controller.metrics().await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Returns the reasons of the Events on a binding, each once.
async fn event_reasons(lab: &Lab, binding: &str) -> Vec<String> {
    let selector =
        format!("--field-selector=involvedObject.kind=AcrCredentialBinding,involvedObject.name={binding}");
    let text = lab.plane.kubectl_ok(&["get", "events", "-A", "-o", "json", &selector]).await.unwrap();
    let events: Value = serde_json::from_str(&text).unwrap();
    let reasons = events["items"].as_array().unwrap().iter();
    reasons.map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Returns the expressions of the dashboard with the titles of their panels, as Grafana would send them.
fn expressions() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("deploy/grafana/acr.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().unwrap().clone();
        assert!(!targets.is_empty(), "{title}");
        targets.into_iter().map(move |target| {
            (title.clone(), target["expr"].as_str().unwrap().replace("$__rate_interval", "1m"))
        })
    };
    panels.flat_map(of_panel).collect()
}

/// Has promtool check the names and helps of a scrape.
fn lint(metrics: &str) -> String {
    let mut promtool = Command::new("promtool");
    let promtool = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// Makes the fault of each alert that fires while the controller runs.
async fn make_faults(lab: &Lab) {
    // A Secret of another tool: its ServiceAccounts wait.
    lab.create_namespace("taken").await;
    let object = json!({
        "metadata": { "name": SECRET },
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": "{}" },
    });
    let object = serde_json::from_value(object).unwrap();
    lab.namespaced::<Secret>("taken").create(&PostParams::default(), &object).await.unwrap();
    lab.bind("taken", spec(&["taken"])).await;
    lab.put_config_map(json!({ "acr-registry-info": "- instanceId: [\n" })).await;
    // The next token is short, and none follows.
    lab.cloud.world(|world| world.lifetimes.registry_token_cap = Some(TOKEN));
    lab.refresh("watched", "now").await;
    let kind =
        FaultKind::Status { status: 503, code: "ServiceUnavailable".to_owned(), message: String::new() };
    lab.cloud.fault(Fault { action: "GetAuthorizationToken".to_owned(), instance: None, kind, times: None });
}

/// Waits until none of these alerts is active, and asserts that others, whose faults are still there, fire.
async fn until_gone(lab: &Lab, prometheus: &Prometheus, gone: &[&str], others: &[&str]) {
    let gone = names(gone);
    lab.until(&format!("{gone:?} are over"), async || {
        let active = prometheus.alerts().await.unwrap();
        !active.iter().any(|(name, _)| gone.contains(name))
    })
    .await;
    let firing = alerts(prometheus, "firing").await;
    assert!(names(others).is_subset(&firing), "of {others:?}, only {firing:?} fire");
}

/// Undoes each fault, as the runbook says, and sees its alerts go.
async fn undo_faults(lab: &Lab, prometheus: &Prometheus) {
    // In force by the time of the next probe, which is within a minute.
    let policies = root().join("deploy/policies.yaml");
    lab.plane.kubectl_ok(&["apply", "-f", policies.to_str().unwrap()]).await.unwrap();

    lab.cloud.world(|world| world.lifetimes.registry_token_cap = None);
    lab.cloud.clear_faults();
    lab.refresh("watched", "again").await;
    let of_credentials = ["AcrApiFailing", "AcrCredentialExpired", "AcrCredentialNotRenewed"];
    let others = ["AcrBindingNotReady", "AcrLegacyConfigInvalid", "AcrServiceAccountsPending"];
    until_gone(lab, prometheus, &of_credentials, &others).await;

    // Nothing waits for a binding that is suspended, which is not ready all the same.
    let suspend = |suspend: bool| Patch::Merge(json!({ "spec": { "suspend": suspend } }));
    lab.bindings().patch("taken", &PatchParams::default(), &suspend(true)).await.unwrap();
    let others = ["AcrBindingNotReady", "AcrLegacyConfigInvalid"];
    until_gone(lab, prometheus, &["AcrServiceAccountsPending"], &others).await;

    lab.namespaced::<Secret>("taken").delete(SECRET, &DeleteParams::default()).await.unwrap();
    lab.bindings().patch("taken", &PatchParams::default(), &suspend(false)).await.unwrap();
    until_gone(lab, prometheus, &["AcrBindingNotReady"], &["AcrLegacyConfigInvalid"]).await;

    let valid = "- instanceId: cri-demo0001\n  regionId: cn-hangzhou\n";
    lab.put_config_map(json!({ "acr-registry-info": valid, "watch-namespace": "watched" })).await;
    until_gone(lab, prometheus, &["AcrLegacyConfigInvalid"], &[]).await;
    lab.until("no alert is left", async || prometheus.alerts().await.unwrap().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_fires_when_its_fault_is_made_and_goes_when_it_is_undone() {
    if !usable().unwrap() {
        return;
    }
    let lab = Lab::start().await;
    let prometheus = Prometheus::start(&lab.controller.address(), &sixty_times_faster()).await.unwrap();
    for name in ["watched", "watched-too"] {
        lab.create_namespace(name).await;
    }
    lab.bind("watched", spec(&["watched", "watched-too"])).await;
    lab.until_ready_is("watched", "True", "Succeeded").await;
    lab.until_policies_enforced().await;
    lab.until("Prometheus sees a healthy binding", async || {
        let ready = prometheus.query("acr_binding_ready_status{condition=\"True\"} == 1").await.unwrap();
        ready.len() == 1 && prometheus.alerts().await.unwrap().is_empty()
    })
    .await;

    assert!(event_reasons(&lab, "watched").await.is_empty(), "all is well");

    // Policies are probed at the start, and the API server learns of a deletion with a delay.
    let policy = ["delete", "validatingadmissionpolicybinding", "acr-credential-events"];
    lab.plane.kubectl_ok(&policy).await.unwrap();
    lab.until("a policy is missing", async || {
        lab.controller.terminate(PATIENCE).await.unwrap();
        lab.controller.restart().unwrap();
        lab.controller.until_ready(PATIENCE).await.unwrap();
        lab.controller.metrics().await.unwrap().contains("acr_admission_policies_enforced 0")
    })
    .await;
    make_faults(&lab).await;
    until_each_has_fired(&lab, &prometheus, &WHILE_IT_RUNS).await;

    // This process has attached none yet.
    lab.create_account("watched", "late", &[]).await;
    lab.until_attached("watched", "late").await;
    for (title, expression) in expressions() {
        lab.until(&format!("{title} has data: {expression}"), async || {
            !prometheus.query(&expression).await.unwrap().is_empty()
        })
        .await;
    }
    assert_eq!(lint(&lab.controller.metrics().await.unwrap()), "");

    for reason in ["RefreshFailing", "NotReady"] {
        lab.until(reason, async || event_reasons(&lab, "watched").await.iter().any(|said| said == reason))
            .await;
    }
    undo_faults(&lab, &prometheus).await;
    if let Some(file) = std::env::var_os(panels::FILE) {
        std::fs::write(file, panels::draw(&prometheus, &expressions()).await).unwrap();
    }

    lab.controller.terminate(PATIENCE).await.unwrap();
    let absent = names(&["AcrControllerAbsent"]);
    lab.until("its absence alone fires", async || alerts(&prometheus, "firing").await == absent).await;
    lab.controller.restart().unwrap();
    lab.until("it is there again", async || prometheus.alerts().await.unwrap().is_empty()).await;
}
