//! A real Prometheus scrapes the controller: each alert fires when its fault is made, and each panel of the dashboard
//! has data.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acr_lab::cloud::{Fault, FaultKind};
use acr_lab::prometheus::{Prometheus, usable};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use regex::Regex;
use serde_json::{Value, json};

use crate::harness::{Lab, PATIENCE, SECRET, root, spec};

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

/// Waits until these alerts fire, and no others.
async fn until_firing(lab: &Lab, prometheus: &Prometheus, expected: &[&str]) {
    let expected = names(expected);
    let end = Instant::now() + PATIENCE * 2;
    loop {
        let firing = alerts(prometheus, "firing").await;
        if firing == expected {
            return;
        }
        if Instant::now() > end {
            let missing: Vec<_> = expected.symmetric_difference(&firing).collect();
            let metrics = lab.controller.metrics().await.unwrap_or_default();
            panic!("{missing:?} differ; {:?}\n{metrics}", prometheus.alerts().await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_fires_when_its_fault_is_made_and_each_panel_has_data() {
    if !usable().unwrap() {
        return;
    }
    let lab = Lab::start().await;
    let prometheus = Prometheus::start(&lab.controller.address(), &sixty_times_faster()).await.unwrap();
    lab.create_namespace("watched").await;
    lab.bind("watched", spec(&["watched"])).await;
    lab.until_ready_is("watched", "True", "Succeeded").await;
    lab.until_policies_enforced().await;
    lab.until("Prometheus sees a healthy binding", async || {
        let ready = prometheus.query("acr_binding_ready_status{condition=\"True\"} == 1").await.unwrap();
        ready.len() == 1 && prometheus.alerts().await.unwrap().is_empty()
    })
    .await;

    // Policies are probed at the start.
    let policy = ["delete", "validatingadmissionpolicybinding", "acr-credential-events"];
    lab.plane.kubectl_ok(&policy).await.unwrap();
    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    make_faults(&lab).await;
    until_firing(&lab, &prometheus, &WHILE_IT_RUNS).await;

    for (title, expression) in expressions() {
        let samples = prometheus.query(&expression).await.unwrap();
        assert!(!samples.is_empty(), "{title} has no data: {expression}");
    }
    assert_eq!(lint(&lab.controller.metrics().await.unwrap()), "");

    lab.controller.terminate(PATIENCE).await.unwrap();
    // What it reported ends with it.
    until_firing(&lab, &prometheus, &["AcrControllerAbsent"]).await;
}
