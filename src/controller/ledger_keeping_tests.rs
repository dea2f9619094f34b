//! What stays in the ledger: through failures, through a restart, and for as long as somebody wants it.

use super::*;

#[test]
fn the_last_good_credential_stays_when_its_renewal_fails() {
    let key = key("cri-1");
    let registry = registry(&key, &["d"]);
    let (mut ledger, wants) = holding(&[(&key, 0)]);
    for attempt in 0..5 {
        ledger.start_due(&wants, at(3000 + 400 * attempt));
        ledger.record(&key, failed(Retry::Soon), at(3000 + 400 * attempt));
        assert_eq!(token(&ledger, &registry), "first");
        assert_eq!(ledger.failure(&registry).map(|f| f.reason), Some(Reason::AccessDenied));
    }
    ledger.record(&key, minted("second", 5000), at(5000));
    assert_eq!((token(&ledger, &registry).as_str(), ledger.failure(&registry)), ("second", None));
}

/// A new id each time would rewrite the status each time.
#[test]
fn of_a_run_of_equal_failures_the_first_request_id_stays() {
    let (key, mut ledger) = (key("cri-1"), Ledger::default());
    ledger.want(&wants(&[&key], false));
    let mut attempt = |message, request| {
        let credential = Some(Err(refused(message, Retry::Soon, request)));
        ledger.record(&key, Minted { credential, domains: None }, at(0));
        ledger.failure(&registry(&key, &[])).unwrap().message.to_string()
    };
    assert_eq!(attempt("no", "r1"), "no (RequestId r1)");
    assert_eq!(attempt("no", "r2"), "no (RequestId r1)");
    assert_eq!(attempt("never", "r3"), "never (RequestId r3)");
    assert_eq!(attempt("no", "r4"), "no (RequestId r4)");
    ledger.record(&key, minted("t", 0), at(0));
    assert_eq!(ledger.failure(&registry(&key, &[])), None);
    let credential = Some(Err(refused("no", Retry::Soon, "r5")));
    ledger.record(&key, Minted { credential, domains: None }, at(0));
    assert_eq!(&*ledger.failure(&registry(&key, &[])).unwrap().message, "no (RequestId r5)");
}

fn with_domains((token, seconds): (&str, i64), domains: Result<&[&str], CloudFailure>) -> Minted {
    let domains = domains.map(|list| list.iter().map(|d| (*d).to_owned()).collect());
    Minted { credential: Some(Ok(credential(token, seconds))), domains: Some(domains) }
}

