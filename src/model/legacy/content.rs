//! The lines of a text without their comments.

/// A line, and the end of what is not a comment.
pub(crate) struct Content {
    /// The byte at which the line begins.
    pub(crate) start: usize,
    /// The byte at which its comment begins, or else its end.
    pub(crate) content_end: usize,
    /// The byte at which the line ends, without its line break.
    pub(crate) end: usize,
    /// The byte at which the next line begins.
    pub(crate) next: usize,
}

impl Content {
    /// Returns the lines of a text.
    pub(crate) fn lines(text: &str) -> impl Iterator<Item = Self> {
        let mut at = 0;
        text.split_inclusive('\n').map(move |whole| {
            let start = at;
            at += whole.len();
            let line = whole.trim_end_matches(['\n', '\r']);
            Self {
                start,
                content_end: start + comment(line).unwrap_or(line.len()),
                end: start + line.len(),
                next: at,
            }
        })
    }
}

/// Returns the byte at which the comment of a line begins.
fn comment(line: &str) -> Option<usize> {
    let (mut quote, mut before, mut escaped) = (None, ' ', false);
    for (at, c) in line.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') && opens(before) => quote = Some(c),
            None if is_apart(before) && begins_comment(&line[at..]) => return Some(at),
            None => {}
        }
        before = c;
    }
    None
}

/// Returns whether a quote behind a character begins a text.
fn opens(before: char) -> bool {
    is_apart(before) || matches!(before, ':' | ',' | '[' | '{' | '-' | '(' | '=' | '：' | '，')
}

fn is_apart(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}')
}

/// Returns whether a comment begins a text. `#{X}` is a variable of some tools.
fn begins_comment(rest: &str) -> bool {
    let variable = || {
        let inner = rest.strip_prefix("#{").and_then(|inner| inner.split_once('}')).map(|(inner, _)| inner);
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        inner.is_some_and(|inner| !inner.is_empty() && inner.chars().all(word))
    };
    rest.starts_with("//") || rest.starts_with('#') && !variable()
}
