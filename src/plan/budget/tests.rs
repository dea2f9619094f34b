//! Who gets a permit, and for how long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, prop_assert, proptest};

use super::{Budget, Overdue, PATIENCE, PER_NAMESPACE, PermitId, WriteEnd};
use crate::plan::priority::Priority::{self, Bulk, Changed, New, Retry, Slow};

fn named(name: &str) -> Arc<str> {
    name.into()
}

/// Asks for permits until one is not given. Returns those that were, and takes the last request back.
fn fill(budget: &mut Budget, namespace: &str, priority: Priority, now: Instant) -> Vec<PermitId> {
    let mut held = Vec::new();
    loop {
        let id = budget.request(&named(namespace), priority);
        budget.grant(now);
        if !budget.is_held(id) {
            budget.release(id, WriteEnd::Unanswered, now);
            return held;
        }
        held.push(id);
    }
}

#[test]
fn a_namespace_has_sixteen_writes_in_flight_and_one_after_a_silence_until_one_succeeds() {
    let (mut budget, now) = (Budget::default(), Instant::now());
    let held = fill(&mut budget, "a", New, now);
    assert_eq!((held.len(), budget.in_flight()), (PER_NAMESPACE, 16));
    held.iter().for_each(|id| budget.release(*id, WriteEnd::Unanswered, now + PATIENCE));
    let later = now + PATIENCE;
    let one = fill(&mut budget, "a", Slow, later);
    assert_eq!(one.len(), 1);
    // A refusal that took long does not count as an answer.
    budget.release(one[0], WriteEnd::Refused, later + PATIENCE);
    assert_eq!(fill(&mut budget, "a", New, later).len(), 1);
    assert_eq!(fill(&mut budget, "b", New, later).len(), 16, "another namespace");
    budget.forget("a");
    let held = fill(&mut budget, "a", New, later);
    assert_eq!(held.len(), 15, "beside the one that it holds");
    budget.release(held[0], WriteEnd::Unanswered, later);
    assert_eq!(fill(&mut budget, "a", New, later).len(), 0);
    budget.release(held[1], WriteEnd::Succeeded, later + 9 * PATIENCE);
    assert_eq!(fill(&mut budget, "a", New, later).len(), 2);
}

#[test]
fn a_quick_refusal_ends_a_silence() {
    let (mut budget, now) = (Budget::default(), Instant::now());
    let id = fill(&mut budget, "a", New, now)[0];
    budget.release(id, WriteEnd::Unanswered, now);
    budget.forget("a");
    let id = fill(&mut budget, "a", New, now)[0];
    budget.release(id, WriteEnd::Refused, now + PATIENCE / 2);
    assert_eq!(fill(&mut budget, "a", New, now).len(), 1, "the place of that one");
}

#[test]
fn those_that_may_hang_hold_sixteen_permits_together_and_each_namespace_four() {
    let (mut budget, now) = (Budget::default(), Instant::now());
    let counts: Vec<usize> = (0..5).map(|n| fill(&mut budget, &format!("s{n}"), Slow, now).len()).collect();
    assert_eq!(counts, [4, 4, 4, 0, 0]);
    let counts: Vec<usize> = (0..3).map(|n| fill(&mut budget, &format!("r{n}"), Retry, now).len()).collect();
    assert_eq!(counts, [4, 0, 0]);
    assert_eq!(budget.in_flight(), 16);
    let quick: usize = (0..9).map(|n| fill(&mut budget, &format!("n{n}"), New, now).len()).sum();
    assert_eq!(quick, 88, "the rest is kept for changes and refreshes");
}

#[test]
fn a_refresh_leaves_permits_to_events() {
    let (mut budget, now) = (Budget::default(), Instant::now());
    let bulk: usize = (0..9).map(|n| fill(&mut budget, &format!("b{n}"), Bulk, now).len()).sum();
    assert_eq!(bulk, 96 - 16 - 4);
    assert_eq!(fill(&mut budget, "c", Changed, now).len(), 4);
    assert_eq!(fill(&mut budget, "n", New, now).len(), 16);
}

#[test]
fn an_old_write_goes_on_where_those_that_may_hang_have_room_and_is_cut_otherwise() {
    let (mut budget, now) = (Budget::default(), Instant::now());
    let held: Vec<_> = (0..6).flat_map(|n| fill(&mut budget, &format!("h{n}"), New, now)).collect();
    assert_eq!(held.len(), 88);
    let waiting = budget.request(&named("healthy"), New);
    assert!(budget.grant(now).is_empty());
    let fates: Vec<Overdue> = held.iter().map(|id| budget.outlast(*id)).collect();
    let gone_on = fates.iter().filter(|fate| **fate == Overdue::GoesOn).count();
    assert_eq!(gone_on, 12, "four of the first three namespaces");
    assert!(fates[..4].iter().all(|fate| *fate == Overdue::GoesOn));
    assert_eq!(fates[4], Overdue::IsCut, "the fifth of the first namespace");
    // Those that went on already left room.
    assert_eq!(budget.grant(now), [waiting]);
    assert_eq!(budget.longest(now + PATIENCE), Some(PATIENCE));
    assert_eq!(budget.outlast(held[0]), Overdue::GoesOn, "it has such a permit already");
}

