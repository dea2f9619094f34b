//! The lines of a check, as text and as JSON, and what is checked.

use std::io;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

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
pub enum LineResult {
    /// It is as it must be.
    Passed,
    /// It works, with less protection than it could have.
    Warning,
    /// It is not.
    Failed,
    /// It is not known, such as for want of a right.
    NotChecked,
}

impl LineResult {
    /// Returns the result as printed.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Warning => "warning",
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
    pub result: LineResult,
    /// What was found.
    pub message: String,
    /// What to do, if it failed or is a warning.
    pub cure: Option<String>,
}

impl CheckLine {
    pub(super) fn passed(part: &'static str, message: impl Into<String>) -> Self {
        Self { part, result: LineResult::Passed, message: message.into(), cure: None }
    }

    pub(super) fn warning(part: &'static str, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { part, result: LineResult::Warning, message: message.into(), cure: Some(cure.into()) }
    }

    pub(super) fn failed(part: &'static str, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { part, result: LineResult::Failed, message: message.into(), cure: Some(cure.into()) }
    }

    pub(super) fn not_checked(part: &'static str, message: impl Into<String>) -> Self {
        Self { part, result: LineResult::NotChecked, message: message.into(), cure: None }
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
        self.lines.iter().all(|line| line.result != LineResult::Failed)
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
            LineResult::Passed => "passed",
            LineResult::Warning => "warning",
            LineResult::Failed => "failed",
            LineResult::NotChecked => "notChecked",
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
