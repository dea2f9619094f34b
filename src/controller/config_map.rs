//! The ConfigMap loop: one object, turned into one binding.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use tracing::{info, warn};

use super::state::SharedState;
use crate::api::{AcrCredentialBinding, ConditionType, Reason, names};
use crate::cluster::error::CallError;
use crate::cluster::keys::KeySecrets;
use crate::cluster::report::BindingWriter;
use crate::cluster::watch::{Sink, refused};
use crate::model::legacy::{self, Conversion};
use crate::plan::Failure;
use crate::plan::refresh::backoff;
use crate::server::Metrics;

/// The ConfigMap as it was last seen.
#[derive(Debug, Default)]
pub struct Seen {
    listed: bool,
    object: Option<Arc<ConfigMap>>,
    /// Why it may not be looked at.
    forbidden: Option<String>,
}

/// Takes the ConfigMap in from its watch.
pub struct ConfigMapSink {
    /// Where it is kept.
    pub seen: Arc<Mutex<Seen>>,
    /// Told of each change.
    pub shared: Arc<SharedState>,
}

impl ConfigMapSink {
    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.config_map.notify_one();
    }
}

impl Sink<ConfigMap> for ConfigMapSink {
    fn put(&mut self, object: ConfigMap) {
        self.change(|seen| seen.object = Some(Arc::new(object)));
    }

    fn remove(&mut self, _: ConfigMap) {
        self.change(|seen| seen.object = None);
    }

    /// A right that is missing is told: the binding's status would wait for the first look without a word.
    fn interrupted(&mut self, kind: &str, error: &watcher::Error) {
        let error = refused(error);
        warn!(kind, %error, "watch interrupted");
        if let CallError::Forbidden(why) = error {
            self.change(|seen| seen.forbidden = Some(why));
        }
    }

    fn listed(&mut self, names: &HashSet<(Box<str>, Box<str>)>) {
        self.change(|seen| {
            seen.listed = true;
            if names.is_empty() {
                seen.object = None;
            }
        });
    }
}

/// Versions of the ConfigMap, by what was done about them.
#[derive(Debug, Default)]
struct Done {
    /// Since when the ConfigMap is gone.
    gone_since: Option<Instant>,
    /// Whether key pairs that nobody wants any more may still stand.
    keys_unswept: bool,
    /// Names of those that may stand by this process.
    key_secrets: BTreeSet<String>,
    /// The one that the binding was last made to say: a binding that differs afterwards was edited by hand.
    written: Option<String>,
    /// The one that an Event was last published about.
    told: Option<String>,
}

/// What the loop needs.
pub struct ConfigMapLoop {
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// Writes.
    pub writer: BindingWriter,
    /// Writes the ConfigMap's key pairs.
    pub keys: KeySecrets,
    /// How long the ConfigMap may be gone before its binding goes too.
    pub grace: Duration,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The ConfigMap.
    pub seen: Arc<Mutex<Seen>>,
}

impl ConfigMapLoop {
    /// Works for ever.
    pub async fn run(self) {
        let mut attempts = 0_u32;
        // Whoever was here before may have been stopped before it had swept.
        let mut done = Done { keys_unswept: true, ..Done::default() };
        loop {
            match self.look(&mut done).await {
                Ok(again) => {
                    attempts = 0;
                    let told = self.shared.config_map.notified();
                    match again {
                        Some(wait) => drop(tokio::time::timeout(wait, told).await),
                        None => told.await,
                    }
                }
                Err(error) => {
                    attempts = attempts.saturating_add(1);
                    warn!(%error, "the binding of the ConfigMap was not written");
                    let wait = backoff(
                        attempts,
                        Duration::from_millis(500),
                        Duration::from_secs(60),
                        names::LEGACY_NAME,
                    );
                    let _ = tokio::time::timeout(wait, self.shared.config_map.notified()).await;
                }
            }
        }
    }

