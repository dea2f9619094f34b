//! Bindings that change together are published together, and none waits for long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Churn, Unpublished};

const MS: Duration = Duration::from_millis(1);

fn take(unpublished: &mut Unpublished, at: Instant) -> Vec<String> {
    unpublished.take_due(at).iter().map(ToString::to_string).collect()
}

#[test]
fn bindings_that_follow_each_other_are_due_together_once_none_follows() {
    let (mut unpublished, start) = (Unpublished::default(), Instant::now());
    for i in 0..20 {
        let now = start + 20 * MS * i;
        assert_eq!(take(&mut unpublished, now), [] as [String; 0]);
        unpublished.add(&format!("b{i:02}").into(), Churn::Joins, false, now);
    }
    let last = start + 20 * MS * 19;
    assert_eq!(unpublished.due_at(), Some(last + 100 * MS));
    assert_eq!(take(&mut unpublished, last + 99 * MS), [] as [String; 0]);
    assert_eq!(take(&mut unpublished, last + 100 * MS).len(), 20);
    assert_eq!(unpublished.due_at(), None);
}

/// On a busy machine, or from a tool that applies one after the other, they follow slowly.
#[test]
fn bindings_that_follow_each_other_slowly_are_awaited_for_longer() {
    let (mut unpublished, start) = (Unpublished::default(), Instant::now());
    unpublished.add(&"a".into(), Churn::Joins, false, start);
    unpublished.add(&"b".into(), Churn::Joins, false, start + 90 * MS);
    assert_eq!(unpublished.due_at(), Some(start + 270 * MS));
    unpublished.add(&"c".into(), Churn::Joins, false, start + 260 * MS);
    assert_eq!(unpublished.due_at(), Some(start + 600 * MS));
    unpublished.add(&"d".into(), Churn::Joins, false, start + 599 * MS);
    assert_eq!(unpublished.due_at(), Some(start + 1099 * MS), "half a second at most");
    unpublished.add(&"e".into(), Churn::Edited, false, start);
    unpublished.add(&"f".into(), Churn::Edited, false, start + 29 * MS);
    assert_eq!(unpublished.due_at(), Some(start + 59 * MS), "an edit rarely has company");
}

#[test]
fn a_burst_without_end_is_published_in_parts() {
    let (mut unpublished, start) = (Unpublished::default(), Instant::now());
    for i in 0..300 {
        unpublished.add(&format!("b{i}").into(), Churn::Leaves, false, start + 10 * MS * i);
    }
    assert_eq!(unpublished.due_at(), Some(start + 3000 * MS));
    for i in 0..20 {
        unpublished.add(&format!("e{i}").into(), Churn::Edited, false, start + 20 * MS * i);
    }
    assert_eq!(take(&mut unpublished, start + 100 * MS).len(), 20, "edits wait for a moment only");
    assert_eq!(take(&mut unpublished, start + 3000 * MS).len(), 300);
}

#[test]
fn a_new_binding_does_not_wait_for_those_that_leave_nor_for_one_that_keeps_changing() {
    let (mut unpublished, start) = (Unpublished::default(), Instant::now());
    let (new, other): (Arc<str>, Arc<str>) = ("new".into(), "other".into());
    unpublished.add(&new, Churn::Joins, false, start);
    for i in 0..10 {
        unpublished.add(&format!("l{i}").into(), Churn::Leaves, false, start + 10 * MS * i);
        unpublished.add(&other, Churn::Joins, false, start + 10 * MS * i);
    }
    assert_eq!(take(&mut unpublished, start + 100 * MS), ["new", "other"]);
    unpublished.add(&other, Churn::Edited, false, start + 110 * MS);
    unpublished.add(&other, Churn::Edited, false, start + 135 * MS);
    assert_eq!(take(&mut unpublished, start + 140 * MS), ["other"]);
    assert_eq!(take(&mut unpublished, start + 190 * MS).len(), 10);
}

#[test]
fn the_last_kind_of_change_counts_and_a_binding_is_taken_once() {
    let (mut unpublished, start) = (Unpublished::default(), Instant::now());
    let b: Arc<str> = "b".into();
    unpublished.add(&b, Churn::Joins, false, start);
    unpublished.add(&b, Churn::Leaves, false, start + 20 * MS);
    assert!(unpublished.contains("b"));
    assert_eq!(take(&mut unpublished, start + 100 * MS), [] as [String; 0], "it does not join any more");
    assert!(unpublished.take("b") && !unpublished.take("b") && !unpublished.contains("b"));
    assert_eq!(unpublished.due_at(), None);
}

/// All are there at once, and each needs a write before it is in force.
#[test]
fn bindings_that_need_a_write_first_are_awaited_for_a_while() {
    let (mut unpublished, start) = (Unpublished::default(), Instant::now());
    let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
    unpublished.add(&a, Churn::Joins, true, start);
    unpublished.add(&b, Churn::Joins, true, start + 10 * MS);
    unpublished.add(&a, Churn::Joins, false, start + 200 * MS);
    assert_eq!(unpublished.due_at(), Some(start + 1010 * MS), "b is not there yet");
    unpublished.add(&b, Churn::Joins, false, start + 400 * MS);
    unpublished.add(&b, Churn::Joins, false, start + 420 * MS);
    assert_eq!(unpublished.due_at(), Some(start + 800 * MS), "the API server is slow");
    assert_eq!(take(&mut unpublished, start + 800 * MS), ["a", "b"]);
}

/// It may be applied together with the workload that needs it.
#[test]
fn a_new_binding_with_few_namespaces_is_due_at_once_unless_another_was_new_just_before() {
    let (mut unpublished, start) = (Unpublished::default(), Instant::now());
    let (a, b, c): (Arc<str>, Arc<str>, Arc<str>) = ("a".into(), "b".into(), "c".into());
    unpublished.add(&a, Churn::JoinsFew, true, start);
    assert_eq!(take(&mut unpublished, start + 5 * MS), [] as [String; 0], "it lacks our finalizer");
    unpublished.add(&a, Churn::JoinsFew, false, start + 10 * MS);
    assert_eq!(take(&mut unpublished, start + 10 * MS), ["a"]);
    unpublished.add(&b, Churn::JoinsFew, false, start + 99 * MS);
    unpublished.add(&b, Churn::JoinsFew, false, start + 150 * MS);
    assert_eq!(unpublished.due_at(), Some(start + 199 * MS), "more may follow");
    assert_eq!(take(&mut unpublished, start + 199 * MS), ["b"]);
    // It covers more since it was seen first.
    unpublished.add(&c, Churn::JoinsFew, true, start + 500 * MS);
    unpublished.add(&c, Churn::Joins, false, start + 501 * MS);
    assert_eq!(take(&mut unpublished, start + 501 * MS), ["c"]);
    unpublished.add(&a, Churn::JoinsFew, true, start + 800 * MS);
    assert_eq!(unpublished.due_at(), Some(start + 1800 * MS), "the API server is slow");
}
