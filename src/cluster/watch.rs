//! Watches: a list, then the events after it, again and again.
//!
//! # Guarantees
//! - A list is one consistent state of the cluster. One that is older than what was seen before is reported to the sink.
//! - An object that is older than it is known is believed once it shows that the known one was undone.
//! - A response is read up to 4 MiB, and objects are decoded one by one.
//! - A request without an answer, and a watch that is silent for longer than the API server keeps one open, end.

mod event;
mod index_sink;
mod page;
mod receiver;
mod sink;
mod source;

use std::time::{Duration, Instant};

use kube::core::Status;
use kube::runtime::watcher;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tracing::{debug, warn};

use self::event::WatchedEvent;
pub use self::index_sink::IndexSink;
use self::receiver::Receiver;
use self::sink::status;
pub use self::sink::{Sink, refused};
pub use self::source::WatchConfig;
use self::source::{WatchLine, WatchLines, WatchSource};
use super::index::is_older;
use super::listed_names::ListedNames;
use crate::plan::refresh::backoff;

/// Shortest time from a failed list, or a refused watch, to the next request.
const MIN_BACKOFF: Duration = Duration::from_secs(1);

/// Longest such time, after repeated failures.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Returns the configuration of a watch on all objects.
pub fn config() -> WatchConfig {
    WatchConfig::default()
}

/// Watches until it is dropped. After an error it retries with back-off, and lists again where that is needed.
pub async fn watch<K>(api: Api<K>, config: WatchConfig, sink: impl Sink<K>)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Send + 'static,
{
    let kind = K::kind(&()).into_owned();
    let source = WatchSource::new(api, &config);
    let mut retries = Retries { failures: 0, kind: &kind };
    let mut receiver = Receiver::new(sink);
    let mut last: Option<String> = None;
    loop {
        let version = match list(&source, &mut receiver).await {
            Ok(version) => version,
            Err(error) => {
                receiver.sink.interrupted(&kind, &error);
                retries.pause().await;
                continue;
            }
        };
        if last.take().is_some_and(|last| is_older(&version, &last)) {
            warn!(kind, "versions were set back, as by a restore of etcd; everything is listed again");
            receiver.sink.set_back();
            continue;
        }
        last = Some(follow(&source, version, &mut receiver, &mut retries).await);
        retries.pause().await;
    }
}

/// Lists once, by the configuration's selectors, and hands over each object.
///
/// # Errors
/// The list failed; some objects may have been handed over.
pub async fn list_once<K>(api: Api<K>, config: WatchConfig, put: impl FnMut(K)) -> Result<(), watcher::Error>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Send + 'static,
{
    WatchSource::new(api, &config).list(put).await.map(drop)
}

