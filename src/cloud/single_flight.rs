//! One flight at a time for one key: who asks while it is in the air waits for it and shares its outcome.

use std::sync::atomic::{AtomicU64, Ordering};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::error::Failure;
use super::identity::AccessKey;

/// After a failed renewal, how long the old key is served before the next try.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// A key, and from when on it should be renewed.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// The key.
    pub(super) key: AccessKey,
    /// Before its end.
    pub(super) renew_at: Timestamp,
}

/// What a failed renewal means while the old key still lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfRenewalFails {
    /// The old key is as good as a new one until it ends.
    KeepOld,
    /// What is minted with the old key would end with it, so that nothing is gained: say what is wrong.
    Report,
}

/// The place of one key.
///
/// # Guarantees
/// - At most one fetch is under way.
/// - Those who came while it was under way get its outcome, be it a key or a failure: twenty askers of a host that
///   hangs wait for one deadline, not for twenty.
/// - If the one who fetches is cancelled, the next in line fetches.
#[derive(Debug, Default)]
pub(super) struct SingleFlight {
    /// How many flights have landed. Read before the wait, it tells whether one landed meanwhile.
    landed: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    failure: Option<Failure>,
}

impl SingleFlight {
    /// The key, fetched if there is none or it is due. `fetch` runs only then.
    pub(super) async fn get(
        &self,
        now: Timestamp,
        if_renewal_fails: IfRenewalFails,
        fetch: impl Future<Output = Result<Held, Failure>>,
    ) -> Result<AccessKey, Failure> {
        let seen = self.landed.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        if let Some(held) = state.held.as_ref().filter(|held| now < held.renew_at) {
            return Ok(held.key.clone());
        }
        if self.landed.load(Ordering::Acquire) != seen
            && let Some(failure) = &state.failure
        {
            return Err(failure.clone());
        }
        let outcome = fetch.await;
        self.landed.fetch_add(1, Ordering::Release);
        match outcome {
            Ok(held) => {
                let key = held.key.clone();
                *state = State { held: Some(held), failure: None };
                Ok(key)
            }
            Err(failure) => {
                let old = state.held.as_mut().filter(|held| now < held.key.expires_at);
                if let Some(old) = old
                    && if_renewal_fails == IfRenewalFails::KeepOld
                {
                    tracing::warn!(reason = %failure.reason, %failure, "serving the old key, since it cannot be renewed");
                    old.renew_at = now.saturating_add(PAUSE).unwrap_or(now).min(old.key.expires_at);
                    return Ok(old.key.clone());
                }
                state.failure = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// Drops the key, unless another has taken its place already, or is about to.
    pub(super) fn forget(&self, key: &AccessKey) {
        let Ok(mut state) = self.state.try_lock() else { return };
        if state.held.as_ref().is_some_and(|held| held.key.id == key.id) {
            state.held = None;
        }
    }

    /// Whether nothing that lives is held and nobody is fetching.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        let Ok(state) = self.state.try_lock() else { return false };
        state.held.as_ref().is_none_or(|held| held.key.expires_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;
    use k8s_openapi::jiff::Timestamp;

    use super::{Held, IfRenewalFails, SingleFlight};
    use crate::api::condition::Reason;
    use crate::cloud::error::{Failure, Retry};
    use crate::cloud::identity::AccessKey;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn held(id: &str) -> Held {
        let key = AccessKey { id: id.to_owned(), expires_at: at(300), ..AccessKey::sample("W") };
        Held { key, renew_at: at(200) }
    }

    fn failure() -> Failure {
        Failure::new(Reason::Throttled, Retry::Soon, "wait")
    }

    async fn id(
        single_flight: &SingleFlight,
        now: i64,
        policy: IfRenewalFails,
        outcome: Result<Held, Failure>,
    ) -> Result<String, Failure> {
        single_flight.get(at(now), policy, async { outcome }).await.map(|key| key.id)
    }

    #[tokio::test]
    async fn a_key_is_served_until_it_is_due() {
        let single_flight = SingleFlight::default();
        assert_eq!(id(&single_flight, 0, IfRenewalFails::Report, Ok(held("a"))).await.unwrap(), "a");
        assert_eq!(id(&single_flight, 199, IfRenewalFails::Report, Ok(held("b"))).await.unwrap(), "a");
        assert_eq!(id(&single_flight, 200, IfRenewalFails::Report, Ok(held("b"))).await.unwrap(), "b");
    }

    #[tokio::test]
    async fn the_old_key_outlives_a_failed_renewal_until_its_end_and_is_not_renewed_at_every_ask() {
        let single_flight = SingleFlight::default();
        let policy = IfRenewalFails::KeepOld;
        assert_eq!(id(&single_flight, 0, policy, Ok(held("a"))).await.unwrap(), "a");
        assert_eq!(id(&single_flight, 210, policy, Err(failure())).await.unwrap(), "a");
        assert_eq!(id(&single_flight, 269, policy, Ok(held("b"))).await.unwrap(), "a");
        assert_eq!(id(&single_flight, 270, policy, Err(failure())).await.unwrap(), "a");
        assert_eq!(id(&single_flight, 300, policy, Err(failure())).await.unwrap_err(), failure());
        assert_eq!(id(&single_flight, 301, policy, Ok(held("c"))).await.unwrap(), "c");
    }

    #[tokio::test]
    async fn a_failed_renewal_is_reported_where_the_old_key_gains_nothing() {
        let single_flight = SingleFlight::default();
        assert_eq!(id(&single_flight, 0, IfRenewalFails::Report, Ok(held("a"))).await.unwrap(), "a");
        assert_eq!(
            id(&single_flight, 210, IfRenewalFails::Report, Err(failure())).await.unwrap_err(),
            failure()
        );
    }

    #[tokio::test]
    async fn twenty_askers_share_one_flight_whether_it_succeeds_or_fails() {
        for outcome in [Ok(held("a")), Err(failure())] {
            let (single_flight, fetched) = (Arc::new(SingleFlight::default()), Arc::new(AtomicU32::new(0)));
            let ask = || async {
                single_flight
                    .get(at(0), IfRenewalFails::Report, async {
                        fetched.fetch_add(1, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                        outcome.clone()
                    })
                    .await
                    .map(|key| key.id)
            };
            let answers = join_all((0..20).map(|_| ask())).await;
            assert_eq!(fetched.load(Ordering::Relaxed), 1);
            let expected = outcome.clone().map(|held| held.key.id);
            assert!(answers.iter().all(|answer| *answer == expected), "{answers:?}");
            // Who comes later is not answered from the past.
            assert_eq!(ask().await, expected);
            assert_eq!(fetched.load(Ordering::Relaxed), if expected.is_ok() { 1 } else { 2 });
        }
    }

    #[tokio::test]
    async fn a_cancelled_flight_leaves_the_next_asker_free_to_fly() {
        let single_flight = SingleFlight::default();
        let hang = single_flight.get(at(0), IfRenewalFails::Report, std::future::pending());
        assert!(futures::FutureExt::now_or_never(hang).is_none());
        assert_eq!(id(&single_flight, 0, IfRenewalFails::Report, Ok(held("a"))).await.unwrap(), "a");
    }

    #[tokio::test]
    async fn only_the_key_that_was_refused_is_forgotten() {
        let single_flight = SingleFlight::default();
        assert!(single_flight.is_idle(at(0)));
        id(&single_flight, 0, IfRenewalFails::Report, Ok(held("b"))).await.unwrap();
        single_flight.forget(&held("a").key);
        assert!(!single_flight.is_idle(at(299)) && single_flight.is_idle(at(300)));
        assert_eq!(id(&single_flight, 1, IfRenewalFails::Report, Ok(held("c"))).await.unwrap(), "b");
        single_flight.forget(&held("b").key);
        assert_eq!(id(&single_flight, 1, IfRenewalFails::Report, Ok(held("c"))).await.unwrap(), "c");
    }
}
