//! What the loops share: the bindings, what is held for them, what stands, and who must look next.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::admission::Ways;
use super::book::Book;
use super::ledger::Ledger;
use super::queue::{Lane, Queue};
use super::sources;
use crate::api::{AcrCredentialBinding, ConditionType};
use crate::cluster::Index;
use crate::cluster::named_secret::Seen;
use crate::model::identity::Base;
use crate::plan::tally::Tallies;
use crate::plan::{Bound, Failure, Snapshot, Standing, Template};

/// Workers that may be busy with bulk work, of all.
pub const WORKERS: usize = 20;
const BULK_WORKERS: usize = 16;

/// Why the namespaces are shown something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A binding asks something else: it is not ready before every namespace was looked at.
    Spec,
    /// A start, or fresh credentials: what stands is good meanwhile.
    Same,
}

/// The shared state.
#[derive(Debug)]
pub struct Board {
    /// What is known of the cluster.
    pub index: Arc<Index>,
    /// Namespaces to look at.
    pub namespaces: Arc<Queue<Arc<str>>>,
    /// Bindings whose status or finalizer to look at.
    pub bindings: Arc<Queue<Arc<str>>>,
    /// Told when what is wanted of the cloud changed.
    pub credentials: Notify,
    /// Told when the ConfigMap or its binding changed.
    pub config_map: Notify,
    cluster_region: Box<str>,
    template: Arc<Template>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    ways: watch::Sender<Ways>,
    state: Mutex<State>,
}

/// What is behind the lock.
#[derive(Debug, Default)]
pub struct State {
    /// The bindings.
    pub book: Book,
    /// What is held.
    pub ledger: Ledger,
    /// What stands.
    pub tallies: Tallies,
    /// Conditions that hold for one binding, decided elsewhere.
    pub notes: HashMap<Arc<str>, Vec<(ConditionType, bool, Failure)>>,
    /// Conditions that hold for every binding.
    pub common: Vec<(ConditionType, bool, Failure)>,
    /// Whether the ConfigMap is looked at.
    config_map: bool,
    /// Whether all caches are full: before that, no list of namespaces means anything.
    live: bool,
}

impl State {
    /// Whether a converted binding's status must wait for the first look at the ConfigMap.
    pub fn awaits_config_map(&self, name: &str) -> bool {
        let converted =
            self.book.get(name).and_then(|entry| entry.good.as_ref()).is_some_and(|good| good.converted);
        self.config_map && converted && !self.notes.contains_key(name)
    }
}

impl Board {
    /// A board that knows nothing yet.
    pub fn new(cluster_region: &str, template: Arc<Template>, ledger: Ledger) -> Arc<Self> {
        Arc::new(Self {
            index: Arc::default(),
            namespaces: Queue::new(BULK_WORKERS),
            bindings: Queue::new(BULK_WORKERS),
            credentials: Notify::new(),
            config_map: Notify::new(),
            cluster_region: cluster_region.into(),
            snapshot: watch::Sender::new(Arc::new(Snapshot::new(template.clone(), Vec::new(), true))),
            ways: watch::Sender::default(),
            template,
            state: Mutex::new(State { ledger, ..State::default() }),
        })
    }

    /// The shared state. Held for a moment only, never across an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All bindings as the namespaces see them now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Told of each change of the bindings.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// How ServiceAccounts are served while they are created.
    pub fn ways(&self) -> watch::Receiver<Ways> {
        self.ways.subscribe()
    }

    /// Takes in what became of one way, and has the bindings that ask for it say so.
    pub fn change_ways(&self, change: impl FnOnce(&mut Ways)) {
        let changed = self.ways.send_if_modified(|ways| {
            let before = ways.clone();
            change(ways);
            *ways != before
        });
        if changed {
            for name in self.state().book.names() {
                self.bindings.add(name, Lane::Urgent);
            }
        }
    }

    /// How our Secrets look.
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// A namespace changed.
    pub fn wake_namespace(&self, name: Arc<str>) {
        self.namespaces.add(name, Lane::Urgent);
    }

