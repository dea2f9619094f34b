//! How deep the lines of a manifest should have been indented.
//!
//! The parser stops where a key of `data` is not straight beneath the others, and where a block ends before its text
//! does, and says neither. Both show only in the lines around, so they are looked for in a draft in which the slips
//! of single lines are mended, and whole lines are moved. A move is told only if the parser comes further with it.

use std::collections::BTreeMap;
use std::ops::Range;

use super::draft::Draft;
use super::heal::{MAX_SLIPS, Slip, data_key, is_nested, within_an_entry};
use super::line::{Line, Pair, closing, is_block_header, lines};
use super::tree::{self, Fault, Node};
use crate::model::legacy::{Code, Edit};

/// A text whose lines are where they belong.
pub(super) struct Straight {
    pub(super) slips: Vec<Slip>,
    pub(super) draft: Draft,
    pub(super) roots: Vec<Node>,
    pub(super) fault: Option<Fault>,
}

/// Moves the lines of a draft in which the parser finds a fault.
pub(super) fn straighten(text: &str, edits: &[Edit], draft: &Draft, fault: &Fault) -> Option<Straight> {
    let mut slips = Walk::new(&draft.text).run();
    let moved = |span: &Range<usize>| draft.origin[span.start]..draft.origin[span.end];
    for slip in &mut slips {
        slip.span = moved(&slip.span);
        slip.edits.iter_mut().for_each(|edit| edit.span = moved(&edit.span));
    }
    let mut all = edits.to_vec();
    all.extend(slips.iter().flat_map(|slip| slip.edits.iter().cloned()));
    if all.len() == edits.len() || touch(edits, &all[edits.len()..]) {
        return None;
    }
    let next = Draft::new(text, &all);
    let (roots, further) = tree::parse(&next.text);
    let reached = further.as_ref().map_or(usize::MAX, |fault| next.origin[fault.at]);
    (reached > draft.origin[fault.at]).then_some(Straight { slips, draft: next, roots, fault: further })
}

/// Whether a line is to be moved whose indent is mended already. It is moved once that is done.
fn touch(edits: &[Edit], moves: &[Edit]) -> bool {
    let mut spans: Vec<&Range<usize>> = edits.iter().map(|edit| &edit.span).collect();
    spans.sort_by_key(|span| (span.start, span.end));
    moves.iter().any(|edit| {
        let near = spans.partition_point(|span| span.end < edit.span.start);
        spans.get(near).is_some_and(|span| span.start <= edit.span.end)
    })
}

/// What stands behind the colon of a key, as far as it decides what the lines beneath it are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    /// A block, and how deep its header says that it is.
    Block(Option<usize>),
    Nothing,
    /// It goes on in deeper lines, whatever they look like.
    Open,
    Closed,
}

impl Text {
    fn of(value: &str) -> Self {
        if is_block_header(value) {
            let digit = value.bytes().find(u8::is_ascii_digit).map(|digit| usize::from(digit - b'0'));
            return Self::Block(digit.filter(|&digit| digit > 0));
        }
        let open = match value.chars().next() {
            None => return Self::Nothing,
            Some(quote @ ('"' | '\'')) => closing(value, quote).is_none(),
            Some('[') => !value.ends_with(']'),
            Some('{') => !value.ends_with('}'),
            Some(sign) => matches!(sign, '!' | '&'),
        };
        if open { Self::Open } else { Self::Closed }
    }
}

/// How deep the lines of a block are: all of them, its entries, and the keys of these.
#[derive(Clone, Copy)]
struct Inner {
    block: usize,
    entry: usize,
    keys: usize,
}

/// A line of a block that is moved, and takes what is deeper along.
#[derive(Clone, Copy)]
struct Moving {
    from: usize,
    shift: usize,
    slip: usize,
}

/// A key of `data` with the lines beneath it.
struct Record<'a> {
    pair: Pair<'a>,
    line: usize,
    text: Text,
    inner: Option<Inner>,
    moving: Option<Moving>,
}

/// What the lines are beneath.
#[derive(Clone, Copy)]
enum Beneath {
    /// No `data`, but perhaps the key of a block, by its depth.
    Else(Option<usize>),
    /// `data`, by its depth, which its bare content has not.
    Data(Option<usize>),
}

struct Walk<'a> {
    lines: Vec<Line<'a>>,
    slips: Vec<Slip>,
    /// For each line by how many blanks it moves to the right, and the slip that says so.
    moves: Vec<(isize, Option<usize>)>,
    beneath: Beneath,
    /// Whether no line of the document has been seen.
    fresh: bool,
    records: Vec<Record<'a>>,
    /// Comments between the line before and this one, which say by themselves not where they belong.
    comments: Vec<usize>,
}

impl<'a> Walk<'a> {
    fn new(text: &'a str) -> Self {
        let lines = lines(text);
        Self {
            moves: vec![(0, None); lines.len()],
            lines,
            slips: Vec::new(),
            beneath: Beneath::Else(None),
            fresh: true,
            records: Vec::new(),
            comments: Vec::new(),
        }
    }

