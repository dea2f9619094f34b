//! The binding loop: finalizer, withdrawal, status.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::{Resource, ResourceExt};
use tokio::time::Instant;
use tracing::{info, warn};

use super::binding_store::Entry;
use super::clock;
use super::credential_cache::Demand;
use super::publish::PublishReason;
use super::state::{SETTLE, SharedState, State};
use crate::api::binding::DeletionPolicy;
use crate::api::{AcrCredentialBinding, AcrCredentialBindingStatus, ConditionType, Reason};
use crate::cluster::error::CallError;
use crate::cluster::report::BindingWriter;
use crate::model::Registry;
use crate::plan::refresh::backoff;
use crate::plan::status::{Facts, RegistryFacts, status};
use crate::plan::{Failure, Phase, RegistryCredential, Rollup};
use crate::server::Metrics;

/// A status is written no more often than this.
const REST: Duration = Duration::from_secs(3);

/// What the loop needs.
#[derive(Clone)]
pub struct BindingLoop {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// Writes.
    pub writer: BindingWriter,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// How fast each binding is written.
    pub pace: Arc<Mutex<HashMap<Arc<str>, Pace>>>,
}

/// When a status was last written, and failed attempts in a row.
pub type Pace = (Instant, u32);

/// What a look at a binding asks for.
enum Step {
    /// Nothing, until this much time has passed.
    Rest(Option<Duration>),
    /// Hold the binding before anything is written for it.
    AddFinalizer(Entry),
    /// Find out whether the CRD itself is going.
    AskForCrd(Entry),
    /// Let the binding go.
    RemoveFinalizer(Entry),
    /// Report.
    Write(Entry, Box<AcrCredentialBindingStatus>, Option<Duration>),
}

impl BindingLoop {
    /// Works for ever.
    pub async fn run(self) {
        loop {
            let item = self.shared.bindings.next().await;
            let name = &item.key;
            let failed = match self.look(name) {
                Step::Rest(None) => None,
                Step::Rest(Some(wait)) => {
                    self.shared.bindings.add_after(name.clone(), wait);
                    None
                }
                Step::AddFinalizer(entry) => {
                    self.take_in(self.writer.set_finalizer(&entry.object, true).await)
                }
                Step::RemoveFinalizer(entry) => {
                    let result = self.writer.set_finalizer(&entry.object, false).await;
                    if result.is_ok() {
                        info!(binding = %name, "released");
                    }
                    result.err().filter(|error| *error != CallError::NotFound)
                }
                Step::AskForCrd(entry) => self.leave(&entry).await,
                Step::Write(entry, status, wait) => {
                    let result = self.writer.set_status(&entry.object, *status).await;
                    Metrics::count(&self.metrics.status_writes, result.is_ok());
                    if let Ok(written) = &result {
                        self.tell_held(&entry.object, written).await;
                    }
                    self.remember(name, Instant::now());
                    if let Some(wait) = wait {
                        self.shared.bindings.add_after(name.clone(), wait);
                    }
                    self.take_in(result)
                }
            };
            if failed == Some(CallError::Conflict) {
                self.read_again(name).await;
            }
            self.retry(name, failed);
        }
    }

    /// Publishes an Event where a withdrawal is held that was not before.
    async fn tell_held(&self, before: &AcrCredentialBinding, now: &AcrCredentialBinding) {
        let held = |object: &AcrCredentialBinding| {
            let conditions = object.status.iter().flat_map(|status| status.conditions.clone());
            conditions.into_iter().find(|c| c.type_ == ConditionType::WithdrawalHeld.as_str())
        };
        if let (None, Some(condition)) = (held(before), held(now)) {
            warn!(binding = %now.name_any(), message = %condition.message, "withdrawal held");
            let (about, reason) = (now.object_ref(&()), condition.type_.as_str());
            self.writer.event(&about, true, reason, condition.message).await;
        }
    }

    fn take_in(&self, result: Result<AcrCredentialBinding, CallError>) -> Option<CallError> {
        match result {
            Ok(object) => {
                self.shared.put_binding(object);
                None
            }
            // The watch brings that it is gone.
            Err(CallError::NotFound) => None,
            Err(error) => Some(error),
        }
    }

