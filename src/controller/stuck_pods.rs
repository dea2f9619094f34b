//! The stuck Pods loop, with `--replace-stuck-pods` only: Pods that copied their list too early are replaced.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{Api, ResourceExt};
use tokio::sync::Notify;
use tracing::{debug, info, trace, warn};

use super::clients::Clients;
use super::clock;
use super::state::SharedState;
use super::tasks::{Tasks, spawn};
use crate::api::event::EventReason;
use crate::cluster::clock::monotonic;
use crate::cluster::error::CallError;
use crate::cluster::listed_names::ListedNames;
use crate::cluster::pods::{DeletionError, PodState, PodWriter, WatchedPod};
use crate::cluster::watch::{self, Sink, watch};
use crate::plan::NamespaceView;
use crate::plan::refresh::backoff;
use crate::plan::stuck_pods::{Circumstances, PodDecision, StuckPod, decide};
use crate::server::Metrics;

/// The pace of replacing: 30 Pods a minute in the whole cluster, so that their pulls do not come all at once.
const PACE: Duration = Duration::from_secs(2);

/// How often Pods are checked that wait: for their ServiceAccount, for our Secret, or for [`SETTLED`].
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// How long the Pods of an owner are replaceable before the first is replaced. Then all that lack the entry only because
/// they came too early were created in an earlier second, and are told apart from a new one that lacks it again.
const SETTLED: Duration = Duration::from_secs(2);

/// The first and the longest wait after refusals in a row. A right or a policy that was just applied takes a moment; one
/// that is missing needs a person.
const REFUSED: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// The time after which an owner whose Pod was replaced is forgotten.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// Namespace and name of a Pod.
type Key = (Box<str>, Box<str>);

/// The Pods that are stuck. Nothing is stored of any other.
#[derive(Debug, Default)]
struct Stuck {
    pods: Mutex<BTreeMap<Key, StuckPod>>,
    changed: Notify,
}

impl Stuck {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, StuckPod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(pod: &WatchedPod) -> Key {
    (pod.namespace().unwrap_or_default().into(), pod.name_any().into())
}

/// Receives pending Pods.
struct PodSink {
    stuck: Arc<Stuck>,
    secret_name: Box<str>,
}

impl Sink<WatchedPod> for PodSink {
    fn put(&mut self, object: WatchedPod) {
        let (key, uid, version) = (key(&object), object.uid(), object.resource_version());
        match object.state() {
            PodState::Stuck(pod) if pod.owner.is_some() && !pod.pull_secrets.contains(&self.secret_name) => {
                self.stuck.lock().insert(key, pod);
                self.stuck.changed.notify_one();
            }
            // Its version moved, and a deletion names the version.
            PodState::BackingOff => {
                let mut pods = self.stuck.lock();
                match pods.get_mut(&key).filter(|held| Some(&*held.uid) == uid.as_deref()) {
                    Some(held) => held.resource_version = version.unwrap_or_default().into(),
                    None => drop(pods.remove(&key)),
                }
            }
            PodState::Stuck(_) | PodState::Other => drop(self.stuck.lock().remove(&key)),
        }
    }

    fn remove(&mut self, object: WatchedPod) {
        self.stuck.lock().remove(&key(&object));
    }

    fn listed(&mut self, seen: &ListedNames) {
        self.stuck.lock().retain(|key, _| seen.contains(&key.0, &key.1));
    }
}

/// Starts the watch on pending Pods and the loop.
pub fn spawn_all(
    tasks: &mut Tasks,
    clients: &Clients,
    shared: &Arc<SharedState>,
    metrics: &Arc<Metrics>,
    dry_run: bool,
) {
    let stuck = Arc::new(Stuck::default());
    let sink = PodSink { stuck: stuck.clone(), secret_name: shared.template().name.clone() };
    let pods: Api<WatchedPod> = Api::all(clients.watch.clone());
    spawn(tasks, "the watch on pods", watch(pods, watch::config().fields("status.phase=Pending"), sink));
    let replacer = StuckPodsLoop {
        shared: shared.clone(),
        writer: PodWriter::new(clients.write.clone()),
        metrics: metrics.clone(),
        stuck,
        replaced: HashMap::new(),
        replaceable: HashMap::new(),
        refusals: 0,
        dry_run,
    };
    spawn(tasks, "the stuck Pods loop", replacer.run());
}

struct StuckPodsLoop {
    shared: Arc<SharedState>,
    writer: PodWriter,
    metrics: Arc<Metrics>,
    stuck: Arc<Stuck>,
    /// When a Pod of an owner was first replaced, by the owner's UID and the API server's clock.
    replaced: HashMap<Box<str>, Timestamp>,
    /// Since when an owner has a Pod that is replaceable, by the owner's UID.
    replaceable: HashMap<Box<str>, Instant>,
    /// Refused attempts in a row.
    refusals: u32,
    dry_run: bool,
}

impl StuckPodsLoop {
    async fn run(mut self) {
        loop {
            let idle = self.stuck.lock().is_empty();
            tokio::select! {
                () = self.stuck.changed.notified() => {}
                () = tokio::time::sleep(CHECK_EVERY), if !idle => {}
            }
            while let Some(pod) = self.next() {
                let rest = self.replace(&pod).await;
                tokio::time::sleep(rest).await;
            }
        }
    }

