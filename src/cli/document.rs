//! The file that the user edits, with the place of every byte of a value.
//!
//! ```text
//! file ─ nodes (JSON, HCL, YAML) ──────────────────┬─ located ─ values, each with its source map
//!    └── mistakes (by line) ─ patched text ─ nodes ─┘
//! ```
//! A manifest with one or several documents, a bare `data` map, JSON of the live object, or the managed edition's
//! add-on: its JSON, or what a tool for infrastructure keeps around it. What such a tool must evaluate first is only
//! named. Mistakes of an outer document in YAML are repaired in a copy, which is read in its place: one check reports
//! the faults of both levels.

mod fault;
mod flat_state;
mod functions;
mod locate;
mod parse;
mod prepared;
mod read;
mod rendered_json;
mod scalar;
mod source_map;
#[cfg(test)]
mod tests;
mod unevaluated;
mod unrendered;

use std::collections::BTreeMap;
use std::ops::Range;

use super::diagnostic::Diagnostic;
pub use prepared::read;
pub use scalar::Scalar;
pub use unrendered::not_text;
pub(super) use unrendered::shell_name;

/// A text that findings point into. It may hold a key pair, hence no `Debug`.
pub struct Source {
    /// The file's name, or that of the live object's key.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// The value of one key of `data`.
pub struct DataValue {
    /// The number of its source in the document.
    pub source: usize,
    /// The bytes of its key.
    pub key: Option<Range<usize>>,
    /// The text.
    pub scalar: Scalar,
}

/// A document as read. It may hold a key pair, hence no `Debug`.
#[derive(Default)]
pub struct Document {
    /// One file, or one text a key of the live object.
    pub sources: Vec<Source>,
    /// The values of `data`.
    pub values: BTreeMap<String, DataValue>,
    /// The managed edition's configuration, if the file has that.
    pub addon: Option<Scalar>,
    /// The findings of the outer document.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether a ConfigMap was found, if only an empty one.
    found: bool,
    /// Whether a part could not be read, so that the values are not what was meant.
    pub unread: bool,
}

/// Returns whether a file is a template for a stack of resources, or a part of one.
fn is_stack(text: &str) -> bool {
    ["ROSTemplateFormatVersion", "AWSTemplateFormatVersion", "!Sub", "Fn::Sub"]
        .iter()
        .any(|sign| text.contains(sign))
}

impl Document {
    /// Returns whether the file is a template for a stack of resources.
    pub fn is_stack(&self) -> bool {
        self.sources.first().is_some_and(|source| is_stack(&source.text))
    }

    /// Takes the `data` of a live ConfigMap: each value is its own source, named after its key.
    pub fn live(data: &BTreeMap<String, String>) -> Self {
        let mut document = Self { found: true, ..Self::default() };
        for (key, value) in data {
            let source = document.sources.len();
            document.sources.push(Source { name: format!("data.{key}"), text: value.clone() });
            let value = DataValue { source, key: None, scalar: Scalar::bare(value) };
            document.values.insert(key.clone(), value);
        }
        document
    }

    /// Returns whether there is no configuration. The diagnostics then say so.
    pub fn holds_nothing(&self) -> bool {
        self.addon.is_none() && !self.found
    }

    /// Returns the `data` as Kubernetes would hold it.
    pub fn data(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(key, value)| (key.clone(), value.scalar.value().to_owned())).collect()
    }
}
