//! One event of a watch, as a line of JSON.

use std::borrow::Cow;

use kube::core::Status;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tracing::warn;

/// An event.
#[derive(Debug)]
pub enum WatchedEvent<K> {
    /// An object was added or changed.
    Put(K),
    /// An object was deleted.
    Removed(K),
    /// The watch is complete up to this version.
    Bookmark(String),
    /// The watch failed.
    Failed(Box<Status>),
}

#[derive(serde::Deserialize)]
struct EventLine<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(serde::Deserialize)]
struct BookmarkObject {
    metadata: BookmarkMetadata,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMetadata {
    resource_version: String,
}

/// Decodes a line.
///
/// # Errors
/// The line is not an event of such an object.
pub fn decode<K: DeserializeOwned>(line: &[u8]) -> serde_json::Result<WatchedEvent<K>> {
    let EventLine { kind, object } = serde_json::from_slice(line)?;
    Ok(match &*kind {
        "DELETED" => WatchedEvent::Removed(serde_json::from_str(object.get())?),
        "BOOKMARK" => {
            let bookmark: BookmarkObject = serde_json::from_str(object.get())?;
            WatchedEvent::Bookmark(bookmark.metadata.resource_version)
        }
        "ERROR" => WatchedEvent::Failed(serde_json::from_str(object.get())?),
        _ => WatchedEvent::Put(serde_json::from_str(object.get())?),
    })
}

/// Returns an object with nothing but the texts at the beginning of its metadata, where its names and its version are.
/// That is all that is read of an object over the limit.
pub fn stub<K: DeserializeOwned>(beginning: &[u8]) -> Option<K> {
    const METADATA: &[u8] = b"\"metadata\":{";
    let at = beginning.windows(METADATA.len()).position(|window| window == METADATA)?;
    let mut rest = beginning.get(at + METADATA.len()..)?;
    let mut metadata = Map::new();
    loop {
        let (key, after) = text(rest)?;
        rest = after.strip_prefix(b":")?;
        // Another kind of value ends the beginning.
        let Some((value, after)) = text(rest) else { break };
        metadata.insert(key, Value::String(value));
        let Some(next) = after.strip_prefix(b",") else { break };
        rest = next;
    }
    metadata.contains_key("name").then_some(())?;
    serde_json::from_value(json!({ "metadata": metadata })).ok()
}

/// Logs that an object is too large to be read.
pub fn warn_of_size<K: Resource<DynamicType = ()>>(object: &K) {
    warn!(
        kind = &*K::kind(&()),
        namespace = object.namespace().unwrap_or_default(),
        name = object.name_any(),
        "object ignored: it is larger than 4 MiB; remove what makes it large"
    );
}

/// Returns the text at the beginning of some JSON, and what follows it.
fn text(json: &[u8]) -> Option<(String, &[u8])> {
    json.starts_with(b"\"").then_some(())?;
    let mut texts = serde_json::Deserializer::from_slice(json).into_iter::<String>();
    let text = texts.next()?.ok()?;
    Some((text, json.get(texts.byte_offset()..)?))
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;

    use super::{WatchedEvent, decode, stub};
    use crate::cluster::objects::WatchedServiceAccount;

    fn event(line: &str) -> WatchedEvent<WatchedServiceAccount> {
        decode(line.as_bytes()).unwrap()
    }

    #[test]
    fn the_kinds_of_events_are_distinguished() {
        let object = r#"{"metadata":{"name":"a","resourceVersion":"3","labels":{}}}"#;
        for kind in ["ADDED", "MODIFIED"] {
            let put = event(&format!(r#"{{"type":"{kind}","object":{object}}}"#));
            assert!(matches!(put, WatchedEvent::Put(account) if account.name_any() == "a"));
        }
        let removed = event(&format!(r#"{{"object":{object},"type":"DELETED"}}"#));
        assert!(matches!(removed, WatchedEvent::Removed(account) if account.name_any() == "a"));
        let bookmark = event(r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#);
        assert!(matches!(bookmark, WatchedEvent::Bookmark(version) if version == "9"));
        let gone = event(r#"{"type":"ERROR","object":{"code":410,"message":"too old","reason":"Expired"}}"#);
        assert!(matches!(gone, WatchedEvent::Failed(status) if status.code == 410));
        assert!(decode::<WatchedServiceAccount>(b"{").is_err());
    }

    #[test]
    fn an_object_over_the_limit_is_known_by_its_names_and_version() {
        let beginning = br#"{"type":"ADDED","object":{"kind":"ServiceAccount","metadata":{"name":"a\"b","namespace":"n","resourceVersion":"3","labels":{"x":"#;
        let account: WatchedServiceAccount = stub(beginning).unwrap();
        assert_eq!((account.name_any().as_str(), account.namespace().as_deref()), ("a\"b", Some("n")));
        assert_eq!(account.resource_version().as_deref(), Some("3"));
        for unclear in
            [&br#"{"type":"ADDED","object":{"kind":"S"#[..], br#""metadata":{"nam"#, br#""metadata":{}"#]
        {
            assert!(stub::<WatchedServiceAccount>(unclear).is_none());
        }
    }
}
