//! From the text of a key to its nodes, with its mistakes repaired where that is needed.

use super::code::Code;
use super::finding::{Findings, Span};
use super::line::{Line, is_space};
use super::mistakes::{Mistake, Scanned, Schema, Shape, scan};
use super::patch::PatchedText;
use super::source_value::SourceValue;
use super::text::can_show;
use crate::api::legacy::{Fault, FaultKind, Node, Style, Value, parse_entry, parse_yaml};

/// The longest text that is repaired: sixty-four full entries have 60 KiB.
const MAX_REPAIRED_BYTES: usize = 256 * 1024;

/// The most entries that are read one by one where the whole is not YAML.
const MAX_SEPARATE_ENTRIES: usize = 256;

/// The content of a key's text.
pub(super) struct Parsed {
    pub(super) node: Node,
    /// Entries that could not be read, which has been reported.
    pub(super) unreadable: Vec<usize>,
    /// Keys of `data` below the list, with their values.
    pub(super) below: Vec<(&'static str, String)>,
}

impl Parsed {
    pub(super) fn of(node: Node) -> Self {
        Self { node, unreadable: Vec::new(), below: Vec::new() }
    }
}

/// Reads the YAML of a key. `None`: it cannot be read, which is reported.
pub(super) fn parse(value: &SourceValue<'_>, schema: &Schema, findings: &Findings) -> Option<Parsed> {
    let first = match parse_yaml(value.value) {
        Ok(node) if !differs(&node, schema) => return Some(Parsed::of(node)),
        other => other,
    };
    if value.value.len() <= MAX_REPAIRED_BYTES {
        let scanned = scan(value.value, schema);
        let patched = PatchedText::new(value.value, scanned.mistakes.iter().flat_map(|m| &m.edits));
        if !patched.is_unchanged()
            && let Ok(node) = parse_yaml(&patched.text)
        {
            return Some(repaired(value, node, &patched, scanned, findings));
        }
        if let Err(fault) = &first
            && fault.kind != FaultKind::Excessive
            && schema.shape == Shape::List
            && let Some((node, failed)) = separate_entries(&patched.text)
        {
            let mut parsed = repaired(value, node, &patched, scanned, findings);
            report_unreadable(value, &parsed.node, &failed, findings);
            parsed.unreadable = failed;
            return Some(parsed);
        }
    }
    first.map(Parsed::of).map_err(|fault| refuse(value, &fault, findings)).ok()
}

/// Reports the mistakes, and gives the nodes of the patched text their places in the original.
fn repaired(
    value: &SourceValue<'_>,
    mut node: Node,
    patched: &PatchedText,
    scanned: Scanned,
    findings: &Findings,
) -> Parsed {
    let mut moved_out = false;
    for Mistake { code, span, message, edits, proposed, .. } in scanned.mistakes {
        // The lines of a map that is taken out are reported with its key.
        if code == Code::KeysBelow && std::mem::replace(&mut moved_out, true) {
            continue;
        }
        let edits = if proposed { edits } else { Vec::new() };
        findings.edit(code, value.key, Some(span), message, edits);
    }
    if !patched.is_unchanged() {
        node.relocate(&|span| Some(patched.origin_of(&span)));
    }
    Parsed { below: scanned.below, ..Parsed::of(node) }
}

/// Returns whether YAML was read that its user did not mean: other nodes in the place of maps, or a value with
/// another key in it.
fn differs(node: &Node, schema: &Schema) -> bool {
    let map = |node: &Node| match &node.value {
        Value::Map(pairs) => pairs.iter().any(|pair| {
            let known = schema.known(pair.name().trim()).is_some();
            known && pair.value.text().is_some_and(|text| !can_show(text.trim()))
                || pair.name().contains('：')
        }),
        Value::Null => false,
        Value::Text(text) => text.contains([':', '：']),
        Value::List(_) => true,
    };
    match &node.value {
        Value::List(items) if schema.shape == Shape::List => items.iter().any(map),
        Value::Map(_) if schema.shape == Shape::List => true,
        _ => map(node),
    }
}

/// Reads a list entry by entry. `None`: not even one can be read.
fn separate_entries(text: &str) -> Option<(Node, Vec<usize>)> {
    let mut starts = Vec::new();
    let mut column = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let body = line.trim_start_matches(' ');
        let indent = line.len() - body.len();
        let dash = body.strip_prefix('-').is_some_and(|after| after.starts_with(char::is_whitespace));
        if dash && *column.get_or_insert(indent) == indent {
            starts.push(at);
        }
        at += line.len();
    }
    if starts.len() < 2 || starts.len() > MAX_SEPARATE_ENTRIES {
        return None;
    }
    // Lines before the first entry are not one, and are not passed over in silence.
    let first = starts.first().copied().unwrap_or_default();
    let content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    if text[..first].lines().any(content) {
        starts.insert(0, 0);
    }
    let mut items = Vec::new();
    let mut failed = Vec::new();
    for (index, &start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(text.len());
        let item = parse_entry(&text[start..end]).ok().and_then(|node| match node.value {
            Value::List(mut items) if items.len() == 1 => items.pop(),
            _ => None,
        });
        items.push(match item {
            Some(mut item) => {
                item.relocate(&|span| Some(start + span.start..start + span.end));
                item
            }
            None => {
                failed.push(index);
                let length = text[start..end].trim_end().len();
                Node { span: Some(start..start + length), ..Node::ABSENT }
            }
        });
    }
    let span = starts.first().map(|at| *at..*at);
    let read = failed.len() < items.len();
    read.then_some((Node { span, style: Style::Block, value: Value::List(items) }, failed))
}

fn report_unreadable(value: &SourceValue<'_>, list: &Node, failed: &[usize], findings: &Findings) {
    for index in failed {
        let span = list.items().get(*index).and_then(|item| item.span.clone());
        let begins = span.as_ref().and_then(|span| value.value.get(span.clone()));
        let message = if begins.is_some_and(|text| text.trim_start().starts_with('-')) {
            "the entry is not valid YAML and is left out: align its keys with its first, each with a colon and a space, and put a text with signs in quotes"
        } else {
            "the lines before the first entry are left out: write \"- \" before their first key and indent the others by two spaces"
        };
        findings.add(Code::EntryUnreadable, &format!("{}[{index}]", value.key), span, message);
    }
}

/// Reports why a text cannot be read, and nothing of the text: a key pair may be in it.
fn refuse(value: &SourceValue<'_>, fault: &Fault, findings: &Findings) {
    let (code, message) = match fault.kind {
        FaultKind::Excessive => (
            Code::Excessive,
            "the YAML is larger, deeper or more aliased than configuration can be: write it out, one entry a registry",
        ),
        FaultKind::Documents => {
            (Code::NotYaml, "the text has more than one YAML document: delete the line ---")
        }
        FaultKind::Syntax => (
            Code::NotYaml,
            "the text is not valid YAML: begin each entry with \"- instanceId: …\" and align its other keys with instanceId, each with a colon and a space",
        ),
    };
    findings.add(code, value.key, line_span(value.value, fault.line), message);
}

/// Returns the bytes of a line without its spaces.
fn line_span(text: &str, line: usize) -> Span {
    let index = line.checked_sub(1)?;
    let line = Line::all(text, is_space).get(index).map(|line| line.body_span());
    // A fault may be noticed only at the end.
    line.or_else(|| (index > 0).then_some(text.len()..text.len()))
}
