//! Finds the configuration among the documents of a file.

use super::heal::data_key;
use super::tree::{Kind, Node};
use crate::api::names::LEGACY_NAME;

/// What a file may hold.
pub(super) enum Located<'a> {
    /// The map `data`, or none where the ConfigMap has none; and the ConfigMap's `metadata`, where it has one.
    Data(Option<&'a Node>, Option<&'a Node>),
    /// The managed edition's configuration.
    Addon(&'a Node),
}

/// Keys of the managed edition's configuration that nothing else has.
const ADDON_KEYS: [&str; 3] = ["AcrInstanceInfo", "enableRRSA", "watchNamespace"];

/// The likeliest: the ConfigMap by its name, one that has a key of ours, a bare `data`, its bare content.
pub(super) fn locate(roots: &[Node]) -> Option<Located<'_>> {
    let objects = objects(roots);
    let maps =
        || objects.iter().copied().filter(|node| node.get("kind").and_then(Node::text) == Some("ConfigMap"));
    let name = |node: &Node| {
        node.get("metadata").and_then(|m| m.get("name")).and_then(Node::text).map(str::to_owned)
    };
    let ours = |node: &&Node| node.pairs().iter().any(|(key, _)| key.text().and_then(data_key).is_some());
    if let Some(map) = maps().find(|map| name(map).as_deref() == Some(LEGACY_NAME)) {
        let data = map.get("data").filter(|data| matches!(data.kind, Kind::Map { .. }));
        return Some(Located::Data(data, map.get("metadata")));
    }
    let mut unnamed = objects.iter().filter(|node| node.get("kind").is_none());
    let data = |node: &&Node| node.get("data").is_some_and(|data| ours(&data));
    if let Some(map) = maps().find(data).or_else(|| unnamed.clone().copied().find(data)) {
        return Some(Located::Data(map.get("data"), map.get("metadata")));
    }
    if let Some(bare) = unnamed.clone().copied().find(ours) {
        return Some(Located::Data(Some(bare), None));
    }
    unnamed
        .find(|node| {
            // Terraform carries the JSON as one text.
            let escaped = node.text().is_some_and(|text| text.trim_start().starts_with('{'));
            escaped || ADDON_KEYS.iter().any(|key| node.get(key).is_some())
        })
        .map(|node| Located::Addon(node))
}

/// The objects of a file, also those within a List.
fn objects(roots: &[Node]) -> Vec<&Node> {
    let listed = roots.iter().flat_map(|root| root.get("items").map(Node::items).unwrap_or_default());
    roots.iter().chain(listed).collect()
}

/// The kinds of the objects in a file, each once.
pub(super) fn kinds(roots: &[Node]) -> Vec<&str> {
    let mut kinds: Vec<&str> = Vec::new();
    for kind in objects(roots).into_iter().filter_map(|object| object.get("kind").and_then(Node::text)) {
        let name = kind.chars().all(|c| c.is_ascii_alphanumeric()) && kind.len() <= 63;
        if name && !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}
