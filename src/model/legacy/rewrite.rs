//! Edits that reach beyond one scalar: entries told apart or taken out, brackets opened, lists joined.
//!
//! Each is made of the user's own text, by the places that the nodes have in it. Where anything stands in between that
//! is not expected, such as a comment, there is no edit: better none than one that loses something. No edit writes what
//! stands under a key pair's field.

use std::ops::Range;

use super::finding::Edit;
use super::text::tellable;
use crate::api::legacy::entry::{CUSTOM_ACCESS_KEY, CUSTOM_ACCESS_KEY_SECRET, DOMAINS, INSTANCE_ID, KEYS};
use crate::api::legacy::{Node, Pair, Style, Value};

/// The most edits that one list in brackets is opened by: sixty-four full entries take some 1,200.
const MAX_EDITS: usize = 1_536;

/// Writes an entry of several instances as one entry for each.
///
/// # Errors
/// Why only the user can.
pub(super) fn apart(text: &str, entry: &Node, ids: &[&str]) -> Result<Edit, &'static str> {
    const BY_HAND: &str = "which cannot be done by machine here";
    let Value::Map(pairs) = &entry.value else { return Err(BY_HAND) };
    let is = |pair: &Pair, key: &str| pair.key.trim().eq_ignore_ascii_case(key);
    let Some((first, others)) = pairs.split_first().filter(|(first, _)| is(first, INSTANCE_ID)) else {
        return Err(BY_HAND);
    };
    let given = |key| {
        others.iter().filter(|pair| is(pair, key)).any(|pair| match &pair.value.value {
            Value::Null => false,
            Value::Text(text) => !text.trim().is_empty(),
            Value::List(items) => !items.is_empty(),
            Value::Map(_) => true,
        })
    };
    if given(DOMAINS) {
        return Err("and which domain belongs to which, only you know");
    }
    if given(CUSTOM_ACCESS_KEY) || given(CUSTOM_ACCESS_KEY_SECRET) {
        return Err("and no key pair is printed, which each of them needs");
    }
    apart_by(text, first, others, ids).ok_or(BY_HAND)
}

fn apart_by(text: &str, first: &Pair, others: &[Pair], ids: &[&str]) -> Option<Edit> {
    let key = first.key_span.clone()?;
    let span = match &first.value.value {
        Value::Text(_) if first.value.style != Style::Other => first.value.span.clone()?,
        Value::List(items) => flow_list(text, &first.value, items)?,
        _ => return None,
    };
    let mut shared = Vec::new();
    for pair in others.iter().filter(|pair| !matches!(pair.value.value, Value::Null)) {
        let written = text.get(pair.key_span.as_ref()?.start..scalar(&pair.value)?.end)?;
        let value = text.get(scalar(&pair.value)?)?;
        // What stands under a key without a meaning may be a secret.
        let known = KEYS.iter().any(|key| pair.key.trim().eq_ignore_ascii_case(key));
        if !known || !is_one_line(written) || !tellable(value) {
            return None;
        }
        shared.push(written);
    }
    // A list in brackets is opened first.
    let brackets = text.trim_start_matches('\u{feff}').trim_start().starts_with('[');
    let (field, entry, quote) = match dash(text, key.start) {
        Some(lead) => (format!("\n{}", " ".repeat(lead.len())), format!("\n{lead}"), ""),
        None if !brackets => (", ".to_owned(), next_in_braces(text, key.start)?, "\""),
        None => return None,
    };
    let plain = |id: &str| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !ids.iter().all(|id| plain(id)) {
        return None;
    }
    let key = text.get(key)?;
    let mut written = String::new();
    for (index, id) in ids.iter().enumerate() {
        if index > 0 {
            written.push_str(&format!("{entry}{key}: "));
        }
        written.push_str(&format!("{quote}{id}{quote}"));
        // What stands after the edit belongs to the last.
        if index + 1 < ids.len() {
            shared.iter().for_each(|pair| written.extend([field.as_str(), pair]));
        }
    }
    Some(Edit { span, text: written })
}

