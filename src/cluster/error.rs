//! Classes of the API server's refusals.

use std::future::Future;
use std::time::Duration;

use kube::core::Status;

use super::claim::LeaseNotHeld;
use crate::plan::refusal::{Denial, is_too_large};

/// Longest time of a call. Without it, a silent API server would hang the call.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Reason why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The object changed, or exists already: read and decide again.
    Conflict,
    /// The object or its namespace does not exist.
    NotFound,
    /// The namespace is being deleted.
    Terminating,
    /// A quota is exceeded. Holds the API server's message.
    Quota(String),
    /// RBAC denies it. Holds the API server's message.
    Forbidden(String),
    /// An admission policy or webhook denies it. Holds the API server's message.
    Denied(String),
    /// The request is invalid and fails each time. Holds the API server's message.
    Invalid(String),
    /// There was no answer: a write may have been done.
    Unanswered(String),
    /// It may succeed later, and not before this time if one is given.
    Later(String, Option<Duration>),
}

impl CallError {
    /// Returns the error of a call that was not answered in time. It names no time, so that its report stays the same.
    pub fn unanswered() -> Self {
        Self::Unanswered("the API server did not answer in time".to_owned())
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Conflict => f.write_str("the object changed since it was read"),
            Self::NotFound => f.write_str("the object does not exist"),
            Self::Terminating => f.write_str("the namespace is being deleted"),
            Self::Quota(m)
            | Self::Forbidden(m)
            | Self::Denied(m)
            | Self::Invalid(m)
            | Self::Unanswered(m)
            | Self::Later(m, _) => f.write_str(m),
        }
    }
}

/// Awaits a call to the API server, at most [`DEADLINE`].
///
/// # Errors
/// [`CallError`].
pub async fn call<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    call_within(DEADLINE, request).await
}

/// Awaits a call to the API server, at most for a time.
///
/// # Errors
/// [`CallError`].
pub async fn call_within<T>(
    limit: Duration,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, request).await {
        Ok(result) => result.map_err(|error| classify(&error)),
        Err(_) => Err(CallError::unanswered()),
    }
}

/// Classifies an error by its remedy.
pub fn classify(error: &kube::Error) -> CallError {
    match error {
        kube::Error::Api(status) => classify_status(status),
        other if of_lease(other).is_some() => CallError::Later(describe(other), None),
        other => CallError::Unanswered(describe(other)),
    }
}

fn classify_status(status: &Status) -> CallError {
    let message = status.message.clone();
    let cause = |reason: &str| status.details.iter().flat_map(|d| &d.causes).any(|c| c.reason == reason);
    let wait = status.details.as_ref().map(|d| d.retry_after_seconds).filter(|&s| s > 0);
    let wait = wait.map(|s| Duration::from_secs(s.into()));
    match (status.code, status.reason.as_str()) {
        // A webhook denies with any code, so the code says nothing here.
        _ if Denial::of(&message).is_some() => CallError::Denied(message),
        (409, _) => CallError::Conflict,
        (404, _) => CallError::NotFound,
        (403, _) if cause("NamespaceTerminating") => CallError::Terminating,
        (403, _) if is_of_quota(&message) => CallError::Quota(message),
        // The quota is new, and its usage not counted yet.
        (403, _) if message.contains("status unknown for quota: ") => CallError::Later(message, wait),
        (401 | 403, _) => CallError::Forbidden(message),
        // etcd's refusal comes as an internal error, and fails each time.
        _ if is_too_large(&message) => CallError::Invalid(message),
        (400 | 413 | 422, _) => CallError::Invalid(message),
        (504, _) => CallError::Unanswered(format!("the API server answered 504: {message}")),
        _ => CallError::Later(format!("the API server answered {}: {message}", status.code), wait),
    }
}

/// Returns whether a quota is full, or demands what the object lacks.
fn is_of_quota(message: &str) -> bool {
    ["exceeded quota: ", "failed quota: "].iter().any(|words| message.contains(words))
}

