//! One value of the document, and where each of its bytes stands in the file.

use std::ops::Range;

use granit_parser::ScalarStyle;

use super::draft::Draft;
use super::{align, tree};
use crate::model::legacy::Edit;

/// A text as Kubernetes would hold it, and a map from each of its bytes to the file. It may hold a key pair, hence
/// no `Debug`.
#[derive(Clone)]
pub struct Scalar {
    value: String,
    /// For each byte of the value where the character that it belongs to begins and ends in the file.
    places: Vec<(usize, usize)>,
    /// The whole of it in the file, quotes included.
    whole: Range<usize>,
    manner: Manner,
    /// Where in the value a line of the file begins or ends, which it does not by an escape: what YAML drops there
    /// cannot be put in there.
    folds: Vec<usize>,
}

/// How a text is written, as far as whoever edits it must know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// As it stands: the value of a live object.
    Bare,
    Literal {
        indent: usize,
        carriage_return: bool,
    },
    Folded,
    Plain,
    Single,
    Double,
    /// The places are not known byte by byte, only as a whole.
    Unknown,
}

impl Scalar {
    /// A text that is its own source.
    pub fn bare(value: &str) -> Self {
        let mut places = Vec::with_capacity(value.len());
        for (at, c) in value.char_indices() {
            places.extend(std::iter::repeat_n((at, at + c.len_utf8()), c.len_utf8()));
        }
        Self {
            value: value.to_owned(),
            places,
            whole: 0..value.len(),
            manner: Manner::Bare,
            folds: Vec::new(),
        }
    }

    /// A part of a file that is read as it stands there, and in which nothing may be changed: it is to be written as
    /// a text first.
    pub(super) fn verbatim(source: &str, whole: Range<usize>) -> Self {
        let mut scalar = Self::bare(source).left_as_it_is();
        for (start, end) in &mut scalar.places {
            (*start, *end) = (*start + whole.start, *end + whole.start);
        }
        Self { whole, ..scalar }
    }

    /// What stands in a part of a file as it would within double quotes, which are there or are not.
    pub(super) fn escaped(text: &str, whole: Range<usize>) -> Self {
        let source = text.get(whole.clone()).unwrap_or_default();
        let bare = usize::from(!source.starts_with('"'));
        let quoted = if bare > 0 { format!("\"{source}\"") } else { source.to_owned() };
        let (roots, _) = tree::parse(&quoted);
        let Some(value) = roots.first().and_then(tree::Node::text) else {
            return Self::verbatim(source, whole);
        };
        let mut scalar = Self::read(&quoted, value, ScalarStyle::DoubleQuoted, 0..quoted.len());
        for (start, end) in &mut scalar.places {
            let at = |place: usize| (place + whole.start).saturating_sub(bare).min(whole.end);
            (*start, *end) = (at(*start), at(*end));
        }
        Self { whole, ..scalar }
    }

    /// What the parser read, with its places found again in the text.
    pub(super) fn read(text: &str, value: &str, style: ScalarStyle, whole: Range<usize>) -> Self {
        let aligned = align::align(text, value, style, whole.clone());
        let manner = match (&aligned, style) {
            (None, _) => Manner::Unknown,
            (Some(aligned), ScalarStyle::Literal) => {
                let carriage_return = text.get(whole.clone()).is_some_and(|source| source.contains('\r'));
                Manner::Literal { indent: aligned.indent, carriage_return }
            }
            (Some(_), ScalarStyle::Folded) => Manner::Folded,
            (Some(_), ScalarStyle::Plain) => Manner::Plain,
            (Some(_), ScalarStyle::SingleQuoted) => Manner::Single,
            (Some(_), ScalarStyle::DoubleQuoted) => Manner::Double,
        };
        let places =
            aligned.map_or_else(|| vec![(whole.start, whole.end); value.len()], |aligned| aligned.places);
        let folds = match manner {
            Manner::Plain | Manner::Single | Manner::Double => folds(text, value, &places),
            _ => Vec::new(),
        };
        Self { value: value.to_owned(), places, whole, manner, folds }
    }

    /// The text as Kubernetes would hold it.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// All of it in the file.
    pub fn whole(&self) -> Range<usize> {
        self.whole.clone()
    }

