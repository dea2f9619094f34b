//! Any sequence of edits, labels, opt-outs, restarts and waits under one guarded binding: what was lost at once stays
//! for its grace, and nothing is left behind after it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::World;
use crate::plan::fixture::{at, bound_with, record, template};
use crate::plan::ownership::Parts;
use crate::plan::withdrawal_guard::{RELABEL_WINDOW, WithdrawalGuard, WithdrawalIntent};
use crate::plan::{Phase, ResolvedBinding, Snapshot};

const GRACE: SignedDuration = SignedDuration::from_mins(10);
const ALL: [&str; 3] = ["x", "y", "z"];

#[derive(Clone, Debug)]
enum Event {
    /// The spec asks for namespaces of this label.
    Select(bool),
    Confirm(bool),
    Suspend(bool),
    Label(usize, bool),
    Skip(usize, bool),
    Wait(i64),
    Restart,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => any::<bool>().prop_map(Event::Select),
        1 => any::<bool>().prop_map(Event::Confirm),
        1 => any::<bool>().prop_map(Event::Suspend),
        4 => (0_usize..3, any::<bool>()).prop_map(|(at, on)| Event::Label(at, on)),
        1 => (0_usize..3, any::<bool>()).prop_map(|(at, on)| Event::Skip(at, on)),
        3 => prop::sample::select(vec![1, 3, 6, 60, 599, 601]).prop_map(Event::Wait),
        1 => Just(Event::Restart),
    ]
}

struct Cluster {
    namespaces: BTreeMap<Arc<str>, World>,
    guard: WithdrawalGuard,
    now: Timestamp,
    right: bool,
    confirmed: bool,
    suspended: bool,
    /// Namespaces that were lost at once, when, and their state then: computed here, without the guard.
    lost: BTreeMap<Arc<str>, (Timestamp, World)>,
}

impl Cluster {
    fn new() -> Self {
        let world = |name: &str| {
            let mut record = record(&[("default", "mine")]);
            record.view.name = name.into();
            let mut world = World { record, secret: None, version: 7, refuses: false };
            label(&mut world, true);
            (Arc::from(name), world)
        };
        let namespaces = ALL.into_iter().map(world).collect();
        let (guard, lost) = (WithdrawalGuard::new(GRACE), BTreeMap::new());
        Self { namespaces, guard, now: at(0), right: true, confirmed: false, suspended: false, lost }
    }

    fn resolved(&self) -> ResolvedBinding {
        let label = if self.right { "app" } else { "ap" };
        let phase = if self.suspended { Phase::Suspended } else { Phase::Active };
        let selector = json!({"matchLabels": {"tier": label}});
        bound_with("b", json!({"watchNamespaces": {"selector": selector}})).phased(phase)
    }

    fn covered(&self) -> HashSet<Arc<str>> {
        let resolved = self.resolved();
        let covers = |world: &World| {
            let facts = world.record.view.facts.as_ref().unwrap();
            !facts.skip && resolved.binding.namespaces.covers(&world.record.view.name, &facts.labels)
        };
        self.namespaces.iter().filter(|(_, world)| covers(world)).map(|(name, _)| name.clone()).collect()
    }

    fn publish(&mut self) {
        let intent = match (self.confirmed, self.suspended) {
            (true, _) => WithdrawalIntent::Confirmed,
            (false, true) => WithdrawalIntent::Suspended,
            (false, false) => WithdrawalIntent::Guarded,
        };
        let covered = self.covered();
        self.guard.observe_coverage(&"b".into(), covered, intent, self.now);
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::new(template(), vec![self.resolved()], false)
    }

    /// Observes a namespace that changed, as the watch does. Nothing else observes it.
    fn observe(&mut self, name: &str) {
        let (name, snapshot) = (Arc::from(name), self.snapshot());
        let facts = self.namespaces[&name].record.view.facts.clone();
        self.guard.observe(&name, (facts.as_ref(), true), &snapshot, self.now);
    }

    /// Plans every namespace until nothing is left to do there.
    fn reconcile(&mut self) {
        let snapshot = self.snapshot();
        for _ in 0..4 {
            for (name, world) in &mut self.namespaces {
                let facts = world.record.view.facts.clone();
                let retained = self.guard.retained(name, facts.as_ref(), &snapshot, self.now);
                let plan = world.plan(&snapshot, &retained, self.now);
                plan.changes.iter().for_each(|change| world.apply(change));
            }
        }
    }

