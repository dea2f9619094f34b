//! The sink that feeds the index.

use std::sync::Arc;

use kube::ResourceExt;

use super::sink::Sink;
use crate::cluster::index::Index;
use crate::cluster::listed_names::ListedNames;
use crate::cluster::objects::{WatchedNamespace, WatchedSecret, WatchedServiceAccount};
use crate::plan::change::ObjectKey;
use crate::plan::secret::Template;

/// Feeds one kind of object to the index, and reports the namespaces that changed.
pub struct IndexSink<W, L> {
    /// The index.
    pub index: Arc<Index>,
    /// Names and labels of the pull Secret.
    pub template: Arc<Template>,
    /// Called with each namespace that changed.
    pub wake: W,
    /// Called after each complete list.
    pub complete: L,
}

impl<W: FnMut(Arc<str>), L: FnMut()> Sink<WatchedNamespace> for IndexSink<W, L> {
    fn put(&mut self, object: WatchedNamespace) {
        let name = object.name_any();
        let facts = object.facts(&self.index.namespace_keys.wanted());
        self.index.put_namespace(&name, facts).into_iter().for_each(&mut self.wake);
    }

    fn remove(&mut self, object: WatchedNamespace) {
        self.index.remove_namespace(&object.name_any()).into_iter().for_each(&mut self.wake);
    }

    fn listed(&mut self, names: &ListedNames) {
        self.index.retain_namespaces(names).into_iter().for_each(&mut self.wake);
        (self.complete)();
    }
}

impl<W: FnMut(Arc<str>), L: FnMut()> Sink<WatchedServiceAccount> for IndexSink<W, L> {
    fn put(&mut self, object: WatchedServiceAccount) {
        if object.metadata.identity.deletion_timestamp.is_some() {
            return self.remove(object);
        }
        let namespace = object.namespace().unwrap_or_default();
        let account = object.view(&self.index.account_keys.wanted());
        self.index.put_service_account(&namespace, account).into_iter().for_each(&mut self.wake);
    }

    fn remove(&mut self, object: WatchedServiceAccount) {
        let (namespace, version) =
            (object.namespace().unwrap_or_default(), object.resource_version().unwrap_or_default());
        let changed = self.index.remove_service_account(&namespace, &object.name_any(), &version);
        changed.into_iter().for_each(&mut self.wake);
    }

    fn known_version(&self, object: &WatchedServiceAccount) -> Option<u64> {
        self.index.known_version(object.metadata.identity.namespace.as_deref()?, &account_key(object))
    }

    fn forget_version(&mut self, object: &WatchedServiceAccount) {
        self.index.forget_version(&object.namespace().unwrap_or_default(), &account_key(object));
    }

    fn set_back(&mut self) {
        self.index.forget_account_versions();
    }

    fn listed(&mut self, names: &ListedNames) {
        self.index.retain_service_accounts(names).into_iter().for_each(&mut self.wake);
        (self.complete)();
    }
}

impl<W: FnMut(Arc<str>), L: FnMut()> Sink<WatchedSecret> for IndexSink<W, L> {
    fn put(&mut self, object: WatchedSecret) {
        let namespace = object.namespace().unwrap_or_default();
        self.index.put_secret(&namespace, object.view(&self.template)).into_iter().for_each(&mut self.wake);
    }

    fn remove(&mut self, object: WatchedSecret) {
        let version = object.resource_version().unwrap_or_default();
        let changed = self.index.remove_secret(&object.namespace().unwrap_or_default(), &version);
        changed.into_iter().for_each(&mut self.wake);
    }

    fn known_version(&self, object: &WatchedSecret) -> Option<u64> {
        self.index.known_version(object.metadata.identity.namespace.as_deref()?, &ObjectKey::Secret)
    }

    fn forget_version(&mut self, object: &WatchedSecret) {
        self.index.forget_version(&object.namespace().unwrap_or_default(), &ObjectKey::Secret);
    }

    fn set_back(&mut self) {
        self.index.forget_secret_versions();
    }

    fn listed(&mut self, names: &ListedNames) {
        self.index.retain_secrets(names, &self.template.name).into_iter().for_each(&mut self.wake);
        (self.complete)();
    }
}

fn account_key(object: &WatchedServiceAccount) -> ObjectKey {
    ObjectKey::ServiceAccount(object.name_any().into())
}
