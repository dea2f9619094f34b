//! Whether a controller renews the Lease. The clocks of two machines cannot be compared, so that only a change counts
//! that was observed.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};

/// Duration of a Lease that has none.
const DEFAULT_DURATION: Duration = Duration::from_secs(15);

/// The time that a released Lease gets to be acquired. Another replica observes the release, and does so at once.
const TAKEOVER: Duration = Duration::from_secs(5);

/// Time beyond the duration in which a renewal may still arrive.
const MARGIN: Duration = Duration::from_secs(2);

/// State of the Lease after some observations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// It does not exist.
    Absent,
    /// It exists, and was not observed long enough.
    Unknown,
    /// A holder renews it.
    Renewed {
        /// The holder.
        holder: String,
    },
    /// A holder has it, and does not renew it.
    Stale {
        /// The holder.
        holder: String,
    },
    /// It was released, and no controller acquires it.
    Released,
}

/// The observations of a Lease.
#[derive(Debug, Default)]
pub struct LeaseObserver {
    last: Option<(LeaseSpec, Instant)>,
    is_renewed: bool,
}

impl LeaseObserver {
    /// Observes the Lease as it was read at a time, and returns its state.
    pub fn observe(&mut self, lease: Option<Lease>, now: Instant) -> LeaseState {
        let Some(lease) = lease else {
            *self = Self::default();
            return LeaseState::Absent;
        };
        let spec = lease.spec.unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let since = match &self.last {
            Some((last, since)) if *last == spec => *since,
            last => {
                self.is_renewed = last.is_some() && !holder.is_empty();
                self.last = Some((spec.clone(), now));
                now
            }
        };
        let is_silent = |duration: Duration| now.saturating_duration_since(since) > duration + MARGIN;
        if holder.is_empty() {
            return if is_silent(TAKEOVER) { LeaseState::Released } else { LeaseState::Unknown };
        }
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        match (is_silent(seconds.map_or(DEFAULT_DURATION, Duration::from_secs)), self.is_renewed) {
            (true, _) => LeaseState::Stale { holder },
            (false, true) => LeaseState::Renewed { holder },
            (false, false) => LeaseState::Unknown,
        }
    }
}
