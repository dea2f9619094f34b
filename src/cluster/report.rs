//! Writes of bindings: status, finalizer and the converted binding. Events too.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::events::{Event, EventType};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;

use super::error::{CallError, call};
use super::events::Events;
use super::owned::merging;
use crate::api::event::EventReason;
use crate::api::{AcrCredentialBinding, AcrCredentialBindingSpec, AcrCredentialBindingStatus, names};

/// Name of the CustomResourceDefinition.
const CRD: &str = "acrcredentialbindings.acrcredential.dev";

/// Writes bindings and Events.
#[derive(Clone)]
pub struct BindingWriter {
    client: Client,
    events: Events,
}

impl BindingWriter {
    /// Creates a writer over a connection.
    pub fn new(client: Client) -> Self {
        Self { events: Events::new(client.clone()), client }
    }

    fn bindings(&self) -> Api<AcrCredentialBinding> {
        Api::all(self.client.clone())
    }

    /// Reads a binding.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn read(&self, name: &str) -> Result<Option<AcrCredentialBinding>, CallError> {
        call(self.bindings().get_opt(name)).await
    }

    /// Replaces the status of a binding as it was last observed. If the spec changed since, the write is refused.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn set_status(
        &self,
        object: &AcrCredentialBinding,
        status: AcrCredentialBindingStatus,
    ) -> Result<AcrCredentialBinding, CallError> {
        let mut next = object.clone();
        next.metadata.managed_fields = None;
        next.status = Some(status);
        let params = PostParams { field_manager: Some(names::MANAGER.to_owned()), ..PostParams::default() };
        call(self.bindings().replace_status(&object.name_any(), &params, &next)).await
    }

    /// Adds or removes this controller's finalizer; others' stay.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn set_finalizer(
        &self,
        object: &AcrCredentialBinding,
        present: bool,
    ) -> Result<AcrCredentialBinding, CallError> {
        let mut finalizers: Vec<String> =
            object.finalizers().iter().filter(|f| *f != names::FINALIZER).cloned().collect();
        if present {
            finalizers.push(names::FINALIZER.to_owned());
        }
        let patch =
            json!({ "metadata": { "resourceVersion": object.resource_version(), "finalizers": finalizers } });
        let params = merging();
        call(self.bindings().patch(&object.name_any(), &params, &Patch::Merge(&patch))).await
    }

    /// Returns when the CRD was created; `None` if it does not exist or is being deleted, which deletes every
    /// binding.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn defined_at(&self) -> Result<Option<Timestamp>, CallError> {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let existing = call(crds.get_opt(CRD)).await?;
        let existing = existing.filter(|crd| crd.metadata.deletion_timestamp.is_none());
        Ok(existing.map(|crd| crd.metadata.creation_timestamp.map_or(Timestamp::UNIX_EPOCH, |time| time.0)))
    }

    /// Creates the converted binding.
    ///
    /// # Errors
    /// [`CallError`]; `Conflict` if a user created a binding of that name.
    pub async fn create_converted(
        &self,
        source: &str,
        spec: &AcrCredentialBindingSpec,
    ) -> Result<(), CallError> {
        let object = json!({
            "apiVersion": AcrCredentialBinding::api_version(&()),
            "kind": AcrCredentialBinding::kind(&()),
            "metadata": {
                "name": names::LEGACY_NAME,
                "labels": { names::LABEL_CONVERTED: "true", names::LABEL_MANAGED_BY: names::MANAGER },
                "annotations": { names::ANNOTATION_CONVERTED_FROM: source },
            },
            "spec": spec,
        });
        let params = PatchParams::apply(names::MANAGER);
        call(self.bindings().patch(names::LEGACY_NAME, &params, &Patch::Apply(&object))).await.map(drop)
    }

    /// Replaces the spec of the converted binding, regardless of who changed it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn replace_spec(
        &self,
        object: &AcrCredentialBinding,
        spec: &AcrCredentialBindingSpec,
    ) -> Result<AcrCredentialBinding, CallError> {
        let mut next = object.clone();
        next.metadata.managed_fields = None;
        next.spec = spec.clone();
        let params = PostParams { field_manager: Some(names::MANAGER.to_owned()), ..PostParams::default() };
        call(self.bindings().replace(&object.name_any(), &params, &next)).await
    }

    /// Removes the marks of conversion, so that the binding becomes the user's own.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn graduate(&self, object: &AcrCredentialBinding) -> Result<(), CallError> {
        let patch = json!({ "metadata": {
            "resourceVersion": object.resource_version(),
            "labels": { names::LABEL_CONVERTED: null, names::LABEL_MANAGED_BY: null },
            "annotations": { names::ANNOTATION_CONVERTED_FROM: null, names::ANNOTATION_ADOPT: "true" },
        } });
        let params = merging();
        call(self.bindings().patch(&object.name_any(), &params, &Patch::Merge(&patch))).await.map(drop)
    }

    /// Deletes a binding, unless another replaced it since it was observed.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete(&self, object: &AcrCredentialBinding) -> Result<(), CallError> {
        let preconditions = Preconditions { uid: object.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        call(self.bindings().delete(&object.name_any(), &params)).await.map(drop)
    }

    /// Publishes an Event. A failure is logged only.
    pub async fn event(&self, about: &ObjectReference, warning: bool, reason: EventReason, note: String) {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.as_str().to_owned(),
            note: Some(note),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        self.events.publish(about, event).await;
    }
}
