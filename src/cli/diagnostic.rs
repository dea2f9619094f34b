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

/// The lines of a text, found once however many places are asked for.
#[derive(Clone, Debug)]
pub struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    /// Those of a text.
    pub fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { starts: std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect() }
    }

    /// The number of the line that a byte is in, from 1.
    pub fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    /// The position of a byte of the same text. A byte order mark is no character to whoever edits the file.
    pub fn position(&self, text: &str, at: usize) -> Position {
        let at = at.min(text.len());
        let line = self.line(at);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let before = text.get(start..at).unwrap_or_default();
        Position { line, column: before.trim_start_matches('\u{feff}').chars().count() + 1 }
    }
}