    fn run(mut self) -> Vec<Slip> {
        for index in 0..self.lines.len() {
            let line = self.lines[index];
            if self.slips.len() >= MAX_SLIPS {
                break;
            }
            if line.is_blank() {
                continue;
            }
            if line.is_comment() {
                self.comments.push(index);
                continue;
            }
            if line.text.starts_with("---") || line.text.starts_with("...") {
                self.close(index);
                self.fresh = true;
            } else {
                self.line(index, line);
            }
            self.comments.clear();
        }
        self.close(self.lines.len());
        for (line, (shift, slip)) in self.lines.iter().zip(&self.moves) {
            let Some(slip) = slip.and_then(|slip| self.slips.get_mut(slip)) else { continue };
            let (length, start) = (shift.unsigned_abs(), line.start);
            slip.edits.push(match shift {
                0 => continue,
                1.. => Edit { span: start..start, text: " ".repeat(length) },
                _ => Edit { span: start..start + length, text: String::new() },
            });
        }
        self.slips.retain(|slip| !slip.edits.is_empty());
        self.slips
    }

    fn line(&mut self, index: usize, line: Line<'a>) {
        let pair = Pair::of(line);
        let fresh = std::mem::take(&mut self.fresh);
        let known = !line.is_item() && pair.as_ref().is_some_and(|pair| data_key(pair.key).is_some());
        if let Beneath::Data(floor) = self.beneath {
            if self.belongs(index, line, known) {
                return;
            }
            if floor.is_none_or(|floor| line.depth() > floor) {
                self.records.extend(pair.map(|pair| Record::of(pair, index)));
                return;
            }
            self.close(index);
        }
        if matches!(self.beneath, Beneath::Else(Some(depth)) if line.depth() > depth) {
            return;
        }
        self.beneath = Beneath::Else(None);
        let Some(pair) = pair else { return };
        let text = Text::of(pair.value());
        if pair.key == "data" && text == Text::Nothing && !line.is_item() {
            self.beneath = Beneath::Data(Some(pair.depth));
        } else if known && fresh {
            self.beneath = Beneath::Data(None);
            self.records.push(Record::of(pair, index));
        } else if matches!(text, Text::Block(_)) {
            self.beneath = Beneath::Else(Some(pair.depth));
        }
    }

    /// Whether a line is beneath the key before it. If it should be and is not, it is moved there.
    fn belongs(&mut self, index: usize, line: Line<'a>, known: bool) -> bool {
        let Some(record) = self.records.last() else { return false };
        let deeper = line.depth() > record.pair.depth;
        match record.text {
            Text::Closed => deeper && !known,
            Text::Open => deeper,
            Text::Nothing if deeper || !record.nested() => deeper,
            Text::Nothing | Text::Block(_) => self.in_block(index, line, known),
        }
    }

    fn in_block(&mut self, index: usize, line: Line<'a>, known: bool) -> bool {
        let Some(record) = self.records.last() else { return false };
        let (depth, key, nested, moving) = (line.depth(), record.pair.depth, record.nested(), record.moving);
        let entry = begins_an_entry(line);
        let inner = record.inner.unwrap_or_else(|| {
            let mut depths = self.comments.iter().map(|&comment| self.lines[comment].depth()).chain([depth]);
            let block = match record.text {
                Text::Block(Some(digit)) => key + digit,
                // Blanks as many as its first line has, but for a comment that is none of its lines.
                _ => depths.find(|depth| *depth > key).unwrap_or(key + 2),
            };
            let first = block.max(depth);
            let keys = Pair::of(line).map_or(0, |pair| pair.depth - depth);
            Inner { block, entry: first, keys: first + keys }
        });
        let field = !line.is_item() && Pair::of(line).is_some_and(|pair| within_an_entry(pair.key));
        let proper = entry && depth == inner.entry || field && depth == inner.keys;
        let ended = moving.is_some() || self.comments.iter().any(|&at| self.lines[at].depth() < inner.block);
        let moving = match moving.filter(|moving| depth > moving.from && !known && !proper) {
            Some(moving) => Some(moving),
            None if depth >= inner.block && !(known && ended) => None,
            None if known || !nested => return false,
            None => {
                // Beside `data` there are keys of other maps, but no entries.
                let inside = !matches!(self.beneath, Beneath::Data(Some(at)) if depth <= at);
                let target = match (entry, field && inside) {
                    (true, _) => inner.entry,
                    (_, true) => inner.keys,
                    _ => return false,
                };
                Some(self.move_of(line, depth, target, moving))
            }
        };
        if nested {
            self.indent_comments(inner.block, moving);
        }
        if let Some(moving) = moving {
            self.shift(index, moving.shift, moving.slip);
        }
        if let Some(record) = self.records.last_mut() {
            (record.inner, record.moving) = (Some(inner), moving);
        }
        true
    }