    fn restart(&mut self) {
        let since = self.guard.report("b", 1).map(|(since, _)| since);
        let exists =
            |world: &World| world.secret.is_some() && !world.record.view.facts.as_ref().unwrap().skip;
        let reported =
            self.namespaces.iter().filter(|(_, world)| exists(world)).map(|(name, _)| name.clone());
        let reported = reported.collect();
        self.guard = WithdrawalGuard::new(GRACE);
        self.guard.remember(&"b".into(), Parts { verified: reported, unverified: HashSet::new() }, since);
        self.namespaces.values_mut().for_each(|world| world.record.served = false);
    }

    fn step(&mut self, event: &Event) {
        let before = self.covered();
        let (mut spec, mut changed) = (false, None);
        match event {
            Event::Select(right) => (self.right, spec) = (*right, true),
            Event::Confirm(on) => (self.confirmed, spec) = (*on, true),
            Event::Suspend(on) => (self.suspended, spec) = (*on, true),
            Event::Label(index, on) => {
                label(self.namespaces.get_mut(ALL[*index]).unwrap(), *on);
                changed = Some(ALL[*index]);
            }
            Event::Skip(index, on) => {
                let world = self.namespaces.get_mut(ALL[*index]).unwrap();
                world.record.view.facts.as_mut().unwrap().skip = *on;
                changed = Some(ALL[*index]);
            }
            Event::Wait(seconds) => self.now += SignedDuration::from_secs(*seconds),
            Event::Restart => {
                self.restart();
                spec = true;
            }
        }
        let after = self.covered();
        if after.is_empty() && !self.confirmed {
            for name in &before {
                self.lost.insert(name.clone(), (self.now, self.namespaces[name].clone()));
            }
        }
        let over = |name: &Arc<str>, since: &Timestamp| {
            let skip = self.namespaces[name].record.view.facts.as_ref().unwrap().skip;
            self.confirmed || skip || after.contains(name) || self.now.duration_since(*since) >= GRACE
        };
        let gone: BTreeSet<Arc<str>> =
            self.lost.iter().filter(|(name, (since, _))| over(name, since)).map(|(n, _)| n.clone()).collect();
        self.lost.retain(|name, _| !gone.contains(name));
        if spec {
            self.publish();
        }
        changed.into_iter().for_each(|name| self.observe(name));
        self.guard.release_due("b", self.now);
        self.reconcile();
    }
}

fn label(world: &mut World, on: bool) {
    let tier = if on { "app" } else { "other" };
    let labels = BTreeMap::from([("tier".to_owned(), tier.to_owned())]);
    world.record.view.facts.as_mut().unwrap().labels = labels.into();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_is_withdrawn_while_a_guard_holds_and_nothing_is_left_behind_after_it(
        events in prop::collection::vec(any_event(), 1..16)
    ) {
        let mut cluster = Cluster::new();
        cluster.publish();
        cluster.reconcile();
        for (number, event) in events.iter().enumerate() {
            cluster.step(event);
            for (name, (_, before)) in &cluster.lost {
                let now = &cluster.namespaces[name];
                prop_assert_eq!(&now.secret, &before.secret, "{} after event {}", name, number);
                prop_assert_eq!(&now.record.view.service_accounts, &before.record.view.service_accounts, "{}", name);
            }
        }
        // Once it is not suspended and every grace period is over, everything is as the binding says.
        cluster.step(&Event::Suspend(false));
        cluster.now += GRACE + RELABEL_WINDOW;
        cluster.step(&Event::Wait(1));
        cluster.now += RELABEL_WINDOW;
        cluster.step(&Event::Wait(1));
        let covered = cluster.covered();
        for (name, world) in &cluster.namespaces {
            let list = &world.record.view.service_accounts[0].pull_secrets;
            prop_assert_eq!(world.secret.is_some(), covered.contains(name), "the Secret of {}", name);
            let ours = list.iter().any(|entry| &**entry == "ours");
            prop_assert_eq!(ours, covered.contains(name), "the entry of {}: {:?}", name, list);
            prop_assert!(list.iter().any(|entry| &**entry == "mine"));
        }
    }
}
