//! Who wrote an object last, as far as the API server recorded it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client};

use super::error::{CallError, call};
use super::objects::{WatchedSecret, WatchedServiceAccount};
use crate::api::names;

/// An object's last writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWrite {
    /// The field manager of the last write that was not ours and its time, as a phrase. `unknown` where none is recorded,
    /// as on most ServiceAccounts.
    pub by: String,
    /// When the object was created.
    pub created_at: Option<Timestamp>,
}

/// Who wrote an object last but us.
///
/// # Errors
/// [`CallError`].
pub async fn last_writer(
    client: &Client,
    namespace: &str,
    (secret, service_account): (&str, Option<&str>),
) -> Result<LastWrite, CallError> {
    let metadata = match service_account {
        Some(name) => {
            let accounts: Api<WatchedServiceAccount> = Api::namespaced(client.clone(), namespace);
            call(accounts.get(name)).await?.metadata
        }
        None => {
            let secrets: Api<WatchedSecret> = Api::namespaced(client.clone(), namespace);
            call(secrets.get(secret)).await?.metadata
        }
    };
    Ok(LastWrite { by: writer(&metadata), created_at: metadata.creation_timestamp.map(|time| time.0) })
}

/// Who but us wrote an object last, as a phrase.
pub fn writer(metadata: &ObjectMeta) -> String {
    let fields = metadata.managed_fields.iter().flatten();
    let others = fields.filter(|entry| entry.manager.as_deref().is_some_and(|m| m != names::MANAGER));
    match others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0)) {
        Some(entry) => {
            let manager = entry.manager.as_deref().unwrap_or("unknown");
            let at = entry.time.as_ref().map(|time| format!(" at {:.0}", time.0)).unwrap_or_default();
            format!("the field manager {manager}{at}")
        }
        None => "a writer that the API server did not record (unknown)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::json;

    use super::writer;

    #[test]
    fn the_last_writer_but_us_is_named() {
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
