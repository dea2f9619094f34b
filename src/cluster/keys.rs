//! The Secrets in the controller's own namespace that hold the AccessKey pairs of the ConfigMap.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt};
use secrecy::ExposeSecret;
use serde_json::json;

use super::error::{CallError, call};
use super::owned::is_labelled;
use crate::api::names;
use crate::model::legacy::{KeyPair, MAX_KEY_PAIRS, key_secret_name};

/// Writes these Secrets. RBAC and the admission policy name each one.
pub struct KeySecrets {
    secrets: Api<Secret>,
    namespace: Box<str>,
}

impl KeySecrets {
    /// Creates a writer for a namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { secrets: Api::namespaced(client, namespace), namespace: namespace.into() }
    }

    /// Creates or updates the Secret of each pair. A Secret that is up to date is not written.
    ///
    /// # Errors
    /// [`CallError`] of the first that cannot be written.
    pub async fn put(&self, pairs: &[KeyPair]) -> Result<(), CallError> {
        for pair in pairs {
            let existing = call(self.secrets.get_opt(&pair.secret_name)).await?;
            if existing.is_some_and(|secret| holds(&secret, pair)) {
                continue;
            }
            let object = json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": pair.secret_name,
                    "namespace": self.namespace,
                    "labels": { names::LABEL_MANAGED_BY: names::MANAGER },
                },
                "type": "Opaque",
                "stringData": {
                    "accessKeyId": pair.access_key_id.expose_secret(),
                    "accessKeySecret": pair.access_key_secret.expose_secret(),
                },
            });
            let params = PatchParams::apply(names::MANAGER).force();
            call(self.secrets.patch(&pair.secret_name, &params, &Patch::Apply(&object))).await?;
        }
        Ok(())
    }

    /// Deletes those that are not wanted: a key pair must not outlive the ConfigMap that it was copied from.
    ///
    /// # Errors
    /// [`CallError`] of the first that cannot be deleted.
    pub async fn delete_all_but(&self, wanted: &BTreeSet<String>) -> Result<(), CallError> {
        let unwanted = (0..MAX_KEY_PAIRS).map(key_secret_name).filter(|name| !wanted.contains(name));
        let unwanted = self.made(unwanted).await?;
        self.delete(&unwanted).await
    }

    /// Returns all Secrets that the controller created in its own namespace: the key pairs and the token cache's shards.
    ///
    /// # Errors
    /// [`CallError`] of the first that cannot be read.
    pub async fn all(&self) -> Result<Vec<Secret>, CallError> {
        let cache = names::CACHE_SECRET_NAMES.map(str::to_owned);
        self.made((0..MAX_KEY_PAIRS).map(key_secret_name).chain(cache)).await
    }

    /// Returns the Secrets of these names that the controller created.
    async fn made(&self, named: impl Iterator<Item = String>) -> Result<Vec<Secret>, CallError> {
        let mut made = Vec::new();
        for name in named {
            let existing = call(self.secrets.get_opt(&name)).await?;
            made.extend(existing.filter(is_labelled));
        }
        Ok(made)
    }

    /// Deletes these Secrets, unless others of their names replaced them.
    ///
    /// # Errors
    /// [`CallError`] of the first that cannot be deleted.
    pub async fn delete(&self, secrets: &[Secret]) -> Result<(), CallError> {
        for secret in secrets {
            let preconditions = Preconditions { uid: secret.uid(), resource_version: None };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            match call(self.secrets.delete(&secret.name_any(), &params)).await {
                Ok(_) | Err(CallError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn holds(secret: &Secret, pair: &KeyPair) -> bool {
    let value = |key: &str| secret.data.as_ref()?.get(key).map(|bytes| bytes.0.as_slice());
    value("accessKeyId") == Some(pair.access_key_id.expose_secret().as_bytes())
        && value("accessKeySecret") == Some(pair.access_key_secret.expose_secret().as_bytes())
        && is_labelled(secret)
}
