//! YAML as the user wrote it: one tree of nodes, for a manifest and for the text of one of its keys.
//!
//! The user's text decides, not what YAML makes of it: `no`, `0123`, `1.10` and a key pair of digits only stay
//! the text that they are.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use granit_parser::{Event, Options, Parser, ScalarStyle, StructureStyle, Tag};

use super::node::{Fault, FaultKind, Node, Pair, Style, Value};

/// Bounds of a text.
struct Limits {
    nodes: usize,
    depth: usize,
    /// The most bytes of all scalars, copies included.
    bytes: usize,
    /// Whether the text has one document, in which an alias may copy a list or a map.
    nested: bool,
}

/// Reads the YAML of one key.
///
/// # Errors
/// The first fault.
pub fn parse_yaml(text: &str) -> Result<Node, Fault> {
    // Sixty-four full entries are some 1,400 nodes, three deep.
    parse_nested(text, 6_000)
}

/// Reads the YAML of one entry, with limits that let many be read one after the other.
///
/// # Errors
/// The first fault.
pub fn parse_entry(text: &str) -> Result<Node, Fault> {
    parse_nested(text, 1_000)
}

fn parse_nested(text: &str, nodes: usize) -> Result<Node, Fault> {
    let (mut roots, fault) = parse(text, Limits { nodes, depth: 16, bytes: 1 << 20, nested: true });
    fault.map_or_else(|| Ok(roots.pop().unwrap_or(Node::ABSENT)), Err)
}

/// Reads all documents of a manifest up to the first fault, and that fault.
pub fn parse_manifest(text: &str) -> (Vec<Node>, Option<Fault>) {
    // A manifest has far fewer nodes, but reading a hostile one must end.
    parse(text, Limits { nodes: 100_000, depth: 64, bytes: 16 << 20, nested: false })
}

fn parse(text: &str, limits: Limits) -> (Vec<Node>, Option<Fault>) {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut builder = Builder { text, limits, roots: Vec::new(), open: Vec::new(), anchors: HashMap::new() };
    for event in Parser::new_from_str_with_options(text, options) {
        let (marker, kind, why) = match event {
            Ok((event, span)) => match builder.add(event, span.byte_range().unwrap_or_default()) {
                Ok(()) => continue,
                Err((kind, why)) => (span.start, kind, why.to_owned()),
            },
            Err(error) => (*error.marker(), FaultKind::Syntax, error.kind().to_string()),
        };
        let at = marker.byte_offset().unwrap_or(text.len()).min(text.len());
        return (builder.roots, Some(Fault { kind, at, line: marker.line(), why }));
    }
    (builder.roots, None)
}

type Refused = (FaultKind, &'static str);

struct Builder<'a> {
    text: &'a str,
    limits: Limits,
    roots: Vec<Node>,
    open: Vec<OpenNode>,
    /// The anchored nodes. One that is still open is not among them.
    anchors: HashMap<usize, Node>,
}

/// Returns a node below the name of the function that its tag calls.
fn called(function: Option<String>, node: Node) -> Node {
    let Some(name) = function else { return node };
    let span = node.span.clone();
    let key = Node { span: span.clone(), style: Style::Alias, value: Value::Text(name) };
    Node { span, style: Style::Alias, value: Value::Map(vec![Pair { key, value: node }]) }
}

struct OpenNode {
    node: Node,
    anchor: usize,
    key: Option<Node>,
    /// The function that its tag calls.
    function: Option<String>,
}

