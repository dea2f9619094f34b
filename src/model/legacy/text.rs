//! Texts as people type them: full-width punctuation, quotes within quotes, lists with spaces.

use std::collections::HashSet;
use std::ops::Range;

use super::finding::clip;
use super::line::COMMAS;

/// A text without its quotes.
pub(super) struct Unquoted<'a> {
    pub(super) text: &'a str,
    /// Its bytes in the text that was read.
    pub(super) range: Range<usize>,
    /// Whether quotes or full-width characters were removed.
    pub(super) irregular: bool,
}

/// Removes spaces and misplaced quotes of any width around a text.
pub(super) fn unquote(text: &str) -> Unquoted<'_> {
    let mut range = trim(text, 0..text.len());
    let mut irregular = false;
    loop {
        let rest = &text[range.clone()];
        let (Some(first), Some(last)) = (rest.chars().next(), rest.chars().next_back()) else { break };
        if !is_quote(first) || !is_quote(last) || rest.len() == first.len_utf8() {
            break;
        }
        range = trim(text, range.start + first.len_utf8()..range.end - last.len_utf8());
        irregular = true;
    }
    irregular |= has_invisible(text, &range);
    let rest = &text[range.clone()];
    if rest == "＊" {
        return Unquoted { text: "*", range, irregular: true };
    }
    Unquoted { text: rest, range, irregular }
}

/// Returns whether a character is a quote of any keyboard or input method.
pub(super) fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '“' | '”' | '‘' | '’' | '＂' | '＇' | '「' | '」')
}

/// Returns the part of a range without spaces at its ends.
fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let space = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '\0');
    let part = &text[range.clone()];
    let start = range.start + (part.len() - part.trim_start_matches(space).len());
    start..start + part.trim_matches(space).len()
}

/// Returns whether invisible characters other than plain spaces are around a range.
fn has_invisible(text: &str, range: &Range<usize>) -> bool {
    let hidden = |c: char| !c.is_ascii() || c == '\0';
    text[..range.start].contains(hidden) || text[range.end..].contains(hidden)
}

/// A comma list.
#[derive(Default)]
pub(super) struct CommaList<'a> {
    /// The items in their order, without quotes, empty ones and repetitions.
    pub(super) items: Vec<ListItem<'a>>,
    /// Whether it should be written in another way.
    pub(super) irregular: bool,
}

/// An item of a comma list.
pub(super) struct ListItem<'a> {
    pub(super) text: &'a str,
    /// Its bytes in the list.
    pub(super) range: Range<usize>,
}

impl<'a> CommaList<'a> {
    /// Returns the texts alone.
    pub(super) fn texts(&self) -> Vec<&'a str> {
        self.items.iter().map(|item| item.text).collect()
    }
}

/// Reads a comma list. The commas may be full-width ones, and the whole or each item may be in quotes.
pub(super) fn list(text: &str) -> CommaList<'_> {
    let whole = trim(text, 0..text.len());
    let mut result = CommaList::default();
    if whole.is_empty() {
        return result;
    }
    let inner = &text[whole.clone()];
    if !inner.contains(COMMAS) {
        let one = unquote(text);
        result.irregular = one.irregular;
        result.items.extend((!one.text.is_empty()).then_some(ListItem { text: one.text, range: one.range }));
        return result;
    }
    result.irregular = inner.contains(['，', '、']) || has_invisible(text, &whole);
    let mut seen = HashSet::new();
    let mut at = whole.start;
    for piece in inner.split_inclusive(COMMAS) {
        let comma = piece.chars().next_back().filter(|c| COMMAS.contains(c)).map_or(0, char::len_utf8);
        // Quotes around the whole list leave one at its first and one at its last item.
        let item = unquote(&piece[..piece.len() - comma]);
        let bare = item.text.trim_start_matches(is_quote);
        let start = at + item.range.start + (item.text.len() - bare.len());
        let bare = bare.trim_end_matches(is_quote);
        result.irregular |= item.irregular || bare.len() != item.text.len() || bare.is_empty();
        at += piece.len();
        if bare.is_empty() {
            continue;
        }
        if seen.insert(bare) {
            // The text for `＊` has another length than its source.
            let end = if item.range.len() == item.text.len() { start + bare.len() } else { at - comma };
            result.items.push(ListItem { text: bare, range: start..end });
        } else {
            result.irregular = true;
        }
    }
    // A comma at the end is followed by an item too, an empty one.
    result.irregular |= inner.ends_with(COMMAS);
    result
}

/// Returns whether a message or an edit may show a value. Spaces or the name of a key pair's field are those of
/// another key, which slipped in by its indent or its colon, perhaps with a secret after it.
pub(super) fn can_show(text: &str) -> bool {
    const NAMES: [&str; 3] = ["customaccesskey", "accesskeysecret", "accesskeyid"];
    if text.contains(char::is_whitespace) {
        return false;
    }
    // Most texts are shorter than the names, and need no copy.
    text.len() < 11 || {
        let lower = text.to_ascii_lowercase();
        let signed = lower.rsplit_once([':', '=', '：']).is_some_and(|(name, _)| name.contains("secret"));
        !signed && !NAMES.iter().any(|name| lower.contains(name))
    }
}

/// Quotes a value for a message, shortened, or describes it.
pub(super) fn quoted(text: &str) -> String {
    if can_show(text) { format!("{:?}", clip(text, 60)) } else { "a text of several words".to_owned() }
}

/// Quotes the name of a key for a message, without the text after a colon in it.
pub(super) fn quoted_key(key: &str) -> String {
    let name = key.split([':', '：', '=', ' ', '\t']).next().unwrap_or_default();
    format!("{:?}", clip(name, 60))
}

/// Quotes the first few values for a message.
pub(super) fn quoted_list(items: &[&str]) -> String {
    let first: Vec<String> = items.iter().take(3).map(|item| quoted(item)).collect();
    match items.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// Quotes the comma list to write instead.
pub(super) fn spelled(items: &[impl AsRef<str>]) -> String {
    match joined(items) {
        Some(text) => format!("{:?}", clip(&text, 200)),
        None => "its items with one comma between each two".to_owned(),
    }
}

/// Joins items with commas, if they may be shown.
pub(super) fn joined(items: &[impl AsRef<str>]) -> Option<String> {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    items.iter().all(|item| can_show(item)).then(|| items.join(","))
}

/// Returns whether a text is one of the documentation's placeholders: `<ARN of …>`, `acs:ram::.*:role/x`,
/// `aUserRoleARN`.
pub(super) fn placeholder(text: &str) -> bool {
    const NAMES: [&str; 4] =
        ["cri-instanceId", "aUserRoleARN", "bUserRoleARN", "aUserClusterOIDCProviderRoleARN"];
    NAMES.contains(&text)
        || text.contains(".*")
        || (text.contains(['<', '＜', '《']) && text.contains(['>', '＞', '》']))
        || text.starts_with('$')
        || text.to_ascii_lowercase().contains("xxx")
}

/// Reads a boolean in the spellings of YAML 1.1 and 1.2.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}
