//! The loops, and what joins them.
//!
//! ```text
//! watches → index ─────────────┐
//! bindings → book ─┬─ publish → snapshot → namespace loop → apply → tallies → binding loop → status
//! credential loop → ledger ────┘
//! ConfigMap → config_map loop → binding
//! ```
//!
//! Every replica watches and answers probes; the loops run in the one that holds the lease, and what they write goes
//! out under its claim.

mod admission;
mod admission_policy;
mod binding;
mod binding_store;
mod clock;
mod config_map;
mod conflicts;
mod credential;
mod credential_cache;
mod definition;
mod guard;
mod loops;
mod namespace;
mod policy_probe;
mod sources;
mod state;
mod stuck_pods;
mod tasks;
mod watches;
pub mod webhook;
mod work_queue;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::SignedDuration;
use kube::Client;
use tokio::sync::{Notify, watch as channel};
use tracing::{error, info, warn};

use self::definition::DefinitionLoop;
use self::policy_probe::PolicyProbeLoop;
use self::sources::ClusterSources;
pub use self::sources::Places;
use self::state::SharedState;
use self::tasks::{Tasks, name_of, spawn};
use self::webhook::Webhook;
use crate::api::names;
use crate::cloud::{Alibaba, IdentitySources, SetupError};
use crate::cluster::claim::Claim;
use crate::cluster::client;
use crate::cluster::error::CallError;
use crate::cluster::lease::{Callbacks, LeaseConfig, LeaseHolder, LeaseWatch};
use crate::cluster::parameters::ParametersState;
use crate::cluster::report::BindingWriter;
use crate::cluster::store::{Store, Tokens};
use crate::plan::Template;
use crate::plan::guard::WithdrawalGuard;
use crate::plan::lease::{Election, LeaseLost, LeaseTimings};
use crate::server::Metrics;
use crate::server::admin::{self, Readiness};

