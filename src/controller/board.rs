//! What the loops share: the bindings, what is held for them, what stands, and who must look next.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;

use super::book::Book;
use super::ledger::Ledger;
use super::queue::{Lane, Queue};
use super::sources;
use crate::api::{AcrCredentialBinding, ConditionType};
use crate::cluster::Index;
use crate::cluster::named_secret::Seen;
use crate::model::identity::Base;
use crate::plan::tally::Tallies;
use crate::plan::{Bound, Failure, Snapshot, Standing, Tally, Template};

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
    snapshot: RwLock<Arc<Snapshot>>,
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
    /// Namespaces in which somebody undoes what is written there, and what is to be said of it.
    pub contended: BTreeMap<Arc<str>, Failure>,
    /// Conditions that hold for every binding.
    pub common: Vec<(ConditionType, bool, Failure)>,
    /// Whether the ConfigMap is looked at.
    config_map: bool,
    /// Whether all caches are full: before that, no list of namespaces means anything.
    live: bool,
}

impl State {
    /// Who undoes what is written in a namespace that a binding covers, if anybody does.
    pub fn contended_for(&self, tally: &Tally) -> Option<(ConditionType, bool, Failure)> {
        let mut all = self.contended.iter();
        let (_, why) = all.find(|(namespace, _)| tally.covers(namespace))?;
        Some((ConditionType::Contended, true, why.clone()))
    }

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
            snapshot: RwLock::new(Arc::new(Snapshot::new(template.clone(), Vec::new(), true))),
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
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
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
        let before = {
            let mut snapshot = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *snapshot, next.clone())
        };
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

    /// Says of a namespace that somebody undoes what is written there, or that nobody does any more.
    pub fn set_contended(&self, namespace: &Arc<str>, why: Option<Failure>) {
        let mut state = self.state();
        let before = state.contended.get(namespace).cloned();
        if before == why {
            return;
        }
        match why {
            Some(why) => drop(state.contended.insert(namespace.clone(), why)),
            None => drop(state.contended.remove(namespace)),
        }
        let names = state.book.names();
        drop(state);
        for name in names {
            self.bindings.add_after(name, super::binding::SETTLE);
        }
    }

    /// Whether somebody was said to undo what is written in a namespace.
    pub fn is_contended(&self, namespace: &str) -> bool {
        self.state().contended.contains_key(namespace)
    }

    /// Records what stands in a namespace.
    pub fn record(&self, namespace: &Arc<str>, standings: &[Standing]) {
        let changed = self.state().tallies.record(namespace, standings);
        for binding in changed {
            self.bindings.add_after(binding, super::binding::SETTLE);
        }
    }
}