    /// After a conflict: what the watch has not brought yet, because it lags or hangs, is read.
    async fn read_again(&self, name: &str) {
        if let Ok(Some(object)) = self.writer.read(name).await {
            self.shared.put_binding(object);
        }
    }

    fn remember(&self, name: &Arc<str>, at: Instant) {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_insert((at, 0)).0 =
            at;
    }

    fn retry(&self, name: &Arc<str>, failed: Option<CallError>) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(error) = failed else {
            if let Some((_, attempts)) = pace.get_mut(name) {
                *attempts = 0;
            }
            return;
        };
        let (_, attempts) = pace.entry(name.clone()).or_insert((Instant::now(), 0));
        *attempts = attempts.saturating_add(1);
        if error != CallError::Conflict {
            warn!(binding = %name, %error, "write failed");
        }
        let wait = backoff(*attempts, Duration::from_millis(500), Duration::from_secs(60), name);
        self.shared.bindings.add_after(name.clone(), wait);
    }

    /// Decides the one next step for a binding.
    fn look(&self, name: &Arc<str>) -> Step {
        let now = clock::now();
        let mut state = self.shared.state();
        let Some(entry) = state.bindings.get(name).cloned() else {
            self.metrics.forget(name);
            self.pace.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
            return Step::Rest(None);
        };
        let deleting = entry.object.metadata.deletion_timestamp.is_some();
        match (deleting, entry.is_held()) {
            (true, false) => return Step::Rest(None),
            (false, false) => return Step::AddFinalizer(entry),
            (true, true) if entry.good.is_none() => return Step::RemoveFinalizer(entry),
            (true, true) if entry.leaving.is_none() => return Step::AskForCrd(entry),
            _ => {}
        }
        if self.shared.release_due(&mut state, name) {
            info!(binding = %name, "nobody confirmed or corrected it: what is covered no more is withdrawn");
        }
        let nothing = Rollup::default();
        let rollup = state.rollups.of(name).unwrap_or(&nothing);
        if deleting && rollup.is_settled() && rollup.ready() == rollup.matched() {
            return Step::RemoveFinalizer(entry);
        }
        // After a start or a refresh, what was reported holds until every namespace was looked at.
        let unsettled = !rollup.is_settled() && !rollup.is_converging() && entry.is_observed();
        let asks = entry.asks_admission();
        let awaits_admission = asks.is_some() && !self.shared.modes().borrow().are_known();
        if unsettled || awaits_admission || state.awaits_config_map(name) {
            return Step::Rest(Some(SETTLE));
        }
        let wants = state.bindings.wants();
        if let (Some(asked), Some(binding)) = (&entry.refreshing, &entry.good)
            && !binding.registries.iter().any(|r| state.credentials.is_forced(&r.key))
            && let Some(entry) = state.bindings.get_mut(name)
        {
            entry.handled_refresh = Some(asked.clone());
            entry.refreshing = None;
        }
        let entry = state.bindings.get(name).cloned().unwrap_or(entry);
        let registries = registries(&state, &entry, &wants);
        let next_end =
            registries.iter().filter_map(|r| r.held).map(|(_, end)| end).filter(|end| *end > now).min();
        let next = next_end.into_iter().chain(state.guard.until(name)).min();
        let wait = next.map(|at| clock::until(at, now) + Duration::from_secs(1));
        let mut others = [state.notes.get(name).cloned().unwrap_or_default(), state.common.clone()].concat();
        others.extend(asks.and_then(|binding| self.shared.modes().borrow().condition(&binding)));
        let contention = state.rollups.of(name).and_then(Rollup::contention);
        others.extend(contention.map(|why| (ConditionType::Contended, true, why.clone())));
        let generation = entry.object.metadata.generation.unwrap_or_default();
        // The tally is read where it is: a copy would cost the size of the cluster at every look.
        let facts = Facts {
            name,
            generation,
            standstill: standstill(&entry),
            registries,
            rollup: state.rollups.of(name).unwrap_or(&nothing),
            handled_refresh_at: entry.handled_refresh.clone(),
            held: state.guard.told(name, generation),
            others,
        };
        let next = status(&facts, entry.object.status.as_ref(), now);
        drop(state);
        let ready = next.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
        self.metrics.set_ready(name, ready);
        if entry.object.status.as_ref() == Some(&next) {
            return Step::Rest(wait);
        }
        let last = self.pace.lock().unwrap_or_else(PoisonError::into_inner).get(name).map(|(at, _)| *at);
        match last.map(|at| REST.saturating_sub(at.elapsed())).filter(|rest| !rest.is_zero()) {
            Some(rest) => Step::Rest(Some(rest)),
            None => Step::Write(entry, Box::new(next), wait),
        }
    }

    /// Decides what a deletion does: where the CRD goes, every binding goes, and withdrawing everywhere at once is
    /// the worst mistake that could be made.
    async fn leave(&self, entry: &Entry) -> Option<CallError> {
        let Some(binding) = &entry.good else { return None };
        let crd_goes = match self.writer.defined_at().await {
            Ok(defined_at) => defined_at.is_none(),
            Err(error) => return Some(error),
        };
        let leaving = match binding.deletion_policy {
            _ if crd_goes => Phase::Abandoning,
            DeletionPolicy::Retain => Phase::Retaining,
            DeletionPolicy::Delete => Phase::Withdrawing,
        };
        info!(binding = %binding.name, ?leaving, "the binding is being deleted");
        let mut state = self.shared.state();
        if crd_goes {
            state.guard.define(None);
        }
        if let Some(entry) = state.bindings.get_mut(&binding.name) {
            entry.leaving = Some(leaving);
        }
        self.shared.publish(&mut state, std::slice::from_ref(&binding.name), PublishReason::SpecChanged);
        drop(state);
        self.shared.bindings.add_after(binding.name.clone(), SETTLE);
        None
    }
}

