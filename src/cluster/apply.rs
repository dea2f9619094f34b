//! Executes changes, without deciding any.

use std::sync::Arc;

use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, Resource};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::error::{CallError, call};
use super::index::Index;
use super::last_writer::{LastWrite, last_writer};
use super::objects::{WatchedSecret, WatchedServiceAccount};
use super::owned::merging;
use crate::api::names;
use crate::plan::Change;
use crate::plan::change::ObjectKey;
use crate::plan::secret::{SecretContent, Template};

/// Outcome of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is written, and the index has the result.
    Done,
    /// The object had changed; the index has its present state.
    Stale,
    /// It failed.
    Failed(CallError),
}

/// Writes changes with preconditions, and puts the API server's answers into the index.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    index: Arc<Index>,
    template: Arc<Template>,
}

impl Applier {
    /// Creates an applier over a connection.
    pub fn new(client: Client, index: Arc<Index>, template: Arc<Template>) -> Self {
        Self { client, index, template }
    }

    /// Executes one change in a namespace.
    ///
    /// # Guarantees
    /// Every write carries a precondition, so another writer's later change is never overwritten. A Secret is created
    /// by server-side apply without force, which fails if another writer created one of that name.
    pub async fn apply(&self, namespace: &str, change: &Change) -> Outcome {
        let result = match change {
            Change::CreateSecret { content } => self.create_secret(namespace, content).await,
            Change::UpdateSecret { content, resource_version, extra_keys, .. } => {
                let annotations = self.annotations(namespace, content);
                let patch = self.update(content, annotations, resource_version, extra_keys);
                self.patch_secret(namespace, &patch).await
            }
            Change::ReplaceSecret { content, uid, resource_version } => {
                self.replace_secret(namespace, content, (uid, resource_version)).await
            }
            Change::RetainSecret { resource_version, extra_keys } => {
                self.patch_secret(namespace, &self.retain(namespace, resource_version, extra_keys)).await
            }
            Change::DeleteSecret { uid, resource_version } => {
                self.delete_secret(namespace, uid, resource_version).await
            }
            Change::SetPullSecrets { service_account, resource_version, pull_secrets } => {
                let list: Vec<Value> = pull_secrets.iter().map(|name| json!({ "name": name })).collect();
                let patch =
                    json!({ "metadata": { "resourceVersion": resource_version }, "imagePullSecrets": list });
                self.patch_service_account(namespace, service_account, &patch).await
            }
        };
        match result {
            Ok(()) => Outcome::Done,
            Err(CallError::Conflict) => self.read_again(namespace, change).await,
            Err(CallError::NotFound) if !matches!(change, Change::CreateSecret { .. }) => {
                self.read_again(namespace, change).await
            }
            Err(error) => Outcome::Failed(error),
        }
    }

    /// Returns the last writer of a change's object, other than this controller.
    pub async fn last_writer(&self, namespace: &str, service_account: Option<&str>) -> LastWrite {
        let written = last_writer(&self.client, namespace, &self.template.name, service_account).await;
        written.unwrap_or_else(|error| LastWrite {
            by: format!("another writer (unknown: {error})"),
            created_at: None,
        })
    }

    fn secrets(&self, namespace: &str) -> Api<WatchedSecret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn service_accounts(&self, namespace: &str) -> Api<WatchedServiceAccount> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn annotations(&self, namespace: &str, content: &SecretContent) -> Map<String, Value> {
        let flags = self.template.annotations.iter().map(|(key, value)| (key.clone(), json!(value)));
        let ours = [
            (names::ANNOTATION_REGISTRIES.to_owned(), json!(content.registries)),
            (names::ANNOTATION_NAMESPACE.to_owned(), json!(namespace)),
        ];
        flags.chain(ours).collect()
    }

