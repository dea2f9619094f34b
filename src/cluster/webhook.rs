//! The `MutatingWebhookConfiguration` by which the API server calls this controller, and the right to write it.

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;

use super::error::{CallError, call};
use super::listed_names::ListedNames;
use super::owned;
use super::watch::Sink;
use crate::api::names;

/// Observed configuration: `None` before the first observation, `Some(None)` if it does not exist.
pub type ObservedWebhook = Option<Option<MutatingWebhookConfiguration>>;

/// Reads and writes the configuration.
#[derive(Clone)]
pub struct WebhookWriter {
    client: Client,
}

impl WebhookWriter {
    /// Creates a writer over a connection.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    fn api(&self) -> Api<MutatingWebhookConfiguration> {
        Api::all(self.client.clone())
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn read(&self) -> Result<Option<MutatingWebhookConfiguration>, CallError> {
        call(self.api().get_opt(names::WEBHOOK_NAME)).await
    }

    /// Writes these webhooks to the configuration as it was read.
    ///
    /// # Errors
    /// [`CallError`]; `Conflict` if it changed since.
    pub async fn write(
        &self,
        existing: Option<&MutatingWebhookConfiguration>,
        webhooks: &[MutatingWebhook],
    ) -> Result<(), CallError> {
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {
                "name": names::WEBHOOK_NAME,
                "labels": { names::LABEL_MANAGED_BY: names::MANAGER },
            },
            "webhooks": webhooks,
        });
        let version = existing.and_then(ResourceExt::resource_version);
        owned::put(&self.api(), names::WEBHOOK_NAME, version.as_deref(), object).await.map(drop)
    }

    /// Deletes the configuration that was read.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn remove(&self, existing: &MutatingWebhookConfiguration) -> Result<(), CallError> {
        let preconditions = Preconditions { uid: existing.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match call(self.api().delete(names::WEBHOOK_NAME, &params)).await {
            Ok(_) | Err(CallError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns whether deploy/webhook.yaml, which grants all rights of the webhook at once, is applied.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn is_granted(&self) -> Result<bool, CallError> {
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let attributes = ResourceAttributes {
            group: Some("admissionregistration.k8s.io".to_owned()),
            resource: Some("mutatingwebhookconfigurations".to_owned()),
            name: Some(names::WEBHOOK_NAME.to_owned()),
            verb: Some("create".to_owned()),
            ..ResourceAttributes::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                non_resource_attributes: None,
            },
            ..SelfSubjectAccessReview::default()
        };
        let answer = call(reviews.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// Watches the configuration until it is dropped.
    pub async fn watch(self, observed: watch::Sender<ObservedWebhook>) {
        let config = super::watch::config().fields(&format!("metadata.name={}", names::WEBHOOK_NAME));
        super::watch::watch(self.api(), config, WebhookSink(observed)).await;
    }
}

struct WebhookSink(watch::Sender<ObservedWebhook>);

impl Sink<MutatingWebhookConfiguration> for WebhookSink {
    fn put(&mut self, object: MutatingWebhookConfiguration) {
        self.0.send_replace(Some(Some(object)));
    }

    fn remove(&mut self, _: MutatingWebhookConfiguration) {
        self.0.send_replace(Some(None));
    }

    fn listed(&mut self, names: &ListedNames) {
        if names.is_empty() {
            self.0.send_replace(Some(None));
        }
    }
}
