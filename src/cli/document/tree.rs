//! The strict reading of the outer YAML, or JSON: nodes with their places.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

/// The most nodes of a file, and how deep they may lie: a manifest has far fewer, a hostile one must end.
const MAX_NODES: usize = 100_000;
const MAX_DEPTH: usize = 64;

/// A node. It may hold a key pair, hence no `Debug`.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Clone)]
pub(super) enum Kind {
    Scalar { value: String, style: ScalarStyle, tagged: bool },
    List { items: Vec<Node>, flow: bool },
    Map { pairs: Vec<(Node, Node)>, flow: bool },
}

impl Node {
    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    pub(super) fn pairs(&self) -> &[(Node, Node)] {
        match &self.kind {
            Kind::Map { pairs, .. } => pairs,
            _ => &[],
        }
    }

    pub(super) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List { items, .. } => items,
            _ => &[],
        }
    }

    /// Whether nothing stands there, or a word for it.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { value, style: ScalarStyle::Plain, tagged: false }
            if matches!(value.as_str(), "~" | "null" | "Null" | "NULL" | ""))
    }

    /// The last value under a key, as most readers take it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.pairs().iter().rev().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }
}

/// Why a text is no YAML: a place and the parser's words, which hold nothing of the text.
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) why: String,
}

/// All documents up to the first fault, and that fault.
pub(super) fn parse(text: &str) -> (Vec<Node>, Option<Fault>) {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(read) => read,
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
                return (builder.roots, Some(Fault { at, why: error.kind().to_string() }));
            }
        };
        let span = span.byte_range().unwrap_or_default();
        let at = span.start;
        if let Err(why) = builder.add(event, span) {
            return (builder.roots, Some(Fault { at, why: why.to_owned() }));
        }
    }
    (builder.roots, None)
}

#[derive(Default)]
struct Builder {
    roots: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

struct Open {
    node: Node,
    anchor: usize,
    key: Option<Node>,
}

impl Builder {
    fn add(&mut self, event: Event<'_>, span: Range<usize>) -> Result<(), &'static str> {
        let flow = |style: StructureStyle| style == StructureStyle::Flow;
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let tagged = tag.is_some();
                let kind = Kind::Scalar { value: value.into_owned(), style, tagged };
                self.close(Node { span, kind }, anchor)
            }
            Event::SequenceStart(style, anchor, _) => {
                self.begin(Kind::List { items: Vec::new(), flow: flow(style) }, span, anchor)
            }
            Event::MappingStart(style, anchor, _) => {
                self.begin(Kind::Map { pairs: Vec::new(), flow: flow(style) }, span, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(mut open) = self.open.pop() else { return Ok(()) };
                let last = match &open.node.kind {
                    Kind::List { items, flow: false } => items.last(),
                    Kind::Map { pairs, flow: false } => pairs.last().map(|(_, value)| value),
                    _ => None,
                };
                open.node.span.end = last.map_or(span.end, |last| last.span.end);
                self.close(open.node, open.anchor)
            }
            Event::Alias(anchor) => {
                let mut node =
                    self.anchors.get(&anchor).cloned().ok_or("an alias of a list or a map: write it out")?;
                if node.text().is_none() {
                    node.span = span;
                }
                self.close(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, kind: Kind, span: Range<usize>, anchor: usize) -> Result<(), &'static str> {
        if self.open.len() >= MAX_DEPTH {
            return Err("it is deeper than a manifest can be");
        }
        self.open.push(Open { node: Node { span, kind }, anchor, key: None });
        Ok(())
    }

    fn close(&mut self, node: Node, anchor: usize) -> Result<(), &'static str> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err("it is larger than a manifest can be");
        }
        // Only texts may be repeated by an alias: copies of copies of a list would fill the memory.
        if anchor > 0 && node.text().is_some() {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.roots.push(node);
            return Ok(());
        };
        match &mut open.node.kind {
            Kind::List { items, .. } => items.push(node),
            Kind::Map { pairs, .. } => match open.key.take() {
                None => open.key = Some(node),
                Some(key) => pairs.push((key, node)),
            },
            Kind::Scalar { .. } => {}
        }
        Ok(())
    }
}