fn domains(issue: &Issue) -> Vec<&str> {
    match issue {
        Issue::Held { domains, .. } => domains.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_last_list_of_domains_stays_when_a_new_one_cannot_be_had() {
    let (key, mut ledger) = (key("cri-1"), Ledger::default());
    let every = registry(&key, &[]);
    ledger.want(&wants(&[&key], true));
    ledger.record(&key, with_domains(("t1", 0), Ok(&["d1", "d2"])), at(0));
    assert_eq!(domains(&ledger.issue(&every)), ["d1", "d2"]);
    ledger.record(&key, with_domains(("t2", 600), Err(refused("no list", Retry::Soon, "r"))), at(0));
    assert_eq!((domains(&ledger.issue(&every)), token(&ledger, &every).as_str()), (vec!["d1", "d2"], "t2"));
    assert_eq!(ledger.failure(&every), None);
    ledger.record(&key, with_domains(("t3", 1200), Ok(&["d3"])), at(0));
    assert_eq!(domains(&ledger.issue(&every)), ["d3"]);
}

#[test]
fn without_any_list_there_is_nowhere_to_write_a_token_unless_domains_are_given() {
    let (key, mut ledger) = (key("cri-1"), Ledger::default());
    let wants = wants(&[&key], true);
    ledger.want(&wants);
    ledger.start_due(&wants, at(0));
    ledger.record(&key, with_domains(("t", 0), Err(refused("no list", Retry::Soon, "r"))), at(0));
    assert!(matches!(ledger.issue(&registry(&key, &[])), Issue::Missing));
    assert_eq!(domains(&ledger.issue(&registry(&key, &["d"]))), ["d"]);
    assert_eq!(&*ledger.failure(&registry(&key, &[])).unwrap().message, "no list (RequestId r)");
    assert_eq!(ledger.failure(&registry(&key, &["d"])), None, "it misses no list");
    assert_eq!(started(&mut ledger, &wants, at(1)), []);
    // What was minted is good: the list alone is asked for, until the token is due as well.
    let again = ledger.start_due(&wants, at(2)).0;
    assert_eq!(again, [Due { is_good: true, ..due(&key) }]);
    let list = |list| Minted { credential: None, domains: Some(list) };
    ledger.record(&key, list(Err(refused("no list", Retry::Rarely, "r"))), at(2));
    assert_eq!(ledger.start_due(&wants, at(2700)).0, [due(&key)]);
    ledger.record(&key, with_domains(("t2", 2700), Err(refused("no list", Retry::Rarely, "r"))), at(2700));
    assert_eq!(ledger.start_due(&wants, at(3100)).0, [Due { is_good: true, ..due(&key) }]);
    ledger.record(&key, list(Ok(vec!["d1".to_owned()])), at(3100));
    assert_eq!(ledger.failure(&registry(&key, &[])), None);
    assert_eq!(domains(&ledger.issue(&registry(&key, &[]))), ["d1"]);
    // A request for a fresh one is one for the token.
    ledger.force([key.clone()]);
    assert!(!ledger.start_due(&wants, at(3101)).0[0].is_good);
}

#[test]
fn a_list_that_somebody_begins_to_want_is_asked_for_at_once() {
    let key = key("cri-1");
    let (mut ledger, _) = holding(&[(&key, 0)]);
    let wants = wants(&[&key], true);
    ledger.want(&wants);
    assert!(matches!(ledger.issue(&registry(&key, &[])), Issue::Pending));
    assert_eq!(due_keys(&mut ledger, &wants, 60), [key]);
}

#[test]
fn a_first_attempt_is_waited_for_until_it_fails_or_takes_too_long() {
    let key = key("cri-1");
    let (registry, wants) = (registry(&key, &["d"]), wants(&[&key], false));
    let asked = || {
        let mut ledger = Ledger::default();
        ledger.want(&wants);
        ledger.start_due(&wants, at(0));
        ledger
    };
    assert!(matches!(Ledger::default().issue(&registry), Issue::Pending));
    assert!(matches!(asked().issue(&registry), Issue::Pending));
    let mut failing = asked();
    failing.record(&key, failed(Retry::Soon), at(0));
    assert!(matches!(failing.issue(&registry), Issue::Missing));
    let mut slow = asked();
    slow.give_up_waiting();
    assert!(matches!(slow.issue(&registry), Issue::Missing));
    slow.record(&key, minted("t", 0), at(9));
    assert_eq!(token(&slow, &registry), "t");
}

fn due_keys(ledger: &mut Ledger, wants: &HashMap<RegistryKey, Want>, second: i64) -> Vec<RegistryKey> {
    let mut keys: Vec<_> = ledger.start_due(wants, at(second)).0.into_iter().map(|due| due.key).collect();
    keys.sort();
    keys
}

/// A pair is rotated: what the old one gave is replaced at once, and what failed is tried at once; others are not.
#[test]
fn a_rotated_key_pair_replaces_what_it_gave_and_ends_the_wait_of_what_failed() {
    let by = |secret: &str, instance: &str| {
        let identity = Identity { base: Base::AccessKey { secret: secret.into() }, ..key(instance).identity };
        RegistryKey { identity, ..key(instance) }
    };
    let (held, failing, other) = (by("ak", "cri-1"), by("ak", "cri-2"), by("other", "cri-3"));
    let wants = wants(&[&held, &failing, &other], false);
    let mut ledger = Ledger::default();
    ledger.want(&wants);
    ledger.start_due(&wants, at(0));
    let with = |id: &str| {
        let mut minted = minted("t", 0);
        if let Some(Ok(credential)) = &mut minted.credential {
            credential.origin.key_id = Some(id.into());
        }
        minted
    };
    ledger.record(&held, with("LTAI-old"), at(0));
    ledger.record(&other, with("LTAI-old"), at(0));
    ledger.record(&failing, failed(Retry::Rarely), at(0));
    let of_ak = |base: &Base| *base == Base::AccessKey { secret: "ak".into() };

    ledger.beginning_changed(of_ak, None);
    let due = |ledger: &mut Ledger, second| due_keys(ledger, &wants, second);
    assert_eq!(due(&mut ledger, 1), std::slice::from_ref(&failing), "a retry, and no replacement");
    ledger.record(&failing, failed(Retry::Rarely), at(1));
    ledger.beginning_changed(of_ak, Some("LTAI-old"));
    assert_eq!(due(&mut ledger, 2), std::slice::from_ref(&failing), "the same pair gave what is held");
    ledger.record(&failing, with("LTAI-old"), at(2));
    ledger.beginning_changed(of_ak, Some("LTAI-new"));
    assert_eq!(due(&mut ledger, 3), [held, failing]);
}

/// A restart of a settled controller mints nothing.
#[test]
fn what_was_kept_is_held_after_a_restart_and_nothing_is_due() {
    let (first, second) = (key("cri-1"), key("cri-2"));
    let wants = wants(&[&first, &second], true);
    let mut before = Ledger::default();
    before.want(&wants);
    for key in [&first, &second] {
        before.record(key, with_domains((&key.id(), 0), Ok(&["d"])), at(0));
    }
    let mut after = Ledger::new(before.tokens());
    // Bindings come in one by one: a token must not be lost before its binding is seen.
    after.want(&super::wants(&[&first], true));
    after.want(&wants);
    assert_eq!(
        after.start_due(&wants, at(60)),
        (vec![], [due_at(&first, 0), due_at(&second, 0)].into_iter().min())
    );
    for key in [&first, &second] {
        assert_eq!(token(&after, &registry(key, &[])), key.id());
        assert_eq!(domains(&after.issue(&registry(key, &[]))), ["d"]);
    }
    let ids = |tokens: &Tokens| tokens.keys().cloned().collect::<Vec<_>>();
    assert_eq!(ids(&after.tokens()), ids(&before.tokens()));
}

#[test]
fn what_was_kept_and_has_expired_is_due_at_once() {
    let key = key("cri-1");
    let kept = Kept { credential: Some(Arc::new(credential("old", -7200))), domains: None };
    let mut ledger = Ledger::new([(key.id(), kept)].into());
    let wants = wants(&[&key], false);
    ledger.want(&wants);
    assert_eq!(started(&mut ledger, &wants, at(0)), [key]);
}

/// A binding that a GitOps tool deletes and makes again mints nothing.
#[test]
fn what_nobody_wants_is_kept_until_it_ends() {
    let key = key("cri-1");
    let (mut ledger, wants) = holding(&[(&key, 0)]);
    let nobody = HashMap::new();
    ledger.want(&nobody);
    assert_eq!(ledger.start_due(&nobody, at(60)).0, []);
    ledger.want(&wants);
    assert_eq!(ledger.start_due(&wants, at(60)).0, []);
    assert_eq!(token(&ledger, &registry(&key, &["d"])), "first");
    ledger.start_due(&nobody, at(4000));
    assert_eq!((ledger.credentials().count(), ledger.tokens().len()), (0, 0));
}

/// One token a registry and identity: what differs in who asks is another token.
#[test]
fn another_identity_is_another_token() {
    let own = key("cri-1");
    let role = Arn::role("acs:ram::2:role/b").ok();
    let other = RegistryKey { identity: Identity { assume: role, ..own.identity.clone() }, ..own.clone() };
    let (mut ledger, _) = holding(&[(&own, 0), (&other, 0)]);
    ledger.record(&other, minted("others", 600), at(600));
    assert_eq!(token(&ledger, &registry(&own, &["d"])), "first");
    assert_eq!(token(&ledger, &registry(&other, &["d"])), "others");
    assert_eq!(ledger.tokens().len(), 2);
}

fn ending(token: &str, from: i64, until: i64) -> Minted {
    let credential = Credential { expires_at: at(until), ..credential(token, from) };
    Minted { credential: Some(Ok(credential)), domains: None }
}

/// A session that is not renewed at its source gives tokens that end with it: each would live half as long as the one
/// before.
#[test]
fn a_token_that_ends_with_the_one_that_is_held_is_told_and_costs_no_write() {
    let key = key("cri-1");
    let registry = registry(&key, &["d"]);
    let (mut ledger, wants) = holding(&[(&key, 0)]);
    assert_eq!(started(&mut ledger, &wants, at(2700)), std::slice::from_ref(&key));
    ledger.record(&key, ending("same end", 2700, 3601), at(2700));
    assert_eq!(token(&ledger, &registry), "first");
    let failure = ledger.failure(&registry).unwrap();
    assert_eq!(failure.reason, Reason::CloudFailing);
    assert!(
        failure.message.contains("2027-01-15T09:00:01Z") && failure.message.contains("not renewed"),
        "{failure:?}"
    );
    // It is tried again in time, and taken as soon as it lives longer.
    for second in [2710, 2760, 3000, 3500, 3550, 3590] {
        assert_eq!(started(&mut ledger, &wants, at(second)), std::slice::from_ref(&key), "at {second}");
        ledger.record(&key, ending("same end", second, 3600), at(second));
        assert_eq!(token(&ledger, &registry), "first");
    }
    assert_eq!(started(&mut ledger, &wants, at(3595)), std::slice::from_ref(&key));
    ledger.record(&key, minted("renewed", 3595), at(3595));
    assert_eq!((token(&ledger, &registry).as_str(), ledger.failure(&registry)), ("renewed", None));
    // What is asked for is given, and so is what another pair gave.
    ledger.force([key.clone()]);
    started(&mut ledger, &wants, at(3600));
    ledger.record(&key, ending("asked for", 3600, 7195), at(3600));
    assert_eq!(token(&ledger, &registry), "asked for");
    let mut rotated = ending("rotated", 3700, 7195);
    if let Some(Ok(credential)) = &mut rotated.credential {
        credential.origin.key_id = Some("LTAI-new".into());
    }
    ledger.record(&key, rotated, at(3700));
    assert_eq!(token(&ledger, &registry), "rotated");
}

/// Hours would pass until a retry that was planned by the clock before.
#[test]
fn a_clock_that_is_set_back_takes_the_retry_along() {
    let key = key("cri-1");
    let (wants, mut ledger) = (wants(&[&key], false), Ledger::default());
    ledger.want(&wants);
    for retry in [Retry::Rarely, Retry::After(Duration::from_secs(20))] {
        started(&mut ledger, &wants, at(30_000));
        ledger.record(&key, failed(retry), at(30_000));
        assert_eq!(started(&mut ledger, &wants, at(100)), [], "not at once either");
        assert_eq!(started(&mut ledger, &wants, at(130)), std::slice::from_ref(&key));
    }
}

/// An attempt that began before is no answer.
#[test]
fn what_is_asked_for_during_an_attempt_is_tried_after_it() {
    let key = key("cri-1");
    let (wants, mut ledger) = (wants(&[&key], false), Ledger::default());
    ledger.want(&wants);
    started(&mut ledger, &wants, at(0));
    assert!(!ledger.is_forced(&key));
    ledger.force([key.clone()]);
    ledger.record(&key, minted("before", 0), at(1));
    assert!(ledger.is_forced(&key));
    assert_eq!(started(&mut ledger, &wants, at(1)), std::slice::from_ref(&key));
    assert!(ledger.is_forced(&key), "the answer is under way");
    ledger.record(&key, minted("after", 1), at(2));
    assert!(!ledger.is_forced(&key));
    assert_eq!(started(&mut ledger, &wants, at(3)), []);
}

#[test]
fn a_pair_that_is_rotated_during_an_attempt_with_the_old_one_is_tried_after_it() {
    let identity = Identity { base: Base::AccessKey { secret: "ak".into() }, ..key("cri-1").identity };
    let key = RegistryKey { identity, ..key("cri-1") };
    let (wants, mut ledger) = (wants(&[&key], false), Ledger::default());
    ledger.want(&wants);
    let with = |id: &str, second| {
        let mut minted = minted("t", second);
        if let Some(Ok(credential)) = &mut minted.credential {
            credential.origin.key_id = Some(id.into());
        }
        minted
    };
    started(&mut ledger, &wants, at(0));
    ledger.beginning_changed(|_| true, Some("LTAI-new"));
    ledger.record(&key, with("LTAI-old", 0), at(1));
    assert_eq!(started(&mut ledger, &wants, at(1)), std::slice::from_ref(&key));
    ledger.record(&key, with("LTAI-new", 1), at(2));
    assert_eq!(started(&mut ledger, &wants, at(3)), []);
}
