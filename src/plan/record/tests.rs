//! What rests, for how long, and that it rests alone.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{NamespaceRecord, WriteResult};
use crate::api::Reason;
use crate::plan::fixture::{account, at, holding, in_words, record, resolved, snapshot};
use crate::plan::write_history::LONGEST;
use crate::plan::{Change, Failure, Plan, Snapshot, namespace, round};
use serde_json::json;

fn all_accounts() -> Snapshot {
    let spec = json!({ "serviceAccounts": { "names": ["*"] } });
    snapshot([crate::plan::fixture::bound_with("a", spec)])
}

/// Returns a namespace with our Secret, in which these accounts lack their entry.
fn lacking(names: &[&str], snapshot: &Snapshot) -> NamespaceRecord {
    let mut record = record(&[]);
    record.view.secret = Some(holding(&snapshot.content(&[0])));
    record.view.service_accounts = names.iter().map(|name| account(name, "")).collect();
    record
}

fn plan(record: &NamespaceRecord, snapshot: &Snapshot, now: Timestamp) -> Plan {
    namespace(record, snapshot, &[], now)
}

fn refused() -> WriteResult {
    WriteResult::Refused(Failure::new(Reason::Forbidden, "denied"))
}

fn failed(at_least: Option<Duration>) -> WriteResult {
    WriteResult::Failed { failure: Failure::new(Reason::WriteFailing, "busy"), at_least }
}

/// A user who opts a ServiceAccount out and in again does not compete with us. Another writer does.
#[test]
fn coverage_that_changes_back_and_forth_is_not_a_conflict() {
    let snapshot = all_accounts();
    let mut record = lacking(&["default"], &snapshot);
    let write = |record: &mut NamespaceRecord, second: i64| {
        let mut planned = plan(record, &snapshot, at(second));
        let change = planned.changes.remove(0);
        record.record_write(&change, WriteResult::Done, true, at(second));
        let Change::SetPullSecrets { pull_secrets, .. } = change else { panic!("{change:?}") };
        record.view.service_accounts[0].pull_secrets = pull_secrets.as_slice().into();
        planned.conflicts.len()
    };
    for second in 0..8 {
        assert_eq!(write(&mut record, second * 5), 0, "write {second}");
        record.view.service_accounts[0].skip = second % 2 == 0;
    }
    record.view.service_accounts[0].skip = true;
    record.view.service_accounts[0].pull_secrets = ["ours".into()].into();
    assert_eq!(write(&mut record, 50), 1, "our entry is back, and was not added by us");
}

/// One account is refused at each attempt, and the others are changed by another writer once, just before our first
/// write.
#[test]
fn an_account_that_is_refused_for_good_delays_no_other() {
    let snapshot = all_accounts();
    let mut record = lacking(&["refused"], &snapshot);
    let mut now = at(0);
    // The refusal has lasted for a while, so that its back-off is long.
    for _ in 0..12 {
        let change = plan(&record, &snapshot, now).changes.remove(0);
        record.record_write(&change, refused(), true, now);
        now = plan(&record, &snapshot, now).retry_at.expect("a time to retry");
    }
    let last = plan(&record, &snapshot, now).changes.remove(0);
    record.record_write(&last, refused(), true, now);
    let names: Vec<String> = (0..50).map(|number| format!("new-{number:02}")).collect();
    record.view.service_accounts = names.iter().map(|name| account(name, "")).collect();
    record.view.service_accounts.push(account("refused", ""));
    let first = plan(&record, &snapshot, now).changes;
    assert_eq!(first.len(), 50, "the refused account rests alone");
    for change in &first {
        record.record_write(change, WriteResult::Stale, true, now);
    }
    record.view.service_accounts.iter_mut().for_each(|account| {
        if &*account.name != "refused" {
            account.resource_version = "8".into();
        }
    });
    let second = plan(&record, &snapshot, now);
    assert_eq!(second.changes.len(), 50, "stale writes are planned again at once");
    for change in &second.changes {
        record.record_write(change, WriteResult::Done, true, now);
        let Change::SetPullSecrets { service_account, pull_secrets, .. } = change else {
            panic!("{change:?}")
        };
        let mut accounts = record.view.service_accounts.iter_mut();
        accounts.find(|account| *account.name == **service_account).unwrap().pull_secrets =
            pull_secrets.as_slice().into();
    }
    let rest = plan(&record, &snapshot, now);
    assert!(rest.changes.is_empty() && rest.is_resting && !rest.is_settled());
    let failure = rest.results[0].unattached.clone().unwrap();
    assert_eq!((failure.reason, &*failure.message), (Reason::Forbidden, "denied"));
    assert_eq!((rest.results[0].matched, rest.results[0].bound), (51, 50));
    assert!(rest.retry_at.unwrap() > now + SignedDuration::from_secs(200), "its own back-off is long by now");
}

