//! The one module that reads the wall clock.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// Returns the time now.
#[expect(clippy::disallowed_methods, reason = "the loops read the time here and pass it in")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Returns the time that is left until `at`; zero where it has passed.
pub fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

/// Sleeps for this long; without a time, until it is dropped.
pub async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
