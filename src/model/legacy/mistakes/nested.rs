//! The lines of a list of maps, or of one map.

use super::scanned::{Mistake, Scanned, Schema, Shape, cure, width};
use crate::api::legacy::entry::{CUSTOM_ACCESS_KEY, CUSTOM_ACCESS_KEY_SECRET};
use crate::api::legacy::{ACR_REGISTRY_INFO, RRSA, WEBHOOK_CONFIGURATION, data_key};
use crate::model::legacy::code::Code;
use crate::model::legacy::finding::clip;
use crate::model::legacy::line::{COMMAS, Field, Line, closing, is_space};
use crate::model::legacy::patch::Edit;
use crate::model::legacy::text::{can_show, is_quote, unquote};

pub(super) fn scan(text: &str, schema: &Schema) -> Scanned {
    let mut scan = NestedScan {
        schema,
        scanned: Scanned::default(),
        dash: None,
        keys: None,
        dashless: None,
        moved_out: None,
        begun: false,
        number: 0,
        first: None,
        valued: false,
        uneven: None,
    };
    Line::all(text, is_space).into_iter().for_each(|line| scan.line(line));
    scan.scanned.mistakes.sort_by_key(|mistake| mistake.edits.first().map(|e| (e.span.start, e.span.end)));
    scan.scanned
}

struct NestedScan<'a> {
    schema: &'a Schema,
    scanned: Scanned,
    /// The column of the entries' dashes.
    dash: Option<usize>,
    /// The column of the present map's keys.
    keys: Option<usize>,
    /// The keys that the present entry has, where it has no dash of its own.
    dashless: Option<Vec<&'static str>>,
    /// The column of a key of `data` whose map is being taken out.
    moved_out: Option<usize>,
    /// Whether a line with content has been seen.
    begun: bool,
    /// The number of the present line, from 1.
    number: usize,
    /// The first key of the present map, in whose column the others belong.
    first: Option<String>,
    /// Whether the last key has a value in its own line.
    valued: bool,
    /// The mistake that has the lines of a map that are in another column.
    uneven: Option<usize>,
}

