//! `kubectl acr lint`: every finding, where the user edits.

mod draw;
mod machine;
#[cfg(test)]
mod tests;

use std::io;

use super::diagnostic::{Diagnostic, Lines, Position};
use super::document::{Document, Source, data_key};
use super::redact::{is_public, masked};
use crate::model::legacy::{Code, Conversion, Edit, Finding, Severity, convert, from_addon_config, part};

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Drawn for people, with colours or without.
    Human {
        /// Whether the terminal shows colours.
        colour: bool,
    },
    /// One JSON object.
    Json,
    /// SARIF 2.1.0, as code hosts read it.
    Sarif,
}

/// All that is to be said of a document.
pub struct Report {
    /// By their place in the document.
    pub diagnostics: Vec<Diagnostic>,
    /// What the configuration comes to. None where the document has none.
    pub conversion: Option<Conversion>,
    /// The sources without their keys, and their lines.
    sources: Vec<(Source, Lines)>,
}

/// Looks at a document.
pub fn check(document: &Document) -> Report {
    let mut conversion = match &document.addon {
        Some(config) => Some(from_addon_config(config.value())),
        None if document.holds_nothing() => None,
        None => Some(convert(&document.data())),
    };
    if let Some(conversion) = conversion.as_mut().filter(|_| document.unread) {
        // What is not there may be what could not be read.
        conversion.findings.retain(|finding| !matches!(finding.code, Code::EmptyList | Code::RrsaUnused));
    }
    let pairs = conversion.as_ref().map(|conversion| conversion.key_pairs.as_slice()).unwrap_or_default();
    let findings = conversion.iter().flat_map(|conversion| &conversion.findings);
    let mut diagnostics = document.diagnostics.clone();
    diagnostics.extend(findings.map(|finding| placed(document, finding)));
    for diagnostic in &mut diagnostics {
        // A change that writes a value anew would write the keys in it.
        if !diagnostic.edits.iter().all(|edit| is_public(&edit.text, pairs)) {
            diagnostic.edits.clear();
        }
    }
    // A text that must be written anew for one change cannot be changed for another as well.
    for source in 0..document.sources.len() {
        part(diagnostics.iter_mut().filter(|d| d.source == source).map(|d| &mut d.edits));
    }
    // The outer document first: mending it may move everything else.
    diagnostics.sort_by_key(|d| (d.source, d.span.as_ref().map(|span| span.start)));
    let source = |source: &Source| {
        let text = masked(&source.text, pairs);
        let lines = Lines::of(&text);
        (Source { name: source.name.clone(), text }, lines)
    };
    let sources = document.sources.iter().map(source).collect();
    if let Some(conversion) = conversion.as_mut().filter(|_| document.unread) {
        // A binding of less than what was written would be the wrong one.
        (conversion.spec, conversion.key_pairs) = (None, Vec::new());
    }
    Report { diagnostics, conversion, sources }
}

/// A finding of a value, as a finding of the file.
fn placed(document: &Document, finding: &Finding) -> Diagnostic {
    let value = document.values.get(finding.data_key());
    let scalar = document.addon.as_ref().or(value.map(|value| &value.scalar));
    let span = match (&finding.span, scalar) {
        (Some(span), Some(scalar)) => Some(scalar.place(span)),
        _ => value.and_then(|value| value.key.clone()),
    };
    let edits = match finding.code {
        Code::DataKeySpelling => key_as_documented(document, finding).into_iter().collect(),
        _ => scalar.and_then(|scalar| scalar.edits(&finding.edits)).unwrap_or_default(),
    };
    Diagnostic {
        code: finding.code,
        severity: finding.severity,
        key: finding.key.clone(),
        source: value.map_or(0, |value| value.source),
        span,
        message: finding.message.clone(),
        edits,
    }
}

/// The key itself, which no value's edit can change. A live object's keys stand in no text.
fn key_as_documented(document: &Document, finding: &Finding) -> Option<Edit> {
    let value = document.values.get(finding.data_key())?;
    let (name, span) = (data_key(finding.data_key().trim())?, value.key.clone()?);
    let written = document.sources.get(value.source)?.text.get(span.clone())?;
    let quote = written.chars().next().filter(|c| matches!(c, '"' | '\''));
    let text = quote.map_or_else(|| name.to_owned(), |quote| format!("{quote}{name}{quote}"));
    Some(Edit { span, text })
}

impl Report {
    /// How many are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    fn position(&self, source: usize, at: usize) -> Position {
        let place = self.sources.get(source).map(|(source, lines)| lines.position(&source.text, at));
        place.unwrap_or(Position { line: 1, column: 1 })
    }

    /// 0: clean. 1: warnings, where they count. 2: errors.
    pub fn exit_code(&self, strict: bool) -> u8 {
        match (self.count(Severity::Error), self.count(Severity::Warning)) {
            (0, 0) => 0,
            (0, _) => u8::from(strict),
            _ => 2,
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// What is written to cannot be.
    pub fn write(&self, format: Format, to: &mut dyn io::Write) -> io::Result<()> {
        match format {
            Format::Human { colour } => draw::write(self, colour, to),
            Format::Json => machine::json(self, to),
            Format::Sarif => machine::sarif(self, to),
        }
    }
}
