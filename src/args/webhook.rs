//! Flags of the webhook.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use k8s_openapi::jiff::SignedDuration;

use crate::api::names;
use crate::controller::webhook::WebhookSettings;
use crate::model::duration;
use crate::plan::certificates::Lifetimes;
use crate::plan::webhook::Address;

/// Flags of the webhook for ServiceAccounts.
#[derive(Debug, Args)]
pub struct WebhookArgs {
    /// Address that the webhook listens on; if empty, it is disabled
    #[arg(long, env = "ACR_WEBHOOK_ADDRESS", default_value = "0.0.0.0:9443", value_parser = listen_address)]
    webhook_address: ListenAddress,

    /// Service in the controller's own namespace by which the API server reaches the webhook
    #[arg(long, env = "ACR_WEBHOOK_SERVICE", default_value = names::WEBHOOK_NAME)]
    webhook_service: String,

    /// Folder with tls.crt, tls.key and ca.crt, such as a mounted Secret of cert-manager [default: the controller
    /// generates the webhook's certificates]
    #[arg(long, env = "ACR_WEBHOOK_CERT_DIR")]
    webhook_cert_dir: Option<PathBuf>,

    /// Call the webhook for updates of ServiceAccounts too, so that an update cannot drop the entry
    #[arg(long, env = "ACR_WEBHOOK_ON_UPDATE")]
    webhook_on_update: bool,

    /// Time for which the webhook still answers after SIGTERM, because its Service forwards requests for some seconds
    /// more; keep it 15 s below the Pod's terminationGracePeriodSeconds
    #[arg(long, env = "ACR_WEBHOOK_SHUTDOWN_DELAY", default_value = "5s", value_parser = duration::parse)]
    webhook_shutdown_delay: Duration,

    /// URL by which the API server reaches the webhook, instead of the Service; for tests
    #[arg(long, hide = true)]
    webhook_url: Option<String>,

    /// Validity of an authority and of a certificate, and the delay before a new authority is used, as 300s,90s,3s;
    /// for tests
    #[arg(long, hide = true, value_parser = lifetimes)]
    webhook_lifetimes: Option<Lifetimes>,
}

#[derive(Clone, Copy, Debug)]
struct ListenAddress(Option<SocketAddr>);

fn listen_address(text: &str) -> Result<ListenAddress, String> {
    if text.is_empty() {
        return Ok(ListenAddress(None));
    }
    text.parse()
        .map(|address| ListenAddress(Some(address)))
        .map_err(|_| "write address:port, or an empty value".to_owned())
}

fn lifetimes(text: &str) -> Result<Lifetimes, String> {
    let parts: Vec<_> = text.split(',').map(duration::parse).collect::<Result<_, _>>()?;
    let [authority, leaf, settle] = parts[..] else {
        return Err("write three durations, as 300s,90s,3s".to_owned());
    };
    let signed = |duration: Duration| SignedDuration::try_from(duration).map_err(|error| error.to_string());
    Ok(Lifetimes { authority: signed(authority)?, certificate: signed(leaf)?, settle: signed(settle)? })
}

impl WebhookArgs {
    /// Returns the settings of the webhook.
    pub fn settings(&self) -> WebhookSettings {
        let address = match &self.webhook_url {
            Some(url) => Address::Url(url.as_str().into()),
            None => Address::Service(self.webhook_service.as_str().into()),
        };
        WebhookSettings {
            listen: self.webhook_address.0,
            address,
            certificates: self.webhook_cert_dir.clone(),
            on_update: self.webhook_on_update,
            lifetimes: self.webhook_lifetimes.unwrap_or_default(),
            shutdown_delay: self.webhook_shutdown_delay,
        }
    }
}