#[test]
fn a_failed_write_rests_until_its_back_off_is_over_or_another_write_is_wanted() {
    let snapshot = all_accounts();
    for result in [refused(), failed(None), WriteResult::Gone] {
        let mut record = lacking(&["app"], &snapshot);
        let change = plan(&record, &snapshot, at(0)).changes.remove(0);
        record.record_write(&change, result.clone(), true, at(0));
        let resting = plan(&record, &snapshot, at(0));
        assert!(resting.changes.is_empty() && resting.is_resting, "{result:?}");
        let retry_at = resting.retry_at.unwrap();
        assert_eq!(plan(&record, &snapshot, retry_at).changes.len(), 1, "{result:?}");
        assert!(resting.results[0].secret.is_ok(), "the Secret is in place");
        let reported = resting.results[0].unattached.as_ref().map(|failure| failure.reason);
        let expected = match &result {
            WriteResult::Refused(failure) | WriteResult::Failed { failure, .. } => Some(failure.reason),
            _ => None,
        };
        assert_eq!(reported, expected, "{result:?}");
        // Another writer changed the object: what it refused may be possible now.
        record.view.service_accounts[0].resource_version = "8".into();
        assert_eq!(plan(&record, &snapshot, at(0)).changes.len(), 1, "{result:?}");
    }
}

#[test]
fn a_back_off_grows_with_each_failure_and_begins_again_after_a_success() {
    let snapshot = all_accounts();
    let mut record = lacking(&["app"], &snapshot);
    let change = plan(&record, &snapshot, at(0)).changes.remove(0);
    let wait = |record: &mut NamespaceRecord, result: WriteResult| {
        record.record_write(&change, result, true, at(0));
        plan(record, &snapshot, at(0)).retry_at.unwrap().duration_since(at(0)).as_secs_f64()
    };
    let first = wait(&mut record, failed(None));
    assert!((0.3..=0.5).contains(&first), "{first}");
    assert!(wait(&mut record, failed(None)) > first);
    let asked = wait(&mut record, failed(Some(Duration::from_secs(7))));
    assert!((7.0..8.0).contains(&asked), "the API server asks for a longer wait: {asked}");
    let endless = wait(&mut record, failed(Some(Duration::from_secs(1_000_000))));
    assert!(endless <= LONGEST.as_secs_f64(), "{endless}");
    record.record_write(&change, WriteResult::Done, true, at(0));
    assert!(wait(&mut record, refused()) <= 5.0);
    for _ in 0..40 {
        wait(&mut record, refused());
    }
    assert!((225.0..=300.0).contains(&wait(&mut record, refused())));
}

#[test]
fn a_refused_secret_rests_whichever_content_is_wanted_and_a_failed_one_does_not() {
    let snapshots = [snapshot([resolved("a")]), snapshot([resolved("a"), resolved("b")])];
    for (result, resting) in [
        (WriteResult::Refused(Failure::new(Reason::QuotaExceeded, "full")), true),
        (WriteResult::Refused(Failure::new(Reason::WriteFailing, "invalid")), false),
        (failed(None), false),
    ] {
        let mut record = record(&[]);
        let change = plan(&record, &snapshots[0], at(0)).changes.remove(0);
        record.record_write(&change, result, true, at(0));
        assert!(plan(&record, &snapshots[0], at(0)).changes.is_empty());
        assert_eq!(plan(&record, &snapshots[1], at(0)).changes.is_empty(), resting);
        record.settle();
        assert_eq!(
            plan(&record, &snapshots[0], at(0)).changes.len(),
            1,
            "nothing was left to write in between"
        );
    }
}

