//! One Secret by its name, in its present state. RBAC grants such Secrets one by one, so each has its own watch.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher;
use kube::{Api, Client};
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::error::{CallError, DEADLINE};
use super::listed_names::ListedNames;
use super::watch::{Sink, refused};

/// Observed state of the Secret.
#[derive(Clone, Debug)]
pub enum SecretState {
    /// It exists.
    Present(Arc<SecretData>),
    /// It does not exist.
    Absent,
    /// It cannot be read.
    Refused(CallError),
}

/// The values of a Secret. `Debug` shows none of them.
pub struct SecretData(BTreeMap<String, SecretString>);

impl SecretData {
    /// Returns a value, trimmed; `None` if it is absent, empty or not UTF-8.
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

/// A watch on one Secret. Dropping it ends the watch.
#[derive(Debug)]
pub struct NamedSecret {
    state: watch::Receiver<Option<SecretState>>,
    task: JoinHandle<()>,
}

impl NamedSecret {
    /// Starts the watch. `changed` is called after each observed change, including the first observation.
    pub fn watch(
        client: Client,
        namespace: &str,
        name: &str,
        changed: impl Fn(&SecretState) + Send + 'static,
    ) -> Self {
        let (sender, state) = watch::channel(None);
        let api: Api<Secret> = Api::namespaced(client, namespace);
        let config = super::watch::config().fields(&format!("metadata.name={name}"));
        let sink = NamedSecretSink { changed, sender, observed: false };
        Self { state, task: tokio::spawn(super::watch::watch(api, config, sink)) }
    }

    /// Waits for the first observation, and returns the present state.
    pub async fn now(&self) -> SecretState {
        let mut state = self.state.clone();
        let observed = tokio::time::timeout(DEADLINE, state.wait_for(Option::is_some)).await;
        let late = || CallError::Later("the API server does not answer in time".to_owned(), None);
        match observed {
            Ok(Ok(state)) => state.clone().unwrap_or_else(|| SecretState::Refused(late())),
            _ => SecretState::Refused(late()),
        }
    }
}

impl Drop for NamedSecret {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Publishes what the watch observes.
struct NamedSecretSink<F> {
    changed: F,
    sender: watch::Sender<Option<SecretState>>,
    /// Whether the Secret was observed since it was last forbidden.
    observed: bool,
}

impl<F: Fn(&SecretState)> NamedSecretSink<F> {
    fn publish(&self, state: SecretState) {
        (self.changed)(&state);
        self.sender.send_replace(Some(state));
    }
}

impl<F: Fn(&SecretState)> Sink<Secret> for NamedSecretSink<F> {
    fn put(&mut self, secret: Secret) {
        self.observed = true;
        self.publish(SecretState::Present(Arc::new(secret.into())));
    }

    fn remove(&mut self, _: Secret) {
        self.publish(SecretState::Absent);
    }

    fn listed(&mut self, names: &ListedNames) {
        self.observed = true;
        if names.is_empty() {
            self.publish(SecretState::Absent);
        }
    }

    /// Publishes a refusal of access only: an interrupted watch does not invalidate the last observation.
    fn interrupted(&mut self, _: &str, error: &watcher::Error) {
        let error = refused(error);
        self.observed &= !matches!(error, CallError::Forbidden(_));
        // The retries of a refused list must not wake the readers again and again.
        let repeated = matches!(&*self.sender.borrow(), Some(SecretState::Refused(last)) if *last == error);
        if !self.observed && !repeated {
            self.publish(SecretState::Refused(error));
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

    /// A forbidden list is retried without end; the retries must not wake a caller that waits after a failure.
    #[test]
    fn a_repeated_refusal_is_published_once() {
        let (sender, state) = watch::channel(None);
        let published = Cell::new(0);
        let mut sink = NamedSecretSink {
            changed: |_: &SecretState| published.set(published.get() + 1),
            sender,
            observed: false,
        };
        let forbidden = |message: &str| {
            let status = json!({"code": 403, "reason": "Forbidden", "message": message});
            let status: Status = serde_json::from_value(status).unwrap();
            Error::InitialListFailed(kube::Error::Api(status.boxed()))
        };
        for (message, times) in [("no", 1), ("no", 1), ("not this either", 2), ("no", 3)] {
            sink.interrupted("Secret", &forbidden(message));
            assert_eq!(published.get(), times, "{message}");
        }
        sink.put(Secret::default());
        sink.interrupted("Secret", &forbidden("no"));
        assert_eq!(published.get(), 5);
        assert!(matches!(&*state.borrow(), Some(SecretState::Refused(_))));
    }

    #[test]
    fn values_are_trimmed_text_and_not_printed() {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": "ak"},
            "data": {"accessKeyId": "TFRBSQo=", "empty": "", "space": "Cg==", "binary": "/w=="},
        }))
        .unwrap();
        let data = SecretData::from(secret);
        assert_eq!(data.get("accessKeyId").unwrap().expose_secret(), "LTAI");
        for key in ["empty", "space", "binary", "absent"] {
            assert!(data.get(key).is_none(), "{key}");
        }
        assert_eq!(format!("{data:?}"), "{\"accessKeyId\"}");
    }
}
