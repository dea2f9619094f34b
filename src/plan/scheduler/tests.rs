//! The order of keys, and the places that each priority gets.

use std::time::{Duration, Instant};

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, prop_assert, prop_assert_eq, proptest};

use super::{NAMESPACES, Scheduler};
use crate::plan::priority::Priority::{self, Bulk, Changed, New, Retry, Slow};

fn scheduler() -> Scheduler<u32> {
    Scheduler::new(NAMESPACES, Retry)
}

/// Adds keys, and returns how many of them are taken.
fn fill(scheduler: &mut Scheduler<u32>, keys: std::ops::Range<u32>, priority: Priority) -> usize {
    let now = Instant::now();
    keys.for_each(|key| {
        scheduler.add(key, priority, now);
    });
    std::iter::from_fn(|| scheduler.take()).count()
}

#[test]
fn the_most_urgent_key_goes_first_and_one_that_waits_moves_up() {
    let (mut scheduler, now) = (scheduler(), Instant::now());
    for (key, priority) in [(1, Bulk), (2, Changed), (3, New), (1, Bulk), (4, Bulk), (4, New)] {
        assert!(!scheduler.add(key, priority, now));
    }
    assert_eq!(scheduler.depth(), 4);
    let taken: Vec<_> =
        std::iter::from_fn(|| scheduler.take()).map(|taken| (taken.key, taken.asked)).collect();
    assert_eq!(taken, [(3, New), (4, New), (2, Changed), (1, Bulk)]);
}

#[test]
fn a_key_that_is_added_ahead_goes_before_those_of_its_priority_only() {
    let (mut scheduler, now) = (scheduler(), Instant::now());
    (0..3).for_each(|key| assert!(!scheduler.add(key, Bulk, now)));
    assert!(!scheduler.add_ahead(9, Bulk, now) && !scheduler.add(4, New, now));
    let taken: Vec<u32> = std::iter::from_fn(|| scheduler.take()).map(|taken| taken.key).collect();
    assert_eq!(taken, [4, 9, 0, 1, 2]);
    assert!(scheduler.add_ahead(9, Bulk, now), "it is being processed");
    scheduler.finish(&9);
    assert_eq!(scheduler.take().map(|taken| taken.key), Some(9));
}

#[test]
fn a_key_that_is_added_while_it_is_processed_is_processed_again_unless_its_worker_takes_the_news() {
    let (mut scheduler, now) = (scheduler(), Instant::now());
    scheduler.add(1, Changed, now);
    scheduler.take().expect("it waits");
    assert!(scheduler.add(1, Bulk, now));
    assert_eq!(scheduler.take(), None, "not twice at the same time");
    scheduler.finish(&1);
    assert_eq!(scheduler.take().map(|taken| taken.asked), Some(Bulk));
    assert!(scheduler.add(1, New, now));
    assert_eq!(scheduler.take_news(&1).map(|taken| taken.asked), Some(New));
    scheduler.finish(&1);
    assert_eq!((scheduler.take(), scheduler.depth()), (None, 0));
    assert_eq!(scheduler.take_news(&1), None);
}

#[test]
fn a_retry_is_never_urgent_and_of_two_times_the_earlier_counts() {
    let (mut scheduler, now) = (scheduler(), Instant::now());
    let later = |seconds| now + Duration::from_secs(seconds);
    scheduler.add_at(1, later(60));
    scheduler.add_at(1, later(5));
    scheduler.add_at(1, later(30));
    assert_eq!((scheduler.next_due(), scheduler.delayed()), (Some(later(5)), 1));
    assert!(scheduler.release_due(later(4)).is_empty());
    assert_eq!(scheduler.take(), None);
    scheduler.release_due(later(5));
    scheduler.add(2, Changed, later(5));
    let taken: Vec<_> =
        std::iter::from_fn(|| scheduler.take()).map(|taken| (taken.key, taken.asked)).collect();
    assert_eq!(taken, [(2, Changed), (1, Retry)]);
    // One that falls due while it is processed is news to its worker.
    scheduler.add_at(2, later(6));
    assert_eq!(scheduler.release_due(later(6)), [2]);
    assert_eq!(scheduler.take_news(&2).map(|taken| taken.asked), Some(Retry));
}

