//! What is watched from the start: the caches must be full before anything is decided.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::DeserializeGuard;
use kube::{Api, ResourceExt};
use tokio::sync::watch as channel;
use tracing::error;

use super::admission::AppliedParameters;
use super::state::SharedState;
use super::tasks::{Tasks, spawn};
use super::{Clients, Config};
use crate::api::{AcrCredentialBinding, names};
use crate::cluster::objects::{WatchedNamespace, WatchedSecret, WatchedServiceAccount};
use crate::cluster::parameters::{ParametersSink, ParametersState};
use crate::cluster::watch::{self, IndexSink, Sink, watch};
use crate::server::admin::Readiness;

/// Starts the watches on namespaces, ServiceAccounts, our Secrets, the bindings, and the ConfigMap that our admission
/// policy reads. Returns where that one is kept.
pub fn spawn_all(
    tasks: &mut Tasks,
    config: &Config,
    clients: &Clients,
    readiness: &Arc<Readiness>,
    shared: &Arc<SharedState>,
) -> Arc<channel::Sender<Option<ParametersState>>> {
    let client = &clients.watch;
    let index_sink = |part: &'static str| {
        let (wake, readiness) = (shared.clone(), readiness.clone());
        IndexSink {
            index: shared.index.clone(),
            template: shared.template().clone(),
            wake: move |namespace| wake.wake_namespace(namespace),
            complete: move || readiness.done(part),
        }
    };
    let secrets = watch::config().fields(&format!("metadata.name={}", config.template.name));
    spawn(
        tasks,
        "the watch on namespaces",
        watch(Api::<WatchedNamespace>::all(client.clone()), watch::config(), index_sink("namespaces")),
    );
    spawn(
        tasks,
        "the watch on service accounts",
        watch(
            Api::<WatchedServiceAccount>::all(client.clone()),
            watch::config(),
            index_sink("service accounts"),
        ),
    );
    spawn(
        tasks,
        "the watch on secrets",
        watch(Api::<WatchedSecret>::all(client.clone()), secrets, index_sink("secrets")),
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
        ready.done("admission parameters");
    };
    let sink = ParametersSink { state: seen.clone(), first_observed: known };
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &config.namespace);
    let parameters = watch::config().fields(&format!("metadata.name={}", names::ADMISSION_NAME));
    spawn(tasks, "the watch on the admission parameters", watch(maps, parameters, sink));
    seen
}

/// Takes bindings in. One that cannot be read does not stall the watch.
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
        self.shared.definition.notify_one();
        self.readiness.done("bindings");
    }
}
