//! The objects of one namespace that decisions need: a few words an object, never the object.

use std::sync::Arc;

use super::secret::{Fingerprint, Listing};
use crate::model::Labels;

/// The objects of one namespace.
#[derive(Clone, Debug)]
pub struct NamespaceView {
    /// Its name.
    pub name: Arc<str>,
    /// The Namespace object; `None` while only objects inside it were seen.
    pub facts: Option<NamespaceFacts>,
    /// The Secret of our name, including one of another creator.
    pub secret: Option<SecretView>,
    /// Its ServiceAccounts, sorted by name.
    pub service_accounts: Vec<ServiceAccountView>,
}

impl NamespaceView {
    /// Returns a namespace in which no object was seen yet.
    pub fn new(name: Arc<str>) -> Self {
        Self { name, facts: None, secret: None, service_accounts: Vec::new() }
    }

    /// Returns whether no object of it exists.
    pub fn is_empty(&self) -> bool {
        self.facts.is_none() && self.secret.is_none() && self.service_accounts.is_empty()
    }
}

/// The part of a Namespace object that decisions need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its labels of the keys that some binding selects.
    pub labels: Labels,
    /// Whether it opts out.
    pub skip: bool,
    /// The start of a value of `skip` that is not a boolean.
    pub unclear_skip: Option<Box<str>>,
    /// Whether it is being deleted: nothing can be created in it, and everything in it is deleted.
    pub terminating: bool,
    /// The version of the object, if it is a number. It decides nothing.
    pub version: Option<u64>,
}

impl NamespaceFacts {
    /// Returns whether it may be covered: it neither opts out nor is being deleted.
    pub fn is_open(&self) -> bool {
        !self.skip && !self.terminating
    }

    /// Returns whether a later observation changes what decisions need.
    pub fn differs_from(&self, later: &Self) -> bool {
        let decisive = |facts: &Self| (facts.skip, facts.terminating);
        decisive(self) != decisive(later)
            || (&self.labels, &self.unclear_skip) != (&later.labels, &later.unclear_skip)
    }
}

/// The part of the Secret of our name that decisions need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretView {
    /// Distinguishes a Secret that was created again from the one before.
    pub uid: Box<str>,
    /// The precondition of the next write.
    pub resource_version: Box<str>,
    /// Whether it carries our label or our annotation.
    pub ours: bool,
    /// The writer of this very object, as far as it shows that by itself.
    pub provenance: Provenance,
    /// Whether a binding with `deletionPolicy: Retain` left it behind.
    pub retained: bool,
    /// Its type, if that is not the one we need.
    pub foreign_type: Option<Box<str>>,
    /// Whether its data can never be changed.
    pub immutable: bool,
    /// Keys of its data besides ours.
    pub extra_keys: Box<[Box<str>]>,
    /// Its list of registries.
    pub listing: Listing,
    /// The fingerprint of its content.
    pub fingerprint: Fingerprint,
}

/// The writer of a Secret that looks like ours. Labels and annotations are copied along when a user copies a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// This controller wrote it for this namespace.
    Here,
    /// It does not show that. A restored backup, or a copy from a time before the mark.
    Unknown,
    /// Its mark names another namespace: it is a copy.
    Elsewhere,
}

impl Provenance {
    /// Returns the provenance of a Secret in a namespace, by the namespace that its mark names and by whether the API
    /// server recorded a write of this controller.
    ///
    /// The mark alone proves nothing: `sed s/namespace: a/namespace: b/` rewrites it too. The record of writers is not
    /// copied along.
    pub fn of(namespace: &str, mark: Option<&str>, written_by_us: bool) -> Self {
        match mark {
            Some(mark) if mark != namespace => Self::Elsewhere,
            Some(_) | None if written_by_us => Self::Here,
            Some(_) | None => Self::Unknown,
        }
    }
}

/// The part of a ServiceAccount that decisions need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountView {
    /// Its name, which many have in common.
    pub name: Arc<str>,
    /// The precondition of the next write.
    pub resource_version: Box<str>,
    /// Its labels of the keys that some binding selects.
    pub labels: Labels,
    /// Whether it opts out.
    pub skip: bool,
    /// The start of a value of `skip` that is not a boolean.
    pub unclear_skip: Option<Box<str>>,
    /// Names in its `imagePullSecrets`, in their order. Many have the same list.
    pub pull_secrets: Arc<[Box<str>]>,
}