#[test]
fn places_stay_free_for_the_more_urgent_and_for_the_rest() {
    let mut scheduler = scheduler();
    assert_eq!(fill(&mut scheduler, 0..1_000, Bulk), 32);
    assert_eq!(fill(&mut scheduler, 1_000..2_000, Retry), 12);
    assert_eq!(fill(&mut scheduler, 2_000..3_000, Changed), 80 - 32 - 8);
    assert_eq!(fill(&mut scheduler, 3_000..4_000, New), 8);
    scheduler.finish(&2_000);
    assert_eq!(fill(&mut scheduler, 4_000..4_010, New), 1, "the most urgent gets what is free");
}

#[test]
fn an_endless_flood_of_events_leaves_places_to_a_refresh() {
    let mut scheduler = scheduler();
    assert_eq!(fill(&mut scheduler, 0..1_000, New), 80 - 4 - 4);
    assert_eq!(fill(&mut scheduler, 1_000..2_000, Bulk), 4);
    assert_eq!(fill(&mut scheduler, 2_000..3_000, Changed), 4);
}

/// Has the writes of these keys hang once.
fn hang(scheduler: &mut Scheduler<u32>, keys: std::ops::Range<u32>) -> usize {
    let taken = fill(scheduler, keys.clone(), New);
    keys.clone().for_each(|key| scheduler.slow_down(&key));
    keys.for_each(|key| scheduler.finish(&key));
    taken
}

/// As many namespaces as there are places hang: none of them keeps a place of the others.
#[test]
fn a_key_whose_writes_hang_gives_its_place_up_and_waits_apart_from_the_third_time_on() {
    let mut scheduler = scheduler();
    for others in [100..172, 200..272] {
        assert_eq!(fill(&mut scheduler, 0..72, New), 72);
        assert_eq!(fill(&mut scheduler, others.clone(), New), 0);
        (0..72).for_each(|key| scheduler.slow_down(&key));
        assert_eq!(std::iter::from_fn(|| scheduler.take()).count(), 72);
        (0..72).chain(others).for_each(|key| scheduler.finish(&key));
    }
    // It is slow for any reason that it is added for, until a write is quick.
    assert_eq!(fill(&mut scheduler, 0..72, New), 12);
    scheduler.speed_up(&3);
    assert!(!scheduler.is_slow(&3) && scheduler.is_slow(&4));
    scheduler.finish(&3);
    assert_eq!(fill(&mut scheduler, 3..4, New), 2, "itself, and the next of the slow ones");
}

