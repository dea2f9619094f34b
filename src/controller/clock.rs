//! The one module that reads the wall clock.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// Returns the time now.
#[expect(clippy::disallowed_methods, reason = "the loops read the time here and pass it in")]
pub fn now() -> Timestamp {
    #[cfg(test)]
    if let Some(now) = simulated::now() {
        return now;
    }
    Timestamp::now()
}

#[cfg(test)]
pub use simulated::simulate;

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

/// Time that passes with tokio's paused clock.
#[cfg(test)]
mod simulated {
    use std::cell::Cell;

    use k8s_openapi::jiff::{SignedDuration, Timestamp};
    use tokio::time::Instant;

    thread_local! {
        static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) };
    }

    /// Begins a simulation on this thread.
    pub fn simulate() {
        BEGUN.set(Some(Instant::now()));
    }

    pub fn now() -> Option<Timestamp> {
        let elapsed = SignedDuration::try_from(BEGUN.get()?.elapsed()).ok()?;
        Some(Timestamp::from_second(1_800_000_000).ok()? + elapsed)
    }
}
