//! Writes of objects that belong to this controller alone, each known by its name.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::{CallError, call};
use crate::api::names;

/// Returns whether an object carries this controller's label.
pub fn is_labelled(object: &impl ResourceExt) -> bool {
    object.labels().get(names::LABEL_MANAGED_BY).is_some_and(|by| by == names::MANAGER)
}

/// Returns the parameters of a merge patch of an existing object.
pub fn merging() -> PatchParams {
    PatchParams { field_manager: Some(names::MANAGER.to_owned()), ..PatchParams::default() }
}

/// Creates an object by server-side apply without force, or patches the observed version of it.
///
/// # Errors
/// [`CallError`]; `Conflict` if the object changed since, or if another writer created one of that name.
pub async fn put<K>(
    api: &Api<K>,
    name: &str,
    version: Option<&str>,
    mut object: Value,
) -> Result<K, CallError>
where
    K: Clone + DeserializeOwned + Debug,
{
    match version {
        Some(version) => {
            object["metadata"]["resourceVersion"] = json!(version);
            call(api.patch(name, &merging(), &Patch::Merge(&object))).await
        }
        None => call(api.patch(name, &PatchParams::apply(names::MANAGER), &Patch::Apply(&object))).await,
    }
}
