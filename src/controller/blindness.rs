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
