//! The state of the webhook in one replica.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::settings::WebhookSettings;
use crate::cluster::certificates::StoredCertificates;
use crate::controller::state::SharedState;
use crate::plan::admission::enabling;
use crate::server::tls::ServedCertificate;

/// State of the certificate.
#[derive(Clone, Debug, Default)]
pub struct CertificateState {
    /// The authorities to trust, in PEM.
    pub bundle: Option<Arc<[u8]>>,
    /// The last valid content of our own Secret.
    pub stored: Option<Arc<StoredCertificates>>,
    /// Whether our own Secret does not exist.
    pub absent: bool,
    /// Why a newer certificate cannot be used.
    pub fault: Option<Box<str>>,
    /// When our own Secret became readable, after a fault.
    pub readable_since: Option<Instant>,
}

impl CertificateState {
    /// Records that our own Secret can be read.
    pub fn note_readable(&mut self, now: Instant) {
        if self.fault.is_some() && self.stored.is_none() {
            self.readable_since = Some(now);
        }
    }

    /// Returns whether a first attempt to get a certificate has ended.
    pub fn is_decided(&self) -> bool {
        self.bundle.is_some() || self.absent || self.fault.is_some()
    }
}

/// The webhook in one replica.
#[derive(Clone)]
pub struct WebhookReplica {
    /// Its settings.
    pub settings: WebhookSettings,
    /// The certificate that the server presents.
    pub presented: Arc<ServedCertificate>,
    /// State of the certificate.
    pub certificate: watch::Sender<CertificateState>,
    /// Cancelled when the server is to stop.
    pub stop: CancellationToken,
    /// Tracks the server while it serves.
    pub server: TaskTracker,
}

impl WebhookReplica {
    /// Returns a webhook that serves nothing yet.
    pub fn new(settings: WebhookSettings) -> Self {
        Self {
            settings,
            presented: Arc::default(),
            certificate: watch::Sender::default(),
            stop: CancellationToken::new(),
            server: TaskTracker::new(),
        }
    }

    /// Returns whether it is on.
    pub fn is_on(&self) -> bool {
        self.settings.listen.is_some()
    }

    /// Waits for a while, where a binding uses it, so that it still answers. The Service lags some seconds behind, and the API server
    /// calls only once.
    pub async fn linger(&self, shared: &SharedState) {
        if self.is_on() && is_requested(shared) {
            tokio::time::sleep(self.settings.shutdown_delay).await;
        }
    }

    /// Stops the server, after the answers that are under way.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.server.close();
        self.server.wait().await;
    }
}

/// Returns whether some binding requests the webhook.
pub fn is_requested(shared: &SharedState) -> bool {
    enabling(shared.snapshot().bindings()).next().is_some()
}
