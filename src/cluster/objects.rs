//! The parts of Namespaces, ServiceAccounts and Secrets that are read, and their views.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{LocalObjectReference, Namespace, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::api::names;
use crate::model::Labels;
use crate::model::skip::OptOut;
use crate::plan::secret::{Listing, Template, ValueDigest};
use crate::plan::view::{NamespaceFacts, Provenance, SecretView, ServiceAccountView};

/// The part of a Namespace that is read.
#[derive(Resource, serde::Deserialize, Clone, Debug)]
#[resource(inherit = Namespace)]
pub struct WatchedNamespace {
    /// Its metadata.
    pub metadata: ObjectMeta,
}

/// The part of a ServiceAccount that is read.
#[derive(Resource, serde::Deserialize, Clone, Debug)]
#[resource(inherit = ServiceAccount)]
#[serde(rename_all = "camelCase")]
pub struct WatchedServiceAccount {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// The atomic list `imagePullSecrets`.
    #[serde(default)]
    pub image_pull_secrets: Vec<LocalObjectReference>,
}

/// A Secret of the configured name, whether or not this controller created it. Its values are digested while they are
/// read, so that no byte of a tenant's Secret is kept in memory.
#[derive(Resource, serde::Deserialize, Clone, Debug)]
#[resource(inherit = Secret)]
pub struct WatchedSecret {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its type.
    #[serde(default, rename = "type")]
    pub type_: Option<String>,
    /// Whether its data can never be changed.
    #[serde(default)]
    immutable: bool,
    /// Its data, as digests.
    #[serde(default)]
    data: BTreeMap<String, Digested>,
}

#[derive(Clone, Debug)]
struct Digested(ValueDigest);

impl<'de> Deserialize<'de> for Digested {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digest;
        impl Visitor<'_> for Digest {
            type Value = Digested;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a base64 string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Digested, E> {
                Ok(Digested(ValueDigest::of(text)))
            }
        }
        deserializer.deserialize_str(Digest)
    }
}

fn says_true(annotations: Option<&BTreeMap<String, String>>, key: &str) -> bool {
    annotations.and_then(|a| a.get(key)).is_some_and(|value| value == "true")
}

fn opt_out(metadata: &ObjectMeta) -> OptOut {
    let value = |map: Option<&BTreeMap<String, String>>| map?.get(names::SKIP).cloned();
    let values = [value(metadata.labels.as_ref()), value(metadata.annotations.as_ref())];
    OptOut::of(values.iter().map(Option::as_deref))
}

impl WatchedNamespace {
    /// Returns the facts that planning needs.
    pub fn facts(self) -> NamespaceFacts {
        let OptOut { skip, unclear } = opt_out(&self.metadata);
        NamespaceFacts {
            skip,
            unclear_skip: unclear,
            terminating: self.metadata.deletion_timestamp.is_some(),
            labels: self.metadata.labels.unwrap_or_default().into(),
        }
    }
}

impl WatchedServiceAccount {
    /// Returns the view that planning needs.
    pub fn view(self) -> ServiceAccountView {
        let OptOut { skip, unclear } = opt_out(&self.metadata);
        let names = self.image_pull_secrets.into_iter().map(|reference| reference.name.into());
        ServiceAccountView {
            name: self.metadata.name.unwrap_or_default().into(),
            resource_version: self.metadata.resource_version.unwrap_or_default().into(),
            skip,
            unclear_skip: unclear,
            labels: Labels::from(self.metadata.labels.unwrap_or_default()),
            pull_secrets: names.collect(),
        }
    }
}

impl WatchedSecret {
    /// Returns the view that planning needs.
    pub fn view(self, template: &Template) -> SecretView {
        let labels = self.metadata.labels.unwrap_or_default();
        let annotations = self.metadata.annotations.unwrap_or_default();
        let labelled = labels.get(names::LABEL_MANAGED_BY).is_some_and(|value| value == names::MANAGER);
        let namespace = self.metadata.namespace.unwrap_or_default();
        let mark = annotations.get(names::ANNOTATION_NAMESPACE).map(String::as_str);
        let writers = self.metadata.managed_fields.into_iter().flatten();
        let written_by_us = writers.into_iter().any(|entry| entry.manager.as_deref() == Some(names::MANAGER));
        let data: BTreeMap<String, ValueDigest> =
            self.data.into_iter().map(|(key, value)| (key, value.0)).collect();
        SecretView {
            uid: self.metadata.uid.unwrap_or_default().into(),
            resource_version: self.metadata.resource_version.unwrap_or_default().into(),
            // Removing the label by hand does not make the Secret the user's own.
            ours: labelled || annotations.contains_key(names::ANNOTATION_REGISTRIES),
            provenance: Provenance::of(&namespace, mark, written_by_us),
            retained: says_true(Some(&annotations), names::ANNOTATION_RETAINED),
            foreign_type: self.type_.filter(|t| t != names::SECRET_TYPE).map(Into::into),
            immutable: self.immutable,
            extra_keys: data
                .keys()
                .filter(|key| *key != names::SECRET_KEY)
                .map(|key| key.as_str().into())
                .collect(),
            listing: annotations
                .get(names::ANNOTATION_REGISTRIES)
                .map(|registries| Listing::of(registries))
                .unwrap_or_default(),
            fingerprint: template.fingerprint(&data, &labels, &annotations),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WatchedSecret;
    use crate::plan::secret::Template;
    use serde_json::json;

    fn template() -> Template {
        Template { name: "s".into(), labels: Default::default(), annotations: Default::default() }
    }

    #[test]
    fn no_byte_of_a_secret_is_stored() {
        let secret: WatchedSecret = serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "n", "uid": "u", "resourceVersion": "1"},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": "c2VjcmV0"},
        }))
        .unwrap();
        assert!(!format!("{secret:?}").contains("c2VjcmV0"), "{secret:?}");
        assert!(!secret.view(&template()).ours);
    }

    #[test]
    fn a_changed_value_label_or_key_changes_the_fingerprint_and_others_labels_do_not() {
        let base = json!({
            "metadata": {"labels": {"app.kubernetes.io/managed-by": "acr-credential-controller"}, "annotations": {"acrcredential.dev/registries": "[]"}},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": "YQ=="},
        });
        let print = |value: serde_json::Value| {
            serde_json::from_value::<WatchedSecret>(value).unwrap().view(&template()).fingerprint
        };
        let with = |pointer: &str, value: serde_json::Value| {
            let mut changed = base.clone();
            changed[pointer.split('/').next().unwrap()].merge_at(pointer, value);
            changed
        };
        let same = print(base.clone());
        assert_ne!(print(with("data/.dockerconfigjson", json!("Yg=="))), same);
        assert_ne!(print(with("data/other", json!("Yg=="))), same);
        assert_ne!(print(with("metadata/labels/app.kubernetes.io~managed-by", json!("x"))), same);
        assert_ne!(print(with("metadata/annotations/acrcredential.dev~registries", json!("x"))), same);
        assert_ne!(print(with("metadata/annotations/acrcredential.dev~retained", json!("true"))), same);
        assert_eq!(print(with("metadata/labels/team", json!("x"))), same);
    }

    trait MergeAt {
        fn merge_at(&mut self, pointer: &str, value: serde_json::Value);
    }

    impl MergeAt for serde_json::Value {
        fn merge_at(&mut self, pointer: &str, value: serde_json::Value) {
            let mut at = self;
            for part in pointer.split('/').skip(1) {
                at = &mut at[part.replace('~', "/")];
            }
            *at = value;
        }
    }
}