#[test]
fn writes_of_objects_that_are_gone_or_rested_for_long_are_forgotten() {
    let snapshot = all_accounts();
    let mut record = lacking(&["app", "gone"], &snapshot);
    for change in plan(&record, &snapshot, at(0)).changes {
        record.record_write(&change, WriteResult::Done, true, at(0));
        record.record_write(&change, refused(), true, at(0));
    }
    assert_eq!(record.writes.len(), 2);
    record.view.service_accounts.pop();
    record.forget_missing();
    assert_eq!(record.writes.len(), 1);
    record.sweep(at(60));
    assert_eq!(record.writes.len(), 1);
    record.sweep(at(3600));
    assert_eq!(record.writes.len(), 0);
}

#[test]
fn a_fill_or_a_refresh_of_thousands_is_not_remembered() {
    let snapshot = all_accounts();
    let mut record = lacking(&["app"], &snapshot);
    let change = plan(&record, &snapshot, at(0)).changes.remove(0);
    record.record_write(&change, WriteResult::Done, false, at(0));
    assert_eq!(record.writes.len(), 0);
}

/// Another writer reverts each write at once: it is named, and the object is left alone.
#[test]
fn a_contended_object_is_left_alone_and_its_writer_is_identified_first() {
    let snapshot = all_accounts();
    let mut record = lacking(&["app", "calm"], &snapshot);
    record.view.service_accounts[1] = account("calm", "ours");
    let mut writes = 0;
    let conflict = loop {
        let plan = plan(&record, &snapshot, at(1));
        let Some(change) = plan.changes.first() else { break plan.conflicts[0].clone() };
        assert!(writes < 20, "{plan:?}");
        for conflict in &plan.conflicts {
            let failure = Failure::new(Reason::Contended, "reverted by flux");
            record.report_reverted(conflict.object.clone(), failure);
        }
        record.record_write(change, WriteResult::Done, true, at(1));
        writes += 1;
    };
    let until = plan(&record, &snapshot, at(1)).retry_at.unwrap();
    record.report_left_alone(conflict.object, until, Failure::new(Reason::Contended, "left alone"));
    let resting = plan(&record, &snapshot, at(1));
    assert!(resting.conflicts.is_empty() && resting.changes.is_empty());
    assert_eq!(&*resting.results[0].unattached.clone().unwrap().message, "left alone");
    assert_eq!(&*resting.results[0].contention.clone().unwrap().message, "reverted by flux");
    let counts = |plan: &Plan| (plan.results[0].matched, plan.results[0].bound, plan.results[0].contended);
    assert_eq!(counts(&resting), (2, 1, 1));
    // The rest of the namespace goes on.
    record.view.service_accounts[1] = account("calm", "");
    let going_on = plan(&record, &snapshot, at(1));
    assert_eq!(in_words(&going_on.changes), ["calm at 7: ours"]);
    assert_eq!(counts(&going_on), (2, 0, 1));
    // After the wait it is tried again.
    let again = plan(&record, &snapshot, until);
    assert_eq!(again.changes.len(), 2);
}

#[test]
fn a_namespace_that_keeps_changing_waits_longer_each_time() {
    let mut record = record(&[]);
    let mut wait = || record.record_unsettled(at(0)).duration_since(at(0)).as_secs_f64();
    let (first, second) = (wait(), wait());
    assert!(first <= 1.0 && second > first && (0..20).map(|_| wait()).all(|wait| wait <= 60.0));
}

