//! Tests of how many attempts are under way, and in which order they begin.

use super::*;

fn instances(count: usize) -> Vec<RegistryKey> {
    (0..count).map(|n| key(&format!("cri-{n:04}"))).collect()
}

fn by_pair(instance: &str, secret: &str, region: &str) -> RegistryKey {
    let source = CredentialSource::AccessKey { secret: secret.into() };
    let key = key(instance);
    RegistryKey { region: region.into(), identity: Identity { source, ..key.identity.clone() }, ..key }
}

fn cache_of(keys: &[RegistryKey]) -> (CredentialCache, HashMap<RegistryKey, Demand>) {
    let demands = demands(&keys.iter().collect::<Vec<_>>(), false);
    let mut cache = CredentialCache::default();
    cache.track(&demands);
    (cache, demands)
}

fn timed_out() -> MintResult {
    let failure = MintFailure::new(Reason::Unreachable, RetryAdvice::Soon, "does not answer in time");
    MintResult { credential: Some(Err(failure)), domains: None }
}

/// Runs the cache with a cloud that answers at once, except for those that hang until their timeout of ten seconds.
/// Returns when each registry got its first credential, and the most attempts under way at once.
fn run(keys: &[RegistryKey], hangs: impl Fn(&RegistryKey) -> bool) -> (HashMap<RegistryKey, i64>, usize) {
    let (mut cache, demands) = cache_of(keys);
    let (mut under_way, mut first, mut most) = (Vec::<(RegistryKey, i64)>::new(), HashMap::new(), 0);
    for second in 0..120 {
        let (over, still): (Vec<_>, Vec<_>) = under_way.into_iter().partition(|(_, end)| *end <= second);
        under_way = still;
        over.iter().for_each(|(key, _)| cache.record(key, timed_out(), at(second)));
        loop {
            let started = started(&mut cache, &demands, at(second));
            if started.is_empty() {
                break;
            }
            let (hanging, answered): (Vec<_>, Vec<_>) = started.into_iter().partition(&hangs);
            most = most.max(under_way.len() + hanging.len() + answered.len());
            under_way.extend(hanging.into_iter().map(|key| (key, second + 10)));
            for key in answered {
                cache.record(&key, minted("t", second), at(second));
                first.entry(key).or_insert(second);
            }
        }
    }
    (first, most)
}

#[test]
fn a_thousand_registries_that_are_due_at_once_are_minted_a_few_at_a_time() {
    let keys = instances(1_000);
    let (first, most) = run(&keys, |_| false);
    assert_eq!((first.len(), most), (1_000, 64));
    let two: Vec<_> = (0..500)
        .map(|n| by_pair(&format!("cri-{n}"), &format!("ak-{}", n % 50), &format!("r-{}", n % 7)))
        .collect();
    let (first, most) = run(&two, |_| false);
    assert_eq!((first.len(), most), (500, 96), "of several accounts and regions");
}

#[test]
fn a_registry_whose_63_siblings_hang_is_minted_at_once() {
    let keys = instances(64);
    for good in [0, 31, 63] {
        let (first, most) = run(&keys, |key| *key != keys[good]);
        assert_eq!(first[&keys[good]], 0);
        assert!(most <= 64, "{most}");
    }
    // Of two hundred, the last one waits for two rounds of time-outs, once.
    let keys = instances(200);
    let (first, most) = run(&keys, |key| *key != keys[199]);
    assert!(first[&keys[199]] <= 21 && most <= 96, "{first:?} {most}");
}

