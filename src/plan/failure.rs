//! Reasons why something is not as wanted.

use std::sync::Arc;

use crate::api::Reason;

/// A reason to match on, and a sentence with the cure. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason, for scripts.
    pub reason: Reason,
    /// The message, for people.
    pub message: Arc<str>,
}

impl Failure {
    /// Returns a failure with its message.
    pub fn new(reason: Reason, message: impl Into<Arc<str>>) -> Self {
        Self { reason, message: message.into() }
    }
}
