//! The webhook's own certificate, from a watched Secret.

use std::sync::Arc;

use kube::Client;
use tracing::{error, info};

use super::Webhook;
use crate::api::names;
use crate::cluster::certificates::read;
use crate::cluster::certified_key::parse_certified_key;
use crate::cluster::named_secret::{NamedSecret, SecretState};

impl Webhook {
    /// Begins to watch our own Secret.
    pub(super) fn watch_own(&self, client: Client, namespace: &str) -> NamedSecret {
        let webhook = self.clone();
        NamedSecret::watch(client, namespace, names::WEBHOOK_NAME, move |seen| webhook.take_own(seen))
    }

    fn take_own(&self, seen: &SecretState) {
        let data = match seen {
            SecretState::Present(data) => data,
            SecretState::Absent => {
                self.known.send_modify(|known| {
                    known.readable();
                    (known.absent, known.fault) = (true, None);
                });
                return;
            }
            SecretState::Refused(error) => {
                let why = format!("Secret {}: {error}", names::WEBHOOK_NAME);
                self.known.send_modify(|known| known.fault = Some(why.into()));
                return;
            }
        };
        let taken = read(data).inspect(|kept| {
            if let Some((chain, key)) = kept.served()
                && let Ok(key) = parse_certified_key(chain.as_bytes(), key)
            {
                self.presented.replace(key);
            }
        });
        self.known.send_modify(|known| {
            known.readable();
            known.absent = false;
            match taken {
                Ok(kept) => {
                    info!("the webhook's certificate is taken from its Secret");
                    known.bundle = Some(kept.bundle().into());
                    known.kept = Some(Arc::new(kept));
                    known.fault = None;
                }
                Err(why) => {
                    error!(error = %why, "the webhook's certificate cannot be used; the last good one stays");
                    known.fault = Some(why.to_string().into());
                }
            }
        });
    }
}
