//! What went wrong in the cloud, in the terms of a condition: reason, message, and when to try again.

use std::time::Duration;

use crate::api::condition::Reason;

/// Why a call to the cloud gave nothing.
///
/// # Guarantees
/// - Equal causes give equal messages: no RequestId, nonce, time or address is in `message`, so that a status which
///   carries it does not change with every attempt.
/// - Nothing that the cloud wrote in prose is passed on. Its texts quote requests, and those hold tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The condition's reason.
    pub reason: Reason,
    /// What was asked where and by whom, the cloud's `Code`, and the cure.
    pub message: String,
    /// When another attempt makes sense.
    pub retry: Retry,
    /// The cloud's id of the failed request, for a support ticket.
    pub request_id: Option<String>,
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Back off and try again.
    Soon,
    /// Not before this time has passed: the cloud said so.
    After(Duration),
    /// Only a human can mend it; try rarely.
    Rarely,
}

impl Failure {
    /// A failure that has no request of its own.
    pub fn new(reason: Reason, retry: Retry, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry, request_id: None }
    }
}

/// The HTTP client cannot be built: no root certificates can be loaded, or the user agent is no header value.
#[derive(Debug, thiserror::Error)]
#[error("cannot build the HTTP client for Alibaba Cloud")]
pub struct SetupError(#[from] reqwest::Error);

/// A failed call, told apart by whether the session that signed it is of any further use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// The cloud no longer takes this session: it must be dropped, so that the next attempt gets a new one.
    Session(Failure),
    /// Anything else.
    Other(Failure),
}

impl Denial {
    /// The failure itself, for a caller that holds no session.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Session(failure) | Self::Other(failure) => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Denial, Failure, Retry};
    use crate::api::condition::Reason;

    #[test]
    fn a_failure_displays_its_message_alone() {
        let failure = Failure::new(Reason::Throttled, Retry::Soon, "wait");
        assert_eq!(failure.to_string(), "wait");
        assert_eq!(Denial::Session(failure.clone()).into_failure(), failure);
    }
}
