//! The mistakes of a text, as both scanners collect them.

use std::ops::Range;

use crate::api::legacy::documented;
use crate::model::legacy::code::Code;
use crate::model::legacy::line::{Field, columns, is_space};
use crate::model::legacy::patch::Edit;
use crate::model::legacy::sign::lookalikes;

/// The most mistakes that are reported.
pub(super) const MAX_MISTAKES: usize = 1_000;

/// A mistake, its place, and the changes that repair it.
pub(crate) struct Mistake {
    pub(crate) code: Code,
    /// The key of a manifest that it is about.
    pub(crate) key: String,
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
    pub(crate) edits: Vec<Edit>,
    /// Whether the changes may be proposed. Those that only take a key out of the way may not.
    pub(crate) proposed: bool,
}

/// The kind of text, and the keys that have a meaning in it.
pub(crate) struct Schema {
    pub(crate) shape: Shape,
    pub(crate) keys: &'static [&'static [&'static str]],
}

/// The kinds of text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A manifest with `data`, or the bare content of `data`.
    Manifest,
    /// A list of maps.
    List,
    /// One map.
    Map,
}

impl Schema {
    /// Returns a key as documented.
    pub(in crate::model::legacy) fn known(&self, name: &str) -> Option<&'static str> {
        self.keys.iter().find_map(|keys| documented(keys, name))
    }
}

/// The mistakes of a text.
#[derive(Default)]
pub(crate) struct Scanned {
    /// By the lines that they are in.
    pub(crate) mistakes: Vec<Mistake>,
    /// Keys of `data` below a list, with their values.
    pub(in crate::model::legacy) below: Vec<(&'static str, String)>,
}

impl Scanned {
    pub(super) fn add(&mut self, code: Code, key: &str, span: Range<usize>, edits: Vec<Edit>) {
        self.report(code, key, span, cure(code), edits);
    }

    /// Adds a sign that a plain one replaces, and names it.
    pub(super) fn plain(&mut self, key: &str, span: Range<usize>, written: &str, text: &str) {
        let message = match lookalikes(written) {
            Some(named) => format!("{named} is read as the plain sign: write {}", describe(text)),
            None => cure(Code::FullWidth).to_owned(),
        };
        let edits = vec![Edit { span: span.clone(), text: text.to_owned() }];
        self.report(Code::FullWidth, key, span, message, edits);
    }

    pub(super) fn report(
        &mut self,
        code: Code,
        key: &str,
        span: Range<usize>,
        message: impl Into<String>,
        edits: Vec<Edit>,
    ) {
        let (key, message) = (key.to_owned(), message.into());
        self.mistakes.push(Mistake { code, key, span, message, edits, proposed: true });
    }

    /// Adds a mistake that another text in its place repairs.
    pub(super) fn replace(&mut self, code: Code, key: &str, span: Range<usize>, text: &str) {
        self.add(code, key, span.clone(), vec![Edit { span, text: text.to_owned() }]);
    }

    /// Puts plain spaces in the place of tabs and wide ones.
    pub(super) fn spaces(&mut self, key: &str, at: usize, spaces: &str, width: usize) {
        let (span, text) = (at..at + spaces.len(), " ".repeat(width));
        if spaces.contains('\t') {
            self.replace(Code::Tab, key, span, &text);
        } else if !spaces.is_ascii() {
            self.plain(key, span, spaces, &text);
        }
    }

    /// Checks the colon after a key. A missing space is reported at a place.
    pub(super) fn colon(&mut self, field: &Field<'_>, missing: Range<usize>) {
        if field.wide {
            let text = if field.is_joined() { ": " } else { ":" };
            self.plain(field.key, field.colon.clone(), "：", text);
        } else if field.is_joined() {
            let edit = Edit { span: field.colon.end..field.colon.end, text: " ".to_owned() };
            self.add(Code::SpaceAfterColon, field.key, missing, vec![edit]);
        }
    }

    /// Checks the sign of a comment at a byte of a field's value.
    pub(super) fn comment(&mut self, field: &Field<'_>, comment: usize) {
        let at = field.value_at() + comment;
        let before = if comment > 0 { &field.value[..comment] } else { field.gap };
        let apart = before.ends_with(is_space);
        if field.value[comment..].starts_with("//") {
            self.replace(Code::NoComment, field.key, at..at + 2, if apart { "#" } else { " #" });
        } else if !apart && comment > 0 {
            self.replace(Code::NoComment, field.key, at..at, " ");
        }
    }

    /// Checks a line that is a comment of another language.
    pub(super) fn comment_line(&mut self, key: &str, at: usize, body: &str) -> bool {
        let slashes = body.starts_with("//");
        if slashes {
            self.replace(Code::NoComment, key, at..at + 2, "#");
        }
        slashes
    }
}

/// Describes the text to write.
fn describe(text: &str) -> String {
    match text.trim() {
        "" => "plain spaces".to_owned(),
        sign if sign.len() < text.len() => format!("{sign} with a space after it"),
        sign => sign.to_owned(),
    }
}

/// Returns what is wrong, and what to write instead.
pub(super) fn cure(code: Code) -> &'static str {
    match code {
        Code::SpaceAfterColon => "the space after the colon is missing: write it",
        Code::SpaceAfterDash => "the space after the leading - is missing: write it",
        Code::NoComment => "a YAML comment begins with a space and #: write # instead of //",
        Code::Tab => "a tab is used as space: write spaces",
        Code::FullWidth => {
            "a full-width sign or space is read as the plain one: write the plain one, and a space after a colon"
        }
        Code::ValuesInARow => {
            "several quoted values in a row are read as one list: put one pair of quotes around the whole comma list"
        }
        Code::TextSpelling => "the comma at the end has nothing after it and is left out: delete it",
        Code::QuotesMissing => "the value begins with a sign that YAML keeps for itself: put it in quotes",
        Code::SeveralDocuments => "several YAML documents are read as one: delete the line ---",
        Code::MapForList => {
            "one map is read as an entry of the list: write \"- \" before its first key and indent the others by two spaces"
        }
        Code::KeysBelow => {
            "other keys of data are indented as if they belonged to this one: move them out, to the level of this key"
        }
        _ => "the text is read as it was probably meant: write it so",
    }
}

/// Returns the width of some spaces, at least one.
pub(super) fn width(spaces: &str) -> usize {
    columns(spaces).max(1)
}
