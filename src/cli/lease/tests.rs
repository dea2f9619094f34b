use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;

use super::{LeaseObserver, LeaseState};

fn lease(holder: &str, second: u8) -> Option<Lease> {
    let spec = json!({
        "holderIdentity": holder,
        "leaseDurationSeconds": 3,
        "renewTime": format!("2026-01-01T00:00:{second:02}.000000Z"),
    });
    Some(serde_json::from_value(json!({ "spec": spec })).unwrap())
}

fn held_by(holder: &str) -> String {
    holder.to_owned()
}

#[test]
fn only_an_observed_change_is_a_renewal_and_silence_ends_it() {
    let (mut observer, begin) = (LeaseObserver::default(), Instant::now());
    let at = |millis: u64| begin + Duration::from_millis(millis);
    for (when, observed, expected) in [
        (0, lease("a", 1), LeaseState::Unknown),
        (1000, lease("a", 1), LeaseState::Unknown),
        (2000, lease("a", 3), LeaseState::Renewed { holder: held_by("a") }),
        (6900, lease("a", 3), LeaseState::Renewed { holder: held_by("a") }),
        (7100, lease("a", 3), LeaseState::Stale { holder: held_by("a") }),
        (8000, lease("b", 8), LeaseState::Renewed { holder: held_by("b") }),
        (9000, lease("", 9), LeaseState::Unknown),
        (15_900, lease("", 9), LeaseState::Unknown),
        (16_100, lease("", 9), LeaseState::Released),
        (27_000, None, LeaseState::Absent),
        (28_000, lease("c", 28), LeaseState::Unknown),
        (33_100, lease("c", 28), LeaseState::Stale { holder: held_by("c") }),
    ] {
        assert_eq!(observer.observe(observed, at(when)), expected, "after {when} ms");
    }
}

#[test]
fn a_lease_without_a_duration_has_fifteen_seconds() {
    let (mut observer, begin) = (LeaseObserver::default(), Instant::now());
    let lease = || serde_json::from_value(json!({ "spec": { "holderIdentity": "a" } })).ok();
    assert_eq!(observer.observe(lease(), begin), LeaseState::Unknown);
    assert_eq!(observer.observe(lease(), begin + Duration::from_secs(17)), LeaseState::Unknown);
    let stale = LeaseState::Stale { holder: held_by("a") };
    assert_eq!(observer.observe(lease(), begin + Duration::from_secs(18)), stale);
}
