//! The loops, and their start and end.
//!
//! ```text
//! watches → index ──────────────────────┐
//! bindings → binding store ─┬─ publish → snapshot → namespace loop → apply → rollups → binding loop → status
//! credential loop → credential cache ───┘
//! ConfigMap → ConfigMap loop → binding
//! ```
//!
//! Every replica watches and answers probes. The loops run in the one that holds the lease, and they write under its
//! claim.

mod admission_policy;
mod binding;
mod binding_store;
mod clients;
mod clock;
mod config;
mod config_map;
mod context;
mod credential;
mod definition;
mod error;
mod loops;
mod namespace;
mod policy_probe;
mod publish;
mod reconciles;
mod sources;
pub mod state;
mod stuck_pods;
mod tasks;
mod watches;
pub mod webhook;
mod withdrawal_guard;
mod work_queue;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::SignedDuration;
use tokio::sync::Notify;
use tracing::{error, info, warn};

pub use self::clients::Clients;
pub use self::config::ControllerConfig;
use self::context::LoopContext;
use self::definition::DefinitionLoop;
pub use self::error::ControllerError;
use self::policy_probe::PolicyProbeLoop;
use self::sources::ClusterSources;
pub use self::sources::SourceLocations;
use self::state::SharedState;
use self::tasks::{Tasks, name_of, spawn};
use self::webhook::{ServerContext, WebhookReplica};
use crate::cloud::{Alibaba, IdentitySources, SetupError};
use crate::cluster::client;
use crate::cluster::error::CallError;
use crate::cluster::lease::{Callbacks, LeaseConfig, LeaseHolder, LeaseWatch};
use crate::cluster::report::BindingWriter;
use crate::cluster::store::Store;
use crate::plan::credential_cache::SavedCredentials;
use crate::plan::lease::{Election, LeaseTimings};
use crate::plan::withdrawal_guard::WithdrawalGuard;
use crate::server::Metrics;
use crate::server::admin::{self, Readiness, StartupStep};

/// Time for writes that are under way at the end.
const LAST_WRITES: Duration = Duration::from_secs(3);

/// Notifications between the start and the lease.
#[derive(Default)]
struct StartSignals {
    /// All caches are full: this replica may become a candidate.
    caches_full: Notify,
    /// The lease was acquired.
    lease_acquired: Notify,
}

/// Runs until `stop` is ready, or until a task ends that never must.
///
/// # Errors
/// [`ControllerError`].
pub async fn run(
    config: ControllerConfig,
    clients: Clients,
    cloud: impl FnOnce(Arc<dyn IdentitySources>) -> Result<Alibaba, SetupError>,
    stop: impl Future<Output = ()>,
) -> Result<(), ControllerError> {
    let metrics = Arc::new(Metrics::default());
    let webhook = WebhookReplica::new(config.webhook.clone());
    let steps = StartupStep::ALWAYS.into_iter().chain(webhook.is_on().then_some(StartupStep::Webhook));
    let readiness = Readiness::awaiting(steps);
    let (mut tasks, mut work) = (Tasks::new(), Tasks::new());
    let store = Store::new(clients.write.clone(), &config.namespace);
    let worked_before = !load(&store, &config.namespace).await?.is_empty();
    let grace = SignedDuration::try_from(config.withdrawal_grace).unwrap_or(SignedDuration::MAX);
    let shared =
        SharedState::new(&config.region, Arc::new(config.template.clone()), WithdrawalGuard::new(grace));
    let sources = ClusterSources::new(&clients, &config.namespace, config.places.clone(), shared.clone());
    let sources = Arc::new(sources);
    let cloud = cloud(sources.clone())?;
    serve_admin(&mut tasks, &config, &readiness, &metrics, &shared);
    let seen = watches::spawn_all(&mut tasks, &config, &clients, &readiness, &shared);
    spawn(&mut tasks, "the publisher", shared.clone().keep_publishing());
    let context = LoopContext { shared, readiness, metrics, store, cloud, sources, seen, webhook };
    spawn_for_every_replica(&mut tasks, &config, &clients, &context);
    let watched = LeaseWatch::default();
    let lease_watch = watched.watch(clients.watch.clone(), &config.namespace);
    spawn(&mut tasks, "the watch on the lease", lease_watch);
    let mut holder = holder(&config, &clients, &watched, worked_before)?;
    let signals = StartSignals::default();
    let (readiness, metrics) = (context.readiness.clone(), context.metrics.clone());
    let (shared, webhook) = (context.shared.clone(), context.webhook.clone());
    let callbacks = Callbacks {
        read: || readiness.done(StartupStep::Lease),
        acquired: || {
            metrics.leader.set(1);
            signals.lease_acquired.notify_one();
        },
    };
    let ended = tokio::select! {
        () = stop => Ok(()),
        loss = holder.keep(signals.caches_full.notified(), callbacks) => Err(ControllerError::Lost(loss)),
        ended = supervise(&mut tasks, &mut work, &config, &clients, context, &signals) => Err(ended),
    };
    if let Err(lost @ ControllerError::Lost(_)) = ended {
        return Err(lost);
    }
    info!("controller stopping");
    if tokio::time::timeout(LAST_WRITES, clients.claim.close()).await.is_err() {
        warn!("writes under way abandoned");
    }
    work.shutdown().await;
    holder.release().await;
    metrics.leader.set(0);
    // Another replica leads now. The watches go on, since the webhook answers from them.
    if ended.is_ok() {
        webhook.linger(&shared).await;
    }
    webhook.drain().await;
    tasks.shutdown().await;
    ended
}

