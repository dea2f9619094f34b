//! The ConfigMap loop: one ConfigMap is converted into one binding.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use tracing::{info, warn};

use super::reconciles;
use super::state::SharedState;
use crate::api::event::EventReason;
use crate::api::{AcrCredentialBinding, Reason, names};
use crate::cluster::error::CallError;
use crate::cluster::keys::KeySecrets;
use crate::cluster::listed_names::ListedNames;
use crate::cluster::report::BindingWriter;
use crate::cluster::watch::{Sink, refused};
use crate::model::legacy;
use crate::plan::condition::BindingCondition;
use crate::plan::config_map::{
    ConfigMapObservation, ConfigMapStep, Converted, LastConversion, converted, forbidden,
    foreign_binding_note, missing, reverted_note,
};
use crate::plan::priority::Priority;
use crate::plan::refresh::backoff;
use crate::server::Metrics;
use crate::server::metrics::Reconciler;

/// The ConfigMap as its watch last saw it.
#[derive(Clone, Debug, Default)]
pub struct WatchedConfigMap {
    listed: bool,
    object: Option<Arc<ConfigMap>>,
    /// Why it may not be read.
    forbidden: Option<String>,
}

/// The end of the watch on the ConfigMap.
pub struct ConfigMapSink {
    /// The ConfigMap, shared with the loop.
    pub watched: Arc<Mutex<WatchedConfigMap>>,
    /// Notified of each change.
    pub shared: Arc<SharedState>,
}

impl ConfigMapSink {
    fn change(&self, change: impl FnOnce(&mut WatchedConfigMap)) {
        change(&mut self.watched.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.config_map.notify_one();
    }
}

impl Sink<ConfigMap> for ConfigMapSink {
    fn put(&mut self, object: ConfigMap) {
        self.change(|watched| watched.object = Some(Arc::new(object)));
    }

    fn remove(&mut self, _: ConfigMap) {
        self.change(|watched| watched.object = None);
    }

    /// Records a missing right: the binding's status waits for the first list.
    fn interrupted(&mut self, kind: &str, error: &watcher::Error) {
        let error = refused(error);
        warn!(kind, %error, "watch interrupted");
        if let CallError::Forbidden(why) = error {
            self.change(|watched| watched.forbidden = Some(why));
        }
    }

    fn listed(&mut self, names: &ListedNames) {
        self.change(|watched| {
            watched.listed = true;
            if names.is_empty() {
                watched.object = None;
            }
        });
    }
}

/// Results of earlier runs of the loop.
#[derive(Debug, Default)]
struct Progress {
    /// Since when the ConfigMap is gone.
    gone_since: Option<Instant>,
    /// Whether key pairs may exist that no binding names any more.
    unused_keys: bool,
    /// Names of the key pairs that this process may have made.
    key_secrets: BTreeSet<String>,
    /// Version of the ConfigMap that the binding was last made from. A binding that differs afterwards was edited.
    written: Option<String>,
    /// Version of the ConfigMap that an Event was last published about.
    reported: Option<String>,
    /// What the ConfigMap was last converted into.
    conversion: LastConversion,
}

/// The ConfigMap loop.
pub struct ConfigMapLoop {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// For writes.
    pub writer: BindingWriter,
    /// The ConfigMap's key pairs.
    pub keys: KeySecrets,
    /// How long the ConfigMap may be gone before its binding is deleted.
    pub grace: Duration,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The ConfigMap.
    pub watched: Arc<Mutex<WatchedConfigMap>>,
}

impl ConfigMapLoop {
    /// Runs the loop.
    pub async fn run(self) {
        let mut attempts = 0_u32;
        // An earlier process may have been stopped before it deleted them.
        let mut progress = Progress { unused_keys: true, ..Progress::default() };
        loop {
            let started = Instant::now();
            let result = self.reconcile(&mut progress).await;
            reconciles::record(&self.metrics, Reconciler::ConfigMap, started, &result);
            let changed = self.shared.config_map.notified();
            let wait = match result {
                Ok(wait) => {
                    attempts = 0;
                    wait
                }
                Err(error) => {
                    attempts = attempts.saturating_add(1);
                    warn!(%error, "binding of the ConfigMap not written");
                    let (first, most) = (Duration::from_millis(500), Duration::from_secs(60));
                    Some(backoff(attempts, first, most, names::LEGACY_NAME))
                }
            };
            match wait {
                Some(wait) => drop(tokio::time::timeout(wait, changed).await),
                None => changed.await,
            }
        }
    }

    /// Takes the next step. Returns when the one after it is due, if by no change.
    async fn reconcile(&self, progress: &mut Progress) -> Result<Option<Duration>, CallError> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let binding = self.shared.state().bindings.get(names::LEGACY_NAME).map(|b| b.object.clone());
        let now = Instant::now();
        let mut observed = ConfigMapObservation {
            listed: watched.listed,
            config_map: watched.object.as_deref(),
            forbidden: watched.forbidden.as_deref(),
            binding: binding.as_deref(),
            gone_since: progress.gone_since,
            grace: self.grace,
        };
        progress.note_absence(&observed, now);
        observed.gone_since = progress.gone_since;
        match (observed.step(now), observed.config_map, observed.converted()) {
            (ConfigMapStep::ReportForbidden, ..) => {
                self.report_condition(Some(forbidden(observed.forbidden.unwrap_or_default())));
            }
            (ConfigMapStep::DeleteUnusedKeys, ..) => self.delete_unused_keys(progress).await?,
            (ConfigMapStep::ReportMissing(left), _, Some(binding)) => {
                self.report_condition(Some(missing(self.grace, binding.spec.deletion_policy)));
                return Ok(Some(left));
            }
            (ConfigMapStep::DeleteBinding, _, Some(binding)) => {
                info!("ConfigMap missing, binding deleted");
                progress.unused_keys = true;
                self.writer.delete(binding).await?;
            }
            (ConfigMapStep::Graduate, _, Some(binding)) => {
                info!("binding graduated: the ConfigMap is not authoritative any more");
                self.report_condition(None);
                self.writer.graduate(binding).await?;
            }
            (ConfigMapStep::ReportForeignBinding, Some(config_map), _) => {
                let note = foreign_binding_note(names::LEGACY_NAME);
                self.publish_event(config_map, progress, EventReason::BindingNotConverted, note).await;
            }
            (ConfigMapStep::Convert, Some(config_map), converted) => {
                if let Some(object) = &watched.object {
                    let conversion = progress.conversion.of(object, legacy::convert);
                    self.convert(config_map, &conversion, converted, progress).await?;
                }
            }
            _ => {}
        }
        Ok(None)
    }

