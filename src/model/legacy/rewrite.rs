//! Edits that reach beyond one scalar: they split or remove entries, expand lists in brackets and join lists.
//!
//! Each is made of the user's own text, by the places of its nodes. A comment or another unexpected text between them
//! prevents the edit, which would lose it. No edit writes the value of a key pair's field.

use std::ops::Range;

use super::line::line_before;
use super::patch::Edit;
use super::text::can_show;
use crate::api::legacy::entry::{CUSTOM_ACCESS_KEY, CUSTOM_ACCESS_KEY_SECRET, DOMAINS, INSTANCE_ID, KEYS};
use crate::api::legacy::{Node, Pair, Style, Value, documented};

/// The most edits that expand one list in brackets: sixty-four full entries take some 1,200.
const MAX_EDITS: usize = 1_536;

/// Splits an entry of several instances into one entry for each.
///
/// # Errors
/// The reason why only the user can.
pub(super) fn split_entry(text: &str, entry: &Node, ids: &[&str]) -> Result<Edit, &'static str> {
    const BY_HAND: &str = "which cannot be done by machine here";
    let Value::Map(pairs) = &entry.value else { return Err(BY_HAND) };
    let is = |pair: &Pair, key: &str| pair.name().trim().eq_ignore_ascii_case(key);
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
    split_pairs(text, first, others, ids).ok_or(BY_HAND)
}

fn split_pairs(text: &str, first: &Pair, others: &[Pair], ids: &[&str]) -> Option<Edit> {
    let key = first.key_span()?;
    let span = first.value.replaceable().or_else(|| flow_list(text, &first.value))?;
    let mut shared = Vec::new();
    for pair in others.iter().filter(|pair| !matches!(pair.value.value, Value::Null)) {
        let span = pair.value.replaceable()?;
        let (written, value) = (text.get(pair.key_span()?.start..span.end)?, text.get(span)?);
        // The value of a key without a meaning may be a secret.
        if documented(&KEYS, pair.name().trim()).is_none() || !is_one_line(written) || !can_show(value) {
            return None;
        }
        shared.push(written);
    }
    // A list in brackets is expanded first.
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
        // The text after the edit belongs to the last.
        if index + 1 < ids.len() {
            shared.iter().for_each(|pair| written.extend([field.as_str(), pair]));
        }
    }
    Some(Edit { span, text: written })
}

/// Returns the text between an entry in braces, whose first key is at a place, and the next entry.
fn next_in_braces(text: &str, at: usize) -> Option<String> {
    let open = text.get(..at)?.trim_end().strip_suffix('{')?.len();
    let before = text.get(..open)?.trim_end().chars().next_back();
    match (dash(text, open), before) {
        (Some(lead), _) => Some(format!("}}\n{lead}{{")),
        (None, Some('[' | ',')) => Some("}, {".to_owned()),
        _ => None,
    }
}

