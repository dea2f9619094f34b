//! The commands of `kubectl acr`. They return data, or write to the output that they are given; the binary prints.

pub mod binding_change;
pub mod check;
pub mod convert;
pub mod diagnostic;
pub mod document;
pub mod exceptions;
pub mod explain;
mod fact;
pub mod inventory;
mod lease;
pub mod lint;
pub mod live;
mod manifest;
pub mod plan;
mod preview;
mod redact;
pub mod reverse;
pub mod secret_references;
pub mod status;
pub mod uninstall;
pub mod withdraw;