#[test]
fn what_a_namespace_waits_for_may_hang_once_one_of_its_writes_is_old() {
    let (mut budget, now) = (Budget::default(), Instant::now());
    let held = fill(&mut budget, "a", New, now);
    let next = budget.request(&named("a"), New);
    (0..6).for_each(|n| drop(fill(&mut budget, &format!("h{n}"), New, now)));
    for id in &held {
        budget.outlast(*id);
    }
    held[4..].iter().for_each(|id| budget.release(*id, WriteEnd::Unanswered, now));
    let good = budget.request(&named("good"), New);
    assert_eq!(budget.grant(now), [good]);
    assert!(!budget.is_held(next));
}

#[test]
fn who_asked_first_gets_the_next_permit_of_its_priority() {
    let (mut budget, now) = (Budget::default(), Instant::now());
    let held: Vec<_> = (0..6).flat_map(|n| fill(&mut budget, &format!("h{n}"), New, now)).collect();
    let [bulk, late, early] =
        [("b", Bulk), ("l", New), ("e", New)].map(|(name, priority)| budget.request(&named(name), priority));
    assert_eq!(budget.grant(now), [bulk], "refreshes have permits of their own");
    budget.release(held[0], WriteEnd::Succeeded, now);
    assert_eq!(budget.grant(now), [late]);
    budget.release(late, WriteEnd::Succeeded, now);
    assert_eq!(budget.grant(now), [early]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(u8, Priority),
    Age(usize),
    End(usize, WriteEnd),
    GiveUp(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let priority = prop_oneof![Just(New), Just(Changed), Just(Retry), Just(Slow), Just(Bulk)];
    let end = prop_oneof![Just(WriteEnd::Succeeded), Just(WriteEnd::Refused), Just(WriteEnd::Unanswered)];
    let step = prop_oneof![
        8 => (0..12_u8, priority).prop_map(|(namespace, priority)| Step::Ask(namespace, priority)),
        2 => any::<usize>().prop_map(Step::Age),
        3 => (any::<usize>(), end).prop_map(|(at, end)| Step::End(at, end)),
        1 => any::<usize>().prop_map(Step::GiveUp),
    ];
    collection::vec(step, 0..400)
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 48, ..Default::default() })]

    /// No order of events gives more permits than there are, nor one to a silent namespace beside another.
    #[test]
    fn limits_hold_in_every_order(steps in steps()) {
        let (mut budget, mut now) = (Budget::default(), Instant::now());
        let mut asked: BTreeMap<PermitId, (u8, Priority)> = BTreeMap::new();
        let mut held: BTreeMap<PermitId, u8> = BTreeMap::new();
        let mut silent: BTreeMap<u8, bool> = BTreeMap::new();
        for step in steps {
            now += Duration::from_millis(7);
            match step {
                Step::Ask(namespace, priority) => {
                    asked.insert(budget.request(&named(&namespace.to_string()), priority), (namespace, priority));
                }
                Step::Age(at) if !held.is_empty() => {
                    let id = *held.keys().nth(at % held.len()).unwrap();
                    if budget.outlast(id) == Overdue::IsCut {
                        budget.release(id, WriteEnd::Unanswered, now);
                        silent.insert(held.remove(&id).unwrap(), true);
                    }
                }
                Step::End(at, end) if !held.is_empty() => {
                    let id = *held.keys().nth(at % held.len()).unwrap();
                    let age = budget.held[&id].since;
                    budget.release(id, end, now);
                    let quick = now.duration_since(age) < PATIENCE && end != WriteEnd::Unanswered;
                    silent.insert(held.remove(&id).unwrap(), !quick && end != WriteEnd::Succeeded);
                }
                Step::GiveUp(at) if !asked.is_empty() => {
                    let id = *asked.keys().nth(at % asked.len()).unwrap();
                    asked.remove(&id);
                    budget.release(id, WriteEnd::Unanswered, now);
                }
                _ => {}
            }
            let before = held.clone();
            for id in budget.grant(now) {
                let (namespace, _) = asked.remove(&id).expect("it was asked for, once");
                held.insert(id, namespace);
            }
            prop_assert!(budget.in_flight() == held.len() && held.len() <= 112);
            let hanging = budget.places.taken(Retry) + budget.places.taken(Slow);
            prop_assert!(hanging <= 16, "{} may hang", hanging);
            for namespace in 0..12_u8 {
                let of = |held: &BTreeMap<PermitId, u8>| held.values().filter(|of| **of == namespace).count();
                prop_assert!(of(&held) <= PER_NAMESPACE);
                if silent.get(&namespace) == Some(&true) && of(&held) > of(&before) {
                    prop_assert!(of(&held) == 1, "a silent namespace got another permit");
                }
            }
        }
        // All that was asked for is given in the end.
        while !held.is_empty() {
            held.keys().for_each(|id| budget.release(*id, WriteEnd::Succeeded, now));
            held.clear();
            for id in budget.grant(now) {
                let (namespace, _) = asked.remove(&id).expect("it was asked for, once");
                held.insert(id, namespace);
            }
        }
        // Only those of namespaces that were silent to the end may be left, one at a time.
        prop_assert!(asked.is_empty(), "{asked:?}");
        prop_assert!(budget.namespaces.values().all(|holder| holder.is_silent));
    }
}
