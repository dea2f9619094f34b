//! A namespace that is served: one good binding and one quiet namespace, mutated.

use serde_json::json;

use super::round;
use crate::api::Reason;
use crate::plan::fixture::{
    account, at, bound_with, foreign, held, holding, in_words, opened, outdated, record, refuse_create,
    resolved, snapshot, snapshot_beside_unreadable,
};
use crate::plan::notice::NoticeReason;
use crate::plan::record::WriteResult;
use crate::plan::secret::MAX_BYTES;
use crate::plan::view::{Provenance, SecretView};
use crate::plan::{
    Change, Failure, NamespaceRecord, Phase, Plan, RegistryCredential, ResolvedBinding, Snapshot,
};

mod model;
mod withdraw;

/// Returns the namespace with our Secret as these bindings want it.
fn settled(snapshot: &Snapshot, accounts: &[(&str, &str)]) -> NamespaceRecord {
    let all: Vec<usize> = (0..snapshot.bindings().len()).collect();
    let mut record = record(accounts);
    record.view.secret = Some(holding(&snapshot.content(&all)));
    record
}

fn namespace(record: &NamespaceRecord, snapshot: &Snapshot) -> Plan {
    super::namespace(record, snapshot, &[], at(0))
}

/// Returns whether entries of our name are ours once the namespace was observed.
fn served(record: &NamespaceRecord, snapshot: &Snapshot) -> bool {
    let mut record = record.clone();
    round(&mut record, snapshot, &[], at(0));
    record.served
}

fn reasons(plan: &Plan) -> Vec<(&str, Option<Reason>)> {
    plan.results.iter().map(|s| (&*s.binding, s.secret.as_ref().err().map(|f| f.reason))).collect()
}

fn contents(plan: &Plan) -> Vec<serde_json::Value> {
    let content = |change: &Change| match change {
        Change::CreateSecret { content } | Change::UpdateSecret { content, .. } => Some(opened(content)),
        _ => None,
    };
    plan.changes.iter().filter_map(content).collect()
}

#[test]
fn a_fresh_namespace_gets_its_secret_and_its_entries_side_by_side() {
    let (record, snapshot) = (record(&[("default", "x"), ("other", "")]), snapshot([resolved("a")]));
    let plan = namespace(&record, &snapshot);
    assert_eq!(in_words(&plan.changes), ["create", "default at 7: x ours"]);
    assert_eq!(contents(&plan)[0]["auths"]["a.example.com"]["username"], "cr_temp_user");
    assert_eq!(reasons(&plan), [("a", Some(Reason::Progressing))]);
    assert!(served(&record, &snapshot));
}

#[test]
fn a_settled_namespace_is_left_alone() {
    let snapshot = snapshot([resolved("a")]);
    let plan = namespace(&settled(&snapshot, &[("default", "x ours"), ("other", "y")]), &snapshot);
    assert_eq!(in_words(&plan.changes), [] as [&str; 0]);
    assert_eq!(reasons(&plan), [("a", None)]);
    let result = &plan.results[0];
    assert_eq!((result.matched, result.bound, result.domain_conflicts.len()), (1, 1, 0));
}

#[test]
fn only_a_secret_that_differs_from_the_last_write_was_changed_by_another_writer() {
    let (snapshot, two) = (snapshot([resolved("a")]), snapshot([resolved("a"), resolved("b")]));
    let reverts = |result: &SecretView, written: Option<&SecretView>| {
        let mut record = record(&[]);
        if written.is_some() {
            let create = Change::CreateSecret { content: crate::plan::fixture::snapshot([]).content(&[]) };
            record.record_write(&create, WriteResult::Done, false, at(0));
        }
        record.view.secret = Some(result.clone());
        let changes = namespace(&record, &snapshot).changes;
        assert_eq!(in_words(&changes), ["update at 3"]);
        changes[0].may_repair()
    };
    let (earlier, other) = (outdated(), holding(&two.content(&[0, 1])));
    assert!(!reverts(&earlier, Some(&earlier)), "a renewal");
    assert!(!reverts(&earlier, None), "by an earlier process, or by another writer: it is unknown");
    assert!(reverts(&other, Some(&earlier)), "another writer wrote since");
}

