//! What is known of every namespace, from the watches and from our own writes.
//!
//! An event costs a look-up of its namespace. No object is kept: the views hold what decisions need.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::plan::failure::Failure;
use crate::plan::secret::Fingerprint;
use crate::plan::view::{NamespaceFacts, NamespaceView, SecretView, ServiceAccountView};

/// All views, by namespace.
#[derive(Debug, Default)]
pub struct Index {
    namespaces: Mutex<HashMap<Arc<str>, NamespaceView>>,
}

impl Index {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, NamespaceView>> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at one namespace.
    pub fn read<T>(&self, namespace: &str, look: impl FnOnce(&NamespaceView) -> T) -> Option<T> {
        self.lock().get(namespace).map(look)
    }

    /// The same of several, until the look says that it has seen enough.
    pub fn read_until<'a>(
        &self,
        names: impl IntoIterator<Item = &'a Arc<str>>,
        look: impl FnMut(&NamespaceView) -> bool,
    ) {
        let namespaces = self.lock();
        names.into_iter().filter_map(|name| namespaces.get(name)).any(look);
    }

    /// Names of the namespaces that satisfy a test. This one walks the cluster: only a changed binding asks.
    pub fn matching(&self, mut test: impl FnMut(&str, &NamespaceFacts) -> bool) -> Vec<Arc<str>> {
        let namespaces = self.lock();
        let known = namespaces.iter().filter_map(|(name, view)| Some((name, view.facts.as_ref()?)));
        known.filter(|(name, facts)| test(name, facts)).map(|(name, _)| name.clone()).collect()
    }

    /// Names of the namespaces in which a Secret of ours stands.
    pub fn with_our_secret(&self) -> Vec<Arc<str>> {
        let ours = |view: &NamespaceView| view.secret.as_ref().is_some_and(|secret| secret.ours);
        self.lock().iter().filter(|(_, view)| ours(view)).map(|(name, _)| name.clone()).collect()
    }

    fn change(&self, namespace: &str, change: impl FnOnce(&mut NamespaceView) -> bool) -> Option<Arc<str>> {
        let mut namespaces = self.lock();
        let name = match namespaces.get_key_value(namespace) {
            Some((name, _)) => name.clone(),
            None => Arc::from(namespace),
        };
        let view = namespaces.entry(name.clone()).or_insert_with(|| NamespaceView::new(name.clone()));
        let changed = change(view);
        let nothing_left = view.facts.is_none() && view.secret.is_none() && view.service_accounts.is_empty();
        if nothing_left {
            namespaces.remove(&name);
        }
        changed.then_some(name)
    }

    /// Takes in a Namespace. Each of these returns the namespace where something changed that decisions need.
    pub fn put_namespace(&self, name: &str, facts: NamespaceFacts) -> Option<Arc<str>> {
        self.change(name, |view| {
            let changed = view.facts.as_ref() != Some(&facts);
            view.facts = Some(facts);
            changed
        })
    }

    /// Forgets a Namespace.
    pub fn remove_namespace(&self, name: &str) -> Option<Arc<str>> {
        self.change(name, |view| view.facts.take().is_some())
    }

    /// Takes in the Secret of our name.
    pub fn put_secret(&self, namespace: &str, secret: SecretView) -> Option<Arc<str>> {
        self.change(namespace, |view| {
            if view
                .secret
                .as_ref()
                .is_some_and(|held| is_older(&secret.resource_version, &held.resource_version))
            {
                return false;
            }
            let same = |held: &SecretView| {
                held.fingerprint == secret.fingerprint && held.uid == secret.uid && held.ours == secret.ours
            };
            let changed = !view.secret.as_ref().is_some_and(same);
            view.secret = Some(secret);
            view.refused = None;
            changed
        })
    }

    /// Forgets the Secret, unless a newer one is held.
    pub fn remove_secret(&self, namespace: &str, resource_version: &str) -> Option<Arc<str>> {
        self.change(namespace, |view| {
            let stale = |held: &SecretView| is_older(resource_version, &held.resource_version);
            if view.secret.as_ref().is_none_or(stale) {
                return false;
            }
            view.secret = None;
            true
        })
    }

    /// Remembers why our Secret may not be made there, or that it may.
    pub fn set_refused(&self, namespace: &str, refused: Option<Failure>) {
        self.change(namespace, |view| {
            view.refused = refused;
            false
        });
    }

    /// Remembers what our Secret holds since this process wrote it.
    pub fn set_written(&self, namespace: &str, written: Fingerprint) {
        self.change(namespace, |view| {
            view.written = Some(written);
            false
        });
    }

    /// Remembers that this process serves a namespace.
    pub fn set_served(&self, namespace: &str, served: bool) {
        self.change(namespace, |view| {
            view.served = served;
            false
        });
    }

    /// Takes in a ServiceAccount.
    pub fn put_service_account(&self, namespace: &str, account: ServiceAccountView) -> Option<Arc<str>> {
        self.change(namespace, |view| match find(&view.service_accounts, &account.name) {
            Ok(at) => {
                let held = &mut view.service_accounts[at];
                if is_older(&account.resource_version, &held.resource_version) {
                    return false;
                }
                let changed = (&held.pull_secrets, &held.labels, held.skip)
                    != (&account.pull_secrets, &account.labels, account.skip);
                *held = account;
                changed
            }
            Err(at) => {
                view.service_accounts.insert(at, account);
                true
            }
        })
    }

    /// Forgets a ServiceAccount, unless a newer one of its name is held.
    pub fn remove_service_account(
        &self,
        namespace: &str,
        name: &str,
        resource_version: &str,
    ) -> Option<Arc<str>> {
        self.change(namespace, |view| {
            let Ok(at) = find(&view.service_accounts, name) else { return false };
            if is_older(resource_version, &view.service_accounts[at].resource_version) {
                return false;
            }
            view.service_accounts.remove(at);
            true
        })
    }

    /// After a list: forgets Namespaces that were not in it.
    pub fn retain_namespaces(&self, seen: &HashSet<(Box<str>, Box<str>)>) -> Vec<Arc<str>> {
        self.sweep(|view| {
            let gone = view.facts.is_some() && !seen.contains(&(Box::from(""), Box::from(&*view.name)));
            gone && view.facts.take().is_some()
        })
    }

    /// After a list: forgets Secrets that were not in it.
    pub fn retain_secrets(&self, seen: &HashSet<(Box<str>, Box<str>)>, name: &str) -> Vec<Arc<str>> {
        self.sweep(|view| {
            let gone = view.secret.is_some() && !seen.contains(&(Box::from(&*view.name), Box::from(name)));
            gone && view.secret.take().is_some()
        })
    }

    /// After a list: forgets ServiceAccounts that were not in it.
    pub fn retain_service_accounts(&self, seen: &HashSet<(Box<str>, Box<str>)>) -> Vec<Arc<str>> {
        self.sweep(|view| {
            let before = view.service_accounts.len();
            let namespace: Box<str> = Box::from(&*view.name);
            view.service_accounts.retain(|account| seen.contains(&(namespace.clone(), account.name.clone())));
            view.service_accounts.len() != before
        })
    }

    fn sweep(&self, mut gone: impl FnMut(&mut NamespaceView) -> bool) -> Vec<Arc<str>> {
        let mut namespaces = self.lock();
        let changed =
            namespaces.iter_mut().filter_map(|(name, view)| gone(view).then(|| name.clone())).collect();
        namespaces.retain(|_, view| {
            view.facts.is_some() || view.secret.is_some() || !view.service_accounts.is_empty()
        });
        changed
    }
}

