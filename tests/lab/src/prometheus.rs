//! A real Prometheus: Debian's `prometheus`, which scrapes the lab each second and evaluates rules as often.
//!
//! Guarantees: it listens on a free port of loopback, and nothing of it is left when it is dropped.

use std::{fs, time::Duration};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::{
    image::program_usable,
    plane::{free_port, until},
    process::{Child, Program, Scratch},
};

/// How to install its programs.
const INSTALL: &str = "apt-get install -y --no-install-recommends prometheus";

/// Returns whether Prometheus and promtool are there, as [`program_usable`] does.
pub fn usable() -> anyhow::Result<bool> {
    Ok(program_usable("prometheus", INSTALL)? && program_usable("promtool", INSTALL)?)
}

/// Labels, and times in seconds with values.
pub type Series = (Value, Vec<(f64, f64)>);

/// A running Prometheus.
pub struct Prometheus {
    child: Child,
    port: u16,
    http: reqwest::Client,
    _scratch: Scratch,
}

impl Prometheus {
    /// Starts it with a target and the text of a rules file, and waits until it is ready.
    pub async fn start(target: &str, rules: &str) -> anyhow::Result<Prometheus> {
        let scratch = Scratch::new("acr-lab-prometheus-")?;
        let (config, rules_file) = (scratch.path().join("prometheus.yml"), scratch.path().join("rules.yml"));
        fs::write(&rules_file, rules)?;
        // JSON is YAML.
        let settings = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules_file],
            "scrape_configs": [{ "job_name": "acr", "static_configs": [{ "targets": [target] }] }],
        });
        fs::write(&config, settings.to_string())?;
        let port = free_port()?;
        let child = Program::new("prometheus", scratch.path().join("log"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", scratch.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .start()?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let prometheus = Prometheus { child, port, http, _scratch: scratch };
        until(&prometheus.child, || async {
            let answer = prometheus.http.get(prometheus.url("/-/ready")).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await?;
        Ok(prometheus)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Returns the samples of an instant query that are numbers: labels and value.
    pub async fn query(&self, expression: &str) -> anyhow::Result<Vec<(Value, f64)>> {
        let request = self.http.get(self.url("/api/v1/query")).query(&[("query", expression)]);
        let answer: Value = request.send().await?.json().await?;
        if answer["status"] != "success" {
            bail!("{expression}: {}", answer["error"]);
        }
        let samples = answer["data"]["result"].as_array().context("no result")?.iter();
        let number = |sample: &Value| sample["value"][1].as_str()?.parse::<f64>().ok();
        let samples = samples.filter_map(|sample| Some((sample["metric"].clone(), number(sample)?)));
        Ok(samples.filter(|(_, value)| value.is_finite()).collect())
    }

    /// Returns the series of an expression in a time before now, a point each second: labels, and times with values.
    pub async fn range(&self, expression: &str, before: Duration) -> anyhow::Result<Vec<Series>> {
        let clock = self.query("vector(time())").await?;
        let now = clock.first().context("it has no clock")?.1 as u64;
        let begin = now.saturating_sub(before.as_secs()).to_string();
        let query = [("query", expression), ("start", &begin), ("end", &now.to_string()), ("step", "1")];
        let request = self.http.get(self.url("/api/v1/query_range")).query(&query);
        let answer: Value = request.send().await?.json().await?;
        let series = answer["data"]["result"].as_array().context("no result")?.iter();
        let point = |point: &Value| Some((point[0].as_f64()?, point[1].as_str()?.parse::<f64>().ok()?));
        Ok(series
            .map(|one| {
                let points = one["values"].as_array().into_iter().flatten().filter_map(point);
                (one["metric"].clone(), points.filter(|(_, value)| value.is_finite()).collect())
            })
            .collect())
    }

    /// Returns the active alerts: name and state, `pending` or `firing`.
    pub async fn alerts(&self) -> anyhow::Result<Vec<(String, String)>> {
        let answer: Value = self.http.get(self.url("/api/v1/alerts")).send().await?.json().await?;
        let alerts = answer["data"]["alerts"].as_array().context("no alerts")?.iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(alerts.map(|alert| (text(&alert["labels"]["alertname"]), text(&alert["state"]))).collect())
    }

    /// Returns the last lines that it logged.
    pub fn log_tail(&self, lines: usize) -> String {
        self.child.log_tail(lines)
    }
}
