//! `kubectl acr refresh`, `suspend` and `resume`: the annotation and the field of a binding that request these.

use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::status::is_from_config_map;
use crate::api::binding::AcrCredentialBinding;
use crate::api::names::{self, ANNOTATION_AUTHORITATIVE, LEGACY_NAME, LEGACY_NAMESPACE};

/// Reason why a binding was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The binding does not exist.
    #[error("the binding {0} does not exist: name one that kubectl acr status lists")]
    NotFound(String),
    /// The ConfigMap is authoritative for it.
    #[error(
        "the binding {0} is made from the ConfigMap {LEGACY_NAMESPACE}/{LEGACY_NAME}, which would undo the change: first make \
         it your own by kubectl annotate configmap {LEGACY_NAME} -n {LEGACY_NAMESPACE} {ANNOTATION_AUTHORITATIVE}=false"
    )]
    FromConfigMap(String),
    /// It changed since it was read.
    #[error("the binding {0} was changed meanwhile: run it again")]
    Conflict(String),
    /// The API server refuses, or cannot be reached.
    #[error("the binding {0} cannot be changed")]
    Refused(String, #[source] Box<kube::Error>),
}

impl ChangeError {
    fn new(name: &str, error: kube::Error) -> Self {
        let name = name.to_owned();
        match &error {
            kube::Error::Api(status) if status.code == 404 => Self::NotFound(name),
            kube::Error::Api(status) if status.code == 409 => Self::Conflict(name),
            _ => Self::Refused(name, Box::new(error)),
        }
    }
}

/// Requests new credentials of a binding. Returns the request, which the status repeats once it was handled.
///
/// # Errors
/// [`ChangeError`]
pub async fn refresh(client: &Client, name: &str, now: Timestamp) -> Result<String, ChangeError> {
    let api: Api<AcrCredentialBinding> = Api::all(client.clone());
    let request = now.to_string();
    let patch = json!({ "metadata": { "annotations": { names::ANNOTATION_REFRESH_AT: request } } });
    let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    patched.map(|_| request).map_err(|error| ChangeError::new(name, error))
}

/// Suspends or resumes a binding. Returns whether that changed it.
///
/// # Errors
/// [`ChangeError`]
pub async fn suspend(client: &Client, name: &str, suspend: bool) -> Result<bool, ChangeError> {
    let api: Api<AcrCredentialBinding> = Api::all(client.clone());
    let binding = api.get(name).await.map_err(|error| ChangeError::new(name, error))?;
    if is_from_config_map(&binding) {
        return Err(ChangeError::FromConfigMap(name.to_owned()));
    }
    if binding.spec.suspend == suspend {
        return Ok(false);
    }
    // The version makes sure that the ConfigMap has not become authoritative meanwhile.
    let version = binding.metadata.resource_version;
    let patch = json!({ "metadata": { "resourceVersion": version }, "spec": { "suspend": suspend } });
    let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    patched.map(|_| true).map_err(|error| ChangeError::new(name, error))
}