/// Expands a list of maps in brackets to one entry a map, each on lines of its own. `None`: it cannot be done.
pub(super) fn expand_flow_list(text: &str, list: &Node) -> Option<Vec<Edit>> {
    let Value::List(entries) = &list.value else { return None };
    let mut edits = Vec::new();
    let mut at = text.find('[')?;
    for (index, entry) in entries.iter().enumerate() {
        let Value::Map(pairs) = &entry.value else { return None };
        for (nth, pair) in pairs.iter().enumerate() {
            let (key, value) = (pair.key_span()?, pair.value.replaceable()?);
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
    (edits.len() <= MAX_EDITS).then_some(edits)
}

/// Joins a list of texts to one comma list.
pub(super) fn join_list(text: &str, pair: &Pair, list: &str) -> Option<Edit> {
    if list.contains(['"', '\\']) || list.contains(char::is_control) {
        return None;
    }
    if let Some(span) = flow_list(text, &pair.value) {
        return Some(Edit { span, text: format!("\"{list}\"") });
    }
    let Value::List(items) = &pair.value.value else { return None };
    let key = pair.key_span()?;
    let mut expected = ":-";
    let mut at = key.end;
    let mut colon = None;
    for item in items {
        let span = item.replaceable()?;
        between(text, at..span.start, expected, "")?;
        colon = colon.or_else(|| text.get(at..span.start)?.find(':').map(|colon| at + colon + 1));
        (expected, at) = ("-", span.end);
    }
    Some(Edit { span: colon?..at, text: format!(" \"{list}\"") })
}

/// Removes an entry that is not the first of its list.
pub(super) fn without_entry(text: &str, entry: &Node) -> Option<Edit> {
    let (first, last) = (entry.pairs().first()?.key_span()?, entry.pairs().last()?);
    let end = match &last.value.value {
        Value::Null => last.key_span()?.end,
        _ => last.value.replaceable()?.end,
    };
    if dash(text, first.start).is_some() {
        return lines(text, first.start, end);
    }
    let whole = entry.span.clone().filter(|_| entry.style == Style::Flow)?;
    let comma = text.get(..whole.start)?.trim_end().strip_suffix(',')?.len();
    between(text, end..whole.end, "}", "")?;
    Some(Edit { span: comma..whole.end, text: String::new() })
}

/// Removes a key that is not the first of its map.
pub(super) fn without_pair(text: &str, pair: &Pair) -> Option<Edit> {
    let (key, value) = (pair.key_span()?, pair.value.replaceable()?);
    let lead = line_before(text, key.start)?;
    if lead.trim_start_matches(' ').is_empty() {
        return lines(text, key.start, value.end);
    }
    let comma = text.get(..key.start)?.trim_end().strip_suffix(',')?.len();
    Some(Edit { span: comma..value.end, text: String::new() })
}

/// Returns the edits that leave plain quotes around a part of a text.
pub(super) fn plain_quotes(node: &Node, part: &Range<usize>) -> Vec<Edit> {
    let (Some(start), Some(text)) = (node.text_start(), node.text()) else { return Vec::new() };
    let inner = text.get(part.clone()).unwrap_or_default();
    if inner.contains(['"', '\'', '\\']) {
        return Vec::new();
    }
    let quote = if node.style == Style::Plain { "\"" } else { "" };
    [0..part.start, part.end..text.len()]
        .map(|span| Edit { span: start + span.start..start + span.end, text: quote.to_owned() })
        .into()
}

/// Removes whole lines, from the one that a place is in to the one with the end.
fn lines(text: &str, at: usize, end: usize) -> Option<Edit> {
    let start = text.get(..at)?.rfind('\n')?;
    let rest = text.get(end..)?.split('\n').next()?.trim_end_matches('\r');
    let rest = rest.trim_start().trim_start_matches(':').trim_start();
    if !rest.is_empty() && !rest.starts_with('#') {
        return None;
    }
    let span = match text.get(end..)?.find('\n') {
        Some(next) => start + 1..end + next + 1,
        // The last line has no end of its own: that of the line before goes with it.
        None => start - usize::from(text[..start].ends_with('\r'))..text.len(),
    };
    Some(Edit { span, text: String::new() })
}

/// Replaces the text between two places, if it has nothing but the expected signs and spaces.
fn between(text: &str, span: Range<usize>, expected: &str, written: &str) -> Option<Edit> {
    let there: String = text.get(span.clone())?.chars().filter(|c| !c.is_whitespace()).collect();
    (there == expected).then(|| Edit { span, text: written.to_owned() })
}

/// Returns whether a text has no break in it, and so means the same on a line of its own.
fn is_one_line(text: &str) -> bool {
    !text.contains(['\n', '\r'])
}

/// Returns the bytes of a list of texts in brackets that has no comment in it.
fn flow_list(text: &str, list: &Node) -> Option<Range<usize>> {
    let span = list.span.clone().filter(|_| list.style == Style::Flow)?;
    let texts =
        matches!(&list.value, Value::List(items) if items.iter().all(|item| item.replaceable().is_some()));
    (texts && !text.get(span.clone())?.contains('#')).then_some(span)
}

/// Returns the spaces and the dash before an entry's first key.
fn dash(text: &str, at: usize) -> Option<&str> {
    let lead = line_before(text, at)?;
    let after = lead.trim_start_matches(' ').strip_prefix('-')?;
    (!after.is_empty() && after.chars().all(|c| c == ' ')).then_some(lead)
}