/// What parts an entry in braces, whose first key stands at a place, from the next one.
fn next_in_braces(text: &str, at: usize) -> Option<String> {
    let open = text.get(..at)?.trim_end().strip_suffix('{')?.len();
    match (dash(text, open), before(text, open)) {
        (Some(lead), _) => Some(format!("}}\n{lead}{{")),
        (None, Some('[' | ',')) => Some("}, {".to_owned()),
        _ => None,
    }
}

/// Writes a list of maps in brackets as one entry a map, each on lines of its own. Nothing where it cannot be done.
pub(super) fn opened(text: &str, list: &Node) -> Vec<Edit> {
    opened_by(text, list).filter(|edits| edits.len() <= MAX_EDITS).unwrap_or_default()
}

fn opened_by(text: &str, list: &Node) -> Option<Vec<Edit>> {
    let Value::List(entries) = &list.value else { return None };
    let mut edits = Vec::new();
    let mut at = text.find('[')?;
    for (index, entry) in entries.iter().enumerate() {
        let Value::Map(pairs) = &entry.value else { return None };
        for (nth, pair) in pairs.iter().enumerate() {
            let (key, value) = (pair.key_span.clone()?, scalar(&pair.value)?);
            let (expected, written) = match (index, nth) {
                (0, 0) => ("[{", "- "),
                (_, 0) => ("},{", "\n- "),
                _ => (",", "\n  "),
            };
            edits.push(between(text, at..key.start, expected, written)?);
            let colon = between(text, key.end..value.start, ":", ": ")?;
            if text.get(colon.span.clone()) != Some(": ") {
                edits.push(colon);
            }
            if !is_one_line(text.get(key)?) || !is_one_line(text.get(value.clone())?) {
                return None;
            }
            at = value.end;
        }
        if pairs.is_empty() {
            return None;
        }
    }
    let end = text.trim_end().len();
    edits.push(between(text, at..end, "}]", "")?);
    Some(edits)
}

/// Writes a list of texts as one comma list.
pub(super) fn joined(text: &str, pair: &Pair, list: &str) -> Option<Edit> {
    let Value::List(items) = &pair.value.value else { return None };
    if list.contains(['"', '\\']) || list.contains(char::is_control) {
        return None;
    }
    if let Some(span) = flow_list(text, &pair.value, items) {
        return Some(Edit { span, text: format!("\"{list}\"") });
    }
    let key = pair.key_span.clone()?;
    let mut expected = ":-";
    let mut at = key.end;
    let mut colon = None;
    for item in items {
        let span = scalar(item)?;
        between(text, at..span.start, expected, "")?;
        colon = colon.or_else(|| text.get(at..span.start)?.find(':').map(|colon| at + colon + 1));
        (expected, at) = ("-", span.end);
    }
    Some(Edit { span: colon?..at, text: format!(" \"{list}\"") })
}

/// Takes an entry out that is not the first of its list.
pub(super) fn without_entry(text: &str, entry: &Node) -> Option<Edit> {
    let Value::Map(pairs) = &entry.value else { return None };
    let (first, last) = (pairs.first()?.key_span.clone()?, pairs.last()?);
    let end = match &last.value.value {
        Value::Null => last.key_span.clone()?.end,
        _ => scalar(&last.value)?.end,
    };
    if dash(text, first.start).is_some() {
        return lines(text, first.start, end);
    }
    let open = text.get(..first.start)?.trim_end().strip_suffix('{')?;
    let comma = open.trim_end().strip_suffix(',')?.len();
    let close = end + text.get(end..)?.find('}')?;
    between(text, end..close, "", "")?;
    Some(Edit { span: comma..close + 1, text: String::new() })
}

