//! The loops of the replica that holds the lease.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;

use super::admission_policy::PolicyLoop;
use super::binding::BindingLoop;
use super::clients::Clients;
use super::config::ControllerConfig;
use super::config_map::{ConfigMapLoop, ConfigMapSink};
use super::context::LoopContext;
use super::credential::CredentialLoop;
use super::key_pair_checks::check_failing;
use super::namespace::NamespaceLoop;
use super::stuck_pods;
use super::tasks::{Tasks, spawn};
use super::webhook::WebhookLoop;
use crate::api::names;
use crate::cluster::Applier;
use crate::cluster::keys::KeySecrets;
use crate::cluster::notices::Notifier;
use crate::cluster::parameters::ParametersWriter;
use crate::cluster::report::BindingWriter;
use crate::cluster::watch::{self, watch};
use crate::cluster::watch_health;

/// Starts the loops.
pub fn spawn_all(tasks: &mut Tasks, config: &ControllerConfig, clients: &Clients, context: LoopContext) {
    let LoopContext { shared, metrics, store, cloud, sources, seen, webhook, .. } = context;
    let applier = Applier::new(clients.tenants.clone(), shared.index.clone(), shared.template().clone());
    let worker = NamespaceLoop {
        shared: shared.clone(),
        applier,
        notifier: Notifier::new(clients.tenants.clone(), &shared.template().name),
        metrics: metrics.clone(),
        own_namespace: config.namespace.clone(),
        dry_run: config.dry_run,
    };
    tasks.follow("the namespace loop", "namespace", &shared.namespaces);
    spawn(tasks, "the namespace loop", worker.run());
    if config.replace_stuck_pods {
        stuck_pods::spawn_all(tasks, clients, &shared, &metrics, config.dry_run);
    }
    let writer = BindingWriter::new(clients.write.clone());
    let reporter = BindingLoop {
        shared: shared.clone(),
        writer: writer.clone(),
        metrics: metrics.clone(),
        writes: Arc::default(),
    };
    tasks.follow("a binding worker", "binding", &shared.bindings);
    for _ in 0..4 {
        spawn(tasks, "a binding worker", reporter.clone().run());
    }
    spawn(tasks, "the checks of key pairs", check_failing(shared.clone(), sources.clone()));
    spawn(
        tasks,
        "the credential loop",
        CredentialLoop { shared: shared.clone(), cloud, sources, store, metrics: metrics.clone() }.run(),
    );
    let policy = PolicyLoop {
        shared: shared.clone(),
        parameters: ParametersWriter::new(clients.write.clone(), &config.namespace),
        seen,
        namespace: config.namespace.clone(),
        dry_run: config.dry_run,
        metrics: metrics.clone(),
    };
    spawn(tasks, "the admission policy loop", policy.run());
    // A dry run configures no webhook.
    if !config.dry_run {
        let holder = WebhookLoop {
            webhook,
            shared: shared.clone(),
            write: clients.write.clone(),
            namespace: config.namespace.clone(),
            metrics: metrics.clone(),
        };
        spawn(tasks, "the webhook's loop", holder.run());
    }
    if let Some(namespace) = &config.config_map_namespace {
        let watched = Arc::default();
        let api: Api<ConfigMap> =
            Api::namespaced(shared.watches.listen(&clients.watch, watch_health::CONFIG_MAP), namespace);
        let fields = watch::config().fields(&format!("metadata.name={}", names::LEGACY_NAME));
        let sink = ConfigMapSink { watched: Arc::clone(&watched), shared: shared.clone() };
        spawn(tasks, "the watch on the ConfigMap", watch(api, fields, sink));
        let keys = KeySecrets::new(clients.write.clone(), &config.namespace);
        let grace = config.config_map_grace;
        spawn(
            tasks,
            "the ConfigMap loop",
            ConfigMapLoop { shared, writer, keys, grace, metrics, watched }.run(),
        );
    }
}