    /// Deletes key pairs that no binding names.
    async fn delete_unused_keys(&self, progress: &mut Progress) -> Result<(), CallError> {
        if !progress.unused_keys {
            return Ok(());
        }
        let wanted = {
            let state = self.shared.state();
            // A binding that cannot be read may name any of them, and the cloud never shows a key again.
            if state.bindings.coverage_unknown() {
                return Ok(());
            }
            state.bindings.key_secrets()
        };
        self.keys.delete_all_but(&wanted).await?;
        progress.unused_keys = false;
        progress.key_secrets.retain(|name| wanted.contains(name));
        Ok(())
    }

    async fn convert(
        &self,
        config_map: &ConfigMap,
        converted: &Converted,
        binding: Option<&AcrCredentialBinding>,
        progress: &mut Progress,
    ) -> Result<(), CallError> {
        self.report(config_map, converted, progress).await;
        let conversion = &converted.conversion;
        let Some(spec) = &conversion.spec else { return Ok(()) };
        // The key pairs exist before the binding names them, and are deleted after it names them no more.
        let key_secrets: BTreeSet<String> =
            conversion.key_pairs.iter().map(|pair| pair.secret_name.clone()).collect();
        progress.key_secrets.extend(key_secrets.iter().cloned());
        self.keys.forget(&self.shared.take_changed_keys());
        self.keys.put(&conversion.key_pairs).await?;
        let version = config_map.resource_version();
        match binding {
            None => {
                info!(binding = names::LEGACY_NAME, "binding created from the ConfigMap");
                let source =
                    format!("{}/{}", config_map.namespace().unwrap_or_default(), config_map.name_any());
                self.writer.create_converted(&source, spec).await?;
            }
            Some(binding) if binding.spec == *spec || binding.metadata.deletion_timestamp.is_some() => {}
            Some(binding) => {
                if progress.written == version {
                    let note = reverted_note(config_map);
                    warn!(note, "edit reverted");
                    self.writer
                        .event(&binding.object_ref(&()), true, EventReason::HandEditReverted, note)
                        .await;
                }
                // Recorded at once: seen late by the watch, it would count as an edit.
                self.shared.put_binding(self.writer.replace_spec(binding, spec).await?);
            }
        }
        progress.unused_keys |= progress.key_secrets != key_secrets;
        progress.written = version;
        if binding.is_some_and(|binding| binding.spec == *spec) {
            self.delete_unused_keys(progress).await?;
        }
        Ok(())
    }

    /// Reports the findings in the ConfigMap: as a condition of its binding, and as an Event once a version.
    async fn report(&self, config_map: &ConfigMap, of: &Converted, progress: &mut Progress) {
        let valid = of.conversion.spec.is_some() && !of.conversion.has_errors();
        self.report_condition(Some(converted(valid, &of.summary)));
        if !valid {
            let reason = EventReason::Condition(Reason::LegacyConfigInvalid);
            self.publish_event(config_map, progress, reason, of.summary.clone()).await;
        }
    }

    /// Publishes an Event on the ConfigMap, once a version.
    async fn publish_event(
        &self,
        config_map: &ConfigMap,
        progress: &mut Progress,
        reason: EventReason,
        note: String,
    ) {
        let version = config_map.resource_version();
        if progress.reported != version {
            warn!(reason = reason.as_str(), note, "ConfigMap not converted");
            self.writer.event(&config_map.object_ref(&()), true, reason, note).await;
            progress.reported = version;
        }
    }

    fn report_condition(&self, condition: Option<BindingCondition>) {
        let name = names::LEGACY_NAME;
        let mut state = self.shared.state();
        match condition {
            Some(condition) => {
                self.metrics.legacy_config_valid.set(condition.holds.into());
                if state.notes.get(name).is_some_and(|known| *known == [condition.clone()]) {
                    return;
                }
                state.notes.insert(name.into(), vec![condition]);
            }
            None => drop(state.notes.remove(name)),
        }
        drop(state);
        self.shared.bindings.add(name.into(), Priority::Changed);
    }
}

impl Progress {
    /// Records since when the ConfigMap of a converted binding is gone.
    fn note_absence(&mut self, observed: &ConfigMapObservation<'_>, now: Instant) {
        match (observed.listed, observed.config_map, observed.converted()) {
            (false, ..) => {}
            (true, None, Some(binding)) if binding.metadata.deletion_timestamp.is_some() => {}
            (true, None, Some(_)) => drop(self.gone_since.get_or_insert(now)),
            (true, ..) => self.gone_since = None,
        }
    }
}