fn find(accounts: &[ServiceAccountView], name: &str) -> Result<usize, usize> {
    accounts.binary_search_by(|account| account.name.as_ref().cmp(name))
}

/// Whether a resource version is older than the one held, where both are numbers.
///
/// An answer to our own write is often ahead of the watch; what the watch brings afterwards must not take the
/// view back. Kubernetes promises the order from 1.35 on, and etcd has always kept it.
pub fn is_older(new: &str, held: &str) -> bool {
    matches!((new.parse::<u64>(), held.parse::<u64>()), (Ok(new), Ok(held)) if new < held)
}

#[cfg(test)]
mod tests {
    use super::Index;
    use crate::model::Labels;
    use crate::plan::view::{NamespaceFacts, ServiceAccountView};

    fn account(name: &str, version: &str, secrets: &[&str]) -> ServiceAccountView {
        ServiceAccountView {
            name: name.into(),
            resource_version: version.into(),
            labels: Labels::default(),
            skip: false,
            pull_secrets: secrets.iter().map(|s| (*s).into()).collect(),
        }
    }

    #[test]
    fn an_event_older_than_our_own_write_is_no_news() {
        let index = Index::default();
        index.put_service_account("n", account("a", "10", &["ours"]));
        assert_eq!(index.put_service_account("n", account("a", "9", &[])), None);
        assert_eq!(index.read("n", |v| v.service_accounts[0].pull_secrets.len()), Some(1));
        assert_eq!(index.remove_service_account("n", "a", "9"), None);
        assert!(index.remove_service_account("n", "a", "11").is_some());
    }

    #[test]
    fn the_echo_of_our_own_write_wakes_nobody() {
        let index = Index::default();
        assert!(index.put_service_account("n", account("a", "10", &["ours"])).is_some());
        assert_eq!(index.put_service_account("n", account("a", "10", &["ours"])), None);
        assert_eq!(index.put_service_account("n", account("a", "12", &["ours"])), None);
    }

    #[test]
    fn a_list_drops_what_is_not_in_it() {
        let index = Index::default();
        index.put_namespace("n", NamespaceFacts::default());
        index.put_service_account("n", account("a", "1", &[]));
        index.put_service_account("n", account("b", "1", &[]));
        let seen = [("n".into(), "b".into())].into();
        assert_eq!(index.retain_service_accounts(&seen), ["n".into()]);
        assert_eq!(index.retain_service_accounts(&seen), []);
        assert_eq!(index.read("n", |v| v.service_accounts.len()), Some(1));
    }

    #[test]
    fn a_namespace_of_which_nothing_is_left_is_forgotten() {
        let index = Index::default();
        index.put_namespace("n", NamespaceFacts::default());
        index.remove_namespace("n");
        assert_eq!(index.read("n", |_| ()), None);
    }
}
