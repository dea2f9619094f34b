//! HCL as the user wrote it, in the tree of the YAML reader.
//!
//! A block with labels becomes maps in maps, as Terraform's own JSON has it: `resource "t" "n" {}` is
//! `{"resource": {"t": {"n": {}}}}`. What needs more than the file keeps its place, and is never evaluated.
//!
//! `hcl-edit` refuses more than 64 levels and 128 operators in a row, so that no text exhausts the stack. It compares
//! each key of an object with all others, hence the limit of assignments.

use std::collections::HashMap;
use std::ops::Range;

use hcl_edit::Span;
use hcl_edit::expr::{Expression, FuncCall, Object, ObjectKey, Traversal, TraversalOperator};
use hcl_edit::parser::{parse_body, parse_expr};
use hcl_edit::structure::{Attribute, Block, Body, Structure};
use hcl_edit::template::{Element, HeredocTemplate, Template};

use super::node::{Fault, FaultKind, Node, Pair, Style, Value};

/// The most bytes and assignments of a text.
const MAX_BYTES: usize = 1 << 20;
const MAX_ASSIGNMENTS: usize = 10_000;

/// The most levels of nodes, and the most nodes in copies of local values: each may name another twice.
const MAX_DEPTH: usize = 128;
const MAX_COPIED: usize = 100_000;

/// Functions that give what they are given, as far as a configuration is concerned.
const TRANSPARENT: [&str; 10] = [
    "sensitive",
    "nonsensitive",
    "tostring",
    "tomap",
    "tolist",
    "toset",
    "trimspace",
    "chomp",
    "yamldecode",
    "jsondecode",
];

/// Reads a file of HCL, or one expression.
///
/// # Errors
/// The fault of the text as a file.
pub fn parse_hcl(text: &str) -> Result<Node, Fault> {
    let assignments = text.bytes().filter(|byte| matches!(byte, b'=' | b':')).take(MAX_ASSIGNMENTS + 1);
    if text.len() > MAX_BYTES || assignments.count() > MAX_ASSIGNMENTS {
        let why = "it is larger than configuration can be".to_owned();
        return Err(Fault { kind: FaultKind::Excessive, at: 0, line: 1, why });
    }
    let bare = text.trim_start_matches('\u{feff}');
    let shift = text.len() - bare.len();
    let mut node = match parse_body(bare) {
        Ok(body) => HclReader::of(bare, &body).body(&body, 0),
        Err(error) => {
            let expression = parse_expr(bare.trim()).map_err(|_| {
                let (at, line) = (error.location().offset() + shift, error.location().line());
                Fault { kind: FaultKind::Syntax, at, line, why: error.message().to_owned() }
            })?;
            let lead = bare.len() - bare.trim_start().len();
            let mut node = HclReader::of(bare.trim(), &Body::new()).expression(&expression, 0);
            node.relocate(&|span| Some(span.start + lead..span.end + lead));
            node
        }
    };
    node.relocate(&|span| Some(span.start + shift..span.end + shift));
    Ok(node)
}

struct HclReader<'a> {
    text: &'a str,
    /// The local values of the file.
    locals: HashMap<&'a str, &'a Expression>,
    /// How many nodes copies may still have, and whether one is being made.
    copies: usize,
    copying: bool,
}

impl<'a> HclReader<'a> {
    fn of(text: &'a str, body: &'a Body) -> Self {
        let attributes = body.get_blocks("locals").flat_map(|block| block.body.attributes());
        let locals = attributes.map(|attribute| (attribute.key.as_str(), &attribute.value)).collect();
        Self { text, locals, copies: MAX_COPIED, copying: false }
    }

    fn body(&mut self, body: &Body, depth: usize) -> Node {
        let pairs = body.iter().map(|structure| match structure {
            Structure::Attribute(Attribute { key, value, .. }) => {
                Pair { key: word(key.as_str(), key.span()), value: self.expression(value, depth + 1) }
            }
            Structure::Block(block) => self.block(block, depth + 1),
        });
        Node { value: Value::Map(pairs.collect()), style: Style::Block, span: body.span() }
    }

    fn block(&mut self, block: &Block, depth: usize) -> Pair {
        let content = self.body(&block.body, depth);
        let labels = block.labels.iter().rev().fold(content, |value, label| {
            let span = value.span.clone();
            let key = word(label.as_str(), label.span());
            Node { value: Value::Map(vec![Pair { key, value }]), style: Style::Block, span }
        });
        Pair { key: word(block.ident.as_str(), block.ident.span()), value: labels }
    }

