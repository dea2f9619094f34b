//! What `kubectl acr` does with what the user edits. Everything here returns data or writes to what it is given; the
//! binary prints.

pub mod convert;
pub mod diagnostic;
pub mod document;
pub mod lint;
pub mod live;
mod manifest;
pub mod plan;
mod preview;
mod redact;
pub mod reverse;
pub mod secret_references;
pub mod withdraw;
