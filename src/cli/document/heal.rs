//! What the lines of a manifest that is no YAML, or not the YAML that was meant, should have been.
//!
//! A parser stops at the first fault, often a line or more after the slip. The slips of the documented samples are
//! few and each shows in its own line, so they are looked for line by line, and mended in a copy that the strict
//! parser reads again. What stands inside a block (`|`) is a value: its slips are told by whoever reads it.

use std::ops::Range;

use super::line::{Line, Pair, begins_a_text, closing, is_block_header, lines};
use crate::api::legacy::{self, entry, webhook};
use crate::model::legacy::{Code, Edit};

/// A slip, where it stands, and the changes that mend it.
pub(super) struct Slip {
    pub(super) code: Code,
    pub(super) key: String,
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) edits: Vec<Edit>,
}

/// The most slips that are looked for: a file with more is no configuration that somebody typed.
pub(super) const MAX_SLIPS: usize = 1_000;

/// The keys whose text is YAML of its own, so that a list or a map beneath them lacks its `|`.
const NESTED: [&str; 3] = [legacy::ACR_REGISTRY_INFO, legacy::RRSA, legacy::WEBHOOK_CONFIGURATION];

/// The keys of a manifest around `data`.
const FRAME: [&str; 6] = ["apiVersion", "kind", "metadata", "name", "namespace", "data"];

const SETTINGS: [&str; 3] = [webhook::ENABLE, webhook::FAILURE_POLICY, webhook::TIMEOUT_SECONDS];

/// The slips of a text that the parser does not take, or takes for something else than a configuration.
pub(super) fn slips(text: &str) -> Vec<Slip> {
    Scan::new(text).run()
}

/// Those that leave it YAML, and only mean something else than was meant.
pub(super) fn meant_otherwise(text: &str) -> Vec<Slip> {
    let mut slips = slips(text);
    slips.retain(|slip| {
        matches!(
            slip.code,
            Code::OuterNoComment | Code::OuterBlockMissing | Code::OuterBlockIndent | Code::OuterKeysBeneath
        )
    });
    slips
}

/// One of the legacy ConfigMap's own keys, as documented.
pub fn data_key(name: &str) -> Option<&'static str> {
    legacy::KEYS.into_iter().find(|known| known.eq_ignore_ascii_case(name))
}

/// Whether the text of a key is YAML of its own.
pub(super) fn is_nested(name: &str) -> bool {
    NESTED.iter().any(|nested| nested.eq_ignore_ascii_case(name))
}

/// Whether a line is an item of a list, or a key of an entry or a map: `data` has no such keys.
fn within_a_block(line: Line<'_>) -> bool {
    line.is_item() || Pair::of(line).is_some_and(|pair| within_an_entry(pair.key))
}

/// Whether it is a key of an entry or of a map of settings.
pub(super) fn within_an_entry(name: &str) -> bool {
    entry::KEYS.iter().chain(&SETTINGS).any(|key| key.eq_ignore_ascii_case(name))
}

fn known(name: &str) -> bool {
    let mut names = legacy::KEYS.iter().chain(&entry::KEYS).chain(&FRAME).chain(&SETTINGS);
    names.any(|known| known.eq_ignore_ascii_case(name))
}

/// A block that the scan is in.
struct Block {
    /// How deep its key is.
    depth: usize,
    /// Whether its lines must be moved, and the slip that says so.
    moved_by: Option<usize>,
}