#[test]
fn a_binding_that_suddenly_covers_no_account_keeps_the_entries_and_serves_on() {
    let typo = || bound_with("a", json!({"serviceAccounts": {"names": ["ap"]}}));
    let all = [("app", "mine ours"), ("skipped", "ours")];
    let mut record = record(&all);
    record.view.secret = Some(outdated());
    record.view.service_accounts[1].skip = true;
    let plan = namespace(&record, &snapshot([typo().with(|b| b.keeps_entries = true)]));
    assert_eq!(
        in_words(&plan.changes),
        ["update at 3", "skipped at 7: "],
        "an account that opts out is not kept"
    );
    record.view.secret = Some(holding(&snapshot([typo()]).content(&[0])));
    let plan = namespace(&record, &snapshot([typo().with(|b| b.keeps_entries = true)]));
    assert_eq!(reasons(&plan), [("a", Some(Reason::CoverageLost))]);
    let plan = namespace(&record, &snapshot([typo()]));
    assert_eq!(in_words(&plan.changes), ["app at 7: mine", "skipped at 7: "]);
}

/// A Pod copies the list once: the kubelet retries until the Secret exists, but a missing entry is never added.
#[test]
fn an_entry_is_attached_while_the_secret_waits_for_its_first_credential() {
    let plan = namespace(&record(&[("default", "")]), &snapshot([resolved("a").pending()]));
    assert_eq!(in_words(&plan.changes), ["default at 7: ours"]);
    assert_eq!(reasons(&plan), [("a", Some(Reason::Progressing))]);
}

#[test]
fn a_registry_that_failed_delays_no_other() {
    let two = json!({"registries": [{"instanceId": "cri-1", "domains": ["1.example.com"]}, {"instanceId": "cri-2"}]});
    let failed = bound_with("a", two).with(|b| b.registries[1] = RegistryCredential::Missing);
    let plan = namespace(&record(&[]), &snapshot([failed]));
    assert_eq!(in_words(&plan.changes), ["create"]);
    assert_eq!(contents(&plan)[0]["auths"].as_object().unwrap().len(), 1);
}

/// For a suspended binding nothing is minted: what it waits for would never come.
#[test]
fn a_suspended_binding_that_never_had_a_credential_delays_no_other() {
    let never = resolved("b").phased(Phase::Suspended).pending();
    let plan = namespace(&record(&[]), &snapshot([resolved("a"), never]));
    assert_eq!(in_words(&plan.changes), ["create"]);
}

/// After a restart without its cache, and when a Secret is taken over, all is pending for a moment: the existing
/// content is good, and nothing would replace it.
#[test]
fn an_existing_secret_is_not_emptied_while_first_credentials_are_requested() {
    let mut record = record(&[("default", "ours")]);
    let good = holding(&snapshot([resolved("lost")]).content(&[0]));
    let others = crate::plan::SecretView { ours: false, ..good.clone() };
    for (secret, binding) in [(good, resolved("a")), (others, resolved("a").adopting())] {
        record.view.secret = Some(secret);
        let plan = namespace(&record, &snapshot([binding.clone().pending()]));
        assert_eq!(in_words(&plan.changes), [] as [&str; 0]);
        assert_eq!(reasons(&plan), [("a", Some(Reason::Progressing))]);
        assert_eq!(in_words(&namespace(&record, &snapshot([binding])).changes), ["update at 3"]);
    }
}

#[test]
fn a_secret_that_differs_is_updated_at_the_version_that_was_seen() {
    let snapshot = snapshot([resolved("a")]);
    let mut record = settled(&snapshot, &[("default", "ours")]);
    record.view.secret = Some(outdated());
    let plan = namespace(&record, &snapshot);
    assert_eq!(in_words(&plan.changes), ["update at 3"]);
    assert_eq!(reasons(&plan), [("a", Some(Reason::Progressing))]);
    record.view.secret.as_mut().unwrap().extra_keys = ["config.json".into(), "x".into()].into();
    assert_eq!(
        in_words(&namespace(&record, &snapshot).changes),
        ["update at 3 without config.json without x"]
    );
}

#[test]
fn a_fresh_token_is_an_update() {
    let before = snapshot([resolved("a")]);
    let after = snapshot([resolved("a").with(|b| b.registries[0] = held("new", &["a.example.com".into()]))]);
    let plan = namespace(&settled(&before, &[("default", "ours")]), &after);
    assert_eq!(in_words(&plan.changes), ["update at 3"]);
    assert_eq!(contents(&plan)[0]["auths"]["a.example.com"]["auth"], "cr_temp_user:new");
}

