//! Health of the watches: when the API server last sent something on each of them.

mod listen;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Name of the watch on namespaces.
pub const NAMESPACES: &str = "namespaces";

/// Name of the watch on ServiceAccounts.
pub const SERVICE_ACCOUNTS: &str = "serviceaccounts";

/// Name of the watch on our pull Secrets.
pub const SECRETS: &str = "secrets";

/// Name of the watch on the bindings.
pub const BINDINGS: &str = "bindings";

/// Name of the watch on the ConfigMap that our admission policy reads.
pub const ADMISSION_PARAMETERS: &str = "admission-parameters";

/// Name of the watch on the Lease.
pub const LEASE: &str = "lease";

/// Name of the watch on the ConfigMap `acr-configuration`.
pub const CONFIG_MAP: &str = "configmap";

/// When each watch was last heard. Clones share one record.
///
/// A watch is heard when an event, a bookmark or the end of a list arrives. The API server sends a bookmark each minute,
/// so that a watch without changes is heard too. An error is not heard.
#[derive(Clone, Debug, Default)]
pub struct WatchHealth(Arc<Mutex<BTreeMap<&'static str, Instant>>>);

impl WatchHealth {
    fn watches(&self) -> MutexGuard<'_, BTreeMap<&'static str, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a watch begins: its age counts from here until it is first heard.
    pub fn register(&self, watch: &'static str) {
        self.watches().entry(watch).or_insert_with(Instant::now);
    }

    /// Records that something arrived on a watch.
    pub fn heard(&self, watch: &'static str) {
        self.watches().insert(watch, Instant::now());
    }

    /// Returns the time since each watch was last heard, in the order of their names.
    pub fn ages(&self, now: Instant) -> Vec<(&'static str, Duration)> {
        self.watches().iter().map(|(watch, last)| (*watch, now.saturating_duration_since(*last))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{NAMESPACES, SECRETS, WatchHealth};

    const MINUTE: Duration = Duration::from_secs(60);

    /// Returns a time after all times so far.
    fn tick() -> Instant {
        let begun = Instant::now();
        while begun.elapsed().is_zero() {}
        Instant::now()
    }

    #[test]
    fn the_age_of_a_watch_counts_from_what_it_last_heard() {
        let health = WatchHealth::default();
        health.register(SECRETS);
        health.register(NAMESPACES);
        let later = tick();
        health.clone().heard(SECRETS);
        let [(NAMESPACES, silent), (SECRETS, heard)] = health.ages(later + MINUTE)[..] else {
            panic!("two watches, in order")
        };
        assert!(heard <= MINUTE && silent > MINUTE, "{silent:?} {heard:?}");
    }

    #[test]
    fn a_watch_that_is_registered_again_keeps_its_age() {
        let health = WatchHealth::default();
        health.register(SECRETS);
        let later = tick();
        health.register(SECRETS);
        assert!(health.ages(later + MINUTE)[0].1 > MINUTE);
    }

    #[test]
    fn a_time_before_the_last_event_gives_no_age() {
        let before = Instant::now();
        let health = WatchHealth::default();
        health.heard(SECRETS);
        assert_eq!(health.ages(before), [(SECRETS, Duration::ZERO)]);
    }
}
