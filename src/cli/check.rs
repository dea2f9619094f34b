//! `kubectl acr check`: whether an installation works, or can be made, with one line for each part and its cure.
//!
//! ```text
//! read ── facts ── decide, before ── lines ── text or JSON
//! ```

mod before;
mod decide;
mod fact;
mod read;
mod rights;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde_json::json;

use self::read::FactReader;
use crate::cluster::error::CallError;

/// The installation to check.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// The namespace of the controller.
    pub namespace: Box<str>,
    /// The ServiceAccount of the controller.
    pub service_account: Box<str>,
    /// Name of the Secret in every covered namespace.
    pub secret_name: Box<str>,
    /// The longest time of a request.
    pub request_timeout: Duration,
    /// Reads the wall clock, to compare it with the API server's.
    pub clock: fn() -> Timestamp,
}

/// The result of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// It is as it must be.
    Passed,
    /// It is not.
    Failed,
    /// It is not known, such as for want of a right.
    NotChecked,
}

impl CheckResult {
    /// Returns the result as printed.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed => "failed",
            Self::NotChecked => "not checked",
        }
    }
}

/// One part that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckLine {
    /// The part, in one word.
    pub part: &'static str,
    /// Whether it is as it must be.
    pub result: CheckResult,
    /// What was found.
    pub message: String,
    /// What to do, if it failed.
    pub cure: Option<String>,
}

impl CheckLine {
    fn passed(part: &'static str, message: impl Into<String>) -> Self {
        Self { part, result: CheckResult::Passed, message: message.into(), cure: None }
    }

    fn failed(part: &'static str, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { part, result: CheckResult::Failed, message: message.into(), cure: Some(cure.into()) }
    }

    fn not_checked(part: &'static str, message: impl Into<String>) -> Self {
        Self { part, result: CheckResult::NotChecked, message: message.into(), cure: None }
    }
}

/// All lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// In the order in which they are best corrected.
    pub lines: Vec<CheckLine>,
}

impl CheckReport {
    /// Returns whether no line failed.
    pub fn has_passed(&self) -> bool {
        self.lines.iter().all(|line| line.result != CheckResult::Failed)
    }

    /// Writes the lines for people.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write_text(&self, to: &mut dyn io::Write) -> io::Result<()> {
        for line in &self.lines {
            writeln!(to, "{:<11} {:<10} {}", line.result.as_str(), line.part, line.message)?;
            if let Some(cure) = &line.cure {
                writeln!(to, "{:<11} {:<10} {cure}", "", "=>")?;
            }
        }
        Ok(())
    }

    /// Writes the lines as one JSON object.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write_json(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let result = |result| match result {
            CheckResult::Passed => "passed",
            CheckResult::Failed => "failed",
            CheckResult::NotChecked => "notChecked",
        };
        let line = |line: &CheckLine| {
            let mut object = json!({
                "part": line.part,
                "result": result(line.result),
                "message": line.message,
            });
            if let Some(cure) = &line.cure {
                object["cure"] = json!(cure);
            }
            object
        };
        let checks: Vec<_> = self.lines.iter().map(line).collect();
        writeln!(to, "{:#}", json!({ "passed": self.has_passed(), "checks": checks }))
    }
}

/// Checks an installation.
///
/// # Errors
/// The API server cannot be reached.
pub async fn check_installation(client: &Client, options: &CheckOptions) -> Result<CheckReport, CallError> {
    let reader = FactReader::new(client, options);
    let server = reader.server().await?;
    let bindings = reader.bindings().await;
    let deployments = reader.deployments().await;
    let lease = reader.lease().await;
    let lines = vec![
        decide::kubernetes(&server),
        decide::clock(&server),
        decide::api(&reader.definition().await, &reader.served().await),
        decide::rights(&reader.rights().await, options),
        decide::policies(&reader.policies().await, &bindings, options),
        decide::replicas(&deployments, options),
        decide::lease(&lease, &deployments, options),
        decide::region(&deployments, &lease, options),
        decide::admission(&bindings),
    ];
    Ok(CheckReport { lines })
}

/// Checks whether the controller can be installed.
///
/// # Errors
/// The API server cannot be reached.
pub async fn check_before_installation(
    client: &Client,
    options: &CheckOptions,
) -> Result<CheckReport, CallError> {
    let reader = FactReader::new(client, options);
    let server = reader.server().await?;
    let lines = vec![
        decide::kubernetes(&server),
        decide::clock(&server),
        before::rights(&reader.own_rights().await),
        before::controller(&reader.controllers().await, options),
        before::component(&reader.component().await),
    ];
    Ok(CheckReport { lines })
}
