//! The findings of a document, and the formats to write them in.

use crate::cli::diagnostic::{Diagnostic, Lines, Position};
use crate::cli::document::Source;
use crate::model::legacy::{Conversion, Severity};

/// The format of the output.
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

/// The findings of a document.
pub struct LintReport {
    /// By their place in the document.
    pub diagnostics: Vec<Diagnostic>,
    /// The conversion of the configuration. None: the document has none.
    pub conversion: Option<Conversion>,
    /// Whether it is that of the managed add-on, which has no ConfigMap.
    pub is_managed: bool,
    /// The sources with masked keys, and their lines.
    pub(super) sources: Vec<(Source, Lines)>,
}

impl LintReport {
    /// Counts the findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    pub(super) fn position(&self, source: usize, at: usize) -> Position {
        let place = self.sources.get(source).map(|(source, lines)| lines.position(&source.text, at));
        place.unwrap_or(Position { line: 1, column: 1 })
    }

    /// Returns 0 without findings, 1 for warnings if they count, and 2 for errors.
    pub fn exit_code(&self, strict: bool) -> u8 {
        match (self.count(Severity::Error), self.count(Severity::Warning)) {
            (0, 0) => 0,
            (0, _) => u8::from(strict),
            _ => 2,
        }
    }
}
