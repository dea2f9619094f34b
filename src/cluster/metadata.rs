//! The part of an object's metadata that is read. The rest is skipped while it is decoded: labels and annotations have
//! no bound that a tenant cannot reach, and the record of writers is often larger than the object.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::api::names;

/// The part of an object's metadata that is read.
#[derive(serde::Deserialize, Clone, Debug, Default)]
#[serde(from = "DecodedMetadata")]
pub struct WatchedMetadata {
    /// The identity of the object: its names, UID, version, and the time of its deletion.
    pub identity: ObjectMeta,
    /// Its labels.
    pub labels: RawMap,
    /// Its annotations.
    pub annotations: RawMap,
    /// Whether the API server recorded a write of this controller.
    pub written_by_us: bool,
}

#[derive(serde::Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct DecodedMetadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    deletion_timestamp: Option<Time>,
    labels: RawMap,
    annotations: RawMap,
    managed_fields: Writers,
}

impl From<DecodedMetadata> for WatchedMetadata {
    fn from(decoded: DecodedMetadata) -> Self {
        Self {
            identity: ObjectMeta {
                name: decoded.name,
                namespace: decoded.namespace,
                uid: decoded.uid,
                resource_version: decoded.resource_version,
                deletion_timestamp: decoded.deletion_timestamp,
                ..ObjectMeta::default()
            },
            labels: decoded.labels,
            annotations: decoded.annotations,
            written_by_us: decoded.managed_fields.include_us,
        }
    }
}

/// A map of texts as the API server wrote it. Its entries are decoded only where they are selected. `Debug` shows none
/// of them: an annotation may hold a copy of a Secret.
#[derive(serde::Deserialize, Clone, Default)]
#[serde(transparent)]
pub struct RawMap(Option<Box<RawValue>>);

impl RawMap {
    /// Returns the entries whose keys are wanted.
    pub fn select(&self, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        let Some(raw) = &self.0 else { return BTreeMap::new() };
        let mut decoder = serde_json::Deserializer::from_str(raw.get());
        // The API server sends nothing but texts here.
        decoder.deserialize_map(SelectedEntries(&wanted)).unwrap_or_default()
    }
}

impl fmt::Debug for RawMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.as_ref().map_or(0, |raw| raw.get().len());
        write!(f, "RawMap({bytes} bytes)")
    }
}

struct SelectedEntries<'a, W>(&'a W);

impl<'de, W: Fn(&str) -> bool> Visitor<'de> for SelectedEntries<'_, W> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut selected = BTreeMap::new();
        while let Some(key) = map.next_key_seed(SelectedKey(self.0))? {
            match key {
                Some(key) => drop(selected.insert(key, map.next_value()?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(selected)
    }
}

struct SelectedKey<'a, W>(&'a W);

impl<'de, W: Fn(&str) -> bool> DeserializeSeed<'de> for SelectedKey<'_, W> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<W: Fn(&str) -> bool> Visitor<'_> for SelectedKey<'_, W> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok((self.0)(key).then(|| key.to_owned()))
    }
}

/// The writers of an object, of which only one question is asked.
#[derive(Default)]
struct Writers {
    include_us: bool,
}

/// One entry of `managedFields`. The list of fields, which is large, is skipped.
#[derive(serde::Deserialize)]
struct WriterEntry<'a> {
    #[serde(borrow, default)]
    manager: Option<Cow<'a, str>>,
}

impl<'de> serde::Deserialize<'de> for Writers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WriterList;
        impl<'de> Visitor<'de> for WriterList {
            type Value = Writers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of writers")
            }

            fn visit_unit<E: Error>(self) -> Result<Writers, E> {
                Ok(Writers::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Writers, A::Error> {
                let mut include_us = false;
                while let Some(entry) = entries.next_element::<WriterEntry<'de>>()? {
                    include_us |= entry.manager.as_deref() == Some(names::MANAGER);
                }
                Ok(Writers { include_us })
            }
        }
        deserializer.deserialize_any(WriterList)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::WatchedMetadata;

    fn decode(value: &serde_json::Value) -> WatchedMetadata {
        let from_text = serde_json::from_str(&value.to_string()).unwrap();
        let from_value: WatchedMetadata = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(format!("{from_text:?}"), format!("{from_value:?}"));
        from_text
    }

    #[test]
    fn only_selected_entries_are_decoded() {
        let metadata = decode(&json!({"labels": {"a": "1", "b\"\n": "2", "c": "3"}, "annotations": null}));
        let selected = metadata.labels.select(|key| key != "c");
        assert_eq!(
            selected.into_iter().collect::<Vec<_>>(),
            [("a".to_owned(), "1".to_owned()), ("b\"\n".to_owned(), "2".to_owned())]
        );
        assert!(metadata.annotations.select(|_| true).is_empty());
        assert!(decode(&json!({})).labels.select(|_| true).is_empty());
    }

    #[test]
    fn a_write_of_this_controller_is_found_among_others() {
        let entry = |manager: serde_json::Value| json!({"manager": manager, "operation": "Apply", "fieldsV1": {"f:data": {"f:x": {}}}});
        let ours = json!("acr-credential-controller");
        for (writers, expected) in [
            (json!([entry(json!("kubectl")), entry(ours.clone())]), true),
            (json!([entry(ours), entry(json!(null))]), true),
            (json!([entry(json!("kubectl")), {"operation": "Update"}]), false),
            (json!([]), false),
            (json!(null), false),
        ] {
            assert_eq!(decode(&json!({ "managedFields": writers })).written_by_us, expected, "{writers}");
        }
    }

    #[test]
    fn the_identity_is_kept_and_no_value_is_shown() {
        let metadata = decode(&json!({
            "name": "n", "namespace": "s", "uid": "u", "resourceVersion": "7", "generateName": "n-",
            "deletionTimestamp": "2026-11-30T10:00:00Z", "annotations": {"last-applied": "c2VjcmV0"},
        }));
        assert_eq!(metadata.identity.name.as_deref(), Some("n"));
        assert_eq!(metadata.identity.resource_version.as_deref(), Some("7"));
        assert!(metadata.identity.deletion_timestamp.is_some());
        assert!(!format!("{metadata:?}").contains("c2VjcmV0"), "{metadata:?}");
    }
}
