//! A namespace that is no longer served, or not for now.

use crate::api::Reason;
use crate::plan::change::ObjectKey;
use crate::plan::fixture::{
    account, at, bound_with, foreign, held, holding, in_words, opened, outdated, record, resolved, snapshot,
    snapshot_beside_unreadable,
};
use crate::plan::record::WriteResult;
use crate::plan::secret::MAX_BYTES;
use crate::plan::view::Provenance;
use crate::plan::{
    self, Change, Failure, NamespaceRecord, Phase, Plan, RegistryCredential, ResolvedBinding, Retained,
    SecretView, Snapshot,
};
use serde_json::json;

use super::{namespace, reasons, served, settled};

const NOTHING: [&str; 0] = [];

type Mutation = fn(&mut NamespaceRecord);

fn with_secret(secret: Option<SecretView>, accounts: &[(&str, &str)]) -> NamespaceRecord {
    let mut record = record(accounts);
    record.view.secret = secret;
    record
}

fn keeping(record: &NamespaceRecord, snapshot: &Snapshot, retained: &[Retained]) -> Plan {
    plan::namespace(record, snapshot, retained, at(0))
}

fn elsewhere() -> ResolvedBinding {
    bound_with("b", json!({"watchNamespaces": {"names": ["elsewhere"]}}))
}

fn retained_secret() -> SecretView {
    SecretView { retained: true, ..outdated() }
}

/// Returns a Secret that is marked like ours, but was never created by us.
fn of_another_type() -> SecretView {
    SecretView { foreign_type: Some("Opaque".into()), ..outdated() }
}

