//! The findings of a conversion.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::code::{Code, Severity};
use super::patch::{Edit, PatchedText};
use crate::api::legacy::webhook;

/// The most findings of one conversion: sixty-four entries with a few each. A hostile ConfigMap must fill neither the
/// memory nor the screen.
const MAX_FINDINGS: usize = 200;

/// The most characters of one message.
const MAX_MESSAGE_CHARS: usize = 400;

/// The most bytes of one edit's text. A longer one is only described.
const MAX_EDIT_BYTES: usize = 64 * 1024;

/// The most bytes of all edits' texts.
const MAX_EDITS_BYTES: usize = 256 * 1024;

/// The most bytes of a summary: conditions are read by people.
const MAX_SUMMARY_BYTES: usize = 1024;

/// A fault, a guess, or a note. It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub code: Code,
    /// The code's severity.
    pub severity: Severity,
    /// The key of `data` as written, with the path inside it: `acr-registry-info[1].regionId`.
    pub key: String,
    /// Its bytes, in the value of [`Finding::data_key`].
    pub span: Option<Range<usize>>,
    /// The line where the span begins, from 1.
    pub line: Option<u32>,
    /// The character in that line, from 1.
    pub column: Option<u32>,
    /// The fault, and what to write instead.
    pub message: String,
    /// The text to write instead, if it is known exactly: all of them or none. The edits of one value do not
    /// overlap: apply them from the last to the first.
    pub edits: Vec<Edit>,
}

impl Finding {
    /// Makes a finding on one line and of bounded length, whose line is not known yet.
    fn new(code: Code, key: &str, span: Span, message: &str, edits: Vec<Edit>) -> Self {
        let (key, message) = (clip(key, 100), clip(message, MAX_MESSAGE_CHARS));
        Self { code, severity: code.severity(), key, span, line: None, column: None, message, edits }
    }

    /// Returns the key of `data` whose value the span and the edits are in. An add-on's findings are all in its one
    /// text.
    pub fn data_key(&self) -> &str {
        let head = self.key.split('[').next().unwrap_or(&self.key);
        match head.split_once('.') {
            Some((map, webhook::ENABLE | webhook::FAILURE_POLICY | webhook::TIMEOUT_SECONDS)) => map,
            _ => head,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.key)?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Applies the edits of a value's findings.
pub fn apply_edits(value: &str, key: &str, findings: &[Finding]) -> String {
    PatchedText::new(value, findings.iter().filter(|f| f.data_key() == key).flat_map(|f| &f.edits)).text
}

/// Lists the first few errors and warnings, errors first, in at most 1 KiB: the message of a condition.
pub fn summarize(findings: &[Finding]) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().filter(|f| f.severity != Severity::Note).collect();
    sorted.sort_by_key(|finding| finding.severity);
    let mut summary = String::new();
    for (listed, finding) in sorted.iter().enumerate() {
        let text = cut(finding.to_string(), MAX_SUMMARY_BYTES / 3);
        let more = format!("; and {} more", sorted.len() - listed);
        if summary.len() + "; ".len() + text.len() + more.len() > MAX_SUMMARY_BYTES {
            summary.push_str(&more);
            break;
        }
        if listed > 0 {
            summary.push_str("; ");
        }
        summary.push_str(&text);
    }
    summary
}

/// Cuts a text to some bytes, in whole characters.
fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        text.truncate((0..=bytes - '…'.len_utf8()).rfind(|&end| text.is_char_boundary(end)).unwrap_or(0));
        text.push('…');
    }
    text
}

/// The place of a finding in a value.
pub(super) type Span = Option<Range<usize>>;

/// Collects findings, each on one line and of bounded length. All readers of a conversion share it.
#[derive(Default)]
pub(super) struct Findings(RefCell<CollectedFindings>);

/// The findings so far, and how many more there were.
#[derive(Default)]
pub(super) struct CollectedFindings {
    pub(super) found: Vec<Finding>,
    left_out: usize,
    edit_bytes: usize,
    /// The worst severity of those left out.
    worst: Option<Severity>,
}

impl Findings {
    pub(super) fn add(&self, code: Code, key: &str, span: Span, message: impl AsRef<str>) {
        self.edit(code, key, span, message, None::<Edit>);
    }

    /// Adds a finding with the edits that cure it.
    pub(super) fn edit(
        &self,
        code: Code,
        key: &str,
        span: Span,
        message: impl AsRef<str>,
        instead: impl IntoIterator<Item = Edit>,
    ) {
        let edits: Vec<Edit> = instead.into_iter().collect();
        self.0.borrow_mut().push(Finding::new(code, key, span, message.as_ref(), edits));
    }

    /// Adds a finding as it is.
    pub(super) fn push(&self, finding: Finding) {
        self.0.borrow_mut().push(finding);
    }

    /// Returns all of them as they were added.
    pub(super) fn take(self) -> CollectedFindings {
        self.0.into_inner()
    }

