//! The server of every replica.

use std::sync::Arc;

use kube::Client;
use tokio::net::TcpListener;
use tracing::{error, info};

use super::files::follow_files;
use super::own_certificate::watch_own_secret;
use super::replica::{CertificateState, WebhookReplica, is_requested};
use crate::controller::state::SharedState;
use crate::server::admin::{Readiness, StartupStep};
use crate::server::admission::{AdmissionHandler, router};
use crate::server::{Metrics, tls};

/// The parts of the process that the server uses.
pub struct ServerContext {
    /// For the watch on the certificates.
    pub client: Client,
    /// The controller's own namespace.
    pub namespace: Box<str>,
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Notified once it serves.
    pub readiness: Arc<Readiness>,
}

impl WebhookReplica {
    /// Serves from the moment at which the caches are full, until it is stopped. The API server calls a replica that is
    /// ready: it must have its certificate by then, or ServiceAccounts would be refused under `Fail`.
    pub async fn serve(self, context: ServerContext) {
        let Some(address) = self.settings.listen else { return std::future::pending().await };
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) => {
                return error!(%error, %address, "webhook cannot listen; choose another --webhook-address, or an empty one");
            }
        };
        let shared = context.shared.clone();
        let handler = AdmissionHandler {
            snapshot: Arc::new(move || shared.snapshot()),
            index: context.shared.index.clone(),
            metrics: context.metrics.clone(),
            slots: Arc::default(),
        };
        let serve = async {
            context.readiness.complete_but(StartupStep::Webhook).await;
            if is_requested(&context.shared) {
                let mut certificate = self.certificate.subscribe();
                // An API server that does not answer must not keep a replica from working.
                let first = certificate.wait_for(CertificateState::is_decided);
                let _ = tokio::time::timeout(crate::cluster::error::DEADLINE, first).await;
            }
            context.readiness.done(StartupStep::Webhook);
            info!(%address, "webhook listening");
            let (presented, stop) = (self.presented.clone(), self.stop.clone());
            let server = tls::serve(listener, presented, router(handler), stop);
            if let Err(error) = self.server.track_future(server).await {
                error!(%error, "webhook cannot serve");
            }
        };
        tokio::select! {
            () = serve => {}
            () = follow_certificate(&self, &context) => {}
        }
    }
}

/// Follows the certificate: its files from the start, our own Secret once some binding requests the webhook.
async fn follow_certificate(webhook: &WebhookReplica, context: &ServerContext) {
    if let Some(folder) = &webhook.settings.certificates {
        return follow_files(webhook, folder, &context.namespace).await;
    }
    let mut snapshots = context.shared.snapshots();
    while !is_requested(&context.shared) {
        if snapshots.changed().await.is_err() {
            return;
        }
    }
    let _watch = watch_own_secret(webhook, context.client.clone(), &context.namespace);
    std::future::pending().await
}
