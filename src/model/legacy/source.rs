//! From the text of a key to its nodes, by repairs if need be.

use std::ops::Range;

use super::Written;
use super::code::Code;
use super::finding::{Edit, Findings, Span};
use super::repair::{Repair, Repaired, repair, shift};
use super::text::tellable;
use crate::api::legacy::{Node, Style, Value, YamlError, YamlErrorKind, parse_entry, parse_yaml};

/// The longest text that is repaired: sixty-four full entries have 60 KiB.
const MAX_REPAIRED_BYTES: usize = 256 * 1024;

/// The most entries that are read one by one where the whole is no YAML.
const MAX_ENTRIES_APART: usize = 256;

/// What the text of a key comes to.
pub(super) struct Parsed {
    pub(super) node: Node,
    /// Entries that could not be read, which has been told.
    pub(super) unreadable: Vec<usize>,
    /// Keys of `data` that stood beneath the list, with their values.
    pub(super) beneath: Vec<(&'static str, String)>,
}

/// What a text is expected to hold.
pub(super) struct Expected {
    /// The keys that its maps may have.
    pub(super) keys: &'static [&'static str],
    /// Whether the maps are in a list.
    pub(super) list: bool,
}

/// Reads the YAML of a key. `None`: it cannot be read, which is told.
pub(super) fn parse(value: &Written<'_>, expected: &Expected, findings: &mut Findings) -> Option<Parsed> {
    let first = parse_yaml(value.value);
    let whole = |node| Parsed { node, unreadable: Vec::new(), beneath: Vec::new() };
    let first = match first {
        Ok(node) if !slipped(&node, expected) => return Some(whole(node)),
        other => other,
    };
    if value.value.len() <= MAX_REPAIRED_BYTES {
        let repaired = repair(value.value, expected.keys, expected.list);
        if !repaired.repairs.is_empty()
            && let Ok(node) = parse_yaml(&repaired.text)
        {
            tell(value, &repaired, findings);
            return Some(original(node, repaired));
        }
        if let Err(error) = first
            && error.kind != YamlErrorKind::Excessive
            && expected.list
            && let Some((node, failed)) = entries_apart(&repaired.text)
        {
            tell(value, &repaired, findings);
            let mut parsed = original(node, repaired);
            tell_unreadable(value, &parsed.node, &failed, findings);
            parsed.unreadable = failed;
            return Some(parsed);
        }
    }
    first.map(whole).map_err(|error| refuse(value, error, findings)).ok()
}

fn original(mut node: Node, repaired: Repaired) -> Parsed {
    if !repaired.repairs.is_empty() {
        repaired.relocate(&mut node);
    }
    Parsed { node, unreadable: Vec::new(), beneath: repaired.beneath }
}

/// Whether YAML was read that its user did not mean: no maps where they belong, or a value with another key in it.
fn slipped(node: &Node, expected: &Expected) -> bool {
    let map = |node: &Node| match &node.value {
        Value::Map(pairs) => pairs.iter().any(|pair| {
            let known = expected.keys.iter().any(|key| pair.key.trim().eq_ignore_ascii_case(key));
            known && matches!(&pair.value.value, Value::Text(text) if !tellable(text.trim()))
                || pair.key.contains('：')
        }),
        Value::Null => false,
        Value::Text(text) => text.contains([':', '：']),
        Value::List(_) => true,
    };
    match &node.value {
        Value::List(items) if expected.list => items.iter().any(map),
        Value::Map(_) if expected.list => true,
        _ => map(node),
    }
}

/// Reads a list entry by entry. `None`: not even one can be read.
fn entries_apart(text: &str) -> Option<(Node, Vec<usize>)> {
    let mut starts = Vec::new();
    let mut column = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start_matches(' ');
        let indent = line.len() - bare.len();
        let dash = bare.strip_prefix('-').is_some_and(|after| after.starts_with(char::is_whitespace));
        if dash && *column.get_or_insert(indent) == indent {
            starts.push(at);
        }
        at += line.len();
    }
    if starts.len() < 2 || starts.len() > MAX_ENTRIES_APART {
        return None;
    }
    // What stands before the first entry is none, and is not passed over in silence.
    let first = starts.first().copied().unwrap_or_default();
    let says = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    if text[..first].lines().any(says) {
        starts.insert(0, 0);
    }
    let mut items = Vec::new();
    let mut failed = Vec::new();
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(text.len());
        let read = parse_entry(&text[*start..end]).ok().and_then(|node| match node.value {
            Value::List(mut items) if items.len() == 1 => items.pop(),
            _ => None,
        });
        let item = read.map(|mut item| {
            shift(&mut item, &|span: &mut Option<Range<usize>>| {
                *span = span.take().map(|span| start + span.start..start + span.end);
            });
            item
        });
        items.push(item.unwrap_or_else(|| {
            failed.push(index);
            let length = text[*start..end].trim_end().len();
            Node { span: Some(*start..*start + length), style: Style::Other, value: Value::Null }
        }));
    }
    (failed.len() < items.len()).then(|| {
        (
            Node { span: starts.first().map(|at| *at..*at), style: Style::Other, value: Value::List(items) },
            failed,
        )
    })
}

