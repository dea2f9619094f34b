//! The one place that reads a clock.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// The time now.
#[expect(clippy::disallowed_methods, reason = "the loops read the time here and pass it in")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// How long until a time; nothing where it has passed.
pub fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

/// Rests for this long; without a time, for ever.
pub async fn rest(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}
