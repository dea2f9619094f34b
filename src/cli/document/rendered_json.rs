//! A list or a map of the file as JSON, with the place of each byte.

use std::ops::Range;

use super::source_map::SourceMap;
use crate::api::legacy::{Node, Style, Value};

/// JSON, and for each of its bytes the bytes of the file. Those of a scalar are in a row; signs between two scalars
/// have an empty place apart from both.
pub(super) struct RenderedJson<'a> {
    text: &'a str,
    pub(super) value: String,
    pub(super) places: Vec<(usize, usize)>,
}

impl<'a> RenderedJson<'a> {
    pub(super) fn of(text: &'a str, node: &Node) -> Self {
        let mut json = Self { text, value: String::new(), places: Vec::new() };
        let source = node.span.clone().and_then(|span| text.get(span)).unwrap_or_default();
        if node.items().is_empty() || !source.starts_with("yamlencode") {
            json.node(node);
            return json;
        }
        // It writes each item on a line of its own.
        for item in node.items() {
            let at = item.span.as_ref().map_or(0, |span| span.start.saturating_sub(1));
            json.put("- ", (at, at));
            json.node(item);
            json.put("\n", (at, at));
        }
        json
    }

    fn node(&mut self, node: &Node) {
        let span = node.span.clone().unwrap_or_default();
        match &node.value {
            Value::Null => self.put("null", (span.start, span.end)),
            Value::Text(text) => self.scalar(text, node.style, &span),
            Value::List(items) => {
                self.put("[", (span.start, span.start));
                for (index, item) in items.iter().enumerate() {
                    self.separate(index, item);
                    self.node(item);
                }
                self.put("]", (span.end, span.end));
            }
            Value::Map(pairs) => {
                self.put("{", (span.start, span.start));
                for (index, pair) in pairs.iter().enumerate() {
                    self.separate(index, &pair.key);
                    self.scalar(pair.name(), pair.key.style, &pair.key.span.clone().unwrap_or_default());
                    let end = pair.key.span.as_ref().map_or(0, |key| key.end);
                    self.put(":", (end, end));
                    self.node(&pair.value);
                }
                self.put("}", (span.end, span.end));
            }
        }
    }

    fn separate(&mut self, index: usize, next: &Node) {
        let at = next.span.as_ref().map_or(0, |span| span.start.saturating_sub(1));
        if index > 0 {
            self.put(",", (at, at));
        }
    }

    fn scalar(&mut self, text: &str, style: Style, span: &Range<usize>) {
        // Where the places in it are unknown, only the whole can be replaced.
        let map = SourceMap::of(self.text, text, style, span);
        let unknown = || vec![(span.start, span.start); text.len()];
        let places = map.map_or_else(unknown, |map| map.places);
        let first = places.first().map_or(span.start, |place| place.0);
        let last = places.last().map_or(first, |place| place.1);
        // The lines of a block do not end where it does.
        let block = matches!(style, Style::Literal | Style::Folded);
        let around = if block { (span.end, span.end) } else { (span.start, first) };
        self.put("\"", around);
        for (at, c) in text.char_indices() {
            let written = serde_json::Value::from(c.to_string()).to_string();
            let place = places.get(at).copied().unwrap_or((first, first));
            self.put(&written[1..written.len() - 1], place);
        }
        self.put("\"", if block { (span.start, span.start) } else { (last, span.end) });
    }

    fn put(&mut self, json: &str, place: (usize, usize)) {
        self.value.push_str(json);
        self.places.extend(std::iter::repeat_n(place, json.len()));
    }
}