    /// Where some bytes of the value stand in the file.
    pub fn place(&self, span: &Range<usize>) -> Range<usize> {
        let last = self.places.last().map_or(self.whole.start, |&(_, end)| end);
        let start = self.places.get(span.start).map_or(last, |&(start, _)| start);
        if span.is_empty() {
            return start..start;
        }
        let end = self.places.get(span.end.saturating_sub(1)).map_or(last, |&(_, end)| end);
        start..end.max(start)
    }

    /// The same changes, of the file. They do not overlap. `None`: they cannot be made without writing the whole anew.
    pub fn edits(&self, edits: &[Edit]) -> Option<Vec<Edit>> {
        if self.value.is_empty() && self.manner != Manner::Bare {
            // Its quotes, or the word for nothing, go. Where there are none, the file has no place for a text.
            let written = matches!(self.manner, Manner::Plain | Manner::Single | Manner::Double)
                && !self.whole.is_empty();
            return written.then(|| vec![self.anew(edits)]);
        }
        let anew = match self.manner {
            Manner::Plain => edits.len() > 1 && !edits.iter().all(|edit| self.stays_plain(edit)),
            // Single quotes hold no line break as it is.
            Manner::Single => edits.iter().any(|edit| edit.text.contains(char::is_control)),
            _ => false,
        };
        let folds = |at: usize| self.folds.binary_search(&at).is_ok();
        if anew || edits.iter().any(|edit| folds(edit.span.start) || folds(edit.span.end)) {
            return Some(vec![self.anew(edits)]);
        }
        edits.iter().map(|edit| self.edit(edit)).collect()
    }

    /// All of it in double quotes, with the changes made.
    fn anew(&self, edits: &[Edit]) -> Edit {
        let text = Draft::new(&self.value, edits).text;
        Edit { span: self.whole(), text: format!("\"{}\"", escaped(&text)) }
    }

    /// The same text, whose places are known and in which nothing may be changed: what is around it will be.
    pub(super) fn left_as_it_is(mut self) -> Self {
        self.manner = Manner::Unknown;
        self
    }

    /// The same change, of the file. `None`: it cannot be made without writing the whole anew.
    pub fn edit(&self, edit: &Edit) -> Option<Edit> {
        let text = edit.text.as_str();
        let mut span = self.place(&edit.span);
        let written = match self.manner {
            Manner::Bare => text.to_owned(),
            Manner::Literal { indent, carriage_return } => {
                let line_end = if carriage_return { "\r\n" } else { "\n" };
                // A change of whole lines takes the indent of the next one along, and gives it back.
                if self.value.get(..edit.span.end).is_some_and(|before| before.ends_with('\n'))
                    && let Some(&(next, _)) = self.places.get(edit.span.end)
                {
                    span.end = next.max(span.start);
                }
                let last = edit.span.end >= self.value.len();
                // The last lines go with their indent, which there is no next one to take.
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
            Manner::Double => escaped(text),
            Manner::Single if !text.contains(char::is_control) => text.replace('\'', "''"),
            Manner::Plain if self.stays_plain(edit) => text.to_owned(),
            Manner::Plain => {
                self.value.get(edit.span.clone())?;
                return Some(self.anew(std::slice::from_ref(edit)));
            }
            Manner::Folded if !text.contains('\n') => text.to_owned(),
            Manner::Single | Manner::Folded | Manner::Unknown => return None,
        };
        Some(Edit { span, text: written })
    }

    /// Whether a plain scalar may take a text as it is and still be the text that it is then.
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

    /// The same text, told in the places of the file that a draft was made from.
    pub(super) fn moved(mut self, origin: &[usize]) -> Self {
        let at = |place: usize| origin.get(place).or(origin.last()).copied().unwrap_or(place);
        for (start, end) in &mut self.places {
            (*start, *end) = (at(*start), at(*end));
        }
        self.whole = at(self.whole.start)..at(self.whole.end);
        self
    }
}

/// Where in a value a line break of the file is, and where the file has more than the value between two characters.
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

/// A text within double quotes.
fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\t' => written.push_str("\\t"),
            '\r' => written.push_str("\\r"),
            c if c.is_control() => written.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => written.push(c),
        }
    }
    written
}