#[test]
fn a_key_with_one_late_write_does_not_wait_with_those_that_hang() {
    let mut scheduler = scheduler();
    assert_eq!((hang(&mut scheduler, 0..40), hang(&mut scheduler, 0..40)), (40, 40));
    assert_eq!(fill(&mut scheduler, 0..40, New), 12, "they have all places of their kind");
    // Two writes of one processing are late at the same time, as in a pause of the API server.
    assert_eq!(fill(&mut scheduler, 50..51, New), 1);
    (0..2).for_each(|_| scheduler.slow_down(&50));
    assert!(scheduler.is_slow(&50), "its other writes wait apart while that one is under way");
    scheduler.finish(&50);
    assert_eq!(fill(&mut scheduler, 50..51, New), 1);
    scheduler.speed_up(&50);
    scheduler.slow_down(&50);
    scheduler.finish(&50);
    assert_eq!(fill(&mut scheduler, 50..51, New), 1, "a quick write begins the count again");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(u32, Priority),
    Due(u32, u64),
    Take,
    Finish(usize),
    News(usize),
    SlowDown(usize),
    SpeedUp(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let priority = prop_oneof![Just(New), Just(Changed), Just(Retry), Just(Bulk)];
    let key = 0..40_u32;
    let step = prop_oneof![
        4 => (key.clone(), priority).prop_map(|(key, priority)| Step::Add(key, priority)),
        1 => (key, 0..100_u64).prop_map(|(key, wait)| Step::Due(key, wait)),
        4 => Just(Step::Take),
        2 => any::<usize>().prop_map(Step::Finish),
        1 => any::<usize>().prop_map(Step::News),
        1 => any::<usize>().prop_map(Step::SlowDown),
        1 => any::<usize>().prop_map(Step::SpeedUp),
        1 => (0..50_u64).prop_map(Step::Wait),
    ];
    collection::vec(step, 0..300)
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 96, ..Default::default() })]

    /// In any order of events, each key that is added is processed afterwards, and never twice at the same time.
    #[test]
    fn no_key_is_lost(steps in steps()) {
        let (mut scheduler, mut now) = (scheduler(), Instant::now());
        let mut active: Vec<u32> = Vec::new();
        // Keys that are wanted since they were last taken.
        let mut wanted = std::collections::BTreeSet::new();
        let mut due: std::collections::BTreeMap<u32, Instant> = std::collections::BTreeMap::new();
        for step in steps {
            match step {
                Step::Add(key, priority) => {
                    prop_assert_eq!(scheduler.add(key, priority, now), active.contains(&key));
                    wanted.insert(key);
                }
                Step::Due(key, wait) => {
                    let at = now + Duration::from_secs(wait);
                    scheduler.add_at(key, at);
                    due.entry(key).and_modify(|due| *due = at.min(*due)).or_insert(at);
                }
                Step::Take => if let Some(taken) = scheduler.take() {
                    prop_assert!(!active.contains(&taken.key), "twice at the same time");
                    prop_assert!(wanted.remove(&taken.key), "without reason");
                    active.push(taken.key);
                },
                Step::Finish(at) if !active.is_empty() => {
                    let key = active.swap_remove(at % active.len());
                    scheduler.finish(&key);
                }
                Step::News(at) if !active.is_empty() => {
                    let key = active[at % active.len()];
                    prop_assert_eq!(scheduler.take_news(&key).is_some(), wanted.remove(&key));
                }
                Step::SlowDown(at) if !active.is_empty() => scheduler.slow_down(&active[at % active.len()]),
                Step::SpeedUp(at) if !active.is_empty() => scheduler.speed_up(&active[at % active.len()]),
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
                _ => {}
            }
            scheduler.release_due(now);
            let passed: Vec<u32> = due.iter().filter(|(_, at)| **at <= now).map(|(key, _)| *key).collect();
            for key in passed {
                due.remove(&key);
                wanted.insert(key);
            }
            prop_assert_eq!(scheduler.depth(), wanted.len());
        }
        // At the end all that is wanted is processed, with a few workers.
        active.iter().for_each(|key| scheduler.finish(key));
        while let Some(taken) = scheduler.take() {
            prop_assert!(wanted.remove(&taken.key));
            scheduler.finish(&taken.key);
        }
        prop_assert!(wanted.is_empty(), "lost: {:?}", wanted);
        prop_assert!(!scheduler.has_work());
    }
}

#[test]
fn the_priority_that_a_key_was_added_with_outlives_its_slowness() {
    let mut scheduler = scheduler();
    let now = Instant::now();
    scheduler.add(1, New, now);
    scheduler.take().expect("it waits");
    scheduler.slow_down(&1);
    scheduler.add(1, Bulk, now);
    scheduler.finish(&1);
    let taken = scheduler.take().expect("it waits again");
    assert_eq!((taken.asked, scheduler.is_slow(&1)), (Bulk, false));
    scheduler.slow_down(&1);
    scheduler.add(1, New, now);
    scheduler.finish(&1);
    let taken = scheduler.take().expect("it waits again");
    assert_eq!((taken.asked, scheduler.is_slow(&1)), (New, true));
    assert_eq!(scheduler.places.taken(Slow), 1);
}
