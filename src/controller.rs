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
mod blindness;
mod clients;
mod clock;
mod config;
mod config_map;
mod context;
mod credential;
mod definition;
mod error;
mod gauges;
mod key_pair_checks;
mod key_pairs;
mod label_hold;
mod loops;
mod namespace;
mod policy_probe;
mod publish;
mod reconciles;
#[cfg(test)]
mod simulation;
mod sources;
pub mod state;
mod stuck_pods;
mod tasks;
mod waiting_bindings;
mod watches;
pub mod webhook;
mod withdrawal_guard;
mod work_queue;
mod write_round;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::SignedDuration;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use self::blindness::BlindnessLoop;
pub use self::clients::Clients;
pub use self::config::ControllerConfig;
use self::context::LoopContext;
use self::definition::DefinitionLoop;
pub use self::error::ControllerError;
use self::policy_probe::PolicyProbeLoop;
use self::sources::ClusterSources;
pub use self::sources::SourceLocations;
use self::state::SharedState;
use self::tasks::{TaskObserver, Tasks, name_of, spawn};
use self::webhook::{ServerContext, WebhookReplica};
use crate::cloud::{Alibaba, CallObserver, IdentitySources, SetupError};
use crate::cluster::error::CallError;
use crate::cluster::lease::{Callbacks, Candidate, LeaseConfig, LeaseThread, LeaseWatch};
use crate::cluster::report::BindingWriter;
use crate::cluster::store::Store;
use crate::cluster::watch_health;
use crate::plan::credential_cache::SavedCredentials;
use crate::plan::lease::{Election, LeaseTimings};
use crate::plan::withdrawal_guard::WithdrawalGuard;
use crate::server::Metrics;
use crate::server::admin::{AdminServer, Readiness, StartupStep};
use crate::server::heartbeats::{self, Heartbeats};

/// Time for writes that are under way at the end.
const LAST_WRITES: Duration = Duration::from_secs(3);

/// Notifications between the start and the lease.
#[derive(Clone, Default)]
struct StartSignals {
    /// All caches are full: this replica may become a candidate.
    caches_full: Arc<Notify>,
    /// The lease was acquired.
    lease_acquired: Arc<Notify>,
}

/// Runs until `stop` is ready, or until a task ends that never must.
///
/// # Errors
/// [`ControllerError`].
pub async fn run(
    config: ControllerConfig,
    clients: Clients,
    cloud: impl FnOnce(Arc<dyn IdentitySources>, Arc<dyn CallObserver>) -> Result<Alibaba, SetupError>,
    stop: impl Future<Output = ()>,
) -> Result<(), ControllerError> {
    let metrics = Arc::new(Metrics::default());
    metrics.set_leader(false);
    let webhook = WebhookReplica::new(config.webhook.clone());
    let steps = StartupStep::ALWAYS.into_iter().chain(webhook.is_on().then_some(StartupStep::Webhook));
    let readiness = Readiness::awaiting(steps);
    let heartbeats = Heartbeats::default();
    let observer = TaskObserver::new(heartbeats.clone(), metrics.clone());
    let (mut tasks, mut work) = (Tasks::new(observer.clone()), Tasks::new(observer.clone()));
    let store = Store::new(clients.write.clone(), &config.namespace);
    let worked_before = !load(&store, &config.namespace).await?.is_empty();
    let grace = SignedDuration::try_from(config.withdrawal_grace).unwrap_or(SignedDuration::MAX);
    let shared =
        SharedState::new(&config.region, Arc::new(config.template.clone()), WithdrawalGuard::new(grace));
    let sources = ClusterSources::new(&clients, &config.namespace, config.places.clone(), shared.clone());
    let sources = Arc::new(sources);
    let cloud = cloud(sources.clone(), metrics.clone())?;
    let seen = watches::spawn_all(&mut tasks, &config, &clients, &readiness, &shared);
    spawn(&mut tasks, "the publisher", shared.clone().keep_publishing());
    let context = LoopContext { shared, readiness, metrics, store, cloud, sources, seen, webhook };
    let server = admin_server(&config, &clients, &context, &heartbeats);
    spawn(&mut tasks, "the admin server", serve_admin(server, config.listen_address));
    spawn_for_every_replica(&mut tasks, &config, &clients, &context);
    let watched = LeaseWatch::default();
    let lease_client = context.shared.watches.listen(&clients.watch, watch_health::LEASE);
    let lease_watch = watched.watch(lease_client, &config.namespace);
    spawn(&mut tasks, "the watch on the lease", lease_watch);
    let signals = StartSignals::default();
    let candidate = candidate(&config, &clients, &signals, worked_before);
    let lease_config = lease_config(&config, &clients, &heartbeats);
    let mut lease = LeaseThread::start(lease_config, candidate, &watched, callbacks(&context, &signals))?;
    let (metrics, shared, webhook) =
        (context.metrics.clone(), context.shared.clone(), context.webhook.clone());
    let supervised = supervise(&mut tasks, &mut work, &config, &clients, context, &signals);
    let ended = tokio::select! {
        () = stop => Ok(()),
        loss = lease.lost() => Err(loss.map_or(ControllerError::Ended("the thread of the lease"), ControllerError::Lost)),
        ended = observer.observe("the supervisor", supervised) => Err(ended),
    };
    if let Err(lost @ ControllerError::Lost(_)) = ended {
        return Err(lost);
    }
    info!("controller stopping");
    if tokio::time::timeout(LAST_WRITES, clients.claim.close()).await.is_err() {
        warn!("writes under way abandoned");
    }
    work.shutdown().await;
    lease.release().await;
    metrics.set_leader(false);
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
    let blindness = BlindnessLoop { shared: context.shared.clone(), limit: config.watch_stale_after };
    spawn(tasks, "the blindness loop", blindness.run());
}

