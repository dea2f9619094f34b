//! States of Terraform up to 0.11. Their attributes are flat: `addons.0.name`, beside the count `addons.#`.

use crate::api::legacy::{Node, Pair, Style, Value};

/// The most levels of attributes.
const MAX_DEPTH: usize = 16;

/// Gives attributes of a flat state their levels.
pub(super) fn unfold(root: &mut Node) {
    if root.get("version").and_then(Node::text) != Some("3") {
        return;
    }
    for module in children(child(root, "modules")) {
        for resource in children(child(module, "resources")) {
            let primary = child(resource, "primary");
            let Some(attributes) = primary.and_then(|primary| child(primary, "attributes")) else { continue };
            if let Value::Map(pairs) = &mut attributes.value {
                *pairs = unfolded(std::mem::take(pairs), 0);
            }
        }
    }
}

fn child<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    let Value::Map(pairs) = &mut node.value else { return None };
    pairs.iter_mut().rev().find(|pair| pair.name() == key).map(|pair| &mut pair.value)
}

fn children(node: Option<&mut Node>) -> Vec<&mut Node> {
    match node.map(|node| &mut node.value) {
        Some(Value::List(items)) => items.iter_mut().collect(),
        Some(Value::Map(pairs)) => pairs.iter_mut().map(|pair| &mut pair.value).collect(),
        _ => Vec::new(),
    }
}

/// Returns pairs with one for each list and map, in the order of their first parts.
fn unfolded(pairs: Vec<Pair>, depth: usize) -> Vec<Pair> {
    let mut groups: Vec<(String, Vec<Pair>)> = Vec::new();
    let mut result = Vec::new();
    let counts: Vec<String> =
        pairs.iter().filter_map(|pair| counted(pair.name())).map(str::to_owned).collect();
    for mut pair in pairs {
        let parts = pair.name().split_once('.').map(|(first, rest)| (first.to_owned(), rest.to_owned()));
        match parts.filter(|(first, _)| depth < MAX_DEPTH && counts.contains(first)) {
            Some((first, rest)) => {
                pair.key = named(rest, &pair.key);
                match groups.iter_mut().find(|(name, _)| *name == first) {
                    Some((_, group)) => group.push(pair),
                    None => groups.push((first, vec![pair])),
                }
            }
            None => result.push(pair),
        }
    }
    result.extend(groups.into_iter().filter_map(|(name, pairs)| {
        let key = named(name, &pairs.first()?.key);
        let (mut counts, pairs): (Vec<Pair>, Vec<Pair>) =
            pairs.into_iter().partition(|pair| matches!(pair.name(), "#" | "%"));
        let is_map = counts.pop()?.name() == "%";
        let value = if is_map { Value::Map(pairs) } else { Value::List(items(pairs, depth + 1)) };
        Some(Pair { key, value: Node { span: None, style: Style::Block, value } })
    }));
    result
}

/// Returns the name of the list or the map whose count this key has.
fn counted(key: &str) -> Option<&str> {
    let name = key.strip_suffix(".#").or_else(|| key.strip_suffix(".%"))?;
    (!name.contains('.')).then_some(name)
}

/// Returns the items of a list: `0` is one, and so are `0.a` and `0.b` together. A set has hashes in the place of numbers.
fn items(pairs: Vec<Pair>, depth: usize) -> Vec<Node> {
    let mut items: Vec<(String, Vec<Pair>)> = Vec::new();
    let mut texts = Vec::new();
    for mut pair in pairs {
        let Some((index, rest)) = pair.name().split_once('.') else {
            texts.push(pair.value);
            continue;
        };
        let (index, rest) = (index.to_owned(), rest.to_owned());
        pair.key = named(rest, &pair.key);
        match items.last_mut().filter(|(last, _)| *last == index) {
            Some((_, item)) => item.push(pair),
            None => items.push((index, vec![pair])),
        }
    }
    let map =
        |(_, pairs)| Node { span: None, style: Style::Block, value: Value::Map(unfolded(pairs, depth)) };
    texts.into_iter().chain(items.into_iter().map(map)).collect()
}

/// Returns a key with a part of its name. Nothing can be written in its place.
fn named(name: String, key: &Node) -> Node {
    Node { span: key.span.clone(), style: Style::Alias, value: Value::Text(name) }
}
