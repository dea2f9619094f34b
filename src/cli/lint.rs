//! `kubectl acr lint`: every finding, where the user edits.

mod json_and_sarif;
mod report;
mod terminal;
#[cfg(test)]
mod tests;

use std::io;

use super::diagnostic::{Diagnostic, Lines};
use super::document::{DataValue, Document, Scalar, Source, shell_name};
use super::redact::{is_public, masked};
use crate::model::legacy::unrendered::{Kind, Unrendered, with_file};
use crate::model::legacy::{Code, Edit, Finding, convert, data_key, from_addon_config, separate_edits};
pub use report::{Format, LintReport};

/// Checks a document.
pub fn check(document: &Document) -> LintReport {
    let mut conversion = match &document.addon {
        Some(config) => Some(from_addon_config(config.value())),
        None if document.holds_nothing() => None,
        None => Some(convert(&document.data())),
    };
    let defaults = document.diagnostics.iter().any(|found| found.code == Code::AddonWithoutConfig);
    if let Some(conversion) = conversion.as_mut().filter(|_| document.unread || defaults) {
        // A missing key may be the one that could not be read, or is reported with all others.
        conversion.findings.retain(|finding| !matches!(finding.code, Code::EmptyList | Code::RrsaUnused));
    }
    let pairs = conversion.as_ref().map(|conversion| conversion.key_pairs.as_slice()).unwrap_or_default();
    let findings = conversion.iter().flat_map(|conversion| &conversion.findings);
    let mut diagnostics = document.diagnostics.clone();
    diagnostics.extend(findings.map(|finding| placed(document, finding)));
    for diagnostic in &mut diagnostics {
        // A change that rewrites a value would write the keys in it.
        if !diagnostic.edits.iter().all(|edit| is_public(&edit.text, pairs)) {
            diagnostic.edits.clear();
        }
    }
    // A text that must be rewritten for one change cannot be changed for another as well.
    for source in 0..document.sources.len() {
        separate_edits(diagnostics.iter_mut().filter(|d| d.source == source).map(|d| &mut d.edits));
    }
    // In the order of the file.
    diagnostics.sort_by_key(|d| (d.source, d.span.as_ref().map(|span| span.start)));
    let source = |source: &Source| {
        let text = masked(&source.text, pairs);
        let lines = Lines::of(&text);
        (Source { name: source.name.clone(), text }, lines)
    };
    let sources = document.sources.iter().map(source).collect();
    let unrendered = |diagnostic: &Diagnostic| {
        matches!(
            diagnostic.code,
            Code::Variable | Code::Template | Code::Encrypted | Code::MergeConflict | Code::Placeholder
        )
    };
    let unread = document.unread || diagnostics.iter().any(unrendered);
    if let Some(conversion) = conversion.as_mut().filter(|_| unread) {
        // A binding of a part of the configuration would be the wrong one.
        (conversion.spec, conversion.key_pairs) = (None, Vec::new());
    }
    LintReport { diagnostics, conversion, is_managed: document.addon.is_some(), sources }
}

/// Turns a finding of a value into one of the file.
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
        message: in_file(document, finding, value),
        edits,
    }
}

/// Returns a message with the name of the file in its command.
fn in_file(document: &Document, finding: &Finding, value: Option<&DataValue>) -> String {
    let written = value.is_some_and(|value| value.key.is_some());
    let text = document.addon.as_ref().or(value.map(|value| &value.scalar)).map(Scalar::value);
    let file = document.sources.first().filter(|_| written || document.addon.is_some());
    let unrendered = matches!(finding.code, Code::Variable | Code::Template | Code::Encrypted);
    match file.filter(|_| unrendered) {
        Some(file) => {
            let variable = finding.span.clone().filter(|_| document.is_stack()).zip(text);
            let variable = variable.filter(|(span, text)| text[span.start..].starts_with("${"));
            let message = match variable {
                Some((span, text)) => Unrendered { span, kind: Kind::Stack, alone: false }.message(text),
                None => finding.message.clone(),
            };
            with_file(&message, shell_name(&file.name))
        }
        None => finding.message.clone(),
    }
}

/// Returns the edit of a key itself. A live object's keys are not in a text.
fn key_as_documented(document: &Document, finding: &Finding) -> Option<Edit> {
    let value = document.values.get(finding.data_key())?;
    let (name, span) = (data_key(finding.data_key().trim())?, value.key.clone()?);
    let written = document.sources.get(value.source)?.text.get(span.clone())?;
    let quote = written.chars().next().filter(|c| matches!(c, '"' | '\''));
    let text = quote.map_or_else(|| name.to_owned(), |quote| format!("{quote}{name}{quote}"));
    Some(Edit { span, text })
}

impl LintReport {
    /// Writes all of it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write(&self, format: Format, to: &mut dyn io::Write) -> io::Result<()> {
        match format {
            Format::Human { colour } => terminal::write(self, colour, to),
            Format::Json => json_and_sarif::json(self, to),
            Format::Sarif => json_and_sarif::sarif(self, to),
        }
    }
}