/// Returns the message that is reported after these failures in a row.
fn reported_after(failures: &[(Reason, &str)]) -> String {
    let snapshot = all_accounts();
    let mut record = lacking(&["app"], &snapshot);
    let change = plan(&record, &snapshot, at(0)).changes.remove(0);
    for (reason, message) in failures {
        record.record_write(&change, WriteResult::Refused(Failure::new(*reason, *message)), true, at(0));
    }
    plan(&record, &snapshot, at(0)).results[0].unattached.clone().unwrap().message.to_string()
}

#[test]
fn the_first_message_of_a_run_of_equal_failures_is_kept() {
    let refused = Reason::RefusedByAdmission;
    let first = "request 1 at 12:00:01: the label team is missing";
    let later = "request 2 at 12:05:07: the label team is missing";
    assert_eq!(reported_after(&[(refused, first), (refused, later)]), first);
    let other = "request 3 at 12:06:00: the label owner is missing";
    assert_eq!(reported_after(&[(refused, first), (refused, later), (refused, other)]), other);
    assert_eq!(reported_after(&[(Reason::AdmissionUnreachable, first), (refused, later)]), later);
    // The figures of a quota are its message.
    let full = Reason::QuotaExceeded;
    assert_eq!(reported_after(&[(full, "used: 1"), (full, "used: 2")]), "used: 2");
}

/// Deletes our Secret again and again, and applies what is planned. Returns the record and the last plan.
fn deleted_often(times: usize, step: i64) -> (NamespaceRecord, Snapshot, Plan) {
    let snapshot = all_accounts();
    let mut record = lacking(&[], &snapshot);
    let good = record.view.secret.clone();
    let mut last = Plan::default();
    for number in 0..times {
        let now = at(step * i64::try_from(number).unwrap());
        round(&mut record, &snapshot, &[], now);
        record.view.secret = None;
        last = round(&mut record, &snapshot, &[], now);
        if let Some(change) = last.changes.first() {
            record.record_write(change, WriteResult::Done, true, now);
            record.view.secret = good.clone();
        }
    }
    (record, snapshot, last)
}

/// A restore that deletes and creates writes nothing, and managed fields do not exist for deletions.
#[test]
fn a_secret_that_is_deleted_often_is_reported_as_such_and_the_report_goes_soon() {
    let contention = |record: &NamespaceRecord, snapshot: &Snapshot, second: i64| {
        plan(record, snapshot, at(second)).results[0].contention.clone().map(|f| f.message.to_string())
    };
    let (record, snapshot, _) = deleted_often(2, 5);
    assert_eq!(contention(&record, &snapshot, 6), None);
    let (record, snapshot, last) = deleted_often(4, 5);
    assert_eq!(last.conflicts, [], "no writer is searched for");
    let message = contention(&record, &snapshot, 16).unwrap();
    assert!(message.starts_with("the Secret n/ours was deleted 4 times since"), "{message}");
    assert!(
        plan(&record, &snapshot, at(16)).retry_at.is_some(),
        "it is planned again when the report is over"
    );
    assert_eq!(contention(&record, &snapshot, 80), None);
    // Faster than it can be held, it rests for a while.
    let (record, snapshot, last) = deleted_often(13, 0);
    assert!(last.changes.is_empty() && last.is_resting);
    let failure = plan(&record, &snapshot, at(0)).results[0].secret.clone();
    assert_eq!(failure.clone().unwrap_err().reason, Reason::Contended, "{failure:?}");
    assert_eq!(plan(&record, &snapshot, at(31)).changes.len(), 1);
}

#[test]
fn our_own_withdrawal_and_a_first_secret_are_not_deletions_by_others() {
    let snapshot = all_accounts();
    let mut record = record(&[]);
    for number in 0..6 {
        let create = round(&mut record, &snapshot, &[], at(number)).changes.remove(0);
        record.record_write(&create, WriteResult::Done, true, at(number));
        record.view.secret = Some(holding(&snapshot.content(&[0])));
        round(&mut record, &snapshot, &[], at(number));
        let nothing = crate::plan::fixture::snapshot([]);
        let delete = round(&mut record, &nothing, &[], at(number)).changes.remove(0);
        record.record_write(&delete, WriteResult::Done, true, at(number));
        record.view.secret = None;
    }
    assert!(record.contention("ours", at(6)).is_none());
}

