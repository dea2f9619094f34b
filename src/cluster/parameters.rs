//! The ConfigMap that our `MutatingAdmissionPolicy` reads, and the proof that the API server goes by it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::error::{CallError, call};
use super::objects::WatchedServiceAccount;
use super::owned::{is_labelled, merging};
use super::policy_probe::serves;
use super::watch::{Sink, refused};
use crate::api::names;
use crate::model::coverage::FORMAT;

/// The ConfigMap as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParametersState {
    /// It stands.
    Present {
        /// Its data.
        data: BTreeMap<String, String>,
        /// Which version of it this is.
        resource_version: Box<str>,
    },
    /// It does not exist.
    Absent,
    /// It cannot be read.
    Refused(CallError),
}

impl From<ConfigMap> for ParametersState {
    fn from(object: ConfigMap) -> Self {
        let resource_version = object.resource_version().unwrap_or_default().into();
        Self::Present { data: object.data.unwrap_or_default(), resource_version }
    }
}

/// Reads and writes it.
#[derive(Clone)]
pub struct ParametersWriter {
    client: Client,
    namespace: Box<str>,
}

impl ParametersWriter {
    /// The ConfigMap in the controller's namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.into() }
    }

    /// Makes the ConfigMap say this, where it said what was seen.
    ///
    /// # Errors
    /// [`CallError`]; a conflict where something else stands there than what was seen.
    pub async fn write(
        &self,
        data: &BTreeMap<String, String>,
        seen: &ParametersState,
    ) -> Result<ParametersState, CallError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let result = match seen {
            ParametersState::Present { data: before, resource_version } => {
                let gone = before.keys().filter(|key| !data.contains_key(*key));
                let mut patch: Map<String, Value> = gone.map(|key| (key.clone(), Value::Null)).collect();
                patch.extend(data.iter().map(|(key, value)| (key.clone(), json!(value))));
                let patch = json!({ "metadata": { "resourceVersion": resource_version }, "data": patch });
                call(maps.patch(names::ADMISSION_NAME, &merging(), &Patch::Merge(&patch))).await
            }
            ParametersState::Absent | ParametersState::Refused(_) => {
                let object = json!({
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {
                        "name": names::ADMISSION_NAME,
                        "namespace": self.namespace,
                        "labels": { names::LABEL_MANAGED_BY: names::MANAGER },
                    },
                    "data": data,
                });
                let params = PatchParams::apply(names::MANAGER);
                call(maps.patch(names::ADMISSION_NAME, &params, &Patch::Apply(&object))).await
            }
        };
        result.map(Into::into)
    }

    /// Whether one of ours stands.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn stand(&self) -> Result<bool, CallError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        Ok(call(maps.get_opt(names::ADMISSION_NAME)).await?.is_some_and(|map| is_labelled(&map)))
    }

    /// Removes it: nothing is served by it any more.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn remove(&self) -> Result<(), CallError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        match call(maps.delete(names::ADMISSION_NAME, &DeleteParams::default())).await {
            Ok(_) | Err(CallError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether the API server serves by this version of the ConfigMap.
    ///
    /// A dry run of a write to our own ServiceAccount, by a field manager that names the version, gets the entry from our
    /// policy exactly then: the policy stands, is bound, and has read it. `others` are the ServiceAccount's entries but
    /// ours.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn in_force(
        &self,
        version: &str,
        secret: &str,
        others: &[Box<str>],
    ) -> Result<bool, CallError> {
        let accounts: Api<WatchedServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let manager = Some(format!("{}-{FORMAT}-{version}", names::ADMISSION_NAME));
        let params = PatchParams { dry_run: true, field_manager: manager, ..PatchParams::default() };
        let list: Vec<Value> = others.iter().map(|name| json!({ "name": name })).collect();
        let patch = json!({ "imagePullSecrets": list });
        let answer = call(accounts.patch(names::MANAGER, &params, &Patch::Merge(&patch))).await?;
        Ok(answer.image_pull_secrets.iter().any(|entry| entry.name == secret))
    }

    /// Whether the API server knows `MutatingAdmissionPolicy` at all.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn can_exist(&self) -> Result<bool, CallError> {
        serves(&self.client, "mutatingadmissionpolicies").await
    }
}

/// Takes the ConfigMap in from its watch.
pub struct ParametersSink<F> {
    /// Where it is kept.
    pub seen: Arc<watch::Sender<Option<ParametersState>>>,
    /// Told of the first look.
    pub known: F,
}

impl<F: Fn(&ParametersState)> ParametersSink<F> {
    fn take_in(&self, seen: ParametersState) {
        if self.seen.borrow().is_none() {
            (self.known)(&seen);
        }
        self.seen.send_replace(Some(seen));
    }
}

impl<F: Fn(&ParametersState)> Sink<ConfigMap> for ParametersSink<F> {
    fn put(&mut self, object: ConfigMap) {
        self.take_in(object.into());
    }

    fn remove(&mut self, _: ConfigMap) {
        self.take_in(ParametersState::Absent);
    }

    fn listed(&mut self, names: &HashSet<(Box<str>, Box<str>)>) {
        if names.is_empty() {
            self.take_in(ParametersState::Absent);
        }
    }

    /// A watch that breaks says nothing of what it showed; one that is not granted, or was never let through, does.
    fn interrupted(&mut self, _: &str, error: &watcher::Error) {
        let error = refused(error);
        if self.seen.borrow().is_none() || matches!(error, CallError::Forbidden(_)) {
            self.take_in(ParametersState::Refused(error));
        }
    }
}
