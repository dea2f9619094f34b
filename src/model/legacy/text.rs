//! Texts as people type them: full-width punctuation, quotes within quotes, lists with blanks.

use std::collections::HashSet;

use super::finding::clip;

/// A text, and whether it was typed plainly.
pub(super) struct Plain {
    pub(super) text: String,
    /// Whether quotes or full-width characters had to go.
    pub(super) odd: bool,
}

/// Takes blanks and stray quotes off a text, whichever width they have.
pub(super) fn plain(text: &str) -> Plain {
    let mut rest = trim(text);
    let mut odd = false;
    let quote = |c: char| matches!(c, '"' | '\'' | '“' | '”' | '‘' | '’' | '＂' | '＇' | '「' | '」');
    while rest.starts_with(quote) && rest.ends_with(quote) && rest.chars().nth(1).is_some() {
        rest = trim(&rest[first_len(rest)..rest.len() - last_len(rest)]);
        odd = true;
    }
    let text = match rest {
        "＊" => {
            odd = true;
            "*"
        }
        text => text,
    };
    Plain { text: text.to_owned(), odd }
}

fn first_len(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

fn last_len(text: &str) -> usize {
    text.chars().next_back().map_or(0, char::len_utf8)
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}' | '\0'))
}

/// A comma list.
pub(super) struct Items {
    /// The items, plain, none of them empty, each once, in their order.
    pub(super) items: Vec<String>,
    /// Whether it should be written otherwise.
    pub(super) odd: bool,
}

/// Reads a comma list. The commas may be full-width ones, and the whole or each item may stand in quotes.
pub(super) fn list(text: &str) -> Items {
    let whole = trim(text);
    let mut result = Items { items: Vec::new(), odd: false };
    if whole.is_empty() {
        return result;
    }
    let unquoted = if whole.contains([',', '，', '、']) { None } else { Some(plain(whole)) };
    if let Some(one) = unquoted {
        result.odd = one.odd;
        result.items.extend((!one.text.is_empty()).then_some(one.text));
        return result;
    }
    result.odd = whole.contains(['，', '、']);
    let mut seen = HashSet::new();
    for item in whole.split([',', '，', '、']) {
        // Quotes around the whole list leave one at its first and one at its last item.
        let item = plain(item);
        let bare = item.text.trim_matches(['"', '“', '”', '＂', '\'']);
        result.odd |= item.odd || bare.len() != item.text.len() || bare.is_empty();
        if !bare.is_empty() && !seen.insert(bare.to_owned()) {
            result.odd = true;
        } else if !bare.is_empty() {
            result.items.push(bare.to_owned());
        }
    }
    result
}

/// Whether a value may be told in a message. What holds blanks or the name of a key pair's field is another key
/// that slipped in by its indent or its colon, perhaps with a secret after it.
pub(super) fn tellable(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let slipped =
        ["customaccesskey", "accesskeysecret", "accesskeyid"].iter().any(|name| lower.contains(name));
    !slipped && !text.contains(char::is_whitespace)
}

/// A value in quotes for a message, short, or words that stand for it.
pub(super) fn shown(text: &str) -> String {
    if tellable(text) { format!("{:?}", clip(text, 60)) } else { "a text of several words".to_owned() }
}

/// The name of a key for a message, without what follows a colon that stands in it.
pub(super) fn shown_key(key: &str) -> String {
    let name = key.split([':', '：', '=', ' ', '\t']).next().unwrap_or_default();
    format!("{:?}", clip(name, 60))
}

/// The first few values for a message.
pub(super) fn shown_list(items: &[String]) -> String {
    let first: Vec<String> = items.iter().take(3).map(|item| shown(item)).collect();
    match items.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The comma list to write instead.
pub(super) fn spelling(items: &[String]) -> String {
    if items.iter().all(|item| tellable(item)) {
        format!("{:?}", clip(&items.join(","), 200))
    } else {
        "its items with one comma between each two".to_owned()
    }
}

/// A boolean in the spellings of YAML 1.1 and 1.2.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}
