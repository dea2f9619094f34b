//! Tests of when the ConfigMap is written, and when the API server is checked.

use std::time::{Duration, Instant};

use super::{CheckStep, FIRST_PATIENCE, PATIENCE, PolicyState, differs};

#[test]
fn a_missing_config_map_equals_an_empty_one() {
    let data = |key: &str| [(key.to_owned(), String::new())].into();
    for (wanted, existing, expected) in [
        (data("a"), Some(data("a")), false),
        (data("a"), Some(data("b")), true),
        (data("a"), None, true),
        (Default::default(), None, false),
        (Default::default(), Some(data("a")), true),
    ] {
        assert_eq!(differs(&wanted, existing.as_ref()), expected, "{wanted:?} {existing:?}");
    }
}

#[test]
fn a_version_is_checked_once_a_minute_while_it_is_requested() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let mut state = PolicyState::default();
    assert_eq!(state.step("1", false, start), CheckStep::Unused);
    assert_eq!(state.step("1", true, start), CheckStep::Check(FIRST_PATIENCE));
    assert_eq!(state.applied("1".into(), true, start), Some(Duration::from_secs(60)));
    assert_eq!(state.step("1", true, after(20)), CheckStep::Wait(Some(Duration::from_secs(40))));
    assert_eq!(state.step("1", false, after(20)), CheckStep::Wait(None));
    assert_eq!(state.step("1", true, after(60)), CheckStep::Check(PATIENCE));
    assert_eq!(state.step("2", true, after(20)), CheckStep::Check(PATIENCE), "another version");
    assert_eq!(
        state.step("2", false, after(20)),
        CheckStep::Check(PATIENCE),
        "an empty one must be applied too"
    );
    assert_eq!(state.applied("2".into(), false, after(21)), None);
    assert_eq!(state.step("2", false, after(22)), CheckStep::Unused);
}

#[test]
fn a_passing_failure_changes_nothing_at_first() {
    let now = Instant::now();
    let mut state = PolicyState::new(true);
    for attempt in 1..=5 {
        assert_eq!(state.failed(true), (attempt, false));
    }
    assert_eq!(state.step("1", false, now), CheckStep::Check(PATIENCE));
    assert_eq!(state.failed(true), (6, true));
    assert_eq!(state.step("1", false, now), CheckStep::Unused);
    let mut state = PolicyState::new(true);
    assert_eq!(state.failed(false), (1, true), "a right that is missing");
    assert_eq!(state.not_applied(), 2);
    state.reset();
    assert_eq!(state.not_applied(), 1);
}
