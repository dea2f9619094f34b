//! Events, as `kubectl describe` shows them.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, Recorder, Reporter};
use tracing::debug;

use super::error::call;
use crate::api::names;

/// Characters of the longest note that the API server accepts.
const NOTE: usize = 1000;

/// Publishes Events in the controller's name.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    /// Creates a publisher over a connection.
    pub fn new(client: Client) -> Self {
        Self(Recorder::new(client, Reporter { controller: names::MANAGER.to_owned(), instance: None }))
    }

    /// Publishes an Event, its note truncated to `NOTE`. A failure is logged only.
    pub async fn publish(&self, about: &ObjectReference, mut event: Event) {
        event.note = event.note.map(|note| note.chars().take(NOTE).collect());
        if let Err(error) = call(self.0.publish(&event, about)).await {
            debug!(%error, reason = event.reason, "Event not published");
        }
    }
}
