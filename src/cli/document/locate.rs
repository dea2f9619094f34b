//! Finds the configuration in the tree of a file: the ConfigMap by its metadata, the add-on by its name.

use crate::api::legacy::addon::{CONFIGS, KEYS, NAME, NAMES};
use crate::api::legacy::{Node, Style, Value, data_key, parse_yaml};
use crate::api::names::{LEGACY_NAME, LEGACY_NAMESPACE};

/// The configuration in a file.
pub(super) enum Located<'a> {
    /// A ConfigMap, or its `data`.
    Map(ConfigMapNode<'a>),
    /// A manifest in a text of another document.
    Manifest(&'a Node),
    /// The managed edition's add-on.
    Addon(AddonNode<'a>),
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

/// The managed edition among other add-ons, or its bare configuration.
pub(super) struct AddonNode<'a> {
    /// What names it.
    pub(super) name: &'a Node,
    /// Its configuration, if it has one.
    pub(super) config: Option<&'a Node>,
    /// The configuration that the file has for it elsewhere, if that is another one.
    pub(super) other: Option<&'a Node>,
}

/// The most texts around a bare configuration: a shell adds quotes of its own.
const MAX_WRAPS: usize = 3;

/// Keys under which a plan of Terraform has what was before, and a manifest what is not an add-on.
const SKIPPED: [&str; 5] = ["before", "prior_state", "resource_drift", "metadata", "deposed"];

/// Keys of a thing that has a name and is not an add-on: an object, a container, and a resource in Terraform's records.
const OTHERS: [&str; 3] = ["kind", "image", "mode"];

/// Keys under which tools have a manifest as a text.
const MANIFESTS: [&str; 3] = ["yaml_body", "manifest", "yamlcontent"];

/// Returns the likeliest: the ConfigMap by its name, one that has a key of ours, a bare `data`, its bare content, a
/// manifest in a text, the add-on by its name, its bare configuration.
pub(super) fn locate(roots: &[Node]) -> Option<Located<'_>> {
    let all = descendants(roots);
    let named = all.iter().filter(|(_, node)| is_config_map(node));
    let mut named =
        named.filter(|(_, node)| of_metadata(node, "name").and_then(Node::text) == Some(LEGACY_NAME));
    let there = |node: &Node| {
        of_metadata(node, "namespace").and_then(Node::text).is_none_or(|name| name == LEGACY_NAMESPACE)
    };
    if let Some((_, first)) = named.clone().find(|(_, node)| there(node)).or_else(|| named.next()) {
        // Records of Terraform have the same twice.
        let documents = objects(roots);
        let copy = |node: &Node| {
            let document = documents.iter().any(|document| std::ptr::eq(*document, node));
            !document && same(node.get("data"), first.get("data"))
        };
        let again = all.iter().map(|(_, node)| *node).filter(|node| !std::ptr::eq(*node, *first));
        let again = again.filter(|node| is_config_map(node) && there(node) && !copy(node));
        let again = again.filter_map(|node| of_metadata(node, "name"));
        return Some(Located::Map(ConfigMapNode {
            data: first.get("data"),
            object: Some(first),
            again: again.filter(|name| name.text() == Some(LEGACY_NAME)).collect(),
        }));
    }
    let objects = objects(roots);
    let unnamed = objects.iter().copied().filter(|node| node.get("kind").is_none());
    let data = |node: &&Node| node.get("data").is_some_and(has_ours);
    let maps = all.iter().map(|(_, node)| *node).filter(|node| is_config_map(node));
    // A name that only Terraform knows may be ours, and another is not.
    let unknown = |node: &&Node| of_metadata(node, "name").and_then(Node::text).is_none();
    let map = maps.clone().filter(unknown).find(data).or_else(|| maps.clone().find(data));
    if let Some(map) = map.or_else(|| unnamed.clone().find(data)) {
        return Some(Located::Map(ConfigMapNode {
            data: map.get("data"),
            object: Some(map),
            ..ConfigMapNode::default()
        }));
    }
    if let Some(bare) = unnamed.clone().find(|node| has_ours(node)) {
        return Some(Located::Map(ConfigMapNode { data: Some(bare), ..ConfigMapNode::default() }));
    }
    let manifest = |(key, node): &&(Option<&str>, &Node)| {
        let text = node.text().filter(|_| key.is_some_and(|key| is_one(&MANIFESTS, key)));
        text.is_some_and(|text| text.contains(LEGACY_NAME) && text.contains("data"))
    };
    if let Some((_, text)) = all.iter().find(manifest) {
        return Some(Located::Manifest(text));
    }
    let listed = roots.iter().flat_map(Node::items);
    addon_by_name(&all).or_else(|| unnamed.chain(listed).find_map(bare_addon)).map(Located::Addon)
}

/// Returns the add-on by its name. One without configuration counts where no other has one: a cluster lists the names
/// of add-ons that are configured elsewhere.
fn addon_by_name<'a>(all: &[(Option<&'a str>, &'a Node)]) -> Option<AddonNode<'a>> {
    let found: Vec<_> = all.iter().filter_map(|(key, node)| addon(*key, node)).collect();
    let mut configured = found.iter().filter(|addon| !says_nothing(addon.config));
    let Some(first) = configured.next() else { return found.into_iter().next() };
    let other = configured.find(|addon| !same(addon.config, first.config)).and_then(|addon| addon.config);
    Some(AddonNode { name: first.name, config: first.config, other })
}

/// Returns whether a configuration leaves everything to its defaults.
pub(super) fn says_nothing(config: Option<&Node>) -> bool {
    config.is_none_or(|config| match &config.value {
        Value::Null => true,
        Value::Text(text) => matches!(text.trim(), "" | "{}" | "null"),
        Value::Map(pairs) => pairs.is_empty(),
        Value::List(_) => false,
    })
}

/// Returns the managed edition's add-on, if a node is that: an item with its name, or the value under its name.
fn addon<'a>(key: Option<&'a str>, node: &'a Node) -> Option<AddonNode<'a>> {
    let addon = |name, config: Option<&'a Node>| AddonNode { name, config: config.map(decoded), other: None };
    let other = node.pairs().iter().any(|pair| OTHERS.contains(&pair.name()));
    if let Some(name) = name(node) {
        let config = value(node, &CONFIGS);
        // A list of what is installed has no configuration, and a cluster may name what it does not want.
        let listed = config.is_none() && node.get("state").is_some();
        let disabled = node.get("disabled").and_then(Node::text) == Some("true");
        let ours = name.text() == Some(NAME) && !other && !listed && !disabled;
        return ours.then(|| addon(name, config));
    }
    let unknown = node.get("after_unknown").and_then(|unknown| value(unknown, &CONFIGS));
    if let Some((name, unknown)) = node.get("after").and_then(name).zip(unknown) {
        let planned = name.text() == Some(NAME) && unknown.text() == Some("true");
        return planned.then(|| addon(name, Some(unknown)));
    }
    if of_metadata(node, "name").and_then(Node::text) == Some(NAME) {
        let spec = node.get("spec")?;
        let config = value(spec.get("forProvider").unwrap_or(spec), &CONFIGS)?;
        return Some(addon(node, Some(config)));
    }
    if key != Some(NAME) || other {
        return None;
    }
    // A text may be its version, or whether it is wanted.
    let whole = match &node.value {
        Value::Text(text) => text.contains(['{', ':']),
        Value::Map(pairs) => pairs.is_empty() || node.style == Style::Encoded || has_setting(node),
        Value::List(_) => node.style == Style::Expression,
        Value::Null => true,
    };
    let config = value(node, &CONFIGS).or_else(|| whole.then_some(node));
    (config.is_some() || !node.pairs().is_empty()).then(|| addon(node, config))
}

/// Returns the name of a thing: the managed edition's, if it has that among several.
fn name(node: &Node) -> Option<&Node> {
    let names = node.pairs().iter().filter(|pair| is_one(&NAMES, pair.name())).map(|pair| &pair.value);
    names.clone().find(|name| name.text() == Some(NAME)).or_else(|| names.clone().next())
}

/// Returns the managed edition's configuration without a name, if a node is or holds it. It is known by its settings.
fn bare_addon(node: &Node) -> Option<AddonNode<'_>> {
    let is = |config: &&Node| is_bare_config(config, MAX_WRAPS);
    // A key with a quote or a space has swallowed a comment, and perhaps a name.
    let named = name(node).is_some() || node.pairs().iter().any(|pair| pair.name().contains(['"', ' ']));
    let within = || value(node, &CONFIGS).map(decoded).filter(|_| !named);
    let within = || within().filter(|config| is(config) || config.style == Style::Expression);
    let config = Some(node).filter(is).or_else(within);
    config.map(|config| AddonNode { name: node, config: Some(config), other: None })
}

