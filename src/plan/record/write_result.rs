//! The result of a write, and a write that rests.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::plan::failure::Failure;

/// The result of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// The object is as wanted.
    Done,
    /// The object was changed by another writer first.
    Stale,
    /// The namespace is being deleted, or the object is gone: there is nothing to report.
    Gone,
    /// Only a human can remove the cause.
    Refused(Failure),
    /// There was no answer: the object may be as wanted, or become so.
    Unanswered(Failure),
    /// A retry may succeed.
    Failed {
        /// The reason.
        failure: Failure,
        /// The shortest wait that the API server asks for.
        at_least: Option<Duration>,
    },
}

/// A write that is wanted, and rests for now.
#[derive(Clone, Debug)]
pub enum Rest<'a> {
    /// It failed.
    Failed {
        /// The time of the next attempt.
        until: Timestamp,
        /// The reason, unless there is nothing to report.
        failure: Option<&'a Failure>,
    },
    /// Others keep deleting our Secret.
    Deleted {
        /// The time of the next attempt.
        until: Timestamp,
        /// The report.
        failure: Failure,
    },
    /// Another writer keeps reverting it.
    Contended {
        /// The time of the next attempt.
        until: Timestamp,
        /// The report on that writer, once it is identified.
        failure: Option<&'a Failure>,
    },
}

impl Rest<'_> {
    /// Returns the time of the next attempt.
    pub fn until(&self) -> Timestamp {
        match self {
            Self::Failed { until, .. } | Self::Contended { until, .. } | Self::Deleted { until, .. } => {
                *until
            }
        }
    }
}
