//! Watches that feed the index.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::pin_mut;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tracing::{debug, warn};

use super::error::{CallError, classify};
use super::index::Index;
use super::objects::{WatchedNamespace, WatchedSecret, WatchedServiceAccount};
use crate::plan::refresh::backoff;
use crate::plan::secret::Template;

/// Seconds after which a watch is opened again. A watch that is open but frozen misses events for that long at most.
const WATCH_SECONDS: u32 = 120;

/// Objects of one list call. A page is the largest response in memory.
const PAGE: u32 = 250;

/// Shortest time from a failed list, or a refused watch, to the next list.
const MIN_BACKOFF: Duration = Duration::from_secs(1);

/// Longest such time, after repeated failures.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

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
    /// Handles the end of a list: only these `(namespace, name)` exist.
    fn listed(&mut self, names: &HashSet<(Box<str>, Box<str>)>);
}

/// Returns the usual configuration of a watch.
pub fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE)
}

/// Watches until it is dropped. After an error it retries with back-off, and lists again where that is needed.
pub async fn watch<K>(api: Api<K>, config: watcher::Config, mut sink: impl Sink<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let kind = K::kind(&()).into_owned();
    let mut failures = 0_u32;
    loop {
        let begun = Instant::now();
        let events = watcher(api.clone(), config.clone()).default_backoff();
        pin_mut!(events);
        let mut listed = HashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed = HashSet::new(),
                Ok(Event::InitApply(object)) => {
                    listed.insert((object.namespace().unwrap_or_default().into(), object.name_any().into()));
                    sink.put(object);
                }
                Ok(Event::InitDone) => {
                    debug!(kind, objects = listed.len(), "objects listed");
                    sink.listed(&std::mem::take(&mut listed));
                }
                Ok(Event::Apply(object)) => sink.put(object),
                Ok(Event::Delete(object)) => sink.remove(object),
                Err(error) => {
                    sink.interrupted(&kind, &error);
                    if requires_list(&error) {
                        break;
                    }
                }
            }
        }
        failures = if begun.elapsed() > MAX_BACKOFF { 1 } else { failures.saturating_add(1) };
        tokio::time::sleep(backoff(failures, MIN_BACKOFF, MAX_BACKOFF, &kind)).await;
    }
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

/// Returns whether an error requires a new list. After missing RBAC is granted, a resumed watch is silent, and
/// earlier observations would never be confirmed. After a failed list, kube's own back-off never grows, because it
/// takes the start of the next list for a success.
fn requires_list(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(_)) || matches!(status(error), Some(401 | 403))
}

/// Returns the HTTP status of a refused list or watch.
fn status(error: &watcher::Error) -> Option<u16> {
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

fn describe(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(e) => format!("list failed: {}", super::error::describe(e)),
        watcher::Error::WatchStartFailed(e) => format!("watch not started: {}", super::error::describe(e)),
        watcher::Error::WatchFailed(e) => format!("watch failed: {}", super::error::describe(e)),
        watcher::Error::WatchError(status) => format!("watch ended: {} {}", status.code, status.message),
        watcher::Error::NoResourceVersion => "the list has no resourceVersion".to_owned(),
    }
}

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
        self.index.put_namespace(&name, object.facts()).into_iter().for_each(&mut self.wake);
    }

    fn remove(&mut self, object: WatchedNamespace) {
        self.index.remove_namespace(&object.name_any()).into_iter().for_each(&mut self.wake);
    }

    fn listed(&mut self, names: &HashSet<(Box<str>, Box<str>)>) {
        self.index.retain_namespaces(names).into_iter().for_each(&mut self.wake);
        (self.complete)();
    }
}

impl<W: FnMut(Arc<str>), L: FnMut()> Sink<WatchedServiceAccount> for IndexSink<W, L> {
    fn put(&mut self, object: WatchedServiceAccount) {
        if object.metadata.deletion_timestamp.is_some() {
            return self.remove(object);
        }
        let namespace = object.namespace().unwrap_or_default();
        self.index.put_service_account(&namespace, object.view()).into_iter().for_each(&mut self.wake);
    }

    fn remove(&mut self, object: WatchedServiceAccount) {
        let (namespace, version) =
            (object.namespace().unwrap_or_default(), object.resource_version().unwrap_or_default());
        let changed = self.index.remove_service_account(&namespace, &object.name_any(), &version);
        changed.into_iter().for_each(&mut self.wake);
    }

    fn listed(&mut self, names: &HashSet<(Box<str>, Box<str>)>) {
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

    fn listed(&mut self, names: &HashSet<(Box<str>, Box<str>)>) {
        self.index.retain_secrets(names, &self.template.name).into_iter().for_each(&mut self.wake);
        (self.complete)();
    }
}
