//! The fields of a YAML map inside a key's value.

use std::collections::BTreeSet;

use super::code::Code;
use super::finding::{Findings, Span};
use super::patch::Edit;
use super::rewrite;
use super::sign::since;
use super::text::{
    CommaList, ListItem, Unquoted, boolean, can_show, joined, list, placeholder, quoted, quoted_key, spelled,
    unquote,
};
use super::unrendered::HIDDEN;
use crate::api::legacy::{Node, Pair, Style, Value, addon, documented};

/// The place of a map, and the keys that it may have.
#[derive(Clone, Copy)]
pub(super) struct MapSchema<'a> {
    /// Its path: `acr-registry-info[1]`.
    pub(super) at: &'a str,
    /// The text in which its nodes have their places.
    pub(super) text: &'a str,
    /// The keys that have a meaning.
    pub(super) known: &'a [&'static str],
    /// The kind of finding for an unknown key.
    pub(super) unknown: Code,
}

/// The fields of one map, by their documented names.
pub(super) struct MapFields<'a> {
    pub(super) schema: MapSchema<'a>,
    span: Span,
    pub(super) findings: &'a Findings,
    found: Vec<(&'static str, &'a Pair)>,
    /// Whether a key is repeated with another value.
    pub(super) contradictory: bool,
}

impl<'a> MapFields<'a> {
    /// Sorts the pairs of a map. `None`: it is not a map. A key that is repeated with another value is reported, and
    /// keeps its first value.
    pub(super) fn read(schema: MapSchema<'a>, node: &'a Node, findings: &'a Findings) -> Option<Self> {
        let Value::Map(pairs) = &node.value else { return None };
        let MapSchema { at, text, known, unknown } = schema;
        let mut fields =
            Self { schema, span: node.mark(), findings, found: Vec::new(), contradictory: false };
        for pair in pairs {
            let (written, value) = (pair.name(), &pair.value);
            let span = pair.key_span().or_else(|| value.mark());
            let Some(name) = documented(known, written.trim()) else {
                let message = format!(
                    "the key {} is unknown and ignored: delete it, or correct its name",
                    quoted_key(written)
                );
                findings.add(unknown, if at.is_empty() { addon::CONFIG } else { at }, span, message);
                continue;
            };
            let path = fields.path(name);
            if written != name {
                let message = format!("the key is written {}: write {name}", quoted_key(written));
                let quoted = pair.key_span().is_some_and(|span| span.len() > written.len());
                let text = if quoted { format!("\"{name}\"") } else { name.to_owned() };
                let edit = pair.key_span().map(|span| Edit { span, text });
                findings.edit(Code::EntryKeySpelling, &path, span.clone(), message, edit);
            }
            match fields.node(name) {
                None => fields.found.push((name, pair)),
                Some(first) if same_text(first, value) => {
                    let edit = rewrite::without_pair(text, pair);
                    findings.edit(Code::KeyRepeated, &path, span, "the key is repeated: delete one", edit);
                }
                Some(_) => {
                    fields.contradictory = true;
                    let message = if at.ends_with(']') {
                        "the key is repeated with another value: delete one, or write another entry for it"
                    } else {
                        "the key is repeated with another value: delete one"
                    };
                    findings.add(Code::KeyContradicts, &path, span, message);
                }
            }
        }
        Some(fields)
    }

    /// Returns the fields, if no key is repeated with another value.
    pub(super) fn consistent(self) -> Option<Self> {
        (!self.contradictory).then_some(self)
    }

    /// Returns the path of a field, as `acr-registry-info[1].regionId`.
    pub(super) fn path(&self, name: &str) -> String {
        match (self.schema.at, name) {
            (at, "") => at.to_owned(),
            ("", name) => name.to_owned(),
            (at, name) => format!("{at}.{name}"),
        }
    }

    /// Returns the place of a field, or else of the map.
    pub(super) fn span(&self, name: &str) -> Span {
        self.node(name.split('[').next().unwrap_or(name)).map_or(self.span.clone(), Node::mark)
    }

