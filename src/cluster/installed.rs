//! The objects that an uninstallation removes or changes, with narrow rights: three ClusterRoleBindings by name, the
//! webhook's configuration, and the bindings. Bindings are read as metadata, so that no old spec stops it.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PartialObjectMeta, Patch, Preconditions};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::error::{CallError, call_within};
use super::owned::merging;
use crate::api::{AcrCredentialBinding, names};

/// Objects of one list call.
const PAGE: u32 = 500;

/// The metadata of a binding.
pub type BindingMetadata = PartialObjectMeta<AcrCredentialBinding>;

/// The metadata of the webhook's configuration.
pub type WebhookMetadata = PartialObjectMeta<MutatingWebhookConfiguration>;

/// Reads and removes what is installed.
#[derive(Clone)]
pub struct Installed {
    client: Client,
    limit: Duration,
}

impl Installed {
    /// Creates it over a connection. Each request takes at most a time.
    pub fn new(client: Client, limit: Duration) -> Self {
        Self { client, limit }
    }

    fn all<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = ()>,
    {
        Api::all(self.client.clone())
    }

    /// Reads a ClusterRoleBinding.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn role_binding(&self, name: &str) -> Result<Option<ClusterRoleBinding>, CallError> {
        call_within(self.limit, self.all().get_opt(name)).await
    }

    /// Deletes the ClusterRoleBinding that was read.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete_role_binding(&self, existing: &ClusterRoleBinding) -> Result<(), CallError> {
        self.delete(&self.all::<ClusterRoleBinding>(), existing).await
    }

    /// Reads the webhook's configuration.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn webhook(&self) -> Result<Option<WebhookMetadata>, CallError> {
        let configurations: Api<MutatingWebhookConfiguration> = self.all();
        call_within(self.limit, configurations.get_metadata_opt(names::WEBHOOK_NAME)).await
    }

    /// Deletes the webhook's configuration that was read.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete_webhook(&self, existing: &WebhookMetadata) -> Result<(), CallError> {
        self.delete(&self.all::<MutatingWebhookConfiguration>(), existing).await
    }

    /// Lists the bindings; `None` if the API is not installed.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn bindings(&self) -> Result<Option<Vec<BindingMetadata>>, CallError> {
        let bindings: Api<AcrCredentialBinding> = self.all();
        let (mut found, mut page) = (Vec::new(), ListParams::default().limit(PAGE));
        loop {
            let listed = match call_within(self.limit, bindings.list_metadata(&page)).await {
                Ok(listed) => listed,
                Err(CallError::NotFound) => return Ok(None),
                Err(error) => return Err(error),
            };
            found.extend(listed.items);
            match listed.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(Some(found)),
            }
        }
    }

    /// Removes this controller's finalizer from a binding as it was read; others' stay.
    ///
    /// # Errors
    /// [`CallError`]; `Conflict` if it changed since.
    pub async fn release(&self, binding: &BindingMetadata) -> Result<(), CallError> {
        let others: Vec<&String> = binding.finalizers().iter().filter(|f| *f != names::FINALIZER).collect();
        let patch =
            json!({ "metadata": { "resourceVersion": binding.resource_version(), "finalizers": others } });
        let bindings: Api<AcrCredentialBinding> = self.all();
        let (name, patch) = (binding.name_any(), Patch::Merge(&patch));
        match call_within(self.limit, bindings.patch_metadata(&name, &merging(), &patch)).await {
            Ok(_) | Err(CallError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes the binding that was read.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn delete_binding(&self, binding: &BindingMetadata) -> Result<(), CallError> {
        self.delete(&self.all::<AcrCredentialBinding>(), binding).await
    }

    /// Lists the bindings with their spec and status, as they are stored.
    ///
    /// # Errors
    /// [`CallError`]; `NotFound` if the API is not installed.
    pub async fn stored_bindings(&self) -> Result<Vec<DynamicObject>, CallError> {
        let resource = kube::api::ApiResource::erase::<AcrCredentialBinding>(&());
        let bindings: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let (mut found, mut page) = (Vec::new(), ListParams::default().limit(PAGE));
        loop {
            let listed = call_within(self.limit, bindings.list(&page)).await?;
            found.extend(listed.items);
            match listed.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(found),
            }
        }
    }

    /// Reads the Lease of the controller in a namespace.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn lease(&self, namespace: &str) -> Result<Option<Lease>, CallError> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        call_within(self.limit, leases.get_opt(names::LEASE_NAME)).await
    }

    /// Deletes the object that was read, and no other one of its name.
    async fn delete<K>(&self, api: &Api<K>, existing: &impl ResourceExt) -> Result<(), CallError>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let preconditions = Preconditions { uid: existing.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match call_within(self.limit, api.delete(&existing.name_any(), &params)).await {
            Ok(_) | Err(CallError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