struct Scan<'a> {
    lines: Vec<Line<'a>>,
    slips: Vec<Slip>,
    block: Option<Block>,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self { lines: lines(text), slips: Vec::new(), block: None }
    }

    fn run(mut self) -> Vec<Slip> {
        for index in 0..self.lines.len() {
            if self.slips.len() >= MAX_SLIPS {
                break;
            }
            let line = self.lines[index];
            if line.is_blank() {
                // Within a block an empty line may have blanks, but no tab.
                self.tabs(line);
                continue;
            }
            if self.in_block(line) {
                continue;
            }
            self.block = None;
            self.tabs(line);
            if let Some(pair) = Pair::of(line) {
                self.pair(index, &pair);
            } else if line.body().starts_with("//") {
                let at = line.start + line.lead().len();
                self.slashes(at..at + 2, "#", "");
            }
        }
        self.slips
    }

    /// Whether a line belongs to the block, whose lines are not looked into but for how they are indented.
    fn in_block(&mut self, line: Line<'_>) -> bool {
        let Some(block) = &self.block else { return false };
        let beside = line.depth() == block.depth && within_a_block(line);
        // A comment says by itself not where it belongs, so that what is moved goes on behind it.
        let goes_on = block.moved_by.is_some() && (beside || line.is_comment());
        if line.depth() <= block.depth && !goes_on {
            return false;
        }
        if let Some(slip) = block.moved_by.filter(|_| line.depth() >= block.depth) {
            self.slips[slip].edits.push(Edit { span: line.start..line.start, text: "  ".to_owned() });
        }
        self.tabs(line);
        true
    }

    fn tabs(&mut self, line: Line<'_>) {
        let lead = line.lead();
        if lead.contains('\t') {
            let span = line.start..line.start + lead.len();
            let text = if line.is_blank() { String::new() } else { lead.replace('\t', "  ") };
            let edits = vec![Edit { span: span.clone(), text }];
            let message = "a tab indents the line: use blanks".to_owned();
            self.slips.push(Slip { code: Code::OuterTab, key: "data".to_owned(), span, message, edits });
        }
    }

    fn add(&mut self, code: Code, pair: &Pair<'_>, span: Range<usize>, message: &str, edits: Vec<Edit>) {
        self.slips.push(Slip { code, key: pair.key.to_owned(), span, message: message.to_owned(), edits });
    }

    fn pair(&mut self, index: usize, pair: &Pair<'_>) {
        let value = pair.rest.trim_start_matches([' ', '\t']);
        let value_at = pair.rest_at + pair.rest.len() - value.len();
        let (value, comment) = self.without_comment(pair, value, value_at);
        let wide = value.starts_with('｜') && data_key(pair.key).is_some();
        let bar = value.replacen('｜', "|", usize::from(wide));
        let header = is_block_header(&bar);
        let colon = pair.rest_at - pair.colon.len()..pair.rest_at;
        if pair.colon == "：" {
            if known(pair.key) {
                let edit = Edit { span: colon.clone(), text: ": ".to_owned() };
                self.add(
                    Code::OuterFullWidth,
                    pair,
                    colon.clone(),
                    "a full-width colon: write : and a blank",
                    vec![edit],
                );
            }
        } else if value_at == pair.rest_at
            && !pair.rest.is_empty()
            && !comment
            && (known(pair.key) || header || pair.rest.starts_with(['"', '\'']))
        {
            let edit = Edit { span: colon.end..colon.end, text: " ".to_owned() };
            let message = "the blank after the colon is missing, so that this is no key";
            self.add(Code::OuterBlankAfterColon, pair, colon.clone(), message, vec![edit]);
        }
        if wide && header {
            let span = value_at..value_at + '｜'.len_utf8();
            let edit = Edit { span: span.clone(), text: "|".to_owned() };
            self.add(Code::OuterFullWidth, pair, span, "a full-width bar: write |", vec![edit]);
        }
        self.bare(pair, value, value_at);
        let next = self.lines[index + 1..].iter().find(|line| !line.is_blank() && !line.is_comment());
        let Some(&next) = next else { return };
        let nested = is_nested(pair.key);
        let holds_keys =
            || Pair::of(next).is_some_and(|next| data_key(next.key).is_some()) && !next.is_item();
        let beside = within_a_block(next) && next.depth() == pair.depth;
        if header && pair.key == "data" && next.depth() > pair.depth && holds_keys() {
            let edit = Edit { span: colon.end..value_at + value.len(), text: String::new() };
            let message = "what stands beneath it is one text, in which nobody looks for keys: delete what follows the colon";
            self.add(Code::OuterDataNoMap, pair, value_at..value_at + value.len(), message, vec![edit]);
        } else if header {
            self.block = Some(Block { depth: pair.depth, moved_by: None });
            if nested && beside {
                let message = "what belongs to the | must be indented deeper than its key";
                self.add(Code::OuterBlockIndent, pair, pair.key_span(), message, Vec::new());
                self.move_block();
            }
        } else if value.is_empty() && nested && (beside || next.depth() > pair.depth) {
            if is_block_header(next.body()) {
                self.block = Some(Block { depth: pair.depth, moved_by: None });
                return;
            }
            if begins_a_text(next.body()) {
                return;
            }
            if holds_keys() {
                self.keys_beneath(index, pair, next.depth());
                return;
            }
            let edit = Edit { span: colon.end..colon.end, text: " |".to_owned() };
            let message = "the | after the colon is missing: the ConfigMap takes a text here, and the API server refuses a list or keys";
            self.block = Some(Block { depth: pair.depth, moved_by: None });
            self.add(Code::OuterBlockMissing, pair, pair.key_span(), message, vec![edit]);
            if beside {
                self.move_block();
            }
        }
    }

    /// A star or several texts, of which quotes around the whole make one text.
    fn bare(&mut self, pair: &Pair<'_>, value: &str, at: usize) {
        let listed = data_key(pair.key).is_some() && !is_nested(pair.key);
        // An alias of YAML has a name directly after its star.
        let star = value.strip_prefix('*').filter(|rest| rest.starts_with([' ', '\t', ',', '，', '、']));
        let (span, text, code, message) = if value == "*" {
            let message = "a bare * begins an alias of YAML: put it in quotes";
            (at..at + 1, "\"*\"".to_owned(), Code::OuterBareStar, message)
        } else if let Some((length, text)) = star.filter(|_| listed).and_then(|_| one_text(value)) {
            let message = "a bare * begins an alias of YAML: put quotes around the whole list";
            (at..at + length, text, Code::OuterBareStar, message)
        } else if let Some((length, text)) = texts_in_a_row(value).filter(|_| listed) {
            let message = "several texts stand in a row, and the API server takes one: put one pair of quotes around the whole list";
            (at..at + length, text, Code::OuterBlockMissing, message)
        } else {
            return;
        };
        self.add(code, pair, span.clone(), message, vec![Edit { span, text }]);
    }

    /// The slip that was just added moves the lines of the block.
    fn move_block(&mut self) {
        if let Some(block) = &mut self.block {
            block.moved_by = self.slips.len().checked_sub(1);
        }
    }

    fn keys_beneath(&mut self, index: usize, pair: &Pair<'_>, depth: usize) {
        let shift = depth - pair.depth;
        let edits = self.lines[index + 1..]
            .iter()
            .take_while(|line| line.is_blank() || line.depth() > pair.depth)
            .filter(|line| line.depth() >= depth && !line.lead().contains('\t'))
            .map(|line| Edit { span: line.start..line.start + shift, text: String::new() })
            .collect();
        let message = "other keys of data are indented as if they belonged to this one: move them out";
        self.add(Code::OuterKeysBeneath, pair, pair.key_span(), message, edits);
    }

    /// The value without what follows it, and whether what follows the colon is nothing but a comment.
    fn without_comment<'b>(&mut self, pair: &Pair<'_>, value: &'b str, at: usize) -> (&'b str, bool) {
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (end, gap) = match quote {
            Some(quote) => {
                let Some(close) = closing(value, quote) else { return (value, false) };
                let rest = &value[close..];
                let gap = rest.len() - rest.trim_start_matches([' ', '\t']).len();
                if !rest[gap..].starts_with("//") && !rest[gap..].starts_with('#') {
                    return (value, false);
                }
                (close, gap)
            }
            None if value.starts_with("//") || value.starts_with('#') => (0, 0),
            None => {
                let Some(end) = [" //", " #", "\t//", "\t#"].iter().filter_map(|sign| value.find(sign)).min()
                else {
                    return (value.trim_end_matches([' ', '\t']), false);
                };
                (end, 1)
            }
        };
        let sign = at + end + gap;
        if value[end + gap..].starts_with("//") && known(pair.key) {
            let blank = if gap == 0 && (sign == pair.rest_at || end > 0) { " #" } else { "#" };
            self.slashes(sign..sign + 2, blank, pair.key);
        }
        (value[..end].trim_end_matches([' ', '\t']), end == 0)
    }

    fn slashes(&mut self, span: Range<usize>, text: &str, key: &str) {
        let edits = vec![Edit { span: span.clone(), text: text.to_owned() }];
        let key = if key.is_empty() { "data" } else { key }.to_owned();
        let message = "// begins no comment in YAML: write #".to_owned();
        self.slips.push(Slip { code: Code::OuterNoComment, key, span, message, edits });
    }
}

/// Texts in quotes with commas between them: how long they are, and the one text that was meant.
fn texts_in_a_row(value: &str) -> Option<(usize, String)> {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let rest = value[closing(value, quote)?..].trim_start_matches([' ', '\t']);
    rest.starts_with([',', '，', '、']).then(|| one_text(value)).flatten()
}

/// A comma list as one text in quotes, without those that its items have, and how long it is without a comment.
fn one_text(value: &str) -> Option<(usize, String)> {
    let comment = [" #", "\t#", " //", "\t//"].iter().filter_map(|sign| value.find(sign)).min();
    let list = value[..comment.unwrap_or(value.len())].trim_end_matches([' ', '\t']);
    let text = list.replace(['"', '\''], "");
    // What no name has may be meant otherwise.
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '?' | '@');
    let mut items = text.split([',', '，', '、']).map(|item| item.trim_matches([' ', '\t']));
    items.all(|item| item.chars().all(plain)).then(|| (list.len(), format!("\"{text}\"")))
}