    /// One look. Returns when the next one is due, if by nobody's change.
    async fn look(&self, done: &mut Done) -> Result<Option<Duration>, CallError> {
        let (listed, object, forbidden) = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            (seen.listed, seen.object.clone(), seen.forbidden.clone())
        };
        let binding = self.shared.state().bindings.get(names::LEGACY_NAME).map(|entry| entry.object.clone());
        let converted =
            binding.as_ref().filter(|b| b.labels().get(names::LABEL_CONVERTED).is_some_and(|v| v == "true"));
        if !listed {
            if let (Some(why), Some(_)) = (forbidden, converted) {
                self.unreadable(&why);
            }
            return Ok(None);
        }
        let Some(config_map) = object else {
            return self.gone(converted, done).await;
        };
        done.gone_since = None;
        if config_map.annotations().get(names::ANNOTATION_AUTHORITATIVE).is_some_and(|v| v == "false") {
            return match converted {
                Some(binding) => {
                    info!("the ConfigMap is no longer authoritative: its binding is its user's own");
                    self.note(None);
                    self.writer.graduate(binding).await.map(|()| None)
                }
                None => Ok(None),
            };
        }
        if let (Some(binding), None) = (&binding, converted) {
            let note = format!(
                "the binding {} is not made from this ConfigMap: delete one of them, or annotate the ConfigMap with {}: \"false\"",
                binding.name_any(),
                names::ANNOTATION_AUTHORITATIVE
            );
            self.tell(&config_map, done, "BindingNotConverted", note).await;
            return Ok(None);
        }
        self.convert(&config_map, converted, done).await.map(|()| None)
    }

    /// The ConfigMap is not there. A GitOps tool may delete it and make it again within seconds, so its binding
    /// stays for a while.
    async fn gone(
        &self,
        converted: Option<&Arc<AcrCredentialBinding>>,
        done: &mut Done,
    ) -> Result<Option<Duration>, CallError> {
        let Some(binding) = converted else {
            done.gone_since = None;
            self.sweep(done).await?;
            return Ok(None);
        };
        if binding.metadata.deletion_timestamp.is_some() {
            // It names its key pairs for as long as it is there.
            return Ok(None);
        }
        let since = *done.gone_since.get_or_insert_with(Instant::now);
        let left = self.grace.saturating_sub(since.elapsed());
        if left.is_zero() {
            info!("the ConfigMap is gone, and so its binding goes by its deletionPolicy");
            done.keys_unswept = true;
            return self.writer.delete(binding).await.map(|()| None);
        }
        let message = format!(
            "the ConfigMap is gone; unless it comes back within {} s of its deletion, this binding is deleted by its \
             deletionPolicy {:?}",
            self.grace.as_secs(),
            binding.spec.deletion_policy
        );
        self.metrics.legacy_config_valid.set(0);
        self.note(Some((false, Failure::new(Reason::LegacyConfigMissing, message))));
        Ok(Some(left))
    }

    /// The ConfigMap may not be looked at: its binding stays as it was made.
    fn unreadable(&self, why: &str) {
        let message =
            format!("{why}: apply the RBAC of this version; until then this binding stays as it is");
        self.metrics.legacy_config_valid.set(0);
        self.note(Some((false, Failure::new(Reason::Forbidden, message))));
    }

    /// Deletes key pairs that no binding names.
    async fn sweep(&self, done: &mut Done) -> Result<(), CallError> {
        if !done.keys_unswept {
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
        done.keys_unswept = false;
        done.key_secrets.retain(|name| wanted.contains(name));
        Ok(())
    }

    async fn convert(
        &self,
        config_map: &ConfigMap,
        binding: Option<&Arc<AcrCredentialBinding>>,
        done: &mut Done,
    ) -> Result<(), CallError> {
        let data = config_map.data.clone().unwrap_or_default();
        let conversion = legacy::convert(&data);
        self.report(config_map, &conversion, done).await;
        let Some(spec) = conversion.spec else { return Ok(()) };
        // The pairs stand before the binding names them, and go after it names them no more.
        let key_secrets: BTreeSet<String> =
            conversion.key_pairs.iter().map(|pair| pair.secret_name.clone()).collect();
        done.key_secrets.extend(key_secrets.iter().cloned());
        self.keys.put(&conversion.key_pairs).await?;
        let version = config_map.resource_version();
        let result = match binding {
            None => {
                info!("made the binding {} from the ConfigMap", names::LEGACY_NAME);
                let source =
                    format!("{}/{}", config_map.namespace().unwrap_or_default(), config_map.name_any());
                self.writer.create_converted(&source, &spec).await
            }
            Some(binding) if binding.spec == spec || binding.metadata.deletion_timestamp.is_some() => Ok(()),
            Some(binding) => {
                if done.written == version {
                    let note = format!(
                        "this binding is made from the ConfigMap {}/{}, which is authoritative: edit that one. The edit was reverted",
                        config_map.namespace().unwrap_or_default(),
                        config_map.name_any()
                    );
                    warn!(note, "hand edit reverted");
                    self.writer.event(&binding.object_ref(&()), true, "HandEditReverted", note).await;
                }
                // What was written is known at once: seen late, it would be taken for somebody's edit.
                let written = self.writer.replace_spec(binding, &spec).await;
                written.map(|written| self.shared.put_binding(written))
            }
        };
        result?;
        done.keys_unswept |= done.key_secrets != key_secrets;
        done.written = version;
        let named = binding.is_some_and(|binding| binding.spec == spec);
        if named {
            self.sweep(done).await?;
        }
        Ok(())
    }

    /// Tells what was found in the ConfigMap: as a condition of its binding, and as an Event once a version.
    async fn report(&self, config_map: &ConfigMap, conversion: &Conversion, done: &mut Done) {
        let valid = conversion.spec.is_some() && !conversion.has_errors();
        self.metrics.legacy_config_valid.set(valid.into());
        let summary = legacy::summarize(&conversion.findings);
        let failure = match (valid, summary.is_empty()) {
            (true, true) => Failure::new(Reason::Succeeded, "the ConfigMap says nothing unclear"),
            (true, false) => Failure::new(Reason::Succeeded, summary.clone()),
            (false, _) => Failure::new(Reason::LegacyConfigInvalid, summary.clone()),
        };
        self.note(Some((valid, failure)));
        if !valid {
            self.tell(config_map, done, Reason::LegacyConfigInvalid.as_str(), summary).await;
        }
    }

    /// Publishes an Event on the ConfigMap, once a version.
    async fn tell(&self, config_map: &ConfigMap, done: &mut Done, reason: &str, note: String) {
        let version = config_map.resource_version();
        if done.told != version {
            warn!(reason, note, "the ConfigMap needs a look");
            self.writer.event(&config_map.object_ref(&()), true, reason, note).await;
            done.told = version;
        }
    }

    fn note(&self, note: Option<(bool, Failure)>) {
        let notes = note.map(|(valid, why)| vec![(ConditionType::LegacyConfigValid, valid, why)]);
        let mut state = self.shared.state();
        match notes {
            Some(notes) => state.notes.insert(names::LEGACY_NAME.into(), notes),
            None => state.notes.remove(names::LEGACY_NAME),
        };
        drop(state);
        self.shared.bindings.add(names::LEGACY_NAME.into(), super::work_queue::Priority::High);
    }
}