/// Returns an error's message and its causes', each once. kube's `Display` repeats its source in `Debug` form.
pub fn describe(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return format!("the API server answered {} {}: {}", status.code, status.reason, status.message);
    }
    match of_lease(error) {
        Some(refused) => refused.to_string(),
        None => {
            let deepest = deepest(error);
            format!("the API server cannot be reached: {deepest}")
        }
    }
}

/// Returns the refusal of a write that was not sent, since this replica does not hold the lease.
fn of_lease(error: &kube::Error) -> Option<&LeaseNotHeld> {
    deepest(error).downcast_ref()
}

fn deepest(error: &kube::Error) -> &(dyn std::error::Error + 'static) {
    let mut deepest: &(dyn std::error::Error + 'static) = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::{CallError, LeaseNotHeld, classify};
    use kube::core::Status;
    use serde_json::json;

    fn of(value: serde_json::Value) -> CallError {
        let status: Status = serde_json::from_value(value).unwrap();
        classify(&kube::Error::Api(status.boxed()))
    }

    #[test]
    fn the_three_kinds_of_403_are_distinguished() {
        let terminating = json!({"code": 403, "reason": "Forbidden", "message": "m", "details": {"causes": [{"reason": "NamespaceTerminating"}]}});
        assert_eq!(of(terminating), CallError::Terminating);
        let quota = json!({"code": 403, "reason": "Forbidden", "message": "secrets \"x\" is forbidden: exceeded quota: q"});
        assert!(matches!(of(quota), CallError::Quota(_)));
        let rbac = json!({"code": 403, "reason": "Forbidden", "message": "User \"x\" cannot patch"});
        assert!(matches!(of(rbac), CallError::Forbidden(_)));
    }

    #[test]
    fn a_denial_during_admission_is_known_by_its_words_whichever_code_it_has() {
        let webhook = "admission webhook \"w\" denied the request: no";
        for code in [400, 403, 404, 409, 422, 500] {
            assert_eq!(of(json!({"code": code, "message": webhook})), CallError::Denied(webhook.to_owned()));
        }
        let policy = "x is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: exceeded quota: q";
        let refused = json!({"code": 422, "reason": "Invalid", "message": policy});
        assert_eq!(of(refused), CallError::Denied(policy.to_owned()));
        let large = json!({"code": 500, "message": "etcdserver: request is too large"});
        assert!(matches!(of(large), CallError::Invalid(_)));
        let uncounted = "secrets \"x\" is forbidden: status unknown for quota: q, resources: secrets";
        assert!(matches!(of(json!({"code": 403, "message": uncounted})), CallError::Later(_, None)));
    }

    #[test]
    fn a_write_without_the_lease_says_so() {
        let error = classify(&kube::Error::Service(LeaseNotHeld.into()));
        let message = "this replica does not hold the lease, so it writes nothing";
        assert_eq!(error, CallError::Later(message.to_owned(), None));
    }

    #[test]
    fn the_wait_that_the_server_asks_for_is_respected() {
        let busy = json!({"code": 429, "reason": "TooManyRequests", "message": "m", "details": {"retryAfterSeconds": 7}});
        assert!(matches!(of(busy), CallError::Later(_, Some(wait)) if wait.as_secs() == 7));
        assert!(matches!(of(json!({"code": 500, "message": "m"})), CallError::Later(_, None)));
    }

    #[test]
    fn a_changed_or_missing_object_is_read_again() {
        assert_eq!(of(json!({"code": 409, "reason": "Conflict", "message": "m"})), CallError::Conflict);
        assert_eq!(of(json!({"code": 404, "reason": "NotFound", "message": "m"})), CallError::NotFound);
        assert!(matches!(
            of(json!({"code": 422, "reason": "Invalid", "message": "m"})),
            CallError::Invalid(_)
        ));
    }
}
