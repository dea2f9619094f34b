//! Texts as people type them: full-width punctuation, quotes within quotes, lists with blanks.

use std::collections::HashSet;
use std::ops::Range;

use super::finding::clip;

/// A text, and whether it was typed plainly.
pub(super) struct Unquoted<'a> {
    pub(super) text: &'a str,
    /// The bytes where it stands in what was read.
    pub(super) range: Range<usize>,
    /// Whether quotes or full-width characters had to go.
    pub(super) irregular: bool,
}

/// Takes blanks and stray quotes off a text, whichever width they have.
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
    irregular |= hides(text, &range);
    let rest = &text[range.clone()];
    if rest == "＊" {
        return Unquoted { text: "*", range, irregular: true };
    }
    Unquoted { text: rest, range, irregular }
}

/// Any quote that a keyboard or an input method makes.
pub(super) fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '“' | '”' | '‘' | '’' | '＂' | '＇' | '「' | '」')
}

/// The part of a range without blanks at its ends.
fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let blank = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '\0');
    let part = &text[range.clone()];
    let start = range.start + (part.len() - part.trim_start_matches(blank).len());
    start..start + part.trim_matches(blank).len()
}

/// Whether more than plain blanks stands around a range, which whoever looks at the text may not see.
fn hides(text: &str, range: &Range<usize>) -> bool {
    let hidden = |c: char| !c.is_ascii() || c == '\0';
    text[..range.start].contains(hidden) || text[range.end..].contains(hidden)
}

/// A comma list.
#[derive(Default)]
pub(super) struct CommaList<'a> {
    /// The items, plain, none of them empty, each once, in their order.
    pub(super) items: Vec<ListItem<'a>>,
    /// Whether it should be written otherwise.
    pub(super) irregular: bool,
}

/// An item of a comma list.
pub(super) struct ListItem<'a> {
    pub(super) text: &'a str,
    /// The bytes where it stands in the list.
    pub(super) range: Range<usize>,
}

impl<'a> CommaList<'a> {
    /// The texts alone.
    pub(super) fn texts(&self) -> Vec<&'a str> {
        self.items.iter().map(|item| item.text).collect()
    }
}

/// Reads a comma list. The commas may be full-width ones, and the whole or each item may stand in quotes.
pub(super) fn list(text: &str) -> CommaList<'_> {
    const COMMAS: [char; 3] = [',', '，', '、'];
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
    result.irregular = inner.contains(['，', '、']) || hides(text, &whole);
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
            // A text that stands for another, as `＊` does, has that one's length only by chance.
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

/// Whether a value may be told in a message or an edit. What holds blanks or the name of a key pair's field is
/// another key that slipped in by its indent or its colon, perhaps with a secret after it.
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

/// A value in quotes for a message, short, or words that stand for it.
pub(super) fn quoted(text: &str) -> String {
    if can_show(text) { format!("{:?}", clip(text, 60)) } else { "a text of several words".to_owned() }
}

/// The name of a key for a message, without what follows a colon that stands in it.
pub(super) fn quoted_key(key: &str) -> String {
    let name = key.split([':', '：', '=', ' ', '\t']).next().unwrap_or_default();
    format!("{:?}", clip(name, 60))
}

/// The first few values for a message.
pub(super) fn quoted_list(items: &[&str]) -> String {
    let first: Vec<String> = items.iter().take(3).map(|item| quoted(item)).collect();
    match items.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The comma list to write instead.
pub(super) fn spelled(items: &[impl AsRef<str>]) -> String {
    match joined(items) {
        Some(text) => format!("{:?}", clip(&text, 200)),
        None => "its items with one comma between each two".to_owned(),
    }
}

/// The items with a comma between each two, if they may be told.
pub(super) fn joined(items: &[impl AsRef<str>]) -> Option<String> {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    items.iter().all(|item| can_show(item)).then(|| items.join(","))
}

/// Whether a text is one of the documentation's placeholders: `<ARN of …>`, `acs:ram::.*:role/x`, `aUserRoleARN`.
pub(super) fn placeholder(text: &str) -> bool {
    const NAMES: [&str; 4] =
        ["cri-instanceId", "aUserRoleARN", "bUserRoleARN", "aUserClusterOIDCProviderRoleARN"];
    NAMES.contains(&text)
        || text.contains(".*")
        || (text.contains(['<', '＜', '《']) && text.contains(['>', '＞', '》']))
        || text.starts_with('$')
        || text.to_ascii_lowercase().contains("xxx")
}

/// A boolean in the spellings of YAML 1.1 and 1.2.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}
