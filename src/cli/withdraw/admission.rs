//! What serves ServiceAccounts at their creation. While it stands, the API server puts back what is taken away, or asks a
//! webhook that nobody serves any more.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::DeleteParams;
use kube::{Api, Client};

use super::{Error, of};
use crate::api::names;
use crate::cluster::error::{CallError, call};
use crate::cluster::own::is_labelled;
use crate::cluster::webhook::Configuration;

/// Takes it away, or says what that would be. What others made stays, whatever its name.
pub(super) async fn stop(client: &Client, namespace: &str, act: bool) -> Result<Vec<String>, Error> {
    let mut gone = Vec::new();
    let configuration = Configuration::new(client.clone());
    let standing = configuration.read().await.map_err(of("the webhook's configuration cannot be read"))?;
    if let Some(standing) = standing.filter(is_labelled) {
        if act {
            let removed = configuration.remove(&standing).await;
            removed.map_err(of("the webhook's configuration cannot be deleted"))?;
        }
        gone.push(format!("MutatingWebhookConfiguration {}", names::WEBHOOK_NAME));
    }
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let standing = call(maps.get_opt(names::ADMISSION_NAME)).await;
    let standing = standing.map_err(of("the ConfigMap that admission goes by cannot be read"))?;
    if standing.filter(is_labelled).is_some() {
        if act {
            match call(maps.delete(names::ADMISSION_NAME, &DeleteParams::default())).await {
                Ok(_) | Err(CallError::NotFound) => {}
                Err(why) => return Err(of("the ConfigMap that admission goes by cannot be deleted")(why)),
            }
        }
        gone.push(format!("ConfigMap {namespace}/{}", names::ADMISSION_NAME));
    }
    Ok(gone)
}