impl Builder<'_> {
    fn add(&mut self, event: Event<'_>, span: Range<usize>) -> Result<(), Refused> {
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let function = self.function(tag.as_deref());
                let tagged = tag.is_some() && function.is_none();
                let node = self.scalar(value.into_owned(), style, tagged, span);
                self.close(called(function, node), anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                let function = self.function(tag.as_deref());
                self.begin(Value::List(Vec::new()), style, span)?;
                self.name(anchor, function)
            }
            Event::MappingStart(style, anchor, tag) => {
                let function = self.function(tag.as_deref());
                self.begin(Value::Map(Vec::new()), style, span)?;
                self.name(anchor, function)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(OpenNode { mut node, anchor, function, .. }) = self.open.pop() else {
                    return Ok(());
                };
                let last = match &node.value {
                    _ if node.style == Style::Flow => None,
                    Value::Map(pairs) => pairs.last().map(|pair| &pair.value),
                    _ => node.items().last(),
                };
                let end = last.and_then(|last| last.span.as_ref()).map_or(span.end, |last| last.end);
                if let Some(span) = &mut node.span {
                    span.end = end;
                }
                if self.limits.nested {
                    self.merge(&mut node)?;
                }
                self.close(called(function, node), anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err((FaultKind::Excessive, "an alias is within its own anchor: write it out"));
                };
                if !self.limits.nested && !matches!(node.value, Value::Text(_) | Value::Null) {
                    return Err((FaultKind::Syntax, "an alias of a list or a map: write it out"));
                }
                let copy = self.copy(&node.clone(), Some(span))?;
                self.close(copy, 0)
            }
            _ => Ok(()),
        }
    }

    fn scalar(&self, text: String, style: ScalarStyle, tagged: bool, span: Range<usize>) -> Node {
        let source = self.text.get(span.clone()).unwrap_or_default();
        let style = match style {
            ScalarStyle::Literal => Style::Literal,
            ScalarStyle::Folded => Style::Folded,
            ScalarStyle::Plain if tagged || source != text => Style::Wrapped,
            ScalarStyle::Plain => Style::Plain,
            _ if source.get(1..source.len().saturating_sub(1)) == Some(text.as_str()) => Style::Quoted,
            _ => Style::Escaped,
        };
        let plain = matches!(style, Style::Plain | Style::Wrapped);
        let null = plain && !tagged && matches!(text.as_str(), "~" | "null" | "Null" | "NULL");
        Node { span: Some(span), style, value: if null { Value::Null } else { Value::Text(text) } }
    }

    fn begin(&mut self, value: Value, style: StructureStyle, span: Range<usize>) -> Result<(), Refused> {
        self.one_document()?;
        if self.open.len() >= self.limits.depth {
            return Err((FaultKind::Excessive, "it is deeper than configuration can be"));
        }
        let style = if style == StructureStyle::Flow { Style::Flow } else { Style::Block };
        let node = Node { span: Some(span), style, value };
        self.open.push(OpenNode { node, anchor: 0, key: None, function: None });
        Ok(())
    }

    /// Gives the last list or map that was begun its anchor and its function.
    fn name(&mut self, anchor: usize, function: Option<String>) -> Result<(), Refused> {
        if let Some(open) = self.open.last_mut() {
            (open.anchor, open.function) = (anchor, function);
        }
        Ok(())
    }

    /// Returns the function that a tag calls in a template for a stack of resources: `!Ref` and `!Sub` are the short
    /// forms of `Ref` and `Fn::Sub`. No other tag of a file begins with a capital letter.
    fn function(&self, tag: Option<&Tag>) -> Option<String> {
        let name = tag.filter(|tag| !self.limits.nested && tag.handle() == "!")?.suffix();
        let capital = name.starts_with(|c: char| c.is_ascii_uppercase());
        let word = name.len() <= 40 && name.chars().all(|c| c.is_ascii_alphanumeric());
        let long = || if name == "Ref" { name.to_owned() } else { format!("Fn::{name}") };
        (capital && word).then(long)
    }

    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Refused> {
        self.one_document()?;
        self.spend(1, node.text().map_or(0, str::len))?;
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(OpenNode { node: open, key, .. }) = self.open.last_mut() else {
            self.roots.push(node);
            return Ok(());
        };
        match &mut open.value {
            Value::Map(pairs) => match key.take() {
                None => *key = Some(node),
                Some(key) => pairs.push(Pair { key, value: node }),
            },
            Value::List(items) => items.push(node),
            Value::Null | Value::Text(_) => {}
        }
        Ok(())
    }

    fn one_document(&self) -> Result<(), Refused> {
        if self.limits.nested && self.open.is_empty() && !self.roots.is_empty() {
            return Err((FaultKind::Documents, "it has more than one document"));
        }
        Ok(())
    }

    fn spend(&mut self, nodes: usize, bytes: usize) -> Result<(), Refused> {
        let too_large = (FaultKind::Excessive, "it is larger than configuration can be");
        let left = |limit: usize, spent: usize| limit.checked_sub(spent).ok_or(too_large);
        self.limits.nodes = left(self.limits.nodes, nodes)?;
        self.limits.bytes = left(self.limits.bytes, bytes)?;
        Ok(())
    }

    /// Copies a node, which counts as if it were written again. Its places are that of the alias, or its own.
    fn copy(&mut self, node: &Node, place: Option<Range<usize>>) -> Result<Node, Refused> {
        let (mut copy, mut nodes, mut bytes) = (node.clone(), 0, 0);
        copy.visit(&mut |node| {
            (nodes, bytes) = (nodes + 1, bytes + node.text().map_or(0, str::len));
            node.style = Style::Alias;
            node.span = place.clone().or_else(|| node.span.take());
        });
        self.spend(nodes, bytes)?;
        Ok(copy)
    }

    /// Puts the pairs of a map's `<<` in its place, but for the keys that the map has itself.
    fn merge(&mut self, node: &mut Node) -> Result<(), Refused> {
        let Value::Map(pairs) = &mut node.value else { return Ok(()) };
        let is_merge = |pair: &mut Pair| pair.key.style == Style::Plain && pair.name() == "<<";
        let merges: Vec<Pair> = pairs.extract_if(.., is_merge).collect();
        let mut names: HashSet<String> = pairs.iter().map(|pair| pair.name().to_owned()).collect();
        for Pair { value, .. } in &merges {
            let maps = if value.items().is_empty() { std::slice::from_ref(value) } else { value.items() };
            for map in maps {
                if !matches!(map.value, Value::Map(_) | Value::Null) {
                    return Err((FaultKind::Syntax, "a << that is not followed by a map"));
                }
                for pair in map.pairs() {
                    if names.insert(pair.name().to_owned()) {
                        let (key, value) = (self.copy(&pair.key, None)?, self.copy(&pair.value, None)?);
                        pairs.push(Pair { key, value });
                    }
                }
            }
        }
        Ok(())
    }
}
