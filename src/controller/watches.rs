//! The watches that run from the start: the caches must be full before anything is decided.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::DeserializeGuard;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch as channel;
use tracing::{error, warn};

use super::clients::Clients;
use super::config::ControllerConfig;
use super::state::SharedState;
use super::tasks::{Tasks, spawn};
use crate::api::{AcrCredentialBinding, names};
use crate::cluster::Index;
use crate::cluster::label_keys::{LabelKeys, SelectedKeys};
use crate::cluster::listed_names::ListedNames;
use crate::cluster::objects::{WatchedNamespace, WatchedSecret, WatchedServiceAccount};
use crate::cluster::parameters::{ParametersSink, ParametersState};
use crate::cluster::watch::{self, IndexSink, Sink, watch};
use crate::cluster::watch_health;
use crate::plan::admission_mode::AppliedParameters;
use crate::plan::refresh::backoff;
use crate::server::admin::{Readiness, StartupStep};

/// Shortest and longest time from a failed list of the objects with a label to the next.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Starts the watches on namespaces, ServiceAccounts, our Secrets, the bindings, and the ConfigMap that our admission
/// policy reads. Returns where that one is kept.
pub fn spawn_all(
    tasks: &mut Tasks,
    config: &ControllerConfig,
    clients: &Clients,
    readiness: &Arc<Readiness>,
    shared: &Arc<SharedState>,
) -> Arc<channel::Sender<Option<ParametersState>>> {
    let listen = |watch| shared.watches.listen(&clients.watch, watch);
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
        after_bindings(
            shared,
            NAMESPACE_KEYS,
            watch(
                Api::<WatchedNamespace>::all(listen(watch_health::NAMESPACES)),
                watch::config(),
                index_sink(StartupStep::Namespaces, SharedState::observe_namespace),
            ),
        ),
    );
    spawn(
        tasks,
        "the watch on service accounts",
        after_bindings(
            shared,
            ACCOUNT_KEYS,
            watch(
                Api::<WatchedServiceAccount>::all(listen(watch_health::SERVICE_ACCOUNTS)),
                watch::config(),
                index_sink(StartupStep::ServiceAccounts, SharedState::wake_namespace),
            ),
        ),
    );
    let refresh = |index: &Index, object: WatchedNamespace, keys: &SelectedKeys| {
        index.refresh_namespace(&object.name_any(), object.facts(keys))
    };
    let api = Api::<WatchedNamespace>::all(clients.watch.clone());
    spawn(
        tasks,
        "the lists of labelled namespaces",
        list_new_keys(api, shared.clone(), NAMESPACE_KEYS, refresh),
    );
    let refresh = |index: &Index, object: WatchedServiceAccount, keys: &SelectedKeys| {
        index.refresh_service_account(&object.namespace().unwrap_or_default(), object.view(keys))
    };
    let api = Api::<WatchedServiceAccount>::all(clients.watch.clone());
    spawn(
        tasks,
        "the lists of labelled service accounts",
        list_new_keys(api, shared.clone(), ACCOUNT_KEYS, refresh),
    );
    spawn(
        tasks,
        "the watch on secrets",
        watch(
            Api::<WatchedSecret>::all(listen(watch_health::SECRETS)),
            secrets,
            index_sink(StartupStep::Secrets, SharedState::wake_namespace),
        ),
    );
    let bindings = BindingSink { shared: shared.clone(), readiness: readiness.clone() };
    let api = Api::all(listen(watch_health::BINDINGS));
    spawn(tasks, "the watch on bindings", watch(api, watch::config(), bindings));
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
    let maps: Api<ConfigMap> = Api::namespaced(listen(watch_health::ADMISSION_PARAMETERS), &config.namespace);
    let parameters = watch::config().fields(&format!("metadata.name={}", names::ADMISSION_NAME));
    spawn(tasks, "the watch on the admission parameters", watch(maps, parameters, sink));
    seen
}

/// The keys of one kind's labels.
type KeysOf = fn(&Index) -> &LabelKeys;

const NAMESPACE_KEYS: KeysOf = |index| &index.namespace_keys;
const ACCOUNT_KEYS: KeysOf = |index| &index.account_keys;

/// Begins a watch once the bindings are listed: which labels to keep is known then.
fn after_bindings(
    shared: &Arc<SharedState>,
    keys: KeysOf,
    watch: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let index = shared.index.clone();
    async move {
        keys(&index).begun().await;
        watch.await;
    }
}

/// Lists the objects that have a label, for each key that a binding newly selects by.
async fn list_new_keys<K>(
    api: Api<K>,
    shared: Arc<SharedState>,
    keys: KeysOf,
    refresh: fn(&Index, K, &SelectedKeys) -> Option<Arc<str>>,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Send + 'static,
{
    let keys = keys(&shared.index);
    let mut failures = 0;
    loop {
        let key = keys.next_unlisted().await;
        // No binding in force selects by this key, so that nothing follows from its labels yet.
        let put = |object| drop(refresh(&shared.index, object, &keys.wanted()));
        match watch::list_once(api.clone(), watch::config().labels(&key), put).await {
            Ok(()) => {
                failures = 0;
                keys.listed(&key);
                shared.release_waiting();
            }
            Err(error) => {
                failures += 1;
                let error = watch::refused(&error);
                warn!(kind = &*K::kind(&()), %key, %error, "objects with a label not listed");
                tokio::time::sleep(backoff(failures, RETRY.0, RETRY.1, &key)).await;
            }
        }
    }
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

    fn known_version(&self, object: &DeserializeGuard<AcrCredentialBinding>) -> Option<u64> {
        self.shared.state().bindings.known_version(object.meta())
    }

    fn forget_version(&mut self, object: &DeserializeGuard<AcrCredentialBinding>) {
        self.shared.state().bindings.forget_version(&object.name_any());
    }

    fn set_back(&mut self) {
        self.shared.state().bindings.forget_versions();
    }

    fn listed(&mut self, seen: &ListedNames) {
        let known = self.shared.state().bindings.names();
        for name in known {
            if !seen.contains("", &name) {
                self.shared.remove_binding(&name);
            }
        }
        self.shared.waiting.retain(seen);
        // Now it is known which labels to keep.
        self.shared.index.namespace_keys.begin();
        self.shared.index.account_keys.begin();
        // Admission answers from now on.
        self.shared.publish_waiting();
        self.shared.definition.notify_one();
        self.readiness.done(StartupStep::Bindings);
    }
}
