//! The clock of deadlines.

use std::time::Instant;

/// Returns the time on the clock that deadlines use, which tests can pause.
pub fn monotonic() -> Instant {
    tokio::time::Instant::now().into_std()
}
