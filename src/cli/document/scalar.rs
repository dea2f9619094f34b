//! One value of the document, with its source map.

use std::ops::Range;

use super::rendered_json::RenderedJson;
use super::source_map::SourceMap;
use crate::api::legacy::{Node, Style, parse_manifest};
use crate::model::legacy::Edit;
use crate::model::legacy::patch::PatchedText;
use crate::model::legacy::unrendered::{HIDDEN, Unrendered};

/// A text as Kubernetes would hold it, and a map from each of its bytes to the file. It may hold a key pair, hence
/// no `Debug`.
#[derive(Clone)]
pub struct Scalar {
    value: String,
    /// For each byte of the value the bytes of its character in the file.
    places: Vec<(usize, usize)>,
    /// The whole of it in the file, quotes included.
    whole: Range<usize>,
    form: ScalarForm,
    /// The bytes of the value at which a line of the file begins or ends, but not by an escape. YAML drops what is
    /// put in there.
    folds: Vec<usize>,
}

/// The way a text is written, as far as edits depend on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ScalarForm {
    /// As its own source: the value of a live object.
    Bare,
    Literal {
        indent: usize,
        carriage_return: bool,
    },
    Folded,
    Plain,
    Single,
    Double,
    /// As the JSON of a list or a map, whose signs are not those of the file.
    Rendered,
    /// The places are not known byte by byte, only as a whole.
    Unknown,
}

impl Scalar {
    /// Makes a text that is its own source.
    pub fn bare(value: &str) -> Self {
        let place = |(at, c): (usize, char)| std::iter::repeat_n((at, at + c.len_utf8()), c.len_utf8());
        let places = value.char_indices().flat_map(place).collect();
        let (whole, form) = (0..value.len(), ScalarForm::Bare);
        Self { value: value.to_owned(), places, whole, form, folds: Vec::new() }
    }

    /// Makes a text of a part of a file, in which nothing may be changed: it must become a text first.
    pub(super) fn verbatim(source: &str, whole: Range<usize>) -> Self {
        Self::bare(source).read_only().relocated(|place| place.start + whole.start..place.end + whole.start)
    }

    /// Makes a text of a part of a file that is its own source.
    pub(super) fn slice(text: &str, whole: Range<usize>) -> Self {
        Self::bare(text.get(whole.clone()).unwrap_or_default())
            .relocated(|place| place.start + whole.start..place.end + whole.start)
    }

    /// Makes a text of a list or a map, which becomes JSON.
    pub(super) fn rendered(text: &str, node: &Node) -> Self {
        let RenderedJson { value, places, .. } = RenderedJson::of(text, node);
        let whole = node.span.clone().unwrap_or_default();
        Self { value, places, whole, form: ScalarForm::Rendered, folds: Vec::new() }
    }

    /// Moves a text of a text to its places in the file around both. A change would need the forms of both.
    pub(super) fn within(self, outer: &Self) -> Self {
        self.relocated(|place| outer.place(&place)).read_only()
    }

    /// Reads a part of a file that is escaped as in double quotes, which may be missing.
    pub(super) fn escaped(text: &str, whole: Range<usize>) -> Self {
        let source = text.get(whole.clone()).unwrap_or_default();
        let bare = usize::from(!source.starts_with('"'));
        let quoted = if bare > 0 { format!("\"{source}\"") } else { source.to_owned() };
        let (roots, _) = parse_manifest(&quoted);
        let Some(value) = roots.first().and_then(Node::text) else {
            return Self::verbatim(source, whole);
        };
        let scalar = Self::read(&quoted, value, Style::Escaped, 0..quoted.len());
        let at = |place: usize| (place + whole.start).saturating_sub(bare).min(whole.end);
        Self { whole: whole.clone(), ..scalar.relocated(|place| at(place.start)..at(place.end)) }
    }

