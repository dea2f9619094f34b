//! The mistakes that people make in YAML again and again, found line by line.
//!
//! A parser stops at the first fault, often a line or more after the mistake. The mistakes of the documented samples
//! are few, and each shows in its own line. One scanner finds them in a manifest and in the text of one of its keys:
//! a [`Schema`] says which of the two, and which keys it may have.

mod manifest;
mod nested;
mod scanned;

pub(crate) use manifest::NESTED_KEYS;
pub(crate) use scanned::{Mistake, Scanned, Schema, Shape};

/// Finds the mistakes of a text.
pub(crate) fn scan(text: &str, schema: &Schema) -> Scanned {
    match schema.shape {
        Shape::Manifest => manifest::scan(text, schema),
        Shape::List | Shape::Map => nested::scan(text, schema),
    }
}

/// Finds the mistakes of a manifest.
pub(crate) fn scan_manifest(text: &str) -> Vec<Mistake> {
    scan(text, &manifest::SCHEMA).mistakes
}
