//! A change to a text.

use std::ops::Range;

/// A change to the value that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The bytes to replace; empty to insert.
    pub span: Range<usize>,
    /// The text to write there.
    pub text: String,
}
