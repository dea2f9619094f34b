//! Failed attempts to mint, and when to repeat them.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::Reason;
use crate::model::Credential;
use crate::plan::failure::Failure;
use crate::plan::refresh::backoff;

/// Failure of a call to the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintFailure {
    /// The condition's reason.
    pub reason: Reason,
    /// The same text for the same cause, with the cure.
    pub message: String,
    /// When another attempt makes sense.
    pub retry: RetryAdvice,
    /// The cloud's id of the failed request, for a support ticket.
    pub request_id: Option<String>,
}

/// When another attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAdvice {
    /// With the usual back-off.
    Soon,
    /// Not before this time has passed: the cloud asked for it.
    After(Duration),
    /// Rarely: a human must act first.
    Rarely,
}

impl MintFailure {
    /// Returns a failure without a request of its own.
    pub fn new(reason: Reason, retry: RetryAdvice, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry, request_id: None }
    }

    /// Describes a token whose session expires with the cached token.
    pub(super) fn source_not_renewed(new: &Credential) -> Self {
        let message = format!(
            "a new token would expire at {}, no later than the current one: the session that mints it expires then and \
             was not renewed at its source, which is ACK's addon token or the node's metadata service",
            new.expires_at
        );
        Self::new(Reason::CloudFailing, RetryAdvice::Soon, message)
    }
}

/// The last attempt, which failed.
#[derive(Clone, Debug)]
pub(super) struct FailedAttempt {
    pub failure: Failure,
    /// Reason and message without the RequestId: a run of equal failures has one of them.
    cause: (Reason, String),
    attempts: u32,
    /// Whether only the domains could not be listed.
    pub only_domains: bool,
    at: Timestamp,
    pub next_try: Timestamp,
    /// The cloud said when: not even a user's request is a reason to try sooner.
    pub asked_to_wait: bool,
}

impl FailedAttempt {
    /// Returns the attempt that follows `before`. The first of a run of equal failures keeps its RequestId: a new one
    /// each time would rewrite the status.
    pub fn after(before: Option<&Self>, error: MintFailure, seed: &str, now: Timestamp) -> Self {
        let attempts = before.map_or(0, |b| b.attempts).saturating_add(1);
        let cause = (error.reason, error.message);
        let failure = match before.filter(|b| b.cause == cause) {
            Some(before) => before.failure.clone(),
            None => {
                let request = error.request_id.map(|id| format!(" (RequestId {id})")).unwrap_or_default();
                Failure::new(cause.0, format!("{}{request}", cause.1))
            }
        };
        let asked_to_wait = matches!(error.retry, RetryAdvice::After(_));
        let wait = match error.retry {
            RetryAdvice::Soon => backoff(attempts, Duration::from_secs(2), Duration::from_secs(300), seed),
            RetryAdvice::After(wait) => {
                wait.max(backoff(attempts, Duration::from_secs(1), Duration::from_secs(60), seed))
            }
            RetryAdvice::Rarely => backoff(attempts, Duration::from_secs(15), Duration::from_secs(300), seed),
        };
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_mins(5));
        let next_try = now.checked_add(wait).unwrap_or(now);
        Self { failure, cause, attempts, only_domains: false, at: now, next_try, asked_to_wait }
    }

    /// Returns the same, repeated while there is time: the less is left of the current credential, the sooner.
    pub fn within(self, left: Option<SignedDuration>) -> Self {
        let soon = left.filter(|left| left.is_positive() && !self.asked_to_wait);
        let wait = soon.map(|left| (left / 2).max(SignedDuration::from_secs(2)));
        let at_most = wait.and_then(|wait| self.at.checked_add(wait).ok()).unwrap_or(self.next_try);
        Self { next_try: self.next_try.min(at_most), ..self }
    }

    /// Returns the same, with whether only the domains could not be listed.
    pub fn of_domains_only(self, only_domains: bool) -> Self {
        Self { only_domains, ..self }
    }

    /// Shifts the times with a clock that was set back: the next try would wait for as long as the step was.
    pub fn follow_clock(&mut self, now: Timestamp) {
        let ahead = self.at.duration_since(now);
        if ahead.is_positive() {
            self.next_try = self.next_try.saturating_sub(ahead).unwrap_or(now);
            self.at = now;
        }
    }
}
