//! The withdrawal by the controller itself, before it loses its rights.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::DynamicObject;

use super::{UninstallError, Uninstallation, is_converted};
use crate::cli::lease::{LeaseObserver, LeaseState};
use crate::cluster::clock::monotonic;
use crate::cluster::installed::BindingMetadata;

/// The pause between two observations of the Lease and the bindings.
const PAUSE: Duration = Duration::from_millis(250);

impl Uninstallation<'_> {
    /// Deletes the bindings, and waits until the controller has withdrawn them. Without a controller that works, nothing
    /// is deleted, or the rest is left to the next steps.
    pub(super) async fn withdraw(&mut self) -> Result<(), UninstallError> {
        let listed = self.list().await?.unwrap_or_default();
        let bindings: Vec<BindingMetadata> =
            listed.into_iter().filter(|binding| !is_converted(binding)).collect();
        if bindings.is_empty() {
            self.say("withdrawal: there is no binding to withdraw");
            return Ok(());
        }
        let mut lease = LeaseObserver::default();
        let mut state = self.observe(&mut lease).await?;
        while state == LeaseState::Unknown {
            tokio::time::sleep(PAUSE).await;
            state = self.observe(&mut lease).await?;
        }
        if !is_renewed(&state) {
            self.say_no_controller();
            return Ok(());
        }
        for binding in &bindings {
            self.delete_binding(binding).await?;
            self.say(&format!("binding {}: deletion requested", binding.name_any()));
        }
        let end = self.end();
        loop {
            let left = self.list().await?.unwrap_or_default();
            let is_left = |binding: &BindingMetadata| left.iter().any(|other| other.uid() == binding.uid());
            let left: Vec<String> =
                bindings.iter().filter(|binding| is_left(binding)).map(ResourceExt::name_any).collect();
            if left.is_empty() {
                self.say("withdrawal: the controller has withdrawn all of these bindings");
                return Ok(());
            }
            let state = self.observe(&mut lease).await?;
            if !is_renewed(&state) && state != LeaseState::Unknown {
                self.say_no_controller();
                return Ok(());
            }
            if monotonic() > end {
                return Err(UninstallError::NotWithdrawn {
                    bindings: self.messages(&left).await?,
                    limit: self.limit(),
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn observe(&self, lease: &mut LeaseObserver) -> Result<LeaseState, UninstallError> {
        let read = self.patiently("the Lease cannot be read", async || {
            self.installed.lease(&self.options.namespace).await
        });
        let read = read.await?;
        Ok(lease.observe(read, monotonic()))
    }

    fn say_no_controller(&mut self) {
        self.say(&format!(
            "withdrawal: not possible, since no controller renews the Lease {}/{}. The Secrets and entries stay",
            self.options.namespace,
            crate::api::names::LEASE_NAME
        ));
    }

    /// Returns the bindings of some names, each with what its status says.
    async fn messages(&self, names: &[String]) -> Result<Vec<String>, UninstallError> {
        let stored =
            self.patiently("the bindings cannot be listed", async || self.installed.stored_bindings().await);
        let stored = stored.await?;
        Ok(stored.iter().filter(|binding| names.contains(&binding.name_any())).map(message).collect())
    }
}

fn is_renewed(state: &LeaseState) -> bool {
    matches!(state, LeaseState::Renewed { .. })
}

/// Returns a binding's name with the message of its condition `Ready`.
fn message(binding: &DynamicObject) -> String {
    let conditions = binding.data.pointer("/status/conditions").and_then(|list| list.as_array());
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let message = ready.and_then(|condition| condition["message"].as_str());
    format!("{}: {}", binding.name_any(), message.unwrap_or("its status says nothing"))
}
