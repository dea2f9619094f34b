//! What `kubectl acr` does with what the user edits. Everything here returns data or writes to what it is given; the
//! binary prints.

pub mod convert;
pub mod diagnostic;
pub mod document;
pub mod lint;
pub mod live;
mod manifest;
pub mod namers;
pub mod preview;
mod rehearsal;
pub mod reverse;
mod secrecy;
pub mod withdraw;
