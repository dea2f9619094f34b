//! The cloud's clock, and the formats of time that its APIs use.
//!
//! A client and the cloud each have a clock of their own. Tests set this one apart from the machine's to see
//! how a client reacts. Inside the simulator an instant is an `i64`: milliseconds since the Unix epoch.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::jiff::Timestamp;

/// An instant: milliseconds since the Unix epoch, by the cloud's clock.
pub type Millis = i64;

/// The machine's clock plus a skew that can be changed at any time.
#[derive(Debug, Default)]
pub(super) struct Clock {
    skew_seconds: AtomicI64,
}

impl Clock {
    /// Returns the cloud's time.
    #[expect(clippy::disallowed_methods, reason = "the simulated cloud has a clock of its own")]
    pub(super) fn now(&self) -> Millis {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).map(millis).unwrap_or_default();
        machine.saturating_add(self.skew_seconds.load(Ordering::Relaxed).saturating_mul(1000))
    }

    /// Sets the cloud's clock ahead of the machine's (positive) or behind it (negative).
    pub(super) fn set_skew(&self, seconds: i64) {
        self.skew_seconds.store(seconds, Ordering::Relaxed);
    }
}

/// Returns a length of time in milliseconds.
pub(super) fn millis(length: Duration) -> Millis {
    Millis::try_from(length.as_millis()).unwrap_or(Millis::MAX)
}

/// Returns `2024-11-08T09:44:50Z`, the form of `Expiration` and `x-acs-date`.
pub(super) fn iso8601(at: Millis) -> String {
    text(at, "%Y-%m-%dT%H:%M:%SZ")
}

/// Returns `Fri, 08 Nov 2024 09:44:50 GMT`, the form of HTTP's `Date`.
pub(super) fn http_date(at: Millis) -> String {
    text(at, "%a, %d %b %Y %H:%M:%S GMT")
}

/// Reads `yyyy-MM-ddTHH:mm:ssZ` and nothing else: fractions and other offsets are not the documented form.
pub(super) fn parse_iso8601(written: &str) -> Option<Millis> {
    let at = written.parse::<Timestamp>().ok()?.as_millisecond();
    (iso8601(at) == written).then_some(at)
}

fn text(at: Millis, format: &str) -> String {
    Timestamp::from_millisecond(at).unwrap_or_default().strftime(format).to_string()
}
