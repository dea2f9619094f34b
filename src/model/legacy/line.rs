//! The lines of a text, and `key: value` in one of them, even where the text is not YAML.

use std::ops::Range;

/// The commas of a list, of any width.
pub(crate) const COMMAS: [char; 3] = [',', '，', '、'];

/// Returns whether a character is a space within a line, of any width.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{a0}' | '\u{3000}' | '\u{feff}' | '\u{200b}')
}

/// Returns whether YAML takes a character for a space.
pub(crate) fn is_yaml_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// Returns the columns that some spaces take. A tab counts as the two spaces that replace it.
pub(crate) fn columns(spaces: &str) -> usize {
    let width = |c| match c {
        '\t' | '\u{3000}' => 2,
        '\u{feff}' | '\u{200b}' => 0,
        _ => 1,
    };
    spaces.chars().map(width).sum()
}

/// Returns the text of a line before a place.
pub(crate) fn line_before(text: &str, at: usize) -> Option<&str> {
    text.get(..at)?.rsplit('\n').next()
}

/// A line without its end.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    /// The byte at which it begins.
    pub(crate) start: usize,
    pub(crate) text: &'a str,
    /// The characters that count as spaces.
    space: fn(char) -> bool,
}

impl<'a> Line<'a> {
    /// Returns the lines of a text, without a byte order mark before the first.
    pub(crate) fn all(text: &'a str, space: fn(char) -> bool) -> Vec<Self> {
        let mut start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let mut lines = Vec::new();
        for line in text[start..].split_inclusive('\n') {
            lines.push(Self { start, text: line.trim_end_matches(['\n', '\r']), space });
            start += line.len();
        }
        lines
    }

    pub(crate) fn body(self) -> &'a str {
        self.text.trim_start_matches(self.space)
    }

    /// Returns the spaces before the body.
    pub(crate) fn lead(self) -> &'a str {
        &self.text[..self.text.len() - self.body().len()]
    }

    /// Returns the byte at which the body begins.
    pub(crate) fn body_at(self) -> usize {
        self.start + self.lead().len()
    }

    /// Returns the bytes of the body.
    pub(crate) fn body_span(self) -> Range<usize> {
        self.body_at()..self.body_at() + self.body().trim_end().len()
    }

    pub(crate) fn depth(self) -> usize {
        columns(self.lead())
    }

    pub(crate) fn is_empty(self) -> bool {
        self.body().is_empty()
    }

    pub(crate) fn is_comment(self) -> bool {
        self.body().starts_with('#')
    }

    pub(crate) fn is_item(self) -> bool {
        self.body() == "-" || self.body().starts_with("- ")
    }

    /// Returns the first `key: value` of the line, behind any `- `.
    pub(crate) fn field(self) -> Option<Field<'a>> {
        let mut body = self.body();
        while let Some(inner) = body.strip_prefix("- ") {
            body = inner.trim_start_matches(' ');
        }
        let depth = self.depth() + self.body().len() - body.len();
        Field::parse(body, self.start + self.text.len() - body.len(), depth, self.space)
    }
}

/// `key: value` in a line.
pub(crate) struct Field<'a> {
    pub(crate) key: &'a str,
    /// The byte at which the key begins.
    pub(crate) at: usize,
    /// The column of the key.
    pub(crate) depth: usize,
    /// Whether the colon is a full-width one.
    pub(crate) wide: bool,
    /// The bytes of the colon.
    pub(crate) colon: Range<usize>,
    /// The spaces between the colon and the value.
    pub(crate) gap: &'a str,
    /// All that follows them.
    pub(crate) value: &'a str,
}

impl<'a> Field<'a> {
    /// Reads a field at the beginning of a text.
    pub(crate) fn parse(text: &'a str, at: usize, depth: usize, space: fn(char) -> bool) -> Option<Self> {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        let length = text.find(|c| !word(c)).filter(|&length| length > 0)?;
        let after = text[length..].trim_start_matches(space);
        let colon = after.chars().next().filter(|c| matches!(c, ':' | '：'))?;
        let rest = &after[colon.len_utf8()..];
        let value = rest.trim_start_matches(space);
        let colon_at = at + text.len() - after.len();
        Some(Self {
            key: &text[..length],
            at,
            depth,
            wide: colon != ':',
            colon: colon_at..colon_at + colon.len_utf8(),
            gap: &rest[..rest.len() - value.len()],
            value: value.trim_end_matches(space),
        })
    }

    /// Returns the bytes of the key.
    pub(crate) fn span(&self) -> Range<usize> {
        self.at..self.at + self.key.len()
    }

    /// Returns the byte at which the value begins.
    pub(crate) fn value_at(&self) -> usize {
        self.colon.end + self.gap.len()
    }

    /// Returns whether the value begins directly after the colon.
    pub(crate) fn is_joined(&self) -> bool {
        self.gap.is_empty() && !self.value.is_empty()
    }

    pub(crate) fn is(&self, names: &[&str]) -> bool {
        names.iter().any(|name| name.eq_ignore_ascii_case(self.key))
    }

    /// Returns the value without a comment, and the byte of the value at which the comment begins.
    pub(crate) fn split_comment(&self) -> (&'a str, Option<usize>) {
        let comment = comment_at(self.value);
        let end = comment.unwrap_or(self.value.len());
        (self.value[..end].trim_end_matches(is_space), comment)
    }
}

/// Returns the byte at which a comment of YAML or of another language begins in a value.
pub(crate) fn comment_at(value: &str) -> Option<usize> {
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let rest = value[closing(value, quote)?..].trim_start_matches(is_space);
        if rest.starts_with('#') || rest.starts_with("//") {
            return Some(value.len() - rest.len());
        }
        if !rest.starts_with(COMMAS) {
            return None;
        }
    }
    let apart = |(at, _): &(usize, &str)| value[..*at].ends_with(is_space);
    let hash = value.match_indices('#').find(|found| found.0 == 0 || apart(found));
    let slashes = value.match_indices("//").find(apart);
    hash.into_iter().chain(slashes).map(|(at, _)| at).min()
}

/// Returns the end of the quoted text at the beginning of a value, its second quote included.
pub(crate) fn closing(value: &str, quote: char) -> Option<usize> {
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

/// Returns whether a value is `|`, `>-`, `|2+` or the like.
pub(crate) fn is_block_header(value: &str) -> bool {
    value.starts_with(['|', '>'])
        && value.len() <= 3
        && value[1..].chars().all(|c| c.is_ascii_digit() || "+-".contains(c))
}