/// Returns what this replica brings into the election.
fn candidate(
    config: &ControllerConfig,
    clients: &Clients,
    signals: &StartSignals,
    worked_before: bool,
) -> Candidate {
    let timings = LeaseTimings { lease: config.lease };
    let begin = if config.dry_run { Election::watching } else { Election::new };
    Candidate {
        election: begin(&config.replica, timings, worked_before, Instant::now()),
        claim: clients.claim.clone(),
        ready: signals.caches_full.clone(),
    }
}

fn lease_config(config: &ControllerConfig, clients: &Clients, heartbeats: &Heartbeats) -> LeaseConfig {
    let heartbeats = heartbeats.clone();
    LeaseConfig {
        config: clients.config.clone(),
        namespace: config.namespace.clone(),
        name: config.replica.clone(),
        timings: LeaseTimings { lease: config.lease },
        clock: clock::now,
        stopped: Box::new(move |now| heartbeats.stopped(now, heartbeats::STOPPED)),
    }
}

fn callbacks(
    context: &LoopContext,
    signals: &StartSignals,
) -> Callbacks<impl Fn() + Send + use<>, impl Fn() + Send + use<>> {
    let (readiness, metrics) = (context.readiness.clone(), context.metrics.clone());
    let acquired = signals.lease_acquired.clone();
    Callbacks {
        read: move || readiness.done(StartupStep::Lease),
        acquired: move || {
            metrics.set_leader(true);
            acquired.notify_one();
        },
    }
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

/// Returns the server of health and metrics.
fn admin_server(
    config: &ControllerConfig,
    clients: &Clients,
    context: &LoopContext,
    heartbeats: &Heartbeats,
) -> AdminServer {
    let (shared, metrics) = (context.shared.clone(), context.metrics.clone());
    let streams = clients.watch_streams.clone();
    let refresh = move || gauges::refresh(&shared, &metrics, streams.get());
    AdminServer {
        readiness: context.readiness.clone(),
        metrics: context.metrics.clone(),
        watches: context.shared.watches.clone(),
        stale_after: config.watch_stale_after,
        heartbeats: heartbeats.clone(),
        refresh: Arc::new(refresh),
    }
}

async fn serve_admin(server: AdminServer, address: SocketAddr) {
    if let Err(error) = server.serve(address).await {
        error!(%error, %address, "health and metrics cannot be served; choose another --listen-address");
    }
}
