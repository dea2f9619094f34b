//! The lines of a manifest. The text in a block (`|`) is a value, whose lines are checked only for their depth.

use std::ops::Range;

use super::scanned::{MAX_MISTAKES, Scanned, Schema, Shape};
use crate::api::legacy::{self, data_key, entry, webhook};
use crate::model::legacy::code::Code;
use crate::model::legacy::line::{COMMAS, Field, Line, closing, comment_at, is_block_header, is_yaml_space};
use crate::model::legacy::patch::Edit;

/// The keys whose text is YAML of its own, so that a list or a map below them lacks its `|`.
pub(crate) const NESTED_KEYS: [&str; 3] =
    [legacy::ACR_REGISTRY_INFO, legacy::RRSA, legacy::WEBHOOK_CONFIGURATION];

/// The keys of a manifest around `data`.
const FRAME: [&str; 6] = ["apiVersion", "kind", "metadata", "name", "namespace", "data"];

pub(super) const SCHEMA: Schema =
    Schema { shape: Shape::Manifest, keys: &[&legacy::KEYS, &entry::KEYS, &FRAME, &webhook::KEYS] };

pub(super) fn scan(text: &str, schema: &Schema) -> Scanned {
    let lines = Line::all(text, is_yaml_space);
    let mut scan = ManifestScan { schema, lines, scanned: Scanned::default(), block: None };
    for index in 0..scan.lines.len() {
        if scan.scanned.mistakes.len() >= MAX_MISTAKES {
            break;
        }
        scan.line(index);
    }
    scan.scanned
}

/// A block that the scan is in.
struct OpenBlock {
    /// The column of its key.
    depth: usize,
    /// The mistake that says that its lines must be moved.
    moved_by: Option<usize>,
}

struct ManifestScan<'a> {
    schema: &'a Schema,
    lines: Vec<Line<'a>>,
    scanned: Scanned,
    block: Option<OpenBlock>,
}

