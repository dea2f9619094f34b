//! Tests of which events change the index.

use super::{Index, ListedNames, ObjectKey};
use crate::model::Labels;
use crate::plan::view::{NamespaceFacts, ServiceAccountView};

fn account(name: &str, version: &str, secrets: &[&str]) -> ServiceAccountView {
    ServiceAccountView {
        name: name.into(),
        resource_version: version.into(),
        labels: Labels::default(),
        skip: false,
        unclear_skip: None,
        pull_secrets: secrets.iter().map(|s| (*s).into()).collect(),
    }
}

#[test]
fn an_event_older_than_our_own_write_changes_nothing() {
    let index = Index::default();
    index.put_service_account("n", account("a", "10", &["ours"]));
    assert_eq!(index.put_service_account("n", account("a", "9", &[])), None);
    assert_eq!(index.read("n", |v| v.service_accounts[0].pull_secrets.len()), Some(1));
    assert_eq!(index.remove_service_account("n", "a", "9"), None);
    assert!(index.remove_service_account("n", "a", "11").is_some());
}

/// etcd was restored from a snapshot: what exists is older than what is known.
#[test]
fn an_older_version_is_accepted_after_the_api_server_refused_the_known_one() {
    let index = Index::default();
    let object = ObjectKey::ServiceAccount("a".into());
    let entries = |index: &Index| index.read("n", |v| v.service_accounts[0].pull_secrets.len());
    index.put_service_account("n", account("a", "1000", &["ours"]));
    index.correct_version("n", &object, ("999", "750"));
    assert_eq!(index.put_service_account("n", account("a", "750", &[])), None, "another one was refused");
    index.correct_version("n", &object, ("1000", "1001"));
    assert_eq!(index.put_service_account("n", account("a", "750", &[])), None, "what exists is newer");
    index.correct_version("n", &object, ("1000", "750"));
    assert!(index.put_service_account("n", account("a", "750", &[])).is_some());
    assert_eq!(entries(&index), Some(0));
    assert!(index.put_service_account("n", account("a", "801", &["ours"])).is_some(), "events count again");
}

#[test]
fn the_echo_of_our_own_write_changes_nothing() {
    let index = Index::default();
    assert!(index.put_service_account("n", account("a", "10", &["ours"])).is_some());
    assert_eq!(index.put_service_account("n", account("a", "10", &["ours"])), None);
    assert_eq!(index.put_service_account("n", account("a", "12", &["ours"])), None);
}

#[test]
fn a_list_beside_the_watch_adds_labels_and_no_object() {
    let labels = |tier: &str| Labels::from(std::collections::BTreeMap::from([("tier".into(), tier.into())]));
    let facts = |version: u64, tier: &str| NamespaceFacts {
        labels: labels(tier),
        version: Some(version),
        ..NamespaceFacts::default()
    };
    let labelled =
        |version: &str, tier: &str| ServiceAccountView { labels: labels(tier), ..account("a", version, &[]) };
    let index = Index::default();
    assert_eq!(index.refresh_namespace("n", facts(5, "app")), None);
    assert_eq!(index.refresh_service_account("n", labelled("5", "app")), None);
    assert_eq!(index.read("n", |_| ()), None, "a deleted object does not return");
    index.put_namespace("n", NamespaceFacts { version: Some(5), ..NamespaceFacts::default() });
    index.put_service_account("n", account("a", "5", &[]));
    assert!(index.refresh_namespace("n", facts(5, "app")).is_some());
    assert!(index.refresh_service_account("n", labelled("5", "app")).is_some());
    index.put_namespace("n", facts(8, "db"));
    index.put_service_account("n", labelled("8", "db"));
    assert_eq!(index.refresh_namespace("n", facts(7, "app")), None, "the watch is ahead");
    assert_eq!(index.refresh_service_account("n", labelled("7", "app")), None);
    let tier = |index: &Index| index.read("n", |view| view.facts.clone().unwrap().labels).unwrap();
    assert_eq!(tier(&index).get("tier"), Some("db"));
}

#[test]
fn a_list_drops_what_is_not_in_it() {
    let index = Index::default();
    index.put_namespace("n", NamespaceFacts::default());
    index.put_service_account("n", account("a", "1", &[]));
    index.put_service_account("n", account("b", "1", &[]));
    let mut seen = ListedNames::default();
    seen.add("n", "b");
    assert_eq!(index.retain_service_accounts(&seen), ["n".into()]);
    assert_eq!(index.retain_service_accounts(&seen), []);
    assert_eq!(index.read("n", |v| v.service_accounts.len()), Some(1));
}

#[test]
fn an_empty_namespace_is_forgotten() {
    let index = Index::default();
    index.put_namespace("n", NamespaceFacts::default());
    index.remove_namespace("n");
    assert_eq!(index.read("n", |_| ()), None);
}

/// All that is listed after a restore of etcd is older than what was known, and true.
#[test]
fn a_list_is_believed_after_versions_were_set_back() {
    let index = Index::default();
    index.put_service_account("n", account("a", "1000", &["ours"]));
    assert_eq!(index.put_service_account("n", account("a", "750", &[])), None);
    index.forget_account_versions();
    assert!(index.put_service_account("n", account("a", "750", &[])).is_some());
    assert_eq!(
        index.put_service_account("n", account("a", "749", &["ours"])),
        None,
        "the order counts again"
    );
}
