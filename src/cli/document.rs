//! What the user edits, read so that every byte of a value is known by its place in the file.
//!
//! ```text
//! file ─ tree (strict) ─┬─ located ─ values, each with its source map
//!    └── heal (by line) ─ draft ─ tree (strict) ─┘
//! ```
//! A manifest with one or several documents, a bare `data` map, JSON of the live object, or the managed edition's
//! JSON. Where the outer document itself is at fault, the slips are told, mended in a draft, and the draft is read:
//! so that one look tells the faults of both.

mod align;
pub(super) mod draft;
mod heal;
mod line;
mod locate;
mod read;
mod scalar;
mod straight;
mod terraform;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::ops::Range;

use super::diagnostic::Diagnostic;
pub use heal::data_key;
pub use read::read;
pub use scalar::Scalar;

/// A text that findings point into. It may hold a key pair, hence no `Debug`.
pub struct Source {
    /// The file's name, or that of the live object's key.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// The value of one key of `data`.
pub struct Value {
    /// Which of the document's sources it stands in.
    pub source: usize,
    /// Where its key stands.
    pub key: Option<Range<usize>>,
    /// The text.
    pub scalar: Scalar,
}

/// What was read. It may hold a key pair, hence no `Debug`.
#[derive(Default)]
pub struct Document {
    /// One file, or one text a key of the live object.
    pub sources: Vec<Source>,
    /// The values of `data`.
    pub values: BTreeMap<String, Value>,
    /// The managed edition's configuration, where that is what the file holds.
    pub addon: Option<Scalar>,
    /// What is wrong with the outer document.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether a ConfigMap was found, if only an empty one.
    found: bool,
    /// Whether something stands in it that could not be read, so that what was read is not what was meant.
    pub unread: bool,
}

impl Document {
    /// The `data` of a live ConfigMap: each value is its own source, named after its key.
    pub fn live(data: &BTreeMap<String, String>) -> Self {
        let mut document = Self { found: true, ..Self::default() };
        for (key, value) in data {
            let source = document.sources.len();
            document.sources.push(Source { name: format!("data.{key}"), text: value.clone() });
            let value = Value { source, key: None, scalar: Scalar::bare(value) };
            document.values.insert(key.clone(), value);
        }
        document
    }

    /// Whether there is no configuration to look at, which its diagnostics then say.
    pub fn holds_nothing(&self) -> bool {
        self.addon.is_none() && !self.found
    }

    /// The `data` as Kubernetes would hold it.
    pub fn data(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(key, value)| (key.clone(), value.scalar.value().to_owned())).collect()
    }
}
