//! What every replica does.

use std::sync::Arc;

use kube::Client;
use tokio::net::TcpListener;
use tracing::{error, info};

use super::Webhook;
use crate::controller::state::SharedState;
use crate::plan::admission::enabling;
use crate::server::admin::Readiness;
use crate::server::admission::{AdmissionHandler, router};
use crate::server::{Metrics, tls};

/// The part of readiness that the webhook is. A replica that is ready is asked: it must have its certificate by then,
/// or ServiceAccounts would be refused under `Fail`.
pub const PART: &str = "the webhook";

/// What answers are made of, and who waits for them.
pub struct Parts {
    /// For the watch on the certificates.
    pub client: Client,
    /// The controller's own namespace.
    pub namespace: Box<str>,
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Told once it serves.
    pub readiness: Arc<Readiness>,
}

impl Webhook {
    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.settings.listen.is_some()
    }

    /// Serves until it is stopped, from the moment at which the caches are full.
    pub async fn serve(self, parts: Parts) {
        let Some(address) = self.settings.listen else { return std::future::pending().await };
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) => {
                return error!(%error, %address, "the webhook cannot listen; choose another --webhook-address, or an empty one");
            }
        };
        let shared = parts.shared.clone();
        let answers = AdmissionHandler {
            snapshot: Arc::new(move || shared.snapshot()),
            index: parts.shared.index.clone(),
            metrics: parts.metrics.clone(),
            slots: Arc::default(),
        };
        let serve = async {
            parts.readiness.complete_but(PART).await;
            if self.is_asked(&parts.shared) {
                let mut known = self.known.subscribe();
                // An answer that never comes must not keep a replica from working.
                let look =
                    known.wait_for(|known| known.bundle.is_some() || known.absent || known.fault.is_some());
                let _ = tokio::time::timeout(crate::cluster::error::DEADLINE, look).await;
            }
            parts.readiness.done(PART);
            info!(%address, "the webhook listens");
            let (presented, stop) = (self.presented.clone(), self.stop.clone());
            let server = tls::serve(listener, presented, router(answers), stop);
            if let Err(error) = self.serving.track_future(server).await {
                error!(%error, "the webhook cannot serve");
            }
        };
        tokio::select! {
            () = serve => {}
            () = self.follow(&parts) => {}
        }
    }

    pub(super) fn is_asked(&self, shared: &SharedState) -> bool {
        enabling(&shared.snapshot()).next().is_some()
    }

    /// Follows the certificate for ever, from the moment at which some binding asks for the webhook.
    async fn follow(&self, parts: &Parts) {
        if let Some(folder) = &self.settings.certificates {
            return self.follow_files(folder, &parts.namespace).await;
        }
        let mut snapshots = parts.shared.snapshots();
        while !self.is_asked(&parts.shared) {
            if snapshots.changed().await.is_err() {
                return;
            }
        }
        let _watch = self.watch_own(parts.client.clone(), &parts.namespace);
        std::future::pending().await
    }
}
