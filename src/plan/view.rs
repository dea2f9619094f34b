//! What is known of one namespace: a few words an object, never the object.

use std::sync::Arc;

use super::failure::Failure;
use super::secret::{Fingerprint, Listing};
use crate::model::Labels;

/// One namespace as the index keeps it.
#[derive(Clone, Debug)]
pub struct NamespaceView {
    /// Its name.
    pub name: Arc<str>,
    /// The Namespace object; absent while only objects inside it were seen.
    pub facts: Option<NamespaceFacts>,
    /// The Secret of our name, whoever made it.
    pub secret: Option<SecretView>,
    /// Its ServiceAccounts, sorted by name.
    pub service_accounts: Vec<ServiceAccountView>,
    /// Why the API server refused to let our Secret be made, the last time it was tried.
    pub refused: Option<Failure>,
    /// What our Secret held when this process wrote it last.
    pub written: Option<Fingerprint>,
    /// Whether this process served it: an entry of our name is ours then, even with no Secret beside it.
    pub served: bool,
}

impl NamespaceView {
    /// A namespace of which nothing is known yet.
    pub fn new(name: Arc<str>) -> Self {
        Self {
            name,
            facts: None,
            secret: None,
            service_accounts: Vec::new(),
            refused: None,
            written: None,
            served: false,
        }
    }
}

/// What matters of a Namespace object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its labels.
    pub labels: Labels,
    /// Whether it opts out.
    pub skip: bool,
    /// Whether it is being deleted: nothing can be created in it, and all will go.
    pub terminating: bool,
}

impl NamespaceFacts {
    /// Whether it may be covered: it neither opts out nor goes.
    pub fn is_open(&self) -> bool {
        !self.skip && !self.terminating
    }
}

/// What matters of the Secret of our name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretView {
    /// Tells a re-created Secret from the one that was there.
    pub uid: Box<str>,
    /// The precondition of the next write.
    pub resource_version: Box<str>,
    /// Whether it carries our label or our annotation.
    pub ours: bool,
    /// Whether a binding with `deletionPolicy: Retain` left it behind.
    pub retained: bool,
    /// Its type, where that is not the one we need.
    pub foreign_type: Option<Box<str>>,
    /// Keys of its data beside ours.
    pub extra_keys: Box<[Box<str>]>,
    /// What it lists.
    pub listing: Listing,
    /// What we would compare of its content.
    pub fingerprint: Fingerprint,
}

/// What matters of a ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountView {
    /// Its name.
    pub name: Box<str>,
    /// The precondition of the next write.
    pub resource_version: Box<str>,
    /// Its labels.
    pub labels: Labels,
    /// Whether it opts out.
    pub skip: bool,
    /// Names in its `imagePullSecrets`, in their order.
    pub pull_secrets: Box<[Box<str>]>,
}
