//! Manifests for people: in the order of their fields, without the fields that the schema would add by itself.

use serde::ser::{Serialize, Serializer};
use serde_json::{Number, Value as Json};

use crate::api::legacy::{Node, Style, Value};

/// Writes a node with the types that its scalars have for YAML.
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Null => serializer.serialize_unit(),
            Value::Text(text) => match text.as_str() {
                plain @ ("true" | "false") if self.style == Style::Plain => {
                    serializer.serialize_bool(plain == "true")
                }
                plain if self.style == Style::Plain => match plain.parse::<Number>() {
                    Ok(number) => number.serialize(serializer),
                    Err(_) => serializer.serialize_str(plain),
                },
                text => serializer.serialize_str(text),
            },
            Value::List(items) => serializer.collect_seq(items),
            Value::Map(pairs) => serializer.collect_map(pairs.iter().map(|pair| (pair.name(), &pair.value))),
        }
    }
}

/// Removes the fields whose values the schema gives to absent ones.
pub(super) fn prune(node: &mut Node, schema: &Json) -> Result<(), serde_json::Error> {
    match &mut node.value {
        Value::List(items) => items.iter_mut().try_for_each(|item| prune(item, &schema["items"])),
        Value::Map(pairs) => {
            for mut pair in std::mem::take(pairs) {
                let schema = &schema["properties"][pair.name()];
                let default = Some(&serde_json::to_value(&pair.value)?) == schema.get("default");
                prune(&mut pair.value, schema)?;
                if !default && !matches!(pair.value.value, Value::Null) {
                    pairs.push(pair);
                }
            }
            Ok(())
        }
        Value::Null | Value::Text(_) => Ok(()),
    }
}
