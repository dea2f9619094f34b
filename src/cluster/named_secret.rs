//! One Secret by its name, as it is now. RBAC grants such Secrets one by one, so each has a watch of its own.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher;
use kube::{Api, Client};
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::error::{CallError, DEADLINE};
use super::watch::{Sink, refused};

/// What is known of the Secret.
#[derive(Clone, Debug)]
pub enum SecretState {
    /// It stands.
    Present(Arc<SecretData>),
    /// It does not exist.
    Absent,
    /// It cannot be read.
    Refused(CallError),
}

/// The values of a Secret. None shows in `Debug`.
pub struct SecretData(BTreeMap<String, SecretString>);

impl SecretData {
    /// A value, trimmed; `None` where it is absent, empty or no text.
    pub fn get(&self, key: &str) -> Option<&SecretString> {
        self.0.get(key)
    }
}

impl From<Secret> for SecretData {
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

impl fmt::Debug for SecretData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A watch on one Secret. It ends when this is dropped.
#[derive(Debug)]
pub struct NamedSecret {
    seen: watch::Receiver<Option<SecretState>>,
    task: JoinHandle<()>,
}

impl NamedSecret {
    /// Begins to watch. `changed` is called after each change that was seen, the first look included.
    pub fn watch(
        client: Client,
        (namespace, name): (&str, &str),
        changed: impl Fn(&SecretState) + Send + 'static,
    ) -> Self {
        let (sender, seen) = watch::channel(None);
        let api: Api<Secret> = Api::namespaced(client, namespace);
        let config = super::watch::config().fields(&format!("metadata.name={name}"));
        let sink = NamedSecretSink { changed, sender, known: false };
        Self { seen, task: tokio::spawn(super::watch::watch(api, config, sink)) }
    }

    /// What is known, once something is.
    pub async fn now(&self) -> SecretState {
        let mut seen = self.seen.clone();
        let known = tokio::time::timeout(DEADLINE, seen.wait_for(Option::is_some)).await;
        let late = || CallError::Later("the API server does not answer in time".to_owned(), None);
        match known {
            Ok(Ok(known)) => known.clone().unwrap_or_else(|| SecretState::Refused(late())),
            _ => SecretState::Refused(late()),
        }
    }
}

impl Drop for NamedSecret {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes on what the watch brings.
struct NamedSecretSink<F> {
    changed: F,
    sender: watch::Sender<Option<SecretState>>,
    /// Whether the Secret could be looked at, and nothing has forbidden that since.
    known: bool,
}

impl<F: Fn(&SecretState)> NamedSecretSink<F> {
    fn tell(&self, now: SecretState) {
        (self.changed)(&now);
        self.sender.send_replace(Some(now));
    }
}

impl<F: Fn(&SecretState)> Sink<Secret> for NamedSecretSink<F> {
    fn put(&mut self, secret: Secret) {
        self.known = true;
        self.tell(SecretState::Present(Arc::new(secret.into())));
    }

    fn remove(&mut self, _: Secret) {
        self.tell(SecretState::Absent);
    }

    fn listed(&mut self, seen: &HashSet<(Box<str>, Box<str>)>) {
        self.known = true;
        if seen.is_empty() {
            self.tell(SecretState::Absent);
        }
    }

    /// A watch that breaks says nothing of what it showed; one that is not granted does.
    fn interrupted(&mut self, _: &str, error: &watcher::Error) {
        let error = refused(error);
        self.known &= !matches!(error, CallError::Forbidden(_));
        // What is asked again and again in vain is told once: it is news to nobody.
        let told = matches!(&*self.sender.borrow(), Some(SecretState::Refused(told)) if *told == error);
        if !self.known && !told {
            self.tell(SecretState::Refused(error));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use k8s_openapi::api::core::v1::Secret;
    use kube::core::Status;
    use kube::runtime::watcher::Error;
    use secrecy::ExposeSecret;
    use serde_json::json;
    use tokio::sync::watch;

    use super::{NamedSecretSink, SecretData, SecretState, Sink};

    /// A list that is forbidden is tried for ever; whoever waits after a failure must not be woken by that.
    #[test]
    fn a_refusal_that_is_repeated_is_told_once() {
        let (sender, seen) = watch::channel(None);
        let told = Cell::new(0);
        let mut sink =
            NamedSecretSink { changed: |_: &SecretState| told.set(told.get() + 1), sender, known: false };
        let forbidden = |message: &str| {
            let status = json!({"code": 403, "reason": "Forbidden", "message": message});
            let status: Status = serde_json::from_value(status).unwrap();
            Error::InitialListFailed(kube::Error::Api(status.boxed()))
        };
        for (message, times) in [("no", 1), ("no", 1), ("not this either", 2), ("no", 3)] {
            sink.interrupted("Secret", &forbidden(message));
            assert_eq!(told.get(), times, "{message}");
        }
        sink.put(Secret::default());
        sink.interrupted("Secret", &forbidden("no"));
        assert_eq!(told.get(), 5);
        assert!(matches!(&*seen.borrow(), Some(SecretState::Refused(_))));
    }

    #[test]
    fn values_are_texts_without_the_blanks_around_them_and_none_is_printed() {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": "ak"},
            "data": {"accessKeyId": "TFRBSQo=", "empty": "", "blank": "Cg==", "binary": "/w=="},
        }))
        .unwrap();
        let data = SecretData::from(secret);
        assert_eq!(data.get("accessKeyId").unwrap().expose_secret(), "LTAI");
        for key in ["empty", "blank", "binary", "absent"] {
            assert!(data.get(key).is_none(), "{key}");
        }
        assert_eq!(format!("{data:?}"), "{\"accessKeyId\"}");
    }
}
