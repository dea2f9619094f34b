//! The tree that YAML, JSON and HCL are read into, with the place of each node in the user's text.

use std::ops::Range;

/// A node of a document. It may hold a key pair, hence no `Debug`.
#[derive(Clone)]
pub struct Node {
    /// The bytes of all of it, where they are known.
    pub span: Option<Range<usize>>,
    /// The way it is written.
    pub style: Style,
    /// Its content.
    pub value: Value,
}

/// The way a node is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As its own text.
    Plain,
    /// Without quotes over several lines, or after a tag.
    Wrapped,
    /// In quotes with its own text between them.
    Quoted,
    /// In quotes with escapes or line breaks between them.
    Escaped,
    /// After a `|`.
    Literal,
    /// After a `>`.
    Folded,
    /// A list or a map on lines of its own.
    Block,
    /// A list or a map in brackets or braces.
    Flow,
    /// A copy for an alias or a merge.
    Alias,
    /// A list or a map in HCL that `jsonencode` or `yamlencode` makes a text of.
    Encoded,
    /// An expression of HCL that depends on more than the file. Its parts are in a list.
    Expression,
}

/// The content of a node. It may hold a key pair, hence no `Debug`.
#[derive(Clone)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar, as the user wrote it.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order written. A repeated key is repeated here.
    Map(Vec<Pair>),
}

/// A key of a map and its value. It may hold a key pair, hence no `Debug`.
#[derive(Clone)]
pub struct Pair {
    /// The key.
    pub key: Node,
    /// Its value.
    pub value: Node,
}

impl Pair {
    /// Returns the key as written.
    pub fn name(&self) -> &str {
        match &self.key.value {
            Value::Null => "~",
            Value::Text(text) => text,
            Value::List(_) | Value::Map(_) => "?",
        }
    }

    /// Returns the bytes of the key with its quotes, where another key can be put in its place.
    pub fn key_span(&self) -> Option<Range<usize>> {
        self.key.replaceable()
    }
}

impl Node {
    /// A node for what is absent.
    pub const ABSENT: Self = Self { span: None, style: Style::Alias, value: Value::Null };

    /// Returns the text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the pairs of a map.
    pub fn pairs(&self) -> &[Pair] {
        match &self.value {
            Value::Map(pairs) => pairs,
            _ => &[],
        }
    }

    /// Returns the items of a list.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Returns the last value of a key, which most readers take.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.pairs().iter().rev().find(|pair| pair.key.text() == Some(key)).map(|pair| &pair.value)
    }

    /// Returns the bytes that a finding about the node points to: a whole scalar, the beginning of a list or a map.
    pub fn mark(&self) -> Option<Range<usize>> {
        let span = self.span.clone()?;
        match self.style {
            Style::Block => Some(span.start..span.start),
            Style::Flow => Some(span.start..span.end.min(span.start + 1)),
            _ => Some(span),
        }
    }

    /// Returns the bytes of a scalar that other bytes can replace.
    pub fn replaceable(&self) -> Option<Range<usize>> {
        let written = matches!(self.style, Style::Plain | Style::Quoted | Style::Escaped);
        self.span.clone().filter(|_| written && self.text().is_some())
    }

    /// Returns the byte at which a scalar's text begins to the letter.
    pub fn text_start(&self) -> Option<usize> {
        let start = self.span.as_ref()?.start;
        match self.style {
            Style::Plain => Some(start),
            Style::Quoted => Some(start + 1),
            _ => None,
        }
    }

    /// Changes the places of the node and of all nodes in it.
    pub fn relocate(&mut self, place: &impl Fn(Range<usize>) -> Option<Range<usize>>) {
        self.visit(&mut |node| node.span = node.span.take().and_then(place));
    }

    /// Visits the node and all nodes in it. Limits bound the depth, hence the recursion.
    pub(super) fn visit(&mut self, change: &mut impl FnMut(&mut Self)) {
        change(self);
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.visit(change)),
            Value::Map(pairs) => pairs.iter_mut().for_each(|pair| {
                pair.key.visit(change);
                pair.value.visit(change);
            }),
            Value::Null | Value::Text(_) => {}
        }
    }
}

/// The reason why a text cannot be read. It holds nothing of the text, which may hold a key pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind of fault.
    pub kind: FaultKind,
    /// The byte at which it was noticed.
    pub at: usize,
    /// The line of that byte, from 1.
    pub line: usize,
    /// The parser's words.
    pub why: String,
}

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It is not YAML, JSON or HCL.
    Syntax,
    /// It is larger, deeper or more aliased than configuration ever is.
    Excessive,
    /// It has more than one document.
    Documents,
}