/// Returns whether a map, or the map in a text, has a setting. A text that begins as one may be broken.
fn is_bare_config(node: &Node, wraps: usize) -> bool {
    let Some(text) = node.text().filter(|_| wraps > 0) else { return has_setting(node) };
    // The inside of quotes has its own escaped.
    let text = if text.starts_with("{\\") { &text.replace("\\\"", "\"") } else { text };
    match parse_yaml(text) {
        Ok(inner) if inner.text() == Some(text) => false,
        Ok(inner) => is_bare_config(&inner, wraps - 1),
        Err(_) => text.trim_start().starts_with('{'),
    }
}

/// Returns whether a map has a setting of the managed edition. Its reader takes the keys in any case.
pub(super) fn has_setting(node: &Node) -> bool {
    node.pairs().iter().any(|pair| KEYS.iter().any(|key| key.eq_ignore_ascii_case(pair.name())))
}

/// Returns the map in a function of a template language that makes a text of it.
fn decoded(config: &Node) -> &Node {
    match config.pairs() {
        [only] if ["fn::tojson", "fn::tojsonstring"].contains(&only.name().to_ascii_lowercase().as_str()) => {
            &only.value
        }
        _ => config,
    }
}

/// Returns whether a key is one of some, in any case and with any signs between its words.
fn is_one(names: &[&str], key: &str) -> bool {
    fn letters(key: &str) -> impl Iterator<Item = u8> {
        key.bytes().filter(|byte| !matches!(byte, b'_' | b'-')).map(|byte| byte.to_ascii_lowercase())
    }
    names.iter().any(|name| letters(name).eq(letters(key)))
}

