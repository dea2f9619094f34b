//! A verdict: the cause, its evidence and its cure, as text, JSON and YAML.

use std::io;

use schemars::{JsonSchema, Schema};
use serde::Serialize;

use super::cause::PullCause;

/// Characters of a value that are printed.
const MAX_VALUE: usize = 2000;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ExplainResult {
    /// Nothing is wrong.
    Nothing,
    /// A cause was found.
    Cause,
    /// It could not be determined.
    Unknown,
}

/// A field of an object that proves the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Evidence {
    /// The object, such as `pod/x` or `acrcredentialbinding/team`.
    pub object: String,
    /// The path of the field.
    pub field: String,
    /// Its value. An empty list is `[]`.
    pub value: String,
}

/// The answer of `kubectl acr explain` about an object or an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// What came of it.
    pub result: ExplainResult,
    /// What was explained, such as `pod/x`.
    pub target: String,
    /// Its namespace.
    pub namespace: String,
    /// The image, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Code of the cause, such as `ACR805`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The cause as a word, such as `BindingHeld`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What was found, in one sentence without its full stop.
    pub message: String,
    /// The fields that prove it.
    pub evidence: Vec<Evidence>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
    /// The command that does it. Words in capitals are for you to replace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What could not be read, and why.
    pub not_read: Vec<String>,
}

impl Verdict {
    /// Returns the exit code: 0 for nothing wrong, 1 for a cause, 2 if it could not be determined.
    pub fn exit_code(&self) -> u8 {
        match self.result {
            ExplainResult::Nothing => 0,
            ExplainResult::Cause => 1,
            ExplainResult::Unknown => 2,
        }
    }

    /// Returns a verdict without a cause.
    pub(super) fn without_cause(result: ExplainResult, message: impl Into<String>) -> Self {
        Self {
            result,
            target: String::new(),
            namespace: String::new(),
            image: None,
            code: None,
            cause: None,
            message: message.into(),
            evidence: Vec::new(),
            cure: None,
            command: None,
            not_read: Vec::new(),
        }
    }

    /// Returns a verdict with the cure of the table.
    pub(super) fn of(cause: PullCause, message: impl Into<String>) -> Self {
        Self {
            code: Some(cause.as_str().to_owned()),
            cause: Some(cause.name().to_owned()),
            cure: Some(cause.cure().to_owned()),
            ..Self::without_cause(ExplainResult::Cause, message)
        }
    }

    /// Adds a field that proves it.
    pub(super) fn because(
        mut self,
        object: impl Into<String>,
        field: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.evidence.push(Evidence { object: object.into(), field: field.into(), value: value.into() });
        self
    }

    /// Sets what to do, if it is more precise than the table.
    pub(super) fn cured_by(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }

    /// Sets the command.
    pub(super) fn by_command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// Writes it for people.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write_text(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let found = match self.result {
            ExplainResult::Nothing => "ok",
            ExplainResult::Cause => "cause",
            ExplainResult::Unknown => "unknown",
        };
        match &self.code {
            Some(code) => writeln!(to, "{found:<9} {code} {}", shown(&self.message))?,
            None => writeln!(to, "{found:<9} {}", shown(&self.message))?,
        }
        for Evidence { object, field, value } in &self.evidence {
            writeln!(to, "{:<9} {object} {field}: {}", "evidence", shown(value))?;
        }
        if let Some(cure) = &self.cure {
            writeln!(to, "{:<9} {}", "cure", shown(cure))?;
        }
        if let Some(command) = &self.command {
            writeln!(to, "{:<9} {command}", "run")?;
        }
        self.not_read.iter().try_for_each(|what| writeln!(to, "{:<9} {}", "not read", shown(what)))
    }

    /// Writes it as one JSON object.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write_json(&self, to: &mut dyn io::Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *to, self)?;
        writeln!(to)
    }

    /// Writes it as YAML.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write_yaml(&self, to: &mut dyn io::Write) -> io::Result<()> {
        to.write_all(serde_saphyr::to_string(self).map_err(io::Error::other)?.as_bytes())
    }
}

/// Returns the JSON schema of a verdict.
pub fn schema() -> Schema {
    schemars::schema_for!(Verdict)
}

/// Returns a text in one line, and no longer than a screen can show. A runtime or a registry may write any character.
fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.trim().chars().take(MAX_VALUE).map(plain).collect();
    if text.trim().chars().nth(MAX_VALUE).is_some() {
        shown.push('…');
    }
    shown
}