/// Returns every way to lose service while our Secret exists. A crash may leave the second one behind.
fn ends() -> [(&'static str, Snapshot, Mutation); 4] {
    [
        ("the binding is being deleted", snapshot([resolved("a").phased(Phase::Withdrawing)]), |_| {}),
        ("no binding is left", snapshot([]), |_| {}),
        ("another namespace is covered", snapshot([elsewhere()]), |_| {}),
        ("the namespace opts out", snapshot([resolved("a")]), |r| r.view.facts.as_mut().unwrap().skip = true),
    ]
}

#[test]
fn nothing_goes_while_the_api_server_may_add_it_again_and_no_binding_is_let_go() {
    for (end, snapshot, mutate) in ends() {
        let mut record = with_secret(Some(outdated()), &[("default", "x ours"), ("other", "x")]);
        mutate(&mut record);
        let plan = namespace(&record, &snapshot.awaiting_admission(true));
        assert_eq!(in_words(&plan.changes), NOTHING, "{end}");
        assert!(plan.results.iter().all(|result| result.secret.is_err()), "{end}");
    }
    // Meanwhile wanted entries are attached, and accounts that opt out lose theirs.
    let mut record =
        with_secret(Some(outdated()), &[("default", ""), ("other", "ours"), ("skipped", "ours")]);
    record.view.service_accounts[2].skip = true;
    let changes = in_words(&namespace(&record, &snapshot([resolved("a")]).awaiting_admission(true)).changes);
    let accounts: Vec<&String> = changes.iter().filter(|change| change.contains(" at 7")).collect();
    assert_eq!(accounts, ["default at 7: ours", "skipped at 7: "]);
}

#[test]
fn a_namespace_that_left_is_ours_until_each_write_without_an_answer_was_read() {
    let left = snapshot([elsewhere()]);
    let mut record = with_secret(None, &[("default", "x")]);
    record.served = true;
    let unanswered = |record: &mut NamespaceRecord| {
        let attach = Change::SetPullSecrets {
            service_account: "default".into(),
            resource_version: "7".into(),
            pull_secrets: vec!["x".into(), "ours".into()],
        };
        let failure = Failure::new(Reason::WriteFailing, "the answer is lost");
        record.record_write(&attach, WriteResult::Unanswered(failure), true, at(0));
    };
    unanswered(&mut record);
    let plan = plan::round(&mut record, &left, &[], at(0));
    let account = ObjectKey::ServiceAccount("default".into());
    assert_eq!((plan.reads.as_slice(), plan.is_settled()), (std::slice::from_ref(&account), false));
    assert!(record.served);
    // A read that fails rests. The namespace goes on by itself.
    record.unclear.postpone("n", at(0));
    let plan = plan::round(&mut record, &left, &[], at(0));
    assert!(plan.reads.is_empty() && !plan.is_settled() && plan.retry_at > Some(at(0)));
    // The entry shows: it is taken out like any other of ours.
    let mut shows = record.clone();
    shows.view.service_accounts[0].pull_secrets = ["x".into(), "ours".into()].into();
    let plan = plan::round(&mut shows, &left, &[], at(0));
    assert_eq!(in_words(&plan.changes), ["default at 7: x"]);
    // It was never written: what comes later is not ours.
    record.unclear.remove(&account);
    assert!(plan::round(&mut record, &left, &[], at(0)).is_settled() && !record.served);
    // The account is gone, and with it what was written.
    record.served = true;
    unanswered(&mut record);
    record.forget(&account);
    assert!(plan::round(&mut record, &left, &[], at(0)).is_settled() && !record.served);
}

#[test]
fn entries_go_before_the_secret_goes() {
    for (end, snapshot, mutate) in ends() {
        let mut record =
            with_secret(Some(outdated()), &[("default", "x ours y"), ("other", "x"), ("skipped", "ours")]);
        record.view.service_accounts[2].skip = true;
        mutate(&mut record);
        let plan = namespace(&record, &snapshot);
        assert_eq!(in_words(&plan.changes), ["default at 7: x y", "skipped at 7: "], "{end}");
        assert!(!served(&record, &snapshot), "{end}");
        record.view.service_accounts =
            vec![account("default", "x y"), account("other", "x"), account("skipped", "ours")];
        assert_eq!(in_words(&namespace(&record, &snapshot).changes), ["skipped at 7: "], "{end}");
        record.view.service_accounts[2] = account("skipped", "");
        assert_eq!(in_words(&namespace(&record, &snapshot).changes), ["delete u at 3"], "{end}");
        record.view.secret = None;
        assert_eq!(in_words(&namespace(&record, &snapshot).changes), NOTHING, "{end}");
    }
}

#[test]
fn a_binding_is_withdrawn_only_when_nothing_of_it_is_left() {
    let snapshot = snapshot([resolved("a").phased(Phase::Withdrawing)]);
    for (secret, list, left) in [
        (Some(outdated()), "ours", Some(Reason::Withdrawing)),
        (Some(outdated()), "x", Some(Reason::Withdrawing)),
        (None, "ours", Some(Reason::Withdrawing)),
        (None, "x", None),
        (Some(foreign()), "ours", None),
        (Some(retained_secret()), "ours", None),
    ] {
        let plan = namespace(&with_secret(secret, &[("default", list)]), &snapshot);
        assert_eq!(reasons(&plan), [("a", left)], "{list}");
    }
}

#[test]
fn beside_another_binding_only_the_leaving_ones_part_goes() {
    let web = bound_with("b", json!({"serviceAccounts": {"names": ["web"]}}));
    let before = snapshot([resolved("a"), web.clone()]);
    let mut record = settled(&before, &[("default", "ours"), ("web", "ours")]);
    let after = snapshot([resolved("a"), web.phased(Phase::Withdrawing)]);
    let plan = namespace(&record, &after);
    assert_eq!(in_words(&plan.changes), ["update at 3", "web at 7: "]);
    assert_eq!(reasons(&plan), [("a", Some(Reason::Progressing)), ("b", Some(Reason::Withdrawing))]);
    record = settled(&snapshot([resolved("a")]), &[("default", "ours"), ("web", "")]);
    let plan = namespace(&record, &after);
    assert_eq!(in_words(&plan.changes), NOTHING);
    assert_eq!(reasons(&plan), [("a", None), ("b", None)]);
}

/// An entry of our name is ours only where we serve or served, or beside our Secret.
#[test]
fn what_is_not_ours_is_not_withdrawn() {
    let unserved: Mutation = |_| {};
    let served: Mutation = |r| r.served = true;
    let reported: Mutation = |r| r.reported = true;
    let leaving = || snapshot([resolved("a").phased(Phase::Withdrawing)]);
    for (what, secret, snapshot, mutate, expected) in [
        ("an entry in a namespace that was never ours", None, snapshot([elsewhere()]), unserved, vec![]),
        ("an entry that waited for a Secret", None, snapshot([]), served, vec!["default at 7: x"]),
        ("the same of a binding being deleted", None, leaving(), unserved, vec!["default at 7: x"]),
        (
            "the same where a status names the namespace",
            None,
            snapshot([]),
            reported,
            vec!["default at 7: x"],
        ),
        ("a foreign Secret", Some(foreign()), snapshot([]), unserved, vec![]),
        ("a foreign Secret where we served", Some(foreign()), snapshot([]), served, vec![]),
        ("a foreign Secret beside a leaving binding", Some(foreign()), leaving(), unserved, vec![]),
        ("a Secret of another type", Some(of_another_type()), snapshot([]), unserved, vec![]),
        ("the same of a binding being deleted", Some(of_another_type()), leaving(), unserved, vec![]),
        ("a Secret left behind on purpose", Some(retained_secret()), snapshot([]), unserved, vec![]),
        ("the same where we served", Some(retained_secret()), snapshot([]), served, vec![]),
        ("the same of a binding being deleted", Some(retained_secret()), leaving(), unserved, vec![]),
    ] {
        let mut record = with_secret(secret, &[("default", "x ours")]);
        mutate(&mut record);
        assert_eq!(in_words(&namespace(&record, &snapshot).changes), expected, "{what}");
    }
}

fn of(provenance: Provenance) -> SecretView {
    SecretView { provenance, ..outdated() }
}

/// Labels and annotations are copied along when a user copies a Secret; the entry beside a copy is the user's too.
#[test]
fn a_copy_of_our_secret_is_left_with_its_entry_and_a_secret_of_ours_goes() {
    use Provenance::{Elsewhere, Here, Unknown};
    let plain: Mutation = |_| {};
    let served: Mutation = |r| r.served = true;
    let reported: Mutation = |r| r.reported = true;
    let skipped: Mutation = |r| r.view.facts.as_mut().unwrap().skip = true;
    let leaving = || snapshot([resolved("a").phased(Phase::Withdrawing)]);
    let goes = || vec!["default at 7: x"];
    for (what, provenance, snapshot, mutate, expected) in [
        ("ours, after a restart", Here, snapshot([]), plain, goes()),
        ("a copy", Elsewhere, snapshot([]), plain, vec![]),
        ("a copy beside another binding", Elsewhere, snapshot([elsewhere()]), plain, vec![]),
        ("a copy where we served", Elsewhere, snapshot([]), served, vec![]),
        ("a copy that a status names", Elsewhere, snapshot([]), reported, vec![]),
        ("a copy beside a leaving binding", Elsewhere, leaving(), plain, vec![]),
        ("a copy in a namespace that opts out", Elsewhere, snapshot([]), skipped, vec![]),
        ("without a mark", Unknown, snapshot([]), plain, vec![]),
        ("without a mark beside another binding", Unknown, snapshot([elsewhere()]), plain, vec![]),
        ("without a mark where we served", Unknown, snapshot([]), served, goes()),
        ("without a mark where a status names it", Unknown, snapshot([]), reported, goes()),
        ("without a mark of a binding being deleted", Unknown, leaving(), plain, goes()),
    ] {
        let mut record = with_secret(Some(of(provenance)), &[("default", "x ours")]);
        mutate(&mut record);
        assert_eq!(in_words(&namespace(&record, &snapshot).changes), expected, "{what}");
        let left = plan::namespace::left_alone(&record, &snapshot);
        assert_eq!(left.is_some(), expected.is_empty(), "{what}: {left:?}");
        record.view.service_accounts = vec![account("default", "x")];
        let rest: Vec<&str> = expected.iter().map(|_| "delete u at 3").collect();
        assert_eq!(in_words(&namespace(&record, &snapshot).changes), rest, "{what}");
    }
}

/// The mark governs removal only.
#[test]
fn in_a_covered_namespace_a_secret_is_refreshed_with_any_mark() {
    let snapshot = snapshot([resolved("a")]);
    let good = holding(&snapshot.content(&[0]));
    for (what, secret, expected) in [
        ("up to date", SecretView { provenance: Provenance::Here, ..good.clone() }, vec![]),
        (
            "up to date, without a mark",
            SecretView { provenance: Provenance::Unknown, ..good.clone() },
            vec![],
        ),
        ("up to date, a copy", SecretView { provenance: Provenance::Elsewhere, ..good }, vec!["update at 3"]),
        ("outdated", of(Provenance::Here), vec!["update at 3"]),
        ("outdated, without a mark", of(Provenance::Unknown), vec!["update at 3"]),
        ("outdated, a copy", of(Provenance::Elsewhere), vec!["update at 3"]),
    ] {
        let record = with_secret(Some(secret), &[("default", "ours")]);
        assert_eq!(in_words(&namespace(&record, &snapshot).changes), expected, "{what}");
    }
}

#[test]
fn a_status_that_names_a_namespace_counts_until_that_is_withdrawn() {
    let mut record = with_secret(Some(of(Provenance::Unknown)), &[("default", "")]);
    record.reported = true;
    assert_eq!(in_words(&plan::round(&mut record, &snapshot([]), &[], at(0)).changes), ["delete u at 3"]);
    record.view.secret = None;
    assert_eq!(in_words(&plan::round(&mut record, &snapshot([]), &[], at(0)).changes), NOTHING);
    record.view.secret = Some(of(Provenance::Unknown));
    assert_eq!(in_words(&plan::round(&mut record, &snapshot([]), &[], at(0)).changes), NOTHING, "a copy");
}

#[test]
fn a_leftover_is_announced_once_before_it_goes_and_an_ordinary_withdrawal_is_not() {
    let said = |record: &NamespaceRecord, snapshot: &Snapshot| {
        let notices = namespace(record, snapshot).notices;
        notices.iter().map(|notice| notice.reason.event().as_str()).collect::<Vec<_>>()
    };
    let leftover = with_secret(Some(outdated()), &[("default", "ours")]);
    assert_eq!(said(&leftover, &snapshot([])), ["LeftoverRemoved"]);
    assert_eq!(said(&leftover, &snapshot([resolved("a").phased(Phase::Withdrawing)])), NOTHING);
    let mut served = leftover.clone();
    served.served = true;
    assert_eq!(said(&served, &snapshot([])), NOTHING);
    let copy = with_secret(Some(of(Provenance::Elsewhere)), &[("default", "ours")]);
    assert_eq!(said(&copy, &snapshot([])), NOTHING);
    let mut given = leftover;
    let notice = namespace(&given, &snapshot([])).notices.remove(0);
    given.notices.add(&notice);
    assert_eq!(said(&given, &snapshot([])), NOTHING);
}

#[test]
fn a_retaining_binding_marks_its_secret_once_and_leaves_all_behind() {
    let leaving = resolved("a").phased(Phase::Retaining);
    let beside = resolved("b").phased(Phase::Withdrawing);
    for snapshot in [snapshot([leaving.clone()]), snapshot([leaving, beside])] {
        let mut record = with_secret(Some(outdated()), &[("default", "ours")]);
        let plan = namespace(&record, &snapshot);
        assert_eq!(in_words(&plan.changes), ["retain at 3"]);
        assert!(reasons(&plan).contains(&("a", Some(Reason::Withdrawing))));
        record.view.secret = Some(retained_secret());
        let plan = namespace(&record, &snapshot);
        assert_eq!(in_words(&plan.changes), NOTHING);
        assert!(reasons(&plan).contains(&("a", None)));
    }
}

#[test]
fn a_retaining_binding_marks_nothing_that_others_made() {
    for secret in [None, Some(foreign()), Some(of_another_type())] {
        let record = with_secret(secret, &[("default", "ours")]);
        let plan = namespace(&record, &snapshot([resolved("a").phased(Phase::Retaining)]));
        assert_eq!(in_words(&plan.changes), NOTHING);
    }
}

#[test]
fn a_retained_secret_that_is_covered_again_is_brought_up_to_date() {
    let record = with_secret(Some(retained_secret()), &[("default", "ours")]);
    assert_eq!(in_words(&namespace(&record, &snapshot([resolved("a")])).changes), ["update at 3"]);
}

/// Nothing is minted, written or withdrawn: the Secret may be missing, outdated, foreign or retained.
#[test]
fn a_suspended_binding_changes_nothing() {
    let suspended = || resolved("a").phased(Phase::Suspended);
    for others in
        [vec![], vec![resolved("b").phased(Phase::Withdrawing)], vec![resolved("b").phased(Phase::Retaining)]]
    {
        let snapshot = snapshot([suspended()].into_iter().chain(others));
        for secret in [None, Some(outdated()), Some(foreign()), Some(retained_secret())] {
            for list in ["", "ours", "x ours ours"] {
                let mut record = with_secret(secret.clone(), &[("default", list), ("other", "ours")]);
                record.served = true;
                let plan = namespace(&record, &snapshot);
                assert_eq!(in_words(&plan.changes), NOTHING);
                assert_eq!(reasons(&plan)[0], ("a", Some(Reason::Suspended)));
            }
        }
    }
}

/// An empty list of bindings does not mean that nothing is wanted: some could not be read, or the caches are not full.
#[test]
fn nothing_is_withdrawn_while_coverage_is_unknown() {
    for bindings in [
        vec![],
        vec![elsewhere()],
        vec![resolved("a").phased(Phase::Withdrawing)],
        vec![resolved("a").phased(Phase::Retaining)],
        vec![resolved("a").phased(Phase::Suspended)],
    ] {
        for secret in [None, Some(outdated())] {
            let mut record = with_secret(secret, &[("default", "ours")]);
            record.served = true;
            let plan = namespace(&record, &snapshot_beside_unreadable(bindings.clone()));
            assert_eq!(in_words(&plan.changes), NOTHING, "{bindings:?}");
        }
    }
}

#[test]
fn a_namespace_that_is_being_deleted_or_unknown_is_left_alone() {
    let going: Mutation = |r| r.view.facts.as_mut().unwrap().terminating = true;
    let unknown: Mutation = |r| r.view.facts = None;
    for mutate in [going, unknown] {
        for bindings in [vec![resolved("a")], vec![], vec![resolved("a").phased(Phase::Withdrawing)]] {
            for secret in [None, Some(outdated())] {
                let mut record = with_secret(secret, &[("default", "ours ours")]);
                mutate(&mut record);
                let plan = namespace(&record, &snapshot(bindings.clone()));
                assert_eq!((in_words(&plan.changes).len(), plan.results.len()), (0, 0));
            }
        }
    }
}

/// A handle on what is ours must not outlive its withdrawal: what others make there afterwards is theirs.
#[test]
fn a_namespace_that_was_withdrawn_is_no_longer_ours() {
    let mut record = record(&[("default", "")]);
    record.served = true;
    record.view.secret = None;
    for account in &mut record.view.service_accounts {
        account.pull_secrets = Default::default();
    }
    assert!(!served(&record, &snapshot(Vec::new())));
}

fn retained(held: bool) -> [Retained; 1] {
    [Retained { binding: "b".into(), held, verified: true }]
}

/// Secret and entries may be missing, outdated or doubled: they stay, only credentials are renewed, and only a hold is
/// reported.
#[test]
fn nothing_is_withdrawn_or_repaired_while_a_withdrawal_is_held_but_pulls_go_on() {
    for (held, reported) in [(true, vec![("b", Some(Reason::CoverageLost))]), (false, vec![])] {
        for secret in [None, Some(outdated())] {
            for list in ["", "ours", "x ours ours"] {
                let mut record = with_secret(secret.clone(), &[("default", list)]);
                record.served = true;
                let plan = keeping(&record, &snapshot([elsewhere()]), &retained(held));
                let renewed = secret.iter().map(|_| "update at 3");
                assert!(in_words(&plan.changes).into_iter().eq(renewed), "{:?}", plan.changes);
                assert_eq!(reasons(&plan), reported);
                let idle = list.is_empty() && secret.is_none();
                assert_eq!(namespace(&record, &snapshot([elsewhere()])).changes.is_empty(), idle);
            }
        }
    }
}

#[test]
fn beside_another_binding_the_held_ones_part_stays_in_the_secret_and_in_the_lists() {
    let both = [resolved("a"), bound_with("b", json!({"serviceAccounts": {"names": ["web"]}}))];
    let record = settled(&snapshot(both), &[("default", "ours"), ("web", "ours")]);
    let spec = json!({"watchNamespaces": {"names": ["elsewhere"]}, "serviceAccounts": {"names": ["web"]}});
    let now = snapshot([resolved("a"), bound_with("b", spec)]);
    for held in [true, false] {
        assert_eq!(in_words(&keeping(&record, &now, &retained(held)).changes), NOTHING);
    }
    assert_eq!(in_words(&namespace(&record, &now).changes), ["update at 3", "web at 7: "]);
}

#[test]
fn a_held_secret_is_not_renewed_where_that_would_empty_it_nor_where_it_is_not_ours_to_write() {
    let with = |secret: SecretView| with_secret(Some(secret), &[("default", "ours")]);
    let look = |secret: SecretView, binding: ResolvedBinding| {
        keeping(&with(secret), &snapshot([binding]), &retained(true)).changes
    };
    let of =
        |credential: RegistryCredential| elsewhere().with(|resolved| resolved.registries[0] = credential);
    for binding in [
        of(RegistryCredential::Pending),
        of(RegistryCredential::Missing),
        elsewhere().phased(Phase::Suspended),
    ] {
        assert_eq!(in_words(&look(outdated(), binding)), NOTHING);
    }
    // One of two registries waits: an update would take its part of the content away.
    let spec = json!({
        "watchNamespaces": {"names": ["elsewhere"]},
        "registries": [{"instanceId": "cri-1", "domains": ["1.example.com"]}, {"instanceId": "cri-2"}],
    });
    let waiting = bound_with("b", spec).with(|resolved| resolved.registries[1] = RegistryCredential::Pending);
    assert_eq!(in_words(&look(outdated(), waiting)), NOTHING);
    let large = of(held(&"t".repeat(MAX_BYTES), &["b.example.com".into()]));
    assert_eq!(in_words(&look(outdated(), large)), NOTHING);
    for not_ours in [
        SecretView { ours: false, ..outdated() },
        SecretView { retained: true, ..outdated() },
        SecretView { foreign_type: Some("Opaque".into()), ..outdated() },
    ] {
        assert_eq!(in_words(&look(not_ours, elsewhere())), NOTHING);
    }
    assert_eq!(in_words(&look(outdated(), elsewhere())), ["update at 3"]);
}

/// An unclaimed Secret, found at the start, may belong to any binding that lost its coverage meanwhile.
#[test]
fn a_guess_keeps_the_secret_and_brings_no_credential_into_a_namespace() {
    let guess = |verified: bool| [Retained { verified, ..retained(true)[0].clone() }];
    let record = with_secret(Some(outdated()), &[("default", "ours")]);
    assert_eq!(in_words(&keeping(&record, &snapshot([elsewhere()]), &guess(false)).changes), NOTHING);

    // Beside one that is known, renewing would take the other's part away.
    let a = || bound_with("a", json!({"watchNamespaces": {"names": ["elsewhere"]}}));
    let known = Retained { binding: "a".into(), ..retained(true)[0].clone() };
    for (verified, changes) in [(false, vec![]), (true, vec!["update at 3"])] {
        let retained = [known.clone(), guess(verified)[0].clone()];
        let plan = keeping(&record, &snapshot([a(), elsewhere()]), &retained);
        assert_eq!(in_words(&plan.changes), changes);
    }

    let both = snapshot([resolved("a"), elsewhere()]);
    for (verified, domains) in
        [(true, vec!["a.example.com", "b.example.com"]), (false, vec!["a.example.com"])]
    {
        let changes = keeping(&record, &both, &guess(verified)).changes;
        let content = changes.iter().find_map(Change::content).unwrap();
        let config = opened(content);
        assert!(config["auths"].as_object().unwrap().keys().eq(domains), "{config}");
    }
}

#[test]
fn a_held_part_goes_with_its_binding_by_its_policy_and_where_the_namespace_opts_out() {
    let record = with_secret(Some(outdated()), &[("default", "")]);
    for (phase, expected) in [
        (Phase::Withdrawing, &["delete u at 3"][..]),
        (Phase::Retaining, &["retain at 3"]),
        (Phase::Suspended, &[]),
        (Phase::Abandoning, &[]),
    ] {
        let plan = keeping(&record, &snapshot([elsewhere().phased(phase)]), &retained(true));
        assert_eq!(in_words(&plan.changes), expected, "{phase:?}");
    }
    let mut out = record;
    out.view.facts.as_mut().unwrap().skip = true;
    assert_eq!(
        in_words(&keeping(&out, &snapshot([elsewhere()]), &retained(true)).changes),
        ["delete u at 3"]
    );
}

/// The CustomResourceDefinition is deleted, and every binding with it: no withdrawal was intended.
#[test]
fn an_abandoning_binding_writes_nothing_may_go_at_once_and_leaves_nothing_of_this_process_behind() {
    let leaving = || resolved("a").phased(Phase::Abandoning);
    for beside in
        [vec![], vec![resolved("b").phased(Phase::Withdrawing)], vec![resolved("b").phased(Phase::Retaining)]]
    {
        let record = with_secret(Some(outdated()), &[("default", "ours")]);
        let (mut record, snapshot) = (record, snapshot([leaving()].into_iter().chain(beside)));
        record.served = true;
        let plan = namespace(&record, &snapshot);
        assert_eq!((in_words(&plan.changes), served(&record, &snapshot)), (vec![], false));
        assert!(reasons(&plan).contains(&("a", None)));
    }
    // One that is not known to be deleted yet must not lose it its part.
    let both = [resolved("a"), resolved("b")];
    let record = settled(&snapshot(both), &[("default", "ours")]);
    assert_eq!(in_words(&namespace(&record, &snapshot([leaving(), resolved("b")])).changes), NOTHING);
}

#[test]
fn an_unclaimed_namespace_that_was_never_served_is_left_alone_while_bindings_may_come_back() {
    let keeping = || snapshot([elsewhere()]).protecting_unclaimed_until(Some(at(9000)));
    let mut record = with_secret(Some(outdated()), &[("default", "")]);
    assert_eq!(in_words(&namespace(&record, &keeping()).changes), NOTHING);
    record.served = true;
    assert_eq!(
        in_words(&namespace(&record, &keeping()).changes),
        ["delete u at 3"],
        "a label was taken off here"
    );
    (record.served, record.reported) = (false, true);
    assert_eq!(
        in_words(&namespace(&record, &keeping()).changes),
        ["delete u at 3"],
        "a crash came in between"
    );
    record.reported = false;
    record.view.facts.as_mut().unwrap().skip = true;
    assert_eq!(in_words(&namespace(&record, &keeping()).changes), ["delete u at 3"], "it says so itself");
    record.view.facts.as_mut().unwrap().skip = false;
    let leaving =
        snapshot([resolved("a").phased(Phase::Withdrawing)]).protecting_unclaimed_until(Some(at(9000)));
    assert_eq!(in_words(&namespace(&record, &leaving).changes), ["delete u at 3"], "a binding is deleted");
}

#[test]
fn a_secret_that_holds_more_is_not_narrowed_while_bindings_may_come_back() {
    let both = snapshot([resolved("a"), resolved("b")]);
    let mut record = settled(&both, &[("default", "ours")]);
    let keeping = |resolved_bindings: Vec<ResolvedBinding>| {
        snapshot(resolved_bindings).protecting_unclaimed_until(Some(at(9000)))
    };
    let first = || keeping(vec![resolved("a")]);
    let plan = namespace(&record, &first());
    assert_eq!((in_words(&plan.changes), served(&record, &first())), (vec![], false));
    assert_eq!(reasons(&plan), [("a", Some(Reason::Progressing))]);
    // A new token and another domain take nothing away.
    let newer = resolved("b").with(|b| b.registries = vec![held("newer", &["b.example.com".to_owned()])]);
    let more = keeping(vec![resolved("a"), newer, resolved("c")]);
    let plan = namespace(&record, &more);
    assert_eq!((in_words(&plan.changes), served(&record, &more)), (vec!["update at 3".to_owned()], true));
    // All is as it was, and what is given up from then on is taken out.
    let same = keeping(vec![resolved("a"), resolved("b")]);
    assert_eq!((in_words(&namespace(&record, &same).changes), served(&record, &same)), (vec![], true));
    record.served = true;
    assert_eq!(in_words(&namespace(&record, &first()).changes), ["update at 3"]);
    // The same once the definition is no longer young, and once the existing credentials have expired.
    record.served = false;
    let late = |seconds| plan::namespace(&record, &first(), &[], at(seconds)).changes;
    assert_eq!(in_words(&late(3599)), [] as [&str; 0]);
    assert_eq!(in_words(&late(3600)), ["update at 3"]);
    let young = snapshot([resolved("a")]).protecting_unclaimed_until(Some(at(0)));
    assert_eq!(in_words(&namespace(&record, &young).changes), ["update at 3"]);
    assert_eq!(in_words(&namespace(&record, &snapshot([resolved("a")])).changes), ["update at 3"]);
}
