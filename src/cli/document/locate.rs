//! Finds the configuration among the documents of a file.

use crate::api::legacy::addon::{CONFIG, KEYS};
use crate::api::legacy::{Node, Pair, Value};
use crate::api::names::{LEGACY_NAME, LEGACY_NAMESPACE};
use crate::model::legacy::data_key;

/// The configuration in a file.
pub(super) enum Located<'a> {
    /// A ConfigMap, or its `data`.
    Map(ConfigMapNode<'a>),
    /// The managed edition's configuration.
    Addon(&'a Node),
}

/// A ConfigMap.
#[derive(Default)]
pub(super) struct ConfigMapNode<'a> {
    /// Its `data`, which may be anything.
    pub(super) data: Option<&'a Node>,
    /// All of it. None: the file is the bare content of `data`.
    pub(super) object: Option<&'a Node>,
    /// The names of further ConfigMaps with the same name.
    pub(super) again: Vec<&'a Node>,
}

impl ConfigMapNode<'_> {
    /// Returns the `data` that is not a map of keys.
    pub(super) fn without_keys(&self) -> Option<&Node> {
        self.data.filter(|data| !matches!(data.value, Value::Null | Value::Map(_)))
    }
}

/// The name of the managed edition among other add-ons.
pub(super) const ADDON: &str = "managed-aliyun-acr-credential-helper";

/// Returns the likeliest: the ConfigMap by its name, one that has a key of ours, a bare `data`, its bare content.
pub(super) fn locate(roots: &[Node]) -> Option<Located<'_>> {
    let objects = objects(roots);
    let maps =
        || objects.iter().copied().filter(|node| node.get("kind").and_then(Node::text) == Some("ConfigMap"));
    let mut named = maps().filter(|map| of_metadata(map, "name") == Some(LEGACY_NAME));
    if let Some(object) = named.next() {
        let there = |map: &&Node| of_metadata(map, "namespace").is_none_or(|name| name == LEGACY_NAMESPACE);
        let again =
            named.filter(there).filter_map(|map| map.get("metadata").and_then(|m| m.get("name"))).collect();
        return Some(Located::Map(ConfigMapNode { data: object.get("data"), object: Some(object), again }));
    }
    let unnamed = objects.iter().filter(|node| node.get("kind").is_none());
    let data = |node: &&Node| node.get("data").is_some_and(has_ours);
    if let Some(map) = maps().find(data).or_else(|| unnamed.clone().copied().find(data)) {
        return Some(Located::Map(ConfigMapNode {
            data: map.get("data"),
            object: Some(map),
            ..ConfigMapNode::default()
        }));
    }
    if let Some(bare) = unnamed.clone().copied().find(|node| has_ours(node)) {
        return Some(Located::Map(ConfigMapNode { data: Some(bare), ..ConfigMapNode::default() }));
    }
    let listed = roots.iter().flat_map(Node::items);
    unnamed.copied().chain(listed).find_map(addon).map(Located::Addon)
}

/// Returns the managed edition's configuration, if a node is or holds it.
fn addon(node: &Node) -> Option<&Node> {
    // Terraform carries the JSON as one text, and a shell may add quotes of its own.
    let escaped = |node: &Node| {
        node.text().is_some_and(|text| text.trim_start_matches([' ', '\n', '"']).starts_with('{'))
    };
    // Its reader takes the keys in any case.
    let value = |wanted: &str| {
        let named = |pair: &&Pair| pair.name().eq_ignore_ascii_case(wanted);
        node.pairs().iter().find(named).map(|pair| &pair.value)
    };
    if escaped(node) || KEYS.iter().any(|key| value(key).is_some()) {
        return Some(node);
    }
    let ours = value("name").and_then(Node::text).is_none_or(|name| name == ADDON);
    value(CONFIG).filter(|config| ours && escaped(config))
}

/// Returns whether a map has a key of the legacy ConfigMap.
pub(super) fn has_ours(node: &Node) -> bool {
    node.pairs().iter().any(|pair| data_key(pair.name()).is_some())
}

fn of_metadata<'a>(object: &'a Node, field: &str) -> Option<&'a str> {
    object.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Node::text)
}

/// Returns the objects of a file, also those within a List.
fn objects(roots: &[Node]) -> Vec<&Node> {
    let listed = roots.iter().flat_map(|root| root.get("items").map(Node::items).unwrap_or_default());
    roots.iter().chain(listed).collect()
}

/// Returns the kinds of the objects in a file, each once.
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
