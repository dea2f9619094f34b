//! Gauges that are read from the shared state at each scrape: their series go with what they describe.

use std::time::{Duration, Instant};

use super::state::{SharedState, State};
use crate::cloud::{CallObserver, ObservedCall};
use crate::plan::stored_binding::StoredBinding;
use crate::server::Metrics;
use crate::server::metrics::{AccountState, AccountsLabel, ApiLabel, QueueLabel, RegistryLabel};

/// Name of the work queue of the namespaces.
pub const NAMESPACES: &str = "namespace";

/// Name of the work queue of the bindings.
pub const BINDINGS: &str = "binding";

/// Updates the gauges. `streams`: the number of open watches.
pub fn refresh(shared: &SharedState, metrics: &Metrics, streams: usize) {
    for (name, depth) in [(NAMESPACES, shared.namespaces.depth()), (BINDINGS, shared.bindings.depth())] {
        metrics.queue_depth.get_or_create(&QueueLabel { name }).set(gauge(depth));
    }
    metrics.watch_streams.set(gauge(streams));
    metrics.writes_in_flight.set(gauge(shared.writes.in_flight()));
    let longest = shared.writes.longest(Instant::now()).unwrap_or_default();
    metrics.longest_write.set(i64::try_from(longest.as_secs()).unwrap_or(i64::MAX));
    metrics.delayed_namespaces.set(gauge(shared.namespaces.delayed()));
    let state = shared.state();
    refresh_credentials(&state, metrics);
    refresh_accounts(&state, metrics);
}

/// Updates the times of the credentials that are in demand.
fn refresh_credentials(state: &State, metrics: &Metrics) {
    metrics.expiration.clear();
    metrics.renewal.clear();
    for ((registry, identity), times) in state.credentials.times(&state.bindings.totals().demands) {
        let label = RegistryLabel { registry, identity };
        metrics.expiration.get_or_create(&label).set(times.expires_at.as_second());
        metrics.renewal.get_or_create(&label).set(times.renewal_at.as_second());
    }
}

/// Updates the numbers of ServiceAccounts of each binding.
fn refresh_accounts(state: &State, metrics: &Metrics) {
    metrics.service_accounts.clear();
    for (binding, rollup) in state.rollups.iter() {
        let (matched, attached) = rollup.service_accounts();
        let without = matched - attached;
        let contended = rollup.contended_accounts().min(without);
        // No Pod waits for what a user has suspended.
        let is_suspended = state.bindings.get(binding).is_some_and(StoredBinding::is_suspended);
        let (pending, contended, suspended) =
            if is_suspended { (0, 0, without) } else { (without - contended, contended, 0) };
        for (state, count) in [
            (AccountState::Attached, attached),
            (AccountState::Pending, pending),
            (AccountState::Contended, contended),
            (AccountState::Suspended, suspended),
        ] {
            let label = AccountsLabel { binding: binding.to_string(), state };
            metrics.service_accounts.get_or_create(&label).set(count);
        }
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl CallObserver for Metrics {
    fn observe(&self, call: ObservedCall, took: Duration) {
        let label = ApiLabel { action: call.action, code: call.code };
        self.api_duration.get_or_create(&label).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
