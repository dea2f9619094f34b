//! The binding loop: finalizer, withdrawal, status.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::{Resource, ResourceExt};
use tokio::time::Instant;
use tracing::{info, warn};

use super::clock;
use super::gauges;
use super::reconciles;
use super::state::{SharedState, State};
use crate::api::binding::DeletionPolicy;
use crate::api::event::EventReason;
use crate::api::{AcrCredentialBinding, ConditionType};
use crate::cluster::error::CallError;
use crate::cluster::report::BindingWriter;
use crate::plan::Rollup;
use crate::plan::binding_events;
use crate::plan::binding_facts::{registry_facts, standstill};
use crate::plan::binding_step::{
    BindingObservation, BindingStep, StatusReport, deletion_effect, lifecycle_step, status_step,
};
use crate::plan::condition::BindingCondition;
use crate::plan::passed_over::excluded_names;
use crate::plan::refresh::backoff;
use crate::plan::status::{BindingFacts, status};
use crate::plan::stored_binding::StoredBinding;
use crate::plan::unpublished::Churn;
use crate::server::Metrics;
use crate::server::metrics::Reconciler;

/// The binding loop.
#[derive(Clone)]
pub struct BindingLoop {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// For writes.
    pub writer: BindingWriter,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Write history of each binding.
    pub writes: Arc<Mutex<HashMap<Arc<str>, StatusWrites>>>,
}

/// Writes of one binding.
#[derive(Clone, Copy, Debug)]
pub struct StatusWrites {
    last: Instant,
    /// Failed attempts in a row.
    failures: u32,
}

impl BindingLoop {
    /// Runs one worker.
    pub async fn run(self) {
        loop {
            let item = self.shared.bindings.next().await;
            self.metrics.observe_wait(gauges::BINDINGS, item.since.elapsed());
            let started = std::time::Instant::now();
            let result = self.reconcile(&item.key).await;
            reconciles::record(&self.metrics, Reconciler::Binding, started, &result);
            if matches!(result, Err(CallError::Conflict)) {
                self.read_again(&item.key).await;
            }
            self.retry(&item.key, result.err());
        }
    }

    /// Takes the one next step for a binding. Returns when the one after it is due, if by no change.
    async fn reconcile(&self, name: &Arc<str>) -> Result<Option<Duration>, CallError> {
        let Some((binding, step)) = self.decide(name) else { return Ok(None) };
        match step {
            BindingStep::Wait(wait) => {
                self.again_after(name, wait);
                Ok(wait)
            }
            BindingStep::AddFinalizer => {
                self.observe(self.writer.set_finalizer(&binding.object, true).await).map(|()| None)
            }
            BindingStep::RemoveFinalizer => {
                let result = self.writer.set_finalizer(&binding.object, false).await;
                if result.is_ok() {
                    info!(binding = %name, "finalizer removed");
                }
                result.map(drop).or_else(unless_gone).map(|()| None)
            }
            BindingStep::DecideDeletion(policy) => self.decide_deletion(name, policy).await.map(|()| None),
            BindingStep::WriteStatus(status, wait) => {
                let result = self.writer.set_status(&binding.object, *status).await;
                Metrics::count(&self.metrics.status_writes, result.is_ok());
                if let Ok(written) = &result {
                    self.publish_events(&binding.object, written).await;
                }
                self.remember_write(name, Instant::now());
                self.again_after(name, wait);
                self.observe(result).map(|()| wait)
            }
        }
    }

    fn again_after(&self, name: &Arc<str>, wait: Option<Duration>) {
        if let Some(wait) = wait {
            self.shared.bindings.add_after(name.clone(), wait);
        }
    }

    /// Publishes the Events that follow from a status that was written.
    async fn publish_events(&self, before: &AcrCredentialBinding, now: &AcrCredentialBinding) {
        let Some(status) = &now.status else { return };
        for event in binding_events::events(before.status.as_ref(), status) {
            let reason = event.reason;
            if reason == EventReason::WithdrawalHeld {
                warn!(binding = %now.name_any(), message = %event.note, "withdrawal held");
            }
            self.writer.event(&now.object_ref(&()), event.is_warning, reason, event.note).await;
        }
    }

    /// Records the binding that a write returned.
    fn observe(&self, result: Result<AcrCredentialBinding, CallError>) -> Result<(), CallError> {
        result.map(|object| self.shared.put_binding(object)).or_else(unless_gone)
    }

    /// Reads a binding after a conflict: the watch may lag or hang.
    async fn read_again(&self, name: &str) {
        if let Ok(Some(object)) = self.writer.read(name).await {
            self.shared.put_binding(object);
        }
    }