/// Starts what every replica runs beside the watches.
fn spawn_for_every_replica(
    tasks: &mut Tasks,
    config: &ControllerConfig,
    clients: &Clients,
    context: &LoopContext,
) {
    let policy_probe = PolicyProbeLoop {
        client: clients.write.clone(),
        shared: context.shared.clone(),
        metrics: context.metrics.clone(),
        readiness: context.readiness.clone(),
        namespace: config.namespace.clone(),
    };
    spawn(tasks, "the policy probe", policy_probe.run());
    if context.webhook.is_on() {
        let server = ServerContext {
            client: clients.watch.clone(),
            namespace: config.namespace.clone(),
            shared: context.shared.clone(),
            metrics: context.metrics.clone(),
            readiness: context.readiness.clone(),
        };
        spawn(tasks, "the webhook", context.webhook.clone().serve(server));
    }
    let definition = DefinitionLoop {
        shared: context.shared.clone(),
        writer: BindingWriter::new(clients.write.clone()),
        readiness: context.readiness.clone(),
    };
    spawn(tasks, "the definition loop", definition.run());
}

fn holder(
    config: &ControllerConfig,
    clients: &Clients,
    watched: &LeaseWatch,
    worked_before: bool,
) -> Result<LeaseHolder, client::ClientError> {
    let timings = LeaseTimings { lease: config.lease };
    let begin = if config.dry_run { Election::watching } else { Election::new };
    let election = begin(&config.replica, timings, worked_before, Instant::now());
    let lease = LeaseConfig {
        config: clients.config.clone(),
        namespace: config.namespace.clone(),
        name: config.replica.clone(),
        timings,
        clock: clock::now,
    };
    LeaseHolder::new(lease, election, clients.claim.clone(), watched)
}

/// Starts the loops once the caches are full and the lease is ours. Returns when any task ends.
async fn supervise(
    tasks: &mut Tasks,
    work: &mut Tasks,
    config: &ControllerConfig,
    clients: &Clients,
    context: LoopContext,
    signals: &StartSignals,
) -> ControllerError {
    let begin = async {
        context.readiness.complete().await;
        info!("caches full");
        signals.caches_full.notify_one();
        signals.lease_acquired.notified().await;
        // The holder before may have minted until a moment ago.
        load(&context.store, &config.namespace).await
    };
    let saved = tokio::select! {
        saved = begin => saved,
        Some(ended) = tasks.join_next() => return ControllerError::Ended(name_of(ended)),
    };
    match saved {
        Ok(saved) => context.shared.begin(saved, config.config_map_namespace.is_some()),
        Err(error) => return error,
    }
    loops::spawn_all(work, config, clients, context);
    tokio::select! {
        Some(ended) = tasks.join_next() => ControllerError::Ended(name_of(ended)),
        Some(ended) = work.join_next() => ControllerError::Ended(name_of(ended)),
        else => ControllerError::Ended("every task"),
    }
}

async fn load(store: &Store, namespace: &str) -> Result<SavedCredentials, ControllerError> {
    let mut wait = Duration::from_millis(250);
    for _ in 0..5 {
        match store.load().await {
            Ok(saved) => return Ok(saved),
            Err(error) => warn!(%error, "token cache not read yet"),
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    let unreadable = |error: CallError| ControllerError::Cache {
        namespace: namespace.into(),
        words: error.to_string().into(),
    };
    store.load().await.map_err(unreadable)
}

fn serve_admin(
    tasks: &mut Tasks,
    config: &ControllerConfig,
    readiness: &Arc<Readiness>,
    metrics: &Arc<Metrics>,
    shared: &Arc<SharedState>,
) {
    let (address, readiness, metrics, shared) =
        (config.listen_address, readiness.clone(), metrics.clone(), shared.clone());
    let gauges = metrics.clone();
    let refresh = move || {
        for (name, depth) in [("namespace", shared.namespaces.depth()), ("binding", shared.bindings.depth())]
        {
            let label = crate::server::metrics::QueueLabel { name };
            gauges.queue_depth.get_or_create(&label).set(i64::try_from(depth).unwrap_or(i64::MAX));
        }
    };
    spawn(tasks, "the admin server", async move {
        if let Err(error) = admin::serve(address, readiness, metrics, refresh).await {
            error!(%error, %address, "health and metrics cannot be served; choose another --listen-address");
        }
    });
}