impl NestedScan<'_> {
    fn line(&mut self, line: Line<'_>) {
        self.number += 1;
        let (body, start) = (line.body(), line.body_at());
        if body.is_empty() || line.is_comment() || self.scanned.comment_line("", start, body) {
            return;
        }
        let marker = body.split_once(" #").map_or(body, |(marker, _)| marker);
        if matches!(marker.trim_end(), "---" | "...") {
            if self.begun {
                self.scanned.replace(Code::SeveralDocuments, "", start..start + 3, "");
            }
            return;
        }
        self.begun = true;
        let depth = line.depth();
        if self.moves_out(depth, start, body) {
            return;
        }
        let (mut wanted, mut rest, mut rest_at) = (depth, body, start);
        let dash = self.entry_dash(body, depth);
        if let Some(dash) = dash {
            wanted = *self.dash.get_or_insert(depth);
            rest = body[dash..].trim_start_matches(is_space);
            let gap = &body[dash..body.len() - rest.len()];
            self.after_dash(start, dash, gap, !rest.is_empty());
            rest_at = start + dash + gap.len();
            (self.keys, self.dashless, self.first) = (Some(wanted + 1 + width(gap)), None, None);
        }
        let field = Field::parse(rest, rest_at, 0, is_space);
        let key = field.as_ref().and_then(|field| self.schema.known(field.key));
        if let Some(key) = key.filter(|_| dash.is_none()) {
            wanted = self.key_without_dash(key, depth, start);
        } else if self.schema.shape == Shape::Map && field.is_some() {
            // A key below one that has a value belongs beside it, known or not.
            let keys = *self.keys.get_or_insert(depth);
            wanted = if self.valued { keys } else { depth };
        }
        self.indent(line, wanted, field.as_ref());
        if let Some(field) = &field {
            self.valued = !field.split_comment().0.is_empty();
            self.first.get_or_insert_with(|| field.key.to_owned());
        }
        match (field, key) {
            (Some(field), Some(key)) => self.value(&field, key),
            (Some(field), None) if self.schema.shape == Shape::List => self.key_of_data(&field, depth),
            _ => {}
        }
    }

    /// Returns the length of the dash of an entry. A dash in another column is one only before a known key: it may
    /// as well be an item of a list within the entry.
    fn entry_dash(&self, body: &str, depth: usize) -> Option<usize> {
        let dash = body.chars().next().filter(|c| matches!(c, '-' | '－'))?.len_utf8();
        let after = &body[dash..];
        let apart = after.starts_with(is_space) || after.is_empty();
        let known = || {
            let field = Field::parse(after.trim_start_matches(is_space), 0, 0, is_space);
            field.is_some_and(|field| self.schema.known(field.key).is_some())
        };
        let ours = apart && (self.dash.is_none() || self.dash == Some(depth)) || known();
        (self.schema.shape == Shape::List && ours).then_some(dash)
    }

    fn after_dash(&mut self, start: usize, dash: usize, gap: &str, more: bool) {
        if dash > 1 {
            let text = if gap.is_empty() && more { "- " } else { "-" };
            self.scanned.plain("", start..start + dash, "－", text);
        } else if gap.is_empty() && more {
            self.scanned.replace(Code::SpaceAfterDash, "", start + dash..start + dash, " ");
        }
        self.scanned.spaces("", start + dash, gap, width(gap));
    }

    fn indent(&mut self, line: Line<'_>, wanted: usize, field: Option<&Field<'_>>) {
        let (lead, depth) = (line.lead(), line.depth());
        let map = self.schema.shape == Shape::Map;
        if depth == wanted || lead.contains('\t') && !map {
            return self.scanned.spaces("", line.start, lead, wanted);
        }
        let edit = Edit { span: line.start..line.body_at(), text: " ".repeat(wanted) };
        let uneven = self.uneven.and_then(|uneven| self.scanned.mistakes.get_mut(uneven));
        if let Some(mistake) = uneven.filter(|_| map) {
            return mistake.edits.push(edit);
        }
        let message = self.uneven_message(lead.contains('\t'), depth > wanted, field);
        let code = if map { Code::KeysUneven } else { Code::Indentation };
        self.scanned.report(code, "", edit.span.clone(), message, vec![edit]);
        self.uneven = map.then(|| self.scanned.mistakes.len() - 1);
    }

    /// Says which line is in which column, and how to write it.
    fn uneven_message(&self, tab: bool, deeper: bool, field: Option<&Field<'_>>) -> String {
        let line = format!("line {} of the value", self.number);
        let (Some(field), Some(first)) = (field, &self.first) else {
            return format!(
                "{line} is not in the column of the entries before it: write each - in the same column"
            );
        };
        let (key, first) = (clip(field.key, 40), clip(first, 40));
        let manner = match (tab, deeper) {
            (true, _) => "begins with a tab, unlike",
            (false, true) => "is indented deeper than",
            (false, false) => "is indented less than",
        };
        let all = if self.schema.shape == Shape::Map { "all keys" } else { "all keys of an entry" };
        format!("{line} ({key}) {manner} {first}: write {all} at one depth, with spaces before them")
    }

    /// Returns the column where a key belongs that follows no dash.
    fn key_without_dash(&mut self, key: &'static str, depth: usize, start: usize) -> usize {
        if let Some(seen) = &mut self.dashless
            && !seen.contains(&key)
        {
            seen.push(key);
            return self.keys.unwrap_or(depth);
        }
        match self.keys {
            Some(column) if self.dashless.is_none() => column,
            // A map, or the next one, in the place of an entry.
            _ if self.schema.shape == Shape::List => {
                let dash = *self.dash.get_or_insert(depth);
                self.keys = Some(dash + 2);
                self.dashless = Some(vec![key]);
                self.scanned.replace(Code::MapForList, "", start..start, "- ");
                dash
            }
            _ => *self.keys.get_or_insert(depth),
        }
    }

    fn value(&mut self, field: &Field<'_>, key: &str) {
        self.scanned.colon(field, field.colon.end..field.colon.end);
        if !field.gap.is_ascii() {
            self.scanned.spaces("", field.colon.end, field.gap, 1);
        }
        let (at, (text, comment)) = (field.value_at(), field.split_comment());
        match text.chars().next() {
            Some(quote @ ('"' | '\'')) => return self.quoted(field, quote),
            Some('*' | '%' | '@' | '`') => {
                let secret = [CUSTOM_ACCESS_KEY, CUSTOM_ACCESS_KEY_SECRET].contains(&key);
                if !secret && can_show(text) && !text.contains(['"', '\\']) {
                    let span = at..at + text.len();
                    self.scanned.replace(Code::QuotesMissing, "", span, &format!("\"{text}\""));
                }
                return;
            }
            Some('|' | '>' | '[' | '{' | '&' | '!') => return,
            _ => {}
        }
        if let Some(comment) = comment {
            self.scanned.comment(field, comment);
        }
    }

    /// Checks the text after a value in quotes.
    fn quoted(&mut self, field: &Field<'_>, quote: char) {
        let (at, value) = (field.value_at(), field.value);
        let mut open = 0;
        while let Some(close) = closing(&value[open..], quote).map(|end| open + end) {
            let tail = value[close..].trim_start_matches(is_space);
            let Some(next) = tail.strip_prefix(COMMAS) else {
                if tail.starts_with('#') || tail.starts_with("//") {
                    self.scanned.comment(field, value.len() - tail.len());
                }
                return;
            };
            let next = next.trim_start_matches(is_space);
            if !next.starts_with(quote) {
                if next.is_empty() {
                    self.scanned.replace(Code::TextSpelling, "", at + close..at + value.len(), "");
                }
                return;
            }
            open = value.len() - next.len();
            self.scanned.replace(Code::ValuesInARow, "", at + close - 1..at + open + 1, ",");
        }
        // No quote of the same kind closes the value, but one of another width may.
        if let Some(last) = value.chars().next_back().filter(|c| is_quote(*c) && !c.is_ascii()) {
            let end = at + value.len();
            let span = end - last.len_utf8()..end;
            self.scanned.plain("", span, &last.to_string(), &quote.to_string());
        }
    }

    /// Takes a key of `data` below the list out of its way, and notes its value.
    fn key_of_data(&mut self, field: &Field<'_>, depth: usize) {
        let Some(key) = data_key(field.key) else { return };
        self.comment_out(field.at);
        if key == ACR_REGISTRY_INFO {
            return;
        }
        let value = unquote(field.split_comment().0).text;
        let map = value.is_empty() || value.starts_with(['|', '>']);
        if matches!(key, RRSA | WEBHOOK_CONFIGURATION) && map {
            // Its map is in the lines that follow.
            self.moved_out = Some(depth);
            self.scanned.below.push((key, String::new()));
        } else {
            self.scanned.below.push((key, value.to_owned()));
        }
    }

    /// Notes a line that belongs to a map that is being taken out.
    fn moves_out(&mut self, depth: usize, start: usize, body: &str) -> bool {
        if self.moved_out.is_none_or(|column| depth <= column) {
            self.moved_out = None;
            return false;
        }
        if let Some((_, value)) = self.scanned.below.last_mut() {
            value.push_str(body);
            value.push('\n');
        }
        self.comment_out(start);
        true
    }

    fn comment_out(&mut self, at: usize) {
        let edits = vec![Edit { span: at..at, text: "# ".to_owned() }];
        let (code, message) = (Code::KeysBelow, cure(Code::KeysBelow).to_owned());
        let key = String::new();
        self.scanned.mistakes.push(Mistake { code, key, span: at..at, message, edits, proposed: false });
    }
}
