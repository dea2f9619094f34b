//! The alerting rules, their runbook and the dashboard.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::collections::BTreeSet;
use std::process::Command;

use acr_credential_binding::server::Metrics;
use acr_lab::docs::{anchors, pages, root};
use acr_lab::prometheus::usable;
use regex::Regex;
use serde_json::Value;

const ALERTS: &str = "deploy/prometheus/alerts.yaml";
const DASHBOARD: &str = "deploy/grafana/acr.json";
const CASES: &str = "tests/monitoring/cases.yaml";
const RUNBOOK: &str =
    "https://github.com/acr-credential-binding/acr-credential-binding/blob/main/docs/runbook.md";

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap()
}

fn rules() -> Vec<Value> {
    let file = yaml(ALERTS);
    let groups = file["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn name(rule: &Value) -> String {
    rule["alert"].as_str().unwrap().to_owned()
}

fn promtool(args: &[&str]) {
    let output = Command::new("promtool").args(args).current_dir(root()).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {said}");
}

#[test]
fn promtool_finds_no_fault_in_the_rules_and_each_case_holds() {
    if usable().unwrap() {
        promtool(&["check", "rules", ALERTS]);
        promtool(&["test", "rules", CASES]);
    }
}

#[test]
fn each_alert_has_a_case_that_fires_and_one_that_is_quiet() {
    let cases = yaml(CASES);
    let tests = cases["tests"].as_array().unwrap().iter();
    let checks: Vec<Value> =
        tests.flat_map(|test| test["alert_rule_test"].as_array().unwrap().clone()).collect();
    for alert in rules().iter().map(name) {
        let of_alert = || checks.iter().filter(|check| check["alertname"] == alert.as_str());
        let fires = |check: &Value| check["exp_alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
        assert!(of_alert().any(fires), "{alert} has no case that fires");
        assert!(of_alert().any(|check| !fires(check)), "{alert} has no case that is quiet");
    }
}

#[test]
fn each_alert_has_its_severity_and_its_chapter_of_the_runbook_in_both_languages() {
    let pages = pages().unwrap();
    for rule in rules() {
        let alert = name(&rule);
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["warning", "critical"].contains(&severity), "{alert}: {severity}");
        assert!(rule["for"].is_string(), "{alert}");
        for text in ["summary", "description"] {
            assert!(rule["annotations"][text].as_str().unwrap().ends_with('.'), "{alert}: {text}");
        }
        let anchor = alert.to_lowercase();
        assert_eq!(rule["annotations"]["runbook_url"], format!("{RUNBOOK}#{anchor}"), "{alert}");
        for (path, parts) in [
            ("docs/runbook.md", ["Meaning", "Impact", "Diagnosis", "Cure"]),
            ("docs/zh-CN/runbook.md", ["含义", "影响", "诊断", "处理"]),
        ] {
            let page = pages.iter().find(|page| page.path == path).unwrap();
            assert!(anchors(page).contains(&anchor), "{path} has no chapter of {alert}");
            let chapter = page.text.split(&format!("\n## {alert}\n")).nth(1).unwrap();
            let chapter = chapter.split("\n## ").next().unwrap();
            for part in parts {
                assert!(chapter.contains(&format!("**{part}**")), "{path}: {alert} has no {part}");
            }
            assert!(chapter.contains("kubectl acr "), "{path}: {alert} has no command");
        }
    }
}

/// Returns the metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(r"\b(acr|controller_runtime|workqueue|leader_election)_[a-z0-9_]+").unwrap();
    pattern.find_iter(text).map(|found| found.as_str().to_owned()).collect()
}

/// Returns the names of all series of the controller.
fn series() -> BTreeSet<String> {
    let metrics = Metrics::default();
    let names = metrics.descriptions().iter().flat_map(|metric| match metric.kind {
        "histogram" => ["bucket", "sum", "count"].map(|end| format!("{}_{end}", metric.name)).to_vec(),
        _ => vec![metric.name.to_owned()],
    });
    names.collect()
}

#[test]
fn each_metric_of_the_alerts_and_of_the_dashboard_exists() {
    let mut expressions: Vec<String> =
        rules().iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()).collect();
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let targets =
        dashboard["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array());
    expressions.extend(targets.flatten().map(|target| target["expr"].as_str().unwrap().to_owned()));
    assert!(expressions.len() > 30);
    let all = series();
    for expression in expressions {
        let named = named(&expression);
        assert!(!named.is_empty(), "{expression}");
        let unknown: Vec<_> = named.difference(&all).collect();
        assert!(unknown.is_empty(), "{unknown:?} in {expression}");
    }
    assert!(!all.contains("acr_leader"), "a name that is gone is found");
}

/// The chart cannot read a file outside itself.
#[test]
fn the_chart_has_the_same_rules_and_the_same_dashboard() {
    for (file, copy) in
        [(ALERTS, "deploy/helm/files/alerts.yaml"), (DASHBOARD, "deploy/helm/files/dashboard.json")]
    {
        assert_eq!(read(file), read(copy), "run `cargo run --bin generate`");
    }
}