fn value<'a>(node: &'a Node, names: &[&str]) -> Option<&'a Node> {
    node.pairs().iter().find(|pair| is_one(names, pair.name())).map(|pair| &pair.value)
}

/// Returns whether two nodes say the same, wherever they are.
fn same(one: Option<&Node>, other: Option<&Node>) -> bool {
    match (one.map(|node| &node.value), other.map(|node| &node.value)) {
        (None, None) | (Some(Value::Null), Some(Value::Null)) => true,
        (Some(Value::Text(one)), Some(Value::Text(other))) => one.trim() == other.trim(),
        (Some(Value::List(one)), Some(Value::List(other))) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(Some(one), Some(other)))
        }
        (Some(Value::Map(pairs)), Some(Value::Map(others))) => {
            let mut both = pairs.iter().zip(others);
            pairs.len() == others.len()
                && both.all(|(one, other)| {
                    one.name() == other.name() && same(Some(&one.value), Some(&other.value))
                })
        }
        _ => false,
    }
}

/// Returns whether an object is a ConfigMap: by its kind, or by its parts as Terraform and Pulumi have it.
fn is_config_map(node: &Node) -> bool {
    match node.get("kind") {
        Some(kind) => kind.text() == Some("ConfigMap"),
        None => node.get("metadata").is_some() && node.get("data").is_some(),
    }
}

/// Returns whether a map has a key of the legacy ConfigMap.
pub(super) fn has_ours(node: &Node) -> bool {
    node.pairs().iter().any(|pair| data_key(pair.name()).is_some())
}

/// Returns the metadata of an object. A state of Terraform has a list of one.
pub(super) fn metadata(object: &Node) -> Option<&Node> {
    let metadata = object.get("metadata")?;
    Some(metadata.items().first().unwrap_or(metadata))
}

fn of_metadata<'a>(object: &'a Node, field: &str) -> Option<&'a Node> {
    metadata(object)?.get(field)
}

/// Returns the objects of a file, also those within a List.
fn objects(roots: &[Node]) -> Vec<&Node> {
    let listed = roots.iter().flat_map(|root| root.get("items").map(Node::items).unwrap_or_default());
    roots.iter().chain(listed).collect()
}

/// Returns all nodes with their keys, level by level.
fn descendants(roots: &[Node]) -> Vec<(Option<&str>, &Node)> {
    let mut all: Vec<(Option<&str>, &Node)> = roots.iter().map(|root| (None, root)).collect();
    let mut next = 0;
    while let Some(&(_, node)) = all.get(next) {
        next += 1;
        all.extend(node.items().iter().map(|item| (None, item)));
        // What a plan changes says all that is planned.
        let planned = node.get("resource_changes").is_some_and(|changes| !changes.items().is_empty());
        let read = |name: &str| !SKIPPED.contains(&name) && (!planned || name == "resource_changes");
        let pairs = node.pairs().iter().filter(|pair| read(pair.name()));
        all.extend(pairs.map(|pair| (Some(pair.name()), &pair.value)));
    }
    all
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

/// Returns whether a file names a thing.
pub(super) fn names(roots: &[Node], wanted: &str) -> bool {
    let named = |node: &Node| name(node).and_then(Node::text) == Some(wanted);
    descendants(roots)
        .into_iter()
        .any(|(key, node)| key == Some(wanted) || named(node) || node.text() == Some(wanted))
}