/// Once they have failed, they come after the others.
#[test]
fn a_new_registry_beside_hundreds_that_hang_is_minted_at_once() {
    let hanging = instances(300);
    let (mut cache, mut demands) = cache_of(&hanging);
    let mut now = 0;
    // Each of them has timed out.
    while cache.failing().count() < 300 {
        for key in started(&mut cache, &demands, at(now)) {
            cache.record(&key, timed_out(), at(now + 10));
        }
        now += 1;
        assert!(now < 1_000, "{} have failed", cache.failing().count());
    }
    // All are due again, and hang.
    let retried = started(&mut cache, &demands, at(now + 1_000));
    assert_eq!(retried.len(), 8);
    let new = key("cri-new");
    demands.extend(super::demands(&[&new], false));
    cache.track(&demands);
    assert_eq!(started(&mut cache, &demands, at(now + 1_000)), [new]);
}

#[test]
fn a_key_pair_or_an_endpoint_that_hangs_takes_no_permit_of_another() {
    let by = |pair: &str, region: &str| -> Vec<RegistryKey> {
        (0..200).map(|n| by_pair(&format!("cri-{n}"), pair, region)).collect()
    };
    for (hanging, other) in [
        (by("bad", "cn-hangzhou"), by_pair("cri-1", "good", "cn-beijing")),
        (by("bad", "cn-far"), by_pair("cri-z", "bad", "cn-hangzhou")),
    ] {
        let (region, pair) = (hanging[0].region.clone(), hanging[0].identity.clone());
        let hangs = |key: &RegistryKey| key.region == region && key.identity == pair;
        let all = [hanging, vec![other.clone()]].concat();
        let (first, most) = run(&all, hangs);
        let at_most = if other.identity == pair { 21 } else { 0 };
        assert!(first[&other] <= at_most && most <= 97, "{first:?} {most}");
    }
}

/// The deadline of an attempt begins with its permit, and a permit is passed on after a second.
#[test]
fn the_next_look_comes_when_a_permit_is_passed_on() {
    let keys = instances(100);
    let (mut cache, demands) = cache_of(&keys);
    let (first, next) = cache.start_due(&demands, at(0));
    assert_eq!((first.len(), next), (64, Some(at(1))));
    assert!(cache.awaits_permit());
    assert_eq!(started(&mut cache, &demands, at(0)), []);
    assert_eq!(started(&mut cache, &demands, at(1)).len(), 32);
    cache.give_up_waiting();
    assert!(!cache.awaits_permit(), "namespaces do not wait for them");
    assert!(matches!(cache.credential(&registry(&keys[99], &["d"])), RegistryCredential::Missing));
    first.iter().for_each(|request| cache.record(&request.key, minted("t", 2), at(2)));
    assert_eq!(started(&mut cache, &demands, at(2)).len(), 4);
}

/// What is renewed with the others costs no write of its own, also if it waits for a permit.
#[test]
fn a_registry_that_joins_a_round_and_waits_for_a_permit_is_still_renewed_in_it() {
    let keys = instances(100);
    let (mut cache, demands) = (CredentialCache::default(), demands(&keys.iter().collect::<Vec<_>>(), false));
    cache.track(&demands);
    for key in &keys {
        cache.record(key, minted("first", 0), at(0));
    }
    let due = keys.iter().map(|key| due_at(key, 0)).min().unwrap();
    let mut renewed = 0;
    loop {
        let round = started(&mut cache, &demands, due);
        if round.is_empty() {
            break;
        }
        renewed += round.len();
        let now = due.as_second() - at(0).as_second();
        round.iter().for_each(|key| cache.record(key, minted("second", now), due));
    }
    assert_eq!(renewed, 100);
}

#[test]
fn the_failing_registries_are_those_whose_last_attempt_failed() {
    let (good, bad) = (key("cri-1"), key("cri-2"));
    let (mut cache, _) = holding(&[(&good, 0), (&bad, 0)]);
    assert_eq!(cache.failing().count(), 0);
    cache.record(&bad, failed(RetryAdvice::Soon), at(1));
    assert_eq!(cache.failing().collect::<Vec<_>>(), [&bad]);
    cache.record(&bad, minted("again", 1800), at(1800));
    assert_eq!(cache.failing().count(), 0);
}
