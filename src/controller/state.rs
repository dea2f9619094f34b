//! The shared state: one lock, and the channels that wake the loops.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::binding_store::BindingStore;
use super::waiting_bindings::WaitingBindings;
use super::work_queue::WorkQueue;
use crate::cluster::Index;
use crate::cluster::budget::WriteBudget;
use crate::cluster::watch_health::WatchHealth;
use crate::model::legacy::{MAX_KEY_PAIRS, key_secret_name};
use crate::plan::admission_mode::{AdmissionModes, AppliedParameters};
use crate::plan::binding_step::SETTLE;
use crate::plan::condition::BindingCondition;
use crate::plan::credential_cache::CredentialCache;
use crate::plan::passed_over::PassedOver;
use crate::plan::priority::{PlaceLimits, Priority};
use crate::plan::rollup::Rollups;
use crate::plan::scheduler::NAMESPACES;
use crate::plan::stored_binding::StoredBinding;
use crate::plan::unpublished::Unpublished;
use crate::plan::withdrawal_guard::WithdrawalGuard;
use crate::plan::{Failure, NamespaceResult, Snapshot, Template};

/// The shared state.
#[derive(Debug)]
pub struct SharedState {
    /// The records of all namespaces.
    pub index: Arc<Index>,
    /// Namespaces to reconcile.
    pub namespaces: Arc<WorkQueue<Arc<str>>>,
    /// Permits of writes in tenants' namespaces.
    pub writes: Arc<WriteBudget>,
    /// Bindings whose status or finalizer to reconcile.
    pub bindings: Arc<WorkQueue<Arc<str>>>,
    /// Wakes the publisher when bindings changed.
    pub(super) publications: Notify,
    /// When each watch was last heard.
    pub watches: WatchHealth,
    /// Wakes the credential loop when demands changed.
    pub credentials: Notify,
    /// Wakes the ConfigMap loop when the ConfigMap or its binding changed.
    pub config_map: Notify,
    /// Secrets with key pairs of the ConfigMap that changed since its loop last read them.
    changed_keys: Mutex<BTreeSet<Box<str>>>,
    /// Wakes the definition loop when the CustomResourceDefinition may have changed.
    pub definition: Notify,
    /// Bindings that wait for the labels that they select by.
    pub(super) waiting: WaitingBindings,
    /// The cluster's region.
    pub(super) cluster_region: Box<str>,
    /// The snapshot that namespaces are planned by.
    pub(super) snapshot: watch::Sender<Arc<Snapshot>>,
    /// The modes in which ServiceAccounts are served while they are created.
    pub(super) modes: watch::Sender<AdmissionModes>,
    template: Arc<Template>,
    state: Mutex<State>,
}

/// The state behind the lock.
#[derive(Debug)]
pub struct State {
    /// The bindings.
    pub bindings: BindingStore,
    /// Bindings that changed and are not published yet.
    pub(super) unpublished: Unpublished,
    /// Namespaces in which bindings had a part that are gone, and whose snapshot still has them.
    pub(super) left: HashSet<Arc<str>>,
    /// Whether the last snapshot was made without a CustomResourceDefinition.
    pub(super) published_undefined: bool,
    /// The credentials.
    pub credentials: CredentialCache,
    /// The results of all namespaces.
    pub rollups: Rollups,
    /// The guard against withdrawals by mistake.
    pub guard: WithdrawalGuard,
    /// The namespaces that bindings select and do not cover.
    pub passed_over: PassedOver,
    /// Conditions of single bindings, decided elsewhere.
    pub notes: HashMap<Arc<str>, Vec<BindingCondition>>,
    /// Conditions of every binding.
    pub common: Vec<BindingCondition>,
    /// Why the statuses may be out of date: a watch hears nothing.
    pub blindness: Option<Failure>,
    /// The entries that the API server adds by itself.
    pub(super) applied: AppliedParameters,
    /// Whether the ConfigMap is watched.
    pub(super) config_map: bool,
    /// Whether the work has begun: before that, no list of namespaces is complete.
    pub(super) live: bool,
}

