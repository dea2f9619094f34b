//! The watches that run from the start: the caches must be full before anything is decided.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::DeserializeGuard;
use kube::{Api, ResourceExt};
use tokio::sync::watch as channel;
use tracing::error;

use super::clients::Clients;
use super::config::ControllerConfig;
use super::state::SharedState;
use super::tasks::{Tasks, spawn};
use crate::api::{AcrCredentialBinding, names};
use crate::cluster::objects::{WatchedNamespace, WatchedSecret, WatchedServiceAccount};
use crate::cluster::parameters::{ParametersSink, ParametersState};
use crate::cluster::watch::{self, IndexSink, Sink, watch};
use crate::plan::admission_mode::AppliedParameters;
use crate::server::admin::{Readiness, StartupStep};

/// Starts the watches on namespaces, ServiceAccounts, our Secrets, the bindings, and the ConfigMap that our admission
/// policy reads. Returns where that one is kept.
pub fn spawn_all(
    tasks: &mut Tasks,
    config: &ControllerConfig,
    clients: &Clients,
    readiness: &Arc<Readiness>,
    shared: &Arc<SharedState>,
) -> Arc<channel::Sender<Option<ParametersState>>> {
    let client = &clients.watch;
    let index_sink = |step: StartupStep, wake: fn(&SharedState, Arc<str>)| {
        let (observer, readiness) = (shared.clone(), readiness.clone());
        IndexSink {
            index: shared.index.clone(),
            template: shared.template().clone(),
            wake: move |namespace| wake(&observer, namespace),
            complete: move || readiness.done(step),
        }
    };
    let secrets = watch::config().fields(&format!("metadata.name={}", config.template.name));
    spawn(
        tasks,
        "the watch on namespaces",
        watch(
            Api::<WatchedNamespace>::all(client.clone()),
            watch::config(),
            index_sink(StartupStep::Namespaces, SharedState::observe_namespace),
        ),
    );
    spawn(
        tasks,
        "the watch on service accounts",
        watch(
            Api::<WatchedServiceAccount>::all(client.clone()),
            watch::config(),
            index_sink(StartupStep::ServiceAccounts, SharedState::wake_namespace),
        ),
    );
    spawn(
        tasks,
        "the watch on secrets",
        watch(
            Api::<WatchedSecret>::all(client.clone()),
            secrets,
            index_sink(StartupStep::Secrets, SharedState::wake_namespace),
        ),
    );
    let bindings = BindingSink { shared: shared.clone(), readiness: readiness.clone() };
    spawn(tasks, "the watch on bindings", watch(Api::all(client.clone()), watch::config(), bindings));
    let seen = Arc::new(channel::Sender::new(None));
    let (first, ready) = (shared.clone(), readiness.clone());
    let known = move |seen: &ParametersState| {
        first.set_applied(match seen {
            ParametersState::Present { data, .. } => AppliedParameters::By(data.clone()),
            ParametersState::Absent | ParametersState::Refused(_) => AppliedParameters::Nothing,
        });
        ready.done(StartupStep::AdmissionParameters);
    };
    let sink = ParametersSink { state: seen.clone(), first_observed: known };
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &config.namespace);
    let parameters = watch::config().fields(&format!("metadata.name={}", names::ADMISSION_NAME));
    spawn(tasks, "the watch on the admission parameters", watch(maps, parameters, sink));
    seen
}

/// Receives bindings. One that cannot be read does not stall the watch.
struct BindingSink {
    shared: Arc<SharedState>,
    readiness: Arc<Readiness>,
}

impl Sink<DeserializeGuard<AcrCredentialBinding>> for BindingSink {
    fn put(&mut self, object: DeserializeGuard<AcrCredentialBinding>) {
        match object.0 {
            Ok(binding) => self.shared.put_binding(binding),
            Err(invalid) => {
                let name = invalid.metadata.name.unwrap_or_default();
                error!(binding = %name, error = %invalid.error, "the binding cannot be read; what it made stays as it is");
                self.shared.hold_unreadable(&name);
            }
        }
    }

    fn remove(&mut self, object: DeserializeGuard<AcrCredentialBinding>) {
        self.shared.remove_binding(&object.name_any());
    }

    fn listed(&mut self, seen: &HashSet<(Box<str>, Box<str>)>) {
        let known = self.shared.state().bindings.names();
        for name in known {
            if !seen.contains(&(Box::from(""), Box::from(&*name))) {
                self.shared.remove_binding(&name);
            }
        }
        // Admission answers from now on.
        self.shared.publish_waiting();
        self.shared.definition.notify_one();
        self.readiness.done(StartupStep::Bindings);
    }
}
