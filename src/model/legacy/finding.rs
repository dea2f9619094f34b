//! What is wrong with a ConfigMap, or had to be guessed.

use std::fmt;

/// The most findings of one conversion: a hostile ConfigMap must not fill the memory.
const MAX_FINDINGS: usize = 1000;

/// The most characters of one message.
const MAX_MESSAGE_CHARS: usize = 400;

/// The most bytes of a summary: conditions are read by people.
const MAX_SUMMARY_BYTES: usize = 1024;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something that the user wrote is not served.
    Error,
    /// It is served, by a guess or in a way that the user should know.
    Warning,
}

/// One thing that is wrong or guessed. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The key of `data`, with the path inside it: `acr-registry-info[1].regionId`.
    pub key: String,
    /// The line within the key's own value, from 1, where known.
    pub line: Option<u32>,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{} line {line}: {}", self.key, self.message),
            None => write!(f, "{}: {}", self.key, self.message),
        }
    }
}

/// The first few findings, errors before warnings, in at most 1 KiB: the message of a condition.
pub fn summarize(findings: &[Finding]) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.severity);
    let mut summary = String::new();
    for (told, finding) in sorted.iter().enumerate() {
        let text = cut(finding.to_string(), MAX_SUMMARY_BYTES / 3);
        let more = format!("; and {} more", sorted.len() - told);
        if summary.len() + "; ".len() + text.len() + more.len() > MAX_SUMMARY_BYTES {
            summary.push_str(&more);
            break;
        }
        if told > 0 {
            summary.push_str("; ");
        }
        summary.push_str(&text);
    }
    summary
}

/// At most so many bytes, in whole characters.
fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let room = bytes - '…'.len_utf8();
        let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|&end| end <= room).last();
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

/// Collects findings, each on one line and of bounded length.
#[derive(Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    left_out: usize,
    /// The worst severity of those left out.
    worst: Option<Severity>,
}

impl Findings {
    pub(super) fn error(&mut self, key: &str, line: Option<u32>, message: impl AsRef<str>) {
        self.add(Severity::Error, key, line, message.as_ref());
    }

    pub(super) fn warning(&mut self, key: &str, line: Option<u32>, message: impl AsRef<str>) {
        self.add(Severity::Warning, key, line, message.as_ref());
    }

    fn add(&mut self, severity: Severity, key: &str, line: Option<u32>, message: &str) {
        if self.found.len() >= MAX_FINDINGS {
            self.left_out += 1;
            self.worst = Some(self.worst.map_or(severity, |worst| worst.min(severity)));
            return;
        }
        let (key, message) = (clip(key, 100), clip(message, MAX_MESSAGE_CHARS));
        self.found.push(Finding { severity, key, line, message });
    }

    pub(super) fn into_vec(mut self) -> Vec<Finding> {
        if let Some(severity) = self.worst {
            let message =
                format!("{} more findings are not listed: mend the first ones and look again", self.left_out);
            self.found.push(Finding { severity, key: "data".to_owned(), line: None, message });
        }
        self.found
    }
}

/// One line of at most so many characters.
pub(super) fn clip(text: &str, chars: usize) -> String {
    let line = |c: char| if c.is_control() { ' ' } else { c };
    match text.char_indices().nth(chars) {
        None => text.chars().map(line).collect(),
        Some(_) => text.chars().take(chars.saturating_sub(1)).map(line).chain(['…']).collect(),
    }
}