    /// The move of a line that is less deep than its block. Of several that are as deep, one slip is told.
    fn move_of(&mut self, line: Line<'a>, from: usize, target: usize, last: Option<Moving>) -> Moving {
        let shift = target - from;
        if let Some(last) = last.filter(|last| last.from == from && last.shift == shift) {
            return last;
        }
        let at = line.start + line.lead().len();
        let length = Pair::of(line).filter(|_| !line.is_item()).map_or(1, |pair| pair.key.len());
        let record = self.records.last();
        let first = record.is_some_and(|record| record.inner.is_none());
        let bare = record.is_some_and(|record| record.text == Text::Nothing);
        let (code, cure) = if bare {
            let cure = "begins a list, and the ConfigMap takes a text here: write | after the colon of its key, and indent the list deeper than that, by";
            (Code::OuterBlockMissing, cure)
        } else if first {
            let cure = "belongs to the | of its key, and must be indented deeper than that: by";
            (Code::OuterBlockIndent, cure)
        } else {
            let cure =
                "is indented less than the block that it belongs to, which ends before it: indent it by";
            (Code::OuterBlockIndent, cure)
        };
        let message = format!("{cure} {} more", blanks(shift));
        let bar = record.filter(|_| bare && first).map(|record| record.pair.rest_at);
        let slip = self.tell(code, at..at + length, message);
        self.slips[slip].edits.extend(bar.map(|at| Edit { span: at..at, text: " |".to_owned() }));
        Moving { from, shift, slip }
    }

    /// Comments among the lines of a block end it where they are less deep.
    fn indent_comments(&mut self, block: usize, moving: Option<Moving>) {
        for comment in std::mem::take(&mut self.comments) {
            let line = self.lines[comment];
            let Some(least) = block.checked_sub(line.depth()).filter(|&least| least > 0) else { continue };
            if let Some(moving) = moving {
                self.shift(comment, moving.shift.max(least), moving.slip);
                continue;
            }
            let at = line.start + line.lead().len();
            let message = format!(
                "is a comment indented less than the block around it, which ends here: indent it by {} more",
                blanks(least)
            );
            let slip = self.tell(Code::OuterBlockIndent, at..at + 1, message);
            self.shift(comment, least, slip);
        }
    }

    fn shift(&mut self, line: usize, by: usize, slip: usize) {
        self.moves[line] = (isize::try_from(by).unwrap_or_default(), Some(slip));
    }

    /// A slip of the key that was seen last.
    fn tell(&mut self, code: Code, span: Range<usize>, message: String) -> usize {
        let key = self.records.last().map_or("data", |record| record.pair.key).to_owned();
        self.slips.push(Slip { code, key, span, message, edits: Vec::new() });
        self.slips.len() - 1
    }

    /// Puts the keys of `data` straight, each with the lines beneath it, once all are known.
    fn close(&mut self, end: usize) {
        self.beneath = Beneath::Else(None);
        let records = std::mem::take(&mut self.records);
        let ours = || records.iter().filter(|record| data_key(record.pair.key).is_some());
        let mut depths: BTreeMap<usize, usize> = BTreeMap::new();
        ours().for_each(|record| *depths.entry(record.pair.depth).or_default() += 1);
        let most = depths.values().max();
        // As most of them are, and of as many as the first.
        let Some(target) = ours().map(|record| record.pair.depth).find(|depth| depths.get(depth) == most)
        else {
            return;
        };
        let ends = records.iter().skip(1).map(|record| record.line).chain([end]);
        for (record, end) in records.iter().zip(ends) {
            let (key, depth) = (record.pair.key, record.pair.depth);
            if depth == target || data_key(key).is_none() {
                continue;
            }
            let message = format!(
                "has {} before it and the other keys of data {}: indent it as they are",
                blanks(depth),
                target
            );
            let span = record.pair.key_span();
            let slip =
                Slip { code: Code::OuterKeysBeneath, key: key.to_owned(), span, message, edits: Vec::new() };
            self.slips.push(slip);
            let by = isize::try_from(target).unwrap_or_default() - isize::try_from(depth).unwrap_or_default();
            let (lines, moves) = (&self.lines[record.line..end], &mut self.moves[record.line..end]);
            for (index, (line, (shift, slip))) in lines.iter().zip(moves).enumerate() {
                if index == 0 || *shift != 0 || !line.is_blank() && line.depth() > depth {
                    *shift += by;
                    slip.get_or_insert(self.slips.len() - 1);
                }
            }
        }
    }
}

impl<'a> Record<'a> {
    fn of(pair: Pair<'a>, line: usize) -> Self {
        let text = Text::of(pair.value());
        Self { pair, line, text, inner: None, moving: None }
    }

    fn nested(&self) -> bool {
        is_nested(self.pair.key)
    }
}

/// Whether a line is the first of an entry, and of no other list that a manifest may have.
fn begins_an_entry(line: Line<'_>) -> bool {
    let braces = line.body().trim_start_matches(['-', ' ']).starts_with('{');
    line.is_item() && (braces || Pair::of(line).is_some_and(|pair| within_an_entry(pair.key)))
}

fn blanks(count: usize) -> String {
    format!("{count} blank{}", if count == 1 { "" } else { "s" })
}
