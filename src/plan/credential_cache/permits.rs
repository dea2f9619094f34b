//! Permits of attempts: how many may be under way at once, in all and for what they have in common.
//!
//! An attempt that takes long passes its place to another one, so that registries which hang delay the others for a second
//! at most. Those that failed before come after those that did not.

use std::collections::HashMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::model::RegistryKey;
use crate::model::identity::Identity;

/// Age from which an attempt is slow: it no longer counts among those that are expected to end soon.
const SLOW_AFTER: SignedDuration = SignedDuration::from_secs(1);

/// Attempts that may be under way at once.
#[derive(Clone, Copy, Debug)]
struct PermitLimits {
    /// Of any age.
    all: usize,
    /// Younger than [`SLOW_AFTER`].
    fresh: usize,
    /// After a failure.
    retries: usize,
}

/// PermitLimits in all. Each attempt has up to two connections of its own.
const IN_ALL: PermitLimits = PermitLimits { all: 192, fresh: 96, retries: 16 };

/// PermitLimits for one identity, and for the endpoint of one region. A binding has up to 64 registries, which are minted together:
/// one write a namespace.
const IN_COMMON: PermitLimits = PermitLimits { all: 96, fresh: 64, retries: 8 };

/// An attempt under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttemptUnderWay {
    /// When it began.
    pub at: Timestamp,
    /// Whether the attempt before it failed.
    pub is_retry: bool,
}

/// What attempts have in common, so that it may delay them together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shared {
    Identity(Identity),
    Endpoint(Box<str>),
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: usize,
    fresh: usize,
    retries: usize,
}

impl Count {
    fn add(&mut self, attempt: AttemptUnderWay, now: Timestamp) {
        self.all += 1;
        self.fresh += usize::from(is_fresh(attempt, now));
        self.retries += usize::from(attempt.is_retry);
    }

    fn has_room(self, limits: PermitLimits, is_retry: bool) -> bool {
        self.all < limits.all && self.fresh < limits.fresh && (!is_retry || self.retries < limits.retries)
    }
}

/// The permits in use at one moment.
#[derive(Debug)]
pub(super) struct Permits {
    now: Timestamp,
    total: Count,
    shared: HashMap<Shared, Count>,
    /// When the oldest of the fresh attempts passes its place.
    passes_at: Option<Timestamp>,
}

impl Permits {
    /// Counts the attempts under way.
    pub fn of<'a>(
        in_flight: impl Iterator<Item = (&'a RegistryKey, AttemptUnderWay)>,
        now: Timestamp,
    ) -> Self {
        let mut permits = Self { now, total: Count::default(), shared: HashMap::new(), passes_at: None };
        in_flight.for_each(|(key, attempt)| permits.add(key, attempt));
        permits
    }

    /// Takes a permit for an attempt that begins now, if there is one.
    pub fn take(&mut self, key: &RegistryKey, is_retry: bool) -> Option<AttemptUnderWay> {
        let in_common = |shared: &Shared| self.shared.get(shared).copied().unwrap_or_default();
        let free = self.total.has_room(IN_ALL, is_retry)
            && shared_by(key).iter().all(|shared| in_common(shared).has_room(IN_COMMON, is_retry));
        let attempt = AttemptUnderWay { at: self.now, is_retry };
        free.then(|| {
            self.add(key, attempt);
            attempt
        })
    }

    /// Returns when a permit may become free although no attempt ends.
    pub fn passes_at(&self) -> Option<Timestamp> {
        self.passes_at
    }

    fn add(&mut self, key: &RegistryKey, attempt: AttemptUnderWay) {
        self.total.add(attempt, self.now);
        for shared in shared_by(key) {
            self.shared.entry(shared).or_default().add(attempt, self.now);
        }
        if is_fresh(attempt, self.now) {
            let at = attempt.at.checked_add(SLOW_AFTER).unwrap_or(Timestamp::MAX);
            self.passes_at = Some(self.passes_at.map_or(at, |first| first.min(at)));
        }
    }
}

fn shared_by(key: &RegistryKey) -> [Shared; 2] {
    [Shared::Identity(key.identity.clone()), Shared::Endpoint(key.region.clone())]
}

/// Returns whether an attempt is expected to end soon. One that seems to begin later began before the clock was set back.
fn is_fresh(attempt: AttemptUnderWay, now: Timestamp) -> bool {
    now.duration_since(attempt.at).abs() < SLOW_AFTER
}
