//! Tests of what a status keeps from the one before, and what it leaves out.

use super::*;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

fn moved_at(conditions: &[Condition], kind: &str) -> Option<Timestamp> {
    conditions.iter().find(|c| c.type_ == kind).map(|c| c.last_transition_time.0)
}

/// Nothing is written at rest, in every state.
#[test]
fn equal_facts_at_a_later_time_give_an_equal_status() {
    let cases: &[Mutation] = &[
        |_| {},
        |s| s.results.clear(),
        |s| s.hold(0, Some(3600), Some(Reason::Throttled)),
        |s| s.hold(0, None, Some(Reason::AccessDenied)),
        |s| s.hold(0, Some(10), Some(Reason::Unreachable)),
        |s| s.fail_secret(0, Reason::SecretConflict),
        |s| s.results[0].1.bound = 0,
        |s| s.standstill = Some(failure(Reason::Suspended)),
        |s| s.standstill = Some(failure(Reason::InvalidSpec)),
        |s| s.others = vec![policies_missing()],
        |s| s.held = Some((at(50), failure(Reason::CoverageLost))),
        |s| s.results = (0..300).map(|i| (format!("n{i:03}"), result())).collect(),
    ];
    for (i, mutate) in cases.iter().enumerate() {
        let scene = good().with(mutate);
        let first = scene.status(None, at(100));
        let second = scene.status(Some(&first), at(1000));
        assert_eq!(second, first, "case {i}");
        assert_eq!(scene.status(Some(&second), at(2000)), first, "case {i}");
    }
}

/// One instance by two identities, or the Personal Edition of two regions: their pairs have one name.
#[test]
fn two_entries_of_one_name_keep_their_own_times() {
    for failing in [0, 1] {
        let scene = good().with(|s| {
            s.registries[1].registry = "cri-1".into();
            s.hold(failing, None, Some(Reason::AccessDenied));
        });
        let first = scene.status(None, at(100));
        assert_eq!(scene.status(Some(&first), at(200)), first);
        let resolved =
            good().with(|s| s.registries[1].registry = "cri-1".into()).status(Some(&first), at(300));
        let times: Vec<_> =
            resolved.pairs.iter().map(|p| moved_at(&p.conditions, "Ready").unwrap()).collect();
        assert_eq!(times.iter().filter(|t| **t == at(100)).count(), 2, "{times:?}");
        assert_eq!(times.iter().filter(|t| **t == at(300)).count(), 2, "{times:?}");
    }
}

#[test]
fn a_transition_time_moves_only_with_the_status() {
    let ready = |s: &AcrCredentialBindingStatus| moved_at(&s.conditions, "Ready").unwrap();
    let first = good().status(None, at(100));
    assert_eq!(ready(&first), at(100));
    let failing =
        good().with(|s| s.hold(0, Some(3600), Some(Reason::Throttled))).status(Some(&first), at(200));
    assert_eq!(
        (conditions_of(&failing)[0].as_str(), ready(&failing)),
        ("Ready=True RefreshFailing", at(100))
    );
    let expired =
        good().with(|s| s.hold(0, Some(150), Some(Reason::Throttled))).status(Some(&failing), at(300));
    assert_eq!((conditions_of(&expired)[0].as_str(), ready(&expired)), ("Ready=False Throttled", at(300)));
    let refused =
        good().with(|s| s.hold(0, Some(150), Some(Reason::KeyInvalid))).status(Some(&expired), at(400));
    assert_eq!((ready(&refused), moved_at(&refused.conditions, "Stalled")), (at(300), Some(at(400))));
    let regenerated = good().with(|s| s.generation = 4).status(Some(&refused), at(500));
    assert_eq!((ready(&regenerated), moved_at(&regenerated.conditions, "Stalled")), (at(500), None));
    assert_eq!(regenerated.conditions[0].observed_generation, Some(4));
}

#[test]
fn registries_and_pairs_have_their_own_transition_times() {
    let first = good().status(None, at(100));
    let second = good()
        .with(|s| {
            s.hold(0, None, Some(Reason::KeyInvalid));
            s.fail_secret(1, Reason::SecretConflict);
        })
        .status(Some(&first), at(200));
    let issued = second.registries.iter().map(|r| moved_at(&r.conditions, "Issued").unwrap());
    assert_eq!(issued.collect::<Vec<_>>(), [at(200), at(100)]);
    let time_of = |p: &PairStatus| {
        ((p.registry.clone(), p.namespace.clone()), moved_at(&p.conditions, "Ready").unwrap())
    };
    let times: std::collections::BTreeMap<_, _> = second.pairs.iter().map(time_of).collect();
    let at_pair = |registry: &str, namespace: &str| times[&(registry.to_owned(), namespace.to_owned())];
    assert_eq!((at_pair("cri-1", "n1"), at_pair("cri-2", "n1")), (at(200), at(100)));
    assert_eq!((at_pair("cri-1", "n2"), at_pair("cri-2", "n2")), (at(200), at(200)));
}