fn standstill(entry: &Entry) -> Option<Failure> {
    if entry.object.metadata.deletion_timestamp.is_some() {
        return Some(Failure::new(Reason::Withdrawing, "the binding is being deleted"));
    }
    if !entry.invalid.is_empty() {
        let list = entry.invalid.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let kept = if entry.good.is_some() { "; the last valid spec stays in force" } else { "" };
        return Some(Failure::new(Reason::InvalidSpec, format!("{list}{kept}")));
    }
    let suspended = entry.good.as_ref().is_some_and(|binding| binding.suspend);
    suspended.then(|| {
        Failure::new(Reason::Suspended, "spec.suspend is true: nothing is minted, written or withdrawn")
    })
}

fn registries(
    state: &State,
    entry: &Entry,
    wants: &HashMap<crate::model::RegistryKey, Demand>,
) -> Vec<RegistryFacts> {
    let facts = |registry: &Registry| {
        let key = &registry.key;
        let (credential, domains) = match state.credentials.credential(registry) {
            RegistryCredential::Held { credential, domains } => (Some(credential), domains.to_vec()),
            RegistryCredential::Pending | RegistryCredential::Missing => (None, registry.domains.clone()),
        };
        let origin = credential.as_ref().map(|credential| credential.origin.clone()).unwrap_or_default();
        let given = |text: Box<str>| Some(text.into_string()).filter(|text| !text.is_empty());
        RegistryFacts {
            registry: key.edition.to_string(),
            region: key.region.to_string(),
            domains,
            identity: given(origin.identity).unwrap_or_else(|| key.identity.to_string()),
            endpoint: given(origin.endpoint),
            remark: origin.remark.map(Into::into),
            held: credential.map(|credential| (credential.minted_at, credential.expires_at)),
            next_refresh_at: wants.get(key).and_then(|want| state.credentials.next_refresh_at(key, want)),
            failure: state.credentials.failure(registry),
        }
    };
    entry.good.iter().flat_map(|binding| &binding.registries).map(facts).collect()
}