/// Takes a key out that is not the first of its map.
pub(super) fn without_pair(text: &str, pair: &Pair) -> Option<Edit> {
    let (key, value) = (pair.key_span.clone()?, scalar(&pair.value)?);
    let lead = line_before(text, key.start)?;
    if lead.trim_start_matches(' ').is_empty() {
        return lines(text, key.start, value.end);
    }
    let comma = text.get(..key.start)?.trim_end().strip_suffix(',')?.len();
    Some(Edit { span: comma..value.end, text: String::new() })
}

/// The edits that leave plain quotes around a text, whose part without all of its quotes is known.
pub(super) fn plain_quotes(node: &Node, part: &Range<usize>) -> Vec<Edit> {
    let (Some(start), Value::Text(text)) = (node.text_start(), &node.value) else { return Vec::new() };
    let inner = text.get(part.clone()).unwrap_or_default();
    if inner.contains(['"', '\'', '\\']) {
        return Vec::new();
    }
    let quote = if node.style == Style::Plain { "\"" } else { "" };
    [0..part.start, part.end..text.len()]
        .map(|span| Edit { span: start + span.start..start + span.end, text: quote.to_owned() })
        .into()
}

/// Takes out whole lines, from the one that a place is in to the one with the end.
fn lines(text: &str, at: usize, end: usize) -> Option<Edit> {
    let start = text.get(..at)?.rfind('\n')?;
    let rest = text.get(end..)?.split('\n').next()?.trim_end_matches('\r');
    let blank = rest.trim_start().trim_start_matches(':').trim_start();
    if !blank.is_empty() && !blank.starts_with('#') {
        return None;
    }
    let span = match text.get(end..)?.find('\n') {
        Some(next) => start + 1..end + next + 1,
        // The last line has no end of its own: that of the line before goes with it.
        None => start - usize::from(text[..start].ends_with('\r'))..text.len(),
    };
    Some(Edit { span, text: String::new() })
}

/// What is to stand between two places, where nothing but some signs and blanks stand there.
fn between(text: &str, span: Range<usize>, expected: &str, written: &str) -> Option<Edit> {
    let there: String = text.get(span.clone())?.chars().filter(|c| !c.is_whitespace()).collect();
    (there == expected).then(|| Edit { span, text: written.to_owned() })
}

/// Whether a text has no break in it, and so means the same on a line of its own.
fn is_one_line(text: &str) -> bool {
    !text.contains(['\n', '\r'])
}

/// Where a scalar stands that is written where it stands.
fn scalar(node: &Node) -> Option<Range<usize>> {
    node.span.clone().filter(|_| matches!(node.value, Value::Text(_)) && node.style != Style::Other)
}

/// All of a list of texts in brackets.
fn flow_list(text: &str, list: &Node, items: &[Node]) -> Option<Range<usize>> {
    let start = list.span.as_ref()?.start;
    text.get(start..)?.strip_prefix('[')?;
    let (mut at, mut expected) = (start, "[");
    for item in items {
        let span = scalar(item)?;
        between(text, at..span.start, expected, "")?;
        (at, expected) = (span.end, ",");
    }
    let close = at + text.get(at..)?.find(']')?;
    between(text, at..close, if items.is_empty() { "[" } else { "" }, "")?;
    Some(start..close + 1)
}

/// What stands in the line before a place.
fn line_before(text: &str, at: usize) -> Option<&str> {
    text.get(..at)?.rsplit('\n').next()
}

/// The blanks, the dash and the blank that a line begins with before an entry's first key.
fn dash(text: &str, at: usize) -> Option<&str> {
    let lead = line_before(text, at)?;
    let after = lead.trim_start_matches(' ').strip_prefix('-')?;
    (!after.is_empty() && after.chars().all(|c| c == ' ')).then_some(lead)
}

/// The last character before a place that is no blank.
fn before(text: &str, at: usize) -> Option<char> {
    text.get(..at)?.trim_end().chars().next_back()
}