/// The API server keeps whole seconds: a finer time would differ from what comes back.
#[test]
fn times_are_what_the_api_server_gives_back() {
    let fine = at(0) + k8s_openapi::jiff::SignedDuration::from_millis(1500);
    let status = good()
        .with(|s| s.registries[0].life = Some(Life { minted_at: fine, expires_at: at(3600) }))
        .status(None, fine);
    let back: AcrCredentialBindingStatus =
        serde_json::from_value(serde_json::to_value(&status).unwrap()).unwrap();
    assert_eq!(back, status);
    assert_eq!(status.registries[0].refreshed_at.as_ref().map(|t| t.0), Some(at(1)));
}

#[test]
fn a_message_is_cut_before_the_api_server_refuses_it() {
    let long = Failure::new(Reason::InvalidSpec, "é".repeat(40_000));
    let status = good().with(|s| s.standstill = Some(long)).status(None, at(0));
    assert_eq!(message(&status).chars().count(), 1025);
}

#[test]
fn a_pair_reports_the_namespace_first_then_the_registry_then_the_domain() {
    let scene = good().with(|s| {
        s.hold(0, None, Some(Reason::KeyInvalid));
        s.fail_secret(0, Reason::SecretConflict);
        let lost =
            |registry| DomainConflict { binding: "a".into(), registry, message: "d is claimed first".into() };
        s.results[1].1.domain_conflicts = [lost(0), lost(1)].into();
    });
    let status = scene.status(None, at(100));
    let mut pairs: Vec<_> = status.pairs.iter().map(pair).collect();
    pairs.sort_unstable();
    let expected = [
        ("cri-1", "n1", "SecretConflict"),
        ("cri-1", "n2", "KeyInvalid"),
        ("cri-2", "n1", "SecretConflict"),
        ("cri-2", "n2", "DomainContested"),
    ];
    assert_eq!(pairs, expected);
}

#[test]
fn pairs_that_are_not_ready_come_first_and_what_is_left_out_is_counted() {
    let many =
        |n: usize| move |s: &mut Scene| s.results = (0..n).map(|i| (format!("n{i:04}"), result())).collect();
    type Case = (usize, fn(&mut Scene), usize);
    let cases: &[Case] = &[
        (0, |_| {}, 0),
        (100, |_| {}, 0),
        (1000, |_| {}, 0),
        (1000, |s| s.fail_secret(999, Reason::SecretConflict), 2),
        (1000, |s| s.hold(1, None, Some(Reason::KeyInvalid)), MAX_PAIRS),
        (100, |s| s.hold(1, None, Some(Reason::KeyInvalid)), 100),
        (1000, |s| (500..1000).for_each(|i| s.fail_secret(i, Reason::QuotaExceeded)), MAX_PAIRS),
        (150, |s| (0..60).for_each(|i| s.fail_secret(i, Reason::QuotaExceeded)), 120),
    ];
    for (namespaces, mutate, not_ready) in cases {
        let status = good().with(many(*namespaces)).with(mutate).status(None, at(100));
        let states: Vec<bool> = status.pairs.iter().map(|p| p.conditions[0].status == "True").collect();
        assert_eq!(states.iter().filter(|ready| !**ready).count(), *not_ready, "{namespaces}");
        assert!(states.is_sorted(), "{namespaces}: a ready pair before one that is not");
        assert_eq!(status.pairs.len(), (2 * namespaces).min(MAX_PAIRS));
        let expected = i64::try_from(2 * namespaces - status.pairs.len()).unwrap();
        assert_eq!(status.pairs_omitted, Some(expected), "{namespaces}");
        let counted = status.namespaces.unwrap().matched;
        assert_eq!(usize::try_from(counted), Ok(*namespaces));
        let distinct: std::collections::HashSet<_> = status.pairs.iter().map(pair).collect();
        assert_eq!(distinct.len(), status.pairs.len());
    }
}

