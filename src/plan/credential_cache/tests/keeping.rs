//! Tests of what stays in the cache: after failures, after a restart, and without demand.

use super::*;

#[test]
fn a_failed_refresh_keeps_the_last_credential() {
    let key = key("cri-1");
    let registry = registry(&key, &["d"]);
    let (mut cache, demands) = holding(&[(&key, 0)]);
    for attempt in 0..5 {
        cache.start_due(&demands, at(3000 + 400 * attempt));
        cache.record(&key, failed(RetryAdvice::Soon), at(3000 + 400 * attempt));
        assert_eq!(token(&cache, &registry), "first");
        assert_eq!(cache.failure(&registry).map(|f| f.reason), Some(Reason::AccessDenied));
    }
    cache.record(&key, minted("second", 5000), at(5000));
    assert_eq!((token(&cache, &registry).as_str(), cache.failure(&registry)), ("second", None));
}

/// A new id each time would rewrite the status each time.
#[test]
fn equal_failures_keep_the_first_request_id() {
    let (key, mut cache) = (key("cri-1"), CredentialCache::default());
    cache.track(&demands(&[&key], false));
    let mut attempt = |message, request| {
        let credential = Some(Err(refused(message, RetryAdvice::Soon, request)));
        cache.record(&key, MintResult { credential, domains: None }, at(0));
        cache.failure(&registry(&key, &[])).unwrap().message.to_string()
    };
    assert_eq!(attempt("no", "r1"), "no (RequestId r1)");
    assert_eq!(attempt("no", "r2"), "no (RequestId r1)");
    assert_eq!(attempt("never", "r3"), "never (RequestId r3)");
    assert_eq!(attempt("no", "r4"), "no (RequestId r4)");
    cache.record(&key, minted("t", 0), at(0));
    assert_eq!(cache.failure(&registry(&key, &[])), None);
    let credential = Some(Err(refused("no", RetryAdvice::Soon, "r5")));
    cache.record(&key, MintResult { credential, domains: None }, at(0));
    assert_eq!(&*cache.failure(&registry(&key, &[])).unwrap().message, "no (RequestId r5)");
}

fn with_domains((token, seconds): (&str, i64), domains: Result<&[&str], MintFailure>) -> MintResult {
    let domains = domains.map(|list| list.iter().map(|d| (*d).to_owned()).collect());
    MintResult { credential: Some(Ok(credential(token, seconds))), domains: Some(domains) }
}

