//! The last writer of an object, as the API server recorded it.

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client};

use super::error::{CallError, call};
use crate::api::names;

/// The last write of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWrite {
    /// Field manager and time of the last write by another writer, as a phrase. It says `unknown` if none is
    /// recorded, as on most ServiceAccounts.
    pub by: String,
    /// When the object was created.
    pub created_at: Option<Timestamp>,
}

/// Returns the last write by another writer, to the ServiceAccount if one is named, or to the Secret.
///
/// # Errors
/// [`CallError`].
pub async fn last_writer(
    client: &Client,
    namespace: &str,
    secret: &str,
    service_account: Option<&str>,
) -> Result<LastWrite, CallError> {
    let metadata = match service_account {
        Some(name) => {
            let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
            call(accounts.get_metadata(name)).await?.metadata
        }
        None => {
            let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
            call(secrets.get_metadata(secret)).await?.metadata
        }
    };
    Ok(LastWrite { by: writer(&metadata), created_at: metadata.creation_timestamp.map(|time| time.0) })
}

/// Returns the last writer other than this controller, as a phrase.
pub fn writer(metadata: &ObjectMeta) -> String {
    let fields = metadata.managed_fields.iter().flatten();
    let others = fields.filter(|entry| entry.manager.as_deref().is_some_and(|m| m != names::MANAGER));
    match others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0)) {
        Some(entry) => {
            let manager = entry.manager.as_deref().unwrap_or("unknown");
            let at = entry.time.as_ref().map(|time| format!(" at {:.0}", time.0)).unwrap_or_default();
            format!("the field manager {manager}{at}")
        }
        None => "an unknown writer, which the API server did not record".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::json;

    use super::writer;

    #[test]
    fn the_last_writer_other_than_this_controller_is_named() {
        let metadata = |fields: serde_json::Value| -> ObjectMeta {
            serde_json::from_value(json!({ "managedFields": fields })).unwrap()
        };
        let helper = json!({"manager": "helper", "operation": "Update", "time": "2026-11-20T10:00:00Z"});
        let older = json!({"manager": "kubectl", "operation": "Update", "time": "2026-11-20T09:00:00Z"});
        let ours = json!({"manager": "acr-credential-controller", "operation": "Update", "time": "2026-11-20T11:00:00Z"});
        assert_eq!(
            writer(&metadata(json!([older, helper, ours]))),
            "the field manager helper at 2026-11-20T10:00:00Z"
        );
        assert!(writer(&metadata(json!([ours]))).contains("unknown"));
        assert!(writer(&ObjectMeta::default()).contains("unknown"));
    }
}
