//! The index: one record a namespace, fed by the watches and by the answers to our own writes.
//!
//! An event costs a look-up of its namespace. No object is kept: a record holds only what decisions need.

mod interned;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;

use self::interned::Interned;
use super::label_keys::LabelKeys;
use super::listed_names::ListedNames;
use crate::model::coverage::SelectionIndex;
use crate::plan::change::{Change, ObjectKey};
use crate::plan::record::{NamespaceRecord, WriteResult};
use crate::plan::view::{NamespaceFacts, NamespaceView, SecretView, ServiceAccountView};
use crate::plan::write_history::FORGOTTEN;

/// All records, by namespace.
#[derive(Debug, Default)]
pub struct Index {
    /// The keys of Namespaces' labels that are kept.
    pub namespace_keys: LabelKeys,
    /// The keys of ServiceAccounts' labels that are kept.
    pub account_keys: LabelKeys,
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
struct Records {
    /// Boxed: a map has room for twice as many as it holds.
    namespaces: HashMap<Arc<str>, Box<NamespaceRecord>>,
    /// What their accounts have in common.
    interned: Interned,
    /// When writes that are over were last forgotten.
    swept_at: Option<Timestamp>,
}

/// A write that was tried, and its result.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// The write.
    pub change: &'a Change,
    /// Its result.
    pub result: WriteResult,
    /// Whether it answers to an event, rather than to a round over many namespaces.
    pub event: bool,
    /// The time.
    pub now: Timestamp,
}

impl Index {
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the objects of a namespace.
    pub fn read<T>(&self, namespace: &str, read: impl FnOnce(&NamespaceView) -> T) -> Option<T> {
        self.lock().namespaces.get(namespace).map(|record| read(&record.view))
    }

    /// Changes the record of a namespace, if there is one.
    pub fn update<T>(&self, namespace: &str, update: impl FnOnce(&mut NamespaceRecord) -> T) -> Option<T> {
        self.lock().namespaces.get_mut(namespace).map(|record| update(record))
    }

