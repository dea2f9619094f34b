//! A value and its source.

use std::ops::Range;

use super::fields::scalar;
use super::finding::Span;
use super::patch::Edit;
use crate::api::legacy::Node;

/// A value and its source.
#[derive(Clone)]
pub(super) struct SourceValue<'a> {
    /// The key as written.
    pub(super) key: &'a str,
    /// The value.
    pub(super) value: &'a str,
    /// The node of the value within an add-on's JSON.
    pub(super) node: Option<&'a Node>,
}

impl SourceValue<'_> {
    /// Returns the bytes of all of it.
    pub(super) fn all(&self) -> Span {
        self.node.map_or(Some(0..self.value.len()), Node::mark)
    }

    /// Returns the bytes in the source for bytes of the value.
    pub(super) fn span(&self, range: &Range<usize>) -> Span {
        let Some(node) = self.node else { return Some(range.clone()) };
        match node.text_start() {
            Some(start) => Some(start + range.start..start + range.end),
            None => node.mark(),
        }
    }

    /// Returns the edit that gives the whole key another value.
    pub(super) fn instead(&self, text: &str) -> Option<Edit> {
        match self.node {
            // Within an add-on's JSON.
            Some(node) => scalar(node, text),
            None => Some(Edit { span: 0..self.value.len(), text: text.to_owned() }),
        }
    }
}