/// The type of a Secret cannot be changed, and without a request no Secret of others is taken over.
#[test]
fn a_foreign_secret_and_the_entries_beside_it_are_left_alone() {
    let of_type = |mut secret: crate::plan::SecretView| {
        secret.foreign_type = Some("Opaque".into());
        secret
    };
    let suspended_one_adopts = [resolved("a"), resolved("b").adopting().phased(Phase::Suspended)];
    for (secret, bindings, cure) in [
        (foreign(), vec![resolved("a")], "acrcredential.dev/adopt"),
        (foreign(), vec![resolved("a").pending()], "acrcredential.dev/adopt"),
        (foreign(), suspended_one_adopts.to_vec(), "acrcredential.dev/adopt"),
        (of_type(foreign()), vec![resolved("a").adopting()], "type Opaque"),
        (of_type(outdated()), vec![resolved("a")], "type Opaque"),
    ] {
        let mut record = record(&[("default", "x"), ("other", "ours y"), ("skipped", "ours")]);
        record.view.service_accounts[2].skip = true;
        record.view.secret = Some(secret);
        let plan = namespace(&record, &snapshot(bindings));
        assert_eq!(in_words(&plan.changes), [] as [&str; 0], "{cure}");
        let failure = plan.results[0].secret.clone().unwrap_err();
        assert_eq!(failure.reason, Reason::SecretConflict);
        assert!(failure.message.contains(cure) && failure.message.contains("n/ours"), "{}", failure.message);
    }
}

#[test]
fn a_foreign_secret_is_taken_over_in_place_on_request() {
    let mut record = record(&[("default", "ours")]);
    record.view.secret = Some(foreign());
    let plan = namespace(&record, &snapshot([resolved("a"), resolved("b").adopting()]));
    assert_eq!(in_words(&plan.changes), ["update at 3"]);
}

/// Its content may be as wanted: a kubelet that reads it while it is immutable never reads it again.
#[test]
fn our_immutable_secret_is_replaced_at_once_and_a_notice_names_the_old_uid() {
    let snapshot = snapshot([resolved("a")]);
    for secret in [holding(&snapshot.content(&[0])), outdated()] {
        let mut record = record(&[("default", "ours")]);
        record.view.secret = Some(SecretView { immutable: true, ..secret });
        let plan = namespace(&record, &snapshot);
        assert_eq!(in_words(&plan.changes), ["replace u at 3"], "the entry stays");
        let [notice] = &plan.notices[..] else { panic!("{:?}", plan.notices) };
        assert_eq!(notice.reason, NoticeReason::SecretReplaced);
        assert!(notice.message.contains("(UID u)"), "{}", notice.message);
    }
}

#[test]
fn an_immutable_secret_that_may_not_go_is_left_and_named_with_the_command_that_deletes_it() {
    let snapshot = snapshot([resolved("a").adopting()]);
    let copy = SecretView { provenance: Provenance::Elsewhere, ..outdated() };
    for secret in [foreign(), copy] {
        let mut record = record(&[("default", "")]);
        record.view.secret = Some(SecretView { immutable: true, ..secret });
        let plan = namespace(&record, &snapshot);
        assert_eq!(in_words(&plan.changes), ["default at 7: ours"], "entries go on");
        let failure = plan.results[0].secret.clone().unwrap_err();
        assert_eq!(failure.reason, Reason::SecretImmutable);
        assert!(failure.message.contains("kubectl -n n delete secret ours"), "{}", failure.message);
    }
}

#[test]
fn a_skipped_service_account_loses_our_entry_and_no_other() {
    let snapshot = snapshot([resolved("a")]);
    let mut record = settled(&snapshot, &[("default", "x ours y"), ("other", "x")]);
    record.view.service_accounts.iter_mut().for_each(|a| a.skip = true);
    let plan = namespace(&record, &snapshot);
    assert_eq!(in_words(&plan.changes), ["default at 7: x y"]);
    assert_eq!(plan.results[0].matched, 0);
}

#[test]
fn a_service_account_is_wanted_by_any_binding_and_has_the_entry_once() {
    let web = bound_with("b", json!({"serviceAccounts": {"names": ["web-*"]}}));
    let snapshot = snapshot([resolved("a"), web]);
    let accounts = [("default", "ours x ours"), ("other", "ours"), ("web-1", "ours"), ("web-2", "")];
    let plan = namespace(&settled(&snapshot, &accounts), &snapshot);
    assert_eq!(in_words(&plan.changes), ["default at 7: ours x", "other at 7: ", "web-2 at 7: ours"]);
    let counts: Vec<_> = plan.results.iter().map(|s| (s.matched, s.bound)).collect();
    assert_eq!(counts, [(1, 1), (2, 1)]);
}

