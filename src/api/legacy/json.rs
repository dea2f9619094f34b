//! JSON as the user wrote it, in the tree of the YAML reader.
//!
//! A plan or a state of Terraform is one line of megabytes. `serde_json` decides what JSON is, and lends each value
//! as a part of the text, which gives its place.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::node::{Fault, FaultKind, Node, Pair, Style, Value};

/// The most nodes of a text, and the most lists and maps around one: reading a hostile text must end.
const MAX_NODES: usize = 1_000_000;
const MAX_DEPTH: usize = 100;

/// Reads all JSON values of a text.
///
/// # Errors
/// The first fault.
pub fn parse_json(text: &str) -> Result<Vec<Node>, Fault> {
    let bare = text.trim_start_matches('\u{feff}');
    let mut reader = JsonReader { text, nodes: MAX_NODES };
    let values = serde_json::Deserializer::from_str(bare).into_iter::<&RawValue>();
    values.map(|raw| raw.map_err(|error| syntax(text, &error)).and_then(|raw| reader.node(raw, 0))).collect()
}

fn syntax(text: &str, error: &serde_json::Error) -> Fault {
    let start: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let at = (start + error.column().saturating_sub(1)).min(text.len());
    let why = error.to_string();
    let why = why.split(" at line ").next().unwrap_or_default().to_owned();
    Fault { kind: FaultKind::Syntax, at, line: error.line(), why }
}

struct JsonReader<'a> {
    text: &'a str,
    nodes: usize,
}

impl<'a> JsonReader<'a> {
    fn node(&mut self, raw: &'a RawValue, depth: usize) -> Result<Node, Fault> {
        let source = raw.get();
        let start = (source.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let span = start..start + source.len();
        self.nodes = self.nodes.saturating_sub(1);
        if depth > MAX_DEPTH || self.nodes == 0 {
            let why = "it is larger or deeper than configuration can be".to_owned();
            return Err(Fault { kind: FaultKind::Excessive, at: start, line: 0, why });
        }
        let fault = |error| syntax(self.text, &error);
        let (style, value) = match source.as_bytes().first() {
            Some(b'{') => {
                let RawPairs(entries) = serde_json::from_str(source).map_err(fault)?;
                let pair = |(key, value)| {
                    Ok(Pair { key: self.node(key, depth + 1)?, value: self.node(value, depth + 1)? })
                };
                (Style::Flow, Value::Map(entries.into_iter().map(pair).collect::<Result<_, _>>()?))
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(source).map_err(fault)?;
                let items = items.into_iter().map(|item| self.node(item, depth + 1));
                (Style::Flow, Value::List(items.collect::<Result<_, _>>()?))
            }
            Some(b'"') => text(source, &span, serde_json::from_str(source).map_err(fault)?),
            Some(b'n') => (Style::Plain, Value::Null),
            _ => (Style::Plain, Value::Text(source.to_owned())),
        };
        Ok(Node { span: Some(span), style, value })
    }
}

fn text(source: &str, span: &Range<usize>, text: String) -> (Style, Value) {
    let own = source.get(1..span.len().saturating_sub(1)) == Some(text.as_str());
    (if own { Style::Quoted } else { Style::Escaped }, Value::Text(text))
}

/// The pairs of an object in the order written, with a repeated key repeated.
struct RawPairs<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for RawPairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawPairsVisitor)
    }
}

struct RawPairsVisitor;

impl<'de> Visitor<'de> for RawPairsVisitor {
    type Value = RawPairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let pairs = std::iter::from_fn(|| map.next_entry().transpose());
        Ok(RawPairs(pairs.collect::<Result<_, _>>()?))
    }
}
