//! What the loops share: the bindings, what is held for them, what stands, and who must look next.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::Notify;

use super::book::Book;
use super::clock;
use super::ledger::Ledger;
use super::queue::{Lane, Queue};
use super::sources;
use crate::api::{AcrCredentialBinding, ConditionType};
use crate::cluster::Index;
use crate::cluster::named_secret::Seen;
use crate::model::identity::Base;
use crate::plan::guard::{Guards, STRAY};
use crate::plan::tally::Tallies;
use crate::plan::view::NamespaceFacts;
use crate::plan::{Bound, Failure, Kept, NamespaceView, Phase, Snapshot, Standing, Template};

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
    snapshot: RwLock<Arc<Snapshot>>,
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
    /// Conditions that hold for every binding.
    pub common: Vec<(ConditionType, bool, Failure)>,
    /// Whether the ConfigMap is looked at.
    config_map: bool,
    /// Whether all caches are full: before that, no list of namespaces means anything.
    live: bool,
}

impl State {
    fn new(ledger: Ledger, guards: Guards) -> Self {
        Self {
            book: Book::default(),
            ledger,
            tallies: Tallies::default(),
            guards,
            notes: HashMap::new(),
            common: Vec::new(),
            config_map: false,
            live: false,
        }
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
    pub fn new(cluster_region: &str, template: Arc<Template>, ledger: Ledger, guards: Guards) -> Arc<Self> {
        Arc::new(Self {
            index: Arc::default(),
            namespaces: Queue::new(BULK_WORKERS),
            bindings: Queue::new(BULK_WORKERS),
            credentials: Notify::new(),
            config_map: Notify::new(),
            definition: Notify::new(),
            cluster_region: cluster_region.into(),
            snapshot: RwLock::new(Arc::new(Snapshot::new(template.clone(), Vec::new(), true))),
            template,
            state: Mutex::new(State::new(ledger, guards)),
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
        let now = clock::now();
        let unknown = !state.live || state.book.coverage_unknown();
        let mut bounds = state.book.bounds(&state.ledger);
        if state.guards.is_undefined() {
            // Bindings go one by one, and none of them by a wish.
            bounds.iter_mut().filter(|b| b.phase == Phase::Active).for_each(|b| b.phase = Phase::Suspended);
        }
        let next = Snapshot::new(self.template.clone(), bounds, unknown);
        let next = Arc::new(next.keeping_strangers(now < state.guards.strangers_until()));
        let before = {
            let mut snapshot = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *snapshot, next.clone())
        };
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
        if settled || before.strangers_kept() && !next.strangers_kept() {
            dirty.extend(self.index.with_our_secret());
        }
        for name in dirty {
            self.namespaces.add(name, Lane::Bulk);
        }
    }

    fn covered_by(&self, bound: &Bound) -> HashSet<Arc<str>> {
        let selection = &bound.binding.namespaces;
        let covered = |name: &str, facts: &NamespaceFacts| {
            !facts.terminating && !facts.skip && selection.covers(name, &facts.labels)
        };
        self.index.matching(covered).into_iter().collect()
    }

    /// What bindings covered before this process began: a grace outlives a restart. Their status tells it, and so does
    /// each Secret of ours that nobody covers.
    fn remember(&self, state: &mut State, snapshot: &Snapshot, names: &[Arc<str>]) {
        let unknown = names.iter().filter_map(|name| Some((name, state.book.get(name)?)));
        let unknown = unknown.filter(|(name, entry)| !state.guards.knows(name) && entry.may_have_covered());
        let unknown: Vec<_> = unknown
            .map(|(name, entry)| {
                let told: Vec<Arc<str>> = entry.told_namespaces().into_iter().map(Arc::from).collect();
                let since = entry.held_since();
                let covers = |i: usize| !self.covered_by(snapshot.bound(i)).is_empty();
                let lost_all = since.is_some() || !snapshot.index_of(name).is_some_and(covers);
                (name.clone(), told, lost_all, since)
            })
            .collect();
        if unknown.is_empty() {
            return;
        }
        let stands = |facts: &NamespaceFacts| !facts.terminating && !facts.skip;
        let strangers: Vec<Arc<str>> = self
            .index
            .with_our_secret()
            .into_iter()
            .filter(|name| {
                let nobodys =
                    |facts: &NamespaceFacts| stands(facts) && snapshot.covering(name, facts).is_empty();
                self.index.read(name, |view| view.facts.as_ref().is_some_and(nobodys)).unwrap_or_default()
            })
            .collect();
        for (binding, told, lost_all, since) in unknown {
            let told = told.into_iter().filter(|name| {
                let served = |view: &NamespaceView| {
                    view.facts.as_ref().is_some_and(stands) && view.secret.as_ref().is_some_and(|s| s.ours)
                };
                self.index.read(name, served).unwrap_or_default()
            });
            let strangers = strangers.iter().filter(|_| lost_all).cloned();
            let covered = told.chain(strangers).collect();
            state.guards.remember(&binding, covered, since);
        }
    }

    /// The snapshot for a look at a namespace, and whose part stays in it though it is covered no more.
    pub fn look(&self, namespace: &Arc<str>) -> (Arc<Snapshot>, Vec<Kept>) {
        let mut state = self.state();
        let snapshot = self.snapshot();
        let facts = self.index.read(namespace, |view| view.facts.clone()).flatten();
        let look = state.guards.look(namespace, facts.as_ref(), &snapshot, clock::now());
        for binding in look.changed {
            // The others that strayed with this one are held from now on, and told.
            let others = state.guards.namespaces(&binding).filter(|name| *name != namespace).cloned();
            others.for_each(|name| self.namespaces.add(name, Lane::Bulk));
            self.bindings.add_after(binding, super::binding::SETTLE);
        }
        drop(state);
        if look.kept.iter().any(|kept| !kept.held) {
            self.namespaces.add_after(namespace.clone(), Duration::try_from(STRAY).unwrap_or_default());
        }
        (snapshot, look.kept)
    }

    /// Takes in when the CustomResourceDefinition was made, or that it is going. Returns until when what nobody covers
    /// is left as it is.
    pub fn define(&self, created: Option<Timestamp>) -> Timestamp {
        let mut state = self.state();
        let was_undefined = state.guards.is_undefined();
        state.guards.define(created);
        let changed = if was_undefined == created.is_none() { Vec::new() } else { state.book.names() };
        self.publish(&mut state, &changed, Cause::Same);
        state.guards.strangers_until()
    }

    /// A binding's grace may be over: what was held of it is taken back then.
    pub fn release_due(&self, state: &mut State, binding: &Arc<str>) -> bool {
        let over = state.guards.release_due(binding, clock::now());
        for name in &over {
            self.namespaces.add(name.clone(), Lane::Bulk);
        }
        if over.is_empty() {
            return false;
        }
        self.publish(state, std::slice::from_ref(binding), Cause::Spec);
        true
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
