//! Something that was read of the cluster, or the reason why it was not.

use crate::cluster::error::CallError;

/// Something that was read, or the reason why it was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact<T> {
    /// It is known.
    Known(T),
    /// It is not known, for this reason.
    Unknown(String),
}

impl<T> From<Result<T, CallError>> for Fact<T> {
    fn from(result: Result<T, CallError>) -> Self {
        match result {
            Ok(known) => Self::Known(known),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}
