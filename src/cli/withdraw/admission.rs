//! The configuration of admission. While it exists, the API server restores removed entries, or calls a webhook that is
//! no longer served.

use kube::Client;

use super::error::{WithdrawError, of};
use crate::api::names;
use crate::cluster::owned::is_labelled;
use crate::cluster::parameters::ParametersWriter;
use crate::cluster::webhook::WebhookWriter;

/// Removes our configuration of admission, or previews the removal. Returns the removed objects.
pub(super) async fn stop(client: &Client, namespace: &str, act: bool) -> Result<Vec<String>, WithdrawError> {
    let mut removed_objects = Vec::new();
    let configuration = WebhookWriter::new(client.clone());
    let existing = configuration.read().await.map_err(of("the webhook's configuration cannot be read"))?;
    if let Some(existing) = existing.filter(is_labelled) {
        if act {
            let removed = configuration.remove(&existing).await;
            removed.map_err(of("the webhook's configuration cannot be deleted"))?;
        }
        removed_objects.push(format!("MutatingWebhookConfiguration {}", names::WEBHOOK_NAME));
    }
    let parameters = ParametersWriter::new(client.clone(), namespace);
    if parameters.exists().await.map_err(of("the ConfigMap of the admission policy cannot be read"))? {
        if act {
            let removed = parameters.remove().await;
            removed.map_err(of("the ConfigMap of the admission policy cannot be deleted"))?;
        }
        removed_objects.push(format!("ConfigMap {namespace}/{}", names::ADMISSION_NAME));
    }
    Ok(removed_objects)
}
