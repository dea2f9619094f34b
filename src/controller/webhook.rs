//! The webhook way to serve ServiceAccounts while they are created.
//!
//! Every replica answers, from its own memory, with a certificate that it reads or watches (`serving`). The leader
//! alone keeps the configuration by which the API server asks, and makes the certificates (`keeping`).

mod certificate;
mod files;
mod keeping;
mod serving;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::keeping::WebhookLoop;
pub use self::serving::{PART, Parts};
use super::state::SharedState;
use crate::cluster::certificates::StoredCertificates;
use crate::plan::certificates::Lives;
use crate::plan::webhook::Address;
use crate::server::tls::ServedCertificate;

/// What flags decide of the webhook.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; `None`: it is off.
    pub listen: Option<SocketAddr>,
    /// Where the API server finds it.
    pub address: Address,
    /// A folder with `tls.crt`, `tls.key` and `ca.crt`, as cert-manager's Secret is mounted; `None`: its own.
    pub certificates: Option<PathBuf>,
    /// Whether updates are asked about too.
    pub on_update: bool,
    /// How long its own certificates live.
    pub lives: Lives,
    /// How long it answers on when this process is to end.
    pub shutdown_delay: Duration,
}

impl Settings {
    /// What a certificate must be for.
    fn names(&self, namespace: &str) -> Vec<String> {
        match &self.address {
            Address::Service(name) => vec![format!("{name}.{namespace}.svc")],
            Address::Url(url) => {
                let host =
                    url.split("://").nth(1).unwrap_or(url).split(['/', ':']).next().unwrap_or_default();
                vec![host.to_owned()]
            }
        }
    }
}

/// What is known of the certificate.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The authorities to believe for what is served, in PEM.
    bundle: Option<Arc<[u8]>>,
    /// The last good content of our own Secret.
    kept: Option<Arc<StoredCertificates>>,
    /// Whether our own Secret was looked for and does not stand.
    absent: bool,
    /// What hinders a newer one.
    fault: Option<Box<str>>,
    /// When our own Secret could be read, after it could not.
    granted: Option<Instant>,
}

impl Known {
    /// Our own Secret can be read.
    fn readable(&mut self) {
        if self.fault.is_some() && self.kept.is_none() {
            self.granted = Some(Instant::now());
        }
    }
}

/// What the parts of the webhook share in this process.
#[derive(Clone)]
pub struct Webhook {
    settings: Settings,
    presented: Arc<ServedCertificate>,
    known: watch::Sender<Known>,
    stop: CancellationToken,
    /// Held by the server while it serves.
    serving: TaskTracker,
}

impl Webhook {
    /// One that serves nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            presented: Arc::default(),
            known: watch::Sender::default(),
            stop: CancellationToken::new(),
            serving: TaskTracker::new(),
        }
    }

    /// Answers on for a while, where it is asked: who finds this replica by the Service learns some seconds late that it
    /// goes, and the API server asks only once.
    pub async fn linger(&self, shared: &SharedState) {
        if self.is_on() && self.is_asked(shared) {
            tokio::time::sleep(self.settings.shutdown_delay).await;
        }
    }

    /// Stops the server, which answers first what is under way.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.serving.close();
        self.serving.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use crate::plan::webhook::Address;

    #[test]
    fn a_certificate_is_for_the_host_that_the_api_server_asks() {
        let names = |address| {
            let settings = Settings {
                listen: None,
                address,
                certificates: None,
                on_update: false,
                lives: Default::default(),
                shutdown_delay: Default::default(),
            };
            settings.names("own")
        };
        assert_eq!(names(Address::Service("hook".into())), ["hook.own.svc"]);
        assert_eq!(names(Address::Url("https://127.0.0.1:9443/mutate".into())), ["127.0.0.1"]);
    }
}