/// Hands over a complete list, and returns its version.
async fn list<K>(
    source: &WatchSource,
    receiver: &mut Receiver<K, impl Sink<K>>,
) -> Result<String, watcher::Error>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Send + 'static,
{
    receiver.begin_list();
    let mut listed = ListedNames::default();
    let put = |object: K| {
        let meta = object.meta();
        listed.add(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        receiver.list(object);
    };
    let version = source.list(put).await?;
    debug!(kind = &*K::kind(&()), objects = listed.len(), "objects listed");
    receiver.end_list(&listed, &version);
    Ok(version)
}

/// Follows the events after a version, until a new list is needed. Returns the last version.
async fn follow<K>(
    source: &WatchSource,
    mut version: String,
    receiver: &mut Receiver<K, impl Sink<K>>,
    retries: &mut Retries<'_>,
) -> String
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Send + 'static,
{
    // The API server accepts a version of the future, as it is after a restore of etcd. It is silent then, and need not
    // send a bookmark. So a watch that failed or was silent is not resumed before the version is known to be of the past.
    let mut is_of_the_past = true;
    loop {
        let begun = Instant::now();
        let current = if is_of_the_past { Ok(None) } else { source.version().await.map(Some) };
        let mut heard = false;
        let result = match current {
            Ok(Some(current)) if is_older(&current, &version) => return version,
            Ok(_) => match source.watch(&version).await {
                Ok(mut lines) => {
                    let mut hear = || (heard, retries.failures) = (true, 0);
                    deliver(&mut lines, &mut version, receiver, &mut hear).await
                }
                Err(error) => Err(watcher::Error::WatchStartFailed(error)),
            },
            Err(error) => Err(error),
        };
        is_of_the_past = result.is_ok() && heard;
        match result {
            // The API server ends each watch after a while. What ends each at once must not be asked all the time.
            Ok(()) if begun.elapsed() > MIN_BACKOFF => {}
            Ok(()) => retries.pause().await,
            Err(error) => {
                receiver.sink.interrupted(retries.kind, &error);
                if requires_list(&error) {
                    return version;
                }
                retries.pause().await;
            }
        }
    }
}

/// Delivers the events of one watch until it ends, and moves the version along. `heard` is called for each.
async fn deliver<K>(
    lines: &mut WatchLines,
    version: &mut String,
    receiver: &mut Receiver<K, impl Sink<K>>,
    mut heard: impl FnMut(),
) -> Result<(), watcher::Error>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Send + 'static,
{
    loop {
        let event = match lines.next().await.map_err(watcher::Error::WatchFailed)? {
            WatchLine::End => return Ok(()),
            WatchLine::Whole(line) => event::decode::<K>(line),
            WatchLine::TooLong(beginning) => match event::stub::<K>(beginning) {
                Some(object) => {
                    event::warn_of_size(&object);
                    Ok(WatchedEvent::Removed(object))
                }
                None => return Err(watcher::Error::WatchFailed(source::too_large())),
            },
        };
        if event.is_ok() {
            heard();
        }
        let object_version = |object: &K| object.resource_version().filter(|version| !version.is_empty());
        match event {
            Ok(WatchedEvent::Put(object)) => {
                *version = object_version(&object).ok_or(watcher::Error::NoResourceVersion)?;
                receiver.put(object);
            }
            Ok(WatchedEvent::Removed(object)) => {
                *version = object_version(&object).ok_or(watcher::Error::NoResourceVersion)?;
                receiver.remove(object);
            }
            // The API server accepts a version of the future, and is silent about all before it.
            Ok(WatchedEvent::Bookmark(bookmark)) if is_older(&bookmark, version) => {
                let status = Status::failure("the versions of the cluster were set back", "Expired");
                return Err(watcher::Error::WatchError(status.with_code(410).boxed()));
            }
            Ok(WatchedEvent::Bookmark(bookmark)) => {
                receiver.heard_until(&bookmark);
                *version = bookmark;
            }
            Ok(WatchedEvent::Failed(status)) => return Err(watcher::Error::WatchError(status)),
            // One object that cannot be decoded must not end the watch for all others.
            Err(error) => {
                let error = watcher::Error::WatchFailed(kube::Error::SerdeError(error));
                receiver.sink.interrupted(&K::kind(&()), &error);
            }
        }
    }
}

/// Failures in a row.
struct Retries<'a> {
    failures: u32,
    kind: &'a str,
}

impl Retries<'_> {
    async fn pause(&mut self) {
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(backoff(self.failures, MIN_BACKOFF, MAX_BACKOFF, self.kind)).await;
    }
}

/// Returns whether an error requires a new list: the version is too old, or cannot be known. After missing RBAC is
/// granted, a resumed watch is silent, and earlier observations would never be confirmed.
fn requires_list(error: &watcher::Error) -> bool {
    let too_large = matches!(error, watcher::Error::WatchFailed(error) if source::is_too_large(error));
    too_large
        || matches!(error, watcher::Error::NoResourceVersion)
        || matches!(status(error), Some(401 | 403 | 410))
}

#[cfg(test)]
mod tests;
