//! The lines of a manifest, and `key: value` within one, whatever YAML says of them.

use std::ops::Range;

/// The lines, without a byte order mark before the first.
pub(super) fn lines(text: &str) -> Vec<Line<'_>> {
    let bom = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut lines = Vec::new();
    let mut start = bom;
    for line in text[bom..].split_inclusive('\n') {
        lines.push(Line { start, text: line.trim_end_matches(['\n', '\r']) });
        start += line.len();
    }
    lines
}

/// A line without its end.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) start: usize,
    pub(super) text: &'a str,
}

impl<'a> Line<'a> {
    pub(super) fn body(self) -> &'a str {
        self.text.trim_start_matches([' ', '\t'])
    }

    /// The blanks and tabs that it begins with.
    pub(super) fn lead(self) -> &'a str {
        &self.text[..self.text.len() - self.body().len()]
    }

    /// How deep it is indented, a tab being two blanks as it will be once mended.
    pub(super) fn depth(self) -> usize {
        self.lead().chars().map(|c| if c == '\t' { 2 } else { 1 }).sum()
    }

    pub(super) fn is_blank(self) -> bool {
        self.body().is_empty()
    }

    pub(super) fn is_comment(self) -> bool {
        self.body().starts_with('#')
    }

    pub(super) fn is_item(self) -> bool {
        self.body() == "-" || self.body().starts_with("- ")
    }
}

/// `key: value` within a line, by its places in the text.
pub(super) struct Pair<'a> {
    pub(super) key: &'a str,
    pub(super) key_at: usize,
    pub(super) depth: usize,
    pub(super) colon: &'a str,
    /// What follows the colon.
    pub(super) rest: &'a str,
    pub(super) rest_at: usize,
}

impl<'a> Pair<'a> {
    pub(super) fn of(line: Line<'a>) -> Option<Self> {
        let mut body = line.body();
        let mut depth = line.depth();
        while let Some(inner) = body.strip_prefix("- ") {
            let trimmed = inner.trim_start_matches(' ');
            depth += body.len() - trimmed.len();
            body = trimmed;
        }
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        let length = body.find(|c| !word(c)).filter(|&length| length > 0)?;
        let after = body[length..].trim_start_matches(' ');
        let colon =
            [":", "："].into_iter().find_map(|colon| after.get(..colon.len()).filter(|c| *c == colon))?;
        let rest = &after[colon.len()..];
        let at = |part: &str| line.start + line.text.len() - part.len();
        Some(Self { key: &body[..length], key_at: at(body), depth, colon, rest, rest_at: at(rest) })
    }

    /// What follows the colon without blanks and a comment.
    pub(super) fn value(&self) -> &'a str {
        let value = self.rest.trim_start_matches([' ', '\t']);
        let comment = if value.starts_with('#') { Some(0) } else { value.find(" #") };
        value[..comment.unwrap_or(value.len())].trim_end_matches([' ', '\t'])
    }

    pub(super) fn key_span(&self) -> Range<usize> {
        self.key_at..self.key_at + self.key.len()
    }
}

/// Where the quoted text at the beginning ends, its second quote included.
pub(super) fn closing(value: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    let mut chars = value.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        let doubled = quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == quote);
        if escaped {
            escaped = false;
        } else if c == '\\' && quote == '"' || c == quote && doubled {
            escaped = true;
        } else if c == quote {
            return Some(at + 1);
        }
    }
    None
}

/// Whether a line begins with a text, or what says how one is meant, and not with a key in quotes.
pub(super) fn begins_a_text(body: &str) -> bool {
    match body.chars().next() {
        Some(quote @ ('"' | '\'')) => closing(body, quote)
            .is_none_or(|end| !body[end..].trim_start_matches([' ', '\t']).starts_with(':')),
        Some(sign) => matches!(sign, '|' | '>' | '!' | '&' | '*'),
        None => false,
    }
}

/// `|`, `>-`, `|2+` and the like.
pub(super) fn is_block_header(value: &str) -> bool {
    value.starts_with(['|', '>'])
        && value.len() <= 3
        && value[1..].chars().all(|c| c.is_ascii_digit() || "+-".contains(c))
}
