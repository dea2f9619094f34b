//! How to explain, and why it fails.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// How to explain.
#[derive(Clone, Debug)]
pub struct ExplainOptions {
    /// Namespace of the object; that of the connection if none.
    pub namespace: Option<Box<str>>,
    /// ServiceAccount of the Pods that would pull an image.
    pub service_account: Box<str>,
    /// Name of the Secret in every covered namespace.
    pub secret_name: Box<str>,
    /// The longest time of a request.
    pub request_timeout: Duration,
    /// Reads the wall clock, to compare it with the expiry of a credential.
    pub clock: fn() -> Timestamp,
}

/// Reason why nothing could be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The object does not exist.
    #[error(
        "{target} does not exist in the namespace {namespace}: check the name, or give its namespace by --namespace"
    )]
    Absent {
        /// The object.
        target: String,
        /// The namespace that was searched.
        namespace: String,
    },
    /// The object cannot be read.
    #[error("{target} cannot be read: {why}")]
    Unreadable {
        /// The object.
        target: String,
        /// The API server's words.
        why: String,
    },
    /// The API server cannot be reached.
    #[error("nothing was explained: {0}; check the address with kubectl cluster-info, and run it again")]
    Unreachable(String),
    /// It is neither a code nor a reason.
    #[error(
        "{0:?} is neither a code such as ACR805 nor a reason of a condition: for an object write its kind, as pod/NAME"
    )]
    UnknownTopic(String),
}
