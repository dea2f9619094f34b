//! The status as it changes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};

use super::report::{BindingReport, BindingsReport, NamespaceFilter};
use super::{StatusError, not_found};
use crate::api::binding::AcrCredentialBinding;

/// How often bindings that do not change are reported once more.
const AGED_EVERY: Duration = Duration::from_secs(5);

/// What was heard.
pub enum Followed<'a> {
    /// The bindings, at first and after each change of what is reported.
    Changed(&'a BindingsReport),
    /// The same bindings once more: time has passed, and what is left of it may be shown.
    Aged(&'a BindingsReport),
    /// The watch was interrupted, and is opened again.
    Interrupted(String),
}

/// Reason why nothing more is heard.
#[derive(Debug, thiserror::Error)]
pub enum WatchFailure {
    /// The bindings cannot be read.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The API server refuses the watch.
    #[error(
        "the bindings cannot be watched: {0}; ask for the right to list and watch acrcredentialbindings.acrcredential.dev"
    )]
    Refused(String),
}

/// Follows one binding, or all, until `heard` breaks with a result.
///
/// # Errors
/// [`WatchFailure`]
pub async fn follow<T>(
    client: &Client,
    name: Option<&str>,
    filter: &NamespaceFilter,
    mut heard: impl FnMut(Followed<'_>) -> ControlFlow<T>,
) -> Result<T, WatchFailure> {
    let api: Api<AcrCredentialBinding> = Api::all(client.clone());
    let mut config = watcher::Config::default();
    if let Some(name) = name {
        config = config.fields(&format!("metadata.name={name}"));
    }
    let mut events = watcher(api.clone(), config).default_backoff().boxed();
    let (mut listing, mut known) = (BTreeMap::new(), BTreeMap::new());
    let mut last: Option<BindingsReport> = None;
    let keyed = |binding: AcrCredentialBinding| {
        let report = BindingReport::new(&binding, filter);
        (report.name.clone(), report)
    };
    loop {
        let event = match (tokio::time::timeout(AGED_EVERY, events.next()).await, &last) {
            (Ok(Some(event)), _) => event,
            (Ok(None), _) => return Err(WatchFailure::Refused("the watch ended".to_owned())),
            (Err(_), Some(report)) => match heard(Followed::Aged(report)) {
                ControlFlow::Break(result) => return Ok(result),
                ControlFlow::Continue(()) => continue,
            },
            (Err(_), None) => continue,
        };
        let is_complete = match event {
            Ok(watcher::Event::Init) => {
                listing.clear();
                false
            }
            Ok(watcher::Event::InitApply(binding)) => {
                listing.extend([keyed(binding)]);
                false
            }
            Ok(watcher::Event::InitDone) => {
                known = std::mem::take(&mut listing);
                true
            }
            Ok(watcher::Event::Apply(binding)) => {
                known.extend([keyed(binding)]);
                true
            }
            Ok(watcher::Event::Delete(binding)) => {
                known.remove(&keyed(binding).0);
                true
            }
            Err(error) => {
                let why = cause(&error);
                match refusal(&error) {
                    Some(404) => return Err(StatusError::NotServed.into()),
                    Some(_) => return Err(WatchFailure::Refused(why)),
                    None => match heard(Followed::Interrupted(why)) {
                        ControlFlow::Break(result) => return Ok(result),
                        ControlFlow::Continue(()) => false,
                    },
                }
            }
        };
        if !is_complete {
            continue;
        }
        if let Some(name) = name.filter(|_| known.is_empty()) {
            return Err(not_found(&api, name).await.into());
        }
        let report = BindingsReport { bindings: known.values().cloned().collect() };
        if last.as_ref() != Some(&report) {
            if let ControlFlow::Break(result) = heard(Followed::Changed(&report)) {
                return Ok(result);
            }
            last = Some(report);
        }
    }
}

/// Returns the HTTP code of a refusal that does not go by itself.
fn refusal(error: &watcher::Error) -> Option<u16> {
    let code = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status.code,
        watcher::Error::WatchError(status) => status.code,
        _ => return None,
    };
    matches!(code, 401 | 403 | 404).then_some(code)
}

/// Returns the innermost cause.
fn cause(error: &watcher::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