    /// Returns the next Pod to replace. One that is left is forgotten until its kubelet reports it again.
    fn next(&mut self) -> Option<StuckPod> {
        let (now, observed) = (clock::now(), monotonic());
        let before = std::mem::take(&mut self.replaceable);
        let judge = |pod: &StuckPod| {
            let replaced_at = pod.owner.as_ref().and_then(|owner| self.replaced.get(&owner.uid)).copied();
            let (state, snapshot) = (self.shared.state(), self.shared.snapshot());
            let judge = |view: &NamespaceView| {
                let retained = state.guard.retained(&pod.namespace, view.facts.as_ref(), &snapshot, now);
                decide(
                    pod,
                    Circumstances { view, snapshot: &snapshot, retained: &retained, replaced_at, now },
                )
            };
            let decide = self.shared.index.read(&pod.namespace, judge);
            decide.unwrap_or(PodDecision::Wait("its namespace is not known yet"))
        };
        let (mut chosen, mut replaceable) = (None, HashMap::new());
        self.stuck.lock().retain(|(namespace, pod), stuck| match judge(stuck) {
            PodDecision::Replace => {
                let owner = stuck.owner.as_ref().map(|owner| owner.uid.clone()).unwrap_or_default();
                let since = before.get(&owner).copied().unwrap_or(observed);
                replaceable.insert(owner, since);
                if observed.saturating_duration_since(since) >= SETTLED {
                    chosen.get_or_insert_with(|| stuck.clone());
                }
                true
            }
            PodDecision::Wait(why) => {
                trace!(%namespace, %pod, why, "stuck Pod waits");
                true
            }
            PodDecision::Leave(why) => {
                debug!(%namespace, %pod, why, "stuck Pod left");
                false
            }
        });
        self.replaceable = replaceable;
        chosen
    }

    /// Replaces a Pod. Returns how long to rest afterwards.
    async fn replace(&mut self, pod: &StuckPod) -> Duration {
        let (namespace, name) = (&pod.namespace, &pod.name);
        let forget = || self.stuck.lock().remove(&(namespace.clone(), name.clone()));
        if self.dry_run {
            info!(%namespace, pod = %name, "would replace the stuck Pod");
            forget();
            return Duration::ZERO;
        }
        let now = clock::now();
        let result = self.writer.delete(pod, now).await;
        if result == Err(DeletionError::Call(CallError::Conflict)) {
            // The watch brings its present state.
            return PACE;
        }
        Metrics::count(&self.metrics.stuck_pods, result.is_ok());
        forget();
        match result {
            Ok(at) => {
                self.refusals = 0;
                info!(%namespace, pod = %name, "stuck Pod replaced");
                self.replaced.retain(|_, at| now.duration_since(*at) < REMEMBERED);
                if let Some(owner) = &pod.owner {
                    self.replaced.entry(owner.uid.clone()).or_insert(at);
                }
                self.writer.event(pod, EventReason::StuckPodReplaced, self.note(pod)).await;
                PACE
            }
            Err(DeletionError::Call(CallError::NotFound)) => Duration::ZERO,
            Err(DeletionError::PolicyMissing) => {
                warn!(
                    "stuck Pods are not replaced: no policy confines what this controller may delete; apply \
                     deploy/stuck-pods.yaml (Kubernetes 1.30 or newer)"
                );
                self.refused()
            }
            Err(DeletionError::Call(error)) => {
                warn!(%namespace, pod = %name, %error, "the stuck Pod cannot be replaced: apply deploy/stuck-pods.yaml");
                self.refused()
            }
        }
    }

    /// Returns how long to rest after a further refusal.
    fn refused(&mut self) -> Duration {
        self.refusals = self.refusals.saturating_add(1);
        backoff(self.refusals, REFUSED.0, REFUSED.1, "stuck Pods")
    }

    fn note(&self, pod: &StuckPod) -> String {
        format!(
            "Pod {} was created before the ServiceAccount {} had the entry {}, and was refused {}: deleted, so that a new \
             Pod is made, which has it",
            pod.name,
            pod.service_account,
            self.shared.template().name,
            pod.images.join(", ")
        )
    }
}