fn tell_unreadable(value: &Written<'_>, list: &Node, failed: &[usize], findings: &mut Findings) {
    let Value::List(items) = &list.value else { return };
    for index in failed {
        let span = items.get(*index).and_then(|item| item.span.clone());
        let begins = span.as_ref().and_then(|span| value.value.get(span.clone()));
        let message = if begins.is_some_and(|text| text.trim_start().starts_with('-')) {
            "is no YAML and is left out: put its keys straight beneath its first, each with a colon and a blank, and a text with signs in it in quotes"
        } else {
            "stands before the first entry and is left out: write \"- \" before its first key and indent the others by two blanks"
        };
        findings.add(Code::EntryUnreadable, &format!("{}[{index}]", value.key), span, message);
    }
}

fn tell(value: &Written<'_>, repaired: &Repaired, findings: &mut Findings) {
    let mut beneath_told = false;
    for repair in &repaired.repairs {
        // The lines of a map that was taken out are told with its key.
        if repair.code == Code::KeysBeneath && std::mem::replace(&mut beneath_told, true) {
            continue;
        }
        let span = repair.span.clone();
        let edit = repair.proposed.then(|| Edit { span: span.clone(), text: repair.text.clone() });
        findings.edit(repair.code, value.key, Some(span), cure(repair), edit);
    }
}

/// What a repair assumes, and what to write instead.
fn cure(repair: &Repair) -> &'static str {
    match repair.code {
        Code::BlankAfterColon => "is read as if a blank followed the colon: write it",
        Code::BlankAfterDash => {
            "is read as if a blank followed the leading -: write a blank after the leading -"
        }
        Code::NoComment => "is read as a comment, which begins with a blank and #: write # instead of //",
        Code::Tab => "has a tab, read as blanks: use blanks",
        Code::FullWidth => {
            "has a full-width sign or blank, read as the plain one: a full-width colon is written : and a blank"
        }
        Code::Indentation => "is read as a key of the entry before it: put it straight beneath instanceId",
        Code::ValuesInARow => {
            "has several quoted values in a row, read as one list: put one pair of quotes around the whole comma list"
        }
        Code::TextSpelling => "ends in a comma with nothing after it, which is left out: delete it",
        Code::QuotesMissing => {
            "begins with a sign that YAML keeps for itself, and is read as text: put it in quotes"
        }
        Code::SeveralDocuments => "is more than one YAML document, read as one: delete the line ---",
        Code::MapForList => {
            "is one map, read as an entry of the list: write \"- \" before its first key and indent the others by two blanks"
        }
        Code::KeysBeneath => {
            "has keys of data beneath it, read as if they stood beside it: move them out of acr-registry-info"
        }
        _ => "is read as it was probably meant",
    }
}

/// Says why a text cannot be read, and nothing of the text: a key pair may stand in it.
fn refuse(value: &Written<'_>, error: YamlError, findings: &mut Findings) {
    let (code, message) = match error.kind {
        YamlErrorKind::Excessive => (
            Code::Excessive,
            "is larger, deeper or more aliased than configuration can be: write it out, one entry a registry",
        ),
        YamlErrorKind::Documents => (Code::NotYaml, "is more than one YAML document: delete the line ---"),
        YamlErrorKind::Syntax => (
            Code::NotYaml,
            "is no YAML: begin each entry with \"- instanceId: …\" and put its other keys straight beneath instanceId, each with a colon and a blank",
        ),
    };
    findings.add(code, value.key, line_span(value.value, error.line), message);
}

/// The bytes of a line without its blanks.
fn line_span(text: &str, line: Option<u32>) -> Span {
    let index = usize::try_from(line?).ok()?.checked_sub(1)?;
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if number == index {
            let bare = line.trim_start_matches(is_blank);
            let start = at + (line.len() - bare.len());
            return Some(start..start + bare.trim_end().len());
        }
        at += line.len();
    }
    // The fault may be seen only at the end.
    (index > 0).then_some(text.len()..text.len())
}

/// Whether a character is a blank within a line, of any width.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{a0}' | '\u{3000}' | '\u{feff}' | '\u{200b}')
}

/// Whether a line begins with a key and a colon of any width.
pub(super) fn starts_with_key(line: &str, key: &str) -> bool {
    let Some((head, rest)) = line.split_at_checked(key.len()) else { return false };
    head.eq_ignore_ascii_case(key) && rest.trim_start_matches(is_blank).starts_with([':', '：'])
}
