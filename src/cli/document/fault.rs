//! The line at which the YAML of a manifest breaks, and how to indent it.
//!
//! The parser stops where a block ended before its text does, or where a key of `data` is not below the others, and
//! says neither. Both show in the lines before.

use std::ops::Range;

use crate::api::legacy::{entry, webhook};
use crate::model::count;
use crate::model::legacy::data_key;
use crate::model::legacy::line::{Line, is_block_header, is_yaml_space};
use crate::model::legacy::mistakes::NESTED_KEYS;

/// A line that is to blame for a fault.
pub(super) struct Blamed {
    /// The key of `data` that it is about.
    pub(super) key: String,
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

/// Returns the line to blame for a fault at a byte. `None`: the indentation of the lines before it is right.
pub(super) fn blame(text: &str, at: usize) -> Option<Blamed> {
    let mut lines = Line::all(text, is_yaml_space);
    lines.retain(|line| !line.is_empty());
    // Some faults are noticed at the end of the line before.
    let seen = lines.len().min(lines.partition_point(|line| line.start <= at) + 1);
    end_of_block(&lines, seen).or_else(|| misplaced_key(&lines[..seen], at))
}

/// Returns the line that ends a block before its text does.
fn end_of_block(all: &[Line<'_>], seen: usize) -> Option<Blamed> {
    let lines = all.get(..seen)?;
    let (index, (field, header)) = lines.iter().enumerate().rev().skip(1).find_map(|(index, line)| {
        let field = line.field()?;
        let (value, _) = field.split_comment();
        let header = is_block_header(value);
        (header || value.is_empty() && field.is(&NESTED_KEYS)).then_some((index, (field, header)))
    })?;
    let block = &lines[index + 1..];
    let digit = field.value.bytes().find(u8::is_ascii_digit).map(|digit| usize::from(digit - b'0'));
    let first = || block.iter().find(|line| !line.is_comment()).map(|line| line.depth());
    let deeper = || first().filter(|depth| *depth > field.depth);
    let depth = digit.map(|digit| field.depth + digit).or_else(deeper).unwrap_or(field.depth + 2);
    let proper = |line: &Line<'_>| line.depth() >= depth && (header || !line.is_comment());
    let end = block.iter().position(|line| !proper(line))?;
    let next = end + block[end..].iter().position(|line| !line.is_comment())?;
    if belongs_elsewhere(block[next], field.depth) {
        return None;
    }
    // A comment ends a block too, but only if the block goes on behind it.
    let line = block[if proper(&block[next]) { end } else { next }];
    let keys = || block[..end].iter().find_map(|line| Some(line.field()?.depth));
    let wanted = if line.is_item() || line.is_comment() { None } else { keys() }.unwrap_or(depth);
    let by = count(wanted.saturating_sub(line.depth()), "space", "spaces");
    let key = field.key;
    let after = all[index + 1..]
        .iter()
        .skip_while(|other| other.start <= line.start)
        .find(|other| !other.is_comment());
    // The keys after it may be indented as they should.
    let alone = after.is_some_and(|after| !line.is_item() && !after.is_item() && after.depth() == wanted);
    let message = if header && alone {
        format!("this line ends the block of {key} before its text does: indent it by {by} more")
    } else if header {
        format!(
            "this line ends the block of {key} before its text does: indent it, and the lines of the block after it, by {by} more"
        )
    } else {
        format!(
            "the ConfigMap takes a text for {key}: write | after its colon, and indent this line and those of the list after it by {by} more"
        )
    };
    Some(Blamed { key: key.to_owned(), span: line.body_at()..line.start + line.text.len(), message })
}

/// Returns whether a line after a block is a key of its own, and not one of an entry or of settings.
fn belongs_elsewhere(line: Line<'_>, depth: usize) -> bool {
    let Some(field) = line.field().filter(|_| !line.is_item()) else {
        return line.text.starts_with("---") || line.text.starts_with("...");
    };
    let nested = field.is(&entry::KEYS) || field.is(&webhook::KEYS);
    data_key(field.key).is_some() || field.depth <= depth && !nested
}

/// Returns the key of `data` nearest to a fault that is not indented as the first one.
fn misplaced_key(lines: &[Line<'_>], at: usize) -> Option<Blamed> {
    let fields = || lines.iter().filter(|line| !line.is_item()).filter_map(|line| line.field());
    let data = fields().rfind(|field| field.key == "data").map_or(0, |data| data.at);
    let keys: Vec<_> = fields().filter(|key| key.at >= data && data_key(key.key).is_some()).collect();
    let first = keys.first()?.depth;
    let mut others = keys.iter().filter(|field| field.depth != first);
    // The byte of a fault may be in the spaces before its key.
    let before = others.clone().rfind(|field| field.at <= at + field.depth);
    let field = before.or_else(|| others.next())?;
    let message = format!(
        "the key has {} before it, and the first key of data has {first}: indent it, and the lines of its block, like the first",
        count(field.depth, "space", "spaces")
    );
    Some(Blamed { key: field.key.to_owned(), span: field.span(), message })
}
