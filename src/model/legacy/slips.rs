//! The slips in YAML that people make again and again, found line by line.

use super::code::Code;
use super::repair::Repair;
use super::source::{is_blank, starts_with_key};
use super::text::{is_quote, plain, tellable};
use crate::api::legacy::entry::{CUSTOM_ACCESS_KEY, CUSTOM_ACCESS_KEY_SECRET};
use crate::api::legacy::{ACR_REGISTRY_INFO, KEYS, RRSA, WEBHOOK_CONFIGURATION};

/// A walk through the lines of a text.
pub(super) struct Walk<'a> {
    known: &'a [&'static str],
    in_list: bool,
    pub(super) repairs: Vec<Repair>,
    pub(super) beneath: Vec<(&'static str, String)>,
    /// The column of the entries' dashes.
    dash: Option<usize>,
    /// The column of the present map's keys.
    keys: Option<usize>,
    /// The keys that the present entry has, where it has no dash of its own.
    dashless: Option<Vec<&'static str>>,
    /// The column of a key of `data` whose map is being taken out.
    taken: Option<usize>,
    /// Whether a line with content has been seen.
    begun: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(known: &'a [&'static str], in_list: bool) -> Self {
        Self {
            known,
            in_list,
            repairs: Vec::new(),
            beneath: Vec::new(),
            dash: None,
            keys: None,
            dashless: None,
            taken: None,
            begun: false,
        }
    }

    /// Looks at a line that begins at a byte of the text.
    pub(super) fn line(&mut self, at: usize, text: &str) {
        let bare = text.trim_start_matches(is_blank);
        let indent = &text[..text.len() - bare.len()];
        let start = at + indent.len();
        if bare.is_empty() || bare.starts_with('#') {
            return;
        }
        if bare.starts_with("//") {
            return self.mend(Code::NoComment, start, 2, "#");
        }
        if matches!(bare.trim_end(), "---" | "...") {
            if self.begun {
                self.mend(Code::SeveralDocuments, start, 3, "");
            }
            return;
        }
        self.begun = true;
        let width = columns(indent);
        if self.take(width, start, bare) {
            return;
        }
        let mut wanted = width;
        let mut rest = bare;
        let mut rest_at = start;
        let mut own_dash = false;
        if let Some((after, dash)) = self.entry_dash(bare, width) {
            own_dash = true;
            wanted = *self.dash.get_or_insert(width);
            let blanks = after.len() - after.trim_start_matches(is_blank).len();
            self.after_dash(start, dash, &after[..blanks], after.len() > blanks);
            self.keys = Some(wanted + 1 + columns(&after[..blanks]).max(1));
            self.dashless = None;
            rest = &after[blanks..];
            rest_at = start + dash + blanks;
        }
        let key = self.known.iter().copied().find(|key| starts_with_key(rest, key));
        match key {
            Some(key) => {
                if !own_dash {
                    wanted = self.key_without_dash(key, width, start);
                }
                self.indent(at, indent, wanted);
                self.colon(key, rest_at + key.len(), &rest[key.len()..]);
            }
            None => {
                self.indent(at, indent, wanted);
                if self.in_list {
                    self.key_of_data(rest, rest_at, width);
                }
            }
        }
    }

    fn mend(&mut self, code: Code, at: usize, length: usize, text: &str) {
        self.repairs.push(Repair { code, span: at..at + length, text: text.to_owned(), proposed: true });
    }

    /// What follows the dash of an entry, and the dash's length. A dash of another column is one only before a
    /// known key: it may as well be an item of a list within the entry.
    fn entry_dash<'t>(&self, bare: &'t str, width: usize) -> Option<(&'t str, usize)> {
        let dash = bare.chars().next().filter(|c| self.in_list && matches!(c, '-' | '－'))?.len_utf8();
        let after = &bare[dash..];
        let known = |rest: &str| self.known.iter().any(|key| starts_with_key(rest, key));
        let parted = after.starts_with(is_blank) || after.is_empty();
        let ours = known(after.trim_start_matches(is_blank))
            || (parted && (self.dash.is_none() || self.dash == Some(width)));
        ours.then_some((after, dash))
    }

    fn after_dash(&mut self, start: usize, dash: usize, blanks: &str, more: bool) {
        if dash > 1 {
            let blank = if blanks.is_empty() && more { "- " } else { "-" };
            self.mend(Code::FullWidth, start, dash, blank);
        } else if blanks.is_empty() && more {
            self.mend(Code::BlankAfterDash, start + dash, 0, " ");
        }
        self.blanks(start + dash, blanks, columns(blanks).max(1));
    }

    /// Puts plain blanks in the place of others.
    fn blanks(&mut self, at: usize, blanks: &str, width: usize) {
        if blanks.contains('\t') {
            self.mend(Code::Tab, at, blanks.len(), &" ".repeat(width));
        } else if !blanks.is_ascii() {
            self.mend(Code::FullWidth, at, blanks.len(), &" ".repeat(width));
        }
    }

    fn indent(&mut self, at: usize, indent: &str, wanted: usize) {
        let mark = indent.len() - indent.trim_start_matches('\u{feff}').len();
        let (at, indent) = (at + mark, &indent[mark..]);
        if columns(indent) == wanted {
            self.blanks(at, indent, wanted);
        } else {
            let code = if indent.contains('\t') { Code::Tab } else { Code::Indentation };
            self.mend(code, at, indent.len(), &" ".repeat(wanted));
        }
    }

    /// The column where a key belongs that follows no dash.
    fn key_without_dash(&mut self, key: &'static str, width: usize, start: usize) -> usize {
        if let Some(seen) = &mut self.dashless
            && !seen.contains(&key)
        {
            seen.push(key);
            return self.keys.unwrap_or(width);
        }
        match self.keys {
            Some(column) if self.dashless.is_none() => column,
            // A map, or the next one, where an entry belongs.
            _ if self.in_list => {
                let dash = *self.dash.get_or_insert(width);
                self.keys = Some(dash + 2);
                self.dashless = Some(vec![key]);
                self.mend(Code::MapForList, start, 0, "- ");
                dash
            }
            _ => *self.keys.get_or_insert(width),
        }
    }

    /// The colon after a key, and what follows it.
    fn colon(&mut self, key: &str, at: usize, after: &str) {
        let before = after.len() - after.trim_start_matches(is_blank).len();
        let Some(colon) = after[before..].chars().next() else { return };
        let value_at = before + colon.len_utf8();
        let value = after[value_at..].trim_start_matches(is_blank);
        let blanks = &after[value_at..after.len() - value.len()];
        let parted = !blanks.is_empty() || value.is_empty();
        if colon == '：' {
            self.mend(Code::FullWidth, at + before, colon.len_utf8(), if parted { ":" } else { ": " });
        } else if !parted {
            self.mend(Code::BlankAfterColon, at + value_at, 0, " ");
        }
        if !blanks.is_ascii() {
            self.blanks(at + value_at, blanks, 1);
        }
        self.value(key, at + after.len() - value.len(), value.trim_end_matches(is_blank));
    }

    fn value(&mut self, key: &str, at: usize, value: &str) {
        let Some(first) = value.chars().next() else { return };
        match first {
            '"' | '\'' => self.quoted(at, value, first),
            '*' | '%' | '@' | '`' => {
                let end = comment_at(value).unwrap_or(value.len());
                let text = value[..end].trim_end_matches(is_blank);
                let secret = [CUSTOM_ACCESS_KEY, CUSTOM_ACCESS_KEY_SECRET].contains(&key);
                if !secret && tellable(text) && !text.contains(['"', '\\']) {
                    self.mend(Code::QuotesMissing, at, text.len(), &format!("\"{text}\""));
                }
            }
            '#' | '|' | '>' | '[' | '{' | '&' | '!' => {}
            _ => {
                if let Some(comment) = comment_at(value).filter(|at| value[*at..].starts_with("//")) {
                    self.mend(Code::NoComment, at + comment, 2, "#");
                }
            }
        }
    }

    /// What follows a value in quotes.
    fn quoted(&mut self, at: usize, value: &str, quote: char) {
        let mut from = 1;
        while let Some(close) = closing(value, from, quote) {
            let tail = &value[close + 1..];
            let bare = tail.trim_start_matches(is_blank);
            let bare_at = value.len() - bare.len();
            let parted = bare.len() < tail.len();
            if bare.starts_with('#') && !parted {
                return self.mend(Code::NoComment, at + bare_at, 0, " ");
            }
            if bare.starts_with("//") {
                return self.mend(Code::NoComment, at + bare_at, 2, if parted { "#" } else { " #" });
            }
            let Some(next) =
                bare.strip_prefix([',', '，', '、']).map(|next| next.trim_start_matches(is_blank))
            else {
                return;
            };
            if !next.starts_with(quote) {
                // A comma with nothing after it.
                if next.is_empty() {
                    self.mend(Code::TextSpelling, at + close + 1, tail.len(), "");
                }
                return;
            }
            let open = value.len() - next.len();
            self.mend(Code::ValuesInARow, at + close, open + 1 - close, ",");
            from = open + 1;
        }
        // No quote of the same kind closes the value, but one of another width may.
        if let Some(last) = value.chars().next_back().filter(|c| is_quote(*c) && !c.is_ascii()) {
            let end = value.len() - last.len_utf8();
            self.mend(Code::FullWidth, at + end, last.len_utf8(), &quote.to_string());
        }
    }

    /// A key of `data` that stands beneath the list is taken out of its way, and its value noted.
    fn key_of_data(&mut self, rest: &str, at: usize, width: usize) {
        let Some(key) = KEYS.into_iter().find(|key| starts_with_key(rest, key)) else { return };
        self.repairs.push(Repair {
            code: Code::KeysBeneath,
            span: at..at,
            text: "# ".to_owned(),
            proposed: false,
        });
        if key == ACR_REGISTRY_INFO {
            return;
        }
        let value = rest[key.len()..].trim_start_matches(is_blank).trim_start_matches([':', '：']);
        let end = comment_at(value).unwrap_or(value.len());
        let value = plain(&value[..end]).text;
        if matches!(key, RRSA | WEBHOOK_CONFIGURATION) && (value.is_empty() || value.starts_with(['|', '>']))
        {
            // Its map is in the lines that follow.
            self.taken = Some(width);
            self.beneath.push((key, String::new()));
        } else {
            self.beneath.push((key, value.to_owned()));
        }
    }

    /// Whether a line belongs to a map that is being taken out.
    fn take(&mut self, width: usize, start: usize, bare: &str) -> bool {
        if self.taken.is_some_and(|column| width > column) {
            if let Some((_, value)) = self.beneath.last_mut() {
                value.push_str(bare);
                value.push('\n');
            }
            self.repairs.push(Repair {
                code: Code::KeysBeneath,
                span: start..start,
                text: "# ".to_owned(),
                proposed: false,
            });
            return true;
        }
        self.taken = None;
        false
    }
}

/// How far some blanks move what follows them.
fn columns(blanks: &str) -> usize {
    let width = |c| match c {
        '\t' | '\u{3000}' => 2,
        '\u{feff}' | '\u{200b}' => 0,
        _ => 1,
    };
    blanks.chars().map(width).sum()
}

/// Where a comment begins in a value without quotes.
fn comment_at(value: &str) -> Option<usize> {
    let sign = |(at, _): &(usize, &str)| value[..*at].ends_with(is_blank);
    let hash = value.match_indices('#').find(sign);
    let slashes = value.match_indices("//").find(sign);
    hash.into_iter().chain(slashes).map(|(at, _)| at).min()
}

/// Where the quote stands that closes a value.
fn closing(value: &str, from: usize, quote: char) -> Option<usize> {
    let mut chars = value.get(from..)?.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        match c {
            '\\' if quote == '"' => drop(chars.next()),
            '\'' if quote == '\'' && next == Some('\'') => drop(chars.next()),
            _ if c == quote => return Some(from + at),
            _ => {}
        }
    }
    None
}