impl ManifestScan<'_> {
    fn line(&mut self, index: usize) {
        let line = self.lines[index];
        // Within a block an empty line may have spaces, but no tab.
        if !self.in_block(line) && !line.is_empty() {
            self.block = None;
        }
        let width = if line.is_empty() { 0 } else { line.depth() };
        self.scanned.spaces("data", line.start, line.lead(), width);
        if line.is_empty() || self.block.is_some() {
            return;
        }
        match line.field() {
            Some(field) => self.field(index, &field),
            None => drop(self.scanned.comment_line("data", line.body_at(), line.body())),
        }
    }

    /// Returns whether a line belongs to the block. Moves it where the block is moved.
    fn in_block(&mut self, line: Line<'_>) -> bool {
        let Some(block) = self.block.as_ref().filter(|_| !line.is_empty()) else { return false };
        let beside = line.depth() == block.depth && within_a_block(line);
        // A comment does not say where it belongs, so that a move goes on behind it.
        let goes_on = block.moved_by.is_some() && (beside || line.is_comment());
        if line.depth() <= block.depth && !goes_on {
            return false;
        }
        if let Some(mistake) = block.moved_by.filter(|_| line.depth() >= block.depth) {
            let edit = Edit { span: line.start..line.start, text: "  ".to_owned() };
            self.scanned.mistakes[mistake].edits.push(edit);
        }
        true
    }

    fn report(
        &mut self,
        code: Code,
        field: &Field<'_>,
        span: Range<usize>,
        message: &'static str,
        edits: Vec<Edit>,
    ) {
        self.scanned.report(code, field.key, span, message, edits);
    }

    fn field(&mut self, index: usize, field: &Field<'_>) {
        let known = self.schema.known(field.key).is_some();
        let slashes = field.value.starts_with("//").then_some(0);
        let comment = slashes.or_else(|| comment_at(field.value));
        if let Some(comment) = comment.filter(|_| known) {
            self.scanned.comment(field, comment);
        }
        let value = &field.value[..comment.unwrap_or(field.value.len())];
        let value = value.trim_end_matches(is_yaml_space);
        let span = field.value_at()..field.value_at() + value.len();
        let wide = value.starts_with('｜') && data_key(field.key).is_some();
        let header = is_block_header(&value.replacen('｜', "|", usize::from(wide)));
        let text = header || value.starts_with(['"', '\'']);
        if comment != Some(0) && (known || text && !field.wide) || field.wide && known {
            self.scanned.colon(field, field.colon.clone());
        }
        if wide && header {
            let span = span.start..span.start + '｜'.len_utf8();
            self.scanned.plain(field.key, span, "｜", "|");
        }
        self.unquoted(field, value, span.clone());
        let next = self.lines[index + 1..].iter().find(|line| !line.is_empty() && !line.is_comment());
        let Some(&next) = next else { return };
        let nested = field.is(&NESTED_KEYS);
        let holds_keys = next.field().is_some_and(|next| data_key(next.key).is_some()) && !next.is_item();
        let beside = within_a_block(next) && next.depth() == field.depth;
        let deeper = next.depth() > field.depth;
        if header && field.key == "data" && deeper && holds_keys {
            let edit = Edit { span: field.colon.end..span.end, text: String::new() };
            let message = "the keys below it are read as one text, so that none of them counts: delete what follows the colon";
            self.report(Code::DataNotMap, field, span, message, vec![edit]);
        } else if header {
            self.block = Some(OpenBlock { depth: field.depth, moved_by: None });
            if nested && beside {
                let message = "the text of the | is not deeper than its key: indent each of its lines by two spaces more";
                self.report(Code::Indentation, field, field.span(), message, Vec::new());
                self.move_block();
            }
        } else if value.is_empty() && nested && (beside || deeper) {
            self.without_header(index, field, next, holds_keys);
            if beside {
                self.move_block();
            }
        }
    }

    /// Checks the lines below a key that needs a `|` and has none.
    fn without_header(&mut self, index: usize, field: &Field<'_>, next: Line<'_>, holds_keys: bool) {
        if !is_block_header(next.body()) && begins_a_text(next.body()) {
            return;
        }
        if holds_keys {
            return self.keys_below(index, field, next.depth());
        }
        self.block = Some(OpenBlock { depth: field.depth, moved_by: None });
        if !is_block_header(next.body()) {
            let edit = Edit { span: field.colon.end..field.colon.end, text: " |".to_owned() };
            let message = "the | after the colon is missing: write it, because the API server takes only a text here, and refuses a list or keys";
            self.report(Code::TextExpected, field, field.span(), message, vec![edit]);
        }
    }

    /// Checks a star or several texts, of which quotes around the whole make one text.
    fn unquoted(&mut self, field: &Field<'_>, value: &str, span: Range<usize>) {
        let listed = data_key(field.key).is_some() && !field.is(&NESTED_KEYS);
        // An alias of YAML has a name directly after its star.
        let star = value.strip_prefix('*').is_some_and(|rest| rest.starts_with([' ', '\t', ',', '，', '、']));
        let (text, code, message) = if value == "*" {
            ("\"*\"".to_owned(), Code::QuotesMissing, "a bare * begins an alias of YAML: put it in quotes")
        } else if let Some(text) = one_text(value).filter(|_| star && listed) {
            let message = "a bare * begins an alias of YAML: put quotes around the whole list";
            (text, Code::QuotesMissing, message)
        } else if let Some(text) = texts_in_a_row(value).filter(|_| listed) {
            let message = "several texts in a row are not one text, which the API server takes: put one pair of quotes around the whole list";
            (text, Code::TextExpected, message)
        } else {
            return;
        };
        self.report(code, field, span.clone(), message, vec![Edit { span, text }]);
    }

    /// Makes the last mistake move the lines of the block.
    fn move_block(&mut self) {
        if let Some(block) = &mut self.block {
            block.moved_by = self.scanned.mistakes.len().checked_sub(1);
        }
    }

    fn keys_below(&mut self, index: usize, field: &Field<'_>, depth: usize) {
        let shift = depth - field.depth;
        let edits = self.lines[index + 1..]
            .iter()
            .take_while(|line| line.is_empty() || line.depth() > field.depth)
            .filter(|line| line.depth() >= depth && !line.lead().contains('\t'))
            .map(|line| Edit { span: line.start..line.start + shift, text: String::new() })
            .collect();
        self.scanned.add(Code::KeysBelow, field.key, field.span(), edits);
    }
}

/// Returns whether a line is an item of a list, or a key of an entry or of settings, which `data` does not have.
fn within_a_block(line: Line<'_>) -> bool {
    line.is_item() || line.field().is_some_and(|field| field.is(&entry::KEYS) || field.is(&webhook::KEYS))
}

/// Returns whether a line begins with a text, or with a sign before one, and not with a key in quotes.
fn begins_a_text(body: &str) -> bool {
    match body.chars().next() {
        Some(quote @ ('"' | '\'')) => closing(body, quote)
            .is_none_or(|end| !body[end..].trim_start_matches(is_yaml_space).starts_with(':')),
        Some(sign) => matches!(sign, '>' | '|' | '!' | '&' | '*'),
        None => false,
    }
}

/// Returns the one text that was meant by texts in quotes with commas between them.
fn texts_in_a_row(value: &str) -> Option<String> {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let rest = value[closing(value, quote)?..].trim_start_matches(is_yaml_space);
    rest.starts_with(COMMAS).then(|| one_text(value)).flatten()
}

/// Returns a comma list as one text in quotes, without the quotes of its items.
fn one_text(value: &str) -> Option<String> {
    let text = value.replace(['"', '\''], "");
    // Characters that names do not have may be meant otherwise.
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '?' | '@');
    let mut items = text.split(COMMAS).map(|item| item.trim_matches(is_yaml_space));
    items.all(|item| item.chars().all(plain)).then(|| format!("\"{text}\""))
}