    /// Reads several namespaces, until the closure returns `true`.
    pub fn read_until<'a>(
        &self,
        names: impl IntoIterator<Item = &'a Arc<str>>,
        read: impl FnMut(&NamespaceView) -> bool,
    ) {
        let records = self.lock();
        let records = names.into_iter().filter_map(|name| records.namespaces.get(name));
        records.map(|record| &record.view).any(read);
    }

    /// Returns the names of the namespaces that satisfy a test. It walks the cluster: only a changed binding asks.
    pub fn matching(&self, mut test: impl FnMut(&str, &NamespaceFacts) -> bool) -> Vec<Arc<str>> {
        self.select(|record| record.view.facts.as_ref().is_some_and(|facts| test(record.name(), facts)))
    }

    /// Reads each namespace once for each selection of an index that selects it, excluded or not. It walks the cluster,
    /// unless all of them are exact names.
    pub fn selected_by(
        &self,
        selections: &SelectionIndex,
        mut read: impl FnMut(usize, &Arc<str>, &NamespaceFacts),
    ) {
        let records = self.lock();
        let mut visit = |record: &NamespaceRecord| {
            let Some(facts) = &record.view.facts else { return };
            for position in selections.selecting(record.name(), &facts.labels) {
                read(position, record.name(), facts);
            }
        };
        match selections.only_names() {
            Some(names) => {
                names.filter_map(|name| records.namespaces.get(name)).for_each(|record| visit(record))
            }
            None => records.namespaces.values().for_each(|record| visit(record)),
        }
    }

    /// Returns the names of the namespaces in which a Secret of ours exists.
    pub fn with_our_secret(&self) -> Vec<Arc<str>> {
        self.select(|record| record.view.secret.as_ref().is_some_and(|secret| secret.ours))
    }

    /// Returns the names of the namespaces that were planned while the API server could still add unwanted entries.
    pub fn awaiting_admission(&self) -> Vec<Arc<str>> {
        self.select(|record| record.awaits_admission)
    }

    fn select(&self, mut test: impl FnMut(&NamespaceRecord) -> bool) -> Vec<Arc<str>> {
        self.lock().namespaces.values().filter(|record| test(record)).map(|r| r.name().clone()).collect()
    }

    /// Records a write that was tried.
    pub fn record_write(&self, namespace: &str, attempt: Attempt<'_>) {
        let Attempt { change, result, event, now } = attempt;
        let mut records = self.lock();
        if let Some(record) = records.namespaces.get_mut(namespace) {
            record.record_write(change, result, event, now);
        }
        // Each write is walked once in a long while, so that it costs little.
        if records.swept_at.is_none_or(|swept_at| now.duration_since(swept_at).abs() > FORGOTTEN) {
            records.swept_at = Some(now);
            records.namespaces.values_mut().for_each(|record| record.sweep(now));
        }
    }

    fn change(&self, namespace: &str, change: impl FnOnce(&mut NamespaceRecord) -> bool) -> Option<Arc<str>> {
        self.change_sharing(namespace, |record, _| change(record))
    }

    fn change_sharing(
        &self,
        namespace: &str,
        change: impl FnOnce(&mut NamespaceRecord, &mut Interned) -> bool,
    ) -> Option<Arc<str>> {
        let mut records = self.lock();
        let records = &mut *records;
        let name = match records.namespaces.get_key_value(namespace) {
            Some((name, _)) => name.clone(),
            None => Arc::from(namespace),
        };
        let new = || Box::new(NamespaceRecord::new(NamespaceView::new(name.clone())));
        let record = records.namespaces.entry(name.clone()).or_insert_with(new);
        let changed = change(record, &mut records.interned);
        if record.view.is_empty() {
            records.namespaces.remove(&name);
        }
        changed.then_some(name)
    }

    /// Forgets a version that the API server refused, where a read after that `found` an older one. Only a restored etcd has
    /// that: its revisions begin again at an earlier one, and ours would be newer than each event for a long time.
    pub fn correct_version(&self, namespace: &str, object: &ObjectKey, (refused, found): (&str, &str)) {
        if !is_older(found, refused) {
            return;
        }
        self.update(namespace, |record| {
            let known = version_of(&mut record.view, object).filter(|version| ***version == *refused);
            known.into_iter().for_each(|version| *version = found.into());
        });
    }

    /// Returns the version by which an object is known, where it is a number.
    pub fn known_version(&self, namespace: &str, object: &ObjectKey) -> Option<u64> {
        self.update(namespace, |record| version_of(&mut record.view, object)?.parse().ok()).flatten()
    }

    /// Forgets the version of an object, since it was set back.
    pub fn forget_version(&self, namespace: &str, object: &ObjectKey) {
        self.update(namespace, |record| {
            version_of(&mut record.view, object).into_iter().for_each(|version| *version = "".into());
        });
    }

    /// Forgets the versions of all ServiceAccounts, since they were set back: those that exist may be older.
    pub fn forget_account_versions(&self) {
        let mut records = self.lock();
        let views = records.namespaces.values_mut().map(|record| &mut record.view);
        views
            .flat_map(|view| &mut view.service_accounts)
            .for_each(|account| account.resource_version = "".into());
    }

    /// Forgets the versions of all Secrets, since they were set back.
    pub fn forget_secret_versions(&self) {
        let mut records = self.lock();
        let views = records.namespaces.values_mut().map(|record| &mut record.view);
        views.filter_map(|view| view.secret.as_mut()).for_each(|secret| secret.resource_version = "".into());
    }

    /// Records a Namespace. Like the methods below, it returns the namespace if anything changed that decisions need.
    pub fn put_namespace(&self, name: &str, facts: NamespaceFacts) -> Option<Arc<str>> {
        self.change(name, |record| {
            let changed = record.view.facts.as_ref().is_none_or(|known| known.differs_from(&facts));
            record.has_newcomer |= record.view.facts.is_none();
            record.view.facts = Some(facts);
            changed
        })
    }

    /// Records a Namespace as a list beside the watch read it: one that is unknown by now was deleted, or follows on the
    /// watch.
    pub fn refresh_namespace(&self, name: &str, facts: NamespaceFacts) -> Option<Arc<str>> {
        self.change(name, |record| {
            // A version that is not a number is before every number.
            let Some(known) = record.view.facts.as_ref().filter(|known| known.version <= facts.version)
            else {
                return false;
            };
            let changed = known.differs_from(&facts);
            record.view.facts = Some(facts);
            changed
        })
    }

    /// Forgets a Namespace.
    pub fn remove_namespace(&self, name: &str) -> Option<Arc<str>> {
        self.change(name, |record| {
            record.reset();
            record.view.facts.take().is_some()
        })
    }

    /// Records the Secret of our name.
    pub fn put_secret(&self, namespace: &str, secret: SecretView) -> Option<Arc<str>> {
        self.change(namespace, |record| {
            let known = record.view.secret.as_ref();
            if known.is_some_and(|known| is_older(&secret.resource_version, &known.resource_version)) {
                return false;
            }
            let same = |known: &SecretView| {
                known.fingerprint == secret.fingerprint
                    && known.uid == secret.uid
                    && known.ours == secret.ours
                    && known.immutable == secret.immutable
                    && known.provenance == secret.provenance
            };
            let changed = !known.is_some_and(same);
            record.view.secret = Some(secret);
            record.forget_refusal();
            changed
        })
    }

    /// Forgets the Secret, unless a newer one is known.
    pub fn remove_secret(&self, namespace: &str, resource_version: &str) -> Option<Arc<str>> {
        self.change(namespace, |record| {
            let newer = |known: &SecretView| is_older(resource_version, &known.resource_version);
            if record.view.secret.as_ref().is_none_or(newer) {
                return false;
            }
            record.view.secret = None;
            true
        })
    }

    /// Records a ServiceAccount.
    pub fn put_service_account(&self, namespace: &str, mut account: ServiceAccountView) -> Option<Arc<str>> {
        self.change_sharing(namespace, |record, interned| {
            interned.share(&mut account);
            put_account(record, account)
        })
    }

    /// Records a ServiceAccount as a list beside the watch read it: one that is unknown by now was deleted, or follows on
    /// the watch.
    pub fn refresh_service_account(&self, namespace: &str, account: ServiceAccountView) -> Option<Arc<str>> {
        self.change(namespace, |record| {
            find(&record.view.service_accounts, &account.name).is_ok() && put_account(record, account)
        })
    }

    /// Forgets a ServiceAccount, unless a newer one of its name is known.
    pub fn remove_service_account(
        &self,
        namespace: &str,
        name: &str,
        resource_version: &str,
    ) -> Option<Arc<str>> {
        self.change(namespace, |record| {
            let Ok(at) = find(&record.view.service_accounts, name) else { return false };
            if is_older(resource_version, &record.view.service_accounts[at].resource_version) {
                return false;
            }
            record.view.service_accounts.remove(at);
            record.forget(&ObjectKey::ServiceAccount(name.into()));
            true
        })
    }

    /// Forgets Namespaces that are missing in a list.
    pub fn retain_namespaces(&self, seen: &ListedNames) -> Vec<Arc<str>> {
        self.sweep(|record| {
            let listed = seen.contains("", &record.view.name);
            if listed || record.view.facts.take().is_none() {
                return false;
            }
            record.reset();
            true
        })
    }

    /// Forgets Secrets that are missing in a list.
    pub fn retain_secrets(&self, seen: &ListedNames, name: &str) -> Vec<Arc<str>> {
        self.sweep(|record| {
            let listed = seen.contains(&record.view.name, name);
            !listed && record.view.secret.take().is_some()
        })
    }

    /// Forgets ServiceAccounts that are missing in a list.
    pub fn retain_service_accounts(&self, seen: &ListedNames) -> Vec<Arc<str>> {
        self.sweep(|record| {
            let before = record.view.service_accounts.len();
            let namespace = record.view.name.clone();
            record.view.service_accounts.retain(|account| seen.contains(&namespace, &account.name));
            let changed = record.view.service_accounts.len() != before;
            if changed {
                record.forget_missing();
            }
            changed
        })
    }

    fn sweep(&self, mut gone: impl FnMut(&mut NamespaceRecord) -> bool) -> Vec<Arc<str>> {
        let mut records = self.lock();
        let all = records.namespaces.iter_mut();
        let changed = all.filter_map(|(name, record)| gone(record).then(|| name.clone())).collect();
        records.namespaces.retain(|_, record| !record.view.is_empty());
        changed
    }
}

