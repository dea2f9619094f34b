//! Where the events of a watch go, and what its errors mean.

use kube::runtime::watcher;
use tracing::warn;

use crate::cluster::error::{self, CallError, classify};
use crate::cluster::listed_names::ListedNames;

/// Receiver of the events of one kind of object.
pub trait Sink<K> {
    /// Handles an object that was added or changed.
    fn put(&mut self, object: K);
    /// Handles a deleted object.
    fn remove(&mut self, object: K);
    /// Handles an interrupted or refused watch, which is retried with back-off.
    fn interrupted(&mut self, kind: &str, error: &watcher::Error) {
        warn!(kind, error = %describe(error), "watch interrupted{}", cure(kind, error));
    }
    /// Returns the version by which an object is known, if older ones of it are ignored.
    fn known_version(&self, _object: &K) -> Option<u64> {
        None
    }
    /// Forgets that version of an object: it belongs to a history that was undone, as by a restore of etcd.
    fn forget_version(&mut self, _object: &K) {}
    /// Handles versions that were set back, as by a restore of etcd: a list of older objects follows.
    fn set_back(&mut self) {}
    /// Handles the end of a list: only these `(namespace, name)` exist.
    fn listed(&mut self, names: &ListedNames);
}

/// Classifies an error of a watch.
pub fn refused(error: &watcher::Error) -> CallError {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => classify(error),
        watcher::Error::WatchError(status) => {
            CallError::Later(format!("the API server answered {}: {}", status.code, status.message), None)
        }
        watcher::Error::NoResourceVersion => {
            CallError::Later("a list has no resourceVersion".to_owned(), None)
        }
    }
}

/// Returns the HTTP status of a refused list or watch.
pub(super) fn status(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// Returns what to do about a refused list or watch, as the end of a sentence.
fn cure(kind: &str, error: &watcher::Error) -> &'static str {
    match (status(error), kind) {
        (Some(401 | 403), "Secret") => {
            ": apply the RBAC of this version, with the name of --secret-name in it"
        }
        (Some(401 | 403), "Pod") => ": apply deploy/stuck-pods.yaml",
        (Some(401 | 403), _) => ": apply the RBAC of this version",
        (Some(404), "AcrCredentialBinding") => ": apply crds/acrcredentialbindings.yaml",
        _ => "",
    }
}

/// Returns an error in words.
pub(super) fn describe(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(e) => format!("list failed: {}", error::describe(e)),
        watcher::Error::WatchStartFailed(e) => format!("watch not started: {}", error::describe(e)),
        watcher::Error::WatchFailed(e) => format!("watch failed: {}", error::describe(e)),
        watcher::Error::WatchError(status) => format!("watch ended: {} {}", status.code, status.message),
        watcher::Error::NoResourceVersion => "the list has no resourceVersion".to_owned(),
    }
}