    fn writes(&self) -> MutexGuard<'_, HashMap<Arc<str>, StatusWrites>> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember_write(&self, name: &Arc<str>, at: Instant) {
        self.writes().entry(name.clone()).or_insert(StatusWrites { last: at, failures: 0 }).last = at;
    }

    fn retry(&self, name: &Arc<str>, failed: Option<CallError>) {
        let mut writes = self.writes();
        let Some(error) = failed else {
            if let Some(writes) = writes.get_mut(name) {
                writes.failures = 0;
            }
            return;
        };
        let writes = writes.entry(name.clone()).or_insert(StatusWrites { last: Instant::now(), failures: 0 });
        writes.failures = writes.failures.saturating_add(1);
        if error != CallError::Conflict {
            warn!(binding = %name, %error, "binding not written");
        }
        let wait = backoff(writes.failures, Duration::from_millis(500), Duration::from_secs(60), name);
        self.shared.bindings.add_after(name.clone(), wait);
    }

    /// Decides the next step for a binding. `None`: it does not exist.
    fn decide(&self, name: &Arc<str>) -> Option<(StoredBinding, BindingStep)> {
        let mut state = self.shared.state();
        let Some(binding) = state.bindings.get(name).cloned() else {
            self.metrics.forget(name);
            self.writes().remove(name);
            return None;
        };
        if binding.is_governed() && self.shared.release_due(&mut state, name) {
            info!(binding = %name, "held withdrawal released");
        }
        let nothing = Rollup::default();
        let observed = BindingObservation {
            binding: &binding,
            rollup: state.rollups.of(name).unwrap_or(&nothing),
            admission_known: self.shared.modes().borrow().are_known(),
            awaits_config_map: state.awaits_config_map(name),
            is_published: !state.unpublished.contains(name),
        };
        let step = lifecycle_step(&observed).unwrap_or_else(|| self.report(&mut state, name, &binding));
        Some((binding, step))
    }

    /// Decides whether to write the status of a binding.
    fn report(&self, state: &mut State, name: &Arc<str>, binding: &StoredBinding) -> BindingStep {
        let now = clock::now();
        if let (Some(_), Some(good)) = (&binding.refreshing, &binding.good)
            && !good.registries.iter().any(|r| state.credentials.is_forced(&r.key))
        {
            state.bindings.handle_refresh(name);
        }
        let binding = state.bindings.get(name).unwrap_or(binding);
        let registries = registry_facts(binding, &state.credentials, &state.bindings.totals().demands);
        let expires = registries.iter().filter_map(|r| r.life).map(|life| life.expires_at);
        let changes = expires.filter(|end| *end > now).chain(state.guard.until(name)).min();
        let mut others = [state.notes.get(name).cloned().unwrap_or_default(), state.common.clone()].concat();
        let requests = binding.requests_admission();
        others.extend(requests.and_then(|binding| self.shared.modes().borrow().condition(&binding)));
        let contention = state.rollups.of(name).and_then(Rollup::contention).cloned();
        others.extend(contention.map(|why| BindingCondition {
            kind: ConditionType::Contended,
            holds: true,
            why,
        }));
        let generation = binding.object.metadata.generation.unwrap_or_default();
        let nothing = Rollup::default();
        let rollup = state.rollups.of(name).unwrap_or(&nothing);
        let selection = binding.good.as_ref().map(|binding| &binding.namespaces);
        let facts = BindingFacts {
            name,
            generation,
            standstill: standstill(binding),
            blindness: state.blindness.clone(),
            registries,
            // Borrowed: a copy would cost the size of the cluster.
            rollup,
            handled_refresh_at: binding.handled_refresh.clone(),
            held: state.guard.report(name, generation),
            excluded_names: selection.and_then(excluded_names),
            nothing_covered: selection
                .filter(|_| rollup.matched() == 0)
                .and_then(|selection| state.passed_over.why_nothing(name, selection)),
            others,
        };
        let current = binding.status();
        let status = status(&facts, current.as_ref(), now);
        let ready = status.conditions.iter().find(|c| c.type_ == ConditionType::Ready.as_str());
        self.metrics.set_ready(name, ready.map_or("Unknown", |ready| &ready.status));
        let report = StatusReport {
            status,
            changes_after: changes.map(|at| clock::until(at, now) + Duration::from_secs(1)),
            since_write: self.writes().get(name).map(|writes| writes.last.elapsed()),
        };
        status_step(current.as_ref(), report)
    }

    /// Decides on the effect of a deletion, and publishes it.
    async fn decide_deletion(&self, name: &Arc<str>, policy: DeletionPolicy) -> Result<(), CallError> {
        let definition_exists = self.writer.defined_at().await?.is_some();
        let effect = deletion_effect(policy, definition_exists);
        info!(binding = %name, ?effect, "binding deleted");
        let mut state = self.shared.state();
        if !definition_exists {
            state.guard.define(None);
        }
        state.bindings.decide_deletion(name, effect);
        self.shared.publish_soon(&mut state, name, Churn::Leaves);
        Ok(())
    }
}

/// Ignores that a binding does not exist any more: the watch reports it.
fn unless_gone(error: CallError) -> Result<(), CallError> {
    if error == CallError::NotFound { Ok(()) } else { Err(error) }
}
