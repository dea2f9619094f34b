//! The loops, and what joins them.
//!
//! ```text
//! watches → index ─────────────┐
//! bindings → book ─┬─ publish → snapshot → namespace loop → apply → tallies → binding loop → status
//! credential loop → ledger ────┘
//! ConfigMap → config_map loop → binding
//! ```

mod binding;
mod board;
mod book;
mod clock;
mod config_map;
mod credential;
mod fence;
mod heal;
mod ledger;
mod namespace;
mod queue;
mod rivals;
mod sources;
mod tasks;
mod watches;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use tracing::{error, info, warn};

use self::binding::BindingLoop;
use self::board::{Board, WORKERS};
use self::config_map::{ConfigMapLoop, ConfigMapSink};
use self::credential::CredentialLoop;
use self::fence::FenceLoop;
use self::ledger::Ledger;
use self::namespace::NamespaceLoop;
use self::sources::ClusterSources;
pub use self::sources::Places;
use self::tasks::{Tasks, name_of, spawn};
use crate::api::names;
use crate::cloud::{Alibaba, SetupError, Sources};
use crate::cluster::Applier;
use crate::cluster::error::CallError;
use crate::cluster::keys::KeySecrets;
use crate::cluster::report::BindingWriter;
use crate::cluster::store::Store;
use crate::cluster::watch::{self, watch};
use crate::plan::Template;
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
    /// Nothing is written to any covered namespace: statuses say what would be.
    pub dry_run: bool,
    /// Whether Pods that were created too early are replaced.
    pub heal_stuck_pods: bool,
    /// Where identities begin.
    pub places: Places,
    /// Where health and metrics are served.
    pub listen_address: SocketAddr,
}

/// Why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What must never end has ended.
    #[error("{0} ended, and the controller cannot work without it")]
    Ended(&'static str),
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
    /// For everything else.
    pub write: Client,
}

/// What must be known before anything is written: whether the policies stand is a part of every status.
const AWAITED: [&str; 5] = ["namespaces", "service accounts", "secrets", "bindings", "policies"];

/// Runs until `stop` is ready, or until something that must never end ends.
///
/// # Errors
/// [`Error`].
pub async fn run(
    config: Config,
    clients: Clients,
    cloud: impl FnOnce(Arc<dyn Sources>) -> Result<Alibaba, SetupError>,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let metrics = Arc::new(Metrics::default());
    let readiness = Readiness::awaiting(AWAITED);
    let mut tasks = Tasks::new();
    let store = Store::new(clients.write.clone(), &config.namespace);
    let kept = load(&store, &config.namespace).await?;
    let board = Board::new(&config.region, Arc::new(config.template.clone()), Ledger::new(kept));
    let sources = ClusterSources::new(&clients, &config.namespace, config.places.clone(), board.clone());
    let sources = Arc::new(sources);
    let cloud = cloud(sources.clone())?;
    serve_admin(&mut tasks, &config, &readiness, &metrics, &board);
    watches::spawn_all(&mut tasks, &config, &clients, &readiness, &board);
    let fence = FenceLoop {
        client: clients.write.clone(),
        board: board.clone(),
        metrics: metrics.clone(),
        readiness: readiness.clone(),
    };
    spawn(&mut tasks, "the fence", fence.run(config.clone()));
    tokio::select! {
        () = stop => {
            info!("stopping");
            tasks.shutdown().await;
            Ok(())
        }
        ended = supervise(&mut tasks, &config, &clients, Parts { board, readiness, metrics, store, cloud, sources }) => Err(ended),
    }
}

struct Parts {
    board: Arc<Board>,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    store: Store,
    cloud: Alibaba,
    sources: Arc<ClusterSources>,
}

/// Starts the loops once the caches are full, and waits for any task to end.
async fn supervise(tasks: &mut Tasks, config: &Config, clients: &Clients, parts: Parts) -> Error {
    tokio::select! {
        () = parts.readiness.complete() => {}
        Some(ended) = tasks.join_next() => return Error::Ended(name_of(ended)),
    }
    info!("caches are full");
    parts.board.go_live(config.config_map_namespace.is_some());
    spawn_loops(tasks, config, clients, parts);
    match tasks.join_next().await {
        Some(ended) => Error::Ended(name_of(ended)),
        None => Error::Ended("everything"),
    }
}

async fn load(store: &Store, namespace: &str) -> Result<crate::cluster::store::Tokens, Error> {
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
    board: &Arc<Board>,
) {
    let (address, readiness, metrics, board) =
        (config.listen_address, readiness.clone(), metrics.clone(), board.clone());
    let gauges = metrics.clone();
    let refresh = move || {
        for (name, depth) in [("namespace", board.namespaces.depth()), ("binding", board.bindings.depth())] {
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

fn spawn_loops(tasks: &mut Tasks, config: &Config, clients: &Clients, parts: Parts) {
    let Parts { board, metrics, store, cloud, sources, .. } = parts;
    let applier = Applier::new(clients.write.clone(), board.index.clone(), board.template().clone());
    let worker = NamespaceLoop {
        board: board.clone(),
        applier,
        metrics: metrics.clone(),
        attempts: Arc::default(),
        rivals: Arc::default(),
        dry_run: config.dry_run,
    };
    for _ in 0..WORKERS {
        spawn(tasks, "a namespace worker", worker.clone().run());
    }
    if config.heal_stuck_pods {
        heal::spawn_all(tasks, clients, (&board, &metrics), config.dry_run);
    }
    let writer = BindingWriter::new(clients.write.clone());
    let reporter = BindingLoop {
        board: board.clone(),
        writer: writer.clone(),
        metrics: metrics.clone(),
        pace: Arc::default(),
    };
    for _ in 0..4 {
        spawn(tasks, "a binding worker", reporter.clone().run());
    }
    spawn(
        tasks,
        "the credential loop",
        CredentialLoop { board: board.clone(), cloud, sources, store, metrics: metrics.clone() }.run(),
    );
    if let Some(namespace) = &config.config_map_namespace {
        let seen = Arc::default();
        let api: Api<ConfigMap> = Api::namespaced(clients.watch.clone(), namespace);
        let fields = watch::config().fields(&format!("metadata.name={}", names::LEGACY_NAME));
        let sink = ConfigMapSink { seen: Arc::clone(&seen), board: board.clone() };
        spawn(tasks, "the watch on the ConfigMap", watch(api, fields, sink));
        let keys = KeySecrets::new(clients.write.clone(), &config.namespace);
        let grace = config.config_map_grace;
        spawn(tasks, "the ConfigMap loop", ConfigMapLoop { board, writer, keys, grace, metrics, seen }.run());
    }
}