    async fn create_secret(&self, namespace: &str, content: &SecretContent) -> Result<(), CallError> {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self.template.name,
                "namespace": namespace,
                "labels": self.template.all_labels(),
                "annotations": self.annotations(namespace, content),
            },
            "type": names::SECRET_TYPE,
            "data": { names::SECRET_KEY: content.data.expose_secret() },
        });
        let params = PatchParams::apply(names::MANAGER);
        let secrets = self.secrets(namespace);
        let made = call(secrets.patch(&self.template.name, &params, &Patch::Apply(&object))).await?;
        self.index.put_secret(namespace, made.view(&self.template));
        Ok(())
    }

    /// Deletes an immutable Secret, and creates it again at once. A crash in between leaves a Secret that is missing, which
    /// the next plan creates.
    async fn replace_secret(
        &self,
        namespace: &str,
        content: &SecretContent,
        (uid, resource_version): (&str, &str),
    ) -> Result<(), CallError> {
        self.delete_secret(namespace, uid, resource_version).await?;
        self.create_secret(namespace, content).await
    }

    /// Returns the merge patch that updates a Secret to its content.
    fn update(
        &self,
        content: &SecretContent,
        mut annotations: Map<String, Value>,
        resource_version: &str,
        extra_keys: &[Box<str>],
    ) -> Value {
        annotations.insert(names::ANNOTATION_RETAINED.to_owned(), Value::Null);
        let mut patch = self.cleanup(annotations, resource_version, extra_keys);
        patch["data"][names::SECRET_KEY] = json!(content.data.expose_secret());
        patch
    }

    /// Returns the merge patch that leaves a Secret behind.
    fn retain(&self, namespace: &str, resource_version: &str, extra_keys: &[Box<str>]) -> Value {
        let marks = [
            (names::ANNOTATION_RETAINED.to_owned(), json!("true")),
            (names::ANNOTATION_NAMESPACE.to_owned(), json!(namespace)),
        ];
        self.cleanup(marks.into_iter().collect(), resource_version, extra_keys)
    }

    /// Returns a merge patch that removes all that could delete or block the Secret. Each write must remove it: the
    /// admission policy denies a Secret that still has it.
    fn cleanup(
        &self,
        annotations: Map<String, Value>,
        resource_version: &str,
        extra_keys: &[Box<str>],
    ) -> Value {
        let extra: Map<String, Value> = extra_keys.iter().map(|key| (key.to_string(), Value::Null)).collect();
        json!({
            "metadata": {
                "resourceVersion": resource_version,
                "labels": self.template.all_labels(),
                "annotations": annotations,
                "ownerReferences": null,
                "finalizers": null,
            },
            "data": extra,
        })
    }

    async fn patch_secret(&self, namespace: &str, patch: &Value) -> Result<(), CallError> {
        let secrets = self.secrets(namespace);
        let now = call(secrets.patch(&self.template.name, &merging(), &Patch::Merge(patch))).await?;
        self.index.put_secret(namespace, now.view(&self.template));
        Ok(())
    }

    async fn delete_secret(
        &self,
        namespace: &str,
        uid: &str,
        resource_version: &str,
    ) -> Result<(), CallError> {
        let preconditions =
            Preconditions { uid: Some(uid.to_owned()), resource_version: Some(resource_version.to_owned()) };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        call(self.secrets(namespace).delete(&self.template.name, &params)).await?;
        self.index.remove_secret(namespace, resource_version);
        Ok(())
    }

    async fn patch_service_account(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<(), CallError> {
        let accounts = self.service_accounts(namespace);
        let now = call(accounts.patch(name, &merging(), &Patch::Merge(patch))).await?;
        self.index.put_service_account(namespace, now.view(&self.index.account_keys.wanted()));
        Ok(())
    }

    /// Reads the object of a change once, so that the next plan knows its present state.
    pub async fn read_again(&self, namespace: &str, change: &Change) -> Outcome {
        let last_version = match change {
            Change::CreateSecret { .. } => "",
            Change::SetPullSecrets { resource_version, .. }
            | Change::UpdateSecret { resource_version, .. }
            | Change::ReplaceSecret { resource_version, .. }
            | Change::RetainSecret { resource_version, .. }
            | Change::DeleteSecret { resource_version, .. } => resource_version,
        };
        match self.read(namespace, &change.object(), last_version).await {
            Ok(()) => Outcome::Stale,
            Err(error) => Outcome::Failed(error),
        }
    }

    /// Reads an object once into the index. `last_version` is the one that a write named, or empty.
    ///
    /// # Errors
    /// The call failed. That there is no such object is none.
    pub async fn read(
        &self,
        namespace: &str,
        object: &ObjectKey,
        last_version: &str,
    ) -> Result<(), CallError> {
        match object {
            ObjectKey::Secret => self.read_secret(namespace, last_version).await,
            ObjectKey::ServiceAccount(name) => self.read_account(namespace, name, last_version).await,
        }
    }

    async fn read_account(&self, namespace: &str, name: &str, last_version: &str) -> Result<(), CallError> {
        match call(self.service_accounts(namespace).get_opt(name)).await? {
            Some(account) if account.meta().deletion_timestamp.is_none() => {
                let found = account.meta().resource_version.as_deref().unwrap_or_default();
                let object = ObjectKey::ServiceAccount(name.into());
                self.index.correct_version(namespace, &object, (last_version, found));
                let keys = self.index.account_keys.wanted();
                self.index.put_service_account(namespace, account.view(&keys));
            }
            _ => {
                self.index.remove_service_account(namespace, name, last_version);
            }
        }
        Ok(())
    }

    async fn read_secret(&self, namespace: &str, last_version: &str) -> Result<(), CallError> {
        match call(self.secrets(namespace).get_opt(&self.template.name)).await? {
            Some(secret) => {
                let found = secret.meta().resource_version.as_deref().unwrap_or_default();
                self.index.correct_version(namespace, &ObjectKey::Secret, (last_version, found));
                self.index.put_secret(namespace, secret.view(&self.template))
            }
            None => self.index.remove_secret(namespace, last_version),
        };
        Ok(())
    }
}