    /// Takes in a binding.
    pub fn put_binding(&self, object: AcrCredentialBinding) {
        let name: Arc<str> = object.metadata.name.clone().unwrap_or_default().into();
        let mut state = self.state();
        let news = state.book.put(object, &self.cluster_region);
        if news.changed {
            self.refresh_wants(&mut state);
            if let (true, Some(binding)) = (news.refresh, state.book.get(&name).and_then(|e| e.good.clone()))
            {
                state.ledger.force(binding.registries.iter().map(|registry| registry.key.clone()));
            }
            self.publish(&mut state, std::slice::from_ref(&name), Cause::Spec);
        }
        drop(state);
        self.bindings.add(name, Lane::Urgent);
        self.config_map.notify_one();
    }

    /// Forgets a binding.
    pub fn remove_binding(&self, name: &str) {
        let mut state = self.state();
        if state.book.remove(name) {
            self.refresh_wants(&mut state);
            self.publish(&mut state, &[name.into()], Cause::Spec);
            state.tallies.remove(name);
            state.notes.remove(name);
        }
        drop(state);
        self.config_map.notify_one();
    }

    /// A binding is there that cannot be read: until it can, nobody knows what is not wanted.
    pub fn hold_unreadable(&self, name: &str) {
        let mut state = self.state();
        if state.book.get(name).is_none() {
            state.book.add_unreadable(name);
            self.publish(&mut state, &[], Cause::Spec);
        }
    }

    fn refresh_wants(&self, state: &mut State) {
        let mut wants = state.book.wants();
        for key in state.book.keys() {
            wants.entry(key).or_default();
        }
        state.ledger.want(&wants);
        self.credentials.notify_one();
    }

    /// All caches are full: from here on, what is not listed does not exist.
    pub fn go_live(&self, config_map: bool) {
        let mut state = self.state();
        state.live = true;
        state.config_map = config_map;
        let names = state.book.names();
        self.publish(&mut state, &names, Cause::Same);
    }

    /// Shows the namespaces what the named bindings ask now, and sends workers to those that they cover or covered.
    pub fn publish(&self, state: &mut State, changed: &[Arc<str>], cause: Cause) {
        let unknown = !state.live || state.book.coverage_unknown();
        let next = Arc::new(Snapshot::new(self.template.clone(), state.book.bounds(&state.ledger), unknown));
        let before = self.snapshot.send_replace(next.clone());
        if !state.live {
            return;
        }
        let mut dirty: HashSet<Arc<str>> = HashSet::new();
        for name in changed {
            let of = |snapshot: &Arc<Snapshot>| {
                snapshot.bindings().iter().find(|b| b.binding.name == *name).cloned()
            };
            let covered: HashSet<Arc<str>> =
                [of(&before), of(&next)].iter().flatten().flat_map(|b| self.covered_by(b)).collect();
            if let Some(entry) = state.book.get(name) {
                let new = cause == Cause::Spec || !entry.is_observed();
                state.tallies.expect(name, covered.clone(), new);
            }
            dirty.extend(covered);
        }
        if before.coverage_unknown() && !unknown {
            dirty.extend(self.index.with_our_secret());
        }
        for name in dirty {
            self.namespaces.add(name, Lane::Bulk);
        }
    }

    fn covered_by(&self, bound: &Bound) -> Vec<Arc<str>> {
        let selection = &bound.binding.namespaces;
        self.index.matching(|name, facts| !facts.terminating && selection.covers(name, &facts.labels))
    }

    /// A Secret that identities begin with changed. `pair`: it is a key pair of the controller's namespace, not a
    /// source of the own identity.
    pub fn source_changed(&self, secret: &str, pair: bool, seen: &Seen) {
        let data = match seen {
            Seen::Present(data) => Some(data),
            Seen::Absent | Seen::Refused(_) => None,
        };
        let mut state = self.state();
        match pair {
            true => {
                let key_id = data.and_then(|data| sources::key_id(data));
                state.ledger.beginning_changed(|base| sources::begins_with(base, secret), key_id);
            }
            false => state.ledger.beginning_changed(|base| *base == Base::Own, None),
        }
        drop(state);
        self.credentials.notify_one();
    }

    /// Records what stands in a namespace.
    pub fn record(&self, namespace: &Arc<str>, standings: &[Standing]) {
        let changed = self.state().tallies.record(namespace, standings);
        for binding in changed {
            self.bindings.add_after(binding, super::binding::SETTLE);
        }
    }
}