    /// Adds others, each as `change` leaves it.
    pub(super) fn absorb(&self, others: CollectedFindings, change: impl FnMut(Finding) -> Option<Finding>) {
        let mut collected = self.0.borrow_mut();
        others.found.into_iter().filter_map(change).for_each(|finding| collected.push(finding));
        collected.left_out += others.left_out;
        collected.worst = collected.worst.into_iter().chain(others.worst).min();
    }

    /// Returns all of them, with their lines and columns in the values of `data`.
    pub(super) fn in_data(self, data: &BTreeMap<String, String>) -> Vec<Finding> {
        let mut collected = self.0.into_inner();
        let mut by_key: BTreeMap<String, Vec<&mut Finding>> = BTreeMap::new();
        for finding in &mut collected.found {
            by_key.entry(finding.data_key().to_owned()).or_default().push(finding);
        }
        for (key, findings) in by_key {
            settle(data.get(&key).map_or("", String::as_str), findings);
        }
        collected.listed()
    }

    /// Returns all of them, with their lines and columns in one text.
    pub(super) fn in_text(self, text: &str) -> Vec<Finding> {
        let mut collected = self.0.into_inner();
        settle(text, collected.found.iter_mut().collect());
        collected.listed()
    }
}

impl CollectedFindings {
    fn push(&mut self, mut finding: Finding) {
        if self.found.len() >= MAX_FINDINGS {
            self.left_out += 1;
            self.worst = Some(self.worst.map_or(finding.severity, |worst| worst.min(finding.severity)));
            return;
        }
        let room = MAX_EDITS_BYTES.saturating_sub(self.edit_bytes).min(MAX_EDIT_BYTES);
        let bytes: usize = finding.edits.iter().map(|edit| edit.text.len()).sum();
        if bytes > room {
            finding.edits.clear();
        } else {
            self.edit_bytes += bytes;
        }
        self.found.push(finding);
    }

    fn listed(mut self) -> Vec<Finding> {
        if let Some(worst) = self.worst {
            let code = if worst == Severity::Error { Code::MoreErrors } else { Code::MoreWarnings };
            let message = format!(
                "{} more findings are not listed: correct the first ones and check again",
                self.left_out
            );
            self.found.push(Finding::new(code, "data", None, &message, Vec::new()));
        }
        self.found
    }
}

fn settle(value: &str, mut findings: Vec<&mut Finding>) {
    place(value, &mut findings);
    for finding in &mut findings {
        if finding.edits.iter().any(|edit| value.get(edit.span.clone()).is_none()) {
            finding.edits.clear();
        }
    }
    separate_edits(findings.into_iter().map(|finding| &mut finding.edits));
}

/// Gives each its line and column, in one walk through the value.
fn place(value: &str, findings: &mut [&mut Finding]) {
    findings.sort_by_key(|finding| finding.span.as_ref().map(|span| span.start));
    let (mut at, mut line, mut column) = (0, 1_u32, 1_u32);
    for finding in findings {
        let Some(span) = &finding.span else { continue };
        if value.get(span.clone()).is_none() {
            finding.span = None;
            continue;
        }
        for c in value.get(at..span.start).unwrap_or_default().chars() {
            match c {
                '\n' => (line, column) = (line.saturating_add(1), 1),
                // Editors do not show a byte order mark.
                '\u{feff}' => {}
                _ => column = column.saturating_add(1),
            }
        }
        at = span.start;
        (finding.line, finding.column) = (Some(line), Some(column));
    }
}

/// Removes the edits of a finding of which one overlaps an earlier finding's. Its fault is found again once that one
/// is applied.
pub(crate) fn separate_edits<'a>(found: impl Iterator<Item = &'a mut Vec<Edit>>) {
    let mut found: Vec<&mut Vec<Edit>> = found.filter(|edits| !edits.is_empty()).collect();
    // An insertion before some bytes precedes their replacement. Of two edits of the same first byte the longer
    // cures more.
    found.sort_by_key(|edits| {
        edits.first().map(|edit| (edit.span.start, !edit.span.is_empty(), Reverse(edit.span.end)))
    });
    let mut taken: Vec<Range<usize>> = Vec::new();
    for edits in found {
        let clear = |edit: &Edit| !taken.iter().any(|taken| overlap(taken, &edit.span));
        if edits.iter().all(clear) {
            taken.extend(edits.iter().map(|edit| edit.span.clone()));
        } else {
            edits.clear();
        }
    }
}

/// Returns whether two changes cannot both be made. An insertion may touch a replacement.
fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a == b || (a.start < b.end && b.start < a.end)
}

/// Makes one line of at most some characters.
pub(super) fn clip(text: &str, chars: usize) -> String {
    let line = |c: char| if c.is_control() { ' ' } else { c };
    match text.char_indices().nth(chars) {
        None => text.chars().map(line).collect(),
        Some(_) => text.chars().take(chars.saturating_sub(1)).map(line).chain(['…']).collect(),
    }
}