    /// Returns the value of a name.
    pub(super) fn node(&self, name: &str) -> Option<&'a Node> {
        self.pair(name).map(|pair| &pair.value)
    }

    fn pair(&self, name: &str) -> Option<&'a Pair> {
        self.found.iter().find(|(n, _)| *n == name).map(|(_, pair)| *pair)
    }

    /// Returns the edit that gives a field another text.
    pub(super) fn instead(&self, name: &str, text: &str) -> Option<Edit> {
        let pair = self.pair(name)?;
        scalar(&pair.value, text).or_else(|| rewrite::join_list(self.schema.text, pair, text))
    }

    /// Reads a text that a message may show. Empty is absent.
    ///
    /// # Errors
    /// It is not a text, or has another key in it, which is reported.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Rejected> {
        let Some(read) = self.any_text(name)? else { return Ok(None) };
        if !can_show(read.text) {
            let message = "the value contains spaces or another key: put each key on its own line, aligned with the first, with a space after its colon";
            return Err(self.refuse_hidden(name, Some(read.text), message));
        }
        if read.irregular {
            let text = spelled(std::slice::from_ref(&read.text));
            let since = since(self.node(name).and_then(Node::text).unwrap_or_default());
            let message = format!("the value is read as {text}{since}: write {text}");
            self.propose(Code::TextSpelling, name, message, self.instead(name, read.text));
        }
        Ok(Some(read.text.to_owned()))
    }

    /// Reports a value that no message may show.
    fn refuse_hidden(&self, name: &str, text: Option<&str>, message: &str) -> Rejected {
        if text.is_some_and(|text| text.starts_with(['<', '＜', '《']) && placeholder(text)) {
            let message = "the value is a placeholder: write the text that belongs there, without < and >";
            self.refuse(Code::Placeholder, name, message)
        } else {
            self.refuse(Code::KeySlippedIn, name, message)
        }
    }

    /// Reads a text that neither a message nor an edit may show. Empty is absent.
    ///
    /// # Errors
    /// It is not a text, which is reported.
    pub(super) fn secret(&self, name: &str) -> Result<Option<String>, Rejected> {
        let Some(read) = self.any_text(name)? else { return Ok(None) };
        // It is reported where it is hidden.
        if read.text.contains(HIDDEN) {
            return Err(Rejected);
        }
        if read.irregular {
            let since = since(self.node(name).and_then(Node::text).unwrap_or_default());
            let message = format!(
                "the quotes or invisible signs around the value are left out{since}: write plain quotes"
            );
            let edits =
                self.node(name).map(|node| rewrite::plain_quotes(node, &read.range)).unwrap_or_default();
            self.propose(Code::KeyPairSpelling, name, message, edits);
        }
        Ok(Some(read.text.to_owned()))
    }

    /// Reads a boolean, or returns the default.
    pub(super) fn boolean(&self, name: &str, default: bool) -> Result<bool, Rejected> {
        let Some(text) = self.text(name)? else { return Ok(default) };
        boolean(&text).ok_or_else(|| {
            let message = format!("{} is neither true nor false: write true or false", quoted(&text));
            self.refuse(Code::BooleanInvalid, name, message)
        })
    }

    /// Reads the items of a comma list, or of the YAML list that people write in its place. `spell` gives the spelling
    /// of an item in the list that is proposed.
    pub(super) fn items(&self, name: &str, spell: fn(&str) -> String) -> Result<Vec<ListedText>, Rejected> {
        let mut irregular = false;
        let mut items = Vec::new();
        match self.node(name) {
            None | Some(Node { value: Value::Null, .. }) => {}
            Some(node @ Node { value: Value::Text(text), .. }) => {
                let read = list(text);
                irregular = read.irregular;
                items = locate_items(read, node);
            }
            Some(Node { value: Value::List(nodes), .. }) => {
                for node in nodes {
                    let Value::Text(text) = &node.value else {
                        let message = "the list has items that are not texts: write one comma list";
                        return Err(self.refuse(Code::NotText, name, message));
                    };
                    // One item may hold a comma list.
                    items.extend(locate_items(list(text), node));
                }
                items.retain(|item| !item.text.is_empty());
                irregular = true;
            }
            Some(Node { value: Value::Map(_), .. }) => {
                let message = "the value is a map: write one comma list";
                return Err(self.refuse(Code::NotText, name, message));
            }
        }
        if !items.iter().all(|item| can_show(&item.text)) {
            let one = items.first().filter(|_| items.len() == 1).map(|item| item.text.as_str());
            let message = "the value contains spaces or another key: write one comma list, and each key on its own line, aligned with the first";
            return Err(self.refuse_hidden(name, one, message));
        }
        if irregular {
            let mut texts: Vec<String> = items.iter().map(|item| spell(&item.text)).collect();
            let mut seen = BTreeSet::new();
            texts.retain(|text| seen.insert(text.clone()));
            let since = since(self.node(name).and_then(Node::text).unwrap_or_default());
            let message = format!("the value is read as {0}{since}: write {0}", spelled(&texts));
            let edit = joined(&texts).and_then(|text| self.instead(name, &text));
            self.propose(Code::ListSpelling, name, message, edit);
        }
        Ok(items)
    }

    /// Reports a fault of a field.
    pub(super) fn report(&self, code: Code, name: &str, message: impl AsRef<str>) {
        self.propose(code, name, message, None);
    }

    /// Reports a fault of a field, with the edits that cure it.
    pub(super) fn propose(
        &self,
        code: Code,
        name: &str,
        message: impl AsRef<str>,
        edits: impl IntoIterator<Item = Edit>,
    ) {
        self.findings.edit(code, &self.path(name), self.span(name), message, edits);
    }

    /// Reports a fault for which a field is refused.
    pub(super) fn refuse(&self, code: Code, name: &str, message: impl AsRef<str>) -> Rejected {
        self.report(code, name, message);
        Rejected
    }

    fn any_text(&self, name: &str) -> Result<Option<Unquoted<'a>>, Rejected> {
        match self.node(name).map(|node| &node.value) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(unquote(text)).filter(|read| !read.text.is_empty())),
            Some(Value::List(_) | Value::Map(_)) => {
                let message = "the value is a list or a map: write one text";
                Err(self.refuse(Code::NotText, name, message))
            }
        }
    }
}