fn domains(credential: &RegistryCredential) -> Vec<&str> {
    match credential {
        RegistryCredential::Held { domains, .. } => domains.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_failed_list_keeps_the_last_domains() {
    let (key, mut cache) = (key("cri-1"), CredentialCache::default());
    let every = registry(&key, &[]);
    cache.track(&demands(&[&key], true));
    cache.record(&key, with_domains(("t1", 0), Ok(&["d1", "d2"])), at(0));
    assert_eq!(domains(&cache.credential(&every)), ["d1", "d2"]);
    cache.record(&key, with_domains(("t2", 600), Err(refused("no list", RetryAdvice::Soon, "r"))), at(0));
    assert_eq!(
        (domains(&cache.credential(&every)), token(&cache, &every).as_str()),
        (vec!["d1", "d2"], "t2")
    );
    assert_eq!(cache.failure(&every), None);
    cache.record(&key, with_domains(("t3", 1200), Ok(&["d3"])), at(0));
    assert_eq!(domains(&cache.credential(&every)), ["d3"]);
}

#[test]
fn without_any_list_there_is_nowhere_to_write_a_token_unless_domains_are_given() {
    let (key, mut cache) = (key("cri-1"), CredentialCache::default());
    let demands = demands(&[&key], true);
    cache.track(&demands);
    cache.start_due(&demands, at(0));
    cache.record(&key, with_domains(("t", 0), Err(refused("no list", RetryAdvice::Soon, "r"))), at(0));
    assert!(matches!(cache.credential(&registry(&key, &[])), RegistryCredential::Missing));
    assert_eq!(domains(&cache.credential(&registry(&key, &["d"]))), ["d"]);
    assert_eq!(&*cache.failure(&registry(&key, &[])).unwrap().message, "no list (RequestId r)");
    assert_eq!(cache.failure(&registry(&key, &["d"])), None, "it misses no list");
    assert_eq!(started(&mut cache, &demands, at(1)), []);
    // What was minted is good: the list alone is asked for, until the token is due as well.
    let again = cache.start_due(&demands, at(2)).0;
    assert_eq!(again, [MintRequest { is_good: true, ..due(&key) }]);
    let list = |list| MintResult { credential: None, domains: Some(list) };
    cache.record(&key, list(Err(refused("no list", RetryAdvice::Rarely, "r"))), at(2));
    assert_eq!(cache.start_due(&demands, at(2700)).0, [due(&key)]);
    cache.record(
        &key,
        with_domains(("t2", 2700), Err(refused("no list", RetryAdvice::Rarely, "r"))),
        at(2700),
    );
    assert_eq!(cache.start_due(&demands, at(3100)).0, [MintRequest { is_good: true, ..due(&key) }]);
    cache.record(&key, list(Ok(vec!["d1".to_owned()])), at(3100));
    assert_eq!(cache.failure(&registry(&key, &[])), None);
    assert_eq!(domains(&cache.credential(&registry(&key, &[]))), ["d1"]);
    // A request for a fresh one is one for the token.
    cache.force([key.clone()]);
    assert!(!cache.start_due(&demands, at(3101)).0[0].is_good);
}

#[test]
fn a_new_demand_for_domains_is_due_at_once() {
    let key = key("cri-1");
    let (mut cache, _) = holding(&[(&key, 0)]);
    let demands = demands(&[&key], true);
    cache.track(&demands);
    assert!(matches!(cache.credential(&registry(&key, &[])), RegistryCredential::Pending));
    assert_eq!(due_keys(&mut cache, &demands, 60), [key]);
}

#[test]
fn a_first_attempt_is_pending_until_it_fails_or_takes_too_long() {
    let key = key("cri-1");
    let (registry, demands) = (registry(&key, &["d"]), demands(&[&key], false));
    let asked = || {
        let mut cache = CredentialCache::default();
        cache.track(&demands);
        cache.start_due(&demands, at(0));
        cache
    };
    assert!(matches!(CredentialCache::default().credential(&registry), RegistryCredential::Pending));
    assert!(matches!(asked().credential(&registry), RegistryCredential::Pending));
    let mut failing = asked();
    failing.record(&key, failed(RetryAdvice::Soon), at(0));
    assert!(matches!(failing.credential(&registry), RegistryCredential::Missing));
    let mut slow = asked();
    slow.give_up_waiting();
    assert!(matches!(slow.credential(&registry), RegistryCredential::Missing));
    slow.record(&key, minted("t", 0), at(9));
    assert_eq!(token(&slow, &registry), "t");
}

fn due_keys(
    cache: &mut CredentialCache,
    demands: &HashMap<RegistryKey, Demand>,
    second: i64,
) -> Vec<RegistryKey> {
    let mut keys: Vec<_> = cache.start_due(demands, at(second)).0.into_iter().map(|due| due.key).collect();
    keys.sort();
    keys
}

/// A pair is rotated: what the old one gave is replaced at once, and what failed is tried at once; others are not.
#[test]
fn a_rotated_key_pair_replaces_its_credentials_and_ends_a_back_off() {
    let by = |secret: &str, instance: &str| {
        let identity = Identity {
            source: CredentialSource::AccessKey { secret: secret.into() },
            ..key(instance).identity
        };
        RegistryKey { identity, ..key(instance) }
    };
    let (held, failing, other) = (by("ak", "cri-1"), by("ak", "cri-2"), by("other", "cri-3"));
    let demands = demands(&[&held, &failing, &other], false);
    let mut cache = CredentialCache::default();
    cache.track(&demands);
    cache.start_due(&demands, at(0));
    let with = |id: &str| {
        let mut minted = minted("t", 0);
        if let Some(Ok(credential)) = &mut minted.credential {
            credential.origin.key_id = Some(id.into());
        }
        minted
    };
    cache.record(&held, with("LTAI-old"), at(0));
    cache.record(&other, with("LTAI-old"), at(0));
    cache.record(&failing, failed(RetryAdvice::Rarely), at(0));
    let of_ak = |source: &CredentialSource| *source == CredentialSource::AccessKey { secret: "ak".into() };

    cache.source_changed(of_ak, None);
    let due = |cache: &mut CredentialCache, second| due_keys(cache, &demands, second);
    assert_eq!(due(&mut cache, 1), std::slice::from_ref(&failing), "a retry, and no replacement");
    cache.record(&failing, failed(RetryAdvice::Rarely), at(1));
    cache.source_changed(of_ak, Some("LTAI-old"));
    assert_eq!(
        due(&mut cache, 2),
        std::slice::from_ref(&failing),
        "the same key pair minted the current one"
    );
    cache.record(&failing, with("LTAI-old"), at(2));
    cache.source_changed(of_ak, Some("LTAI-new"));
    assert_eq!(due(&mut cache, 3), [held, failing]);
}

/// A restart of a settled controller mints nothing.
#[test]
fn saved_credentials_are_in_use_after_a_restart_and_nothing_is_due() {
    let (first, second) = (key("cri-1"), key("cri-2"));
    let demands = demands(&[&first, &second], true);
    let mut before = CredentialCache::default();
    before.track(&demands);
    for key in [&first, &second] {
        before.record(key, with_domains((&key.id(), 0), Ok(&["d"])), at(0));
    }
    let mut after = CredentialCache::new(before.to_save());
    // Bindings come in one by one: a token must not be lost before its binding is seen.
    after.track(&super::demands(&[&first], true));
    after.track(&demands);
    assert_eq!(
        after.start_due(&demands, at(60)),
        (vec![], [due_at(&first, 0), due_at(&second, 0)].into_iter().min())
    );
    for key in [&first, &second] {
        assert_eq!(token(&after, &registry(key, &[])), key.id());
        assert_eq!(domains(&after.credential(&registry(key, &[]))), ["d"]);
    }
    let ids = |tokens: &SavedCredentials| tokens.keys().cloned().collect::<Vec<_>>();
    assert_eq!(ids(&after.to_save()), ids(&before.to_save()));
}

#[test]
fn a_saved_credential_that_has_expired_is_due_at_once() {
    let key = key("cri-1");
    let saved = SavedCredential { credential: Some(Arc::new(credential("old", -7200))), domains: None };
    let mut cache = CredentialCache::new([(key.id(), saved)].into());
    let demands = demands(&[&key], false);
    cache.track(&demands);
    assert_eq!(started(&mut cache, &demands, at(0)), [key]);
}

/// A binding that a GitOps tool deletes and makes again mints nothing.
#[test]
fn a_credential_without_demand_stays_until_it_expires() {
    let key = key("cri-1");
    let (mut cache, demands) = holding(&[(&key, 0)]);
    let no_demand = HashMap::new();
    cache.track(&no_demand);
    assert_eq!(cache.start_due(&no_demand, at(60)).0, []);
    assert!(cache.times(&no_demand).is_empty(), "without demand it has no series");
    cache.track(&demands);
    assert_eq!(cache.start_due(&demands, at(60)).0, []);
    assert_eq!(token(&cache, &registry(&key, &["d"])), "first");
    let times = cache.times(&demands).into_values().next().unwrap();
    assert!(times.renewal_at > at(60) && times.renewal_at < times.expires_at, "{times:?}");
    cache.start_due(&no_demand, at(4000));
    assert_eq!((cache.times(&demands).len(), cache.to_save().len()), (0, 0));
}

/// One token a registry and identity: what differs in who asks is another token.
#[test]
fn another_identity_is_another_token() {
    let own = key("cri-1");
    let role = Arn::role("acs:ram::2:role/b").ok();
    let other = RegistryKey { identity: Identity { assume: role, ..own.identity.clone() }, ..own.clone() };
    let (mut cache, _) = holding(&[(&own, 0), (&other, 0)]);
    cache.record(&other, minted("others", 600), at(600));
    assert_eq!(token(&cache, &registry(&own, &["d"])), "first");
    assert_eq!(token(&cache, &registry(&other, &["d"])), "others");
    assert_eq!(cache.to_save().len(), 2);
}

fn ending(token: &str, from: i64, until: i64) -> MintResult {
    let credential = Credential { expires_at: at(until), ..credential(token, from) };
    MintResult { credential: Some(Ok(credential)), domains: None }
}

/// A session that is not renewed at its source mints tokens that expire with it. Each would be valid for half as long as
/// the one before.
#[test]
fn a_token_that_expires_with_the_current_one_is_reported_and_costs_no_write() {
    let key = key("cri-1");
    let registry = registry(&key, &["d"]);
    let (mut cache, demands) = holding(&[(&key, 0)]);
    assert_eq!(started(&mut cache, &demands, at(2700)), std::slice::from_ref(&key));
    cache.record(&key, ending("same end", 2700, 3601), at(2700));
    assert_eq!(token(&cache, &registry), "first");
    let failure = cache.failure(&registry).unwrap();
    assert_eq!(failure.reason, Reason::CloudFailing);
    assert!(
        failure.message.contains("2027-01-15T09:00:01Z") && failure.message.contains("not renewed"),
        "{failure:?}"
    );
    // It is tried again in time, and taken as soon as it is valid for longer.
    for second in [2710, 2760, 3000, 3500, 3550, 3590] {
        assert_eq!(started(&mut cache, &demands, at(second)), std::slice::from_ref(&key), "at {second}");
        cache.record(&key, ending("same end", second, 3600), at(second));
        assert_eq!(token(&cache, &registry), "first");
    }
    assert_eq!(started(&mut cache, &demands, at(3595)), std::slice::from_ref(&key));
    cache.record(&key, minted("renewed", 3595), at(3595));
    assert_eq!((token(&cache, &registry).as_str(), cache.failure(&registry)), ("renewed", None));
    // What is asked for is given, and so is what another pair gave.
    cache.force([key.clone()]);
    started(&mut cache, &demands, at(3600));
    cache.record(&key, ending("asked for", 3600, 7195), at(3600));
    assert_eq!(token(&cache, &registry), "asked for");
    let mut rotated = ending("rotated", 3700, 7195);
    if let Some(Ok(credential)) = &mut rotated.credential {
        credential.origin.key_id = Some("LTAI-new".into());
    }
    cache.record(&key, rotated, at(3700));
    assert_eq!(token(&cache, &registry), "rotated");
}

/// Hours would pass until a retry that was planned by the clock before.
#[test]
fn a_clock_that_is_set_back_shifts_the_retry() {
    let key = key("cri-1");
    let (demands, mut cache) = (demands(&[&key], false), CredentialCache::default());
    cache.track(&demands);
    for retry in [RetryAdvice::Rarely, RetryAdvice::After(Duration::from_secs(20))] {
        started(&mut cache, &demands, at(30_000));
        cache.record(&key, failed(retry), at(30_000));
        assert_eq!(started(&mut cache, &demands, at(100)), [], "not at once either");
        assert_eq!(started(&mut cache, &demands, at(130)), std::slice::from_ref(&key));
    }
}

/// An attempt that began before does not answer it.
#[test]
fn a_refresh_requested_during_an_attempt_follows_it() {
    let key = key("cri-1");
    let (demands, mut cache) = (demands(&[&key], false), CredentialCache::default());
    cache.track(&demands);
    started(&mut cache, &demands, at(0));
    assert!(!cache.is_forced(&key));
    cache.force([key.clone()]);
    cache.record(&key, minted("before", 0), at(1));
    assert!(cache.is_forced(&key));
    assert_eq!(started(&mut cache, &demands, at(1)), std::slice::from_ref(&key));
    assert!(cache.is_forced(&key), "the answer is under way");
    cache.record(&key, minted("after", 1), at(2));
    assert!(!cache.is_forced(&key));
    assert_eq!(started(&mut cache, &demands, at(3)), []);
}

/// The node's key limits each token, so that a new one expires with the one before. A user who asks for another wants
/// it nevertheless, as after a leak.
#[test]
fn a_requested_refresh_that_failed_at_first_is_answered_by_a_later_success() {
    let key = key("cri-1");
    let (mut cache, demands) = holding(&[(&key, 0)]);
    let limited = |token, second| {
        let credential =
            Credential { expires_at: credential("first", 0).expires_at, ..credential(token, second) };
        MintResult { credential: Some(Ok(credential)), domains: None }
    };
    let registry = registry(&key, &["d"]);
    cache.force([key.clone()]);
    started(&mut cache, &demands, at(10));
    cache.record(&key, failed(RetryAdvice::Soon), at(10));
    started(&mut cache, &demands, at(100));
    cache.record(&key, limited("asked for", 100), at(100));
    assert_eq!((token(&cache, &registry).as_str(), cache.failure(&registry)), ("asked for", None));
    // Without a request, a token that lasts no longer is not taken.
    cache.record(&key, limited("useless", 200), at(200));
    assert_eq!(token(&cache, &registry), "asked for");
}

#[test]
fn a_key_pair_rotated_during_an_attempt_causes_another_attempt() {
    let identity =
        Identity { source: CredentialSource::AccessKey { secret: "ak".into() }, ..key("cri-1").identity };
    let key = RegistryKey { identity, ..key("cri-1") };
    let (demands, mut cache) = (demands(&[&key], false), CredentialCache::default());
    cache.track(&demands);
    let with = |id: &str, second| {
        let mut minted = minted("t", second);
        if let Some(Ok(credential)) = &mut minted.credential {
            credential.origin.key_id = Some(id.into());
        }
        minted
    };
    started(&mut cache, &demands, at(0));
    cache.source_changed(|_| true, Some("LTAI-new"));
    cache.record(&key, with("LTAI-old", 0), at(1));
    assert_eq!(started(&mut cache, &demands, at(1)), std::slice::from_ref(&key));
    cache.record(&key, with("LTAI-new", 1), at(2));
    assert_eq!(started(&mut cache, &demands, at(3)), []);
}

/// The cloud's ten years are not believed, so a token that ends twelve hours later is a gain.
#[test]
fn a_token_of_ten_years_is_renewed_after_hours_and_the_new_one_is_taken() {
    let key = key("cri-1");
    let (mut cache, demands) = holding(&[(&key, 0)]);
    let of_ten_years = |token, second| {
        let expires_at = at(10 * 365 * 24 * 3600);
        let credential = Credential { expires_at, ..credential(token, second) };
        MintResult { credential: Some(Ok(credential)), domains: None }
    };
    cache.record(&key, of_ten_years("long", 0), at(0));
    let due = cache.next_refresh_at(&key, &demands[&key]).unwrap();
    assert!(due <= at(12 * 3600) && due > at(10 * 3600), "{due}");
    let second = due.as_second() - at(0).as_second() + 1;
    assert_eq!(due_keys(&mut cache, &demands, second), std::slice::from_ref(&key));
    cache.record(&key, of_ten_years("new", second), at(second));
    assert_eq!((token(&cache, &registry(&key, &["d"])).as_str(), cache.failing().count()), ("new", 0));
}