    /// Makes a text of what the parser read.
    pub(super) fn read(text: &str, value: &str, style: Style, whole: Range<usize>) -> Self {
        let map = SourceMap::of(text, value, style, &whole);
        let source = text.get(whole.clone()).unwrap_or_default();
        let form = match (&map, style) {
            (None, _) => ScalarForm::Unknown,
            (Some(map), Style::Literal) => {
                ScalarForm::Literal { indent: map.indent, carriage_return: source.contains('\r') }
            }
            (_, Style::Folded) => ScalarForm::Folded,
            (_, Style::Quoted | Style::Escaped) if source.starts_with('\'') => ScalarForm::Single,
            (_, Style::Quoted | Style::Escaped) => ScalarForm::Double,
            _ => ScalarForm::Plain,
        };
        let places = map.map_or_else(|| vec![(whole.start, whole.end); value.len()], |map| map.places);
        let folds = match form {
            ScalarForm::Plain | ScalarForm::Single | ScalarForm::Double => folds(text, value, &places),
            _ => Vec::new(),
        };
        Self { value: value.to_owned(), places, whole, form, folds }
    }

    /// Returns the text as Kubernetes would hold it.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns all of it in the file.
    pub fn whole(&self) -> Range<usize> {
        self.whole.clone()
    }

    /// Returns the bytes in the file for bytes of the value.
    pub fn place(&self, span: &Range<usize>) -> Range<usize> {
        let last = self.places.last().map_or(self.whole.start, |&(_, end)| end);
        let start = self.places.get(span.start).map_or(last, |&(start, _)| start);
        if span.is_empty() {
            return start..start;
        }
        let end = self.places.get(span.end.saturating_sub(1)).map_or(last, |&(_, end)| end);
        start..end.max(start)
    }

    /// Turns changes of the value into changes of the file, which do not overlap. `None`: the whole would have to be
    /// rewritten.
    pub fn edits(&self, edits: &[Edit]) -> Option<Vec<Edit>> {
        if self.value.is_empty() && self.form != ScalarForm::Bare {
            // Its quotes, or the word for nothing, go. Without them the file has no place for a text.
            let written = matches!(self.form, ScalarForm::Plain | ScalarForm::Single | ScalarForm::Double)
                && !self.whole.is_empty();
            return written.then(|| vec![self.rewritten(edits)]);
        }
        let rewrite = match self.form {
            ScalarForm::Plain => edits.len() > 1 && !edits.iter().all(|edit| self.stays_plain(edit)),
            // Single quotes hold no line break as it is.
            ScalarForm::Single => edits.iter().any(|edit| edit.text.contains(char::is_control)),
            _ => false,
        };
        let folds = |at: usize| self.folds.binary_search(&at).is_ok();
        if rewrite || edits.iter().any(|edit| folds(edit.span.start) || folds(edit.span.end)) {
            return Some(vec![self.rewritten(edits)]);
        }
        edits.iter().map(|edit| self.edit(edit)).collect()
    }

    /// Writes all of it in double quotes, with the changes made.
    fn rewritten(&self, edits: &[Edit]) -> Edit {
        let text = PatchedText::new(&self.value, edits).text;
        Edit { span: self.whole(), text: format!("\"{}\"", escaped(&text)) }
    }

    /// Forbids changes in the text, because the text around it changes.
    pub(super) fn read_only(mut self) -> Self {
        self.form = ScalarForm::Unknown;
        self
    }

    /// Turns a change of the value into a change of the file. `None`: the whole would have to be rewritten.
    pub fn edit(&self, edit: &Edit) -> Option<Edit> {
        let text = edit.text.as_str();
        let mut span = self.place(&edit.span);
        let written = match self.form {
            ScalarForm::Bare => text.to_owned(),
            ScalarForm::Literal { indent, carriage_return } => {
                let line_end = if carriage_return { "\r\n" } else { "\n" };
                // A change of whole lines includes the indent of the next one, and writes it again.
                if self.value.get(..edit.span.end).is_some_and(|before| before.ends_with('\n'))
                    && let Some(&(next, _)) = self.places.get(edit.span.end)
                {
                    span.end = next.max(span.start);
                }
                let last = edit.span.end >= self.value.len();
                // The last lines take their own indent along.
                let begins =
                    |at: usize| self.value.get(..at).is_some_and(|b| b.is_empty() || b.ends_with('\n'));
                if last && text.is_empty() && begins(edit.span.start) && begins(self.value.len()) {
                    span.start = span.start.saturating_sub(indent);
                }
                let mut written = String::new();
                let mut lines = text.split('\n').peekable();
                while let Some(line) = lines.next() {
                    written.push_str(line);
                    if let Some(next) = lines.peek() {
                        written.push_str(line_end);
                        if !(last && next.is_empty()) {
                            written.push_str(&" ".repeat(indent));
                        }
                    }
                }
                written
            }
            ScalarForm::Double => escaped(text),
            ScalarForm::Single if !text.contains(char::is_control) => text.replace('\'', "''"),
            ScalarForm::Plain if self.stays_plain(edit) => text.to_owned(),
            ScalarForm::Plain => {
                self.value.get(edit.span.clone())?;
                return Some(self.rewritten(std::slice::from_ref(edit)));
            }
            // Within one scalar the file has the same bytes, or those of the whole scalar.
            ScalarForm::Rendered => {
                let places = self.places.get(edit.span.clone())?;
                let joined = |two: &[(usize, usize)]| two[0] == two[1] || two[0].1 == two[1].0;
                let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                let scalar = !quoted.unwrap_or(text).contains(['"', '{', '}', '[', ']', '\n']);
                if span.is_empty() || !scalar || !places.windows(2).all(joined) {
                    return None;
                }
                text.to_owned()
            }
            ScalarForm::Folded if !text.contains('\n') => text.to_owned(),
            ScalarForm::Single | ScalarForm::Folded | ScalarForm::Unknown => return None,
        };
        Some(Edit { span, text: written })
    }

