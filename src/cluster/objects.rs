//! The parts of Namespaces, ServiceAccounts and Secrets that are read, and their views.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{LocalObjectReference, Namespace, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::label_keys::SelectedKeys;
use super::metadata::WatchedMetadata;
use crate::api::names;
use crate::model::Labels;
use crate::model::skip::OptOut;
use crate::plan::secret::{Listing, Template, ValueDigest};
use crate::plan::view::{NamespaceFacts, Provenance, SecretView, ServiceAccountView};

/// The part of a Namespace that is read.
#[derive(serde::Deserialize, Clone, Debug)]
pub struct WatchedNamespace {
    /// Its metadata.
    pub metadata: WatchedMetadata,
}

/// The part of a ServiceAccount that is read.
#[derive(serde::Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct WatchedServiceAccount {
    /// Its metadata.
    pub metadata: WatchedMetadata,
    /// The atomic list `imagePullSecrets`.
    #[serde(default)]
    pub image_pull_secrets: Vec<LocalObjectReference>,
}

/// A Secret of the configured name, whether or not this controller created it. Its values are digested while they are
/// read, so that no byte of a tenant's Secret is kept in memory.
#[derive(serde::Deserialize, Clone, Debug)]
pub struct WatchedSecret {
    /// Its metadata.
    pub metadata: WatchedMetadata,
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

/// Has the API treat a part of an object as the object.
macro_rules! part_of {
    ($part:ty, $whole:ty) => {
        impl Resource for $part {
            type DynamicType = ();
            type Scope = <$whole as Resource>::Scope;

            fn kind(_: &()) -> Cow<'_, str> {
                <$whole as Resource>::kind(&())
            }

            fn group(_: &()) -> Cow<'_, str> {
                <$whole as Resource>::group(&())
            }

            fn version(_: &()) -> Cow<'_, str> {
                <$whole as Resource>::version(&())
            }

            fn plural(_: &()) -> Cow<'_, str> {
                <$whole as Resource>::plural(&())
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata.identity
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata.identity
            }
        }
    };
}

part_of!(WatchedNamespace, Namespace);
part_of!(WatchedServiceAccount, ServiceAccount);
part_of!(WatchedSecret, Secret);

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

fn says_true(annotations: &BTreeMap<String, String>, key: &str) -> bool {
    annotations.get(key).is_some_and(|value| value == "true")
}

/// Returns the opt-out of an object, and its labels of the selected keys.
fn opt_out(metadata: &WatchedMetadata, keys: &SelectedKeys) -> (OptOut, Labels) {
    let mut labels = metadata.labels.select(|key| key == names::SKIP || keys.contains(key));
    let annotations = metadata.annotations.select(|key| key == names::SKIP);
    let values = [labels.get(names::SKIP), annotations.get(names::SKIP)];
    let opt_out = OptOut::of(values.map(|value| value.map(String::as_str)));
    if !keys.contains(names::SKIP) {
        labels.remove(names::SKIP);
    }
    (opt_out, labels.into())
}

fn version_number(metadata: &WatchedMetadata) -> Option<u64> {
    metadata.identity.resource_version.as_deref()?.parse().ok()
}

impl WatchedNamespace {
    /// Returns the facts that planning needs, with the labels of the selected keys.
    pub fn facts(self, keys: &SelectedKeys) -> NamespaceFacts {
        let (OptOut { skip, unclear }, labels) = opt_out(&self.metadata, keys);
        NamespaceFacts {
            skip,
            unclear_skip: unclear,
            terminating: self.metadata.identity.deletion_timestamp.is_some(),
            labels,
            version: version_number(&self.metadata),
        }
    }
}

impl WatchedServiceAccount {
    /// Returns the view that planning needs, with the labels of the selected keys.
    pub fn view(self, keys: &SelectedKeys) -> ServiceAccountView {
        let (OptOut { skip, unclear }, labels) = opt_out(&self.metadata, keys);
        let names = self.image_pull_secrets.into_iter().map(|reference| reference.name.into());
        ServiceAccountView {
            name: self.metadata.identity.name.unwrap_or_default().into(),
            resource_version: self.metadata.identity.resource_version.unwrap_or_default().into(),
            skip,
            unclear_skip: unclear,
            labels,
            pull_secrets: names.collect(),
        }
    }
}

impl WatchedSecret {
    /// Returns the view that planning needs.
    pub fn view(self, template: &Template) -> SecretView {
        let labels = self.metadata.labels.select(|key| template.reads_label(key));
        let annotations = self.metadata.annotations.select(|key| template.reads_annotation(key));
        let labelled = labels.get(names::LABEL_MANAGED_BY).is_some_and(|value| value == names::MANAGER);
        let identity = self.metadata.identity;
        let namespace = identity.namespace.unwrap_or_default();
        let mark = annotations.get(names::ANNOTATION_NAMESPACE).map(String::as_str);
        let data: BTreeMap<String, ValueDigest> =
            self.data.into_iter().map(|(key, value)| (key, value.0)).collect();
        SecretView {
            uid: identity.uid.unwrap_or_default().into(),
            resource_version: identity.resource_version.unwrap_or_default().into(),
            // Removing the label by hand does not make the Secret the user's own.
            ours: labelled || annotations.contains_key(names::ANNOTATION_REGISTRIES),
            provenance: Provenance::of(&namespace, mark, self.metadata.written_by_us),
            retained: says_true(&annotations, names::ANNOTATION_RETAINED),
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
    use super::{WatchedNamespace, WatchedSecret, WatchedServiceAccount};
    use crate::api::names;
    use crate::cluster::label_keys::{LabelKeys, SelectedKeys};
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

    #[test]
    fn labels_that_no_binding_selects_are_not_kept() {
        let keys = LabelKeys::default();
        keys.want(["tier"]);
        let object = json!({"metadata": {
            "name": "n", "resourceVersion": "12",
            "labels": {"tier": "app", "team": "x", "acrcredential.dev/skip": "true"},
        }});
        let account: WatchedServiceAccount = serde_json::from_value(object.clone()).unwrap();
        let account = account.view(&keys.wanted());
        assert_eq!((account.labels.get("tier"), account.labels.get("team")), (Some("app"), None));
        assert!(account.skip, "the opt-out counts, selected or not");
        assert_eq!(account.labels.get(names::SKIP), None);
        let namespace: WatchedNamespace = serde_json::from_value(object).unwrap();
        let facts = namespace.clone().facts(&keys.wanted());
        assert_eq!((facts.labels.get("tier"), facts.labels.get("team")), (Some("app"), None));
        assert_eq!((facts.skip, facts.version), (true, Some(12)));
        assert_eq!(namespace.facts(&SelectedKeys::every()).labels.get("team"), Some("x"));
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
