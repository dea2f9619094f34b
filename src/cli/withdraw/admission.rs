//! What serves ServiceAccounts at their creation. While it stands, the API server puts back what is taken away, or asks a
//! webhook that nobody serves any more.

use kube::Client;

use super::{Error, of};
use crate::api::names;
use crate::cluster::owned::is_labelled;
use crate::cluster::parameters::ParametersWriter;
use crate::cluster::webhook::WebhookWriter;

/// Takes it away, or says what that would be. What others made stays, whatever its name.
pub(super) async fn stop(client: &Client, namespace: &str, act: bool) -> Result<Vec<String>, Error> {
    let mut gone = Vec::new();
    let configuration = WebhookWriter::new(client.clone());
    let standing = configuration.read().await.map_err(of("the webhook's configuration cannot be read"))?;
    if let Some(standing) = standing.filter(is_labelled) {
        if act {
            let removed = configuration.remove(&standing).await;
            removed.map_err(of("the webhook's configuration cannot be deleted"))?;
        }
        gone.push(format!("MutatingWebhookConfiguration {}", names::WEBHOOK_NAME));
    }
    let parameters = ParametersWriter::new(client.clone(), namespace);
    if parameters.exists().await.map_err(of("the ConfigMap that admission goes by cannot be read"))? {
        if act {
            let removed = parameters.remove().await;
            removed.map_err(of("the ConfigMap that admission goes by cannot be deleted"))?;
        }
        gone.push(format!("ConfigMap {namespace}/{}", names::ADMISSION_NAME));
    }
    Ok(gone)
}
