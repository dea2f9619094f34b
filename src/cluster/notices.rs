//! Gives notices as Events on the objects that they are about, and reads the hosts in another owner's Secret for them.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::api::ListParams;
use kube::runtime::events::{Event, EventType};
use kube::{Api, Client, Resource};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::{CallError, call};
use super::events::Events;
use super::objects::{WatchedNamespace, WatchedSecret, WatchedServiceAccount};
use crate::api::names;
use crate::plan::adoption::ForeignHosts;
use crate::plan::change::ObjectKey;
use crate::plan::notice::{Notice, NoticeReason, NoticeSubject};

/// Gives notices.
#[derive(Clone)]
pub struct Notifier {
    client: Client,
    events: Events,
    secret_name: Box<str>,
}

impl Notifier {
    /// Creates a notifier over a connection, for pull Secrets of this name.
    pub fn new(client: Client, secret_name: &str) -> Self {
        Self { events: Events::new(client.clone()), client, secret_name: secret_name.into() }
    }

    /// Publishes a notice as an Event on its object, if that exists, and on these bindings, where those of many namespaces
    /// are one series. A failure is logged only.
    pub async fn give(&self, namespace: &str, notice: &Notice, bindings: &[ObjectReference]) {
        let event = || Event {
            type_: EventType::Warning,
            reason: notice.reason.event().as_str().to_owned(),
            note: Some(notice.message.clone()),
            action: match notice.reason {
                NoticeReason::LeftoverRemoved => "Withdraw",
                NoticeReason::ContentReplaced => "Adopt",
                NoticeReason::SecretReplaced => "Replace",
                NoticeReason::SkipNotUnderstood => "Serve",
            }
            .to_owned(),
            secondary: None,
        };
        let subject = self.subject(namespace, &notice.subject).await.ok().flatten();
        if let Some(about) = &subject {
            // Without memory: another value or another host gives another note.
            Events::new(self.client.clone()).publish(about, event()).await;
        }
        for about in bindings {
            self.events.publish(about, event()).await;
        }
    }

    /// Returns a reference with the UID, by which `kubectl describe` finds the Event.
    async fn subject(
        &self,
        namespace: &str,
        subject: &NoticeSubject,
    ) -> Result<Option<ObjectReference>, CallError> {
        match subject {
            NoticeSubject::Namespace => {
                // The controller may list Namespaces, but not get one.
                let named = ListParams::default().fields(&format!("metadata.name={namespace}"));
                let found = call(Api::<WatchedNamespace>::all(self.client.clone()).list(&named)).await?;
                Ok(found.items.first().map(|object| object.object_ref(&())))
            }
            NoticeSubject::Object(ObjectKey::Secret) => {
                self.reference::<WatchedSecret>(namespace, &self.secret_name).await
            }
            NoticeSubject::Object(ObjectKey::ServiceAccount(name)) => {
                self.reference::<WatchedServiceAccount>(namespace, name).await
            }
        }
    }

    async fn reference<K>(&self, namespace: &str, name: &str) -> Result<Option<ObjectReference>, CallError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + fmt::Debug + DeserializeOwned,
    {
        let found = call(Api::<K>::namespaced(self.client.clone(), namespace).get_opt(name)).await?;
        Ok(found.map(|object| object.object_ref(&())))
    }

    /// Reads the registry hosts in the Secret of a namespace, for the version of it that is known.
    pub async fn foreign_hosts(&self, namespace: &str, version: &str) -> ForeignHosts {
        foreign_hosts(&self.client, namespace, &self.secret_name, version).await
    }
}

/// Reads the registry hosts in a Secret, for the version of it that is known. No credential is kept.
pub async fn foreign_hosts(client: &Client, namespace: &str, secret: &str, version: &str) -> ForeignHosts {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = call(secrets.get_opt(secret)).await.ok().flatten();
    ForeignHosts::of(version, found.and_then(|secret| registries(&secret)))
}

/// Returns the keys of `auths`; `None` where the content is not a Docker configuration.
fn registries(secret: &Secret) -> Option<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Registries {
        #[serde(default)]
        auths: BTreeMap<String, IgnoredAny>,
    }
    let data = secret.data.as_ref()?.get(names::SECRET_KEY)?;
    let config: Registries = serde_json::from_slice(&data.0).ok()?;
    Some(config.auths.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::registries;

    #[test]
    fn the_hosts_of_a_docker_configuration_are_read_and_nothing_else() {
        for (text, expected) in [
            (r#"{"auths":{"quay.io":{"auth":"c2VjcmV0"},"a:5":{}}}"#, Some(vec!["a:5", "quay.io"])),
            ("{}", Some(vec![])),
            ("no json", None),
            (r#"{"auths":[]}"#, None),
        ] {
            let object = json!({ "data": { ".dockerconfigjson": k8s_openapi::ByteString(text.into()) } });
            let secret: Secret = serde_json::from_value(object).unwrap();
            let expected = expected.map(|hosts| hosts.into_iter().map(str::to_owned).collect());
            assert_eq!(registries(&secret), expected, "{text}");
        }
        assert_eq!(registries(&Secret::default()), None);
    }
}
