//! A finding by its place in what the user edits.

use std::ops::Range;

use crate::model::legacy::{Code, Edit, Severity};

/// A finding by its place in what the user edits. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its kind.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The key of `data`, with the path inside it.
    pub key: String,
    /// Which of the document's sources the place is in.
    pub source: usize,
    /// The bytes that it is about.
    pub span: Option<Range<usize>>,
    /// What is wrong and what to write instead.
    pub message: String,
    /// The changes that mend it, where they are known to the letter. They do not overlap.
    pub edits: Vec<Edit>,
}

/// A line and a character of it, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// The position of a byte of a text. A byte order mark is no character to whoever edits the file.
pub fn position(text: &str, at: usize) -> Position {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before[line..].trim_start_matches('\u{feff}').chars().count();
    Position { line: before.matches('\n').count() + 1, column: column + 1 }
}