/// A platform that annotates each new account may come first many times.
#[test]
fn conflicts_at_the_creation_of_an_account_are_not_rivalry() {
    let snapshot = all_accounts();
    let mut record = lacking(&["new"], &snapshot);
    for version in 0..30_u32 {
        record.view.service_accounts[0].resource_version = version.to_string().into();
        let planned = plan(&record, &snapshot, at(0));
        assert!(planned.conflicts.is_empty() && !planned.is_resting, "after {version} conflicts");
        record.record_write(&planned.changes[0], WriteResult::Stale, true, at(0));
    }
    let last = plan(&record, &snapshot, at(1)).changes.remove(0);
    record.record_write(&last, WriteResult::Done, true, at(1));
    assert_eq!(record.contention("ours", at(1)), None);
}

/// A pipeline makes an account for each job, a hundred a second, and deletes it after the job.
#[test]
fn accounts_that_come_and_go_leave_nothing_behind_and_many_that_stay_little() {
    let snapshot = all_accounts();
    let mut record = lacking(&[], &snapshot);
    let attach = |record: &mut NamespaceRecord, name: &str, now: Timestamp| {
        record.view.service_accounts = vec![account(name, "")];
        plan(record, &snapshot, now).changes.remove(0)
    };
    for number in 0..10_000 {
        let (name, now) = (format!("job-{number:05}"), at(number / 100));
        let change = attach(&mut record, &name, now);
        let result = match number % 3 {
            0 => WriteResult::Done,
            1 => refused(),
            _ => failed(None),
        };
        // The deletion is observed before the answer to our write is recorded, or after it.
        record.view.service_accounts.clear();
        if number % 2 == 0 {
            record.record_write(&change, result, true, now);
        } else {
            record.view.service_accounts = vec![account(&name, "")];
            record.record_write(&change, result, true, now);
            record.view.service_accounts.clear();
            record.forget(&change.object());
        }
    }
    assert_eq!(record.writes.len(), 0);

    let names: Vec<String> = (0..3_000).map(|number| format!("stays-{number:05}")).collect();
    record.view.service_accounts = names.iter().map(|name| account(name, "")).collect();
    let changes = plan(&record, &snapshot, at(200)).changes;
    for _ in 0..2 {
        // One of them is contended, and is not forgotten for the others.
        record.record_write(&changes[7], WriteResult::Done, true, at(200));
    }
    for change in &changes {
        record.record_write(change, WriteResult::Done, true, at(201));
    }
    assert_eq!(record.writes.len(), super::REMEMBERED);
    assert!(record.unreported_since(&changes[7], "ours", at(202)).is_some());
}

/// A user narrows and widens a binding's accounts. The withdrawal is one of many, and answers to no event.
#[test]
fn our_entry_that_the_coverage_takes_out_and_adds_again_is_not_reverted_by_another() {
    let snapshot = all_accounts();
    let mut record = lacking(&["a"], &snapshot);
    let attach = plan(&record, &snapshot, at(0)).changes.remove(0);
    let Change::SetPullSecrets { service_account, resource_version, .. } = attach.clone() else {
        panic!("{attach:?}")
    };
    let detach = Change::SetPullSecrets { service_account, resource_version, pull_secrets: vec![] };
    for second in 0..6 {
        assert_eq!(record.unreported_since(&attach, "ours", at(second)), None, "{second}");
        record.record_write(&attach, WriteResult::Done, true, at(second));
        record.record_write(&detach, WriteResult::Done, false, at(second));
    }
    // Another one takes it out.
    record.record_write(&attach, WriteResult::Done, true, at(7));
    assert!(record.unreported_since(&attach, "ours", at(8)).is_some());
}
