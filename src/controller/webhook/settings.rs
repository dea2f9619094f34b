//! Settings of the webhook, from its flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::plan::certificates::Lifetimes;
use crate::plan::webhook::Address;

/// Settings of the webhook, from its flags.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Address that it listens on; `None`: it is off.
    pub listen: Option<SocketAddr>,
    /// Address that the API server calls.
    pub address: Address,
    /// A folder with `tls.crt`, `tls.key` and `ca.crt`, as cert-manager's Secret is mounted; `None`: its own.
    pub certificates: Option<PathBuf>,
    /// Whether the API server calls it for updates too.
    pub on_update: bool,
    /// Lifetimes of its own certificates.
    pub lifetimes: Lifetimes,
    /// For how long it still answers when this process is to end.
    pub shutdown_delay: Duration,
}

impl WebhookSettings {
    /// Returns the host for which a certificate must be valid.
    pub fn host(&self, namespace: &str) -> String {
        match &self.address {
            Address::Service(name) => format!("{name}.{namespace}.svc"),
            Address::Url(url) => {
                let host = url.split("://").nth(1).unwrap_or(url).split(['/', ':']).next();
                host.unwrap_or_default().to_owned()
            }
        }
    }

    /// Returns the time for all replicas and API servers to learn of a change.
    pub fn settle(&self) -> Duration {
        Duration::try_from(self.lifetimes.settle).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::WebhookSettings;
    use crate::plan::webhook::Address;

    #[test]
    fn a_certificate_is_for_the_host_that_the_api_server_calls() {
        let host = |address| {
            let settings = WebhookSettings {
                listen: None,
                address,
                certificates: None,
                on_update: false,
                lifetimes: Default::default(),
                shutdown_delay: Default::default(),
            };
            settings.host("own")
        };
        assert_eq!(host(Address::Service("hook".into())), "hook.own.svc");
        assert_eq!(host(Address::Url("https://127.0.0.1:9443/mutate".into())), "127.0.0.1");
    }
}
