//! Errors of the cloud client in the terms of a condition: reason, message, and when to retry.

use std::time::Duration;

use crate::api::condition::Reason;

/// A failed request to the cloud or to an identity's source.
///
/// # Guarantees
/// - Equal causes have equal messages. `message` contains no RequestId, nonce, time or address, so a status that
///   includes it does not change with every attempt.
/// - No prose of the cloud is passed on. The cloud's texts quote requests, which contain tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CloudError {
    /// Reason of the condition.
    pub reason: Reason,
    /// Problem, action, host, identity, the cloud's `Code`, and the remedy.
    pub message: String,
    /// Time of the next attempt that makes sense.
    pub retry: Retry,
    /// RequestId of the failed request, for a support ticket. Changes with every attempt.
    pub request_id: Option<String>,
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// With the usual back-off.
    Soon,
    /// No sooner than this time from now, as the cloud requested.
    After(Duration),
    /// At long intervals: only a human can fix the cause.
    Rarely,
}

impl CloudError {
    /// Creates an error without a RequestId.
    pub fn new(reason: Reason, retry: Retry, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry, request_id: None }
    }
}

/// The HTTP client cannot be built: no root certificates can be loaded, or the user agent is not a valid header value.
#[derive(Debug, thiserror::Error)]
#[error("cannot build the HTTP client for Alibaba Cloud")]
pub struct SetupError(#[from] reqwest::Error);

/// A failed call, which says whether the session that signed it can still be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallFailure {
    /// The cloud rejects the session. It must be dropped, so that the next attempt opens a new one.
    SessionRejected(CloudError),
    /// Any other cause; the session remains usable.
    Other(CloudError),
}

impl CallFailure {
    /// Returns the error, for a caller that has no session to drop.
    pub(super) fn into_error(self) -> CloudError {
        match self {
            Self::SessionRejected(error) | Self::Other(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CallFailure, CloudError, Retry};
    use crate::api::condition::Reason;

    #[test]
    fn an_error_displays_only_its_message() {
        let error = CloudError::new(Reason::Throttled, Retry::Soon, "wait");
        assert_eq!(error.to_string(), "wait");
        assert_eq!(CallFailure::SessionRejected(error.clone()).into_error(), error);
    }
}