    /// Returns whether a plain scalar stays a text with a change made.
    fn stays_plain(&self, edit: &Edit) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@+,".contains(c);
        let mut value = self.value.clone();
        if value.get(edit.span.clone()).is_none() {
            return false;
        }
        value.replace_range(edit.span.clone(), &edit.text);
        value.starts_with(|c: char| c.is_ascii_alphabetic())
            && edit.text.chars().all(plain)
            && !matches!(
                value.to_ascii_lowercase().as_str(),
                "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
            )
    }

    /// Writes what a file has in the place of what was hidden in it. `None`: its place is not known.
    pub(super) fn restored(mut self, text: &str, hidden: &[Unrendered]) -> Option<Self> {
        let (mut value, mut at) = (String::with_capacity(self.value.len()), 0);
        while let Some(c) = self.value[at..].chars().next() {
            let (start, _) = self.places.get(at).copied()?;
            let found = hidden.binary_search_by_key(&start, |hidden| hidden.span.start);
            let span = found.ok().and_then(|found| hidden.get(found)).map(|hidden| hidden.span.clone());
            let whole = |span: &Range<usize>| {
                self.places.get(at + span.len() - 1).is_some_and(|&(_, end)| end == span.end)
            };
            let Some(span) = span.filter(whole) else {
                value.push(c);
                at += c.len_utf8();
                continue;
            };
            let written = text.get(span.clone())?;
            for (index, c) in written.char_indices() {
                let place = (start + index, start + index + c.len_utf8());
                self.places[at + index..at + index + c.len_utf8()].fill(place);
            }
            value.push_str(written);
            at += span.len();
        }
        self.value = value;
        (!self.value.contains(HIDDEN)).then_some(self)
    }

    /// Moves a text of a patched file to its places in the file.
    pub(super) fn moved(self, patched: &PatchedText) -> Self {
        self.relocated(|place| patched.origin_of(&place))
    }

    /// Changes its places.
    fn relocated(mut self, place: impl Fn(Range<usize>) -> Range<usize>) -> Self {
        for (start, end) in &mut self.places {
            let moved = place(*start..*end);
            (*start, *end) = (moved.start, moved.end);
        }
        self.whole = place(self.whole);
        self
    }
}

/// Returns the bytes of a value at which the file has a line break, or more than the value between two characters.
fn folds(text: &str, value: &str, places: &[(usize, usize)]) -> Vec<usize> {
    let mut folds = Vec::new();
    let mut last = places.first().map_or(0, |&(start, _)| start);
    for (at, c) in value.char_indices() {
        let Some(&(start, end)) = places.get(at) else { break };
        let breaks = text.get(start..end).is_some_and(|written| written.starts_with(['\n', '\r']));
        if (breaks || start != last) && folds.last() != Some(&at) {
            folds.push(at);
        }
        if breaks {
            folds.push(at + c.len_utf8());
        }
        last = end;
    }
    folds
}

/// Escapes a text for double quotes.
fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' | '\n' | '\t' | '\r' => written.extend(c.escape_default()),
            c if c.is_control() => written.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => written.push(c),
        }
    }
    written
}