impl State {
    /// Returns whether a converted binding's status must wait for the first reconciliation of the ConfigMap.
    pub fn awaits_config_map(&self, name: &str) -> bool {
        let good = self.bindings.get(name).and_then(|entry| entry.good.as_ref());
        self.config_map && good.is_some_and(|good| good.converted) && !self.notes.contains_key(name)
    }

    /// Returns the priority of a binding's next step.
    pub fn priority_of(&self, name: &str) -> Priority {
        self.bindings.get(name).map_or(Priority::Changed, StoredBinding::priority)
    }
}

impl SharedState {
    /// Returns a state that knows nothing yet.
    pub fn new(cluster_region: &str, template: Arc<Template>, guard: WithdrawalGuard) -> Arc<Self> {
        let state = State {
            bindings: BindingStore::default(),
            unpublished: Unpublished::default(),
            left: HashSet::new(),
            published_undefined: true,
            credentials: CredentialCache::default(),
            rollups: Rollups::default(),
            guard,
            passed_over: PassedOver::default(),
            notes: HashMap::new(),
            common: Vec::new(),
            blindness: None,
            applied: AppliedParameters::default(),
            config_map: false,
            live: false,
        };
        Arc::new(Self {
            index: Arc::default(),
            namespaces: WorkQueue::new(NAMESPACES, Priority::Retry),
            writes: Arc::default(),
            bindings: WorkQueue::new(PlaceLimits::NONE, Priority::Changed),
            publications: Notify::new(),
            watches: WatchHealth::default(),
            credentials: Notify::new(),
            config_map: Notify::new(),
            changed_keys: Mutex::default(),
            definition: Notify::new(),
            waiting: WaitingBindings::default(),
            cluster_region: cluster_region.into(),
            snapshot: watch::Sender::new(Arc::new(Snapshot::new(template.clone(), Vec::new(), true))),
            template,
            modes: watch::Sender::default(),
            state: Mutex::new(state),
        })
    }

    /// Locks the state, for a moment only and never across an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the snapshot that namespaces are planned by.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Records that a Secret of a key pair changed. One that was made from the ConfigMap is compared with it.
    pub fn key_secret_changed(&self, name: &str) {
        if !(0..MAX_KEY_PAIRS).any(|number| key_secret_name(number) == name) {
            return;
        }
        self.changed_keys.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into());
        self.config_map.notify_one();
    }

    /// Takes the names of the ConfigMap's key pairs whose Secrets changed.
    pub fn take_changed_keys(&self) -> BTreeSet<Box<str>> {
        std::mem::take(&mut *self.changed_keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Subscribes to snapshots.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// Subscribes to the modes in which ServiceAccounts are served while they are created.
    pub fn modes(&self) -> watch::Receiver<AdmissionModes> {
        self.modes.subscribe()
    }

    /// Returns the template of our Secrets.
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// Queues a namespace that changed.
    pub fn wake_namespace(&self, name: Arc<str>) {
        let newcomer = self.index.update(&name, |record| std::mem::take(&mut record.has_newcomer));
        let priority = if newcomer == Some(true) { Priority::New } else { Priority::Changed };
        self.namespaces.add(name, priority);
    }

    /// Forgets how the writes of a namespace went: it is gone.
    pub fn forget_pace(&self, namespace: &Arc<str>) {
        self.namespaces.forget(namespace);
        self.writes.forget(namespace);
    }

    /// Queues the status of a binding, after the results that come with this one.
    pub fn schedule_status(&self, binding: Arc<str>) {
        self.bindings.add_after(binding, SETTLE);
    }

    /// Reports the state of a namespace to the bindings that matter there.
    pub fn report(&self, namespace: &Arc<str>, results: &[NamespaceResult]) {
        let changed = self.state().rollups.record(namespace, results);
        changed.into_iter().for_each(|binding| self.schedule_status(binding));
    }
}
