//! The cluster's bindings, namespaces, ServiceAccounts and pull Secrets, read with the user's own rights.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, ObjectList, PartialObjectMeta};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::api::binding::AcrCredentialBinding;
use crate::cluster::Index;
use crate::cluster::label_keys::SelectedKeys;
use crate::cluster::objects::{WatchedNamespace, WatchedSecret, WatchedServiceAccount};
use crate::plan::Template;

/// Objects of one list call.
const PAGE: u32 = 500;

/// A failed read.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read")]
pub struct ReadError {
    /// The objects that were requested.
    pub what: &'static str,
    /// The API server's refusal, or the failure to reach it.
    pub source: Box<kube::Error>,
}

/// Lists all bindings; none if the CustomResourceDefinition does not exist.
///
/// # Errors
/// [`ReadError`]
pub(super) async fn bindings(client: &Client) -> Result<Vec<AcrCredentialBinding>, ReadError> {
    let mut found = Vec::new();
    let api: Api<AcrCredentialBinding> = Api::all(client.clone());
    match list(&api, None, "the bindings", |object| found.push(object)).await {
        Err(ReadError { source, .. }) if matches!(&*source, kube::Error::Api(s) if s.code == 404) => {}
        listed => listed?,
    }
    Ok(found)
}

/// Reads the cluster into an index, as the controller's watches do.
///
/// # Errors
/// [`ReadError`]
pub(super) async fn index(client: &Client, template: &Template) -> Result<Index, ReadError> {
    let (index, every) = (Index::default(), SelectedKeys::every());
    let named = format!("metadata.name={}", template.name);
    let namespaces: Api<WatchedNamespace> = Api::all(client.clone());
    list(&namespaces, None, "the namespaces", |object| {
        index.put_namespace(&object.name_any(), object.facts(&every));
    })
    .await?;
    let accounts: Api<WatchedServiceAccount> = Api::all(client.clone());
    list(&accounts, None, "the ServiceAccounts", |object| {
        index.put_service_account(&object.namespace().unwrap_or_default(), object.view(&every));
    })
    .await?;
    let secrets: Api<WatchedSecret> = Api::all(client.clone());
    list(&secrets, Some(&named), "the pull Secrets", |object| {
        index.put_secret(&object.namespace().unwrap_or_default(), object.view(template));
    })
    .await?;
    Ok(index)
}

/// Lists the metadata of the pull Secrets by namespace, without their data.
///
/// # Errors
/// [`ReadError`]
pub(super) async fn pull_secret_metadata(
    client: &Client,
    template: &Template,
) -> Result<BTreeMap<String, PartialObjectMeta<Secret>>, ReadError> {
    let secrets: Api<Secret> = Api::all(client.clone());
    let named = format!("metadata.name={}", template.name);
    let mut params = ListParams::default().limit(PAGE).fields(&named);
    let mut found = BTreeMap::new();
    loop {
        let page = secrets.list_metadata(&params).await.map_err(unreadable("the pull Secrets"))?;
        let items = page.items.into_iter();
        found.extend(items.map(|secret| (secret.namespace().unwrap_or_default(), secret)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

/// Lists objects page by page.
///
/// # Errors
/// [`ReadError`]
pub(super) async fn list<K>(
    api: &Api<K>,
    fields: Option<&str>,
    what: &'static str,
    mut put: impl FnMut(K),
) -> Result<(), ReadError>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = ListParams::default().limit(PAGE);
    if let Some(fields) = fields {
        params = params.fields(fields);
    }
    loop {
        let page: ObjectList<K> = api.list(&params).await.map_err(unreadable(what))?;
        page.items.into_iter().for_each(&mut put);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// Returns a conversion of the API server's errors that names the requested objects.
pub(super) fn unreadable(what: &'static str) -> impl Fn(kube::Error) -> ReadError {
    move |source| ReadError { what, source: Box::new(source) }
}
