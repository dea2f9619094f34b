//! Objects that are ours alone, each known by its name: how they are made and changed.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::{CallError, call};
use crate::api::names;

/// Whether an object says that this controller made it.
pub fn is_labelled(object: &impl ResourceExt) -> bool {
    object.labels().get(names::LABEL_MANAGED_BY).is_some_and(|by| by == names::MANAGER)
}

/// How a change of an object that stands is sent.
pub fn merging() -> PatchParams {
    PatchParams { field_manager: Some(names::MANAGER.to_owned()), ..PatchParams::default() }
}

/// Makes an object by server-side apply without force, or changes it over the version that was seen.
///
/// # Errors
/// [`CallError`]; `Conflict` where it is another by now, or one stands that somebody else made.
pub async fn put<K>(api: &Api<K>, name: &str, seen: Option<&str>, mut object: Value) -> Result<K, CallError>
where
    K: Clone + DeserializeOwned + Debug,
{
    match seen {
        Some(version) => {
            object["metadata"]["resourceVersion"] = json!(version);
            call(api.patch(name, &merging(), &Patch::Merge(&object))).await
        }
        None => call(api.patch(name, &PatchParams::apply(names::MANAGER), &Patch::Apply(&object))).await,
    }
}