#[test]
fn a_refused_create_is_tried_again_and_attaches_nothing_new() {
    let mut record = record(&[("default", ""), ("skipped", "ours")]);
    record.view.service_accounts[1].skip = true;
    refuse_create(&mut record, at(-600));
    let plan = namespace(&record, &snapshot([resolved("a")]));
    assert_eq!(in_words(&plan.changes), ["create", "skipped at 7: "]);
    assert_eq!(reasons(&plan), [("a", Some(Reason::QuotaExceeded))]);
    record.view.service_accounts[0] = account("default", "ours");
    assert_eq!(
        in_words(&namespace(&record, &snapshot([resolved("a")])).changes),
        ["create", "skipped at 7: "]
    );
}

/// The failure is that of the account, and of the bindings that cover it.
#[test]
fn a_refused_account_is_reported_to_its_bindings_and_does_not_fail_the_secret() {
    let of =
        |name: &str, accounts: &[&str]| bound_with(name, json!({"serviceAccounts": {"names": accounts}}));
    let bindings = || snapshot([of("a", &["app", "locked"]), of("b", &["app"])]);
    let (snapshot, mut record) = (bindings(), settled(&bindings(), &[("app", "ours"), ("locked", "")]));
    let change = namespace(&record, &snapshot).changes.remove(0);
    let refused = WriteResult::Refused(Failure::new(Reason::Forbidden, "no"));
    record.record_write(&change, refused, true, at(0));
    let plan = namespace(&record, &snapshot);
    assert_eq!(reasons(&plan), [("a", None), ("b", None)]);
    let unattached = |i: usize| plan.results[i].unattached.as_ref().map(|failure| failure.reason);
    assert_eq!((unattached(0), unattached(1)), (Some(Reason::Forbidden), None));
    assert_eq!((plan.results[0].matched, plan.results[0].bound), (2, 1));
}

/// A binding must not go while an entry that it gave cannot be removed.
#[test]
fn an_entry_that_cannot_be_removed_holds_back_the_binding_that_leaves() {
    let snapshot = snapshot([resolved("a").phased(Phase::Withdrawing)]);
    let mut record = record(&[("default", "ours")]);
    record.view.secret = Some(outdated());
    let change = namespace(&record, &snapshot).changes.remove(0);
    let refused = WriteResult::Refused(Failure::new(Reason::Forbidden, "no"));
    record.record_write(&change, refused, true, at(0));
    assert_eq!(reasons(&namespace(&record, &snapshot)), [("a", Some(Reason::Forbidden))]);
}

/// The bindings of a namespace are computed again once its labels or any spec changed, and only then.
#[test]
fn coverage_is_cached_until_labels_or_specs_change() {
    let selector = json!({"watchNamespaces": {"selector": {"matchLabels": {"tier": "app"}}}});
    let before = snapshot([resolved("a"), bound_with("b", selector)]);
    let mut record = settled(&before, &[("default", "ours")]);
    let covering = |record: &mut NamespaceRecord, snapshot: &Snapshot| {
        round(record, snapshot, &[], at(0));
        let facts = record.view.facts.as_ref().unwrap();
        record.coverage.get(snapshot.selections(), facts).map(<[usize]>::to_vec)
    };
    assert_eq!(covering(&mut record, &before), Some(vec![0]));
    let labels = std::collections::BTreeMap::from([("tier".to_owned(), "app".to_owned())]);
    record.view.facts.as_mut().unwrap().labels = labels.into();
    let facts = record.view.facts.clone().unwrap();
    assert_eq!(record.coverage.get(before.selections(), &facts), None, "its labels changed");
    assert_eq!(covering(&mut record, &before), Some(vec![0, 1]));
    let minted = before.replacing(vec![("a".into(), Some(resolved("a").pending()))]);
    assert_eq!(record.coverage.get(minted.selections(), &facts), Some(&[0, 1][..]), "no spec changed");
    let edited = minted.replacing(vec![("b".into(), None)]);
    assert_eq!(record.coverage.get(edited.selections(), &facts), None);
    assert_eq!(covering(&mut record, &edited), Some(vec![0]));
}

fn oversize() -> ResolvedBinding {
    resolved("a").with(|b| b.registries[0] = held(&"t".repeat(MAX_BYTES), &["a.example.com".into()]))
}

#[test]
fn a_secret_too_large_for_kubernetes_is_not_written_and_the_old_one_stays() {
    for secret in [None, Some(outdated())] {
        let mut record = record(&[("default", "ours")]);
        record.view.secret = secret;
        let plan = namespace(&record, &snapshot([oversize()]));
        assert_eq!(in_words(&plan.changes), [] as [&str; 0]);
        assert_eq!(reasons(&plan), [("a", Some(Reason::SecretTooLarge))]);
    }
}