/// Returns the edit that gives a scalar another text, in quotes unless both were plain.
pub(super) fn scalar(node: &Node, text: &str) -> Option<Edit> {
    let span = node.replaceable()?;
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | ':' | '-');
    let text = match node.style {
        _ if text.contains(['"', '\\']) || text.contains(char::is_control) => return None,
        Style::Plain if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(bare) => {
            text.to_owned()
        }
        _ => format!("\"{text}\""),
    };
    Some(Edit { span, text })
}

/// An item of a comma list, and its place.
pub(super) struct ListedText {
    pub(super) text: String,
    pub(super) span: Span,
    /// Whether the place has exactly this item.
    exact: bool,
}

impl ListedText {
    /// Returns the edit that writes another text in its place.
    pub(super) fn instead(&self, text: &str) -> Option<Edit> {
        let span = self.span.clone().filter(|_| self.exact)?;
        Some(Edit { span, text: text.to_owned() })
    }
}

fn locate_items(read: CommaList<'_>, node: &Node) -> Vec<ListedText> {
    let start = node.text_start();
    let place = |item: ListItem<'_>| ListedText {
        span: match start {
            Some(start) => Some(start + item.range.start..start + item.range.end),
            None => node.mark(),
        },
        exact: start.is_some() && item.range.len() == item.text.len(),
        text: item.text.to_owned(),
    };
    read.items.into_iter().map(place).collect()
}

/// A value that was refused, which has been reported.
pub(super) struct Rejected;

fn same_text(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Null, Value::Null) => true,
        (Value::Text(a), Value::Text(b)) => a == b,
        _ => false,
    }
}