/// The grace runs from this time: it must be that of the loss, whenever the status is written.
#[test]
fn a_held_withdrawal_has_the_time_at_which_it_began() {
    let scene = good().with(|s| {
        s.held = Some((at(50), failure(Reason::CoverageLost)));
        s.fail_secret(0, Reason::CoverageLost);
    });
    let first = scene.status(None, at(60));
    let expected =
        ["Ready=False CoverageLost", "Stalled=True CoverageLost", "WithdrawalHeld=True CoverageLost"];
    assert_eq!(conditions_of(&first), expected);
    assert_eq!(moved_at(&first.conditions, "WithdrawalHeld"), Some(at(50)));
    // Lost again, before its return was reported.
    let again = scene.with(|s| s.held = Some((at(500), failure(Reason::CoverageLost))));
    assert_eq!(moved_at(&again.status(Some(&first), at(501)).conditions, "WithdrawalHeld"), Some(at(500)));
    assert_eq!(moved_at(&good().status(Some(&first), at(502)).conditions, "WithdrawalHeld"), None);
}

#[test]
fn a_withdrawal_reports_its_progress_and_what_blocks_it() {
    let leaving = |reason: Reason| {
        good().with(|s| {
            s.standstill = Some(failure(Reason::Withdrawing));
            s.fail_secret(0, reason);
        })
    };
    let quiet = leaving(Reason::Withdrawing).status(None, at(0));
    assert_eq!(message(&quiet), "why Withdrawing: 1 of 2 namespaces cleaned up");
    let refused = leaving(Reason::Forbidden).status(None, at(0));
    assert_eq!(
        conditions_of(&refused),
        ["Ready=False Withdrawing", "Reconciling=True Withdrawing", "Stalled=True Forbidden"]
    );
    let expected = "why Withdrawing: 1 of 2 namespaces cleaned up; Forbidden: 1 of 2 namespaces is not ready; n1: why Forbidden";
    assert_eq!(message(&refused), expected);
}

/// Versions before this one wrote them. The write that drops them is the one that any difference causes.
#[test]
fn a_condition_of_a_type_that_was_renamed_leaves_the_status() {
    let current = good().with(|s| s.others = vec![policies_missing()]).status(None, at(100));
    let mut stored = current.clone();
    for kind in ["ServedAtCreation", "OfAnotherVersion"] {
        stored.conditions.push(Condition { type_: kind.to_owned(), ..current.conditions[0].clone() });
    }
    let next = good().with(|s| s.others = vec![policies_missing()]).status(Some(&stored), at(200));
    assert_eq!(next, current);
    assert_ne!(next, stored);
}

#[test]
fn counts_agree_with_their_nouns() {
    let one = good().with(|s| {
        s.registries.truncate(1);
        s.results.truncate(1);
        s.results[0].1.matched = 1;
        s.results[0].1.bound = 1;
    });
    assert_eq!(message(&one.status(None, at(0))), "1 registry serves 1 namespace and 1 ServiceAccount.");
    let two = good().status(None, at(0));
    assert_eq!(message(&two), "2 registries serve 2 namespaces and 4 ServiceAccounts.");
    let converging = good().with(|s| s.awaited = vec!["n3"]).status(None, at(0));
    let expected = "Ready so far: 2 of 3 namespaces, 4 of 4 ServiceAccounts, 2 of 2 registries";
    assert_eq!(message(&converging), expected);
}

#[test]
fn a_binding_whose_watches_hear_nothing_is_unknown_and_says_what_was_known_last() {
    let blind = good().with(|s| s.blindness = Some(failure(Reason::WatchStale)));
    let before = good().status(None, at(0));
    let status = blind.status(Some(&before), at(10));
    assert_eq!(conditions_of(&status), ["Ready=Unknown WatchStale"]);
    assert_eq!(
        message(&status),
        "why WatchStale. The last known state is Succeeded: 2 registries serve 2 namespaces and 4 ServiceAccounts."
    );
    assert_eq!(moved_at(&status.conditions, "Ready"), Some(at(10)));
    // What it reports beside that stays, and nothing changes with the time.
    assert_eq!((&status.pairs, &status.registries), (&before.pairs, &before.registries));
    assert_eq!(blind.status(Some(&status), at(20)), status);
    let failing = blind.with(|s| s.fail_secret(0, Reason::SecretConflict)).status(Some(&status), at(20));
    assert_eq!(conditions_of(&failing), ["Ready=Unknown WatchStale", "Stalled=True SecretConflict"]);
    assert_eq!(conditions_of(&good().status(Some(&status), at(30))), ["Ready=True Succeeded"]);
}
