//! The blindness loop: while a watch hears nothing, no status pretends to know.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::state::SharedState;
use crate::cluster::watch_health::{BINDINGS, NAMESPACES, SECRETS, SERVICE_ACCOUNTS};
use crate::plan::status::blindness;

/// The watches that statuses follow from.
const WATCHES: [&str; 4] = [BINDINGS, NAMESPACES, SECRETS, SERVICE_ACCOUNTS];

/// Time between two checks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Time from the status of one binding to that of the next: thousands change at once.
const PACE: Duration = Duration::from_millis(20);

/// The blindness loop.
pub struct BlindnessLoop {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// How long a watch may hear nothing.
    pub limit: Duration,
}

impl BlindnessLoop {
    /// Runs the loop.
    pub async fn run(self) {
        loop {
            self.check(Instant::now());
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Compares the ages of the watches with the limit. A change reaches all bindings, one after the other.
    fn check(&self, now: Instant) {
        let mut ages = self.shared.watches.ages(now);
        ages.retain(|(watch, _)| WATCHES.contains(watch));
        let found = blindness(&ages, self.limit);
        let mut state = self.shared.state();
        if state.blindness == found {
            return;
        }
        match &found {
            Some(why) => warn!(message = %why.message, "watch stale"),
            None => info!("every watch is heard again"),
        }
        state.blindness = found;
        let names = state.bindings.names();
        drop(state);
        for (name, place) in names.into_iter().zip(0..) {
            self.shared.bindings.add_after(name, PACE * place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use k8s_openapi::jiff::SignedDuration;

    use super::{BlindnessLoop, PACE, SharedState, WATCHES};
    use crate::cluster::watch_health::LEASE;
    use crate::plan::Template;
    use crate::plan::withdrawal_guard::WithdrawalGuard;

    const LIMIT: Duration = Duration::from_secs(300);

    fn blindness_loop() -> BlindnessLoop {
        let template = Template { name: "s".into(), labels: BTreeMap::new(), annotations: BTreeMap::new() };
        let guard = WithdrawalGuard::new(SignedDuration::from_mins(10));
        let shared = SharedState::new("cn-hangzhou", Arc::new(template), guard);
        BlindnessLoop { shared, limit: LIMIT }
    }

    /// Returns the bindings that are due, each with the time until it was.
    async fn due(shared: &SharedState) -> Vec<(Arc<str>, Duration)> {
        let begun = tokio::time::Instant::now();
        let mut due = Vec::new();
        while let Ok(item) = tokio::time::timeout(LIMIT, shared.bindings.next()).await {
            due.push((item.key.clone(), begun.elapsed()));
        }
        due
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_watch_reaches_all_bindings_one_after_the_other_and_so_does_its_end() {
        let blindness = blindness_loop();
        let shared = &blindness.shared;
        for watch in WATCHES.into_iter().chain([LEASE]) {
            shared.watches.register(watch);
        }
        for name in ["a", "b", "c"] {
            shared.hold_unreadable(name);
        }
        blindness.check(Instant::now());
        assert!(shared.state().blindness.is_none() && due(shared).await.is_empty());

        let later = Instant::now() + LIMIT;
        blindness.check(later);
        let why = shared.state().blindness.clone().unwrap();
        assert!(why.message.contains("bindings, namespaces, secrets and serviceaccounts"), "{}", why.message);
        assert!(!why.message.contains(LEASE), "statuses do not follow from it");
        let reached = due(shared).await;
        assert_eq!(reached.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(reached[1].1 >= PACE && reached[2].1 >= 2 * PACE, "{reached:?}");
        blindness.check(later);
        assert!(due(shared).await.is_empty(), "nothing changed");

        for watch in WATCHES {
            shared.watches.heard(watch);
        }
        blindness.check(Instant::now());
        assert!(shared.state().blindness.is_none());
        assert_eq!(due(shared).await.len(), 3);
    }
}