/// Records a ServiceAccount, unless a newer one of its name is known. Returns whether anything changed that decisions
/// need.
fn put_account(record: &mut NamespaceRecord, account: ServiceAccountView) -> bool {
    match find(&record.view.service_accounts, &account.name) {
        Ok(at) => {
            let known = &mut record.view.service_accounts[at];
            if is_older(&account.resource_version, &known.resource_version) {
                return false;
            }
            let changed = (&known.pull_secrets, &known.labels, known.skip, &known.unclear_skip)
                != (&account.pull_secrets, &account.labels, account.skip, &account.unclear_skip);
            *known = account;
            changed
        }
        Err(at) => {
            let accounts = &mut record.view.service_accounts;
            // Room for a few more, not for twice as many: most namespaces have a handful.
            accounts.reserve_exact(if accounts.len() == accounts.capacity() {
                1 + accounts.len() / 8
            } else {
                0
            });
            accounts.insert(at, account);
            record.has_newcomer = true;
            true
        }
    }
}

/// Returns the version by which an object is known, if it is.
fn version_of<'a>(view: &'a mut NamespaceView, object: &ObjectKey) -> Option<&'a mut Box<str>> {
    match object {
        ObjectKey::Secret => view.secret.as_mut().map(|secret| &mut secret.resource_version),
        ObjectKey::ServiceAccount(name) => {
            let at = find(&view.service_accounts, name).ok()?;
            view.service_accounts.get_mut(at).map(|account| &mut account.resource_version)
        }
    }
}

fn find(accounts: &[ServiceAccountView], name: &str) -> Result<usize, usize> {
    accounts.binary_search_by(|account| account.name.as_ref().cmp(name))
}

/// Returns whether a resource version is older than the known one, where both are numbers.
///
/// The answer to our own write is often ahead of the watch, whose next event must not take the view back. Kubernetes
/// guarantees the order from 1.35 on, and etcd has always kept it.
pub fn is_older(new: &str, known: &str) -> bool {
    matches!((new.parse::<u64>(), known.parse::<u64>()), (Ok(new), Ok(known)) if new < known)
}

#[cfg(test)]
mod tests;