/// Everything that a flag decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's region.
    pub region: Box<str>,
    /// The namespace that the controller runs in.
    pub namespace: Box<str>,
    /// How our Secrets look.
    pub template: Template,
    /// Namespace of the legacy ConfigMap; `None`: it is not looked at.
    pub config_map_namespace: Option<Box<str>>,
    /// How long the legacy ConfigMap may be gone before its binding goes too.
    pub config_map_grace: Duration,
    /// How long what a binding made stays, after the binding suddenly covers nothing; zero: not at all.
    pub withdrawal_grace: Duration,
    /// Nothing is written to any covered namespace: statuses say what would be.
    pub dry_run: bool,
    /// Whether Pods that were created too early are replaced.
    pub replace_stuck_pods: bool,
    /// Where identities begin.
    pub places: Places,
    /// Where health and metrics are served.
    pub listen_address: SocketAddr,
    /// This replica's name in the lease: no other that runs at the same time has it.
    pub replica: Box<str>,
    /// How long the lease lasts after a renewal.
    pub lease: Duration,
    /// How ServiceAccounts are served by webhook.
    pub webhook: webhook::Settings,
}

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What must never end has ended.
    #[error("{0} ended, and the controller cannot work without it")]
    Ended(&'static str),
    /// Another replica may hold the lease now, so this one stops. It is started again as a standby.
    #[error("the lease {lease} is lost: {0}", lease = names::LEASE_NAME)]
    Lost(LeaseLost),
    /// A client of the API server cannot be built.
    #[error(transparent)]
    Client(#[from] client::ClientError),
    /// The client of the cloud cannot be built.
    #[error(transparent)]
    Cloud(#[from] SetupError),
    /// The token cache could not be read.
    #[error("the token cache {namespace}/{name} cannot be read: {words}", name = names::CACHE_SECRET_NAME)]
    Cache {
        /// The controller's namespace.
        namespace: Box<str>,
        /// The API server's words.
        words: Box<str>,
    },
}

/// Connections to the API server: writes must not wait behind a list.
#[derive(Clone)]
pub struct Clients {
    /// For watches.
    pub watch: Client,
    /// For everything else. It writes only while this replica holds the lease.
    pub write: Client,
    claim: Claim,
    config: kube::Config,
}

impl Clients {
    /// Connects nothing yet.
    ///
    /// # Errors
    /// What of the configuration cannot be used.
    pub fn new(config: kube::Config) -> Result<Self, client::ClientError> {
        let claim = Claim::default();
        let (watch, write) = (client::connect(&config)?, client::connect_under(&config, &claim)?);
        Ok(Self { watch, write, claim, config })
    }
}

/// What must be known before anything is written: whether the policies stand is a part of every status, without the
/// CustomResourceDefinition no absence of a binding is a wish, and a replica that cannot look at the lease is of no use,
/// so an upgrade without its RBAC halts.
const AWAITED: [&str; 8] = [
    "namespaces",
    "service accounts",
    "secrets",
    "bindings",
    "policies",
    "definition",
    "admission parameters",
    "the lease",
];

/// How long writes that are under way may take at the end.
const LAST_WRITES: Duration = Duration::from_secs(3);

/// Runs until `stop` is ready, or until something that must never end ends.
///
/// # Errors
/// [`Error`].
pub async fn run(
    config: Config,
    clients: Clients,
    cloud: impl FnOnce(Arc<dyn IdentitySources>) -> Result<Alibaba, SetupError>,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let metrics = Arc::new(Metrics::default());
    let webhook = Webhook::new(config.webhook.clone());
    let awaited = AWAITED.into_iter().chain(webhook.is_on().then_some(webhook::PART));
    let readiness = Readiness::awaiting(awaited);
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
    let policy_probe = PolicyProbeLoop {
        client: clients.write.clone(),
        shared: shared.clone(),
        metrics: metrics.clone(),
        readiness: readiness.clone(),
    };
    spawn(&mut tasks, "the fence", policy_probe.run(config.clone()));
    if webhook.is_on() {
        let parts = webhook::Parts {
            client: clients.watch.clone(),
            namespace: config.namespace.clone(),
            shared: shared.clone(),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
        };
        spawn(&mut tasks, "the webhook", webhook.clone().serve(parts));
    }
    let writer = BindingWriter::new(clients.write.clone());
    let definition = DefinitionLoop { shared: shared.clone(), writer, readiness: readiness.clone() };
    spawn(&mut tasks, "the definition loop", definition.run());
    let watched = LeaseWatch::default();
    let lease_watch = watched.watch(clients.watch.clone(), &config.namespace);
    spawn(&mut tasks, "the watch on the lease", lease_watch);
    let mut holder = holder(&config, &clients, &watched, worked_before)?;
    let (full, ours) = (Notify::new(), Notify::new());
    let callbacks = Callbacks {
        read: || readiness.done("the lease"),
        acquired: || {
            metrics.leader.set(1);
            ours.notify_one();
        },
    };
    let parts = Parts {
        shared: shared.clone(),
        readiness: readiness.clone(),
        metrics: metrics.clone(),
        store,
        cloud,
        sources,
        seen,
        webhook: webhook.clone(),
    };
    let ended = tokio::select! {
        () = stop => Ok(()),
        loss = holder.keep(full.notified(), callbacks) => Err(Error::Lost(loss)),
        ended = supervise((&mut tasks, &mut work), &config, &clients, (parts, &full, &ours)) => Err(ended),
    };
    if let Err(lost @ Error::Lost(_)) = ended {
        return Err(lost);
    }
    info!("stopping");
    if tokio::time::timeout(LAST_WRITES, clients.claim.close()).await.is_err() {
        warn!("writes that were under way are given up");
    }
    work.shutdown().await;
    holder.release().await;
    metrics.leader.set(0);
    // Another works now. What is watched is watched on: the webhook answers from it.
    if ended.is_ok() {
        webhook.linger(&shared).await;
    }
    webhook.drain().await;
    tasks.shutdown().await;
    ended
}

struct Parts {
    shared: Arc<SharedState>,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    store: Store,
    cloud: Alibaba,
    sources: Arc<ClusterSources>,
    seen: Arc<channel::Sender<Option<ParametersState>>>,
    webhook: Webhook,
}

fn holder(
    config: &Config,
    clients: &Clients,
    watched: &LeaseWatch,
    worked_before: bool,
) -> Result<LeaseHolder, client::ClientError> {
    let timings = LeaseTimings { lease: config.lease };
    let begin = if config.dry_run { Election::watching } else { Election::new };
    let election = begin(&config.replica, timings, worked_before, Instant::now());
    let seat = LeaseConfig {
        config: clients.config.clone(),
        namespace: config.namespace.clone(),
        name: config.replica.clone(),
        timings,
        clock: clock::now,
    };
    LeaseHolder::new(seat, election, clients.claim.clone(), watched)
}

/// Starts the loops once the caches are full and the lease is ours, and waits for any task to end.
async fn supervise(
    (tasks, work): (&mut Tasks, &mut Tasks),
    config: &Config,
    clients: &Clients,
    (parts, full, ours): (Parts, &Notify, &Notify),
) -> Error {
    let begin = async {
        parts.readiness.complete().await;
        info!("caches are full");
        full.notify_one();
        ours.notified().await;
        // Whoever held the lease before may have minted until a moment ago.
        load(&parts.store, &config.namespace).await
    };
    let kept = tokio::select! {
        kept = begin => kept,
        Some(ended) = tasks.join_next() => return Error::Ended(name_of(ended)),
    };
    match kept {
        Ok(kept) => parts.shared.begin(kept, config.config_map_namespace.is_some()),
        Err(error) => return error,
    }
    loops::spawn_all(work, config, clients, parts);
    tokio::select! {
        Some(ended) = tasks.join_next() => Error::Ended(name_of(ended)),
        Some(ended) = work.join_next() => Error::Ended(name_of(ended)),
        else => Error::Ended("everything"),
    }
}

async fn load(store: &Store, namespace: &str) -> Result<Tokens, Error> {
    let mut wait = Duration::from_millis(250);
    for _ in 0..5 {
        match store.load().await {
            Ok(tokens) => return Ok(tokens),
            Err(error) => warn!(%error, "the token cache cannot be read yet"),
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    let cache =
        |error: CallError| Error::Cache { namespace: namespace.into(), words: error.to_string().into() };
    store.load().await.map_err(cache)
}

fn serve_admin(
    tasks: &mut Tasks,
    config: &Config,
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
            error!(%error, %address, "the admin server cannot serve; choose another --listen-address");
        }
    });
}
