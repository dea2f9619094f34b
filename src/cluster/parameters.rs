//! The parameters' ConfigMap of the `MutatingAdmissionPolicy`, and the proof that the API server applies it.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::error::{CallError, call};
use super::listed_names::ListedNames;
use super::objects::WatchedServiceAccount;
use super::owned::{is_labelled, merging};
use super::policy_probe::serves;
use super::watch::{Sink, refused};
use crate::api::names;
use crate::model::coverage::FORMAT;

/// Observed state of the ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParametersState {
    /// It exists.
    Present {
        /// Its data.
        data: BTreeMap<String, String>,
        /// Its version.
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

/// Reads and writes the ConfigMap.
#[derive(Clone)]
pub struct ParametersWriter {
    client: Client,
    namespace: Box<str>,
}

impl ParametersWriter {
    /// Creates a writer for the controller's namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.into() }
    }

    /// Writes the data over the ConfigMap as it was observed.
    ///
    /// # Errors
    /// [`CallError`]; `Conflict` if it changed since.
    pub async fn write(
        &self,
        data: &BTreeMap<String, String>,
        observed: &ParametersState,
    ) -> Result<ParametersState, CallError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let result = match observed {
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

    /// Returns whether the ConfigMap exists and carries this controller's label.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn exists(&self) -> Result<bool, CallError> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        Ok(call(maps.get_opt(names::ADMISSION_NAME)).await?.is_some_and(|map| is_labelled(&map)))
    }

    /// Deletes the ConfigMap, which ends attachment by the API server.
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

    /// Returns whether the API server applies this version of the ConfigMap.
    ///
    /// It sends a dry-run write of this controller's own ServiceAccount, by a field manager that names the version.
    /// The policy adds the entry only if it is enforced, is bound and has read that version. `others` are the entries
    /// of the ServiceAccount except ours.
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

    /// Returns whether the API server supports `MutatingAdmissionPolicy`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn can_exist(&self) -> Result<bool, CallError> {
        serves(&self.client, "mutatingadmissionpolicies").await
    }
}

/// Observes the ConfigMap by a watch.
pub struct ParametersSink<F> {
    /// Receives each observed state.
    pub state: Arc<watch::Sender<Option<ParametersState>>>,
    /// Called at the first observation.
    pub first_observed: F,
}

impl<F: Fn(&ParametersState)> ParametersSink<F> {
    fn observe(&self, state: ParametersState) {
        if self.state.borrow().is_none() {
            (self.first_observed)(&state);
        }
        self.state.send_replace(Some(state));
    }
}

impl<F: Fn(&ParametersState)> Sink<ConfigMap> for ParametersSink<F> {
    fn put(&mut self, object: ConfigMap) {
        self.observe(object.into());
    }

    fn remove(&mut self, _: ConfigMap) {
        self.observe(ParametersState::Absent);
    }

    fn listed(&mut self, names: &ListedNames) {
        if names.is_empty() {
            self.observe(ParametersState::Absent);
        }
    }

    /// Publishes a refusal of access, or a failure before the first observation. Others do not invalidate the last
    /// one.
    fn interrupted(&mut self, _: &str, error: &watcher::Error) {
        let error = refused(error);
        if self.state.borrow().is_none() || matches!(error, CallError::Forbidden(_)) {
            self.observe(ParametersState::Refused(error));
        }
    }
}
