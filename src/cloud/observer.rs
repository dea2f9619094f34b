//! Observation of the API calls: what was called, how it ended, and how long it took.

use std::fmt;
use std::time::Duration;

use super::transport::TransportError;

/// A call that ended, in words of which there are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedCall {
    /// API action, such as `get_authorization_token`.
    pub action: &'static str,
    /// HTTP status such as `403`, or why there is no valid reply, such as `timeout`.
    pub code: &'static str,
}

/// Counts calls.
pub trait CallObserver: fmt::Debug + Send + Sync {
    /// Records a call that ended.
    fn observe(&self, call: ObservedCall, took: Duration);
}

/// Counts nothing.
impl CallObserver for () {
    fn observe(&self, _: ObservedCall, _: Duration) {}
}

/// Returns the code of a reply. Statuses that the cloud does not document share one for each class.
pub(super) fn code_of_reply(status: u16, parsed: bool) -> &'static str {
    match status {
        200 if parsed => "200",
        200 => "rejected",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        409 => "409",
        429 => "429",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        100..=199 => "1xx",
        201..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// Returns the code of a call without a reply.
pub(super) fn code_of_error(error: TransportError) -> &'static str {
    match error {
        TransportError::Unresolved => "unresolved",
        TransportError::ConnectionRefused => "refused",
        TransportError::UntrustedCertificate => "untrusted",
        TransportError::TimedOut => "timeout",
        TransportError::ConnectionFailed => "disconnected",
        TransportError::InvalidRequest => "invalid",
        TransportError::Truncated => "truncated",
        TransportError::TooLarge => "too_large",
    }
}
