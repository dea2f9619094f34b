//! The webhook's own certificate, from a watched Secret.

use std::sync::Arc;
use std::time::Instant;

use kube::Client;
use tracing::{error, info};

use super::replica::WebhookReplica;
use crate::api::names;
use crate::cluster::certificates::read;
use crate::cluster::certified_key::parse_certified_key;
use crate::cluster::named_secret::{NamedSecret, SecretState};

/// Starts the watch on our own Secret.
pub fn watch_own_secret(webhook: &WebhookReplica, client: Client, namespace: &str) -> NamedSecret {
    let webhook = webhook.clone();
    NamedSecret::watch(client, namespace, names::WEBHOOK_NAME, move |secret| observe(&webhook, secret))
}

/// Records our own Secret, and presents its certificate.
fn observe(webhook: &WebhookReplica, secret: &SecretState) {
    let now = Instant::now();
    let data = match secret {
        SecretState::Present(data) => data,
        SecretState::Absent => {
            webhook.certificate.send_modify(|certificate| {
                certificate.note_readable(now);
                (certificate.absent, certificate.fault) = (true, None);
            });
            return;
        }
        SecretState::Refused(error) => {
            let why = format!("Secret {}: {error}", names::WEBHOOK_NAME);
            webhook.certificate.send_modify(|certificate| certificate.fault = Some(why.into()));
            return;
        }
    };
    let stored = read(data).inspect(|stored| {
        if let Some((chain, key)) = stored.served()
            && let Ok(key) = parse_certified_key(chain.as_bytes(), key)
        {
            webhook.presented.replace(key);
        }
    });
    webhook.certificate.send_modify(|certificate| {
        certificate.note_readable(now);
        certificate.absent = false;
        match stored {
            Ok(stored) => {
                info!(secret = names::WEBHOOK_NAME, "webhook certificate loaded");
                certificate.bundle = Some(stored.bundle().into());
                certificate.stored = Some(Arc::new(stored));
                certificate.fault = None;
            }
            Err(why) => {
                error!(error = %why, "webhook certificate invalid; the last valid one stays in use");
                certificate.fault = Some(why.to_string().into());
            }
        }
    });
}