    fn expression(&mut self, expression: &Expression, depth: usize) -> Node {
        let span = expression.span();
        self.copies = self.copies.saturating_sub(usize::from(self.copying));
        if depth > MAX_DEPTH || self.copying && self.copies == 0 {
            return unknown(span, Vec::new());
        }
        let source = span.clone().and_then(|span| self.text.get(span)).unwrap_or_default();
        let (style, value) = match expression {
            Expression::Null(_) => (Style::Plain, Value::Null),
            Expression::Bool(_) | Expression::Number(_) => (Style::Plain, Value::Text(source.to_owned())),
            Expression::String(text) => {
                let own = source.get(1..source.len().saturating_sub(1)) == Some(text.as_str());
                (if own { Style::Quoted } else { Style::Escaped }, Value::Text(text.to_string()))
            }
            Expression::Array(array) => {
                let items = array.iter().map(|item| self.expression(item, depth + 1));
                (Style::Flow, Value::List(items.collect()))
            }
            Expression::Object(object) => (Style::Flow, Value::Map(self.pairs(object, depth))),
            Expression::StringTemplate(template) => return self.template(template, span, depth),
            Expression::HeredocTemplate(heredoc) => return self.heredoc(heredoc, span, depth),
            Expression::Parenthesis(inner) => return self.expression(inner.inner(), depth + 1),
            Expression::FuncCall(call) => return self.call(call, span, depth),
            Expression::Traversal(traversal) => return self.traversal(traversal, span, depth),
            Expression::Conditional(conditional) => {
                let parts = [&conditional.true_expr, &conditional.false_expr];
                return self.unknown(span, parts, depth);
            }
            Expression::ForExpr(each) => {
                let parts = [&each.intro.collection_expr, &each.value_expr];
                return self.unknown(span, parts, depth);
            }
            Expression::Variable(_) | Expression::UnaryOp(_) | Expression::BinaryOp(_) => {
                return unknown(span, Vec::new());
            }
        };
        Node { span, style, value }
    }

    fn unknown<'e>(
        &mut self,
        span: Option<Range<usize>>,
        parts: impl IntoIterator<Item = &'e Expression>,
        depth: usize,
    ) -> Node {
        let parts = parts.into_iter().map(|part| self.expression(part, depth + 1)).collect();
        unknown(span, parts)
    }

    fn pairs(&mut self, object: &Object, depth: usize) -> Vec<Pair> {
        let pairs = object.iter().map(|(key, value)| {
            let key = match key {
                ObjectKey::Ident(ident) => word(ident.as_str(), key.span()),
                ObjectKey::Expression(key) => self.expression(key, depth + 1),
            };
            Pair { key, value: self.expression(value.expr(), depth + 1) }
        });
        pairs.collect()
    }

    fn template(&mut self, template: &Template, span: Option<Range<usize>>, depth: usize) -> Node {
        let parts: Vec<&Expression> = template
            .iter()
            .filter_map(|element| match element {
                Element::Interpolation(part) => Some(&part.expr),
                Element::Literal(_) | Element::Directive(_) => None,
            })
            .collect();
        match parts.as_slice() {
            // Quotes around one expression are its old spelling.
            [only] if template.len() == 1 => self.expression(only, depth + 1),
            _ => self.unknown(span, parts, depth),
        }
    }

    fn heredoc(&mut self, heredoc: &HeredocTemplate, span: Option<Range<usize>>, depth: usize) -> Node {
        let literals = heredoc.template.iter().map(|element| element.as_literal().map(|text| text.as_str()));
        let Some(text) = literals.collect::<Option<String>>() else {
            return self.template(&heredoc.template, span, depth);
        };
        // It is a block of YAML, but for its first line and its last.
        let content = heredoc.template.span().unwrap_or_default();
        let lines = self.text.get(content.clone()).unwrap_or_default();
        let empty = lines.len() - lines.trim_start_matches(['\r', '\n']).len();
        let indent = lines[empty..].bytes().take(heredoc.indent().unwrap_or_default());
        let indent = indent.take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let span = Some(content.start + empty + indent..content.end);
        Node { span, style: Style::Literal, value: Value::Text(text.replace("\r\n", "\n")) }
    }

    fn call(&mut self, call: &FuncCall, span: Option<Range<usize>>, depth: usize) -> Node {
        let mut parts: Vec<Node> = call.args.iter().map(|part| self.expression(part, depth + 1)).collect();
        let name = call.name.name.as_str();
        let encodes = matches!(name, "jsonencode" | "yamlencode");
        match parts.pop_if(|part| part.style != Style::Expression) {
            Some(part) if parts.is_empty() && encodes => Node { style: Style::Encoded, span, ..part },
            Some(part) if parts.is_empty() && TRANSPARENT.contains(&name) => part,
            part => {
                parts.extend(part);
                unknown(span, parts)
            }
        }
    }

    /// Follows the name of a local value of the file.
    fn traversal(&mut self, traversal: &Traversal, span: Option<Range<usize>>, depth: usize) -> Node {
        let mut names = traversal.operators.iter().map(|operator| match operator.value() {
            TraversalOperator::GetAttr(name) => Some(name.as_str()),
            TraversalOperator::Index(Expression::String(name)) => Some(name.as_str()),
            _ => None,
        });
        let local = traversal.expr.as_variable().filter(|name| name.as_str() == "local");
        let value = local.and_then(|_| self.locals.get(names.next()??).copied());
        let outer = std::mem::replace(&mut self.copying, true);
        let mut node = value.map(|value| self.expression(value, depth + 1));
        self.copying = outer;
        for name in names {
            node = node.and_then(|node| node.get(name?).cloned());
        }
        node.unwrap_or_else(|| unknown(span, Vec::new()))
    }
}

fn word(text: &str, span: Option<Range<usize>>) -> Node {
    Node { span, style: Style::Plain, value: Value::Text(text.to_owned()) }
}

fn unknown(span: Option<Range<usize>>, parts: Vec<Node>) -> Node {
    Node { span, style: Style::Expression, value: Value::List(parts) }
}
