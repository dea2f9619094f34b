//! One Secret by its name, as it is now. RBAC grants such Secrets one by one, so each has a watch of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::error::{CallError, DEADLINE, classify};

/// What is known of the Secret.
#[derive(Clone, Debug)]
pub enum Seen {
    /// It stands.
    Present(Arc<Data>),
    /// It does not exist.
    Absent,
    /// It cannot be read.
    Refused(CallError),
}

/// The values of a Secret. None shows in `Debug`.
pub struct Data(BTreeMap<String, SecretString>);

impl Data {
    /// A value, trimmed; `None` where it is absent, empty or no text.
    pub fn get(&self, key: &str) -> Option<&SecretString> {
        self.0.get(key)
    }
}

impl From<Secret> for Data {
    fn from(secret: Secret) -> Self {
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).ok()?;
            let text = text.trim();
            (!text.is_empty()).then(|| SecretString::from(text))
        };
        let values = secret.data.unwrap_or_default().into_iter();
        Self(values.filter_map(|(key, value)| Some((key, text(value.0)?))).collect())
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A watch on one Secret. It ends when this is dropped.
#[derive(Debug)]
pub struct NamedSecret {
    seen: watch::Receiver<Option<Seen>>,
    task: JoinHandle<()>,
}

impl NamedSecret {
    /// Begins to watch. `changed` is called after each change that was seen, the first look included.
    pub fn watch(
        client: Client,
        (namespace, name): (&str, &str),
        changed: impl Fn(&Seen) + Send + 'static,
    ) -> Self {
        let (sender, seen) = watch::channel(None);
        let api: Api<Secret> = Api::namespaced(client, namespace);
        let config = super::watch::config().fields(&format!("metadata.name={name}"));
        let told = move |now: Seen| {
            changed(&now);
            sender.send_replace(Some(now));
        };
        Self { seen, task: tokio::spawn(follow(api, config, told)) }
    }

    /// What is known, once something is.
    pub async fn now(&self) -> Seen {
        let mut seen = self.seen.clone();
        let known = tokio::time::timeout(DEADLINE, seen.wait_for(Option::is_some)).await;
        let late = || CallError::Later("the API server does not answer in time".to_owned(), None);
        match known {
            Ok(Ok(known)) => known.clone().unwrap_or_else(|| Seen::Refused(late())),
            _ => Seen::Refused(late()),
        }
    }
}

impl Drop for NamedSecret {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(api: Api<Secret>, config: watcher::Config, told: impl Fn(Seen)) {
    let events = watcher(api, config).default_backoff();
    pin_mut!(events);
    let mut listed = None;
    let mut known = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed = None,
            Ok(Event::InitApply(secret)) => listed = Some(secret),
            Ok(Event::InitDone) => {
                known = true;
                told(listed.take().map_or(Seen::Absent, present));
            }
            Ok(Event::Apply(secret)) => told(present(secret)),
            Ok(Event::Delete(_)) => told(Seen::Absent),
            Err(error) => match refused(&error) {
                // A watch that breaks says nothing of what it showed; one that was never granted does.
                error @ CallError::Forbidden(_) => {
                    known = false;
                    told(Seen::Refused(error));
                }
                error if !known => told(Seen::Refused(error)),
                _ => {}
            },
        }
    }
}

fn present(secret: Secret) -> Seen {
    Seen::Present(Arc::new(secret.into()))
}

fn refused(error: &watcher::Error) -> CallError {
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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::Data;

    #[test]
    fn values_are_texts_without_the_blanks_around_them_and_none_is_printed() {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": "ak"},
            "data": {"accessKeyId": "TFRBSQo=", "empty": "", "blank": "Cg==", "binary": "/w=="},
        }))
        .unwrap();
        let data = Data::from(secret);
        assert_eq!(data.get("accessKeyId").unwrap().expose_secret(), "LTAI");
        for key in ["empty", "blank", "binary", "absent"] {
            assert!(data.get(key).is_none(), "{key}");
        }
        assert_eq!(format!("{data:?}"), "{\"accessKeyId\"}");
    }
}
