//! A cached key with at most one fetch at a time. Concurrent callers share the outcome of that fetch.

use std::sync::atomic::{AtomicU64, Ordering};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::access_key::AccessKey;
use super::error::CloudError;

/// Pause between a failed renewal and the next one, while the old key is kept.
const RENEWAL_PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// A key and the time of its renewal.
#[derive(Clone, Debug)]
pub(super) struct RenewableKey {
    /// Fetched key.
    pub(super) key: AccessKey,
    /// Time from which the key should be renewed, before it expires.
    pub(super) renew_at: Timestamp,
}

/// Outcome of a failed renewal while the old key is still valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfRenewalFails {
    /// Return the old key, which is as good as a new one until it expires.
    KeepOld,
    /// Return the error. A credential that the old key mints expires with that key, so keeping it gains nothing.
    Fail,
}

/// A cache for one key.
///
/// # Guarantees
/// - At most one fetch runs at a time.
/// - Callers that arrive during a fetch share its outcome, key or error. Twenty callers of a host that hangs wait for
///   one deadline, not for twenty.
/// - If the fetching caller is cancelled, the next caller in line fetches.
#[derive(Debug, Default)]
pub(super) struct SingleFlight {
    /// Number of completed fetches. A change during a caller's wait means that it shares that fetch's outcome.
    completed: AtomicU64,
    state: Mutex<FlightState>,
}

#[derive(Debug, Default)]
struct FlightState {
    cached: Option<RenewableKey>,
    /// Error of the last fetch, if it failed.
    error: Option<CloudError>,
}

