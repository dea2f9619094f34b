//! What the loops share: the bindings, what is held for them, what stands, and who must look next.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::admission::{Adds, Ways};
use super::book::Book;
use super::clock;
use super::ledger::Ledger;
use super::queue::{Lane, Queue};
use super::sources;
use crate::api::{AcrCredentialBinding, ConditionType};
use crate::cluster::Index;
use crate::cluster::named_secret::Seen;
use crate::cluster::store::Tokens;
use crate::model::identity::Base;
use crate::plan::guard::Guards;
use crate::plan::tally::Tallies;
use crate::plan::{Failure, Phase, Snapshot, Standing, Tally, Template};

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
    /// Told when the CustomResourceDefinition may have changed.
    pub definition: Notify,
    cluster_region: Box<str>,
    template: Arc<Template>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    ways: watch::Sender<Ways>,
    state: Mutex<State>,
}

/// What is behind the lock.
#[derive(Debug)]
pub struct State {
    /// The bindings.
    pub book: Book,
    /// What is held.
    pub ledger: Ledger,
    /// What stands.
    pub tallies: Tallies,
    /// What is covered, and what is not taken back though it is covered no more.
    pub guards: Guards,
    /// Conditions that hold for one binding, decided elsewhere.
    pub notes: HashMap<Arc<str>, Vec<(ConditionType, bool, Failure)>>,
    /// Namespaces in which somebody undoes what is written there, and what is to be said of it.
    pub contended: BTreeMap<Arc<str>, Failure>,
    /// Conditions that hold for every binding.
    pub common: Vec<(ConditionType, bool, Failure)>,
    /// What the API server adds by itself.
    adds: Adds,
    /// Namespaces that were looked at while nothing could be taken back, for that reason.
    awaiting: HashSet<Arc<str>>,
    /// Whether the ConfigMap is looked at.
    config_map: bool,
    /// Whether the work has begun: before that, no list of namespaces means anything.
    live: bool,
}

impl State {
    fn new(guards: Guards) -> Self {
        Self {
            book: Book::default(),
            ledger: Ledger::default(),
            tallies: Tallies::default(),
            guards,
            notes: HashMap::new(),
            contended: BTreeMap::new(),
            common: Vec::new(),
            adds: Adds::default(),
            awaiting: HashSet::new(),
            config_map: false,
            live: false,
        }
    }

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
    pub fn new(cluster_region: &str, template: Arc<Template>, guards: Guards) -> Arc<Self> {
        Arc::new(Self {
            index: Arc::default(),
            namespaces: Queue::new(BULK_WORKERS),
            bindings: Queue::new(BULK_WORKERS),
            credentials: Notify::new(),
            config_map: Notify::new(),
            definition: Notify::new(),
            cluster_region: cluster_region.into(),
            snapshot: watch::Sender::new(Arc::new(Snapshot::new(template.clone(), Vec::new(), true))),
            ways: watch::Sender::default(),
            template,
            state: Mutex::new(State::new(guards)),
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
        if state.guards.is_undefined() {
            self.definition.notify_one();
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

    /// The work begins: all caches are full, so from here on what is not listed does not exist, and this replica holds
    /// the lease. What it made up while it stood by is forgotten: it begins as a process that starts now, with what
    /// the one before it kept and reported.
    pub fn begin(&self, kept: Tokens, config_map: bool) {
        let mut state = self.state();
        state.live = true;
        state.config_map = config_map;
        state.ledger = Ledger::new(kept);
        let asking = state.book.begin();
        self.refresh_wants(&mut state);
        for binding in asking {
            state.ledger.force(binding.registries.iter().map(|registry| registry.key.clone()));
        }
        self.namespaces.clear();
        let names = state.book.names();
        self.publish(&mut state, &names, Cause::Same);
        drop(state);
        for name in names {
            self.bindings.add(name, Lane::Urgent);
        }
    }

    /// Shows the namespaces what the named bindings ask now, and sends workers to those that they cover or covered.
    pub fn publish(&self, state: &mut State, changed: &[Arc<str>], cause: Cause) {
        let now = clock::now();
        let unknown = !state.live || state.book.coverage_unknown();
        let mut bounds = state.book.bounds(&state.ledger, now);
        if state.live {
            changed.iter().for_each(|name| self.entitle(state, &bounds, name, now));
        }
        bounds.iter_mut().for_each(|b| b.keeps_entries = state.guards.keeps_entries(&b.binding.name));
        if state.guards.is_undefined() {
            // Bindings go one by one, and none of them by a wish.
            bounds.iter_mut().filter(|b| b.phase == Phase::Active).for_each(|b| b.phase = Phase::Suspended);
        }
        let next = Snapshot::new(self.template.clone(), bounds, unknown);
        let awaiting = state.adds.differ_from(&next.parameters().data);
        let strangers = (now < state.guards.strangers_until()).then_some(now);
        let next = next.awaiting_admission(awaiting).keeping_strangers(strangers);
        let next = Arc::new(next);
        let before = self.snapshot.send_replace(next.clone());
        if !state.live {
            return;
        }
        let mut dirty: HashSet<Arc<str>> = HashSet::new();
        self.remember(state, &next, changed);
        for name in changed {
            let of = |snapshot: &Snapshot| {
                snapshot.index_of(name).map(|i| self.covered_by(snapshot.bound(i))).unwrap_or_default()
            };
            let (covered_before, mut covered) = (of(&before), of(&next));
            dirty.extend(covered_before);
            if let Some(entry) = state.book.get(name) {
                let (wish, new) = (entry.wish(), cause == Cause::Spec || !entry.is_observed());
                if let Some(index) = next.index_of(name) {
                    state.guards.ask(&next.bound(index).binding);
                }
                dirty.extend(state.guards.cover(name, covered.clone(), wish, now));
                covered.extend(state.guards.namespaces(name).cloned());
                dirty.extend(covered.iter().cloned());
                state.tallies.expect(name, covered, new);
            } else {
                dirty.extend(state.guards.namespaces(name).cloned());
                state.guards.forget(name);
            }
        }
        let settled = before.coverage_unknown() && !unknown;
        if settled || before.strangers_kept().is_some() && strangers.is_none() {
            dirty.extend(self.index.with_our_secret());
        }
        if !awaiting {
            dirty.extend(std::mem::take(&mut state.awaiting));
        }
        for name in dirty {
            self.namespaces.add(name, Lane::Bulk);
        }
    }

    /// Takes in what the API server adds by itself. What waited for it to add less goes on.
    pub fn set_adds(&self, adds: Adds) {
        let mut state = self.state();
        state.adds = adds;
        let snapshot = self.snapshot();
        if state.adds.differ_from(&snapshot.parameters().data) != snapshot.awaits_admission() {
            self.publish(&mut state, &[], Cause::Same);
        }
    }

    /// A namespace was looked at while nothing could be taken back: it is looked at again when that is over.
    pub fn look_again_after(&self, snapshot: &Snapshot, namespace: &Arc<str>) {
        if !snapshot.awaits_admission() {
            return;
        }
        let mut state = self.state();
        match self.snapshot().awaits_admission() {
            true => drop(state.awaiting.insert(namespace.clone())),
            false => self.namespaces.add(namespace.clone(), Lane::Urgent),
        }
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