#[test]
fn beside_a_foreign_secret_it_does_not_matter_how_large_ours_would_be() {
    let mut record = record(&[("default", ""), ("other", "ours")]);
    record.view.secret = Some(foreign());
    let plan = namespace(&record, &snapshot([oversize()]));
    assert_eq!(in_words(&plan.changes), [] as [&str; 0]);
    assert_eq!(reasons(&plan), [("a", Some(Reason::SecretConflict))]);
}

#[test]
fn of_bindings_that_are_too_much_together_the_older_is_served_and_one_that_rests_is_not_dropped() {
    let huge = |name: &str| {
        resolved(name)
            .aged(60)
            .with(|b| b.registries[0] = held(&"t".repeat(MAX_BYTES), &["huge.example.com".to_owned()]))
    };
    let mut record = record(&[]);
    record.view.secret = Some(outdated());
    let plan = namespace(&record, &snapshot([resolved("a"), huge("b")]));
    assert_eq!(in_words(&plan.changes), ["update at 3"]);
    assert_eq!(contents(&plan)[0], opened(&snapshot([resolved("a")]).content(&[0])));
    assert_eq!(reasons(&plan), [("a", Some(Reason::Progressing)), ("b", Some(Reason::SecretTooLarge))]);
    let plan = namespace(&record, &snapshot([resolved("a"), huge("b").phased(Phase::Suspended)]));
    assert_eq!(in_words(&plan.changes), [] as [&str; 0]);
    assert_eq!(reasons(&plan), [("a", Some(Reason::SecretTooLarge)), ("b", Some(Reason::Suspended))]);
}

#[test]
fn a_binding_that_loses_a_domain_learns_it_from_the_results() {
    let domain =
        |name: &str| json!({"registries": [{"instanceId": format!("cri-{name}"), "domains": ["d"]}]});
    let snapshot = snapshot([bound_with("old", domain("1")), bound_with("young", domain("2")).aged(60)]);
    let plan = namespace(&settled(&snapshot, &[]), &snapshot);
    for result in &plan.results {
        let losers: Vec<_> = result.domain_conflicts.iter().map(|c| (&*c.binding, c.registry)).collect();
        assert_eq!(losers, [("young", 0)]);
    }
}

#[test]
fn a_suspended_binding_beside_an_active_one_keeps_its_credentials_and_its_entries() {
    let web = bound_with("b", json!({"serviceAccounts": {"names": ["web-*"]}})).phased(Phase::Suspended);
    let snapshot = snapshot([resolved("a"), web]);
    let accounts = [("default", ""), ("other", "ours"), ("web-1", "ours"), ("web-2", "")];
    let mut record = settled(&snapshot, &accounts);
    record.view.secret = Some(outdated());
    let plan = namespace(&record, &snapshot);
    assert_eq!(in_words(&plan.changes), ["update at 3", "default at 7: ours", "other at 7: "]);
    assert!(contents(&plan)[0]["auths"]["b.example.com"].is_object());
    assert_eq!(reasons(&plan), [("a", Some(Reason::Progressing)), ("b", Some(Reason::Suspended))]);
}

/// An unreadable binding may cover any of them. An account that opts out is not wanted.
#[test]
fn beside_an_unreadable_binding_all_is_served_and_no_entry_is_withdrawn() {
    let snapshot = snapshot_beside_unreadable([resolved("a")]);
    let mut record = settled(&snapshot, &[("default", ""), ("other", "ours"), ("skipped", "ours")]);
    record.view.service_accounts[2].skip = true;
    record.view.secret = Some(outdated());
    let plan = namespace(&record, &snapshot);
    assert_eq!(in_words(&plan.changes), ["update at 3", "default at 7: ours", "skipped at 7: "]);
}

/// The cache is lost and the cloud refuses: the existing content is all that pulls have.
#[test]
fn an_existing_secret_is_not_emptied_while_no_credential_is_cached() {
    let record = settled(&snapshot([resolved("a")]), &[("default", "ours")]);
    let refused = resolved("a").with(|b| b.registries.fill(RegistryCredential::Missing));
    let plan = namespace(&record, &snapshot([refused]));
    assert_eq!(in_words(&plan.changes), [] as [&str; 0]);
    assert_eq!(reasons(&plan), [("a", Some(Reason::Progressing))]);
}