impl SingleFlight {
    /// Returns the key. Runs `fetch` only if no key is cached or its renewal is due.
    ///
    /// # Errors
    /// The error of `fetch`.
    pub(super) async fn get(
        &self,
        now: Timestamp,
        if_renewal_fails: IfRenewalFails,
        fetch: impl Future<Output = Result<RenewableKey, CloudError>>,
    ) -> Result<AccessKey, CloudError> {
        let completed_before = self.completed.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        if let Some(cached) = state.cached.as_ref().filter(|cached| now < cached.renew_at) {
            return Ok(cached.key.clone());
        }
        if self.completed.load(Ordering::Acquire) != completed_before
            && let Some(error) = &state.error
        {
            return Err(error.clone());
        }
        let outcome = fetch.await;
        self.completed.fetch_add(1, Ordering::Release);
        match outcome {
            Ok(fetched) => {
                let key = fetched.key.clone();
                *state = FlightState { cached: Some(fetched), error: None };
                Ok(key)
            }
            Err(error) => {
                let valid = state.cached.as_mut().filter(|cached| now < cached.key.expires_at);
                if let Some(old) = valid
                    && if_renewal_fails == IfRenewalFails::KeepOld
                {
                    tracing::warn!(reason = %error.reason, %error, "AccessKey renewal failed, old key kept");
                    old.renew_at = now.saturating_add(RENEWAL_PAUSE).unwrap_or(now).min(old.key.expires_at);
                    return Ok(old.key.clone());
                }
                state.error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Drops the key if it is still the cached one and no fetch is running.
    pub(super) fn invalidate(&self, key: &AccessKey) {
        let Ok(mut state) = self.state.try_lock() else { return };
        if state.cached.as_ref().is_some_and(|cached| cached.key.id == key.id) {
            state.cached = None;
        }
    }

    /// Returns whether no valid key is cached and no fetch is running.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        let Ok(state) = self.state.try_lock() else { return false };
        state.cached.as_ref().is_none_or(|cached| cached.key.expires_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;
    use k8s_openapi::jiff::Timestamp;

    use super::{IfRenewalFails, RenewableKey, SingleFlight};
    use crate::api::condition::Reason;
    use crate::cloud::access_key::AccessKey;
    use crate::cloud::error::{CloudError, Retry};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn renewable(id: &str) -> RenewableKey {
        let key = AccessKey { id: id.to_owned(), expires_at: at(300), ..AccessKey::sample("W") };
        RenewableKey { key, renew_at: at(200) }
    }

    fn error() -> CloudError {
        CloudError::new(Reason::Throttled, Retry::Soon, "wait")
    }

    async fn id(
        single_flight: &SingleFlight,
        now: i64,
        if_renewal_fails: IfRenewalFails,
        outcome: Result<RenewableKey, CloudError>,
    ) -> Result<String, CloudError> {
        single_flight.get(at(now), if_renewal_fails, async { outcome }).await.map(|key| key.id)
    }

    #[tokio::test]
    async fn a_key_is_returned_until_its_renewal_is_due() {
        let single_flight = SingleFlight::default();
        assert_eq!(id(&single_flight, 0, IfRenewalFails::Fail, Ok(renewable("a"))).await.unwrap(), "a");
        assert_eq!(id(&single_flight, 199, IfRenewalFails::Fail, Ok(renewable("b"))).await.unwrap(), "a");
        assert_eq!(id(&single_flight, 200, IfRenewalFails::Fail, Ok(renewable("b"))).await.unwrap(), "b");
    }

    #[tokio::test]
    async fn the_old_key_is_kept_until_it_expires_and_renewal_pauses_after_a_failure() {
        let single_flight = SingleFlight::default();
        let if_renewal_fails = IfRenewalFails::KeepOld;
        assert_eq!(id(&single_flight, 0, if_renewal_fails, Ok(renewable("a"))).await.unwrap(), "a");
        assert_eq!(id(&single_flight, 210, if_renewal_fails, Err(error())).await.unwrap(), "a");
        assert_eq!(id(&single_flight, 269, if_renewal_fails, Ok(renewable("b"))).await.unwrap(), "a");
        assert_eq!(id(&single_flight, 270, if_renewal_fails, Err(error())).await.unwrap(), "a");
        assert_eq!(id(&single_flight, 300, if_renewal_fails, Err(error())).await.unwrap_err(), error());
        assert_eq!(id(&single_flight, 301, if_renewal_fails, Ok(renewable("c"))).await.unwrap(), "c");
    }

    #[tokio::test]
    async fn a_failed_renewal_is_an_error_if_the_caller_wants_a_fresh_key() {
        let single_flight = SingleFlight::default();
        assert_eq!(id(&single_flight, 0, IfRenewalFails::Fail, Ok(renewable("a"))).await.unwrap(), "a");
        assert_eq!(id(&single_flight, 210, IfRenewalFails::Fail, Err(error())).await.unwrap_err(), error());
    }

    #[tokio::test]
    async fn twenty_concurrent_callers_share_one_fetch_whether_it_succeeds_or_fails() {
        for outcome in [Ok(renewable("a")), Err(error())] {
            let (single_flight, fetched) = (Arc::new(SingleFlight::default()), Arc::new(AtomicU32::new(0)));
            let get = || async {
                single_flight
                    .get(at(0), IfRenewalFails::Fail, async {
                        fetched.fetch_add(1, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                        outcome.clone()
                    })
                    .await
                    .map(|key| key.id)
            };
            let outcomes = join_all((0..20).map(|_| get())).await;
            assert_eq!(fetched.load(Ordering::Relaxed), 1);
            let expected = outcome.clone().map(|renewable| renewable.key.id);
            assert!(outcomes.iter().all(|outcome| *outcome == expected), "{outcomes:?}");
            // A later caller does not get an earlier error.
            assert_eq!(get().await, expected);
            assert_eq!(fetched.load(Ordering::Relaxed), if expected.is_ok() { 1 } else { 2 });
        }
    }

    #[tokio::test]
    async fn a_cancelled_fetch_does_not_block_the_next_caller() {
        let single_flight = SingleFlight::default();
        let hang = single_flight.get(at(0), IfRenewalFails::Fail, std::future::pending());
        assert!(futures::FutureExt::now_or_never(hang).is_none());
        assert_eq!(id(&single_flight, 0, IfRenewalFails::Fail, Ok(renewable("a"))).await.unwrap(), "a");
    }

    #[tokio::test]
    async fn only_the_rejected_key_is_dropped() {
        let single_flight = SingleFlight::default();
        assert!(single_flight.is_idle(at(0)));
        id(&single_flight, 0, IfRenewalFails::Fail, Ok(renewable("b"))).await.unwrap();
        single_flight.invalidate(&renewable("a").key);
        assert!(!single_flight.is_idle(at(299)) && single_flight.is_idle(at(300)));
        assert_eq!(id(&single_flight, 1, IfRenewalFails::Fail, Ok(renewable("c"))).await.unwrap(), "b");
        single_flight.invalidate(&renewable("b").key);
        assert_eq!(id(&single_flight, 1, IfRenewalFails::Fail, Ok(renewable("c"))).await.unwrap(), "c");
    }
}
